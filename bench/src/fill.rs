//! Many waiting rows in little time: written by plain SQL and without waiting for the disk, into a file that the
//! real code has made and will open. What a row holds is what the real code would have stored of that record.

use crate::records;
use anyhow::{Context, Result, ensure};
use heyho_buffer::{Arrival, Buffer, Source};
use heyho_records::{Kind, Record};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, QueryBuilder, Sqlite};
use std::path::Path;

const IN_ONE_STATEMENT: u64 = 200;
const IN_ONE_TRANSACTION: u64 = 50_000;
/// Kept in memory meanwhile: ids are scattered over their index.
const CACHE_KIB: &str = "-2000000";

pub fn source() -> Source {
    Source {
        name: "chrome-extension://abcdefghijklmnopabcdefghijklmnop/#bench".to_owned(),
        profile_id: "bench".to_owned(),
        browser: "Chromium".to_owned(),
        client: "bench".to_owned(),
    }
}

/// Stores records through the real code: for a few.
pub async fn append(buffer: &Buffer, numbers: std::ops::Range<u64>, bytes: usize) -> Result<()> {
    let list = |wanted: Kind| -> Vec<String> {
        numbers.clone().filter(|n| records::kind(*n) == wanted).map(|n| records::record(n, bytes)).collect()
    };
    let (visits, aggregates) = (list(Kind::PageVisit), list(Kind::TabAggregate));
    let arrival = Arrival::read(None, &borrowed(&visits), &borrowed(&aggregates));
    let appended = buffer.append(&source(), &[arrival], 0, now_ms()).await?;
    let stored: u64 = appended.iter().map(|one| one.counts.stored).sum();
    ensure!(stored == numbers.end - numbers.start, "{stored} of {numbers:?} were stored");
    Ok(())
}

fn borrowed(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

pub fn now_ms() -> i64 {
    heyho_local::clock::system().now_ms()
}

/// Fills a closed buffer that somebody is signed in to.
pub async fn fill(path: &Path, numbers: std::ops::Range<u64>, bytes: usize) -> Result<()> {
    // One record through the real code makes the source.
    let buffer = Buffer::open(path).await?;
    let account = buffer.signed_in().await?.context("somebody is signed in")?.id.0;
    append(&buffer, numbers.start..numbers.start + 1, bytes).await?;
    buffer.close().await;
    let mut db = unsafe_but_fast(path).await?;
    let source: i64 = sqlx::query_scalar("SELECT max(source) FROM source").fetch_one(&mut db).await?;
    let (mut at, end, now) = (numbers.start + 1, numbers.end, now_ms());
    while at < end {
        let until = (at + IN_ONE_TRANSACTION).min(end);
        let mut tx = db.begin().await?;
        while at < until {
            let upto = (at + IN_ONE_STATEMENT).min(until);
            insert(&mut tx, (account, source, now), at..upto, bytes).await?;
            at = upto;
        }
        tx.commit().await?;
        if end - numbers.start > 1_000_000 && (at - numbers.start) % 1_000_000 < IN_ONE_TRANSACTION {
            eprintln!("  {} million records are laid out", (at - numbers.start) / 1_000_000);
        }
    }
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut db).await?;
    db.close().await?;
    // What was not waited for before is waited for now.
    Ok(std::fs::File::open(path)?.sync_all()?)
}

async fn unsafe_but_fast(path: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
    Ok(options.pragma("synchronous", "OFF").pragma("cache_size", CACHE_KIB).connect().await?)
}

async fn insert(
    db: &mut SqliteConnection,
    (account, source, now): (i64, i64, i64),
    numbers: std::ops::Range<u64>,
    bytes: usize,
) -> Result<()> {
    let read = |n| {
        let text = records::record(n, bytes);
        Record::read(records::kind(n), &text).map_err(|e| anyhow::anyhow!("{}: {text}", e.message))
    };
    let rows: Vec<Record> = numbers.map(read).collect::<Result<_>>()?;
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO record (kind, source, id, id_derived, account, revision, text, bytes, checksum, digest, \
         complete_1, complete_2, complete_3, tab, start_time, last_time, state, captured_at) ",
    );
    query.push_values(&rows, |mut values, row| {
        let complete = row.completeness.to_columns();
        values
            .push_bind(row.kind.number())
            .push_bind(source)
            .push_bind(&row.id)
            .push_bind(row.id_derived)
            .push_bind(account)
            .push_bind(1_i64)
            .push_bind(&row.text)
            .push_bind(row.text.len() as i64)
            .push_bind(i64::from(crc32fast::hash(row.text.as_bytes())))
            .push_bind(&row.digest[..])
            .push_bind(complete[0])
            .push_bind(complete[1])
            .push_bind(complete[2])
            .push_bind(row.facts.tab.as_deref())
            .push_bind(row.facts.start_time)
            .push_bind(row.facts.last_active)
            .push_bind(1_i64)
            .push_bind(now);
    });
    query.build().execute(&mut *db).await?;
    tabs(db, source, &rows, now).await
}

/// Which tab a visit was on, and when each life of a tab began: what linking an aggregate looks through.
async fn tabs(db: &mut SqliteConnection, source: i64, rows: &[Record], now: i64) -> Result<()> {
    let of = |kind: Kind| rows.iter().filter(move |row| row.kind == kind);
    if of(Kind::PageVisit).next().is_none() || of(Kind::TabAggregate).next().is_none() {
        return Ok(());
    }
    let mut query =
        QueryBuilder::<Sqlite>::new("INSERT INTO tab_visit (source, tab, visited_at, id, noted_at) ");
    query.push_values(of(Kind::PageVisit), |mut values, row| {
        let facts = &row.facts;
        values.push_bind(source).push_bind(facts.tab.as_deref()).push_bind(facts.visited_at);
        values.push_bind(&row.id).push_bind(now);
    });
    query.build().execute(&mut *db).await?;
    let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO tab_life (source, tab, start_time, noted_at) ");
    query.push_values(of(Kind::TabAggregate), |mut values, row| {
        values
            .push_bind(source)
            .push_bind(row.facts.tab.as_deref())
            .push_bind(row.facts.start_time)
            .push_bind(now);
    });
    query.build().execute(db).await?;
    Ok(())
}
