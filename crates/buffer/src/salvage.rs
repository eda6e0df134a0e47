//! Reading what can be read of a damaged file, a range of rows at a time: a range that cannot be read is
//! halved until the rows that cannot be read are alone.
//!
//! Rows keep their numbers, so that their order and their reasons for failing stay true. What refers to a
//! row that is gone (an account, a source) is replaced by something that says so; nobody gets records whose
//! account cannot be read. A record whose text does not have its checksum any more is kept among the failed.
//!
//! Errors are those of the disk that is written to; what cannot be read of the damaged file is none.

use crate::copies::private_dir;
use crate::error::{BufferError, Result};
use crate::lock::private;
use crate::open::options;
use crate::recover::parts;
use crate::rows::intact;
use crate::state;
use heyho_records::fault::planted;
use heyho_records::reason::Reason;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Row};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Of a file, copied at once; where the disk does not give that back, a page.
const PIECE: usize = 1 << 20;
const PAGE: usize = 4_096;
/// Numbers beyond are damage: nobody has stored so many.
const FARTHEST: i64 = 1 << 40;
/// Attempts in a row where it is not even known which number comes next.
const BLIND: u32 = 1_000;
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

/// Carries over from the damaged file, which was set aside, into the new one. None: nothing can be read of it.
pub(crate) async fn carry_over(damaged: &Path, new: &Path, now: i64) -> Result<Option<Saved>> {
    // Opening a file with a log writes to both: what was set aside stays as it was found.
    let reading = damaged.with_file_name("reading");
    remove(&reading)?;
    private_dir(&reading)?;
    let copy = reading.join(damaged.file_name().unwrap_or_default());
    let result = async {
        // The index is made anew from the log.
        for (from, to) in parts(damaged).iter().zip(parts(&copy)).take(2) {
            if from.exists() {
                copy_readable(from, &to)?;
            }
        }
        let mut connection =
            SqliteConnection::connect_with(&options(new).foreign_keys(false).pragma("synchronous", "OFF"))
                .await?;
        // One table whose description cannot be read must not hide the others.
        sqlx::query("PRAGMA writable_schema = ON").execute(&mut connection).await?;
        let saved = read(&mut connection, &copy, now).await;
        // Whatever came of it is on the disk before anybody is told.
        sqlx::query("PRAGMA synchronous = FULL").execute(&mut connection).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
        connection.close().await?;
        match saved {
            Err(error) if !of_the_disk(&error) => {
                tracing::error!("nothing could be read of the damaged buffer: {error}");
                Ok(None)
            }
            saved => saved.map(Some),
        }
    }
    .await;
    remove(&reading)?;
    result
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// With zeros for what the disk does not give back.
fn copy_readable(from: &Path, to: &Path) -> Result<()> {
    let mut from = File::open(from)?;
    let mut to = private(to)?;
    to.set_len(0)?;
    let length = from.metadata()?.len();
    let (mut piece, mut at, mut size) = (vec![0; PIECE], 0, PIECE);
    while at < length {
        from.seek(SeekFrom::Start(at))?;
        let read = match from.read(&mut piece[..size]) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(_) if size > PAGE => {
                size = PAGE;
                continue;
            }
            Err(e) => {
                tracing::error!("the page at {at} of the damaged buffer cannot be read: {e}");
                piece[..PAGE].fill(0);
                PAGE.min((length - at) as usize)
            }
        };
        to.write_all(&piece[..read])?;
        at += read as u64;
    }
    Ok(())
}

/// Else it is the damaged file's.
fn of_the_disk(error: &BufferError) -> bool {
    matches!(error, BufferError::DiskFull | BufferError::DiskFails | BufferError::Busy)
}

/// Whether a statement was carried out; not, for something in the damaged file.
fn carried<T>(done: std::result::Result<T, sqlx::Error>) -> Result<bool> {
    let Err(error) = done else { return Ok(true) };
    // SQLITE_IOERR_READ and _SHORT_READ: nothing that is written.
    let reading = error.as_database_error().and_then(|e| e.code()).is_some_and(|c| c == "266" || c == "522");
    match BufferError::from(error) {
        error if of_the_disk(&error) && !reading => Err(error),
        _ => Ok(false),
    }
}

