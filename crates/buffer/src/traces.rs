//! What is left of erased rows in the file itself, and in the log.
//!
//! `secure_delete` overwrites a row where it is deleted, but not where it stood before SQLite moved it to another page.
//! So after an erasure the file is written anew, and then the log is emptied. That this is owed is noted with the erasure
//! itself; whoever comes next does it: who erases or asks again, the agent at its start, each quarter of an hour and at
//! its end.
//!
//! 1. SQLite writes what there is into a file without a name (in memory, as far as there is a cache for it), and from
//!    there over the file, by way of the log. That file is made in `buffer.db.vacuum/`, for this user alone, on the disk
//!    whose room is looked at; not in the system's folder for such files. SQLite has one setting for a whole process.
//! 2. Nobody sets the file aside meanwhile. Copies that were made since the erasure hold its traces: they go first.

use crate::copies;
use crate::error::{BufferError, Result};
use crate::growth;
use crate::lock;
use crate::open::{Buffer, options};
use heyho_records::fault::planted;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tokio::sync::Mutex;

/// Key in `meta`: rows were erased, and the file was not written anew since. Of each erasure another value: who has
/// written the file anew strikes out what it began with, and no later debt.
const ERASED: &str = "erased";
/// Beside what is in use: the log's own, and what others store meanwhile.
const SPARE: u64 = 1 << 20;

/// Whoever has set the folder of SQLite's own files.
static FOLDER: Mutex<()> = Mutex::const_new(());

/// In the transaction that erases.
pub(crate) async fn owe(tx: &mut SqliteConnection) -> Result<()> {
    const OWED: &str = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, hex(randomblob(8)))";
    sqlx::query(OWED).bind(ERASED).execute(tx).await?;
    Ok(())
}

impl Buffer {
    /// Whether traces of erased rows may be left in pages.
    pub async fn owes_erasing(&self) -> Result<bool> {
        Ok(self.meta(ERASED).await?.is_some())
    }

    /// Removes what is left of erased rows in pages, and empties the log. False: another program is in the way, or the
    /// disk is full; nothing has to be said anew for it to be done later.
    pub async fn finish_erasing(&self) -> Result<bool> {
        let rewritten = match self.meta(ERASED).await? {
            Some(owed) if !planted("pages-as-they-were") => self.write_anew_to_its_end(owed).await,
            _ => Ok(()),
        };
        let emptied = self.checkpoint().await?;
        match rewritten {
            Err(BufferError::Busy | BufferError::DiskFull) => Ok(false),
            done => done.map(|()| emptied),
        }
    }

    /// A task of its own: whoever asked may be gone before SQLite is done (its account has changed, the program ends), and
    /// the lock and the folder stay taken for as long as the statement runs.
    async fn write_anew_to_its_end(&self, owed: String) -> Result<()> {
        let buffer = self.clone();
        let task = tokio::spawn(async move { buffer.write_anew(&owed).await });
        task.await.unwrap_or_else(|error| Err(BufferError::Unavailable(error.to_string())))
    }

    /// Writers wait meanwhile; readers do not.
    async fn write_anew(&self, owed: &str) -> Result<()> {
        let _lock = lock::shared(&self.path).await?;
        // Not where another file has taken its place, or a newer program is the only one to write.
        let mut tx = self.write().await?;
        if !planted("copies-stay") {
            self.delete_all_copies()?;
        }
        // Once in a file of its own and once more in the log: tried without room, it would take what there is.
        let needed = 2 * growth::used(&mut tx).await? + SPARE;
        tx.commit().await?;
        if self.free_bytes().is_some_and(|free| free < needed) {
            return Err(BufferError::DiskFull);
        }
        let folder = copies::vacuum_folder(&self.path);
        copies::private_dir(&folder)?;
        let Some(folder) = folder.to_str() else {
            return Err(BufferError::Unavailable(format!("{} is not in UTF-8", folder.display())));
        };
        let _folder = FOLDER.lock().await;
        let options = options(&self.path).pragma("temp_store", "FILE");
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let done = vacuum(&mut connection, folder, owed).await;
        // Closed here in any case, not at some later time: closing touches the files.
        connection.close().await?;
        done
    }
}

async fn vacuum(connection: &mut SqliteConnection, folder: &str, owed: &str) -> Result<()> {
    set_folder(connection, folder).await?;
    let done = sqlx::query("VACUUM").execute(&mut *connection).await;
    set_folder(connection, "").await?;
    done?;
    // Unless somebody has erased more meanwhile.
    sqlx::query("DELETE FROM meta WHERE key = ? AND value = ?")
        .bind(ERASED)
        .bind(owed)
        .execute(connection)
        .await?;
    Ok(())
}

async fn set_folder(connection: &mut SqliteConnection, folder: &str) -> Result<()> {
    let set = format!("PRAGMA temp_store_directory = '{}'", folder.replace('\'', "''"));
    sqlx::query(AssertSqlSafe(set)).execute(connection).await?;
    Ok(())
}
