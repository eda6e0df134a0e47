//! Saving a batch: one transaction, a handful of statements whatever the number of records.
//!
//! Order inside the transaction: the idempotency key, what is held, the decision, the version, the rows, the links,
//! the answer under its key, commit. Lists of keys travel as one JSON text each.
//!
//! Lookups by key fix their order with CROSS JOIN and scalar subqueries: from the keys, each by its index. Left to the
//! planner, which has no statistics, they took time with the square of a user's rows.

use super::answers::{answered, commit, note_device, remember};
use super::*;
use crate::store::columns::{Column, Table};
use crate::store::decide::{Held, Sorted, sort};
use crate::store::rows::{HeldRow, Row, SHA256_CANONICAL, VisitColumns};
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows in one statement, of at most 32,766 values: the largest that still fits, then the next. So few statements that
/// each is prepared once and kept; making one for each batch costs as much as running it.
const CHUNKS: [usize; 3] = [100, 10, 1];

/// No more than a slice.
const LINK_WAITING: &str = "UPDATE tab_aggregates SET page_visit_row = (
         SELECT r.row_id FROM page_visits AS r
         WHERE r.user_id = tab_aggregates.user_id AND r.source = tab_aggregates.source
         AND r.id = tab_aggregates.page_visit_id)
     WHERE row_id IN (
         SELECT r.row_id FROM json_each($1) AS k CROSS JOIN tab_aggregates AS r
         ON r.user_id = $2 AND r.source = k.value ->> 0 AND r.page_visit_id = k.value ->> 1
         WHERE r.page_visit_row IS NULL AND r.page_visit_id IS NOT NULL LIMIT $3)";

/// Of which visits there are more: see `both/links.rs`.
const OWE_LINKS: &str = "INSERT INTO link_debts (page_visit_row, user_id)
     SELECT r.row_id, $2 FROM json_each($1) AS k CROSS JOIN page_visits AS r
     ON r.user_id = $2 AND r.source = k.value ->> 0 AND r.id = k.value ->> 1
     WHERE (SELECT a.row_id FROM tab_aggregates AS a
            WHERE a.user_id = $2 AND a.source = r.source AND a.page_visit_id = r.id
            AND a.page_visit_row IS NULL AND a.page_visit_id IS NOT NULL LIMIT 1) IS NOT NULL
     ON CONFLICT (page_visit_row) DO NOTHING";

/// Rows, and tombstones without what decides.
fn held_rows(table: &str) -> String {
    format!(
        "SELECT r.source, r.id, checksum, revision, complete_1, complete_2, complete_3
         FROM json_each($1) AS k CROSS JOIN {table} AS r
         ON r.user_id = $2 AND r.source = k.value ->> 0 AND r.id = k.value ->> 1
         UNION ALL
         SELECT r.source, r.id, NULL, NULL, NULL, NULL, NULL
         FROM json_each($1) AS k CROSS JOIN tombstones AS r
         ON r.user_id = $2 AND r.kind = $3 AND r.source = k.value ->> 0 AND r.id = k.value ->> 1"
    )
}

fn raise_rows(table: &str) -> String {
    format!(
        "UPDATE {table} SET revision = k.new FROM (
             SELECT r.row_id, k.value ->> 2 AS new FROM json_each($1) AS k CROSS JOIN {table} AS r
             ON r.user_id = $2 AND r.source = k.value ->> 0 AND r.id = k.value ->> 1 LIMIT -1) AS k
         WHERE {table}.row_id = k.row_id"
    )
}

#[async_trait]
impl Records for SqliteStore {
    async fn answered(&self, key: &IdempotencyKey, now: Millis) -> Result<Option<Answered>> {
        let mut connection = self.read.acquire().await?;
        answered(&mut connection, key, now).await
    }

