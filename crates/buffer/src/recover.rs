//! A damaged file: set aside whole, what can be read carried over row by row, and said.
//!
//! Invariants:
//! 1. Nothing of a damaged buffer is deleted or written to by us: file, log and index move together to
//!    `set-aside/<time>/`, and reading happens on a copy of them. (Where the first page is damaged, SQLite's
//!    own attempt to open the file may have moved the log into it.)
//! 2. It happens under the lock held alone, so no host is in the middle of a commit; hosts notice at their
//!    next write that the path names another file.
//! 3. It is finished by whoever comes next when it is cut short, wherever that is: see `owed`.
//! 4. A start is not prevented by damage: what could not be saved is a number in [`Recovery`], not an error. A disk
//!    that is full, or fails while the new file is written, is an error, and it is tried again.

use crate::copies::{SET_ASIDE, private_dir};
use crate::error::{BufferError, Result};
use crate::lock;
use crate::open::{self, Buffer};
use crate::owed::{self, rename_if_there};
use crate::salvage;
use serde::{Deserialize, Serialize};
use sqlx::{Connection, SqliteConnection};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Key in `meta`.
pub(crate) const RECOVERY: &str = "recovery";

/// What became of a damaged buffer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    pub at: i64,
    /// The user has read it.
    pub seen: bool,
    /// Where the damaged files lie, untouched; for thirty days, and until something is erased.
    pub set_aside: PathBuf,
    /// What was wrong.
    pub why: String,
    /// How many records there were, as far as the damaged file still says so.
    pub expected: Option<u64>,
    /// Records carried over, those with a damaged text among them.
    pub saved: u64,
    /// Of the saved, how many are no longer what was stored: they are among the failed.
    pub damaged: u64,
}

impl Recovery {
    /// Records that could not be read, as far as that is known.
    pub fn lost(&self) -> Option<u64> {
        self.expected.map(|expected| expected.saturating_sub(self.saved))
    }

    pub(crate) async fn note(&self, connection: &mut SqliteConnection) -> Result<()> {
        let json = serde_json::to_string(self).map_err(|e| BufferError::Unavailable(e.to_string()))?;
        sqlx::query("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)")
            .bind(RECOVERY)
            .bind(json)
            .execute(connection)
            .await?;
        Ok(())
    }
}

impl Buffer {
    /// Whether SQLite finds the file sound; in words what is wrong otherwise.
    pub async fn check_quick(&self) -> Result<()> {
        self.check("PRAGMA quick_check(10)").await
    }

    /// The same with every index compared to its table, and that there are as many records as are counted: minutes
    /// for a large file. What it finds the quick check may not find: the next one who opens the file to mend it checks
    /// it whole.
    pub async fn check_whole(&self) -> Result<()> {
        let checked = match self.check("PRAGMA integrity_check(10)").await {
            Ok(()) => self.check_schema_and_counts().await,
            found => found,
        };
        if matches!(checked, Err(BufferError::Damaged(_))) {
            Buffer::doubt(&self.path)?;
        }
        checked
    }

    /// SQLite has said that the file is damaged, and somebody has it open who would not notice that it is set aside.
    pub fn doubt(path: &Path) -> Result<()> {
        lock::private(&suspect(path))?;
        Ok(())
    }

    /// Whether it has to be opened anew: damage was found, by whichever program, or another file is in its place.
    pub fn is_doubted(&self) -> bool {
        suspect(&self.path).exists() || !self.is_in_place()
    }

    /// Sets aside, among the failed, every record whose text is not what was stored. Says how many.
    pub async fn set_damaged_texts_aside(&self, now: i64) -> Result<u64> {
        let mut connection = self.pool.acquire().await?;
        let found = salvage::find_damaged(&mut connection).await?;
        drop(connection);
        if found.is_empty() {
            return Ok(0);
        }
        let mut tx = self.write().await?;
        let count = salvage::mark_damaged(&mut tx, &found, now).await?;
        tx.commit().await?;
        Ok(count)
    }

    /// Which tables there are, and that there are as many records as are counted.
    async fn check_schema_and_counts(&self) -> Result<()> {
        let mut connection = self.pool.acquire().await?;
        // Who counts what in a newer file is its own affair.
        if !open::check_schema(&mut connection).await? {
            return Ok(());
        }
        let (counted, there) = salvage::counts(&mut connection).await?;
        if counted == there {
            return Ok(());
        }
        Err(BufferError::Damaged(format!("{there} records are in it, and it counts {counted}")))
    }

    async fn check(&self, pragma: &'static str) -> Result<()> {
        let found: Vec<String> = sqlx::query_scalar(pragma).fetch_all(&self.pool).await?;
        if found.iter().all(|line| line == "ok") {
            return Ok(());
        }
        Err(BufferError::Damaged(found.join("; ")))
    }

    /// Opens the buffer and checks it; one that is damaged is set aside and made anew from what can be read.
    /// Other errors (a newer schema, a full disk, no permission) are the caller's: setting the file aside would
    /// mend nothing. Whoever finds the damage does it; one who comes second finds another file.
    pub async fn open_or_recover(path: &Path, now: i64) -> Result<(Buffer, Option<Recovery>)> {
        let whole = suspect(path).exists();
        let (buffer, recovery) = Buffer::recover(path, whole, now).await?;
        // No reason not to start: until it is done no batch is made.
        if let Err(error) = buffer.finish_erasures().await {
            tracing::error!("an erasure is not carried out to its end, nothing is sent until it is: {error}");
        }
        Ok((buffer, recovery))
    }

