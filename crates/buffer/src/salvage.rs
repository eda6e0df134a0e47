//! Reading what can be read of a damaged file, a range of rows at a time: a range that cannot be read is
//! halved until the rows that cannot be read are alone.
//!
//! Rows keep their numbers, so that their order and their reasons for failing stay true. What refers to a
//! row that is gone (an account, a source) is replaced by something that says so; nobody gets records whose
//! account cannot be read. A record whose text does not have its checksum any more is kept among the failed.

use crate::error::Result;
use crate::open::options;
use crate::recover::parts;
use crate::rows::intact;
use crate::state;
use heyho_records::fault::planted;
use heyho_records::reason::Reason;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Row};
use std::path::Path;

/// Numbers in one attempt: a sound file is read in few, a bad page costs few halvings.
const RANGE: i64 = 4_096;
/// Beside records; read from their beginning as far as they can be.
const TABLES: [&str; 10] =
    ["source", "account", "meta", "failure", "delivered", "tab_visit", "tab_life", "anchor", "run", "series"];

#[derive(Debug, Default)]
pub(crate) struct Saved {
    pub expected: Option<u64>,
    pub saved: u64,
    pub damaged: u64,
}

/// Carries over from the set-aside folder into the new buffer at `path`.
pub(crate) async fn carry_over(aside: &Path, path: &Path, now: i64) -> Result<Saved> {
    let name = path.file_name().unwrap_or_default();
    // Opening a file with a log writes to both: what was set aside stays as it was found.
    let reading = aside.join("reading");
    std::fs::create_dir_all(&reading)?;
    let result = async {
        // The index is made anew from the log.
        for (from, to) in parts(&aside.join(name)).iter().zip(parts(&reading.join(name))).take(2) {
            if from.exists() {
                std::fs::copy(from, to)?;
            }
        }
        let mut connection =
            SqliteConnection::connect_with(&options(path).foreign_keys(false).pragma("synchronous", "OFF"))
                .await?;
        // One table whose description cannot be read must not hide the others.
        sqlx::query("PRAGMA writable_schema = ON").execute(&mut connection).await?;
        let saved = read(&mut connection, &reading.join(name), now).await;
        // Whatever came of it is on the disk before anybody is told.
        sqlx::query("PRAGMA synchronous = FULL").execute(&mut connection).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
        connection.close().await?;
        saved
    }
    .await;
    std::fs::remove_dir_all(&reading)?;
    result
}

async fn read(connection: &mut SqliteConnection, from: &Path, now: i64) -> Result<Saved> {
    sqlx::query("ATTACH ? AS old")
        .bind(from.to_string_lossy().into_owned())
        .execute(&mut *connection)
        .await?;
    for table in TABLES {
        // Some will not be there in an older file.
        let _ = copy_table(connection, table).await;
    }
    let expected: Option<i64> =
        sqlx::query_scalar("SELECT sum(n) FROM old.counter").fetch_one(&mut *connection).await.ok().flatten();
    // The counters of the new file count what arrives in it.
    copy_records(connection).await?;
    sqlx::query("DETACH old").execute(&mut *connection).await?;
    mend_references(connection, now).await?;
    let damaged = set_damaged_aside(connection, now).await?;
    let saved: i64 = sqlx::query_scalar("SELECT count(*) FROM record").fetch_one(connection).await?;
    Ok(Saved { expected: expected.map(|n| n.max(0) as u64), saved: saved as u64, damaged })
}

/// Those columns that both files have.
async fn columns(connection: &mut SqliteConnection, table: &str) -> Result<String> {
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT n.name FROM pragma_table_info(?1, 'main') n \
         JOIN pragma_table_info(?1, 'old') o ON o.name = n.name ORDER BY n.cid",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    Ok(columns.join(", "))
}

