//! The queue: rows that wait, oldest first, read for a batch. Every read ends before its caller does anything
//! else, and finds its place by an index, however long the queue is.

use crate::accounts::AccountId;
use crate::error::Result;
use crate::open::Buffer;
use crate::rows::{CHUNK, intact, kind};
use heyho_records::Kind;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};
use std::collections::{BTreeMap, BTreeSet};

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

/// `+`: a visit is found by its id, not among all those of its tab. What one account saw in a tab is never linked to,
/// or sent along with, what another one's aggregate says of the same tab.
const WAITING: &str = "SELECT r.seq, r.revision, r.kind, r.id, r.id_derived, s.name, r.text, r.checksum, \
     r.attempts, r.captured_at, CASE WHEN r.kind = 2 THEN (SELECT v.id FROM tab_visit v \
       WHERE v.source = r.source AND v.tab = r.tab AND v.visited_at BETWEEN r.start_time AND r.last_time \
         AND NOT EXISTS (SELECT 1 FROM record o WHERE o.source = v.source AND o.kind = 1 AND o.id = v.id \
           AND o.account <> r.account) \
         AND NOT EXISTS (SELECT 1 FROM delivered o WHERE o.source = v.source AND o.kind = 1 AND o.id = v.id \
           AND o.account <> r.account) \
         AND NOT EXISTS (SELECT 1 FROM anchor o WHERE o.source = v.source AND o.id = v.id \
           AND o.account <> r.account) \
       ORDER BY v.visited_at DESC LIMIT 1) END, r.tab, \
     CASE WHEN r.kind = 2 THEN r.start_time ELSE (SELECT max((SELECT max(l.start_time) FROM tab_life l \
         WHERE l.source = v.source AND l.tab = v.tab AND l.start_time <= v.visited_at)) \
       FROM tab_visit v WHERE v.source = r.source AND v.id = r.id AND +v.tab = r.tab) END, \
     CASE WHEN r.kind = 2 THEN (SELECT a.anchor FROM anchor a \
       WHERE a.source = r.source AND a.tab = r.tab AND a.account = r.account AND a.visited_at BETWEEN r.start_time AND r.last_time \
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
        let (mut rows, _) =
            self.oldest_of(Kind::PageVisit, account, limits.page_visits, limits.bytes, skip, now).await?;
        let (aggregates, _) = self
            .oldest_of(Kind::TabAggregate, account, limits.tab_aggregates, limits.bytes, skip, now)
            .await?;
        rows.extend(aggregates);
        rows.sort_by_key(|row| row.seq);
        Ok(rows)
    }

    /// The same, without the aggregates behind the first visit that was left out: none comes before its visit.
    pub async fn oldest_in_order(
        &self,
        account: AccountId,
        limits: Limits,
        skip: &[i64],
        now: i64,
    ) -> Result<Vec<Waiting>> {
        let (mut rows, cut) =
            self.oldest_of(Kind::PageVisit, account, limits.page_visits, limits.bytes, skip, now).await?;
        let last = if cut { rows.last().map_or(0, |row| row.seq) } else { i64::MAX };
        let (aggregates, _) = self
            .oldest_of(Kind::TabAggregate, account, limits.tab_aggregates, limits.bytes, skip, now)
            .await?;
        rows.extend(aggregates.into_iter().filter(|row| row.seq < last));
        rows.sort_by_key(|row| row.seq);
        Ok(rows)
    }

    /// `true`: there may be more of the kind.
    async fn oldest_of(
        &self,
        kind: Kind,
        account: AccountId,
        most: usize,
        bytes: usize,
        skip: &[i64],
        now: i64,
    ) -> Result<(Vec<Waiting>, bool)> {
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
        query.push(" ORDER BY r.seq LIMIT ").push(most);
        let (rows, cut) = self.read_waiting(query, bytes).await?;
        let full = rows.len() >= most;
        Ok((rows, cut || full))
    }

    /// Of these rows, the ones that still wait for this account, in the order of the queue.
    /// (`+`, here and below: what is asked for by number or id is not looked for among all that waits for the account.)
    pub async fn waiting(&self, account: AccountId, seqs: &[i64]) -> Result<Vec<Waiting>> {
        let mut rows = Vec::new();
        for chunk in seqs.chunks(CHUNK) {
            let mut query = QueryBuilder::<Sqlite>::new(WAITING);
            query.push("WHERE r.state = 1 AND +r.account = ").push_bind(account.0).push(" AND r.seq IN (");
            let mut list = query.separated(", ");
            for seq in chunk {
                list.push_bind(*seq);
            }
            query.push(") ORDER BY r.seq");
            rows.append(&mut self.read_waiting(query, usize::MAX).await?.0);
        }
        rows.sort_by_key(|row| row.seq);
        Ok(rows)
    }

    /// Of these rows those that may be sent now, in the order of the queue.
    pub async fn sendable(&self, account: AccountId, seqs: &[i64], now: i64) -> Result<Vec<Waiting>> {
        let mut rows = self.waiting(account, seqs).await?;
        if rows.is_empty() {
            return Ok(rows);
        }
        let mut query = QueryBuilder::<Sqlite>::new("SELECT seq FROM record WHERE held_until > ");
        query.push_bind(now).push(" AND seq IN (");
        let mut list = query.separated(", ");
        for row in &rows {
            list.push_bind(row.seq);
        }
        query.push(")");
        let held: Vec<i64> = query.build_query_scalar().fetch_all(&self.writer).await?;
        rows.retain(|row| !held.contains(&row.seq));
        Ok(rows)
    }

    /// Which of these visits (source and id) wait, held ones too; and under which number.
    pub async fn waiting_visits(
        &self,
        account: AccountId,
        visits: &BTreeSet<(String, String)>,
    ) -> Result<BTreeMap<(String, String), i64>> {
        let mut found = BTreeMap::new();
        let ids: Vec<&String> = visits.iter().map(|(_, id)| id).collect();
        for chunk in ids.chunks(CHUNK) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "SELECT s.name, r.id, r.seq FROM source s CROSS JOIN record r ON r.source = s.source AND r.kind = 1 \
                 WHERE r.state = 1 AND +r.account = ",
            );
            query.push_bind(account.0).push(" AND r.id IN (");
            let mut list = query.separated(", ");
            for id in chunk {
                list.push_bind(*id);
            }
            query.push(")");
            for row in query.build().fetch_all(&self.writer).await? {
                found.insert((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
            }
        }
        found.retain(|visit, _| visits.contains(visit));
        Ok(found)
    }

    /// Reads until so many bytes are together; always at least one row. `true`: there are more.
    async fn read_waiting(
        &self,
        mut query: QueryBuilder<Sqlite>,
        bytes: usize,
    ) -> Result<(Vec<Waiting>, bool)> {
        use futures_util::TryStreamExt;
        let mut connection = self.writer.acquire().await?;
        let mut stream = query.build().fetch(&mut *connection);
        let (mut rows, mut total) = (Vec::new(), 0usize);
        while let Some(row) = stream.try_next().await? {
            let row = read_row(&row)?;
            total = total.saturating_add(row.text.len());
            if total > bytes && !rows.is_empty() {
                return Ok((rows, true));
            }
            rows.push(row);
        }
        Ok((rows, false))
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
            for row in query.build().fetch_all(&self.writer).await? {
                found.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
            }
        }
        Ok(found)
    }
}

fn read_row(row: &SqliteRow) -> Result<Waiting> {
    // A flipped bit may leave no text at all: that must cost this row only.
    let bytes: Vec<u8> = row.try_get(6)?;
    let intact = intact(&bytes, row.try_get(7)?);
    let text =
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
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
