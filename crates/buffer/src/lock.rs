//! The lock beside the file, `buffer.db.lock`.
//!
//! Who writes holds it shared for the length of a transaction; who makes, migrates or sets aside the file
//! holds it alone. So nobody commits, and acknowledges, into a file that was just moved out of the way: under
//! the lock a writer sees whether the path still names the file it has open.

use crate::error::{BufferError, Result};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

/// As long as for SQLite's own lock.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
pub(crate) const AGAIN: Duration = Duration::from_millis(10);

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Which file a path names; never equal for two files that exist at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

pub(crate) async fn shared(path: &Path) -> Result<Lock> {
    take(path, File::try_lock_shared).await
}

pub(crate) async fn alone(path: &Path) -> Result<Lock> {
    take(path, File::try_lock).await
}

/// A handle of its own each time: a lock belongs to a handle, not to a process.
async fn take(path: &Path, lock: fn(&File) -> std::result::Result<(), TryLockError>) -> Result<Lock> {
    let file = private(&path.with_extension("db.lock"))?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match lock(&file) {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(AGAIN).await;
            }
            Err(TryLockError::WouldBlock) => return Err(BufferError::Busy),
            Err(TryLockError::Error(e)) => return Err(e.into()),
        }
    }
}

/// For this user alone.
#[cfg(unix)]
pub(crate) fn private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(not(unix))]
pub(crate) fn private(path: &Path) -> std::io::Result<File> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

#[cfg(unix)]
pub(crate) fn file_id(path: &Path) -> Result<FileId> {
    use std::os::unix::fs::MetadataExt;
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(FileId(metadata.dev(), metadata.ino())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(BufferError::Replaced),
        Err(e) => Err(e.into()),
    }
}

/// An open file cannot be moved there.
#[cfg(not(unix))]
pub(crate) fn file_id(_path: &Path) -> Result<FileId> {
    Ok(FileId(0, 0))
}