async fn read(connection: &mut SqliteConnection, from: &Path, now: i64) -> Result<Saved> {
    sqlx::query("ATTACH ? AS old")
        .bind(from.to_string_lossy().into_owned())
        .execute(&mut *connection)
        .await?;
    const OLDEST: &str = "SELECT value FROM main.meta WHERE key = 'oldest_writer'";
    let oldest: Option<String> = sqlx::query_scalar(OLDEST).fetch_optional(&mut *connection).await?;
    for table in TABLES {
        // Some will not be there in an older file.
        match copy_table(connection, table).await {
            Err(error) if of_the_disk(&error) => return Err(error),
            _ => {}
        }
    }
    // Who may write is what the new file says of itself.
    sqlx::query("UPDATE main.meta SET value = ? WHERE key = 'oldest_writer'")
        .bind(oldest)
        .execute(&mut *connection)
        .await?;
    let counted: Option<i64> = sqlx::query_scalar("SELECT CAST(total(n) AS INTEGER) FROM old.counter")
        .fetch_one(&mut *connection)
        .await
        .ok();
    let last = copy_records(connection).await?;
    // There were never more than numbers were given; what says so cannot be read.
    let expected = counted.filter(|n| *n >= 0 && (last == 0 || *n <= last));
    sqlx::query("DETACH old").execute(&mut *connection).await?;
    mend_references(connection, now).await?;
    let damaged = set_damaged_aside(connection, now).await?;
    // Whatever came in and was taken away again: a file whose counts do not fit is damaged.
    for statement in [
        "DELETE FROM counter",
        "INSERT INTO counter SELECT ifnull(account, 0), kind, state, count(*), sum(bytes) FROM record GROUP BY 1, 2, 3",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    let (_, saved) = counts(connection).await?;
    Ok(Saved { expected: expected.map(|n| n as u64), saved: saved as u64, damaged })
}

/// How many records the database counts, as its triggers do with each row, and how many there are, in the table itself
/// and not in an index of it.
pub(crate) async fn counts(connection: &mut SqliteConnection) -> Result<(i64, i64)> {
    Ok(sqlx::query_as(
        "SELECT (SELECT CAST(total(n) AS INTEGER) FROM counter), (SELECT count(*) FROM record NOT INDEXED)",
    )
    .fetch_one(connection)
    .await?)
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
    if carried(sqlx::query(AssertSqlSafe(copy.clone())).execute(&mut *connection).await)? {
        return Ok(());
    }
    for rows in (0..20).map(|power| 1i64 << power) {
        let some = format!("{copy} LIMIT {rows}");
        if !carried(sqlx::query(AssertSqlSafe(some)).execute(&mut *connection).await)? {
            break;
        }
    }
    Ok(())
}

/// Says which number was given last, as far as it can be read.
async fn copy_records(connection: &mut SqliteConnection) -> Result<i64> {
    let columns = columns(connection, "record").await?;
    let bound = async |connection: &mut SqliteConnection, sql: &'static str| -> Option<i64> {
        sqlx::query_scalar(sql).fetch_optional(connection).await.ok().flatten()
    };
    let given = bound(connection, "SELECT seq FROM old.sqlite_sequence WHERE name = 'record'").await;
    let there = bound(connection, "SELECT max(seq) FROM old.record").await;
    let last = given.into_iter().chain(there).filter(|seq| *seq <= FARTHEST).max().unwrap_or(0);
    let copy = format!("INSERT OR IGNORE INTO main.record ({columns}) SELECT {columns} FROM old.record");
    // A range looks at the row after its last one, to see that it is over: one row is asked for as one.
    let (range, one) = (format!("{copy} WHERE seq BETWEEN ?1 AND ?2"), format!("{copy} WHERE seq = ?1"));
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    let (mut next, mut blind) = (1, 0);
    loop {
        // Neither the number that was given last nor the greatest can be trusted to be the end.
        let found: std::result::Result<Option<i64>, _> =
            sqlx::query_scalar("SELECT min(seq) FROM old.record WHERE seq BETWEEN ?1 AND ?2")
                .bind(next)
                .bind(FARTHEST)
                .fetch_one(&mut *connection)
                .await;
        match found {
            Ok(None) => break,
            Ok(Some(seq)) => (next, blind) = (seq.max(next), 0),
            Err(_) if next > last || blind == BLIND => break,
            Err(_) => blind += 1,
        }
        ranges.push((next, next + RANGE - 1));
        while let Some((low, high)) = ranges.pop() {
            let copied = if low < high {
                sqlx::query(AssertSqlSafe(range.clone())).bind(low).bind(high).execute(&mut *connection).await
            } else {
                sqlx::query(AssertSqlSafe(one.clone())).bind(low).execute(&mut *connection).await
            };
            if !carried(copied)? && low < high && !planted("range-given-up") {
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
    Ok(last)
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
    /// As it was read: a version that came since is another text.
    revision: i64,
    checksum: i64,
    id: String,
    text: String,
    /// Else it is only not known why it had failed.
    changed: bool,
}

/// Reads every record: as long as a quick check. Those that are among the failed for that already are not found again.
/// Bytes, not strings: a flipped bit makes a string that cannot
/// be read at all. What state a later version's is in, and why, is not known here.
pub(crate) async fn find_damaged(connection: &mut SqliteConnection) -> Result<Vec<Damaged>> {
    let (mut after, mut found) = (0i64, Vec::new());
    loop {
        let rows = sqlx::query(
            "SELECT r.seq, CAST(r.text AS BLOB), r.checksum, r.state IN (2, 3) AND f.seq IS NULL, \
             CAST(r.id AS BLOB), CAST(r.tab AS BLOB), r.revision, \
             r.state IN (2, 3) AND f.code IS 'damaged' \
             FROM record r \
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
            let checksum = row.try_get(2)?;
            let changed = (!intact(&text, checksum) && !row.try_get::<bool, _>(7)?) || !readable;
            if changed || row.try_get::<bool, _>(3)? {
                let id = String::from_utf8(id).unwrap_or_else(|_| format!("damaged:{seq}"));
                let text = String::from_utf8_lossy(&text).into_owned();
                found.push(Damaged { seq, revision: row.try_get(6)?, checksum, id, text, changed });
            }
        }
    }
}

pub(crate) async fn mark_damaged(
    connection: &mut SqliteConnection,
    found: &[Damaged],
    now: i64,
) -> Result<u64> {
    let mut count = 0;
    for row in found {
        let message =
            if row.changed { "it is not what was stored" } else { "why it had failed cannot be read" };
        let tab = if row.changed { "NULL" } else { "tab" };
        let marked = sqlx::query(AssertSqlSafe(format!(
            "UPDATE OR IGNORE record SET state = ?, id = ?, text = ?, bytes = ?, tab = {tab} \
             WHERE seq = ? AND revision = ? AND checksum = ?"
        )))
        .bind(state::FAILED)
        .bind(&row.id)
        .bind(&row.text)
        .bind(row.text.len() as i64)
        .bind(row.seq)
        .bind(row.revision)
        .bind(row.checksum)
        .execute(&mut *connection)
        .await?;
        if marked.rows_affected() == 0 {
            continue;
        }
        let reason = Reason::Damaged { message: message.to_owned() };
        crate::failed::note(connection, row.seq, &reason, 1, now).await?;
        count += u64::from(row.changed);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arrival, Buffer, Source};

    async fn store(buffer: &Buffer, text: &str) {
        let source = Source {
            name: "x#p".to_owned(),
            profile_id: "p".to_owned(),
            browser: String::new(),
            client: String::new(),
        };
        buffer.append(&source, &[Arrival::read(None, &[text], &[])], 0, 1).await.unwrap();
    }

    #[tokio::test]
    async fn a_version_that_comes_while_texts_are_looked_at_is_not_replaced_by_the_damaged_one() {
        let dir = tempfile::tempdir().unwrap();
        let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
        store(&buffer, r#"{"id":"a","url":"http://a/","startedAt":1,"endedAt":2}"#).await;
        let mut connection = buffer.pool.acquire().await.unwrap();
        sqlx::query("UPDATE record SET text = 'x' || text").execute(&mut *connection).await.unwrap();
        let found = find_damaged(&mut connection).await.unwrap();
        assert_eq!(found.len(), 1);
        drop(connection);
        store(&buffer, r#"{"id":"a","url":"http://a/","startedAt":1,"endedAt":3}"#).await;
        let mut tx = buffer.write().await.unwrap();
        assert_eq!(mark_damaged(&mut tx, &found, 1).await.unwrap(), 0);
        tx.commit().await.unwrap();
        assert_eq!(buffer.failed(0, 10, None).await.unwrap(), []);
        let line = buffer.export(None, false).next().await.unwrap().remove(0);
        assert!(line.record.get().contains(r#""endedAt":3"#));
    }
}
