//! Rows in and out of PostgreSQL: one array a column, one statement a table.
//!
//! Lookups by key are written as LATERAL subqueries with OFFSET 0: each key is looked up by its index, whatever the
//! planner believes of tables it has no statistics of. As plain joins they took time with the square of a user's rows.

use super::*;
use crate::store::columns::{Column, Table};
use crate::store::decide::Held;
use crate::store::rows::{HeldRow, Row, SHA256_CANONICAL, VisitColumns};
use heyho_records::fault::planted;
use sqlx::AssertSqlSafe;
use std::collections::HashMap;

fn column<'a, C: 'a, T>(
    rows: impl IntoIterator<Item = &'a &'a Row<C>>,
    value: impl Fn(&'a Row<C>) -> T,
) -> Vec<T> {
    rows.into_iter().map(|row| value(row)).collect()
}

pub(super) async fn held<C: Table>(
    tx: &mut Tx,
    user: UserId,
    rows: &[Row<C>],
) -> Result<HashMap<(String, String), Held>> {
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    // The fault: the planner chooses.
    let by_its_index = if planted("plain-joins") { "" } else { "OFFSET 0" };
    let sql = format!(
        "SELECT r.source, r.id, checksum, revision, complete_1, complete_2, complete_3
         FROM unnest($3::text[], $4::text[]) AS k (source, id) CROSS JOIN LATERAL (
             SELECT * FROM {} WHERE user_id = $1 AND source = k.source AND id = k.id {by_its_index}) AS r
         UNION ALL
         SELECT t.source, t.id, NULL, NULL, NULL, NULL, NULL
         FROM unnest($3::text[], $4::text[]) AS k (source, id) CROSS JOIN LATERAL (
             SELECT * FROM tombstones
             WHERE user_id = $1 AND kind = $2 AND source = k.source AND id = k.id {by_its_index}) AS t",
        C::NAME
    );
    let sources: Vec<&str> = rows.iter().map(|r| r.source.as_str()).collect();
    let ids: Vec<&str> = rows.iter().map(|r| r.id.as_str()).collect();
    let found: Vec<HeldRow> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(user)
        .bind(C::KIND.number())
        .bind(&sources)
        .bind(&ids)
        .fetch_all(&mut **tx)
        .await?;
    found.into_iter().map(HeldRow::read).collect()
}

/// The statement that inserts or replaces rows: one value for all of `version`, device and times, one array for each
/// other column. Everything is written anew but the identity and the moment a record first came.
fn upsert<C: Table>() -> String {
    let (linked, visit, link) = match C::VISIT {
        None => Default::default(),
        // the visit's row, if it is here already
        Some(_) => (
            ", page_visit_row",
            ", (SELECT v.row_id FROM page_visits AS v
                WHERE v.user_id = $1 AND v.source = arrived.source AND v.id = arrived.page_visit_id)",
            ", page_visit_row = excluded.page_visit_row",
        ),
    };
    let names: Vec<&str> = C::columns().map(Column::name).collect();
    let arrays: Vec<String> =
        C::columns().enumerate().map(|(i, column)| format!("${}::{}[]", i + 6, kind(column))).collect();
    let anew: Vec<String> = ["version", "device_id", "updated_at", "checksum_algorithm"]
        .iter()
        .chain(names.iter().filter(|name| !["source", "id"].contains(name)))
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let names = names.join(", ");
    format!(
        "INSERT INTO {} (user_id, version, device_id, received_at, updated_at, checksum_algorithm, {names}{linked})
         SELECT $1, $2, $3, $4, $4, $5, {names}{visit} FROM unnest({}) AS arrived ({names})
         ON CONFLICT (user_id, source, id) DO UPDATE SET {}{link}",
        C::NAME,
        arrays.join(", "),
        anew.join(", "),
    )
}

fn kind<C>(column: &Column<C>) -> &'static str {
    match column {
        Column::Text(..) => "text",
        Column::Whole(..) => "bigint",
        Column::Real(..) => "double precision",
        Column::Flag(..) => "boolean",
        Column::Bytes(..) => "bytea",
    }
}

