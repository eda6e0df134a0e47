//! A salvage that is owed: from the moment a damaged file is moved away until a whole new one stands in its place.
//!
//! Invariants:
//! 1. `buffer.db.owed` is safe on the disk before anything is moved: which folder of `set-aside/` the damaged file goes
//!    to, when, and why. Whoever opens the buffer and finds it goes on from where the other was cut short, under the
//!    lock held alone, and removes it last.
//! 2. The new file is `buffer.db.new` until all that can be read is in it, with the word of it ([`Recovery`]), and it is
//!    safe on the disk. So under the buffer's own name is the damaged file, none, or a whole new one; while a salvage is
//!    owed nobody makes another.
//! 3. An old log never meets the new file: it is moved before that gets its name.
//! 4. A disk that is full or fails while it is written ends the attempt and changes nothing: the salvage stays owed, and
//!    the next to open the buffer tries again. What cannot be read of the damaged file is no such error.

use crate::copies::{SET_ASIDE, private_dir};
use crate::error::{BufferError, Result};
use crate::growth;
use crate::held;
use crate::lock;
use crate::open;
use crate::recover::{Recovery, parts};
use crate::salvage;
use heyho_records::fault::planted;
use heyho_records::time::timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{Connection, SqliteConnection};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Serialize, Deserialize)]
struct Owed {
    /// In `set-aside/`.
    folder: String,
    at: i64,
    why: String,
}

fn marker(path: &Path) -> PathBuf {
    path.with_extension("db.owed")
}

fn making(path: &Path) -> PathBuf {
    path.with_extension("db.new")
}

pub(crate) fn is_owed(path: &Path) -> bool {
    marker(path).exists()
}

/// Moves the damaged file, its log and its index to a folder of their own. Under the lock held alone.
pub(crate) fn set_aside(path: &Path, why: &str, now: i64) -> Result<()> {
    let set_aside = path.with_file_name(SET_ASIDE);
    private_dir(&set_aside)?;
    // No colons: not every system has them in names.
    let time = timestamp(now).to_string().replace(':', "-");
    let (mut folder, mut n) = (time.clone(), 1);
    while set_aside.join(&folder).exists() {
        n += 1;
        folder = format!("{time}-{n}");
    }
    let aside = set_aside.join(&folder);
    private_dir(&aside)?;
    held::sync_folder(&aside)?;
    held::sync_folder(&set_aside)?;
    let owed = Owed { folder, at: now, why: why.to_owned() };
    let json = serde_json::to_vec(&owed).map_err(|e| BufferError::Unavailable(e.to_string()))?;
    // Under another name until it is whole.
    let writing = path.with_extension("db.owing");
    let mut file = lock::private(&writing)?;
    file.set_len(0)?;
    file.write_all(&json)?;
    file.sync_all()?;
    std::fs::rename(&writing, marker(path))?;
    held::sync_folder(path)?;
    move_away(path, &aside)
}

/// The main one first: from then on nobody writes, and what is left belongs to it.
fn move_away(path: &Path, aside: &Path) -> Result<()> {
    let to = aside.join(path.file_name().unwrap_or_default());
    for (from, to) in parts(path).iter().zip(parts(&to)) {
        rename_if_there(from, &to)?;
    }
    // Who has this file open says nothing of the next one.
    rename_if_there(&held::open_by(path), &held::open_by(&to))?;
    held::sync_folder(&to)?;
    Ok(held::sync_folder(path)?)
}

/// Does what is owed, from wherever it was cut short. Under the lock held alone.
pub(crate) async fn finish(path: &Path) -> Result<()> {
    let Some(owed) = read(path)? else { return Ok(()) };
    if planted("salvage-owed-to-nobody") {
        strike(path)?;
    }
    let aside = path.with_file_name(SET_ASIDE).join(&owed.folder);
    let damaged = aside.join(path.file_name().unwrap_or_default());
    // Else it was not moved yet, and is found damaged again; or the new one is here; or somebody took it away.
    if damaged.exists() && !path.exists() {
        move_away(path, &aside)?;
        let made = match make_new(path, &damaged, &owed).await {
            // It needs room for a copy and for a second file.
            Err(BufferError::DiskFull) if growth::release_ballast_of(path).unwrap_or(false) => {
                make_new(path, &damaged, &owed).await
            }
            made => made,
        };
        if let Err(error) = made {
            let _ = remove_all(&making(path));
            tracing::error!("the damaged buffer could not be read out yet, and will be: {error}");
            return Err(error);
        }
        std::fs::rename(making(path), path)?;
        held::sync_folder(path)?;
    }
    strike(path)
}

fn read(path: &Path) -> Result<Option<Owed>> {
    let json = match std::fs::read(marker(path)) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        json => json?,
    };
    match serde_json::from_slice(&json) {
        Ok(owed) => Ok(Some(owed)),
        Err(error) => {
            tracing::error!("which salvage is owed cannot be read, see {SET_ASIDE}: {error}");
            strike(path)?;
            Ok(None)
        }
    }
}

fn strike(path: &Path) -> Result<()> {
    match std::fs::remove_file(marker(path)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
        _ => Ok(held::sync_folder(path)?),
    }
}

async fn make_new(path: &Path, damaged: &Path, owed: &Owed) -> Result<()> {
    let new = making(path);
    let options = open::options(&new);
    remove_all(&new)?;
    open::make(&new, &options).await?;
    let saved = match salvage::carry_over(damaged, &new, owed.at).await? {
        Some(saved) => saved,
        None => {
            // Half of a salvage is not kept: the new file starts empty, the old one is there to be read.
            remove_all(&new)?;
            open::make(&new, &options).await?;
            salvage::Saved::default()
        }
    };
    let recovery = Recovery {
        at: owed.at,
        seen: false,
        set_aside: damaged.parent().unwrap_or(damaged).to_owned(),
        why: owed.why.clone(),
        expected: saved.expected,
        saved: saved.saved,
        damaged: saved.damaged,
    };
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let noted = recovery.note(&mut connection).await;
    // Closed here in any case, which moves the log into the file.
    connection.close().await?;
    noted?;
    if parts(&new)[1].exists() {
        return Err(BufferError::Unavailable("the log of the new file was left over".to_owned()));
    }
    Ok(File::open(&new)?.sync_all()?)
}

fn remove_all(path: &Path) -> Result<()> {
    for part in parts(path).iter().filter(|part| part.exists()) {
        std::fs::remove_file(part)?;
    }
    Ok(())
}

/// What nobody goes on with, for nothing says that it is owed. Who makes one holds the lock alone meanwhile.
pub(crate) fn remove_left_over(path: &Path) -> Result<()> {
    let left = parts(&making(path)).iter().any(|part| part.exists());
    if left && !is_owed(path) {
        remove_all(&making(path))?;
        held::sync_folder(path)?;
    }
    Ok(())
}

/// A log may go in between: a connection that closes tidies up.
pub(crate) fn rename_if_there(from: &Path, to: &Path) -> Result<()> {
    match std::fs::rename(from, to) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}
