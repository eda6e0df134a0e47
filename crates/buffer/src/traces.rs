//! What is left of erased rows in the file itself, and in the log.
//!
//! `secure_delete` overwrites a row where it is deleted, but not where it stood before SQLite moved it to another page.
//! So after an erasure the file is written anew, and then the log is emptied. That this is owed is noted with the erasure
//! itself; whoever comes next does it: who asks again, the agent at its start and each quarter of an hour.

use crate::error::{BufferError, Result};
use crate::lock;
use crate::open::{Buffer, options};
use heyho_records::fault::planted;
use sqlx::{Connection, SqliteConnection};

/// Key in `meta`: rows were erased, as often as stands there, and the file was not written anew since.
const ERASED: &str = "erased";

/// In the transaction that erases.
pub(crate) async fn owe(tx: &mut SqliteConnection) -> Result<()> {
    const OWED: &str = "INSERT INTO meta (key, value) VALUES (?, '1') \
         ON CONFLICT DO UPDATE SET value = CAST(value AS INTEGER) + 1";
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
            Some(owed) if !planted("pages-as-they-were") => self.write_anew(&owed).await,
            _ => Ok(()),
        };
        let emptied = self.checkpoint().await?;
        match rewritten {
            Err(BufferError::Busy | BufferError::DiskFull) => Ok(false),
            done => done.map(|()| emptied),
        }
    }

    /// Writers wait meanwhile; readers do not.
    async fn write_anew(&self, owed: &str) -> Result<()> {
        // Not where another file has taken its place, or a newer program is the only one to write.
        self.write().await?.commit().await?;
        let _lock = lock::shared(&self.path).await?;
        // Once more in the log, and perhaps in a file of its own: tried without room, it would take what there is.
        let needed = 2 * std::fs::metadata(&self.path)?.len();
        if self.free_bytes().is_some_and(|free| free < needed) {
            return Err(BufferError::DiskFull);
        }
        // In memory as far as there is a cache for it, and in a file of its own beyond.
        let options = options(&self.path).pragma("temp_store", "FILE");
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let done = async {
            sqlx::query("VACUUM").execute(&mut connection).await?;
            // Unless somebody has erased more meanwhile.
            sqlx::query("DELETE FROM meta WHERE key = ? AND value = ?")
                .bind(ERASED)
                .bind(owed)
                .execute(&mut connection)
                .await
        }
        .await;
        // Closed here in any case, not at some later time: closing touches the files.
        connection.close().await?;
        done?;
        Ok(())
    }
}
