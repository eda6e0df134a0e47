//! Sessions, in SQL that both databases read. An account that is ending has no feed any more: to a session it is gone.

use super::{This, Tx, lock_session};
use crate::clock::Millis;
use crate::store::sessions::KnownToken;
use crate::store::{
    NewSession, Presented, Result, Rotation, SessionEnd, SessionId, Sessions, TokenHash, User, UserId, fixed,
};
use async_trait::async_trait;
use heyho_records::fault::planted;

#[async_trait]
impl Sessions for This {
    async fn open_session(&self, session: NewSession) -> Result<bool> {
        let mut tx = self.begin().await?;
        let opened = sqlx::query(
            "INSERT INTO sessions (id, user_id, created_at, expires_at)
             SELECT $1, user_id, $3, $4 FROM feeds WHERE user_id = $2",
        )
        .bind(session.id)
        .bind(session.user)
        .bind(session.now)
        .bind(session.expires_at)
        .execute(&mut *tx)
        .await?;
        if opened.rows_affected() == 0 {
            return Ok(false);
        }
        issue(&mut tx, session.id, &session.token, session.now).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn session_user(&self, session: SessionId, now: Millis) -> Result<Option<User>> {
        let user = sqlx::query_as(
            "SELECT users.id, users.email FROM sessions JOIN users ON users.id = sessions.user_id
             JOIN feeds ON feeds.user_id = users.id
             WHERE sessions.id = $1 AND ended_at IS NULL AND expires_at > $2",
        )
        .bind(session)
        .bind(now)
        .fetch_optional(self.reader())
        .await?;
        Ok(user)
    }

    async fn rotate(&self, presented: Presented) -> Result<Rotation> {
        let mut tx = self.begin().await?;
        let now = presented.now;
        lock_session(&mut tx, &presented.token).await?;
        let known: Option<KnownToken> = sqlx::query_as(
            "SELECT session_id, users.id, users.email, spent_at, successor_sealed,
                    (SELECT next.spent_at IS NULL FROM refresh_tokens AS next
                     WHERE next.hash = this.successor_hash) AS successor_unused
             FROM refresh_tokens AS this
             JOIN sessions ON sessions.id = session_id JOIN users ON users.id = sessions.user_id
             JOIN feeds ON feeds.user_id = users.id
             WHERE this.hash = $1 AND ended_at IS NULL AND expires_at > $2",
        )
        .bind(&presented.token[..])
        .bind(now)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(known) = known else {
            // spent so long ago that it was forgotten
            let alive = presented.session.filter(|_| !planted("forgotten-forgiven"));
            if let Some(session) = alive
                && end(&mut tx, session, SessionEnd::RefreshTokenReused, now).await?
            {
                tx.commit().await?;
                return Ok(Rotation::Reused);
            }
            return Ok(Rotation::Unknown);
        };
        let session = known.session_id;
        if known.spent_at.is_none() {
            spend(&mut tx, session, &presented).await?;
            tx.commit().await?;
            return Ok(Rotation::Rotated { user: known.user, session });
        }
        if let Some(sealed) = known.again(now) {
            let successor_sealed = fixed(sealed.to_vec(), "a sealed refresh token")?;
            return Ok(Rotation::Again { user: known.user, session, successor_sealed });
        }
        end(&mut tx, session, SessionEnd::RefreshTokenReused, now).await?;
        tx.commit().await?;
        Ok(Rotation::Reused)
    }

    async fn end_session(&self, session: SessionId, why: SessionEnd, now: Millis) -> Result<()> {
        let mut tx = self.begin().await?;
        end(&mut tx, session, why, now).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn end_all_sessions(&self, user: UserId, now: Millis) -> Result<()> {
        let mut tx = self.begin().await?;
        end_all(&mut tx, user, None, SessionEnd::SignedOutEverywhere, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The presented token is spent, its successor is current, the session lives on.
async fn spend(tx: &mut Tx, session: SessionId, presented: &Presented) -> Result<()> {
    sqlx::query(
        "UPDATE refresh_tokens SET spent_at = $1, successor_hash = $2, successor_sealed = $3 WHERE hash = $4",
    )
    .bind(presented.now)
    .bind(&presented.successor[..])
    .bind(&presented.successor_sealed[..])
    .bind(&presented.token[..])
    .execute(&mut **tx)
    .await?;
    issue(tx, session, &presented.successor, presented.now).await?;
    sqlx::query("UPDATE sessions SET expires_at = $1 WHERE id = $2")
        .bind(presented.expires_at)
        .bind(session)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn issue(tx: &mut Tx, session: SessionId, token: &TokenHash, now: Millis) -> Result<()> {
    sqlx::query(
        "INSERT INTO refresh_tokens (hash, session_id, issued_at, names_session) VALUES ($1, $2, $3, TRUE)",
    )
    .bind(&token[..])
    .bind(session)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// False: it was over already.
async fn end(tx: &mut Tx, session: SessionId, why: SessionEnd, now: Millis) -> Result<bool> {
    let ended = sqlx::query(
        "UPDATE sessions SET ended_at = $1, end_reason = $2
         WHERE id = $3 AND ended_at IS NULL AND expires_at > $1",
    )
    .bind(now)
    .bind(why as i64)
    .bind(session)
    .execute(&mut **tx)
    .await?;
    Ok(ended.rows_affected() > 0)
}

pub(super) async fn end_all(
    tx: &mut Tx,
    user: UserId,
    except: Option<SessionId>,
    why: SessionEnd,
    now: Millis,
) -> Result<()> {
    sqlx::query(
        "UPDATE sessions SET ended_at = $1, end_reason = $2
         WHERE user_id = $3 AND id IS DISTINCT FROM $4 AND ended_at IS NULL",
    )
    .bind(now)
    .bind(why as i64)
    .bind(user)
    .bind(except)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
