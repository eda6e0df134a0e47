//! What the shell remembers from one start to the next: `window.json` in the state directory, what was answered and
//! what was said. A file that is not there, or cannot be read, says no to everything: then a question is asked again.

use heyho_local::paths::{private_dir, write_private};
use heyho_records::alert::Alert;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Clone)]
pub struct Memory {
    file: PathBuf,
    flags: Arc<Mutex<Flags>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Flags {
    /// The first question of the first run was answered with yes.
    welcomed: bool,
    /// It was said that closing the window leaves the app in the tray.
    said_tray: bool,
    /// What stands and was notified: not again before it has ended.
    told: BTreeSet<Alert>,
}

impl Memory {
    pub fn read(state: &Path) -> Memory {
        let file = state.join("window.json");
        let flags =
            std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Memory { file, flags: Arc::new(Mutex::new(flags)) }
    }

    pub fn welcomed(&self) -> bool {
        self.flags().welcomed
    }

    pub fn note_welcomed(&self) -> std::io::Result<()> {
        self.note(|flags| flags.welcomed = true)
    }

    pub fn said_tray(&self) -> bool {
        self.flags().said_tray
    }

    pub fn note_said_tray(&self) -> std::io::Result<()> {
        self.note(|flags| flags.said_tray = true)
    }

    /// Whether this was told and has not ended since.
    pub fn was_told(&self, alert: Alert) -> bool {
        self.flags().told.contains(&alert)
    }

    pub fn note_told(&self, alert: Alert) -> std::io::Result<()> {
        self.note(|flags| {
            flags.told.insert(alert);
        })
    }

    /// Only these stand.
    pub fn note_standing(&self, standing: impl Fn(Alert) -> bool) -> std::io::Result<()> {
        self.note(|flags| flags.told.retain(|alert| standing(*alert)))
    }

    fn flags(&self) -> Flags {
        self.flags.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut Flags)) -> std::io::Result<()> {
        let mut flags = self.flags.lock().unwrap_or_else(PoisonError::into_inner);
        let before = flags.clone();
        change(&mut flags);
        if *flags == before {
            return Ok(());
        }
        if let Some(folder) = self.file.parent() {
            private_dir(folder)?;
        }
        write_private(&self.file, &serde_json::to_vec(&*flags)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_is_remembered_and_what_cannot_be_read_is_a_no() {
        let scratch = tempfile::tempdir().unwrap();
        let memory = Memory::read(scratch.path());
        assert!(!memory.welcomed() && !memory.said_tray());
        memory.note_welcomed().unwrap();
        let again = Memory::read(scratch.path());
        assert!(again.welcomed() && !again.said_tray());
        std::fs::write(scratch.path().join("window.json"), "{").unwrap();
        assert!(!Memory::read(scratch.path()).welcomed());
    }
}
