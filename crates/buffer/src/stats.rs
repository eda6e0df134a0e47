//! How much there is of what: read from counters, never by counting rows. And the history of runs.

use crate::accounts::AccountId;
use crate::error::Result;
use crate::open::Buffer;
use crate::state;
use heyho_records::Kind;
use heyho_records::fault::planted;
use sqlx::{Row, SqliteConnection, SqlitePool};

const RUNS_KEPT: i64 = 1_000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub records: u64,
    pub bytes: u64,
}

/// Everything the status says about the buffer, as of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub page_visits: Counts,
    pub tab_aggregates: Counts,
    /// Of these, held back before sending.
    pub held: u64,
    pub oldest_at: Option<i64>,
    /// Set aside, of all accounts: nothing is hidden because somebody else is signed in.
    pub failed: u64,
    pub failed_kept: u64,
    pub unclaimed: u64,
    pub others: Vec<Other>,
}

impl Totals {
    pub fn waiting(&self) -> u64 {
        self.page_visits.records + self.tab_aggregates.records
    }
}

/// What is kept here for an account that is not signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    pub r#ref: String,
    pub email: String,
    pub backend: String,
    pub waiting: u64,
    pub failed: u64,
    /// Of these, kept quietly.
    pub failed_kept: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSeen {
    pub name: String,
    pub browser: String,
    pub profile_id: String,
    /// As the host writes it: name, version and browser's version, U+001F between them.
    pub client: String,
    pub seen_at: i64,
}

/// A run of the sync loop, as the history keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    pub started_at: i64,
    pub ended_at: Option<i64>,
    pub batches: u64,
    pub sent: u64,
    pub failed: u64,
    pub outcome: String,
    pub why: Option<String>,
}

impl Buffer {
    /// What waits for this account, and what else there is. Without one, what waits is unclaimed, or others'.
    pub async fn totals(&self, account: Option<AccountId>, now: i64) -> Result<Totals> {
        self.totals_by(&self.pool, account, now).await
    }

    /// The same, asked with each batch by whoever makes them.
    pub async fn totals_meanwhile(&self, account: Option<AccountId>, now: i64) -> Result<Totals> {
        self.totals_by(&self.writer, account, now).await
    }

    async fn totals_by(&self, pool: &SqlitePool, account: Option<AccountId>, now: i64) -> Result<Totals> {
        let mut tx = pool.begin().await?;
        // No account has this number: without one nothing is its own.
        let own = account.map_or(-1, |a| a.0);
        let mut totals = Totals::default();
        let rows = sqlx::query(
            "SELECT c.account, c.kind, c.state, c.n, c.bytes, a.email, a.backend, a.ref FROM counter c \
             LEFT JOIN account a ON a.account = c.account WHERE c.n > 0 ORDER BY c.account",
        )
        .fetch_all(&mut *tx)
        .await?;
        for row in &rows {
            // A later version's records are its own affair.
            if Kind::from_number(row.try_get(1)?).is_none() {
                continue;
            }
            let of: i64 = row.try_get(0)?;
            let n = row.try_get::<i64, _>(3)?.max(0) as u64;
            let counts = Counts { records: n, bytes: row.try_get::<i64, _>(4)?.max(0) as u64 };
            let state: i64 = row.try_get(2)?;
            let waiting = state == state::WAITING;
            match state {
                state::WAITING if of == own && row.try_get::<i64, _>(1)? == Kind::PageVisit.number() => {
                    totals.page_visits = counts;
                }
                state::WAITING if of == own => totals.tab_aggregates = counts,
                state::FAILED_KEPT => {
                    totals.failed += n;
                    totals.failed_kept += n;
                }
                state::FAILED => totals.failed += n,
                _ => {}
            }
            if of == 0 && waiting {
                totals.unclaimed += n;
            }
            let failed = matches!(state, state::FAILED | state::FAILED_KEPT);
            if of != 0 && of != own && (waiting || failed) {
                let (email, backend, r#ref): (String, String, String) =
                    (row.try_get(5)?, row.try_get(6)?, row.try_get(7)?);
                let known = totals.others.iter().position(|o| o.r#ref == r#ref);
                let at = known.unwrap_or_else(|| {
                    totals.others.push(Other {
                        r#ref,
                        email,
                        backend,
                        waiting: 0,
                        failed: 0,
                        failed_kept: 0,
                    });
                    totals.others.len() - 1
                });
                if let Some(other) = totals.others.get_mut(at) {
                    if waiting {
                        other.waiting += n;
                    } else {
                        other.failed += n;
                        other.failed_kept += if state == state::FAILED_KEPT { n } else { 0 };
                    }
                }
            }
        }
        let Some(account) = account else { return Ok(totals) };
        for kind in Kind::ALL {
            let oldest: Option<i64> = sqlx::query_scalar(
                "SELECT captured_at FROM record WHERE state = 1 AND account = ? AND kind = ? \
                 ORDER BY seq LIMIT 1",
            )
            .bind(account.0)
            .bind(kind.number())
            .fetch_optional(&mut *tx)
            .await?;
            totals.oldest_at = [totals.oldest_at, oldest].into_iter().flatten().min();
        }
        totals.held = held(&mut tx, account, now).await?;
        Ok(totals)
    }

    /// Those seen last come first.
    pub async fn sources(&self) -> Result<Vec<SourceSeen>> {
        let rows = sqlx::query(
            "SELECT name, browser, profile_id, client, seen_at FROM source ORDER BY seen_at DESC",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(SourceSeen {
                    name: row.try_get(0)?,
                    browser: row.try_get(1)?,
                    profile_id: row.try_get(2)?,
                    client: row.try_get(3)?,
                    seen_at: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// Adds a finished run to the history.
    pub async fn add_run(&self, account: AccountId, run: &RunRecord) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO run (account, started_at, ended_at, batches, sent, failed, outcome, why) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(account.0)
        .bind(run.started_at)
        .bind(run.ended_at)
        .bind(run.batches as i64)
        .bind(run.sent as i64)
        .bind(run.failed as i64)
        .bind(&run.outcome)
        .bind(&run.why)
        .execute(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM run WHERE run <= (SELECT max(run) FROM run) - ?")
            .bind(RUNS_KEPT)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The last runs of an account, newest first.
    pub async fn runs(&self, account: AccountId, limit: u32) -> Result<Vec<RunRecord>> {
        let rows = sqlx::query(
            "SELECT started_at, ended_at, batches, sent, failed, outcome, why FROM run \
             WHERE account = ? ORDER BY run DESC LIMIT ?",
        )
        .bind(account.0)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(RunRecord {
                    started_at: row.try_get(0)?,
                    ended_at: row.try_get(1)?,
                    batches: row.try_get::<i64, _>(2)? as u64,
                    sent: row.try_get::<i64, _>(3)? as u64,
                    failed: row.try_get::<i64, _>(4)? as u64,
                    outcome: row.try_get(5)?,
                    why: row.try_get(6)?,
                })
            })
            .collect()
    }
}

/// From the index `record_held`: rows that were never held are not in it.
async fn held(tx: &mut SqliteConnection, account: AccountId, now: i64) -> Result<u64> {
    let sql = if planted("scans-for-held") {
        "SELECT count(*) FROM record WHERE state = 1 AND account = ? AND held_until > ? \
         AND kind IN (1, 2)"
    } else {
        "SELECT count(*) FROM record WHERE state = 1 AND held_until > 0 AND account = ? AND held_until > ? \
         AND kind IN (1, 2)"
    };
    let held: i64 = sqlx::query_scalar(sql).bind(account.0).bind(now).fetch_one(tx).await?;
    Ok(held as u64)
}
