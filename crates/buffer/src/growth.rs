//! What keeps the file small: a cap, giving pages back, emptying the log; and the ballast, a file that is let
//! go when the disk is full, because deleting needs room too.
//!
//! The cap counts pages in use, so that draining makes room at once. Nothing acknowledged is ever dropped to
//! make room: beyond the cap, and while the ballast is let go, arrivals are refused.

use crate::error::{BufferError, Result};
use crate::lock::private;
use crate::open::{Buffer, options};
use heyho_records::fault::planted;
use heyho_records::status::Said;
use sqlx::{Connection, Row, SqliteConnection};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The default cap is the smaller of this and a tenth of the free disk.
const LARGEST_CAP: u64 = 2_000_000_000;
/// A log beyond this means that a reader never ends.
pub const LOG_ALARM: u64 = 64 << 20;
/// A few batches' worth of deleting and the checkpoint behind it.
const BALLAST: u64 = 8 << 20;
/// Less than a few frames of the largest records need: the next arrival may not be taken.
const NO_ROOM: u64 = 512 << 10;
/// Pages given back in one short transaction: others write in between.
const PAGES_AT_ONCE: i64 = 500;
/// Emptying the log keeps writers waiting for as long as it waits for a reader.
const CHECKPOINT_PATIENCE: Duration = Duration::from_millis(500);

const NO_CAP: u64 = u64::MAX;
/// By the free disk, as it is whenever it is asked: a host lives for days.
const DEFAULT_CAP: u64 = u64::MAX - 1;

/// How large the buffer may grow; shared by all clones of it.
#[derive(Debug, Clone)]
pub(crate) struct Cap(Arc<AtomicU64>);

impl Cap {
    pub fn none() -> Cap {
        Cap(Arc::new(AtomicU64::new(NO_CAP)))
    }

    fn bytes(&self, path: &Path) -> Option<u64> {
        match self.0.load(Ordering::Relaxed) {
            NO_CAP => None,
            DEFAULT_CAP => Some(LARGEST_CAP.min(platform::free_bytes(path).unwrap_or(u64::MAX) / 10)),
            cap => Some(cap),
        }
    }
}

/// What tidying came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tidied {
    /// Pages given back to the file system.
    pub pages: u64,
    /// The length of the log afterwards.
    pub log_bytes: u64,
    /// The log is over 64 MB: some program reads and never ends.
    pub log_alarm: bool,
}

impl Buffer {
    /// With the cap of the settings; none there: the smaller of 2 GB and a tenth of the free disk.
    #[must_use]
    pub fn with_cap(self, max_bytes: Option<u64>) -> Buffer {
        self.set_cap(max_bytes);
        self
    }

    /// From now on, for all clones of this buffer.
    pub fn set_cap(&self, max_bytes: Option<u64>) {
        self.cap.0.store(max_bytes.unwrap_or(DEFAULT_CAP), Ordering::Relaxed);
    }

    /// Refuses when there is no room for more.
    pub(crate) async fn room(&self, tx: &mut SqliteConnection) -> Result<()> {
        if self.ballast_is_released() {
            // Perhaps there is room again, and no agent that would lay it by.
            self.make_ballast()?;
            if self.ballast_is_released() {
                return Err(BufferError::DiskFull);
            }
        }
        let Some(cap) = self.cap.bytes(&self.path) else { return Ok(()) };
        let used = used(tx).await?;
        if used >= cap {
            return Err(BufferError::Full { used, cap });
        }
        Ok(())
    }

    /// What the user should know of the file: `disk_full` or `buffer_full`.
    pub async fn problem(&self) -> Result<Option<Said>> {
        if self.disk_is_full() {
            let text = "The disk is full. What is here is still sent, nothing new is taken: free some space.";
            return Ok(Some(Said::new("disk_full", text)));
        }
        let mut connection = self.pool.acquire().await?;
        let used = used(&mut connection).await?;
        Ok(self.cap.bytes(&self.path).filter(|cap| used >= *cap).map(|cap| {
            let text = format!(
                "The buffer is full: {used} bytes are kept, and {cap} are allowed ([buffer] max_bytes). \
                 Nothing new is taken until records are delivered."
            );
            Said::new("buffer_full", text)
        }))
    }

