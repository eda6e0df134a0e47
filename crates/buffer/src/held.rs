//! Who has the file open, and the log that is written anew by whoever comes first.
//!
//! A sync that fails leaves the kernel's memory and the disk at odds: Linux may call clean what never reached the disk,
//! and answers the next sync with success. SQLite refuses such a commit, and while anybody has the file open it writes
//! the next one over it. But when all programs have ended, the next to open the file finds the refused commit whole in
//! the log (in memory it is), takes it up, and appends behind it: what was acknowledged then would be gone after a power
//! cut, behind a hole. Therefore:
//! 1. Every open buffer holds a connection that does nothing. As long as there is one, nobody reads the log from its
//!    beginning and takes anything up.
//! 2. It holds `buffer.db.open` shared. Who gets that alone has come first: it writes every byte of the log once more,
//!    as it is, under SQLite's write lock, and syncs it and its folder. When that fails the buffer is not opened.
//!    Until it is done the file is empty; one byte says that it is.
//! 3. Bytes that stay what they are harm nobody, whenever and by however many they are written.
//!
//! Nothing is written down about a failed sync: a disk that fails would not keep it, and a program may be killed before.

use crate::error::{BufferError, Result};
use crate::growth;
use crate::lock::{AGAIN, PATIENCE, private};
use crate::open::FOR_NONE;
use heyho_records::fault::planted;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Executor};
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Of the log, read and written again at once.
const PIECE: usize = 1 << 20;

/// Ends in this order: first what says that there is a connection, then the connection. The other way round somebody
/// could find the lock held by one whose connection is gone, and take the log up unrenewed.
#[derive(Debug)]
pub(crate) struct Held {
    open: File,
    pub connection: SqliteConnection,
}

impl Held {
    /// Under the lock of `lock`, so that the file is not set aside meanwhile.
    pub async fn enter(path: &Path, options: &SqliteConnectOptions) -> Result<Held> {
        let mut connection =
            SqliteConnection::connect_with(&options.clone().pragma("cache_size", FOR_NONE)).await?;
        // Attached before it is asked who else is there: whoever ends now leaves the log's index to us.
        let entered = match attach(&mut connection).await {
            Ok(()) => enter(path, &mut connection).await,
            Err(error) => Err(error),
        };
        match entered {
            Ok(open) => Ok(Held { open, connection }),
            Err(error) => {
                // Here, not at some later time: closing touches the files.
                let _ = connection.close().await;
                Err(error)
            }
        }
    }

    /// Closes it now, not at some later time.
    pub async fn leave(self) {
        drop(self.open);
        let _ = self.connection.close().await;
    }

    /// Once more, to the log of a file that had none.
    pub async fn attach(&mut self) -> Result<()> {
        attach(&mut self.connection).await
    }
}

/// Only a read makes a connection take part in the log.
async fn attach(connection: &mut SqliteConnection) -> Result<()> {
    connection.execute("SELECT count(*) FROM sqlite_schema").await?;
    Ok(())
}

/// Beside the file, and set aside with it.
pub(crate) fn open_by(path: &Path) -> PathBuf {
    path.with_extension("db.open")
}

async fn enter(path: &Path, connection: &mut SqliteConnection) -> Result<File> {
    let file = private(&open_by(path))?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if locked(file.try_lock())? {
            file.set_len(0)?;
            renew(path, connection).await?;
            file.set_len(1)?;
            file.unlock()?;
        }
        if locked(file.try_lock_shared())? {
            if file.metadata()?.len() > 0 {
                return Ok(file);
            }
            // Whoever was at it is gone.
            file.unlock()?;
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(BufferError::Busy);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn locked(tried: std::result::Result<(), TryLockError>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

async fn renew(path: &Path, connection: &mut SqliteConnection) -> Result<()> {
    let log = path.with_extension("db-wal");
    if planted("log-as-found") || std::fs::metadata(&log).map_or(0, |m| m.len()) == 0 {
        return Ok(());
    }
    connection.execute("BEGIN IMMEDIATE").await?;
    let renewed = match write_again(&log) {
        // A file system that never writes in place needs room even for this.
        Err(e) if e.kind() == ErrorKind::StorageFull => {
            let _ = growth::release_ballast_of(path);
            write_again(&log)
        }
        renewed => renewed,
    };
    connection.execute("ROLLBACK").await?;
    renewed.map_err(|e| match e.kind() {
        ErrorKind::StorageFull => BufferError::DiskFull,
        _ => BufferError::Unavailable(format!("the disk failed while its log was made safe: {e}")),
    })
}

/// SQLite locks neither the log nor by it: closing it here drops no lock.
fn write_again(log: &Path) -> io::Result<()> {
    let mut file = match File::options().read(true).write(true).open(log) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let (mut piece, mut at) = (vec![0; PIECE], 0);
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&piece[..read])?;
        at += read as u64;
    }
    file.sync_all()?;
    sync_folder(log)
}

/// The folder that a file's name is in.
pub(crate) fn sync_folder(of: &Path) -> io::Result<()> {
    of.parent().map_or(Ok(()), platform::sync)
}

/// The names in a folder.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    platform::sync(folder)
}

#[cfg(unix)]
mod platform {
    use std::path::Path;

    pub fn sync(folder: &Path) -> std::io::Result<()> {
        std::fs::File::open(folder)?.sync_all()
    }
}

#[cfg(not(unix))]
mod platform {
    use std::path::Path;

    /// Folders cannot be synced there.
    pub fn sync(_folder: &Path) -> std::io::Result<()> {
        Ok(())
    }
}