    async fn save(&self, batch: Batch) -> Result<Saved> {
        let mut tx = self.begin().await?;
        if let Some((key, body_hash)) = &batch.idempotency
            && let Some(before) = answered(&mut tx, key, batch.now).await?
        {
            return Ok(Saved::before(before, body_hash));
        }
        let Some((mut version, epoch)) = feed(&mut tx, batch.user).await? else {
            return Ok(Saved::NoSuchUser);
        };
        if let Some(device) = &batch.device {
            note_device(&mut tx, batch.user, device, batch.now).await?;
        }
        let visits = sort(&batch.visits, &held(&mut tx, batch.user, &batch.visits).await?);
        let aggregates = sort(&batch.aggregates, &held(&mut tx, batch.user, &batch.aggregates).await?);
        if !(visits.write.is_empty() && aggregates.write.is_empty()) {
            let Some(next) = new_version(&mut tx, batch.user).await? else { return Ok(Saved::NoSuchUser) };
            version = next;
            write(&mut tx, &batch, version, &visits.write).await?;
            link_waiting(&mut tx, batch.user, &visits.write).await?;
            write(&mut tx, &batch, version, &aggregates.write).await?;
        }
        raise(&mut tx, batch.user, &visits).await?;
        raise(&mut tx, batch.user, &aggregates).await?;
        let body = answer(&batch, version, &epoch);
        if let Some((key, body_hash)) = &batch.idempotency {
            remember(&mut tx, key, body_hash, &body, batch.now).await?;
        }
        commit(tx).await?;
        Ok(Saved::Now(body))
    }

    async fn delete_records(&self, deletion: Deletion) -> Result<u64> {
        self.delete(&deletion).await
    }
}

async fn feed(tx: &mut Tx, user: UserId) -> Result<Option<(i64, String)>> {
    let row = sqlx::query_as("SELECT version, epoch FROM feeds WHERE user_id = $1")
        .bind(user)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row)
}

/// None if there is no such user.
pub(super) async fn new_version(tx: &mut Tx, user: UserId) -> Result<Option<i64>> {
    let version =
        sqlx::query_scalar("UPDATE feeds SET version = version + 1 WHERE user_id = $1 RETURNING version")
            .bind(user)
            .fetch_optional(&mut **tx)
            .await?;
    Ok(version)
}

/// `[[source, id, revision], …]`
fn keys<'a, C: 'a>(rows: impl IntoIterator<Item = &'a Row<C>>) -> String {
    let keys: Vec<_> = rows.into_iter().map(|r| json!([r.source, r.id, r.rank.revision])).collect();
    serde_json::Value::Array(keys).to_string()
}

async fn held<C: Table>(
    tx: &mut Tx,
    user: UserId,
    rows: &[Row<C>],
) -> Result<HashMap<(String, String), Held>> {
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<HeldRow> = sqlx::query_as(AssertSqlSafe(held_rows(C::NAME)))
        .bind(keys(rows))
        .bind(user)
        .bind(C::KIND.number())
        .fetch_all(&mut **tx)
        .await?;
    found.into_iter().map(HeldRow::read).collect()
}

/// The statement that inserts so many rows or writes them anew, all but the identity and the moment a record first came.
///
/// Its parameters have no numbers: each that has one is looked for in a list of all of them when it is bound, and of
/// thousands that took half of a batch's time. So the values of the rows come first, as they stand in the text, then those
/// that all rows have.
fn upsert<C: Table>(rows: usize) -> String {
    let (linked, visit, link) = match C::VISIT {
        None => Default::default(),
        // the visit's row, if it is here already
        Some(_) => (
            ", page_visit_row",
            ", (SELECT r.row_id FROM page_visits AS r
                WHERE r.user_id = ? AND r.source = k.source AND r.id = k.page_visit_id)",
            ", page_visit_row = excluded.page_visit_row",
        ),
    };
    let names: Vec<&str> = C::columns().map(Column::name).collect();
    let row = format!("({})", vec!["?"; names.len()].join(","));
    let anew: Vec<String> = ["version", "device_id", "updated_at", "checksum_algorithm"]
        .iter()
        .chain(names.iter().filter(|name| !["source", "id"].contains(name)))
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let (table, names) = (C::NAME, names.join(", "));
    // without its WHERE, the ON of the conflict would read as one of a join
    format!(
        "WITH k ({names}) AS (VALUES {})
         INSERT INTO {table} (user_id, version, device_id, received_at, updated_at, checksum_algorithm, {names}{linked})
         SELECT ?, ?, ?, ?, ?, ?, {names}{visit} FROM k WHERE TRUE
         ON CONFLICT (user_id, source, id) DO UPDATE SET {}{link}",
        vec![row; rows].join(","),
        anew.join(", "),
    )
}

