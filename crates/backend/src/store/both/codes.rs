//! Codes sent by e-mail, in SQL that both databases read.

use super::{This, Tx, sessions, users};
use crate::clock::Millis;
use crate::limits::CODE_ATTEMPTS;
use crate::store::{Code, Codes, PasswordHash, Purpose, Result, SessionEnd, Tried, UserId};
use async_trait::async_trait;
use heyho_records::fault::planted;

#[async_trait]
impl Codes for This {
    async fn put_code(&self, code: Code) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO codes (user_id, purpose, hash, attempts, made_at, expires_at)
             SELECT id, $2, $3, 0, $4, $5 FROM users WHERE id = $1
             ON CONFLICT (user_id, purpose) DO UPDATE
             SET hash = excluded.hash, attempts = 0, made_at = excluded.made_at, expires_at = excluded.expires_at",
        )
        .bind(code.user)
        .bind(code.purpose as i64)
        .bind(&code.hash)
        .bind(code.now)
        .bind(code.expires_at)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    async fn try_code(&self, email: &str, purpose: Purpose, now: Millis) -> Result<Option<Tried>> {
        let mut tx = self.begin().await?;
        let tried = sqlx::query_as(
            "UPDATE codes SET attempts = attempts + 1
             WHERE user_id = (SELECT id FROM users WHERE email = $1)
             AND purpose = $2 AND expires_at > $3 AND attempts < $4
             RETURNING user_id, hash",
        )
        .bind(email)
        .bind(purpose as i64)
        .bind(now)
        .bind(if planted("endless-attempts") { i64::MAX } else { CODE_ATTEMPTS })
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(tried)
    }

    async fn confirm_address(&self, user: UserId, code: &PasswordHash, now: Millis) -> Result<bool> {
        let mut tx = self.begin().await?;
        let spent = spend(&mut tx, user, Purpose::ConfirmAddress, code).await?;
        if spent {
            confirm(&mut tx, user, now).await?;
            tx.commit().await?;
        }
        Ok(spent)
    }

    async fn reset_password(
        &self,
        user: UserId,
        code: &PasswordHash,
        new: PasswordHash,
        now: Millis,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        let spent = spend(&mut tx, user, Purpose::ResetPassword, code).await?;
        // The fault: the code is gone a moment before the password is another.
        if spent && planted("code-spent-first") {
            tx.commit().await?;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            tx = self.begin().await?;
        }
        if spent {
            users::set_password(&mut tx, user, &new).await?;
            confirm(&mut tx, user, now).await?;
            sessions::end_all(&mut tx, user, None, SessionEnd::PasswordReset, now).await?;
            tx.commit().await?;
        }
        Ok(spent)
    }
}

async fn spend(tx: &mut Tx, user: UserId, purpose: Purpose, code: &PasswordHash) -> Result<bool> {
    let gone = sqlx::query("DELETE FROM codes WHERE user_id = $1 AND purpose = $2 AND hash = $3")
        .bind(user)
        .bind(purpose as i64)
        .bind(code)
        .execute(&mut **tx)
        .await?;
    Ok(gone.rows_affected() == 1)
}

/// Whatever they are for.
pub(super) async fn forget(tx: &mut Tx, user: UserId) -> Result<()> {
    sqlx::query("DELETE FROM codes WHERE user_id = $1").bind(user).execute(&mut **tx).await?;
    Ok(())
}

pub(super) async fn confirm(tx: &mut Tx, user: UserId, now: Millis) -> Result<()> {
    sqlx::query("UPDATE users SET confirmed_at = $1 WHERE id = $2 AND confirmed_at IS NULL")
        .bind(now)
        .bind(user)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
