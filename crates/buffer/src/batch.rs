//! What goes to the backend, and what comes of it.
//!
//! At most one batch an account is in flight. It is persisted before it is sent, with its very bytes and its
//! key, and outlives the process; what happened to it is settled in one transaction. Rows of a batch stay
//! waiting all the while: only a confirmation of the same revision removes one.

use crate::accounts::{AccountId, set_meta};
use crate::error::{BufferError, Result};
use crate::open::Buffer;
use crate::rows::{CHUNK, fits, kind};
use crate::series::{self, Flow};
use crate::status::LAST_CONFIRMED;
use crate::{anchor, remembered, state, unfinished};
use heyho_records::Kind;
use heyho_records::fault::planted;
use heyho_records::reason::Reason;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

/// What stands in a request. A negative number is an anchor's: a visit that only goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchItem {
    pub seq: i64,
    pub revision: i64,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBatch {
    pub key: String,
    pub body: Vec<u8>,
    pub items: Vec<BatchItem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub batch: i64,
    pub key: String,
    pub body: Vec<u8>,
    /// In the order they stand in the request.
    pub items: Vec<BatchItem>,
    /// False: what is stored is not what was stored. It must not be sent, and nothing be settled by it: a flipped bit
    /// in the bytes would be confirmed in place of the record, one in a number would delete another record.
    pub intact: bool,
}

/// What an answer came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settlement {
    pub confirm: Vec<BatchItem>,
    pub set_aside: Vec<(BatchItem, Reason)>,
    /// Left unconfirmed once more.
    pub count: Vec<BatchItem>,
    /// Keep what is confirmed as anchors for aggregates that come later (baseline mode).
    pub keep_anchors: bool,
    pub forget_anchors: Vec<i64>,
    pub fate: Fate,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fate {
    /// The batch is over; what was neither confirmed nor set aside waits again in its old place.
    #[default]
    End,
    Keep,
    /// The same bytes under a new key.
    Rekey(String),
}

/// As the table `queue` has them.
const RECORD: i64 = 1;
const ANCHOR: i64 = 2;