    /// Gives free pages back, empties the log and makes the ballast anew. For idle moments: it writes.
    pub async fn tidy(&self) -> Result<Tidied> {
        let mut connection = self.pool.acquire().await?;
        let mut pages = 0;
        let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *connection).await?;
        // Bounded: others free pages meanwhile.
        for _ in 0..=free / PAGES_AT_ONCE {
            let before: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *connection).await?;
            // Every step of this statement gives one page back: it has to be read to its end.
            let vacuum = format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})");
            let vacuum = sqlx::query(sqlx::AssertSqlSafe(vacuum));
            match planted("vacuum-one-step") {
                true => drop(vacuum.fetch_optional(&mut *connection).await?),
                false => drop(vacuum.fetch_all(&mut *connection).await?),
            }
            let after: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *connection).await?;
            pages += (before - after).max(0) as u64;
        }
        drop(connection);
        // First: whatever keeps traces from being removed must not keep arrivals from being taken; nor the reverse. And once
        // more where the room was still in the log.
        let _ = self.make_ballast();
        let erased = self.finish_erasing().await;
        self.make_ballast()?;
        erased?;
        let log_bytes = self.log_bytes();
        Ok(Tidied { pages, log_bytes, log_alarm: log_bytes > LOG_ALARM })
    }

    /// Moves what the write-ahead log holds into the file and empties the log. False: a reader was in the way;
    /// it is not waited for, because writers would have to wait along.
    pub async fn checkpoint(&self) -> Result<bool> {
        let options = options(&self.path).busy_timeout(CHECKPOINT_PATIENCE);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut connection).await;
        let emptied = row.and_then(|row| Ok(row.try_get::<i64, _>(0)? == 0));
        // Closed here in any case, not at some later time: closing touches the files.
        connection.close().await?;
        match emptied.map_err(BufferError::from) {
            Err(BufferError::Busy) => Ok(false),
            emptied => emptied,
        }
    }

    pub fn log_bytes(&self) -> u64 {
        std::fs::metadata(self.path.with_extension("db-wal")).map_or(0, |m| m.len())
    }

    /// Seen before anything of ours fails: with nothing to drain, only arrivals would be refused, and elsewhere.
    fn disk_is_full(&self) -> bool {
        let no_room = || platform::free_bytes(&self.path).is_some_and(|free| free < NO_ROOM);
        self.ballast_is_released() || no_room()
    }

    /// An empty ballast stands for one that was let go.
    fn ballast_is_released(&self) -> bool {
        std::fs::metadata(ballast(&self.path)).is_ok_and(|m| m.len() == 0)
    }

    /// Lays room by for the day the disk is full; not on a disk that is nearly full already.
    pub fn make_ballast(&self) -> Result<()> {
        let path = ballast(&self.path);
        if std::fs::metadata(&path).is_ok_and(|m| m.len() >= BALLAST)
            || platform::free_bytes(&self.path).is_some_and(|free| free < BALLAST * 2)
        {
            return Ok(());
        }
        // Under another name until it is whole: an empty ballast stands for one that was let go.
        let making = path.with_extension("new");
        let made = (|| -> std::io::Result<()> {
            let mut file = private(&making)?;
            file.set_len(0)?;
            // Written, not reserved: a hole takes no room, and noise is not compressed away.
            let noise: Vec<u8> =
                (0..1u32 << 18).flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_ne_bytes()).collect();
            for _ in 0..BALLAST / noise.len() as u64 {
                file.write_all(&noise)?;
            }
            file.sync_all()?;
            std::fs::rename(&making, &path)
        })();
        if let Err(error) = made {
            let _ = std::fs::remove_file(&making);
            return Err(error.into());
        }
        Ok(())
    }

    /// The disk is full: makes room for deleting and for the log. Arrivals are refused until [`Self::tidy`]
    /// finds room for a new ballast. False: there was none to let go.
    pub fn release_ballast(&self) -> Result<bool> {
        release_ballast_of(&self.path)
    }

    /// Deleting needs room too. True: the disk was full and the ballast is let go, so it is worth another attempt.
    pub(crate) fn made_room<T>(&self, done: &Result<T>) -> bool {
        matches!(done, Err(BufferError::DiskFull)) && self.release_ballast().is_ok()
    }

    /// Whoever erases, for whatever reason: once more where that was for want of room.
    pub(crate) async fn with_room<T, F: Future<Output = Result<T>>>(
        &self,
        erase: impl Fn() -> F,
    ) -> Result<T> {
        let done = erase().await;
        if self.made_room(&done) { erase().await } else { done }
    }

    /// Room on its disk; none: it cannot be known.
    pub fn free_bytes(&self) -> Option<u64> {
        platform::free_bytes(&self.path)
    }

    /// The kind of network file system the buffer lies on, where it does: locks and the log are not
    /// trustworthy there.
    pub fn network_file_system(&self) -> Option<&'static str> {
        network_file_system(&self.path)
    }
}

fn ballast(path: &Path) -> PathBuf {
    path.with_file_name("ballast")
}

pub(crate) fn release_ballast_of(path: &Path) -> Result<bool> {
    let path = ballast(path);
    let had = std::fs::metadata(&path).is_ok_and(|m| m.len() > 0);
    private(&path)?.set_len(0)?;
    Ok(had)
}

pub(crate) fn network_file_system(path: &Path) -> Option<&'static str> {
    platform::network_file_system(path)
}

/// Bytes that records and what belongs to them take, without free pages.
pub(crate) async fn used(connection: &mut SqliteConnection) -> Result<u64> {
    let used: i64 = sqlx::query_scalar(
        "SELECT (page_count - freelist_count) * page_size \
         FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
    )
    .fetch_one(connection)
    .await?;
    Ok(used.max(0) as u64)
}

#[cfg(unix)]
mod platform {
    use super::Path;

    pub fn free_bytes(path: &Path) -> Option<u64> {
        let stat = rustix::fs::statvfs(path.parent()?).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    #[cfg(target_os = "linux")]
    pub fn network_file_system(path: &Path) -> Option<&'static str> {
        network(rustix::fs::statfs(path.parent()?).ok()?.f_type as u32)
    }

    /// By the numbers of `statfs(2)`.
    #[cfg(target_os = "linux")]
    pub fn network(kind: u32) -> Option<&'static str> {
        Some(match kind {
            0x6969 => "NFS",
            0xff53_4d42 => "CIFS",
            0xfe53_4d42 | 0x517b => "SMB",
            0x0102_1997 => "9P",
            0x5346_414f => "AFS",
            0x00c3_6400 => "Ceph",
            0x0bd0_0bd0 => "Lustre",
            _ => return None,
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub fn network_file_system(_path: &Path) -> Option<&'static str> {
        None
    }
}

#[cfg(not(unix))]
mod platform {
    use super::Path;

    pub fn free_bytes(_path: &Path) -> Option<u64> {
        None
    }

    pub fn network_file_system(_path: &Path) -> Option<&'static str> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_network_file_system_is_known_by_its_number() {
        assert_eq!(super::platform::network(0x6969), Some("NFS"));
        // ext4, btrfs, tmpfs
        for local in [0xef53, 0x9123_683e, 0x0102_1994] {
            assert_eq!(super::platform::network(local), None);
        }
    }
}
