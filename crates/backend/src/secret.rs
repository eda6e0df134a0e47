//! The key that signs access tokens.
//!
//! Given by `HEYHO_JWT_SECRET`, or, beside a SQLite database, made once and kept in `jwt-secret` with mode 0600.
//! It is never printed.

use crate::clock;
use anyhow::{Context as _, bail};
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;

/// Fewer bytes than HS256's own 32 would make the key the weakest part.
const MIN_BYTES: usize = 32;

#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// A secret from a setting. The text itself is the key.
    pub fn from_setting(text: &str) -> anyhow::Result<Secret> {
        let text = text.trim();
        if text.len() < MIN_BYTES {
            bail!(
                "HEYHO_JWT_SECRET has {} bytes; at least {MIN_BYTES} are needed, for example the output of `openssl rand -hex 32`",
                text.len()
            );
        }
        Ok(Secret(text.as_bytes().into()))
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Secret {
        Secret(bytes.as_slice().into())
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The secret in `path`.
    pub fn read(path: &Path) -> anyhow::Result<Secret> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Secret::from_setting(&text).with_context(|| format!("{}", path.display()))
    }

    /// The secret kept in `path`; made there if there is none yet.
    pub fn kept_in(path: &Path) -> anyhow::Result<Secret> {
        match fs::exists(path) {
            Ok(false) => make(path).with_context(|| format!("making {}", path.display())),
            _ => Secret::read(path),
        }
    }
}

/// Writes the secret whole under another name and links it into place: two programs that start at once end with
/// the same secret, and a crash leaves no half of one.
fn make(path: &Path) -> anyhow::Result<Secret> {
    let bytes = clock::random_bytes::<32>()?;
    let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let scratch = path.with_extension(format!("{}.new", u64::from_ne_bytes(clock::random_bytes()?)));
    let mut file = private(fs::OpenOptions::new().write(true).create_new(true)).open(&scratch)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&scratch, path);
    fs::remove_file(&scratch)?;
    match linked {
        Ok(()) => Secret::from_setting(&text),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Secret::from_setting(&fs::read_to_string(path)?),
        Err(e) => Err(e.into()),
    }
}

/// Options for a file only its owner can read.
pub fn private(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jwt-secret");
        let first = Secret::kept_in(&path).unwrap();
        assert_eq!(first.bytes(), Secret::kept_in(&path).unwrap().bytes());
        assert_eq!(first.bytes().len(), 64);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(format!("{first:?}"), "Secret");
    }

    #[test]
    fn a_short_secret_is_refused_without_being_repeated() {
        let error = Secret::from_setting("hunter2").unwrap_err().to_string();
        assert!(error.contains("7 bytes") && !error.contains("hunter2"), "{error}");
    }
}
