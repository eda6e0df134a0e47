//! Where the tokens are kept: the system's keyring; a file only when the settings ask for one; or nowhere but
//! in memory, when neither can be used.
//!
//! What is stored names its account, so that tokens are never used for another one. Keyring calls block, on
//! some systems for as long as a dialog stands open: they run on a thread of their own.

use heyho_local::paths::write_private;
use heyho_sync::secret::Secret;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

const SERVICE: &str = "com.heyho.companion";
const ENTRY: &str = "session";

/// A session, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    pub account_ref: String,
    pub access_token: Secret,
    pub refresh_token: Option<Secret>,
    /// When the access token ends, in ms since the epoch.
    pub expires_at: Option<i64>,
    /// Only where the user asked for it, and never in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_login: Option<KeptLogin>,
}

/// What signs in again by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptLogin {
    pub email: String,
    pub password: Secret,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no keyring, or it is locked and stays so.
    #[error("the system's keyring cannot be used: {0}")]
    Keyring(String),
    #[error("the token file cannot be used: {0}")]
    File(String),
}

impl StoreError {
    /// In words for people. What the system said of its keyring helps nobody but in the log.
    pub fn plain(&self) -> String {
        match self {
            StoreError::Keyring(_) => {
                "this computer has no keyring that can be used, or it is locked".to_owned()
            }
            StoreError::File(_) => self.to_string(),
        }
    }
}

/// Blocking; called from a thread for blocking work.
pub trait TokenStore: Send + Sync + std::fmt::Debug {
    fn load(&self) -> Result<Option<Stored>, StoreError>;
    fn save(&self, stored: &Stored) -> Result<(), StoreError>;
    fn clear(&self) -> Result<(), StoreError>;
    /// Whether something can be kept there: writes, reads back and deletes; a session that is there stays.
    fn probe(&self) -> Result<(), StoreError>;
}

/// The Secret Service, the Keychain, or the Credential Manager.
#[derive(Debug)]
pub struct KeyringStore;

impl KeyringStore {
    fn entry(name: &str) -> Result<keyring::Entry, StoreError> {
        keyring::Entry::new(SERVICE, name).map_err(|e| {
            let why = match (&e, keyring::Entry::store_status()) {
                (keyring::Error::NoDefaultStore, Err(status)) => status.to_string(),
                _ => e.to_string(),
            };
            StoreError::Keyring(why)
        })
    }
}

impl TokenStore for KeyringStore {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        match KeyringStore::entry(ENTRY)?.get_secret() {
            // What another version wrote and this one cannot read means signing in again, nothing worse.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(e) => Err(StoreError::Keyring(e.to_string())),
        }
    }

    fn save(&self, stored: &Stored) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(stored).map_err(|e| StoreError::Keyring(e.to_string()))?;
        KeyringStore::entry(ENTRY)?.set_secret(&bytes).map_err(|e| StoreError::Keyring(e.to_string()))
    }

    fn clear(&self) -> Result<(), StoreError> {
        match KeyringStore::entry(ENTRY)?.delete_credential() {
            Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
            Err(e) => Err(StoreError::Keyring(e.to_string())),
        }
    }

    fn probe(&self) -> Result<(), StoreError> {
        let name = format!("probe-{}", heyho_local::clock::new_id().simple());
        let entry = KeyringStore::entry(&name)?;
        let failed = |e: keyring::Error| StoreError::Keyring(e.to_string());
        entry.set_secret(name.as_bytes()).map_err(failed)?;
        let read = entry.get_secret().map_err(failed);
        entry.delete_credential().map_err(failed)?;
        match read? == name.as_bytes() {
            true => Ok(()),
            false => Err(StoreError::Keyring("it gave back something else than was written".to_owned())),
        }
    }
}

/// `[tokens] store = "file"`: for machines without a keyring, with a warning.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
}

impl FileStore {
    pub fn new(path: PathBuf) -> FileStore {
        FileStore { path }
    }
}

impl TokenStore for FileStore {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        match std::fs::read(&self.path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::File(e.to_string())),
        }
    }

    /// A password is for the keyring alone: here it lasts until the program ends.
    fn save(&self, stored: &Stored) -> Result<(), StoreError> {
        let stored = Stored { kept_login: None, ..stored.clone() };
        let bytes = serde_json::to_vec(&stored).map_err(|e| StoreError::File(e.to_string()))?;
        write_private(&self.path, &bytes).map_err(|e| StoreError::File(e.to_string()))
    }

    fn clear(&self) -> Result<(), StoreError> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::File(e.to_string())),
            _ => Ok(()),
        }
    }

    fn probe(&self) -> Result<(), StoreError> {
        let beside = self.path.with_extension("probe");
        let failed = |e: std::io::Error| StoreError::File(e.to_string());
        write_private(&beside, b"probe").map_err(failed)?;
        let read = std::fs::read(&beside).map_err(failed);
        std::fs::remove_file(&beside).map_err(failed)?;
        match read? == b"probe" {
            true => Ok(()),
            false => Err(StoreError::File("it gave back something else than was written".to_owned())),
        }
    }
}

/// A store with what an earlier setting left in a file: the session there is taken over where the store has none,
/// and in any case no tokens stay in the file.
#[derive(Debug)]
pub struct Inherits {
    pub store: Arc<dyn TokenStore>,
    pub from: FileStore,
}

impl TokenStore for Inherits {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        let mut stored = self.store.load()?;
        if stored.is_none() {
            stored = self.from.load().ok().flatten();
            if let Some(stored) = &stored {
                self.store.save(stored)?;
            }
        }
        // Only now: dying before leaves it in both.
        self.from.clear()?;
        Ok(stored)
    }

    fn save(&self, stored: &Stored) -> Result<(), StoreError> {
        self.store.save(stored)?;
        self.from.clear()
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.from.clear()?;
        self.store.clear()
    }

    fn probe(&self) -> Result<(), StoreError> {
        self.store.probe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_setting_left_is_taken_over_once_and_never_over_a_session() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("tokens.json"), dir.path().join("keyring"));
        let of = |who: &str| Stored {
            account_ref: who.into(),
            access_token: Secret::new("a"),
            refresh_token: None,
            expires_at: None,
            kept_login: None,
        };
        let store =
            Inherits { store: Arc::new(FileStore::new(other.clone())), from: FileStore::new(file.clone()) };
        assert_eq!(store.load().unwrap(), None);
        FileStore::new(file.clone()).save(&of("before")).unwrap();
        assert_eq!(store.load().unwrap(), Some(of("before")));
        assert!(!file.exists() && other.exists());
        FileStore::new(file.clone()).save(&of("stale")).unwrap();
        assert_eq!(store.load().unwrap(), Some(of("before")));
        assert!(!file.exists());
        FileStore::new(file.clone()).save(&of("stale")).unwrap();
        store.clear().unwrap();
        assert!(!file.exists() && !other.exists());
    }

    #[test]
    fn the_file_store_keeps_what_it_is_given_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path().join("tokens.json"));
        assert_eq!(store.load().unwrap(), None);
        let stored = Stored {
            account_ref: "r".into(),
            access_token: Secret::new("a"),
            refresh_token: Some(Secret::new("b")),
            expires_at: Some(5),
            kept_login: None,
        };
        let login = KeptLogin { email: "a@b".into(), password: Secret::new("never in a file") };
        store.save(&Stored { kept_login: Some(login), ..stored.clone() }).unwrap();
        assert_eq!(store.load().unwrap(), Some(stored));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(dir.path().join("tokens.json")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        store.clear().unwrap();
        store.clear().unwrap();
        assert_eq!(store.load().unwrap(), None);
    }
}
