//! Saving a batch: one transaction, a handful of statements whatever the number of records.
//!
//! Order inside the transaction: the idempotency key, what is held, the decision, the version (which takes the user's
//! lock), the rows, the links, the answer under its key, commit. Rows travel as one array per column.
//!
//! Lookups by key are written as LATERAL subqueries with OFFSET 0: each key is looked up by its index, whatever the
//! planner believes of tables it has no statistics of. As plain joins they took time with the square of a user's rows.

use super::*;
use crate::store::decide::{Held, sort};
use crate::store::rows::{Rank, SHA256_CANONICAL};
use heyho_records::complete::Completeness;
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, Row as _};
use std::collections::HashMap;

/// SQLSTATE: the lock was not had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Where a user's feed stands.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    pub version: i64,
    changes: i64,
    epoch: String,
}

/// What came of one attempt.
enum Attempt {
    Done(Saved),
    /// Somebody changed the user's records between the reading and the lock.
    Overtaken,
}

/// Whether the user's lock is taken before anything is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Locking {
    Late,
    First,
}

impl PostgresStore {
    pub(super) async fn save(&self, batch: Batch) -> Result<Saved> {
        match self.attempt(&batch, Locking::Late).await? {
            Attempt::Done(saved) => Ok(saved),
            Attempt::Overtaken => match self.attempt(&batch, Locking::First).await? {
                Attempt::Done(saved) => Ok(saved),
                Attempt::Overtaken => Err(StoreError::Damaged("a feed changed under its lock".into())),
            },
        }
    }

    async fn attempt(&self, batch: &Batch, locking: Locking) -> Result<Attempt> {
        let mut tx = self.pool.begin().await?;
        if let Some((key, body_hash)) = &batch.idempotency {
            if !self.turn(&mut tx, key).await? {
                return Ok(Attempt::Done(Saved::InProgress));
            }
            if let Some(before) = answered(&mut tx, key, batch.now).await? {
                let same = before.body_hash == *body_hash;
                return Ok(Attempt::Done(if same { Saved::Before(before.answer) } else { Saved::KeyReused }));
            }
        }
        let seen = match locking {
            Locking::Late => read(&mut tx, batch.user).await?,
            Locking::First => lock(&mut tx, batch.user).await?,
        };
        let Some(mut feed) = seen else { return Ok(Attempt::Done(Saved::NoSuchUser)) };

        let held = held(&mut tx, Kind::PageVisit, batch.user, &batch.visits).await?;
        let visits = sort(&batch.visits, &held);
        let held = self::held(&mut tx, Kind::TabAggregate, batch.user, &batch.aggregates).await?;
        let aggregates = sort(&batch.aggregates, &held);
        let writes = !(visits.write.is_empty() && aggregates.write.is_empty());
        let raises = !(visits.raise.is_empty() && aggregates.raise.is_empty());
        if writes || raises {
            let Some(now) = change(&mut tx, batch.user, writes).await? else {
                return Ok(Attempt::Done(Saved::NoSuchUser));
            };
            if now.changes != feed.changes + 1 {
                return Ok(Attempt::Overtaken);
            }
            feed = now;
            write_visits(&mut tx, batch, feed.version, &visits.write).await?;
            link_waiting(&mut tx, batch.user, &visits.write).await?;
            write_aggregates(&mut tx, batch, feed.version, &aggregates.write).await?;
            raise(&mut tx, Kind::PageVisit, batch.user, &visits.raise).await?;
            raise(&mut tx, Kind::TabAggregate, batch.user, &aggregates.raise).await?;
        }
        if let Some(device) = &batch.device {
            note_device(&mut tx, batch.user, device, batch.now).await?;
        }
        let body = answer(batch, feed.version, &feed.epoch);
        if let Some((key, body_hash)) = &batch.idempotency {
            remember(&mut tx, key, body_hash, &body, batch.now).await?;
        }
        tx.commit().await?;
        Ok(Attempt::Done(Saved::Now(body)))
    }