    /// The same for one who was told of damage while using the file, which the quick check may not find.
    pub async fn open_and_mend(path: &Path, now: i64) -> Result<(Buffer, Option<Recovery>)> {
        Buffer::recover(path, true, now).await
    }

    async fn recover(path: &Path, whole: bool, now: i64) -> Result<(Buffer, Option<Recovery>)> {
        if let Some(kind) = crate::growth::network_file_system(path) {
            tracing::warn!("the buffer lies on a network file system ({kind}): its locks cannot be trusted");
        }
        // The last connection that closes moves the log into the file, which a damaged file does not survive.
        // This one stays open until the file has its other name; SQLite then leaves both alone.
        let was_owed = owed::is_owed(path);
        if was_owed {
            open::take_up(path).await?;
        }
        let found = lock::file_id(path).ok();
        let holding = hold(path).await;
        let checked = open_checked(path, whole, now).await;
        let why = match &checked {
            Err((BufferError::Damaged(why), _)) => why.clone(),
            _ => {
                drop(holding);
                let buffer = checked.map_err(|(error, _)| error)?;
                if whole {
                    trust(path)?;
                }
                let recovery = if was_owed { buffer.recovery().await? } else { None };
                return Ok((buffer, recovery));
            }
        };
        let alone = lock::alone(path).await?;
        if lock::file_id(path).ok() != found {
            drop(alone);
            return Ok((Buffer::open(path).await?, None));
        }
        tracing::error!("the buffer is damaged and is set aside: {why}");
        owed::set_aside(path, &why, now)?;
        if let Err((_, Some(buffer))) = checked {
            buffer.close().await;
        }
        if let Some(holding) = holding {
            // It is closed one way or another; that it cannot be tidied up is known.
            let _ = holding.close().await;
        }
        owed::finish(path).await?;
        trust(path)?;
        drop(alone);
        let buffer = Buffer::open(path).await?;
        let recovery = buffer.recovery().await?;
        Ok((buffer, recovery))
    }

    /// The last time a damaged file was set aside, as long as anything is known of it; also after a restart.
    pub async fn recovery(&self) -> Result<Option<Recovery>> {
        Ok(self.meta(RECOVERY).await?.and_then(|json| serde_json::from_str(&json).ok()))
    }

    /// The user has read it: nobody need say it again unasked.
    pub async fn recovery_seen(&self) -> Result<()> {
        match self.recovery().await? {
            Some(recovery) if !recovery.seen => {
                self.note_recovery(&Recovery { seen: true, ..recovery }).await
            }
            _ => Ok(()),
        }
    }

    async fn note_recovery(&self, recovery: &Recovery) -> Result<()> {
        let mut tx = self.write().await?;
        recovery.note(&mut tx).await?;
        tx.commit().await
    }
}

/// Stands for: damage was found while the file was used, which a quick check may not see.
fn suspect(path: &Path) -> PathBuf {
    path.with_extension("db.suspect")
}

fn trust(path: &Path) -> Result<()> {
    match std::fs::remove_file(suspect(path)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

async fn hold(path: &Path) -> Option<SqliteConnection> {
    if !path.exists() {
        return None;
    }
    let mut connection = SqliteConnection::connect_with(&open::options(path)).await.ok()?;
    // Only a read makes it take part in the log.
    let _ = sqlx::query("SELECT count(*) FROM sqlite_schema").fetch_all(&mut connection).await;
    Some(connection)
}

/// On an error with what was opened all the same: it is closed when it does no harm any more.
async fn open_checked(
    path: &Path,
    whole: bool,
    now: i64,
) -> std::result::Result<Buffer, (BufferError, Option<Buffer>)> {
    let buffer = Buffer::open(path).await.map_err(|error| (error, None))?;
    match check_all(&buffer, whole, now).await {
        Ok(()) => Ok(buffer),
        Err(error) => Err((buffer.judged(error).await, Some(buffer))),
    }
}

/// A file can be sound and still not be a buffer, lack records, or hold texts that are not what was stored.
async fn check_all(buffer: &Buffer, whole: bool, now: i64) -> Result<()> {
    if whole {
        buffer.check_whole().await?;
    } else {
        buffer.check_quick().await?;
        buffer.check_schema_and_counts().await?;
    }
    let count = buffer.set_damaged_texts_aside(now).await?;
    if count > 0 {
        tracing::error!("{count} records are not what was stored; they are among the failed");
    }
    Ok(())
}

/// The file, its log and its index.
pub(crate) fn parts(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| {
        let mut name = OsString::from(path);
        name.push(end);
        PathBuf::from(name)
    })
}

/// A log without its file: of a file whose setting aside was cut short, or that somebody took away.
pub(crate) fn adopt_left_over_logs(path: &Path) -> Result<()> {
    let [file, log, index] = parts(path);
    if file.exists() || !(log.exists() || index.exists()) {
        return Ok(());
    }
    let folder = path.with_file_name(SET_ASIDE);
    private_dir(&folder)?;
    let newest = std::fs::read_dir(&folder)?.filter_map(|e| Some(e.ok()?.path())).max();
    let name = path.file_name().unwrap_or_default();
    let mut to = newest.unwrap_or_else(|| folder.join("log-without-file"));
    if parts(&to.join(name))[1].exists() {
        to = folder.join("log-without-file");
    }
    private_dir(&to)?;
    for (from, to) in [log, index].iter().zip(&parts(&to.join(name))[1..]) {
        rename_if_there(from, to)?;
    }
    Ok(())
}
