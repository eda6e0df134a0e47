//! The file, changed in place: comments and order stay, and it is whole or not changed at all.
//!
//! Several programs change it (agent, app, command line): each holds the lock beside it from reading to writing, so that
//! none takes another's change back. Where the file is a link, as in a folder of dotfiles, what it points to is written.

use super::file::{ConfigError, Reading, document, item, shown, text};
use super::keys::Key;
use crate::paths::{private_dir, write_private, write_whole};
use serde_json::Value;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use toml_edit::{DocumentMut, Item, TableLike};

/// Another program holds the lock for milliseconds, unless it was stopped in the middle.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Sets one key such as `backend.url`; null takes it out. A value that is not accepted changes nothing. A mistake
/// elsewhere in the file does not stand in the way: it would be mended the same way, one key after the other.
pub fn set(path: &Path, key: &str, value: &Value) -> Result<Reading, ConfigError> {
    let known = Key::find(key).ok_or_else(|| ConfigError::UnknownKey { key: key.to_owned() })?;
    let file = path.display().to_string();
    let bad = |accepted: String| ConfigError::BadValue {
        file: file.clone(),
        key: key.to_owned(),
        value: shown(&value.to_string()),
        accepted,
    };
    let item = match value {
        Value::Null => None,
        value => Some(item(value).ok_or_else(|| bad(known.accepted.to_owned()))?),
    };
    change(path, |text, reading| {
        if let Some(item) = &item {
            (known.put)(&mut reading.config.clone(), item).map_err(&bad)?;
        }
        let mut document = document(text, &file)?;
        place(&mut document, key, item, &file)?;
        Ok(document.to_string())
    })
}

fn place(document: &mut DocumentMut, key: &str, item: Option<Item>, file: &str) -> Result<(), ConfigError> {
    let (name, key) = key.split_once('.').unwrap_or(("", key));
    if item.is_none() && document.get(name).is_none() {
        return Ok(());
    }
    let entry = document.entry(name).or_insert_with(toml_edit::table);
    let kind = entry.type_name();
    let Some(section) = entry.as_table_like_mut() else {
        let accepted = format!("a section, [{name}] and its keys below it");
        let (key, value) = (name.to_owned(), format!("({kind})"));
        return Err(ConfigError::BadValue { file: file.to_owned(), key, value, accepted });
    };
    match (item, section.get_mut(key)) {
        (None, _) => {
            section.remove(key);
            if is_bare(entry) {
                document.remove(name);
            }
        }
        // What stands around the value, a comment at the end of its line, stays.
        (Some(Item::Value(mut new)), Some(Item::Value(old))) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        (Some(item), Some(old)) => *old = item,
        (Some(item), None) => {
            section.insert(key, item);
        }
    }
    Ok(())
}

/// A section with nothing in it and nothing noted at it: whoever writes it once more below would make the file
/// unreadable.
fn is_bare(section: &Item) -> bool {
    section.as_table().is_some_and(|table| {
        let decor = table.decor();
        let noted = [decor.prefix(), decor.suffix()].into_iter().flatten();
        TableLike::is_empty(table) && !noted.filter_map(|it| it.as_str()).any(|it| it.contains('#'))
    })
}

/// From one text to the next, with what the first says.
pub(super) fn change(
    path: &Path,
    how: impl FnOnce(&str, &Reading) -> Result<String, ConfigError>,
) -> Result<Reading, ConfigError> {
    let file = path.display().to_string();
    let unwritable = |error| ConfigError::Unwritable { file: file.clone(), error };
    let _held = hold(path, PATIENCE).map_err(unwritable)?;
    let before = text(path)?;
    // What cannot be read at all is not changed.
    document(&before, &file)?;
    let reading = Reading::of(&before, &file);
    let after = how(&before, &reading)?;
    let mut changed = Reading::of(&after, &file);
    // One mistake may be mended while another stands; none may come in.
    if reading.problem.is_none()
        && let Some(problem) = changed.problem.take()
    {
        return Err(problem);
    }
    document(&after, &file)?;
    if after != before {
        write(path, after.as_bytes()).map_err(unwritable)?;
    }
    Ok(changed)
}

fn hold(path: &Path, patience: Duration) -> io::Result<File> {
    let folder = path.parent().ok_or_else(|| io::Error::other("it has no folder"))?;
    private_dir(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let lock = options.open(folder.join(format!(".{name}.lock")))?;
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            // A file system without locks.
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => return Ok(lock),
            Err(TryLockError::Error(e)) => return Err(e),
            Err(TryLockError::WouldBlock) if began.elapsed() < patience => std::thread::sleep(LOOK_EVERY),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "another program is changing it; try again",
                ));
            }
        }
    }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    match std::fs::read_link(path) {
        Ok(to) => write_whole(&behind(path, &to)?, text),
        Err(_) => write_private(path, text),
    }
}

/// Where a link leads to in the end, also when nothing is there yet.
fn behind(link: &Path, to: &Path) -> io::Result<PathBuf> {
    match std::fs::canonicalize(link) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(link.parent().unwrap_or(Path::new("")).join(to)),
        found => found,
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
