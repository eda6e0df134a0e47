//! Which hosts are running: an agent that has just started finds out here for whom it has to wait.
//!
//! Each host that serves an extension keeps a lock on a file of its own in `hosts/`, beside the socket, for as long as
//! it lives; the system gives the lock up however it ends, and whoever comes or counts next removes the file. A file has its
//! name only once its lock is held: one without a lock is one that was left. Until then its name begins with a dot; whoever
//! ends at that very moment leaves it, and an hour later it is removed.

use crate::clock::{self, new_id};
use crate::paths::private_dir;
use jiff::{SignedDuration, Timestamp};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a host without an agent looks for one.
pub const LOOK_FOR_AGENT: Duration = Duration::from_secs(10);
/// A host that runs has found an agent within this after its start.
pub const FOUND_WITHIN: Duration = LOOK_FOR_AGENT.saturating_add(Duration::from_secs(2));

/// Nobody takes so long between making a file and naming it.
const LEFT_FOR: SignedDuration = SignedDuration::from_hours(1);

/// This program is a host that runs, until this is dropped.
#[derive(Debug)]
pub struct Presence {
    place: PathBuf,
    _lock: File,
}

impl Presence {
    pub fn announce(dir: &Path) -> io::Result<Presence> {
        private_dir(dir)?;
        // Those that were left are taken away.
        running(dir);
        let name = new_id().simple().to_string();
        let (beside, place) = (dir.join(format!(".{name}")), dir.join(name));
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let lock = options.open(&beside)?;
        let named = lock.try_lock().map_err(io::Error::from).and_then(|()| fs::rename(&beside, &place));
        if let Err(error) = named {
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        Ok(Presence { place, _lock: lock })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.place);
    }
}

/// How many hosts are running. What cannot be looked at counts as none.
pub fn running(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let (unnamed, named): (Vec<_>, Vec<_>) =
        entries.flatten().partition(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    for left in unnamed.iter().filter(|entry| is_old(entry)) {
        is_held(&left.path());
    }
    named.iter().filter(|entry| is_held(&entry.path())).count()
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let made = entry.metadata().and_then(|about| about.modified()).ok();
    let made = made.and_then(|made| Timestamp::try_from(made).ok());
    made.is_some_and(|made| clock::system().now().duration_since(made) > LEFT_FOR)
}

fn is_held(place: &Path) -> bool {
    let Ok(file) = File::options().write(true).open(place) else { return false };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(_)) => false,
        Ok(()) => {
            let _ = fs::remove_file(place);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_is_counted_and_who_was_killed_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let hosts = dir.path().join("run/hosts");
        assert_eq!(running(&hosts), 0);
        let (one, two) = (Presence::announce(&hosts).unwrap(), Presence::announce(&hosts).unwrap());
        assert_eq!(running(&hosts), 2);
        drop(one);
        // Killed: the lock is gone, and the file is left.
        fs::write(hosts.join("left"), "").unwrap();
        assert_eq!(running(&hosts), 1);
        assert!(!hosts.join("left").exists());
        // Ended before it had its name; and one that is about to get it.
        for (name, age) in [(".ended", 3_700), (".begins", 60)] {
            let file = File::create(hosts.join(name)).unwrap();
            let made = clock::system().now() - SignedDuration::from_secs(age);
            file.set_modified(made.into()).unwrap();
        }
        assert_eq!(running(&hosts), 1);
        assert_eq!([".ended", ".begins"].map(|name| hosts.join(name).exists()), [false, true]);
        fs::remove_file(hosts.join(".begins")).unwrap();
        drop(two);
        assert_eq!((running(&hosts), fs::read_dir(&hosts).unwrap().count()), (0, 0));
    }
}
