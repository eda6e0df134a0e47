//! Noticing the commits of other connections and processes without being told by them.
//!
//! Where the kernel says when a file is closed that was open for writing (Linux), nothing runs while nothing happens;
//! elsewhere, and where it cannot say so, the buffer is looked at each second. Either is a hint only: whether
//! something was committed says SQLite ([`Watch::changed`]).

use crate::error::Result;
use crate::open::{Buffer, FOR_NONE, options};
use sqlx::{Connection, SqliteConnection};
use std::time::Duration;

/// Where nobody says when to look.
const LOOK: Duration = Duration::from_secs(1);
/// A program that stores one record after the other is looked at so often.
const SPACING: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Watch {
    connection: SqliteConnection,
    seen: i64,
    folder: Option<platform::Folder>,
}

impl Buffer {
    /// Of its own: SQLite's number is true for one connection only.
    pub async fn watch(&self) -> Result<Watch> {
        let connection =
            SqliteConnection::connect_with(&options(&self.path).pragma("cache_size", FOR_NONE)).await?;
        let folder = self.path.parent().and_then(platform::folder);
        Ok(Watch { connection, seen: 0, folder })
    }
}

impl Watch {
    /// Whether anything was committed since the last call (the first call: true).
    pub async fn changed(&mut self) -> Result<bool> {
        let now: i64 = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut self.connection).await?;
        Ok(std::mem::replace(&mut self.seen, now) != now)
    }

    /// Until something may have been committed. Dropped at any moment it has missed nothing.
    pub async fn written(&mut self) {
        match &mut self.folder {
            Some(folder) => {
                folder.written().await;
                tokio::time::sleep(SPACING).await;
                folder.clear();
            }
            None => tokio::time::sleep(LOOK).await,
        }
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    #[derive(Debug)]
    pub struct Folder(AsyncFd<OwnedFd>);

    /// The folder and not a file in it: files come and go.
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe; this descriptor is owned, and open until the end"
    )]
    pub fn folder(path: &Path) -> Option<Folder> {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
        // Who commits closes the file beside the buffer afterwards (see `lock`). What is written to the log comes
        // before the commit, and how long before depends on the disk.
        add_watch(&inotify, path, WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO).ok()?;
        AsyncFd::try_with_interest(inotify, Interest::READABLE).ok().map(Folder)
    }

    impl Folder {
        pub async fn written(&mut self) {
            // Not taken: it is ready until it is cleared. An error would mean that the runtime ends.
            drop(self.0.readable().await);
        }

        /// From here on it is about what is written later.
        pub fn clear(&mut self) {
            let mut events = [0; 4096];
            let mut read =
                || self.0.try_io(Interest::READABLE, |inotify| Ok(rustix::io::read(inotify, &mut events)?));
            while read().is_ok_and(|bytes| bytes > 0) {}
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::path::Path;

    #[derive(Debug)]
    pub struct Folder;

    pub fn folder(_path: &Path) -> Option<Folder> {
        None
    }

    impl Folder {
        pub async fn written(&mut self) {}

        pub fn clear(&mut self) {}
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use crate::Buffer;

    /// And not one look a second.
    #[tokio::test]
    async fn the_kernel_says_when_to_look() {
        let dir = tempfile::tempdir().unwrap();
        let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
        assert!(buffer.watch().await.unwrap().folder.is_some());
    }
}
