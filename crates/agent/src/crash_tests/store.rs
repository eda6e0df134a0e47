//! A token store in which the program dies: before its first write, or once that stands.

use crate::tokens::{FileStore, StoreError, Stored, TokenStore};
use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use tokio::sync::Notify;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Write {
    Before,
    After,
}

#[derive(Debug)]
pub struct Deadly {
    pub file: FileStore,
    pub dies: Option<Write>,
    /// Told when it has come to that.
    pub died: std::sync::Arc<Notify>,
    /// Until nothing of the program is left, the write neither goes on nor returns.
    pub gone: Mutex<Receiver<()>>,
}

impl Deadly {
    fn die(&self) -> Result<(), StoreError> {
        self.died.notify_one();
        let _ = self.gone.lock().unwrap().recv();
        Err(StoreError::File("nobody is there any more".to_owned()))
    }
}

impl TokenStore for Deadly {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        self.file.load()
    }

    fn save(&self, stored: &Stored) -> Result<(), StoreError> {
        if self.dies == Some(Write::Before) {
            return self.die();
        }
        self.file.save(stored)?;
        if self.dies == Some(Write::After) {
            return self.die();
        }
        Ok(())
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.file.clear()
    }

    fn probe(&self) -> Result<(), StoreError> {
        self.file.probe()
    }
}
