//! People, in SQL that both databases read.

use super::{This, Tx, codes, sessions};
use crate::clock::Millis;
use crate::store::{
    AccountData, Created, Credentials, NewUser, PasswordHash, Result, SessionEnd, SessionId, UserId, Users,
};
use async_trait::async_trait;
use heyho_records::fault::planted;

#[async_trait]
impl Users for This {
    async fn create_user(&self, user: NewUser) -> Result<Created> {
        let mut tx = self.begin().await?;
        let made = sqlx::query(
            "INSERT INTO users (id, email, password_hash, first_name, last_name, confirmed_at, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (email) DO NOTHING",
        )
        .bind(user.id)
        .bind(&user.email)
        .bind(&user.password_hash)
        .bind(&user.first_name)
        .bind(&user.last_name)
        .bind(user.confirmed_at)
        .bind(user.now)
        .execute(&mut *tx)
        .await?;
        if made.rows_affected() == 0 {
            return Ok(Created::EmailTaken);
        }
        sqlx::query("INSERT INTO feeds (user_id, version, epoch) VALUES ($1, 0, $2)")
            .bind(user.id)
            .bind(&user.feed_epoch)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Created::Created)
    }

    async fn credentials(&self, email: &str) -> Result<Option<Credentials>> {
        let found = sqlx::query_as(
            "SELECT id, email, password_hash, confirmed_at IS NOT NULL AS confirmed FROM users WHERE email = $1",
        )
        .bind(email)
        .fetch_optional(self.reader())
        .await?;
        Ok(found)
    }

    async fn change_password(
        &self,
        user: UserId,
        new: PasswordHash,
        keep: SessionId,
        now: Millis,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        set_password(&mut tx, user, &new).await?;
        if !planted("others-stay") {
            sessions::end_all(&mut tx, user, Some(keep), SessionEnd::PasswordChanged, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn replace_password(&self, email: &str, new: PasswordHash, now: Millis) -> Result<bool> {
        let mut tx = self.begin().await?;
        let user: Option<UserId> = sqlx::query_scalar("SELECT id FROM users WHERE email = $1")
            .bind(email)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(user) = user else { return Ok(false) };
        set_password(&mut tx, user, &new).await?;
        codes::confirm(&mut tx, user, now).await?;
        codes::forget(&mut tx, user).await?;
        sessions::end_all(&mut tx, user, None, SessionEnd::PasswordReset, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn delete_user(&self, user: UserId) -> Result<()> {
        self.end_account(user).await
    }

    async fn account(&self, user: UserId) -> Result<Option<AccountData>> {
        let mut tx = self.snapshot().await?;
        let found: Option<AccountData> = sqlx::query_as(
            "SELECT users.id, email, first_name, last_name, created_at, confirmed_at, version, epoch AS feed_epoch
             FROM users JOIN feeds ON feeds.user_id = users.id WHERE users.id = $1",
        )
        .bind(user)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(mut account) = found else { return Ok(None) };
        account.devices = sqlx::query_as(
            "SELECT id, first_seen_at, last_seen_at FROM devices WHERE user_id = $1 ORDER BY first_seen_at, id",
        )
        .bind(user)
        .fetch_all(&mut *tx)
        .await?;
        account.sessions = sqlx::query_as(
            "SELECT created_at, expires_at, ended_at FROM sessions WHERE user_id = $1 ORDER BY created_at, id",
        )
        .bind(user)
        .fetch_all(&mut *tx)
        .await?;
        Ok(Some(account))
    }
}

pub(super) async fn set_password(tx: &mut Tx, user: UserId, new: &PasswordHash) -> Result<()> {
    sqlx::query("UPDATE users SET password_hash = $1 WHERE id = $2")
        .bind(new)
        .bind(user)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