pub(super) async fn write<C: Table>(
    tx: &mut Tx,
    batch: &Batch,
    version: i64,
    rows: &[&Row<C>],
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut query = sqlx::query(AssertSqlSafe(upsert::<C>()))
        .bind(batch.user)
        .bind(version)
        .bind(&batch.device)
        .bind(batch.now)
        .bind(SHA256_CANONICAL);
    for column in C::columns() {
        query = match column {
            Column::Text(_, value) => query.bind(self::column(rows, value)),
            Column::Whole(_, value) => query.bind(self::column(rows, value)),
            Column::Real(_, value) => query.bind(self::column(rows, value)),
            Column::Flag(_, value) => query.bind(self::column(rows, value)),
            Column::Bytes(_, value) => query.bind(self::column(rows, value)),
        };
    }
    query.execute(&mut **tx).await?;
    Ok(())
}

/// No more than a slice.
const LINK_WAITING: &str = "UPDATE tab_aggregates SET page_visit_row = (
         SELECT v.row_id FROM page_visits AS v
         WHERE v.user_id = tab_aggregates.user_id AND v.source = tab_aggregates.source
         AND v.id = tab_aggregates.page_visit_id)
     WHERE row_id = ANY (ARRAY (
         SELECT a.row_id FROM unnest($2::text[], $3::text[]) AS k (source, id)
         CROSS JOIN LATERAL (
             SELECT row_id FROM tab_aggregates
             WHERE user_id = $1 AND source = k.source AND page_visit_id = k.id
             AND page_visit_row IS NULL AND page_visit_id IS NOT NULL OFFSET 0) AS a LIMIT $4))";

/// Of which visits there are more: see `both/links.rs`.
const OWE_LINKS: &str = "INSERT INTO link_debts (page_visit_row, user_id)
     SELECT v.row_id, $1 FROM unnest($2::text[], $3::text[]) AS k (source, id)
     CROSS JOIN LATERAL (
         SELECT row_id FROM page_visits WHERE user_id = $1 AND source = k.source AND id = k.id OFFSET 0) AS v
     WHERE (SELECT a.row_id FROM tab_aggregates AS a
            WHERE a.user_id = $1 AND a.source = k.source AND a.page_visit_id = k.id
            AND a.page_visit_row IS NULL AND a.page_visit_id IS NOT NULL LIMIT 1) IS NOT NULL
     ON CONFLICT (page_visit_row) DO NOTHING";

/// Ties aggregates to the written visits that they waited for.
pub(super) async fn link_waiting(tx: &mut Tx, user: UserId, visits: &[&Row<VisitColumns>]) -> Result<()> {
    if visits.is_empty() {
        return Ok(());
    }
    let sources = column(visits, |r| r.source.as_str());
    let ids = column(visits, |r| r.id.as_str());
    let linking = sqlx::query(LINK_WAITING).bind(user).bind(&sources).bind(&ids).bind(slice());
    if linking.execute(&mut **tx).await?.rows_affected() == slice().unsigned_abs() {
        sqlx::query(OWE_LINKS).bind(user).bind(&sources).bind(&ids).execute(&mut **tx).await?;
    }
    Ok(())
}

pub(super) async fn raise<C: Table>(tx: &mut Tx, user: UserId, rows: &[&Row<C>]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let table = C::NAME;
    let sql = format!(
        "UPDATE {table} SET revision = found.revision
         FROM (SELECT r.row_id, k.revision
               FROM unnest($2::text[], $3::text[], $4::bigint[]) AS k (source, id, revision)
               CROSS JOIN LATERAL (
                   SELECT row_id FROM {table}
                   WHERE user_id = $1 AND source = k.source AND id = k.id OFFSET 0) AS r) AS found
         WHERE {table}.row_id = found.row_id"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(user)
        .bind(column(rows, |r| r.source.as_str()))
        .bind(column(rows, |r| r.id.as_str()))
        .bind(column(rows, |r| r.rank.revision))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
