//! Deletion of records: rows out, tombstones in, one version for all of it.
//!
//! The user's lock is taken first, so nothing is added between the tombstones and the deletion.

use super::save::{change, lock};
use super::*;
use crate::store::columns::Table as _;
use crate::store::rows::{AggregateColumns, VisitColumns};
use heyho_records::Kind;
use sqlx::AssertSqlSafe;

impl PostgresStore {
    pub(super) async fn delete(&self, deletion: Deletion) -> Result<u64> {
        let mut tx = self.begin().await?;
        if lock(&mut tx, deletion.user).await?.is_none() {
            return Ok(0);
        }
        let visits = marked_visits(&mut tx, &deletion).await?;
        let aggregates = marked_aggregates(&mut tx, &deletion, &visits).await?;
        if visits.is_empty() && aggregates.is_empty() {
            return Ok(0);
        }
        let Some(changed) = change(&mut tx, deletion.user, true).await? else { return Ok(0) };
        // aggregates first: deleting a visit would rewrite those that point to it
        for (kind, table, rows) in [
            (Kind::TabAggregate, AggregateColumns::NAME, &aggregates),
            (Kind::PageVisit, VisitColumns::NAME, &visits),
        ] {
            let move_over = format!(
                "WITH gone AS (DELETE FROM {table} WHERE row_id = ANY($1) RETURNING *)
                 INSERT INTO tombstones (user_id, kind, source, id, version, device_id, captured_at, received_at,
                                         deleted_at, checksum, checksum_algorithm)
                 SELECT user_id, $2, source, id, $3, $4, captured_at, received_at, $5, checksum,
                        checksum_algorithm FROM gone"
            );
            sqlx::query(AssertSqlSafe(move_over))
                .bind(rows)
                .bind(kind.number())
                .bind(changed.version)
                .bind(&deletion.device)
                .bind(deletion.now)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok((visits.len() + aggregates.len()) as u64)
    }
}

async fn marked_visits(tx: &mut Tx, deletion: &Deletion) -> Result<Vec<i64>> {
    let query = match &deletion.selection {
        Selection::Domain(domain) => sqlx::query_scalar(
            "SELECT row_id FROM page_visits
             WHERE user_id = $1 AND (host = $2 OR right(host, length($2) + 1) = '.' || $2)",
        )
        .bind(deletion.user)
        .bind(domain),
        Selection::Between { from, to } => sqlx::query_scalar(
            "SELECT row_id FROM page_visits WHERE user_id = $1 AND visited_at >= $2 AND visited_at < $3",
        )
        .bind(deletion.user)
        .bind(from)
        .bind(to),
    };
    Ok(query.fetch_all(&mut **tx).await?)
}

async fn marked_aggregates(tx: &mut Tx, deletion: &Deletion, visits: &[i64]) -> Result<Vec<i64>> {
    let query = match &deletion.selection {
        Selection::Domain(domain) => sqlx::query_scalar(
            "SELECT row_id FROM tab_aggregates
             WHERE user_id = $1 AND (page_visit_row = ANY($2) OR EXISTS (
                 SELECT 1 FROM jsonb_array_elements_text(domains::jsonb) AS d WHERE d = $3 OR right(d, length($3) + 1) = '.' || $3))",
        )
        .bind(deletion.user)
        .bind(visits)
        .bind(domain),
        Selection::Between { from, to } => sqlx::query_scalar(
            "SELECT row_id FROM tab_aggregates
             WHERE user_id = $1 AND (page_visit_row = ANY($2)
                 OR (started_at < $4 AND greatest(started_at, last_active_at) >= $3))",
        )
        .bind(deletion.user)
        .bind(visits)
        .bind(from)
        .bind(to),
    };
    Ok(query.fetch_all(&mut **tx).await?)
}
