//! The reference backend on each of its stores, beside the same upserts in plain SQL.
//!
//! The plain side writes the rows that the backend has written, every column of them, into the same emptied tables with
//! the same indexes, the same settings and the same clause for conflicts: 200 in a transaction, as a batch has, waited for
//! on the disk. They come from a client as they do to the backend: a prepared upsert of 100 rows a table, with every value
//! bound, over one connection (to SQLite within this process, as the backend's own). What it does not do: read a request,
//! look at what is held, decide, link aggregates to visits, keep the answer under its key.

use super::Taken;
use super::crawl::{batch, register};
use super::drain::post;
use crate::figure::{By, Row};
use crate::lab::Lab;
use crate::plot::{Plot, Series};
use crate::postgres::Cluster;
use anyhow::{Context, Result, ensure};
use axum::body::Bytes;
use e2e::{BOOT, World};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row as _};
use std::time::Instant;

const IN_A_BATCH: u64 = 200;
const TABLES: [&str; 2] = ["page_visits", "tab_aggregates"];

pub async fn take(lab: Lab) -> Result<Taken> {
    let records = lab.size(20_000, 400);
    let bodies: Vec<Bytes> =
        (0..records / IN_A_BATCH).map(|n| batch(n * IN_A_BATCH..(n + 1) * IN_A_BATCH)).collect();
    let cluster = Cluster::start()?;
    let row = |store: &str| {
        Row::new(&format!("drain to the reference backend on {store}, batches of 200"), "records/s")
            .beside("the same upserts in plain SQL, batches of 200", By::Ratio)
            .at_least(0.60)
    };
    let (mut sqlite, mut postgres) = (row("SQLite"), row("PostgreSQL"));
    let mut course = [Vec::new(), Vec::new()];
    for round in 0..lab.rounds() {
        let world = World::new()?;
        let database = world.dir().join("backend.db");
        let (seconds, times) =
            serve(lab, &world, &format!("sqlite://{}", database.display()), &bodies).await?;
        lab.settle_disk();
        let plain = plain_sqlite(&database, records).await?;
        sqlite.round(records as f64 / seconds, records as f64 / plain);
        course[0].push(times);
        if let Some(cluster) = &cluster {
            let url = cluster.new_database(&format!("bench_{round}")).await?;
            let (seconds, times) = serve(lab, &world, &url, &bodies).await?;
            lab.settle_disk();
            let plain = plain_postgres(&url, records).await?;
            postgres.round(records as f64 / seconds, records as f64 / plain);
            course[1].push(times);
        }
        world.done();
        lab.progress("backend", round);
    }
    if cluster.is_none() {
        postgres.note = "there is no PostgreSQL on this machine".to_owned();
    }
    let series = ["SQLite", "PostgreSQL"].into_iter().zip(course).filter_map(|(name, rounds)| {
        let points: Vec<(f64, f64)> = rounds.into_iter().next_back()?;
        Some(Series::of(name, points))
    });
    let plot = Plot::new("backend", "Delivered to the reference backend", "records", "seconds").with(series);
    Ok(Taken { rows: vec![sqlite, postgres], plots: vec![plot] })
}

/// Seconds for all bodies, one after the other over one connection, as a companion sends them.
async fn serve(lab: Lab, world: &World, database: &str, bodies: &[Bytes]) -> Result<(f64, Vec<(f64, f64)>)> {
    let mut command = world.program("heyho-backend")?;
    command.args(["serve", "--listen", "127.0.0.1:0", "--database", database]);
    command.env("HEYHO_JWT_SECRET", "a secret of a bench, of thirty-two bytes or more");
    let mut process = world.start("backend", command)?;
    let url = format!("http://{}", process.line_after("listening on http://", BOOT).await?);
    let client = reqwest::Client::builder().no_proxy().build()?;
    let token = register(&client, &url).await?;
    lab.settle_disk();
    let start = Instant::now();
    let mut times = Vec::new();
    for (n, body) in bodies.iter().enumerate() {
        post(&client, &url, &token, body.clone()).await?;
        times.push(((n as u64 + 1) as f64 * IN_A_BATCH as f64, start.elapsed().as_secs_f64()));
    }
    let seconds = start.elapsed().as_secs_f64();
    process.terminate().await?;
    Ok((seconds, times))
}

