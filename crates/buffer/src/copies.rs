//! Copies of the whole buffer that lie beside it: backups from before a migration (`backups/`), and damaged files
//! that were set aside (`set-aside/`). For this user alone, for thirty days, and until something is erased.

use crate::error::Result;
use crate::open::Buffer;
use crate::{held, lock, owed};
use sqlx::SqliteConnection;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const KEPT_FOR: Duration = Duration::from_secs(30 * 86_400);
pub(crate) const SET_ASIDE: &str = "set-aside";
const BACKUPS: &str = "backups";

impl Buffer {
    /// Deletes set-aside files and backups that are older than 30 days. Says how many.
    pub fn expire_copies(&self, now: i64) -> Result<u64> {
        let limit = u64::try_from(now).map_or(UNIX_EPOCH, |ms| UNIX_EPOCH + Duration::from_millis(ms));
        self.delete_copies(|made| limit.duration_since(made).is_ok_and(|age| age > KEPT_FOR))
    }

    /// All of them: they hold what is being erased. Within a transaction that writes, so that nobody is making one.
    pub(crate) fn delete_all_copies(&self) -> Result<u64> {
        owed::remove_left_over(&self.path)?;
        self.delete_copies(|_| true)
    }

    fn delete_copies(&self, old: impl Fn(SystemTime) -> bool) -> Result<u64> {
        let mut deleted = 0;
        let beside = |name| self.path.with_file_name(name);
        for folder in [beside(SET_ASIDE), beside(BACKUPS), vacuum_folder(&self.path)] {
            // What cannot be looked at may hold what is being erased.
            let Some(entries) = if_there(std::fs::read_dir(&folder))? else { continue };
            for entry in entries {
                let entry = entry?;
                // Who removes old ones, and who erases, may meet.
                let Some(metadata) = if_there(entry.metadata())? else { continue };
                if !old(metadata.modified()?) {
                    continue;
                }
                let removed = match metadata.is_dir() {
                    true => std::fs::remove_dir_all(entry.path()),
                    false => std::fs::remove_file(entry.path()),
                };
                deleted += if_there(removed)?.map_or(0, |()| 1);
            }
            // Else a power cut brings them back, when what they hold is erased everywhere else.
            held::sync(&folder)?;
        }
        Ok(deleted)
    }
}

fn if_there<T>(done: std::io::Result<T>) -> Result<Option<T>> {
    match done {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        done => Ok(Some(done?)),
    }
}

/// Where the file is written anew (`traces`). SQLite takes the name of what it makes there away at once, but a power cut
/// may bring it back.
pub(crate) fn vacuum_folder(path: &Path) -> PathBuf {
    path.with_extension("db.vacuum")
}

pub(crate) fn private_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// A copy from before a migration, whole and without a log.
pub(crate) async fn back_up(path: &Path, connection: &mut SqliteConnection, newest: i64) -> Result<()> {
    let folder = path.with_file_name(BACKUPS);
    private_dir(&folder)?;
    let copy = folder.join(format!("before-schema-{newest}.db"));
    // Of an attempt that ended half-way; made here, so that it is this user's alone.
    lock::private(&copy)?.set_len(0)?;
    sqlx::query("VACUUM INTO ?").bind(copy.to_string_lossy().into_owned()).execute(connection).await?;
    Ok(())
}
