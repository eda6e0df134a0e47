//! Deletion of records: rows out, tombstones in, one version for all of it.
//!
//! What goes is first marked in two temporary tables, so that the tombstones and the deletion speak of the same rows.

use super::save::next_version;
use super::*;
use crate::store::columns::Table as _;
use crate::store::rows::{AggregateColumns, VisitColumns};
use heyho_records::Kind;
use sqlx::AssertSqlSafe;

impl SqliteStore {
    pub(super) async fn delete(&self, deletion: Deletion) -> Result<u64> {
        let mut tx = self.begin().await?;
        for sql in [
            "CREATE TEMP TABLE IF NOT EXISTS gone_visits (row_id INTEGER PRIMARY KEY) STRICT",
            "CREATE TEMP TABLE IF NOT EXISTS gone_aggregates (row_id INTEGER PRIMARY KEY) STRICT",
            "DELETE FROM gone_visits",
            "DELETE FROM gone_aggregates",
        ] {
            sqlx::query(sql).execute(&mut *tx).await?;
        }
        let marked = match &deletion.selection {
            Selection::Domain(domain) => mark_domain(&mut tx, deletion.user, domain).await?,
            Selection::Between { from, to } => mark_between(&mut tx, deletion.user, *from, *to).await?,
        };
        let marked = marked + mark_aggregates_of_gone_visits(&mut tx).await?;
        if marked == 0 {
            return Ok(0);
        }
        let version = next_version(&mut tx, deletion.user).await?;
        for (kind, table, gone) in [
            (Kind::PageVisit, VisitColumns::NAME, "gone_visits"),
            (Kind::TabAggregate, AggregateColumns::NAME, "gone_aggregates"),
        ] {
            let leave = format!(
                "INSERT INTO tombstones (user_id, kind, source, id, version, device_id, captured_at, received_at,
                                         deleted_at, checksum, checksum_algorithm)
                 SELECT user_id, $1, source, id, $2, $3, captured_at, received_at, $4, checksum, checksum_algorithm
                 FROM {table} WHERE row_id IN (SELECT row_id FROM {gone})"
            );
            sqlx::query(AssertSqlSafe(leave))
                .bind(kind.number())
                .bind(version)
                .bind(&deletion.device)
                .bind(deletion.now)
                .execute(&mut *tx)
                .await?;
            let delete = format!("DELETE FROM {table} WHERE row_id IN (SELECT row_id FROM {gone})");
            sqlx::query(AssertSqlSafe(delete)).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(marked)
    }
}

async fn mark_domain(tx: &mut Tx, user: UserId, domain: &str) -> Result<u64> {
    let mut marked = 0;
    for sql in [
        "INSERT INTO gone_visits SELECT row_id FROM page_visits
         WHERE user_id = ?1 AND (host = ?2 OR substr(host, -length(?2) - 1) = '.' || ?2)",
        "INSERT INTO gone_aggregates SELECT row_id FROM tab_aggregates
         WHERE user_id = ?1 AND EXISTS (SELECT 1 FROM json_each(domains) AS d
                                        WHERE d.value = ?2 OR substr(d.value, -length(?2) - 1) = '.' || ?2)",
    ] {
        marked += sqlx::query(sql).bind(user).bind(domain).execute(&mut **tx).await?.rows_affected();
    }
    Ok(marked)
}

async fn mark_between(tx: &mut Tx, user: UserId, from: Millis, to: Millis) -> Result<u64> {
    let mut marked = 0;
    for sql in [
        "INSERT INTO gone_visits SELECT row_id FROM page_visits
         WHERE user_id = ?1 AND visited_at >= ?2 AND visited_at < ?3",
        "INSERT INTO gone_aggregates SELECT row_id FROM tab_aggregates
         WHERE user_id = ?1 AND started_at < ?3 AND max(started_at, coalesce(last_active_at, started_at)) >= ?2",
    ] {
        marked += sqlx::query(sql).bind(user).bind(from).bind(to).execute(&mut **tx).await?.rows_affected();
    }
    Ok(marked)
}

async fn mark_aggregates_of_gone_visits(tx: &mut Tx) -> Result<u64> {
    let marked = sqlx::query(
        "INSERT OR IGNORE INTO gone_aggregates SELECT row_id FROM tab_aggregates
         WHERE page_visit_row IN (SELECT row_id FROM gone_visits)",
    )
    .execute(&mut **tx)
    .await?;
    Ok(marked.rows_affected())
}
