//! Opening the file: the SQLite version, the schema, and who may set it up.
//!
//! Whoever comes first sets the schema up, under a lock beside the file (`buffer.db.lock`), because sqlx's
//! own migration lock does nothing on SQLite. `journal_mode` and `auto_vacuum` are set there once and only
//! there. A file written by a newer version is used as long as it says this version may still write it.

use crate::error::{BufferError, Result};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Row, Sqlite, Transaction};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Long enough for several others to finish their transactions of under 50 ms.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// SQLite 3.7.0 to 3.51.2 can corrupt a WAL file that two connections write: docs/adr/0002.
const OLDEST_SQLITE: i64 = 3_051_003;

/// An open buffer. Cheap to clone; all clones share its connections.
#[derive(Debug, Clone)]
pub struct Buffer {
    pub(crate) pool: SqlitePool,
    path: PathBuf,
}

impl Buffer {
    /// Opens the file, makes it where there is none, and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Buffer> {
        let options = options(path);
        match schema(&options).await? {
            Schema::Current => {}
            Schema::Newer => return Err(BufferError::SchemaNewer),
            Schema::None | Schema::Older => set_up(path, &options).await?,
        }
        // Two: a reader beside the writer. Each is a thread, so the host stays small.
        let pool = SqlitePoolOptions::new()
            .max_connections(2)
            .acquire_timeout(BUSY_TIMEOUT + Duration::from_secs(5))
            .connect_with(options)
            .await?;
        Ok(Buffer { pool, path: path.to_owned() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A transaction that writes: takes the write lock at once, so that it never fails half-way for being
    /// overtaken.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// A number that changes whenever another connection has committed. Ask on one connection only.
    pub async fn watch(&self) -> Result<Watch> {
        Ok(Watch { connection: SqliteConnection::connect_with(&options(&self.path)).await?, seen: 0 })
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Moves what the write-ahead log holds into the file and empties the log. False: a reader was in the way.
    pub async fn checkpoint(&self) -> Result<bool> {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.pool).await?;
        Ok(row.try_get::<i64, _>(0)? == 0)
    }
}

/// Notices the commits of other connections without being told.
#[derive(Debug)]
pub struct Watch {
    connection: SqliteConnection,
    seen: i64,
}

impl Watch {
    /// Whether anything was committed since the last call (the first call: true).
    pub async fn changed(&mut self) -> Result<bool> {
        let now: i64 = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut self.connection).await?;
        Ok(std::mem::replace(&mut self.seen, now) != now)
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // fsync on macOS does not reach the disk without it
        .pragma("fullfsync", "1")
        .pragma("temp_store", "MEMORY")
}

enum Schema {
    None,
    Older,
    Current,
    Newer,
}

async fn schema(options: &SqliteConnectOptions) -> Result<Schema> {
    if !options.get_filename().exists() {
        return Ok(Schema::None);
    }
    let mut connection = SqliteConnection::connect_with(options).await?;
    check_version(&mut connection).await?;
    let found = version(&mut connection).await;
    let newest = MIGRATOR.iter().map(|m| m.version).max().unwrap_or(0);
    let schema = match found? {
        None => Schema::None,
        Some(found) if found < newest => Schema::Older,
        Some(found) if found == newest => Schema::Current,
        Some(_) => {
            let oldest: Option<String> =
                sqlx::query_scalar("SELECT value FROM meta WHERE key = 'oldest_writer'")
                    .fetch_optional(&mut connection)
                    .await?;
            let may_write = oldest.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v <= newest);
            if may_write { Schema::Current } else { Schema::Newer }
        }
    };
    connection.close().await?;
    Ok(schema)
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

async fn set_up(path: &Path, options: &SqliteConnectOptions) -> Result<()> {
    let lock_path = path.with_extension("db.lock");
    let lock = tokio::task::spawn_blocking(move || -> std::io::Result<File> {
        let lock = private(&lock_path)?;
        lock.lock()?;
        Ok(lock)
    })
    .await
    .map_err(|e| BufferError::Unavailable(e.to_string()))??;
    // The file is made here, so that it is this user's alone from the first byte; SQLite gives the
    // write-ahead log the same mode.
    drop(private(path)?);
    let mut connection = SqliteConnection::connect_with(options).await?;
    check_version(&mut connection).await?;
    // In this order: auto_vacuum cannot be changed once the file is in WAL mode.
    sqlx::query("PRAGMA auto_vacuum = INCREMENTAL").execute(&mut connection).await?;
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut connection).await?;
    MIGRATOR.run_direct(None, &mut connection, false).await.map_err(|e| match e {
        sqlx::migrate::MigrateError::Execute(e) => BufferError::from(e),
        other => BufferError::Unavailable(format!("its schema cannot be brought up to date: {other}")),
    })?;
    connection.close().await?;
    drop(lock);
    Ok(())
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

#[cfg(unix)]
fn private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private(path: &Path) -> std::io::Result<File> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}
