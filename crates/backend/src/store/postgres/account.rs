//! An account as a whole: its end, its export.

use super::*;
use sqlx::Row as _;

impl PostgresStore {
    pub(super) async fn delete_user(&self, user: UserId) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        // a large account takes longer than anything else may
        sqlx::query("SET LOCAL statement_timeout = '10min'").execute(&mut *tx).await?;
        // the foreign keys take everything else with it
        sqlx::query("DELETE FROM users WHERE id = $1").bind(user.0).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn account(&self, user: UserId) -> Result<Option<AccountData>> {
        let mut tx = self.pool.begin().await?;
        let found = sqlx::query(
            "SELECT email, first_name, last_name, created_at, version, epoch
             FROM users JOIN feeds ON feeds.user_id = users.id WHERE users.id = $1",
        )
        .bind(user.0)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(found) = found else { return Ok(None) };
        let devices: Vec<(String, Millis, Millis)> = sqlx::query_as(
            "SELECT id, first_seen_at, last_seen_at FROM devices WHERE user_id = $1 ORDER BY first_seen_at, id",
        )
        .bind(user.0)
        .fetch_all(&mut *tx)
        .await?;
        let sessions: Vec<(Millis, Millis, Option<Millis>)> = sqlx::query_as(
            "SELECT created_at, expires_at, ended_at FROM sessions WHERE user_id = $1 ORDER BY created_at, id",
        )
        .bind(user.0)
        .fetch_all(&mut *tx)
        .await?;
        Ok(Some(AccountData {
            id: user.0,
            email: found.try_get("email")?,
            first_name: found.try_get("first_name")?,
            last_name: found.try_get("last_name")?,
            created_at: found.try_get("created_at")?,
            version: found.try_get("version")?,
            feed_epoch: found.try_get("epoch")?,
            devices: devices
                .into_iter()
                .map(|(id, first_seen_at, last_seen_at)| Device { id, first_seen_at, last_seen_at })
                .collect(),
            sessions: sessions
                .into_iter()
                .map(|(created_at, expires_at, ended_at)| SessionData { created_at, expires_at, ended_at })
                .collect(),
        }))
    }
}