/// Each is made once: texts of thousands of parameters, which no batch should pay for.
fn kept_upsert<C: Table>(rows: usize) -> Arc<str> {
    static KEPT: Mutex<BTreeMap<(&str, usize), Arc<str>>> = Mutex::new(BTreeMap::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.entry((C::NAME, rows)).or_insert_with(|| upsert::<C>(rows).into()).clone()
}

async fn write<C: Table>(tx: &mut Tx, batch: &Batch, version: i64, rows: &[&Row<C>]) -> Result<()> {
    let mut left = rows;
    for size in CHUNKS {
        while let Some((chunk, rest)) = left.split_at_checked(size) {
            let mut query = sqlx::query(AssertSqlSafe(kept_upsert::<C>(size)));
            for row in chunk {
                for column in C::columns() {
                    query = match column {
                        Column::Text(_, value) => query.bind(value(row)),
                        Column::Whole(_, value) => query.bind(value(row)),
                        Column::Real(_, value) => query.bind(value(row)),
                        Column::Flag(_, value) => query.bind(value(row)),
                        Column::Bytes(_, value) => query.bind(value(row)),
                    };
                }
            }
            query = query.bind(batch.user).bind(version).bind(&batch.device);
            query = query.bind(batch.now).bind(batch.now).bind(SHA256_CANONICAL);
            if C::VISIT.is_some() {
                query = query.bind(batch.user);
            }
            query.execute(&mut **tx).await?;
            left = rest;
        }
    }
    Ok(())
}

/// Ties aggregates to the written visits that they waited for.
async fn link_waiting(tx: &mut Tx, user: UserId, visits: &[&Row<VisitColumns>]) -> Result<()> {
    if visits.is_empty() {
        return Ok(());
    }
    let keys = keys(visits.iter().copied());
    let linking = sqlx::query(LINK_WAITING).bind(&keys).bind(user).bind(slice());
    if linking.execute(&mut **tx).await?.rows_affected() == slice().unsigned_abs() {
        sqlx::query(OWE_LINKS).bind(&keys).bind(user).execute(&mut **tx).await?;
    }
    Ok(())
}

async fn raise<C: Table>(tx: &mut Tx, user: UserId, rows: &Sorted<'_, C>) -> Result<()> {
    if rows.raise.is_empty() {
        return Ok(());
    }
    sqlx::query(AssertSqlSafe(raise_rows(C::NAME)))
        .bind(keys(rows.raise.iter().copied()))
        .bind(user)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::AggregateColumns;
    use sqlx::Row as _;

    /// A plan that reads more than it looks up is fast on a new database and unusable on an old one.
    #[tokio::test]
    async fn every_key_is_looked_up_by_its_index() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("x.db")).await.unwrap();
        let tables = [VisitColumns::NAME, AggregateColumns::NAME];
        let each = tables.iter().flat_map(|table| [held_rows(table), raise_rows(table)]);
        for sql in each.chain([upsert::<AggregateColumns>(10), LINK_WAITING.to_owned(), OWE_LINKS.to_owned()])
        {
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let plan = sqlx::query(explain).fetch_all(&store.read).await.unwrap();
            let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
            let lookups = steps.iter().filter(|step| step.starts_with("SEARCH r USING"));
            assert!(lookups.clone().count() > 0, "{steps:#?}");
            for lookup in lookups {
                assert!(lookup.contains("source=?") && lookup.contains("id=?)"), "{steps:#?}");
            }
            let scans = steps.iter().filter(|step| step.starts_with("SCAN"));
            for scan in scans {
                assert!(scan.contains("SCAN k") || scan.contains("CONSTANT ROWS"), "{steps:#?}");
            }
        }
    }
}
