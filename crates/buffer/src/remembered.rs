//! What is remembered of records beside them: digests of deliveries, which visit a tab was on, when a tab's life began,
//! anchors.
//!
//! There is a limit to how much of it goes in one transaction: each row may stand on a page of its own in the table and
//! on another in an index, all of these go through the log, and on a full disk that has to fit into what the ballast took.
//! A hundred thousand deliveries do not.

use crate::error::Result;
use crate::open::Buffer;
use crate::{DELIVERED_FOR_MS, TAB_VISIT_FOR_MS};
use heyho_records::fault::planted;
use sqlx::{AssertSqlSafe, SqliteConnection};

const AT_ONCE: u64 = 500;

struct Table {
    name: &'static str,
    key: &'static str,
    noted: &'static str,
    kept_for: i64,
}

const DELIVERED: Table =
    Table { name: "delivered", key: "source, kind, id", noted: "at", kept_for: DELIVERED_FOR_MS };
const OTHERS: [Table; 3] = [
    Table {
        name: "tab_visit",
        key: "source, tab, visited_at, id",
        noted: "noted_at",
        kept_for: TAB_VISIT_FOR_MS,
    },
    Table { name: "tab_life", key: "source, tab, start_time", noted: "noted_at", kept_for: TAB_VISIT_FOR_MS },
    Table { name: "anchor", key: "anchor", noted: "kept_at", kept_for: TAB_VISIT_FOR_MS },
];

/// A link to a visit that is not here.
const UNFOUNDED: &str = "NOT EXISTS (SELECT 1 FROM record r WHERE r.source = tab_visit.source \
     AND r.kind = 1 AND r.id = tab_visit.id) AND NOT EXISTS (SELECT 1 FROM anchor a \
     WHERE a.source = tab_visit.source AND a.id = tab_visit.id)";

impl Buffer {
    /// What is older than it is needed, to the end.
    pub async fn forget_expired(&self, now: i64) -> Result<()> {
        loop {
            let mut tx = self.write().await?;
            let forgotten = forget_old(&mut tx, now).await?;
            tx.commit().await?;
            if forgotten == 0 {
                return self.forget_sources(now).await;
            }
        }
    }

    /// Before the last transaction of an erasure, which deletes what came meanwhile ([`forget_traces`]).
    pub(crate) async fn forget_remembered(&self, everything: bool) -> Result<()> {
        let others = if everything { &OTHERS[..] } else { &[] };
        let delivered = Some(&DELIVERED).filter(|_| !planted("digests-kept"));
        for Table { name, key, .. } in delivered.into_iter().chain(others) {
            let delete =
                format!("DELETE FROM {name} WHERE ({key}) IN (SELECT {key} FROM {name} LIMIT {AT_ONCE})");
            while self.deleted(&delete).await? > 0 {}
        }
        if everything {
            return Ok(());
        }
        self.forget_unfounded().await
    }

    /// Along the key, so that what stays is looked at once.
    async fn forget_unfounded(&self) -> Result<()> {
        const KEY: &str = "(source, tab, visited_at, id)";
        type Key = (i64, Vec<u8>, i64, Vec<u8>);
        let (mut after, blank): (Key, Vec<u8>) = ((i64::MIN, Vec::new(), i64::MIN, Vec::new()), Vec::new());
        loop {
            // As bytes: what is damaged may be no text.
            let next = format!(
                "SELECT source, CAST(tab AS BLOB), visited_at, CAST(id AS BLOB) FROM tab_visit \
                 WHERE {KEY} > (?, CAST(? AS TEXT), ?, CAST(? AS TEXT)) AND {UNFOUNDED} \
                 ORDER BY source, tab, visited_at, id LIMIT 1 OFFSET {AT_ONCE}"
            );
            let next =
                sqlx::query_as(AssertSqlSafe(next)).bind(after.0).bind(&after.1).bind(after.2).bind(&after.3);
            let next: Option<Key> = next.fetch_optional(&self.pool).await?;
            let end = next.clone().unwrap_or((i64::MAX, blank.clone(), 0, blank.clone()));
            let delete = format!(
                "DELETE FROM tab_visit WHERE {KEY} > (?, CAST(? AS TEXT), ?, CAST(? AS TEXT)) \
                 AND {KEY} <= (?, CAST(? AS TEXT), ?, CAST(? AS TEXT)) AND {UNFOUNDED}"
            );
            let mut tx = self.write().await?;
            let mut query = sqlx::query(AssertSqlSafe(delete));
            for key in [&after, &end] {
                query = query.bind(key.0).bind(&key.1).bind(key.2).bind(&key.3);
            }
            query.execute(&mut *tx).await?;
            tx.commit().await?;
            let Some(next) = next else { return Ok(()) };
            after = next;
        }
    }

    async fn deleted(&self, statement: &str) -> Result<u64> {
        let mut tx = self.write().await?;
        let deleted =
            sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(deleted)
    }
}

/// What does not say whose or of where it is: batches, digests, and links to visits that are not here.
pub(crate) async fn forget_traces(tx: &mut SqliteConnection) -> Result<()> {
    sqlx::query("DELETE FROM batch").execute(&mut *tx).await?;
    let links = format!("DELETE FROM tab_visit WHERE {UNFOUNDED}");
    sqlx::query(AssertSqlSafe(links)).execute(&mut *tx).await?;
    if !planted("digests-kept") {
        sqlx::query("DELETE FROM delivered").execute(tx).await?;
    }
    Ok(())
}

/// With each settlement: more than a batch adds, so that it keeps up.
pub(crate) async fn forget_old(tx: &mut SqliteConnection, now: i64) -> Result<u64> {
    let mut forgotten = 0;
    for Table { name, key, noted, kept_for } in [&DELIVERED].into_iter().chain(&OTHERS) {
        let delete = format!(
            "DELETE FROM {name} WHERE ({key}) IN \
             (SELECT {key} FROM {name} WHERE {noted} < ? ORDER BY {noted} LIMIT {AT_ONCE})"
        );
        let delete = sqlx::query(AssertSqlSafe(delete)).bind(now.saturating_sub(*kept_for));
        forgotten += delete.execute(&mut *tx).await?.rows_affected();
    }
    Ok(forgotten)
}
