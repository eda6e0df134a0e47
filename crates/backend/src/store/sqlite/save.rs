//! Saving a batch: one transaction, a handful of statements whatever the number of records.
//!
//! Order inside the transaction: the idempotency key, what is held, the decision, the version, the rows, the links,
//! the answer under its key, commit. Lists of keys travel as one JSON text each.

use super::*;
use crate::store::decide::{Held, Sorted, sort};
use crate::store::rows::{Rank, SHA256_CANONICAL};
use heyho_records::complete::Completeness;
use serde_json::json;
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Row as _, Sqlite};
use std::collections::HashMap;

type Tx = sqlx::Transaction<'static, Sqlite>;

/// Rows in one statement: at most 35 values each, of the 32,766 SQLite takes.
const CHUNK: usize = 500;

const COMMON: &str = "user_id, source, id, version, device_id, captured_at, received_at, updated_at, checksum, \
    checksum_algorithm, revision, complete_1, complete_2, complete_3, record";
const VISIT: &str = "url, host, visited_at, title, domain, tab_id, ended_at, duration_ms, active_duration_ms, \
    is_active, engagement_rate, last_heartbeat, source_page_visit_id, category, category_confidence, \
    category_method, anonymous_client_id";
const AGGREGATE: &str = "page_visit_row, page_visit_id, tab_id, started_at, last_active_at, total_active_ms, page_count, \
    current_url, current_host, current_domain, domain_durations, domains, total_time_seconds, active_time_seconds, \
    scroll_depth_percent, closed_at, is_open, anonymous_client_id";

// Lookups by key. CROSS JOIN and scalar subqueries fix the order: from the keys, each by its index. Left to the planner,
// which has no statistics, they took time with the square of a user's rows.
const HELD_VISITS: &str = "SELECT r.source, r.id, checksum, revision, complete_1, complete_2, complete_3
     FROM json_each(?) AS k CROSS JOIN page_visits AS r
     ON r.user_id = ? AND r.source = k.value ->> 0 AND r.id = k.value ->> 1";
const HELD_AGGREGATES: &str = "SELECT r.source, r.id, checksum, revision, complete_1, complete_2, complete_3
     FROM json_each(?) AS k CROSS JOIN tab_aggregates AS r
     ON r.user_id = ? AND r.source = k.value ->> 0 AND r.id = k.value ->> 1";
const HELD_TOMBSTONES: &str = "SELECT r.source, r.id FROM json_each(?) AS k CROSS JOIN tombstones AS r
     ON r.user_id = ? AND r.kind = ? AND r.source = k.value ->> 0 AND r.id = k.value ->> 1";
const RAISE_VISITS: &str = "UPDATE page_visits SET revision = k.new FROM (
         SELECT r.row_id, k.value ->> 2 AS new FROM json_each(?) AS k CROSS JOIN page_visits AS r
         ON r.user_id = ? AND r.source = k.value ->> 0 AND r.id = k.value ->> 1 LIMIT -1) AS k
     WHERE page_visits.row_id = k.row_id";
const RAISE_AGGREGATES: &str = "UPDATE tab_aggregates SET revision = k.new FROM (
         SELECT r.row_id, k.value ->> 2 AS new FROM json_each(?) AS k CROSS JOIN tab_aggregates AS r
         ON r.user_id = ? AND r.source = k.value ->> 0 AND r.id = k.value ->> 1 LIMIT -1) AS k
     WHERE tab_aggregates.row_id = k.row_id";
const LINK_WAITING: &str = "UPDATE tab_aggregates SET page_visit_row = (
         SELECT r.row_id FROM page_visits AS r
         WHERE r.user_id = tab_aggregates.user_id AND r.source = tab_aggregates.source
         AND r.id = tab_aggregates.page_visit_id)
     WHERE row_id IN (
         SELECT r.row_id FROM json_each(?) AS k CROSS JOIN tab_aggregates AS r
         ON r.user_id = ? AND r.source = k.value ->> 0 AND r.page_visit_id = k.value ->> 1
         WHERE r.page_visit_row IS NULL AND r.page_visit_id IS NOT NULL)";

