//! What the shell remembers from one start to the next: `window.json` in the state directory, an object of
//! flags. A file that is not there, or cannot be read, says no to everything: then a question is asked again.

use heyho_local::paths::{private_dir, write_private};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Clone)]
pub struct Memory {
    file: PathBuf,
    flags: Arc<Mutex<Flags>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Flags {
    /// The first question of the first run was answered with yes.
    welcomed: bool,
    /// It was said that closing the window leaves the app in the tray.
    said_tray: bool,
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

    fn flags(&self) -> Flags {
        *self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut Flags)) -> std::io::Result<()> {
        let mut flags = self.flags.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut flags);
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
