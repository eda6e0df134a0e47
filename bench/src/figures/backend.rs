//! The reference backend on each of its stores, beside the same upserts in plain SQL.
//!
//! The plain side writes rows that the backend has written before, every column of them, into the same tables with
//! the same indexes: 200 in a transaction, as a batch has, waited for on the disk. The values are already in the
//! database, so nothing of it is spent on a client: a limit that no backend reaches.

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
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
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

fn upsert(table: &str, from: &str, columns: &[String], key: &str) -> String {
    let (list, set) = (columns.join(", "), columns.iter().map(|c| format!("{c} = excluded.{c}")));
    let set = set.collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO {table} ({list}) SELECT {list} FROM {from} WHERE {key} ON CONFLICT (user_id, source, id) DO UPDATE SET {set}"
    )
}

async fn plain_sqlite(database: &std::path::Path, records: u64) -> Result<f64> {
    let options = SqliteConnectOptions::new().filename(database).foreign_keys(true);
    let options = options.pragma("synchronous", "FULL").pragma("secure_delete", "ON");
    let mut db: SqliteConnection = options.connect().await?;
    let source = database.with_extension("rows.db");
    run(&mut db, &format!("VACUUM INTO '{}'", source.display())).await?;
    run(&mut db, &format!("ATTACH '{}' AS drained", source.display())).await?;
    for sql in ["DELETE FROM tab_aggregates", "DELETE FROM page_visits", "PRAGMA wal_checkpoint(TRUNCATE)"] {
        run(&mut db, sql).await?;
    }
    let mut upserts = Vec::new();
    for table in TABLES {
        let sql = format!("SELECT name FROM pragma_table_info('{table}')");
        let columns: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut db).await?;
        upserts.push(upsert(table, &format!("drained.{table}"), &columns, "row_id BETWEEN ? AND ?"));
    }
    let start = Instant::now();
    for from in (1..records as i64 / 2).step_by(IN_A_BATCH as usize / 2) {
        let mut tx = db.begin_with("BEGIN IMMEDIATE").await?;
        for upsert in &upserts {
            let query = sqlx::query(AssertSqlSafe(upsert.as_str()));
            query.bind(from).bind(from + IN_A_BATCH as i64 / 2 - 1).execute(&mut *tx).await?;
        }
        tx.commit().await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let rows: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM page_visits) + (SELECT count(*) FROM tab_aggregates)",
    )
    .fetch_one(&mut db)
    .await?;
    ensure!(rows as u64 == records, "{rows} of {records} were written plainly");
    db.close().await?;
    std::fs::remove_file(source)?;
    Ok(seconds)
}

async fn run(db: &mut SqliteConnection, sql: &str) -> Result<()> {
    sqlx::query(AssertSqlSafe(sql)).execute(db).await.with_context(|| sql.to_owned())?;
    Ok(())
}

async fn plain_postgres(url: &str, records: u64) -> Result<f64> {
    let mut db = PgConnection::connect(url).await?;
    let mut upserts = Vec::new();
    let mut prepare = String::new();
    for table in TABLES {
        prepare += &format!(
            "CREATE UNLOGGED TABLE drained_{table} AS SELECT row_number() OVER (ORDER BY version, id) AS place, * FROM {table};\n\
             CREATE INDEX ON drained_{table} (place);\nANALYZE drained_{table};\n"
        );
    }
    prepare += "TRUNCATE tab_aggregates, page_visits;";
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut db).await?;
    for table in TABLES {
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped \
             AND attidentity = '' AND attgenerated = '' ORDER BY attnum",
        )
        .bind(table)
        .fetch_all(&mut db)
        .await?;
        upserts.push(upsert(table, &format!("drained_{table}"), &columns, "place BETWEEN $1 AND $2"));
    }
    let start = Instant::now();
    for from in (1..records as i64 / 2).step_by(IN_A_BATCH as usize / 2) {
        let mut tx = db.begin().await?;
        for upsert in &upserts {
            let query = sqlx::query(AssertSqlSafe(upsert.as_str()));
            query.bind(from).bind(from + IN_A_BATCH as i64 / 2 - 1).execute(&mut *tx).await?;
        }
        tx.commit().await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let rows: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM page_visits) + (SELECT count(*) FROM tab_aggregates)",
    )
    .fetch_one(&mut db)
    .await?;
    ensure!(rows as u64 == records, "{rows} of {records} were written plainly");
    db.close().await?;
    Ok(seconds)
}