impl SqliteStore {
    pub(super) async fn answered(&self, key: &IdempotencyKey, now: Millis) -> Result<Option<Answered>> {
        let mut connection = self.read.acquire().await?;
        answered(&mut connection, key, now).await
    }

    pub(super) async fn save(&self, batch: Batch) -> Result<Saved> {
        let mut tx = self.begin().await?;
        if let Some((key, body_hash)) = &batch.idempotency
            && let Some(before) = answered(&mut tx, key, batch.now).await?
        {
            let same = before.body_hash == *body_hash;
            return Ok(if same { Saved::Before(before.answer) } else { Saved::KeyReused });
        }
        let Some((mut version, epoch)) = feed(&mut tx, batch.user).await? else {
            return Ok(Saved::NoSuchUser);
        };
        if let Some(device) = &batch.device {
            note_device(&mut tx, batch.user, device, batch.now).await?;
        }
        let held = held(&mut tx, Kind::PageVisit, batch.user, &keys(&batch.visits)).await?;
        let visits = sort(&batch.visits, &held);
        let held = self::held(&mut tx, Kind::TabAggregate, batch.user, &keys(&batch.aggregates)).await?;
        let aggregates = sort(&batch.aggregates, &held);
        if !(visits.write.is_empty() && aggregates.write.is_empty()) {
            version = next_version(&mut tx, batch.user).await?;
            write_visits(&mut tx, &batch, version, &visits.write).await?;
            link_waiting(&mut tx, batch.user, &visits.write).await?;
            write_aggregates(&mut tx, &batch, version, &aggregates.write).await?;
        }
        raise(&mut tx, batch.user, &visits, &aggregates).await?;
        let body = answer(&batch, version, &epoch);
        if let Some((key, body_hash)) = &batch.idempotency {
            remember(&mut tx, key, body_hash, &body, batch.now).await?;
        }
        tx.commit().await?;
        Ok(Saved::Now(body))
    }
}

async fn answered(
    connection: &mut sqlx::SqliteConnection,
    key: &IdempotencyKey,
    now: Millis,
) -> Result<Option<Answered>> {
    let row = sqlx::query(
        "SELECT body_hash, answer FROM idempotency_keys
         WHERE user_id = ? AND method = ? AND path = ? AND key = ? AND answered_at > ?",
    )
    .bind(key.user.0)
    .bind(key.method)
    .bind(key.path)
    .bind(&key.key)
    .bind(now - IDEMPOTENCY_LIFE)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Answered {
            body_hash: fixed(row.try_get("body_hash")?, "the hash of a request")?,
            answer: row.try_get("answer")?,
        })
    })
    .transpose()
}

async fn remember(
    tx: &mut Tx,
    key: &IdempotencyKey,
    body_hash: &[u8; 32],
    answer: &str,
    now: Millis,
) -> Result<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO idempotency_keys (user_id, method, path, key, body_hash, answer, answered_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(key.user.0)
    .bind(key.method)
    .bind(key.path)
    .bind(&key.key)
    .bind(&body_hash[..])
    .bind(answer)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn feed(tx: &mut Tx, user: UserId) -> Result<Option<(i64, String)>> {
    let row = sqlx::query_as("SELECT version, epoch FROM feeds WHERE user_id = ?")
        .bind(user.0)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row)
}

pub(super) async fn next_version(tx: &mut Tx, user: UserId) -> Result<i64> {
    let version =
        sqlx::query_scalar("UPDATE feeds SET version = version + 1 WHERE user_id = ? RETURNING version")
            .bind(user.0)
            .fetch_one(&mut **tx)
            .await?;
    Ok(version)
}