/// A value of a row, as its column wants it.
enum Cell {
    Whole(Option<i64>),
    Real(Option<f64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Flag(Option<bool>),
    Id(Option<Uuid>),
}

/// The same for rows of both databases.
macro_rules! cell {
    ($row:expr, $place:expr, $kind:expr) => {
        match $kind {
            "INTEGER" | "bigint" => Cell::Whole($row.try_get($place)?),
            "REAL" | "double precision" => Cell::Real($row.try_get($place)?),
            "TEXT" | "text" => Cell::Text($row.try_get($place)?),
            "BLOB" | "bytea" => Cell::Bytes($row.try_get($place)?),
            "boolean" => Cell::Flag($row.try_get($place)?),
            "uuid" => Cell::Id($row.try_get($place)?),
            other => anyhow::bail!("no column is expected to be {other}"),
        }
    };
}

macro_rules! bound {
    ($query:expr, $rows:expr) => {{
        let mut query = $query;
        for cell in $rows.iter().flatten() {
            query = match cell {
                Cell::Whole(value) => query.bind(*value),
                Cell::Real(value) => query.bind(*value),
                Cell::Text(value) => query.bind(value.as_deref()),
                Cell::Bytes(value) => query.bind(value.as_deref()),
                Cell::Flag(value) => query.bind(*value),
                Cell::Id(value) => query.bind(*value),
            };
        }
        query
    }};
}

/// What the backend has written into a table, and the statement that writes so many rows of it.
struct Written {
    upsert: String,
    rows: Vec<Vec<Cell>>,
}

impl Written {
    /// `row_id` and the link are the database's own.
    fn new(table: &str, columns: &[(String, String)], parameter: fn(usize) -> String) -> Written {
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let kept = ["user_id", "source", "id", "received_at"];
        let anew = names.iter().filter(|name| !kept.contains(name));
        let anew: Vec<String> = anew.map(|name| format!("{name} = excluded.{name}")).collect();
        let mut number = 0;
        let mut next = |_| {
            number += 1;
            parameter(number)
        };
        let rows: Vec<String> = (0..IN_A_BATCH / 2)
            .map(|_| format!("({})", names.iter().map(&mut next).collect::<Vec<_>>().join(",")))
            .collect();
        let upsert = format!(
            "INSERT INTO {table} ({}) VALUES {} ON CONFLICT (user_id, source, id) DO UPDATE SET {}",
            names.join(", "),
            rows.join(","),
            anew.join(", ")
        );
        Written { upsert, rows: Vec::new() }
    }

    fn select(table: &str, columns: &[(String, String)]) -> AssertSqlSafe<String> {
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        AssertSqlSafe(format!("SELECT {} FROM {table} ORDER BY row_id", names.join(", ")))
    }

    /// Those of one batch.
    fn of_batch(&self, batch: usize) -> &[Vec<Cell>] {
        let size = IN_A_BATCH as usize / 2;
        self.rows.get(batch * size..(batch + 1) * size).unwrap_or_default()
    }
}

const COUNT: &str = "SELECT (SELECT count(*) FROM page_visits) + (SELECT count(*) FROM tab_aggregates)";

async fn plain_sqlite(database: &std::path::Path, records: u64) -> Result<f64> {
    let options = SqliteConnectOptions::new().filename(database).foreign_keys(true);
    let options = options.pragma("synchronous", "FULL").pragma("secure_delete", "ON");
    let mut db: SqliteConnection = options.connect().await?;
    let mut tables = Vec::new();
    for table in TABLES {
        let sql = format!(
            "SELECT name, type FROM pragma_table_info('{table}') WHERE name NOT IN ('row_id', 'page_visit_row')"
        );
        let columns: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut db).await?;
        let mut written = Written::new(table, &columns, |_| "?".to_owned());
        for row in sqlx::query(Written::select(table, &columns)).fetch_all(&mut db).await? {
            let cells = columns.iter().enumerate().map(|(n, (_, kind))| Ok(cell!(row, n, kind.as_str())));
            written.rows.push(cells.collect::<Result<_>>()?);
        }
        tables.push(written);
    }
    for sql in ["DELETE FROM tab_aggregates", "DELETE FROM page_visits", "PRAGMA wal_checkpoint(TRUNCATE)"] {
        sqlx::query(sql).execute(&mut db).await.context(sql)?;
    }
    let start = Instant::now();
    for batch in 0..(records / IN_A_BATCH) as usize {
        let mut tx = db.begin_with("BEGIN IMMEDIATE").await?;
        for table in &tables {
            let query = sqlx::query(AssertSqlSafe(table.upsert.as_str()));
            bound!(query, table.of_batch(batch)).execute(&mut *tx).await?;
        }
        tx.commit().await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let rows: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut db).await?;
    ensure!(rows as u64 == records, "{rows} of {records} were written plainly");
    db.close().await?;
    Ok(seconds)
}

async fn plain_postgres(url: &str, records: u64) -> Result<f64> {
    let mut db = PgConnection::connect(url).await?;
    let mut tables = Vec::new();
    for table in TABLES {
        let columns: Vec<(String, String)> = sqlx::query_as(
            "SELECT column_name::text, data_type::text FROM information_schema.columns
             WHERE table_name = $1 AND column_name NOT IN ('row_id', 'page_visit_row') ORDER BY ordinal_position",
        )
        .bind(table)
        .fetch_all(&mut db)
        .await?;
        let mut written = Written::new(table, &columns, |n| format!("${n}"));
        for row in sqlx::query(Written::select(table, &columns)).fetch_all(&mut db).await? {
            let cells = columns.iter().enumerate().map(|(n, (_, kind))| Ok(cell!(row, n, kind.as_str())));
            written.rows.push(cells.collect::<Result<_>>()?);
        }
        tables.push(written);
    }
    sqlx::raw_sql("TRUNCATE tab_aggregates, page_visits CASCADE; CHECKPOINT").execute(&mut db).await?;
    let start = Instant::now();
    for batch in 0..(records / IN_A_BATCH) as usize {
        let mut tx = db.begin().await?;
        for table in &tables {
            let query = sqlx::query(AssertSqlSafe(table.upsert.as_str()));
            bound!(query, table.of_batch(batch)).execute(&mut *tx).await?;
        }
        tx.commit().await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let rows: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut db).await?;
    ensure!(rows as u64 == records, "{rows} of {records} were written plainly");
    db.close().await?;
    Ok(seconds)
}
