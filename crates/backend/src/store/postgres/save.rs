//! Saving a batch: one transaction, a handful of statements whatever the number of records.
//!
//! Order inside the transaction: the idempotency key, what is held, the decision, the version (which takes the user's
//! lock), the rows, the links, the answer under its key, commit.

use super::answers::{answered, commit, note_device, remember};
use super::rows::{held, link_waiting, raise, write};
use super::*;
use crate::store::decide::sort;
use heyho_records::fault::planted;
use sha2::{Digest as _, Sha256};

/// SQLSTATE: the lock was not had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Where a user's feed stands.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    pub version: i64,
    changes: i64,
    epoch: String,
}

/// What came of one attempt.
enum Attempt {
    Done(Saved),
    /// Somebody changed the user's records between the reading and the lock.
    Overtaken,
}

/// Whether the user's lock is taken before anything is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Locking {
    Late,
    First,
}

#[async_trait]
impl Records for PostgresStore {
    async fn answered(&self, key: &IdempotencyKey, now: Millis) -> Result<Option<Answered>> {
        let mut connection = self.pool.acquire().await?;
        answered(&mut connection, key, now).await
    }

    async fn save(&self, batch: Batch) -> Result<Saved> {
        match self.attempt(&batch, Locking::Late).await? {
            Attempt::Done(saved) => Ok(saved),
            Attempt::Overtaken => match self.attempt(&batch, Locking::First).await? {
                Attempt::Done(saved) => Ok(saved),
                Attempt::Overtaken => Err(StoreError::Damaged("a feed changed under its lock".into())),
            },
        }
    }

    async fn delete_records(&self, deletion: Deletion) -> Result<u64> {
        self.delete(&deletion).await
    }
}

impl PostgresStore {
    async fn attempt(&self, batch: &Batch, locking: Locking) -> Result<Attempt> {
        let mut tx = self.begin().await?;
        if let Some((key, body_hash)) = &batch.idempotency {
            if !self.turn(&mut tx, key).await? {
                return Ok(Attempt::Done(Saved::InProgress));
            }
            if let Some(before) = answered(&mut tx, key, batch.now).await? {
                return Ok(Attempt::Done(Saved::before(before, body_hash)));
            }
        }
        let seen = match locking {
            Locking::Late => read(&mut tx, batch.user).await?,
            Locking::First => lock(&mut tx, batch.user).await?,
        };
        let Some(mut feed) = seen else { return Ok(Attempt::Done(Saved::NoSuchUser)) };

        let visits = sort(&batch.visits, &held(&mut tx, batch.user, &batch.visits).await?);
        let aggregates = sort(&batch.aggregates, &held(&mut tx, batch.user, &batch.aggregates).await?);
        let writes = !(visits.write.is_empty() && aggregates.write.is_empty());
        let raises = !(visits.raise.is_empty() && aggregates.raise.is_empty());
        if writes || raises {
            let Some(now) = change(&mut tx, batch.user, writes).await? else {
                return Ok(Attempt::Done(Saved::NoSuchUser));
            };
            if now.changes != feed.changes + 1 {
                return Ok(Attempt::Overtaken);
            }
            feed = now;
            write(&mut tx, batch, feed.version, &visits.write).await?;
            link_waiting(&mut tx, batch.user, &visits.write).await?;
            write(&mut tx, batch, feed.version, &aggregates.write).await?;
            raise(&mut tx, batch.user, &visits.raise).await?;
            raise(&mut tx, batch.user, &aggregates.raise).await?;
        } else if !share(&mut tx, batch.user).await? {
            return Ok(Attempt::Done(Saved::NoSuchUser));
        }
        if let Some(device) = &batch.device {
            note_device(&mut tx, batch.user, device, batch.now).await?;
        }
        let body = answer(batch, feed.version, &feed.epoch);
        if let Some((key, body_hash)) = &batch.idempotency {
            remember(&mut tx, key, body_hash, &body, batch.now).await?;
        }
        commit(tx).await?;
        Ok(Attempt::Done(Saved::Now(body)))
    }

    /// Waits for a twin of this request on another node; false if it did not finish in time.
    async fn turn(&self, tx: &mut Tx, key: &IdempotencyKey) -> Result<bool> {
        let hash = Sha256::digest(format!("{}\0{}\0{}\0{}", key.user.0, key.method, key.path, key.key));
        let mut number = [0; 8];
        number.copy_from_slice(&hash[..8]);
        // nearly always there is no twin: one question
        let number = i64::from_be_bytes(number);
        let alone: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
            .bind(number)
            .fetch_one(&mut **tx)
            .await?;
        if alone {
            return Ok(true);
        }
        sqlx::query("SELECT set_config('lock_timeout', $1, true)")
            .bind(format!("{}ms", self.twin_wait.as_millis().max(1)))
            .execute(&mut **tx)
            .await?;
        let locked = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(number).execute(&mut **tx).await;
        match locked {
            Ok(_) => {
                sqlx::query("SELECT set_config('lock_timeout', '0', true)").execute(&mut **tx).await?;
                Ok(true)
            }
            Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some(LOCK_NOT_AVAILABLE) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

fn feed(row: Option<(i64, i64, String)>) -> Option<Feed> {
    row.map(|(version, changes, epoch)| Feed { version, changes, epoch })
}

async fn read(tx: &mut Tx, user: UserId) -> Result<Option<Feed>> {
    let row = sqlx::query_as("SELECT version, changes, epoch FROM feeds WHERE user_id = $1")
        .bind(user)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(feed(row))
}

pub(super) async fn lock(tx: &mut Tx, user: UserId) -> Result<Option<Feed>> {
    let row = sqlx::query_as("SELECT version, changes, epoch FROM feeds WHERE user_id = $1 FOR UPDATE")
        .bind(user)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(feed(row))
}

/// Keeps the user there until the commit, beside others who only do that; false if the user is gone.
async fn share(tx: &mut Tx, user: UserId) -> Result<bool> {
    let row = sqlx::query("SELECT 1 FROM feeds WHERE user_id = $1 FOR KEY SHARE")
        .bind(user)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.is_some())
}

/// Versions from a sequence that the test made: handed out in one order, visible in another.
const PLAIN_SEQUENCE: &str =
    "SELECT nextval('plain'), changes + 1, epoch FROM feeds WHERE user_id = $1 AND $2 >= 0";

/// Notes a change and holds the user's lock until the commit; None if the user is gone.
pub(super) async fn change(tx: &mut Tx, user: UserId, new_version: bool) -> Result<Option<Feed>> {
    let counted = "UPDATE feeds SET version = version + $2, changes = changes + 1 WHERE user_id = $1
                   RETURNING version, changes, epoch";
    let row = sqlx::query_as(if planted("plain-sequence") { PLAIN_SEQUENCE } else { counted })
        .bind(user)
        .bind(i64::from(new_version))
        .fetch_optional(&mut **tx)
        .await?;
    Ok(feed(row))
}
