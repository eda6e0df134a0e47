//! Opening the file: the SQLite version, the schema, and who may set it up.
//!
//! Whoever has it open holds it (see `held`). Whoever comes first sets the schema up, under the lock beside the file (see `lock`), because sqlx's own
//! migration lock does nothing on SQLite. `journal_mode` and `auto_vacuum` are set there once and only
//! there. A file written by a newer version is used as long as it says this version may still write it.

use crate::error::{BufferError, Result};
use crate::growth::Cap;
use crate::held::Held;
use crate::lock::{self, FileId, Lock};
use crate::owed;
use heyho_records::fault::planted;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Sqlite};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Long enough for several others to finish their transactions of under 50 ms.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Of the file in memory, in KiB as SQLite writes it: what one transaction changes, and the inner pages of the indexes. SQLite
/// adds up what the connections of a program may keep, and gives it to whichever uses it.
const FOR_WRITER: &str = "-4000";
const FOR_READERS: &str = "-250";
/// For a connection that looks at no row.
pub(crate) const FOR_NONE: &str = "-40";
/// SQLite 3.7.0 to 3.51.2 can corrupt a WAL file that two connections write: docs/adr/0002.
const OLDEST_SQLITE: i64 = 3_051_003;

/// An open buffer. Cheap to clone; all clones share its connections.
#[derive(Debug, Clone)]
pub struct Buffer {
    /// For whoever looks.
    pub(crate) pool: SqlitePool,
    /// One connection, which writes, and reads what is written next: what SQLite keeps of the file in memory is good until
    /// another connection commits, so that two that took turns at it would read the same pages again and again.
    pub(crate) writer: SqlitePool,
    pub(crate) path: PathBuf,
    pub(crate) cap: Cap,
    file: FileId,
    held: Arc<Mutex<Option<Held>>>,
    /// One at a time: who goes on with what was cut short must not take it out of another's hands.
    pub(crate) erasing: Arc<tokio::sync::Mutex<()>>,
}

/// A transaction that writes, and the lock that says so to whoever would set the file aside.
///
/// Not sqlx's own: that counts transactions itself, and when SQLite ends one because the disk is full the
/// count stays wrong and the connection refuses to write ever after. A connection whose transaction was not
/// committed is closed instead, which rolls back whatever there is.
#[derive(Debug)]
pub(crate) struct WriteTx {
    connection: PoolConnection<Sqlite>,
    committed: bool,
    _lock: Lock,
}

