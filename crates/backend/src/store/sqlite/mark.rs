//! Which rows a deletion means, in SQLite's spelling.

use super::delete::Marked;
use super::*;
use crate::limits::MARKED;
use heyho_records::Kind;
use sqlx::AssertSqlSafe;

const VISITS_OF_A_DOMAIN: &str = "SELECT row_id FROM page_visits
     WHERE user_id = $1 AND (host = $2 OR substr(host, -length($2) - 1) = '.' || $2)";
const VISITS_OF_A_TIME: &str =
    "SELECT row_id FROM page_visits WHERE user_id = $1 AND visited_at >= $2 AND visited_at < $3";
const AGGREGATES_OF_A_DOMAIN: &str = "EXISTS (
     SELECT 1 FROM json_each(domains) AS d
     WHERE d.value = $2 OR substr(d.value, -length($2) - 1) = '.' || $2)";
const AGGREGATES_OF_A_TIME: &str = "coalesce(started_at, last_active_at, closed_at) < $3
     AND coalesce(max(started_at, last_active_at), started_at, last_active_at, closed_at) >= $2";

/// Those of aggregates before those of visits, no more than [`MARKED`] of each. Visits only when all aggregates are
/// marked: what goes with a visit is found by it.
pub(super) async fn mark(tx: &mut Tx, deletion: &Deletion) -> Result<Vec<Marked>> {
    let (visits, aggregates) = match &deletion.selection {
        Selection::Domain(_) => (VISITS_OF_A_DOMAIN, AGGREGATES_OF_A_DOMAIN),
        Selection::Between { .. } => (VISITS_OF_A_TIME, AGGREGATES_OF_A_TIME),
    };
    let aggregates = format!(
        "SELECT row_id FROM tab_aggregates
         WHERE user_id = $1 AND (page_visit_row IN ({visits}) OR ({aggregates})) ORDER BY row_id LIMIT {MARKED}"
    );
    let visits = format!("{visits} ORDER BY row_id LIMIT {MARKED}");
    let mut marked = Vec::new();
    for (kind, sql) in [(Kind::TabAggregate, aggregates), (Kind::PageVisit, visits)] {
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(deletion.user);
        let query = match &deletion.selection {
            Selection::Domain(domain) => query.bind(domain),
            Selection::Between { from, to } => query.bind(from).bind(to),
        };
        let rows: Vec<i64> = query.fetch_all(&mut **tx).await?;
        marked.extend(rows.into_iter().map(|row| (kind, row)));
        if marked.len() >= MARKED {
            break;
        }
    }
    Ok(marked)
}
