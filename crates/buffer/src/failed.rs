//! The records that were set aside: looked at, retried, discarded, kept quietly. Those of a kind or in a state that only
//! a later version knows are none of them.

use crate::accounts::own;
use crate::error::{BufferError, Result};
use crate::known::REJECTED_AT_CAPTURE;
use crate::open::Buffer;
use crate::rows::{kind, lossy};
use crate::state;
use heyho_records::Kind;
use heyho_records::reason::Reason;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

/// A record that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub seq: i64,
    pub kind: Kind,
    pub id: String,
    pub text: String,
    pub reason: Reason,
    pub first_at: i64,
    pub last_at: i64,
    pub attempts: u32,
    pub kept: bool,
    pub email: Option<String>,
    /// Of the account that is signed in: an e-mail address may be known at two backends.
    pub own: bool,
}

/// Which ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailedQuery {
    Numbers(Vec<i64>),
    Reason(String),
    All,
}

impl FailedQuery {
    fn push(&self, query: &mut QueryBuilder<Sqlite>) {
        match self {
            FailedQuery::All => {}
            FailedQuery::Reason(code) => {
                query
                    .push(" AND seq IN (SELECT seq FROM failure WHERE queue = 1 AND code = ")
                    .push_bind(code.clone())
                    .push(")");
            }
            FailedQuery::Numbers(numbers) => {
                // As one value: SQLite takes only so many in a statement, and people select as many as there are.
                let list = format!("{numbers:?}");
                query.push(" AND seq IN (SELECT value FROM json_each(").push_bind(list).push("))");
            }
        }
    }
}

/// `CROSS`: by the reasons, which are in the order of the numbers, or of one code in that order. The other way round
/// all that failed would be sorted for each page.
const FAILED: &str = concat!(
    "SELECT r.seq, r.kind, CAST(r.id AS BLOB), CAST(r.text AS BLOB), CAST(f.reason AS BLOB), f.first_at, f.last_at, \
     f.attempts, r.state, a.email, ",
    own!(),
    " FROM failure f CROSS JOIN record r ON r.seq = f.seq LEFT JOIN account a ON a.account = r.account \
     WHERE f.queue = 1 AND r.state > 1 AND r.state <= 3 AND r.kind IN (1, 2)",
);

impl Buffer {
    /// A page of them, in the order of their numbers.
    pub async fn failed(&self, after: i64, limit: u32, reason: Option<&str>) -> Result<Vec<Failed>> {
        let mut query = QueryBuilder::<Sqlite>::new(FAILED);
        query.push(" AND f.seq > ").push_bind(after);
        if let Some(code) = reason {
            query.push(" AND f.code = ").push_bind(code);
        }
        query.push(" ORDER BY f.seq LIMIT ").push_bind(i64::from(limit));
        query.build().fetch_all(&self.pool).await?.iter().map(read_failed).collect()
    }