async fn note_device(tx: &mut Tx, user: UserId, device: &str, now: Millis) -> Result<()> {
    sqlx::query(
        "INSERT INTO devices (user_id, id, first_seen_at, last_seen_at) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT (user_id, id) DO UPDATE SET last_seen_at = excluded.last_seen_at
         WHERE last_seen_at < excluded.last_seen_at",
    )
    .bind(user.0)
    .bind(device)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// `[[source, id, revision], …]`
fn keys<'a, C: 'a>(rows: impl IntoIterator<Item = &'a Row<C>>) -> String {
    let keys: Vec<_> = rows.into_iter().map(|r| json!([r.source, r.id, r.rank.revision])).collect();
    serde_json::Value::Array(keys).to_string()
}

async fn held(tx: &mut Tx, kind: Kind, user: UserId, keys: &str) -> Result<HashMap<(String, String), Held>> {
    let sql = match kind {
        Kind::PageVisit => HELD_VISITS,
        Kind::TabAggregate => HELD_AGGREGATES,
    };
    let mut held = HashMap::new();
    for row in sqlx::query(sql).bind(keys).bind(user.0).fetch_all(&mut **tx).await? {
        let rank = Rank {
            completeness: Completeness::from_columns([
                row.try_get("complete_1")?,
                row.try_get("complete_2")?,
                row.try_get("complete_3")?,
            ]),
            revision: row.try_get("revision")?,
            checksum: fixed(row.try_get("checksum")?, "a checksum")?,
        };
        held.insert((row.try_get("source")?, row.try_get("id")?), Held::Row(rank));
    }
    let deleted: Vec<(String, String)> = sqlx::query_as(HELD_TOMBSTONES)
        .bind(keys)
        .bind(user.0)
        .bind(kind.number())
        .fetch_all(&mut **tx)
        .await?;
    held.extend(deleted.into_iter().map(|identity| (identity, Held::Tombstone)));
    Ok(held)
}

fn push_common<C>(values: &mut Separated<'_, Sqlite, &str>, batch: &Batch, version: i64, row: &Row<C>) {
    let [one, two, three] = row.rank.completeness.to_columns();
    values
        .push_bind(batch.user.0)
        .push_bind(row.source.clone())
        .push_bind(row.id.clone())
        .push_bind(version)
        .push_bind(batch.device.clone())
        .push_bind(row.captured_at)
        .push_bind(batch.now)
        .push_bind(batch.now)
        .push_bind(row.rank.checksum.to_vec())
        .push_bind(SHA256_CANONICAL)
        .push_bind(row.rank.revision)
        .push_bind(one)
        .push_bind(two)
        .push_bind(three)
        .push_bind(row.record.clone());
}

/// `ON CONFLICT …`: everything anew but the identity and the moment it first came.
fn replace(columns: &[&str]) -> String {
    let fixed = ["user_id", "source", "id", "received_at"];
    let sets: Vec<String> = columns
        .iter()
        .flat_map(|list| list.split(", "))
        .filter(|column| !fixed.contains(column))
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    format!(" ON CONFLICT (user_id, source, id) DO UPDATE SET {}", sets.join(", "))
}

async fn write_visits(tx: &mut Tx, batch: &Batch, version: i64, rows: &[&Row<VisitColumns>]) -> Result<()> {
    for chunk in rows.chunks(CHUNK) {
        let mut sql = QueryBuilder::new(format!("INSERT INTO page_visits ({COMMON}, {VISIT}) "));
        sql.push_values(chunk, |mut values, row| {
            push_common(&mut values, batch, version, row);
            let c = row.columns.clone();
            values
                .push_bind(c.url)
                .push_bind(c.host)
                .push_bind(c.visited_at)
                .push_bind(c.title)
                .push_bind(c.domain)
                .push_bind(c.tab_id)
                .push_bind(c.ended_at)
                .push_bind(c.duration_ms)
                .push_bind(c.active_duration_ms)
                .push_bind(c.is_active)
                .push_bind(c.engagement_rate)
                .push_bind(c.last_heartbeat)
                .push_bind(c.source_page_visit_id)
                .push_bind(c.category)
                .push_bind(c.category_confidence)
                .push_bind(c.category_method)
                .push_bind(c.anonymous_client_id);
        });
        sql.push(replace(&[COMMON, VISIT]));
        sql.build().persistent(false).execute(&mut **tx).await?;
    }
    Ok(())
}

async fn write_aggregates(
    tx: &mut Tx,
    batch: &Batch,
    version: i64,
    rows: &[&Row<AggregateColumns>],
) -> Result<()> {
    for chunk in rows.chunks(CHUNK) {
        let mut sql = QueryBuilder::new(format!("INSERT INTO tab_aggregates ({COMMON}, {AGGREGATE}) "));
        sql.push_values(chunk, |mut values, row| {
            push_common(&mut values, batch, version, row);
            let c = row.columns.clone();
            // the visit's row, if it is here already
            values
                .push("(SELECT row_id FROM page_visits WHERE user_id = ")
                .push_bind_unseparated(batch.user.0)
                .push_unseparated(" AND source = ")
                .push_bind_unseparated(row.source.clone())
                .push_unseparated(" AND id = ")
                .push_bind_unseparated(c.page_visit_id.clone())
                .push_unseparated(")")
                .push_bind(c.page_visit_id)
                .push_bind(c.tab_id)
                .push_bind(c.started_at)
                .push_bind(c.last_active_at)
                .push_bind(c.total_active_ms)
                .push_bind(c.page_count)
                .push_bind(c.current_url)
                .push_bind(c.current_host)
                .push_bind(c.current_domain)
                .push_bind(c.domain_durations)
                .push_bind(json!(c.domains).to_string())
                .push_bind(c.total_time_seconds)
                .push_bind(c.active_time_seconds)
                .push_bind(c.scroll_depth_percent)
                .push_bind(c.closed_at)
                .push_bind(c.is_open)
                .push_bind(c.anonymous_client_id);
        });
        sql.push(replace(&[COMMON, AGGREGATE]));
        sql.build().persistent(false).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Ties the written visits to aggregates that waited for them.
async fn link_waiting(tx: &mut Tx, user: UserId, visits: &[&Row<VisitColumns>]) -> Result<()> {
    if visits.is_empty() {
        return Ok(());
    }
    sqlx::query(LINK_WAITING).bind(keys(visits.iter().copied())).bind(user.0).execute(&mut **tx).await?;
    Ok(())
}

async fn raise(
    tx: &mut Tx,
    user: UserId,
    visits: &Sorted<'_, VisitColumns>,
    aggregates: &Sorted<'_, AggregateColumns>,
) -> Result<()> {
    for (sql, keys) in [
        (RAISE_VISITS, (!visits.raise.is_empty()).then(|| keys(visits.raise.iter().copied()))),
        (RAISE_AGGREGATES, (!aggregates.raise.is_empty()).then(|| keys(aggregates.raise.iter().copied()))),
    ] {
        if let Some(keys) = keys {
            sqlx::query(sql).bind(keys).bind(user.0).execute(&mut **tx).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan that reads more than it looks up is fast on a new database and unusable on an old one.
    #[tokio::test]
    async fn every_key_is_looked_up_by_its_index() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("x.db")).await.unwrap();
        for sql in
            [HELD_VISITS, HELD_AGGREGATES, HELD_TOMBSTONES, RAISE_VISITS, RAISE_AGGREGATES, LINK_WAITING]
        {
            let explain = format!("EXPLAIN QUERY PLAN {sql}");
            let plan = sqlx::query(sqlx::AssertSqlSafe(explain)).fetch_all(&store.read).await.unwrap();
            let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
            let lookups = steps.iter().filter(|step| step.starts_with("SEARCH r USING"));
            assert!(lookups.clone().count() > 0, "{steps:#?}");
            for lookup in lookups {
                assert!(lookup.contains("source=?") && lookup.contains("id=?)"), "{steps:#?}");
            }
            let scans = steps.iter().filter(|step| step.starts_with("SCAN"));
            for scan in scans {
                assert!(scan.contains("SCAN k"), "{steps:#?}");
            }
        }
    }
}