impl Buffer {
    /// The batch of this account that was sent, or was about to be.
    pub async fn in_flight(&self, account: AccountId) -> Result<Option<Batch>> {
        let mut connection = self.writer.acquire().await?;
        let Some(row) = sqlx::query("SELECT batch, key, body, checksum FROM batch WHERE account = ?")
            .bind(account.0)
            .fetch_optional(&mut *connection)
            .await?
        else {
            return Ok(None);
        };
        let batch: i64 = row.try_get(0)?;
        let rows = sqlx::query(
            "SELECT queue, seq, revision, kind FROM batch_item WHERE batch = ? ORDER BY position",
        )
        .bind(batch)
        .fetch_all(&mut *connection)
        .await?;
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            let (seq, number): (i64, i64) = (row.try_get(1)?, row.try_get(3)?);
            // A kind that there is not is damage, which the checksum tells.
            let Ok(kind) = kind(number) else { continue };
            let seq = if row.try_get::<i64, _>(0)? == ANCHOR { -seq } else { seq };
            items.push(BatchItem { seq, revision: row.try_get(2)?, kind });
        }
        let body: Vec<u8> = row.try_get(2)?;
        // Without one: an older program made it.
        let stored: Option<i64> = row.try_get(3)?;
        let intact =
            items.len() == rows.len() && stored.is_none_or(|stored| fits(sum(&body, &items), stored));
        Ok(Some(Batch { batch, key: row.try_get(1)?, body, items, intact }))
    }

    /// Whether this batch is still to be sent: users may have deleted what is in it.
    pub async fn is_in_flight(&self, batch: i64) -> Result<bool> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM batch WHERE batch = ?")
            .bind(batch)
            .fetch_optional(&self.writer)
            .await?;
        Ok(found.is_some())
    }

    /// Persists a batch before it is sent. Not one of what has changed or was erased since it was read, and none while a
    /// site is half forgotten ([`BufferError::Changed`]).
    pub async fn begin_batch(&self, account: AccountId, batch: &NewBatch, now: i64) -> Result<i64> {
        let mut tx = self.write().await?;
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO batch (account, key, body, made_at, checksum) VALUES (?, ?, ?, ?, ?) RETURNING batch",
        )
        .bind(account.0)
        .bind(&batch.key)
        .bind(&batch.body)
        .bind(now)
        .bind(sum(&batch.body, &batch.items))
        .fetch_one(&mut *tx)
        .await?;
        let numbered: Vec<_> = batch.items.iter().enumerate().collect();
        for chunk in numbered.chunks(CHUNK) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "INSERT INTO batch_item (batch, position, queue, seq, revision, kind) ",
            );
            query.push_values(chunk, |mut values, (position, item)| {
                values
                    .push_bind(number)
                    .push_bind(*position as i64)
                    .push_bind(if item.seq < 0 { ANCHOR } else { RECORD })
                    .push_bind(item.seq.abs())
                    .push_bind(item.revision)
                    .push_bind(item.kind.number());
            });
            query.build().execute(&mut *tx).await?;
        }
        if !planted("sends-what-was-read") && !is_as_read(&mut tx, number).await? {
            return Err(BufferError::Changed);
        }
        tx.commit().await?;
        Ok(number)
    }

    /// Does all an answer came to, or none of it. Says how many rows were confirmed and set aside.
    pub async fn settle(&self, batch: Option<i64>, settlement: &Settlement, now: i64) -> Result<(u64, u64)> {
        let mut tx = self.write().await?;
        for chunk in settlement.confirm.chunks(CHUNK) {
            if settlement.keep_anchors {
                anchor::keep(&mut tx, chunk, now).await?;
            }
            confirm(&mut tx, chunk, now).await?;
        }
        let mut failed = 0;
        for (item, reason) in &settlement.set_aside {
            let done = sqlx::query(
                "UPDATE record SET state = ?, attempts = 0 WHERE seq = ? AND revision = ? AND state = ?",
            )
            .bind(state::FAILED)
            .bind(item.seq)
            .bind(item.revision)
            .bind(state::WAITING)
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if done > 0 {
                failed += 1;
                crate::failed::note(&mut tx, item.seq, reason, 1, now).await?;
            }
        }
        for item in &settlement.count {
            sqlx::query("UPDATE record SET attempts = attempts + 1 WHERE seq = ? AND revision = ?")
                .bind(item.seq)
                .bind(item.revision)
                .execute(&mut *tx)
                .await?;
        }
        match (&settlement.fate, batch) {
            (Fate::End, Some(batch)) => {
                sqlx::query("DELETE FROM batch WHERE batch = ?").bind(batch).execute(&mut *tx).await?;
            }
            (Fate::Rekey(key), Some(batch)) => {
                sqlx::query("UPDATE batch SET key = ? WHERE batch = ?")
                    .bind(key)
                    .bind(batch)
                    .execute(&mut *tx)
                    .await?;
            }
            (Fate::Keep, _) | (_, None) => {}
        }
        anchor::forget(&mut tx, &settlement.forget_anchors).await?;
        if !settlement.confirm.is_empty() {
            set_meta(&mut tx, LAST_CONFIRMED, &now.to_string()).await?;
        }
        remembered::forget_old(&mut tx, now).await?;
        let confirmed = settlement.confirm.len() as u64;
        let flow = Flow { confirmed: confirmed as i64, failed: failed as i64, ..Flow::default() };
        series::add(&mut tx, now, flow).await?;
        tx.commit().await?;
        Ok((confirmed, failed))
    }
}

/// Whether all that is in it still is what was read, and no site is half forgotten.
async fn is_as_read(tx: &mut SqliteConnection, batch: i64) -> Result<bool> {
    const OTHERWISE: &str = "SELECT EXISTS (SELECT 1 FROM batch_item i WHERE i.batch = ? AND NOT CASE i.queue \
         WHEN 1 THEN EXISTS (SELECT 1 FROM record r WHERE r.seq = i.seq AND r.revision = i.revision AND r.state = 1) \
         ELSE EXISTS (SELECT 1 FROM anchor a WHERE a.anchor = i.seq) END)";
    let otherwise: bool = sqlx::query_scalar(OTHERWISE).bind(batch).fetch_one(&mut *tx).await?;
    Ok(!otherwise && !unfinished::is_owed(tx).await?)
}

/// All that a settlement goes by, for the checksum: the bytes, and which row each record in them is.
fn sum(body: &[u8], items: &[BatchItem]) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(body);
    for item in items {
        for number in [item.seq, item.revision, item.kind.number()] {
            sum.update(&number.to_le_bytes());
        }
    }
    i64::from(sum.finalize())
}

/// Removes rows by number **and** revision, remembering their content.
async fn confirm(tx: &mut SqliteConnection, items: &[BatchItem], now: i64) -> Result<()> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT OR REPLACE INTO delivered (source, kind, id, digest, revision, account, at) \
         SELECT source, kind, id, digest, revision, account, ",
    );
    query.push_bind(now).push(" FROM record WHERE account IS NOT NULL AND (seq, revision) IN ");
    query.push_tuples(items, |mut tuple, item| {
        tuple.push_bind(item.seq).push_bind(item.revision);
    });
    query.build().execute(&mut *tx).await?;
    let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM record WHERE (seq, revision) IN ");
    query.push_tuples(items, |mut tuple, item| {
        tuple.push_bind(item.seq).push_bind(item.revision);
    });
    query.build().execute(&mut *tx).await?;
    Ok(())
}