    /// Of all of them, in the order of their numbers: the number, and when it failed last.
    pub async fn failed_marks(&self, reason: Option<&str>) -> Result<Vec<(i64, i64)>> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT f.seq, f.last_at FROM failure f CROSS JOIN record r ON r.seq = f.seq \
             WHERE f.queue = 1 AND r.state > 1 AND r.state <= 3 AND r.kind IN (1, 2)",
        );
        if let Some(code) = reason {
            query.push(" AND f.code = ").push_bind(code);
        }
        query.push(" ORDER BY f.seq");
        Ok(query.build_query_as().fetch_all(&self.pool).await?)
    }

    pub async fn failed_one(&self, seq: i64) -> Result<Option<Failed>> {
        let mut query = QueryBuilder::<Sqlite>::new(FAILED);
        query.push(" AND f.seq = ").push_bind(seq);
        query.build().fetch_optional(&self.pool).await?.as_ref().map(read_failed).transpose()
    }

    /// How many there are for each reason.
    pub async fn failed_by_reason(&self) -> Result<Vec<(String, u64)>> {
        let rows = sqlx::query(
            "SELECT f.code, count(*) FROM failure f JOIN record r ON r.seq = f.seq \
             WHERE f.queue = 1 AND r.state > 1 AND r.state <= 3 AND r.kind IN (1, 2) GROUP BY f.code ORDER BY f.code",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? as u64))).collect()
    }

    /// They wait again, at the end of the queue, but for those that were never accepted here. Why they failed is remembered until they are confirmed.
    pub async fn retry_failed(&self, which: &FailedQuery) -> Result<u64> {
        let mut tx = self.write_unowed().await?;
        // What broke a rule of the companion itself would break it at the backend too, and what is kept of a
        // record that was too large is not the record.
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT seq FROM record WHERE state > 1 AND state <= 3 AND kind IN (1, 2) AND NOT EXISTS (SELECT 1 FROM failure f \
             WHERE f.queue = 1 AND f.seq = record.seq AND f.code = ",
        );
        query.push_bind(REJECTED_AT_CAPTURE).push(")");
        which.push(&mut query);
        query.push(" ORDER BY seq");
        let seqs: Vec<i64> = query
            .build()
            .fetch_all(&mut *tx)
            .await?
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        for seq in &seqs {
            let end: i64 = sqlx::query_scalar(
                "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'record' RETURNING seq",
            )
            .fetch_one(&mut *tx)
            .await?;
            sqlx::query("UPDATE record SET seq = ?, state = ?, attempts = 0, held_until = 0 WHERE seq = ?")
                .bind(end)
                .bind(state::WAITING)
                .bind(seq)
                .execute(&mut *tx)
                .await?;
            sqlx::query("UPDATE failure SET seq = ? WHERE queue = 1 AND seq = ?")
                .bind(end)
                .bind(seq)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(seqs.len() as u64)
    }

    /// Gone for good, wherever else it is kept: the caller has asked the user. What is left of chosen ones in pages and in
    /// the log is owed; of all of them it is removed at once.
    pub async fn discard_failed(&self, which: &FailedQuery) -> Result<u64> {
        let mut query =
            QueryBuilder::<Sqlite>::new("SELECT seq FROM record WHERE state > 1 AND kind IN (1, 2)");
        which.push(&mut query);
        let numbers: Vec<i64> = query.build_query_scalar().fetch_all(&self.pool).await?;
        let failed = self.erase_chosen(&numbers, &[state::FAILED, state::FAILED_KEPT]).await?;
        if matches!(which, FailedQuery::All) {
            self.traces_removed().await;
        }
        Ok(failed)
    }

    /// They stay, and ask for no attention any more.
    pub async fn keep_failed(&self, which: &FailedQuery) -> Result<u64> {
        let mut query = QueryBuilder::<Sqlite>::new("UPDATE record SET state = ");
        query.push_bind(state::FAILED_KEPT).push(" WHERE state = ").push_bind(state::FAILED);
        which.push(&mut query);
        self.change(query).await
    }

    async fn change(&self, mut query: QueryBuilder<Sqlite>) -> Result<u64> {
        let mut tx = self.write().await?;
        let count = query.build().execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(count)
    }
}

/// Writes down why a record is set aside; a second failure counts on from the first.
pub(crate) async fn note(
    tx: &mut SqliteConnection,
    seq: i64,
    reason: &Reason,
    attempts: u32,
    now: i64,
) -> Result<()> {
    let json = serde_json::to_string(reason).map_err(|e| BufferError::Unavailable(e.to_string()))?;
    sqlx::query(
        "INSERT INTO failure (queue, seq, code, reason, first_at, last_at, attempts) \
         VALUES (1, ?1, ?2, ?3, ?4, ?4, ?5) ON CONFLICT DO UPDATE SET code = excluded.code, \
         reason = excluded.reason, last_at = excluded.last_at, attempts = attempts + excluded.attempts",
    )
    .bind(seq)
    .bind(reason.code())
    .bind(json)
    .bind(now)
    .bind(attempts)
    .execute(tx)
    .await?;
    Ok(())
}

fn read_failed(row: &SqliteRow) -> Result<Failed> {
    let reason = lossy(row, 4)?;
    Ok(Failed {
        seq: row.try_get(0)?,
        kind: kind(row.try_get(1)?)?,
        id: lossy(row, 2)?,
        text: lossy(row, 3)?,
        // A reason written by a later version is shown as what it is, rather than hiding the record.
        reason: serde_json::from_str(&reason).unwrap_or(Reason::RejectedByBackend {
            field: None,
            message: reason,
            status: None,
        }),
        first_at: row.try_get(5)?,
        last_at: row.try_get(6)?,
        attempts: row.try_get(7)?,
        kept: row.try_get::<i64, _>(8)? == state::FAILED_KEPT,
        email: row.try_get(9)?,
        own: row.try_get::<i64, _>(10)? != 0,
    })
}