    /// Waits for a twin of this request on another node; false if it did not finish in time.
    async fn turn(&self, tx: &mut Tx, key: &IdempotencyKey) -> Result<bool> {
        let hash = Sha256::digest(format!("{}\0{}\0{}\0{}", key.user.0, key.method, key.path, key.key));
        let mut number = [0; 8];
        number.copy_from_slice(&hash[..8]);
        sqlx::query("SELECT set_config('lock_timeout', $1, true)")
            .bind(format!("{}ms", self.twin_wait.as_millis().max(1)))
            .execute(&mut **tx)
            .await?;
        let locked = sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(i64::from_be_bytes(number))
            .execute(&mut **tx)
            .await;
        match locked {
            Ok(_) => {
                sqlx::query("SELECT set_config('lock_timeout', '0', true)").execute(&mut **tx).await?;
                Ok(true)
            }
            Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some(LOCK_NOT_AVAILABLE) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

pub(super) async fn answered(
    connection: &mut PgConnection,
    key: &IdempotencyKey,
    now: Millis,
) -> Result<Option<Answered>> {
    let row = sqlx::query(
        "SELECT body_hash, answer FROM idempotency_keys
         WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4 AND answered_at > $5",
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
        "INSERT INTO idempotency_keys (user_id, method, path, key, body_hash, answer, answered_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (user_id, method, path, key) DO UPDATE
         SET body_hash = excluded.body_hash, answer = excluded.answer, answered_at = excluded.answered_at",
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

fn feed(row: Option<(i64, i64, String)>) -> Option<Feed> {
    row.map(|(version, changes, epoch)| Feed { version, changes, epoch })
}

async fn read(tx: &mut Tx, user: UserId) -> Result<Option<Feed>> {
    let row = sqlx::query_as("SELECT version, changes, epoch FROM feeds WHERE user_id = $1")
        .bind(user.0)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(feed(row))
}

pub(super) async fn lock(tx: &mut Tx, user: UserId) -> Result<Option<Feed>> {
    let row = sqlx::query_as("SELECT version, changes, epoch FROM feeds WHERE user_id = $1 FOR UPDATE")
        .bind(user.0)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(feed(row))
}

/// Notes a change and holds the user's lock until the commit; None if the user is gone.
pub(super) async fn change(tx: &mut Tx, user: UserId, new_version: bool) -> Result<Option<Feed>> {
    let row = sqlx::query_as(
        "UPDATE feeds SET version = version + $2, changes = changes + 1 WHERE user_id = $1
         RETURNING version, changes, epoch",
    )
    .bind(user.0)
    .bind(i64::from(new_version))
    .fetch_optional(&mut **tx)
    .await?;
    Ok(feed(row))
}

async fn note_device(tx: &mut Tx, user: UserId, device: &str, now: Millis) -> Result<()> {
    sqlx::query(
        "INSERT INTO devices (user_id, id, first_seen_at, last_seen_at) VALUES ($1, $2, $3, $3)
         ON CONFLICT (user_id, id) DO UPDATE SET last_seen_at = excluded.last_seen_at
         WHERE devices.last_seen_at < excluded.last_seen_at",
    )
    .bind(user.0)
    .bind(device)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn column<'a, C: 'a, T>(
    rows: impl IntoIterator<Item = &'a &'a Row<C>>,
    value: impl Fn(&'a Row<C>) -> T,
) -> Vec<T> {
    rows.into_iter().map(|row| value(row)).collect()
}

async fn held<C>(
    tx: &mut Tx,
    kind: Kind,
    user: UserId,
    rows: &[Row<C>],
) -> Result<HashMap<(String, String), Held>> {
    let mut held = HashMap::new();
    if rows.is_empty() {
        return Ok(held);
    }
    let sql = match kind {
        Kind::PageVisit => {
            "SELECT r.source, r.id, checksum, revision, complete_1, complete_2, complete_3
             FROM unnest($2::text[], $3::text[]) AS k (source, id) CROSS JOIN LATERAL (
                 SELECT * FROM page_visits WHERE user_id = $1 AND source = k.source AND id = k.id OFFSET 0) AS r"
        }
        Kind::TabAggregate => {
            "SELECT r.source, r.id, checksum, revision, complete_1, complete_2, complete_3
             FROM unnest($2::text[], $3::text[]) AS k (source, id) CROSS JOIN LATERAL (
                 SELECT * FROM tab_aggregates WHERE user_id = $1 AND source = k.source AND id = k.id OFFSET 0) AS r"
        }
    };
    let sources: Vec<&str> = rows.iter().map(|r| r.source.as_str()).collect();
    let ids: Vec<&str> = rows.iter().map(|r| r.id.as_str()).collect();
    for row in sqlx::query(sql).bind(user.0).bind(&sources).bind(&ids).fetch_all(&mut **tx).await? {
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
    let deleted: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.source, t.id FROM unnest($3::text[], $4::text[]) AS k (source, id)
         CROSS JOIN LATERAL (
             SELECT * FROM tombstones
             WHERE user_id = $1 AND kind = $2 AND source = k.source AND id = k.id OFFSET 0) AS t",
    )
    .bind(user.0)
    .bind(kind.number())
    .bind(&sources)
    .bind(&ids)
    .fetch_all(&mut **tx)
    .await?;
    held.extend(deleted.into_iter().map(|identity| (identity, Held::Tombstone)));
    Ok(held)
}

/// The statement that inserts or replaces rows: one value for all of `version`, device and times, one array for each
/// other column. Everything is written anew but the identity and the moment a record first came.
///
/// `computed` is one column more, with the expression for its value.
fn upsert(table: &str, columns: &[(&str, &str)], computed: Option<(&str, &str)>) -> String {
    let (more, value, set) = computed.map_or_else(Default::default, |(name, value)| {
        (format!(", {name}"), format!(", {value}"), format!(", {name} = excluded.{name}"))
    });
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let arrays: Vec<String> =
        columns.iter().enumerate().map(|(i, (_, kind))| format!("${}::{kind}[]", i + 6)).collect();
    let sets: Vec<String> = ["version", "device_id", "updated_at", "checksum_algorithm"]
        .iter()
        .chain(names.iter().filter(|name| !["source", "id"].contains(name)))
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let names = names.join(", ");
    format!(
        "INSERT INTO {table} (user_id, version, device_id, received_at, updated_at, checksum_algorithm, {names}{more})
         SELECT $1, $2, $3, $4, $4, $5, {names}{value} FROM unnest({}) AS arrived ({names})
         ON CONFLICT (user_id, source, id) DO UPDATE SET {}{set}",
        arrays.join(", "),
        sets.join(", "),
    )
}

const COMMON: [(&str, &str); 9] = [
    ("source", "text"),
    ("id", "text"),
    ("captured_at", "bigint"),
    ("checksum", "bytea"),
    ("revision", "bigint"),
    ("complete_1", "double precision"),
    ("complete_2", "double precision"),
    ("complete_3", "double precision"),
    ("record", "text"),
];

type Statement = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bind_common<C>(sql: String, batch: &Batch, version: i64, rows: &[&Row<C>]) -> Statement {
    let completeness = |n: usize| column(rows, move |r| r.rank.completeness.to_columns()[n]);
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(batch.user.0)
        .bind(version)
        .bind(batch.device.clone())
        .bind(batch.now)
        .bind(SHA256_CANONICAL)
        .bind(column(rows, |r| r.source.clone()))
        .bind(column(rows, |r| r.id.clone()))
        .bind(column(rows, |r| r.captured_at))
        .bind(column(rows, |r| r.rank.checksum.to_vec()))
        .bind(column(rows, |r| r.rank.revision))
        .bind(completeness(0))
        .bind(completeness(1))
        .bind(completeness(2))
        .bind(column(rows, |r| r.record.clone()))
}

async fn write_visits(tx: &mut Tx, batch: &Batch, version: i64, rows: &[&Row<VisitColumns>]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let own = [
        ("url", "text"),
        ("host", "text"),
        ("visited_at", "bigint"),
        ("title", "text"),
        ("domain", "text"),
        ("tab_id", "bigint"),
        ("ended_at", "bigint"),
        ("duration_ms", "bigint"),
        ("active_duration_ms", "bigint"),
        ("is_active", "boolean"),
        ("engagement_rate", "double precision"),
        ("last_heartbeat", "bigint"),
        ("source_page_visit_id", "text"),
        ("category", "text"),
        ("category_confidence", "double precision"),
        ("category_method", "text"),
        ("anonymous_client_id", "text"),
    ];
    let columns: Vec<_> = COMMON.into_iter().chain(own).collect();
    bind_common(upsert("page_visits", &columns, None), batch, version, rows)
        .bind(column(rows, |r| r.columns.url.clone()))
        .bind(column(rows, |r| r.columns.host.clone()))
        .bind(column(rows, |r| r.columns.visited_at))
        .bind(column(rows, |r| r.columns.title.clone()))
        .bind(column(rows, |r| r.columns.domain.clone()))
        .bind(column(rows, |r| r.columns.tab_id))
        .bind(column(rows, |r| r.columns.ended_at))
        .bind(column(rows, |r| r.columns.duration_ms))
        .bind(column(rows, |r| r.columns.active_duration_ms))
        .bind(column(rows, |r| r.columns.is_active))
        .bind(column(rows, |r| r.columns.engagement_rate))
        .bind(column(rows, |r| r.columns.last_heartbeat))
        .bind(column(rows, |r| r.columns.source_page_visit_id.clone()))
        .bind(column(rows, |r| r.columns.category.clone()))
        .bind(column(rows, |r| r.columns.category_confidence))
        .bind(column(rows, |r| r.columns.category_method.clone()))
        .bind(column(rows, |r| r.columns.anonymous_client_id.clone()))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn write_aggregates(
    tx: &mut Tx,
    batch: &Batch,
    version: i64,
    rows: &[&Row<AggregateColumns>],
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let own = [
        ("page_visit_id", "text"),
        ("tab_id", "bigint"),
        ("started_at", "bigint"),
        ("last_active_at", "bigint"),
        ("total_active_ms", "bigint"),
        ("page_count", "bigint"),
        ("current_url", "text"),
        ("current_host", "text"),
        ("current_domain", "text"),
        ("domain_durations", "text"),
        ("domains", "text"),
        ("total_time_seconds", "double precision"),
        ("active_time_seconds", "double precision"),
        ("scroll_depth_percent", "double precision"),
        ("closed_at", "bigint"),
        ("is_open", "boolean"),
        ("anonymous_client_id", "text"),
    ];
    // the visit's row, if it is here already
    let linked = (
        "page_visit_row",
        "(SELECT v.row_id FROM page_visits AS v
          WHERE v.user_id = $1 AND v.source = arrived.source AND v.id = arrived.page_visit_id)",
    );
    let columns: Vec<_> = COMMON.into_iter().chain(own).collect();
    bind_common(upsert("tab_aggregates", &columns, Some(linked)), batch, version, rows)
        .bind(column(rows, |r| r.columns.page_visit_id.clone()))
        .bind(column(rows, |r| r.columns.tab_id))
        .bind(column(rows, |r| r.columns.started_at))
        .bind(column(rows, |r| r.columns.last_active_at))
        .bind(column(rows, |r| r.columns.total_active_ms))
        .bind(column(rows, |r| r.columns.page_count))
        .bind(column(rows, |r| r.columns.current_url.clone()))
        .bind(column(rows, |r| r.columns.current_host.clone()))
        .bind(column(rows, |r| r.columns.current_domain.clone()))
        .bind(column(rows, |r| r.columns.domain_durations.clone()))
        .bind(column(rows, |r| serde_json::json!(r.columns.domains).to_string()))
        .bind(column(rows, |r| r.columns.total_time_seconds))
        .bind(column(rows, |r| r.columns.active_time_seconds))
        .bind(column(rows, |r| r.columns.scroll_depth_percent))
        .bind(column(rows, |r| r.columns.closed_at))
        .bind(column(rows, |r| r.columns.is_open))
        .bind(column(rows, |r| r.columns.anonymous_client_id.clone()))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Ties the written visits to aggregates that waited for them.
async fn link_waiting(tx: &mut Tx, user: UserId, visits: &[&Row<VisitColumns>]) -> Result<()> {
    if visits.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE tab_aggregates SET page_visit_row = (
             SELECT v.row_id FROM page_visits AS v
             WHERE v.user_id = tab_aggregates.user_id AND v.source = tab_aggregates.source
             AND v.id = tab_aggregates.page_visit_id)
         WHERE row_id = ANY (ARRAY (
             SELECT a.row_id FROM unnest($2::text[], $3::text[]) AS k (source, id)
             CROSS JOIN LATERAL (
                 SELECT row_id FROM tab_aggregates
                 WHERE user_id = $1 AND source = k.source AND page_visit_id = k.id
                 AND page_visit_row IS NULL AND page_visit_id IS NOT NULL OFFSET 0) AS a))",
    )
    .bind(user.0)
    .bind(column(visits, |r| r.source.clone()))
    .bind(column(visits, |r| r.id.clone()))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn raise<C>(tx: &mut Tx, kind: Kind, user: UserId, rows: &[&Row<C>]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = match kind {
        Kind::PageVisit => {
            "UPDATE page_visits SET revision = found.revision
             FROM (SELECT r.row_id, k.revision
                   FROM unnest($2::text[], $3::text[], $4::bigint[]) AS k (source, id, revision)
                   CROSS JOIN LATERAL (
                       SELECT row_id FROM page_visits
                       WHERE user_id = $1 AND source = k.source AND id = k.id OFFSET 0) AS r) AS found
             WHERE page_visits.row_id = found.row_id"
        }
        Kind::TabAggregate => {
            "UPDATE tab_aggregates SET revision = found.revision
             FROM (SELECT r.row_id, k.revision
                   FROM unnest($2::text[], $3::text[], $4::bigint[]) AS k (source, id, revision)
                   CROSS JOIN LATERAL (
                       SELECT row_id FROM tab_aggregates
                       WHERE user_id = $1 AND source = k.source AND id = k.id OFFSET 0) AS r) AS found
             WHERE tab_aggregates.row_id = found.row_id"
        }
    };
    sqlx::query(sql)
        .bind(user.0)
        .bind(column(rows, |r| r.source.clone()))
        .bind(column(rows, |r| r.id.clone()))
        .bind(column(rows, |r| r.rank.revision))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