async fn copy_table(connection: &mut SqliteConnection, table: &str) -> Result<()> {
    let columns = columns(connection, table).await?;
    if columns.is_empty() {
        return Ok(());
    }
    let copy = format!("INSERT OR REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM old.{table}");
    if sqlx::query(AssertSqlSafe(copy.clone())).execute(&mut *connection).await.is_ok() {
        return Ok(());
    }
    for rows in (0..20).map(|power| 1i64 << power) {
        sqlx::query(AssertSqlSafe(format!("{copy} LIMIT {rows}"))).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn copy_records(connection: &mut SqliteConnection) -> Result<()> {
    let columns = columns(connection, "record").await?;
    let bound = async |connection: &mut SqliteConnection, sql: &'static str| -> Option<i64> {
        sqlx::query_scalar(sql).fetch_optional(connection).await.ok().flatten()
    };
    let last = match bound(connection, "SELECT seq FROM old.sqlite_sequence WHERE name = 'record'").await {
        Some(last) => last,
        None => bound(connection, "SELECT max(seq) FROM old.record").await.unwrap_or(0),
    };
    let first = bound(connection, "SELECT min(seq) FROM old.record").await.unwrap_or(1).max(1);
    let copy = format!("INSERT OR IGNORE INTO main.record ({columns}) SELECT {columns} FROM old.record");
    // A range looks at the row after its last one, to see that it is over: one row is asked for as one.
    let (range, one) = (format!("{copy} WHERE seq BETWEEN ?1 AND ?2"), format!("{copy} WHERE seq = ?1"));
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    let mut next = first;
    while next <= last {
        ranges.push((next, last.min(next + RANGE - 1)));
        while let Some((low, high)) = ranges.pop() {
            let copied = if low < high {
                sqlx::query(AssertSqlSafe(range.clone())).bind(low).bind(high).execute(&mut *connection).await
            } else {
                sqlx::query(AssertSqlSafe(one.clone())).bind(low).execute(&mut *connection).await
            };
            if copied.is_err() && low < high && !planted("range-given-up") {
                let middle = low + (high - low) / 2;
                ranges.extend([(low, middle), (middle + 1, high)]);
            }
        }
        next += RANGE;
    }
    // A number that was given once is not given again.
    sqlx::query("UPDATE main.sqlite_sequence SET seq = max(seq, ?) WHERE name = 'record'")
        .bind(last)
        .execute(connection)
        .await?;
    Ok(())
}

async fn mend_references(connection: &mut SqliteConnection, now: i64) -> Result<()> {
    for statement in [
        "DELETE FROM record WHERE kind NOT IN (SELECT kind FROM kind)",
        "UPDATE record SET state = 2 WHERE state NOT IN (SELECT state FROM state)",
        // Claimed by nobody silently: it is not known whose they are.
        "UPDATE record SET claim_ref = 'lost:' || account, account = NULL \
         WHERE account NOT IN (SELECT account FROM account)",
        "DELETE FROM failure WHERE seq NOT IN (SELECT seq FROM record)",
        "DELETE FROM meta WHERE key IN ('signed_in', 'last_signed_in') \
         AND CAST(value AS INTEGER) NOT IN (SELECT account FROM account)",
        "DELETE FROM delivered WHERE source NOT IN (SELECT source FROM source) \
         OR account NOT IN (SELECT account FROM account) OR kind NOT IN (SELECT kind FROM kind)",
        "DELETE FROM tab_visit WHERE source NOT IN (SELECT source FROM source)",
        "DELETE FROM tab_life WHERE source NOT IN (SELECT source FROM source)",
        "DELETE FROM anchor WHERE source NOT IN (SELECT source FROM source) \
         OR account NOT IN (SELECT account FROM account)",
        "DELETE FROM run WHERE account NOT IN (SELECT account FROM account)",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    sqlx::query(
        "INSERT INTO source (source, name, profile_id, seen_at) \
         SELECT DISTINCT source, 'lost:' || source, '', ? FROM record \
         WHERE source NOT IN (SELECT source FROM source)",
    )
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets texts aside that are not what was stored, and failed records whose reason is gone. Says how many
/// texts there were.
async fn set_damaged_aside(connection: &mut SqliteConnection, now: i64) -> Result<u64> {
    let found = find_damaged(connection).await?;
    mark_damaged(connection, &found, now).await
}

/// A row that cannot be passed on as it is.
#[derive(Debug)]
pub(crate) struct Damaged {
    seq: i64,
    id: String,
    text: String,
    /// Else it is only not known why it had failed.
    changed: bool,
}

/// Reads every record: as long as a quick check. Bytes, not strings: a flipped bit makes a string that cannot
/// be read at all.
pub(crate) async fn find_damaged(connection: &mut SqliteConnection) -> Result<Vec<Damaged>> {
    let (mut after, mut found) = (0i64, Vec::new());
    loop {
        let rows = sqlx::query(
            "SELECT r.seq, CAST(r.text AS BLOB), r.checksum, r.state > 1 AND f.seq IS NULL, \
             CAST(r.id AS BLOB), CAST(r.tab AS BLOB) FROM record r \
             LEFT JOIN failure f ON f.queue = 1 AND f.seq = r.seq WHERE r.seq > ? ORDER BY r.seq LIMIT 500",
        )
        .bind(after)
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = last.try_get(0)?;
        for row in &rows {
            let (seq, text, id): (i64, Vec<u8>, Vec<u8>) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(4)?);
            let tab: Option<Vec<u8>> = row.try_get(5)?;
            let readable =
                [&text, &id].into_iter().chain(&tab).all(|bytes| std::str::from_utf8(bytes).is_ok());
            let changed = !intact(&text, row.try_get(2)?) || !readable;
            if changed || row.try_get::<bool, _>(3)? {
                let id = String::from_utf8(id).unwrap_or_else(|_| format!("damaged:{seq}"));
                let text = String::from_utf8_lossy(&text).into_owned();
                found.push(Damaged { seq, id, text, changed });
            }
        }
    }
}

pub(crate) async fn mark_damaged(
    connection: &mut SqliteConnection,
    found: &[Damaged],
    now: i64,
) -> Result<u64> {
    for row in found {
        let message =
            if row.changed { "it is not what was stored" } else { "why it had failed cannot be read" };
        let tab = if row.changed { "NULL" } else { "tab" };
        sqlx::query(AssertSqlSafe(format!(
            "UPDATE OR IGNORE record SET state = ?, id = ?, text = ?, bytes = ?, tab = {tab} WHERE seq = ?"
        )))
        .bind(state::FAILED)
        .bind(&row.id)
        .bind(&row.text)
        .bind(row.text.len() as i64)
        .bind(row.seq)
        .execute(&mut *connection)
        .await?;
        let reason = Reason::Damaged { message: message.to_owned() };
        crate::failed::note(connection, row.seq, &reason, 1, now).await?;
    }
    Ok(found.iter().filter(|row| row.changed).count() as u64)
}
