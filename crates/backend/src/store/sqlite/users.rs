//! Users and their sessions.

use super::*;
use crate::limits::REFRESH_GRACE;
use sqlx::Row as _;

type Tx = sqlx::Transaction<'static, sqlx::Sqlite>;

impl SqliteStore {
    pub(super) async fn create_user(&self, user: NewUser) -> Result<Created> {
        let mut tx = self.begin().await?;
        let made = sqlx::query(
            "INSERT INTO users (id, email, password_hash, first_name, last_name, created_at)
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (email) DO NOTHING",
        )
        .bind(user.id.0)
        .bind(&user.email)
        .bind(&user.password_hash.0)
        .bind(&user.first_name)
        .bind(&user.last_name)
        .bind(user.now)
        .execute(&mut *tx)
        .await?;
        if made.rows_affected() == 0 {
            return Ok(Created::EmailTaken);
        }
        sqlx::query("INSERT INTO feeds (user_id, version, epoch) VALUES (?, 0, ?)")
            .bind(user.id.0)
            .bind(&user.feed_epoch)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Created::Created)
    }

    pub(super) async fn credentials(&self, email: &str) -> Result<Option<Credentials>> {
        let row = sqlx::query("SELECT id, email, password_hash FROM users WHERE email = ?")
            .bind(email)
            .fetch_optional(&self.read)
            .await?;
        row.map(|row| {
            Ok(Credentials {
                user: User { id: UserId(row.try_get("id")?), email: row.try_get("email")? },
                password_hash: PasswordHash(row.try_get("password_hash")?),
            })
        })
        .transpose()
    }

    pub(super) async fn open_session(&self, session: NewSession) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES (?, ?, ?, ?)")
            .bind(session.id.0)
            .bind(session.user.0)
            .bind(session.now)
            .bind(session.expires_at)
            .execute(&mut *tx)
            .await?;
        issue(&mut tx, session.id, &session.token, session.now).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn session_user(&self, session: SessionId, now: Millis) -> Result<Option<User>> {
        let row = sqlx::query(
            "SELECT users.id, users.email FROM sessions JOIN users ON users.id = sessions.user_id
             WHERE sessions.id = ? AND ended_at IS NULL AND expires_at > ?",
        )
        .bind(session.0)
        .bind(now)
        .fetch_optional(&self.read)
        .await?;
        row.map(|row| Ok(User { id: UserId(row.try_get("id")?), email: row.try_get("email")? })).transpose()
    }

    pub(super) async fn rotate(&self, presented: Presented) -> Result<Rotation> {
        let mut tx = self.begin().await?;
        let now = presented.now;
        let found = sqlx::query(
            "SELECT session_id, users.id, users.email, spent_at, successor_sealed,
                    (SELECT next.spent_at IS NULL FROM refresh_tokens AS next
                     WHERE next.hash = this.successor_hash) AS successor_unused
             FROM refresh_tokens AS this
             JOIN sessions ON sessions.id = session_id JOIN users ON users.id = user_id
             WHERE this.hash = ? AND ended_at IS NULL AND expires_at > ?",
        )
        .bind(&presented.token[..])
        .bind(now)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(found) = found else { return Ok(Rotation::Unknown) };
        let session = SessionId(found.try_get("session_id")?);
        let user = User { id: UserId(found.try_get("id")?), email: found.try_get("email")? };

        let Some(spent_at) = found.try_get::<Option<Millis>, _>("spent_at")? else {
            sqlx::query(
                "UPDATE refresh_tokens SET spent_at = ?, successor_hash = ?, successor_sealed = ? WHERE hash = ?",
            )
            .bind(now)
            .bind(&presented.successor[..])
            .bind(&presented.successor_sealed[..])
            .bind(&presented.token[..])
            .execute(&mut *tx)
            .await?;
            issue(&mut tx, session, &presented.successor, now).await?;
            sqlx::query("UPDATE sessions SET expires_at = ? WHERE id = ?")
                .bind(presented.expires_at)
                .bind(session.0)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            return Ok(Rotation::Rotated { user, session });
        };

        let unused: bool = found.try_get::<Option<bool>, _>("successor_unused")?.unwrap_or(false);
        if unused && now - spent_at <= REFRESH_GRACE {
            let sealed: Vec<u8> = found.try_get("successor_sealed")?;
            let successor_sealed = fixed(sealed, "a sealed refresh token")?;
            return Ok(Rotation::Again { user, session, successor_sealed });
        }
        end(&mut tx, session, SessionEnd::RefreshTokenReused, now).await?;
        tx.commit().await?;
        Ok(Rotation::Reused)
    }

    pub(super) async fn end_session(&self, session: SessionId, why: SessionEnd, now: Millis) -> Result<()> {
        let mut tx = self.begin().await?;
        end(&mut tx, session, why, now).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn end_all_sessions(&self, user: UserId, now: Millis) -> Result<()> {
        let mut tx = self.begin().await?;
        end_all(&mut tx, user, None, SessionEnd::SignedOutEverywhere, now).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn change_password(
        &self,
        user: UserId,
        new: PasswordHash,
        keep: SessionId,
        now: Millis,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE users SET password_hash = ? WHERE id = ?")
            .bind(&new.0)
            .bind(user.0)
            .execute(&mut *tx)
            .await?;
        end_all(&mut tx, user, Some(keep), SessionEnd::PasswordChanged, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn end_all(
    tx: &mut Tx,
    user: UserId,
    except: Option<SessionId>,
    why: SessionEnd,
    now: Millis,
) -> Result<()> {
    sqlx::query(
        "UPDATE sessions SET ended_at = ?, end_reason = ?
         WHERE user_id = ? AND id IS NOT ? AND ended_at IS NULL",
    )
    .bind(now)
    .bind(why as i64)
    .bind(user.0)
    .bind(except.map(|s| s.0))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn issue(tx: &mut Tx, session: SessionId, token: &TokenHash, now: Millis) -> Result<()> {
    sqlx::query("INSERT INTO refresh_tokens (hash, session_id, issued_at) VALUES (?, ?, ?)")
        .bind(&token[..])
        .bind(session.0)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn end(tx: &mut Tx, session: SessionId, why: SessionEnd, now: Millis) -> Result<()> {
    sqlx::query("UPDATE sessions SET ended_at = ?, end_reason = ? WHERE id = ? AND ended_at IS NULL")
        .bind(now)
        .bind(why as i64)
        .bind(session.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
