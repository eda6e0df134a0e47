//! What goes to the backend, and what comes of it.
//!
//! At most one batch an account is in flight. It is persisted before it is sent, with its very bytes and its
//! key, and outlives the process; what happened to it is settled in one transaction. Rows of a batch stay
//! waiting all the while: only a confirmation of the same revision removes one.

use crate::accounts::AccountId;
use crate::append::{checksum_of, kind};
use crate::error::Result;
use crate::open::Buffer;
use crate::series::{self, Flow};
use crate::{DELIVERED_FOR_MS, TAB_VISIT_FOR_MS, anchor, state};
use heyho_records::Kind;
use heyho_records::reason::Reason;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

/// How much may be read for one batch. The bytes are of the records alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub page_visits: usize,
    pub tab_aggregates: usize,
    pub bytes: usize,
}

/// A row that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub seq: i64,
    pub revision: i64,
    pub kind: Kind,
    pub id: String,
    pub id_derived: bool,
    pub source: String,
    pub text: String,
    /// The visit an aggregate belongs to, as far as it is known by now.
    pub page_visit_id: Option<String>,
    /// How often the backend left it unconfirmed.
    pub attempts: u32,
    pub captured_at: i64,
    pub tab: Option<String>,
    /// When this life of the tab began, as far as it is known.
    pub life: Option<i64>,
    /// The visit to send along in baseline mode.
    pub anchor: Option<i64>,
    /// False: what is stored is not what was stored.
    pub intact: bool,
}

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

const CHUNK: usize = 200;

/// As the table `queue` has them.
const RECORD: i64 = 1;
const ANCHOR: i64 = 2;

const WAITING: &str = "SELECT r.seq, r.revision, r.kind, r.id, r.id_derived, s.name, r.text, r.checksum, \
     r.attempts, r.captured_at, CASE WHEN r.kind = 2 THEN (SELECT v.id FROM tab_visit v \
       WHERE v.source = r.source AND v.tab = r.tab AND v.visited_at BETWEEN r.start_time AND r.last_time \
       ORDER BY v.visited_at DESC LIMIT 1) END, r.tab, \
     CASE WHEN r.kind = 2 THEN r.start_time ELSE (SELECT max(l.start_time) FROM tab_life l \
       JOIN tab_visit v ON v.source = l.source AND v.tab = l.tab AND v.visited_at >= l.start_time \
       WHERE l.source = r.source AND l.tab = r.tab AND v.id = r.id) END, \
     CASE WHEN r.kind = 2 THEN (SELECT a.anchor FROM anchor a \
       WHERE a.source = r.source AND a.tab = r.tab AND a.visited_at BETWEEN r.start_time AND r.last_time \
       ORDER BY a.visited_at DESC LIMIT 1) END \
     FROM record r JOIN source s USING (source) ";

impl Buffer {
    /// The oldest rows of an account that may be sent now, in one order over both kinds.
    pub async fn oldest(
        &self,
        account: AccountId,
        limits: Limits,
        skip: &[i64],
        now: i64,
    ) -> Result<Vec<Waiting>> {
        let mut rows = Vec::new();
        for (kind, most) in
            [(Kind::PageVisit, limits.page_visits), (Kind::TabAggregate, limits.tab_aggregates)]
        {
            let mut query = QueryBuilder::<Sqlite>::new(WAITING);
            query.push("WHERE r.state = 1 AND r.account = ").push_bind(account.0);
            query.push(" AND r.kind = ").push_bind(kind.number());
            query.push(" AND r.held_until <= ").push_bind(now);
            if !skip.is_empty() {
                query.push(" AND r.seq NOT IN (");
                let mut list = query.separated(", ");
                for seq in skip {
                    list.push_bind(*seq);
                }
                query.push(")");
            }
            query.push(" ORDER BY r.seq LIMIT ").push_bind(most as i64);
            rows.append(&mut self.read_waiting(query, limits.bytes).await?);
        }
        rows.sort_by_key(|row| row.seq);
        Ok(rows)
    }

    /// Of these rows, the ones that still wait for this account, in the order of the queue.
    pub async fn waiting(&self, account: AccountId, seqs: &[i64]) -> Result<Vec<Waiting>> {
        let mut rows = Vec::new();
        for chunk in seqs.chunks(CHUNK) {
            let mut query = QueryBuilder::<Sqlite>::new(WAITING);
            query.push("WHERE r.state = 1 AND r.account = ").push_bind(account.0).push(" AND r.seq IN (");
            let mut list = query.separated(", ");
            for seq in chunk {
                list.push_bind(*seq);
            }
            query.push(") ORDER BY r.seq");
            rows.append(&mut self.read_waiting(query, usize::MAX).await?);
        }
        rows.sort_by_key(|row| row.seq);
        Ok(rows)
    }

