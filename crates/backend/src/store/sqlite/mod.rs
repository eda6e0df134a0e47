//! The embedded store: one SQLite file in WAL mode.
//!
//! - One connection writes, so that writers wait in a fair queue here and not in SQLite's unfair one; every write is
//!   `BEGIN IMMEDIATE`. Others read: twice as many as one user's requests take.
//! - `synchronous=FULL`: a 200 was promised, so it outlives a power cut.
//! - Another process may share the file (a copy for a backup, `sqlite3`): `busy_timeout` covers it. The migration
//!   runs under a file lock, because SQLite has none of its own for that.

mod mark;
mod save;

#[path = "../both/answers.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod answers;
#[path = "../both/codes.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod codes;
#[path = "../both/delete.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod delete;
#[path = "../both/feed.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod feed;
#[path = "../both/links.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod links;
#[path = "../both/sessions.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod sessions;
#[path = "../both/users.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod users;

use super::*;
use crate::limits::USER_AT_ONCE;
use crate::secret::private;
use heyho_records::fault::planted;
use mark::mark;
use save::new_version;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, SqlitePool};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const READERS: usize = 2 * USER_AT_ONCE;
/// Longer than any transaction of ours takes, shorter than a client waits.
const BUSY: Duration = Duration::from_secs(10);
/// The WAL-reset fault of SQLite was mended in this version.
const OLDEST: (u32, u32, u32) = (3, 51, 3);

#[derive(Debug, Clone)]
pub struct SqliteStore {
    write: SqlitePool,
    read: SqlitePool,
}

use SqliteStore as This;
type Db = sqlx::Sqlite;
type Connection = sqlx::SqliteConnection;
type Tx = sqlx::Transaction<'static, sqlx::Sqlite>;

impl SqliteStore {
    /// Opens the database, making it and its folder where they are missing.
    pub async fn open(path: &Path) -> Result<SqliteStore> {
        make_file(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .pragma("trusted_schema", "OFF")
            // what was deleted is overwritten, not only forgotten
            .pragma("secure_delete", "ON");
        migrate(path, &options).await?;
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(BUSY * 2)
            // On a full disk SQLite ends the transaction by itself, sqlx goes on counting it as open, and no other
            // could ever begin on that connection.
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options.clone())
            .await?;
        let read = SqlitePoolOptions::new()
            .max_connections(u32::try_from(READERS).unwrap_or(u32::MAX))
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        Ok(SqliteStore { write, read })
    }

    /// A transaction that writes. Nobody else writes meanwhile.
    async fn begin(&self) -> Result<Tx> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Reads of one moment.
    async fn snapshot(&self) -> Result<Tx> {
        Ok(self.read.begin().await?)
    }

    fn reader(&self) -> &SqlitePool {
        &self.read
    }
}

/// A transaction that writes is alone already.
async fn lock_session(_tx: &mut Tx, _token: &TokenHash) -> Result<()> {
    Ok(())
}

async fn lock_user(_tx: &mut Tx, _user: UserId) -> Result<()> {
    Ok(())
}

/// There is no bound on any.
async fn may_take_long(_tx: &mut Tx) -> Result<()> {
    Ok(())
}

/// It reads one row after the other, and no further than it is asked.
fn page_of(rows: String) -> String {
    rows
}

/// A list of ids travels as one JSON text.
const AMONG: &str = "IN (SELECT value FROM json_each($1))";

fn ids(ids: Vec<i64>) -> String {
    serde_json::json!(ids).to_string()
}

fn make_file(path: &Path) -> Result<()> {
    let fail = |what| {
        let path = path.display().to_string();
        move |source| StoreError::File { what, path, source }
    };
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(fail("the folder of the database cannot be made"))?;
    }
    // SQLite gives its -wal and -shm files the mode of the database
    private(fs::OpenOptions::new().write(true).create(true).truncate(false))
        .open(path)
        .map_err(fail("the database file cannot be opened for writing"))?;
    Ok(())
}

async fn migrate(path: &Path, options: &SqliteConnectOptions) -> Result<()> {
    let lock_path = PathBuf::from(format!("{}.migrating", path.display()));
    let lock_error = |source| StoreError::File {
        what: "the migration lock cannot be taken",
        path: lock_path.display().to_string(),
        source,
    };
    let lock = private(fs::OpenOptions::new().write(true).create(true).truncate(false))
        .open(&lock_path)
        .map_err(lock_error)?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock))
        .await
        .map_err(std::io::Error::other)
        .flatten()
        .map_err(lock_error)?;
    // auto_vacuum only takes effect before the journal mode is set; both last in the file
    let options =
        options.clone().auto_vacuum(SqliteAutoVacuum::Incremental).journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&pool).await?;
    if !new_enough(&version) {
        return Err(StoreError::SqliteTooOld(version));
    }
    let mut migrations = sqlx::migrate!("migrations/sqlite");
    // The fault: each statement of a migration is a transaction of its own.
    if planted("upgraded-by-halves") {
        migrations.migrations.to_mut().iter_mut().for_each(|migration| migration.no_tx = true);
    }
    migrations.run(&pool).await?;
    pool.close().await;
    drop(lock);
    Ok(())
}

fn new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|p| p.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next()) >= OLDEST
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT version FROM feeds LIMIT 1").fetch_optional(&self.read).await?;
        Ok(())
    }

    async fn purge(&self, now: Millis) -> Result<u64> {
        let gone = self.forget(now).await?;
        // gives what deletions freed back to the file system, a little at a time; must be stepped to its end
        sqlx::query("PRAGMA incremental_vacuum(1000)").fetch_all(&self.write).await?;
        Ok(gone)
    }

    async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sqlite_with_the_wal_fault_is_refused() {
        for (version, ok) in
            [("3.51.3", true), ("3.51.2", false), ("3.40.1", false), ("3.52.0", true), ("4.0", true)]
        {
            assert_eq!(new_enough(version), ok, "{version}");
        }
        const { assert!(libsqlite3_sys::SQLITE_VERSION_NUMBER >= 3_051_003) };
    }
}
