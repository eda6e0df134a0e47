//! What goes with a batch beside its records, in SQL that both databases read: the answer under its key, the device,
//! and forgetting what is past its time.

use super::{Connection, This, Tx};
use crate::clock::Millis;
use crate::limits::{IDEMPOTENCY_LIFE, SPENT_TOKEN_LIFE};
use crate::store::{Answered, IdempotencyKey, Result, UserId};
use heyho_records::fault::planted;

/// The end of a batch: afterwards it may be answered.
pub(super) async fn commit(tx: Tx) -> Result<()> {
    if planted("answer-before-commit") {
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            tx.commit().await
        });
        return Ok(());
    }
    Ok(tx.commit().await?)
}

pub(super) async fn answered(
    connection: &mut Connection,
    key: &IdempotencyKey,
    now: Millis,
) -> Result<Option<Answered>> {
    let found: Option<(Vec<u8>, String)> = sqlx::query_as(
        "SELECT body_hash, answer FROM idempotency_keys
         WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4 AND answered_at > $5",
    )
    .bind(key.user)
    .bind(key.method)
    .bind(key.path)
    .bind(&key.key)
    .bind(now - IDEMPOTENCY_LIFE)
    .fetch_optional(connection)
    .await?;
    if planted("keys-ignored") {
        return Ok(None);
    }
    found.map(Answered::try_from).transpose()
}

pub(super) async fn remember(
    tx: &mut Tx,
    key: &IdempotencyKey,
    body_hash: &[u8; 32],
    answer: &str,
    now: Millis,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO idempotency_keys (user_id, method, path, key, body_hash, answer, answered_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (user_id, method, path, key) DO UPDATE
         SET body_hash = excluded.body_hash, answer = excluded.answer, answered_at = excluded.answered_at",
    )
    .bind(key.user)
    .bind(key.method)
    .bind(key.path)
    .bind(&key.key)
    .bind(&body_hash[..])
    .bind(answer)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn note_device(tx: &mut Tx, user: UserId, device: &str, now: Millis) -> Result<()> {
    sqlx::query(
        "INSERT INTO devices (user_id, id, first_seen_at, last_seen_at) VALUES ($1, $2, $3, $3)
         ON CONFLICT (user_id, id) DO UPDATE SET last_seen_at = excluded.last_seen_at
         WHERE devices.last_seen_at < excluded.last_seen_at",
    )
    .bind(user)
    .bind(device)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

const PAST: [&str; 4] = [
    "DELETE FROM idempotency_keys WHERE (user_id, method, path, key) IN (
         SELECT user_id, method, path, key FROM idempotency_keys WHERE answered_at <= $1 LIMIT $2)",
    "DELETE FROM codes WHERE (user_id, purpose) IN (
         SELECT user_id, purpose FROM codes WHERE expires_at <= $1 LIMIT $2)",
    "DELETE FROM sessions WHERE id IN (
         SELECT id FROM sessions WHERE expires_at <= $1 OR ended_at <= $1 LIMIT $2)",
    "DELETE FROM refresh_tokens WHERE hash IN (
         SELECT hash FROM refresh_tokens WHERE names_session AND spent_at <= $1 LIMIT $2)",
];

impl This {
    /// Forgets what is past its time; how many rows went.
    pub(super) async fn forget(&self, now: Millis) -> Result<u64> {
        self.finish_ends().await?;
        self.tie_the_rest(None).await?;
        let mut forgotten = 0;
        for (sql, until) in PAST.into_iter().zip([now - IDEMPOTENCY_LIFE, now, now, now - SPENT_TOKEN_LIFE]) {
            forgotten += self.in_slices(sql, until).await?;
        }
        Ok(forgotten)
    }
}