impl WriteTx {
    pub async fn commit(mut self) -> Result<()> {
        sqlx::query("COMMIT").execute(&mut *self.connection).await?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for WriteTx {
    fn drop(&mut self) {
        if !self.committed {
            self.connection.close_on_drop();
        }
    }
}

impl std::ops::Deref for WriteTx {
    type Target = SqliteConnection;
    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl std::ops::DerefMut for WriteTx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl Buffer {
    /// Opens the file, makes it where there is none, and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Buffer> {
        let options = options(path);
        let (mut held, file) = loop {
            if !path.exists() || owed::is_owed(path) {
                bring_up_to_date(path, &options).await?;
            }
            // Nobody sets the file aside between our look at which one it is and our having it open.
            let _lock = lock::shared(path).await?;
            // Whoever was at it was killed.
            if owed::is_owed(path) {
                continue;
            }
            break (Held::enter(path, &options).await?, lock::file_id(path)?);
        };
        match ready(path, options, &mut held, file).await {
            Ok((pool, writer)) => {
                let held = Arc::new(Mutex::new(Some(held)));
                let erasing = Arc::default();
                Ok(Buffer { pool, writer, path: path.to_owned(), cap: Cap::none(), file, held, erasing })
            }
            Err(error) => {
                let error = judged(&mut held.connection, error).await;
                held.leave().await;
                Err(error)
            }
        }
    }

    /// What an error stands for. SQLite refuses a statement also for a table that is not what it was: only that is damage.
    pub async fn judged(&self, error: BufferError) -> BufferError {
        if !matches!(error, BufferError::Refused(_)) {
            return error;
        }
        match self.pool.acquire().await {
            Ok(mut connection) => judged(&mut connection, error).await,
            Err(_) => error,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A transaction that writes: takes the write lock at once, so that it never fails half-way for being
    /// overtaken. Refused when the file was set aside since it was opened: what is committed there is gone.
    pub(crate) async fn write(&self) -> Result<WriteTx> {
        let lock = lock::shared(&self.path).await?;
        if lock::file_id(&self.path)? != self.file {
            return Err(BufferError::Replaced);
        }
        let mut tx = WriteTx { connection: self.writer.acquire().await?, committed: false, _lock: lock };
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *tx).await?;
        // A newer program may have changed the file since it was opened: hosts live for days.
        if oldest_writer(&mut tx).await?.is_some_and(|oldest| oldest > newest())
            && !planted("writes-any-schema")
        {
            return Err(BufferError::SchemaNewer);
        }
        Ok(tx)
    }

    /// Whether the path still names the file that we have open.
    pub fn is_in_place(&self) -> bool {
        lock::file_id(&self.path).is_ok_and(|file| file == self.file)
    }

    pub async fn close(&self) {
        self.pool.close().await;
        self.writer.close().await;
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(held) = held {
            held.leave().await;
        }
    }
}

/// The schema is ours, and the path still names the file that we have.
async fn ready(
    path: &Path,
    options: SqliteConnectOptions,
    held: &mut Held,
    file: FileId,
) -> Result<(SqlitePool, SqlitePool)> {
    match schema_of(&mut held.connection).await? {
        Schema::Current => {}
        Schema::Newer => return Err(BufferError::SchemaNewer),
        Schema::None | Schema::Older => {
            bring_up_to_date(path, &options).await?;
            held.attach().await?;
        }
    }
    let _lock = lock::shared(path).await?;
    if lock::file_id(path)? != file {
        return Err(BufferError::Replaced);
    }
    // Each connection is a thread, so that there are few, and none before it is wanted.
    let pool = |most| {
        SqlitePoolOptions::new()
            .max_connections(most)
            .acquire_timeout(BUSY_TIMEOUT + Duration::from_secs(5))
            // A file that is open answers.
            .test_before_acquire(false)
    };
    let readers = pool(2).connect_lazy_with(options.clone().pragma("cache_size", FOR_READERS));
    Ok((readers, pool(1).connect_with(options.pragma("cache_size", FOR_WRITER)).await?))
}

pub(crate) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(if planted("normal") { SqliteSynchronous::Normal } else { SqliteSynchronous::Full })
        .foreign_keys(true)
        // fsync on macOS does not reach the disk without it
        .pragma("fullfsync", "1")
        .pragma("temp_store", "MEMORY")
        // What is deleted is overwritten where it stands; what stood elsewhere before goes with an erasure (`traces`)
        .pragma("secure_delete", if planted("insecure-delete") { "OFF" } else { "ON" })
}

enum Schema {
    None,
    Older,
    Current,
    Newer,
}

async fn schema_of(connection: &mut SqliteConnection) -> Result<Schema> {
    check_version(connection).await?;
    let found = version(connection).await?;
    let newest = newest();
    Ok(match found {
        None => Schema::None,
        Some(found) if found < newest => Schema::Older,
        Some(found) => {
            let oldest = oldest_writer(connection).await?;
            // Of one's own schema it need not be said.
            let may_write = oldest.map_or(found == newest, |oldest| oldest <= newest);
            if may_write || planted("writes-any-schema") { Schema::Current } else { Schema::Newer }
        }
    })
}

/// The newest schema that this program knows.
fn newest() -> i64 {
    MIGRATOR.iter().map(|m| m.version).max().unwrap_or(0)
}

/// The oldest schema whose programs may write to this file.
async fn oldest_writer(connection: &mut SqliteConnection) -> Result<Option<i64>> {
    let oldest: Option<String> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'oldest_writer'")
        .fetch_optional(connection)
        .await?;
    Ok(oldest.and_then(|schema| schema.parse().ok()))
}

async fn version(connection: &mut SqliteConnection) -> Result<Option<i64>> {
    let table: Option<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE name = '_sqlx_migrations'")
            .fetch_optional(&mut *connection)
            .await?;
    if table.is_none() {
        return Ok(None);
    }
    Ok(sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(connection)
        .await?)
}

async fn bring_up_to_date(path: &Path, options: &SqliteConnectOptions) -> Result<()> {
    let _lock = if planted("migrates-unlocked") { None } else { Some(lock::alone(path).await?) };
    owed::finish(path).await?;
    make(path, options).await
}

/// A salvage that was cut short.
pub(crate) async fn take_up(path: &Path) -> Result<()> {
    let _lock = lock::alone(path).await?;
    owed::finish(path).await
}

/// Makes the file, or brings its schema up to date. Under the lock, held alone.
pub(crate) async fn make(path: &Path, options: &SqliteConnectOptions) -> Result<()> {
    crate::recover::adopt_left_over_logs(path)?;
    // The file is made here, so that it is this user's alone from the first byte; SQLite gives the
    // write-ahead log the same mode.
    drop(lock::private(path)?);
    let mut connection = SqliteConnection::connect_with(options).await?;
    let made = migrate(path, &mut connection).await;
    connection.close().await?;
    made
}

async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<()> {
    check_version(connection).await?;
    let newest = newest();
    match version(connection).await? {
        Some(found) if found < newest => crate::copies::back_up(path, connection, newest).await?,
        // Made half-way by somebody who was killed, or damaged: nothing is written over records.
        None if has_records(connection).await? => {
            return Err(BufferError::Damaged("it does not say which schema it has".to_owned()));
        }
        _ => {}
    }
    // In this order: auto_vacuum cannot be changed once the file is in WAL mode.
    sqlx::query("PRAGMA auto_vacuum = INCREMENTAL").execute(&mut *connection).await?;
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *connection).await?;
    MIGRATOR.run_direct(None, connection, false).await.map_err(|e| match e {
        sqlx::migrate::MigrateError::Execute(e) => BufferError::from(e),
        other => BufferError::Damaged(format!("its schema cannot be brought up to date: {other}")),
    })
}

async fn judged(connection: &mut SqliteConnection, error: BufferError) -> BufferError {
    let BufferError::Refused(why) = error else { return error };
    match check_schema(connection).await {
        // Not even these are understood, which every version understood so far.
        Err(BufferError::Refused(why) | BufferError::Damaged(why)) => BufferError::Damaged(why),
        _ => BufferError::Refused(why),
    }
}

/// A flipped bit in the name of a column passes SQLite's own check: the schema is compared to one made anew.
/// That of a newer version is its own affair: false.
pub(crate) async fn check_schema(connection: &mut SqliteConnection) -> Result<bool> {
    const SCHEMA: &str = "SELECT name || ': ' || ifnull(sql, '') FROM sqlite_schema \
         WHERE name NOT LIKE '%_sqlx_migrations%' ORDER BY name";
    if version(connection).await? > Some(newest()) {
        return Ok(false);
    }
    let found: Vec<String> = sqlx::query_scalar(SCHEMA).fetch_all(connection).await?;
    let mut model = SqliteConnection::connect("sqlite::memory:").await?;
    MIGRATOR
        .run_direct(None, &mut model, false)
        .await
        .map_err(|e| BufferError::Unavailable(format!("the schema cannot be made: {e}")))?;
    let expected: Vec<String> = sqlx::query_scalar(SCHEMA).fetch_all(&mut model).await?;
    model.close().await?;
    match found.iter().zip(&expected).find(|(found, expected)| found != expected) {
        None if found.len() == expected.len() => Ok(true),
        difference => {
            let name = difference.map_or("a table", |(_, expected)| expected.split(':').next().unwrap_or(""));
            Err(BufferError::Damaged(format!("its schema is not what it was: {name}")))
        }
    }
}

async fn has_records(connection: &mut SqliteConnection) -> Result<bool> {
    let table: Option<i64> = sqlx::query_scalar("SELECT 1 FROM sqlite_schema WHERE name = 'record'")
        .fetch_optional(connection)
        .await?;
    Ok(table.is_some())
}

async fn check_version(connection: &mut SqliteConnection) -> Result<()> {
    let found: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(connection).await?;
    check_sqlite(&found)
}

/// The linked SQLite must have the WAL-reset fault mended.
pub fn check_sqlite(version: &str) -> Result<()> {
    let mut parts = version.split('.').map(|part| part.parse::<i64>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let number = next() * 1_000_000 + next() * 1_000 + next();
    if number < OLDEST_SQLITE {
        return Err(BufferError::OldSqlite { found: version.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_statement_that_is_refused_is_damage_only_where_the_schema_is_not_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
        let ask = async || {
            let asked = sqlx::query("SELECT nothing FROM series").execute(&buffer.pool).await;
            buffer.judged(asked.unwrap_err().into()).await
        };
        let error = ask().await;
        assert!(matches!(error, BufferError::Refused(_)), "{error:?}");
        sqlx::query("ALTER TABLE series RENAME COLUMN stored TO nothing_else")
            .execute(&buffer.pool)
            .await
            .unwrap();
        let error = ask().await;
        assert!(matches!(&error, BufferError::Damaged(why) if why.contains("series")), "{error:?}");
        sqlx::query("DROP TABLE _sqlx_migrations").execute(&buffer.pool).await.unwrap();
        sqlx::query("CREATE TABLE _sqlx_migrations (other)").execute(&buffer.pool).await.unwrap();
        let error = ask().await;
        assert!(matches!(error, BufferError::Damaged(_)), "{error:?}");
    }
}