    /// Reads until so many bytes are together; always at least one row.
    async fn read_waiting(&self, mut query: QueryBuilder<Sqlite>, bytes: usize) -> Result<Vec<Waiting>> {
        use futures_util::TryStreamExt;
        let mut connection = self.pool.acquire().await?;
        let mut stream = query.build().fetch(&mut *connection);
        let (mut rows, mut total) = (Vec::new(), 0usize);
        while let Some(row) = stream.try_next().await? {
            let row = read_row(&row)?;
            total = total.saturating_add(row.text.len());
            if total > bytes && !rows.is_empty() {
                break;
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// The batch of this account that was sent, or was about to be.
    pub async fn in_flight(&self, account: AccountId) -> Result<Option<Batch>> {
        let mut connection = self.pool.acquire().await?;
        let Some(row) = sqlx::query("SELECT batch, key, body FROM batch WHERE account = ?")
            .bind(account.0)
            .fetch_optional(&mut *connection)
            .await?
        else {
            return Ok(None);
        };
        let batch: i64 = row.try_get(0)?;
        let items = sqlx::query(
            "SELECT queue, seq, revision, kind FROM batch_item WHERE batch = ? ORDER BY position",
        )
        .bind(batch)
        .fetch_all(&mut *connection)
        .await?
        .iter()
        .map(|row| {
            let seq: i64 = row.try_get(1)?;
            Ok(BatchItem {
                seq: if row.try_get::<i64, _>(0)? == ANCHOR { -seq } else { seq },
                revision: row.try_get(2)?,
                kind: kind(row.try_get(3)?)?,
            })
        })
        .collect::<Result<_>>()?;
        Ok(Some(Batch { batch, key: row.try_get(1)?, body: row.try_get(2)?, items }))
    }

    /// How often each of these rows was left unconfirmed; rows that are gone are left out.
    pub async fn attempts(&self, seqs: &[i64]) -> Result<Vec<(i64, u32, String)>> {
        let mut found = Vec::new();
        for chunk in seqs.chunks(CHUNK) {
            let mut query =
                QueryBuilder::<Sqlite>::new("SELECT seq, attempts, id FROM record WHERE seq IN (");
            let mut list = query.separated(", ");
            for seq in chunk {
                list.push_bind(*seq);
            }
            query.push(")");
            for row in query.build().fetch_all(&self.pool).await? {
                found.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
            }
        }
        Ok(found)
    }

    /// Persists a batch before it is sent.
    pub async fn begin_batch(&self, account: AccountId, batch: &NewBatch, now: i64) -> Result<i64> {
        let mut tx = self.write().await?;
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO batch (account, key, body, made_at) VALUES (?, ?, ?, ?) RETURNING batch",
        )
        .bind(account.0)
        .bind(&batch.key)
        .bind(&batch.body)
        .bind(now)
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
        forget_old(&mut tx, now).await?;
        let confirmed = settlement.confirm.len() as u64;
        let flow = Flow { confirmed: confirmed as i64, failed: failed as i64, ..Flow::default() };
        series::add(&mut tx, now, flow).await?;
        tx.commit().await?;
        Ok((confirmed, failed))
    }
}

fn read_row(row: &SqliteRow) -> Result<Waiting> {
    // A flipped bit may leave no text at all: that must cost this row only.
    let bytes: Vec<u8> = row.try_get(6)?;
    let intact = row.try_get::<i64, _>(7)? == checksum_of(&bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Waiting {
        seq: row.try_get(0)?,
        revision: row.try_get(1)?,
        kind: kind(row.try_get(2)?)?,
        id: row.try_get(3)?,
        id_derived: row.try_get(4)?,
        source: row.try_get(5)?,
        intact,
        text,
        attempts: row.try_get(8)?,
        captured_at: row.try_get(9)?,
        page_visit_id: row.try_get(10)?,
        tab: row.try_get(11)?,
        life: row.try_get(12)?,
        anchor: row.try_get(13)?,
    })
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

async fn forget_old(tx: &mut SqliteConnection, now: i64) -> Result<()> {
    sqlx::query("DELETE FROM delivered WHERE at < ?").bind(now - DELIVERED_FOR_MS).execute(&mut *tx).await?;
    sqlx::query("DELETE FROM tab_visit WHERE noted_at < ?")
        .bind(now - TAB_VISIT_FOR_MS)
        .execute(&mut *tx)
        .await?;
    anchor::forget_old(tx, now).await
}
