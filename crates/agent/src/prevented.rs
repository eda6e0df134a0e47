//! Why there is no agent: said whole in a terminal and in the log, and to the window by a word that it has a sentence
//! for, without saying where anything lies.

use heyho_buffer::BufferError;
use heyho_records::status::{Args, Status};
use std::io;
use std::path::PathBuf;

/// The reason code of a status that says why there is no agent.
pub const NO_START: &str = "no_start";

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("agent.lock cannot be used: {0}")]
    Lock(io::Error),
    #[error("another companion is running and does not answer on its socket: {0}")]
    Silent(io::Error),
    #[error("the data directory {} cannot be made: {error}", path.display())]
    Folder { path: PathBuf, error: io::Error },
    #[error("the local socket {} cannot be made: {error}", path.display())]
    Socket { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Store(#[from] BufferError),
}

impl StartError {
    /// The stable word, by which the window says it in another language.
    pub fn cause(&self) -> &'static str {
        match self {
            StartError::Lock(_) => "lock",
            StartError::Silent(_) => "silent",
            StartError::Folder { .. } => "folder",
            StartError::Socket { .. } => "socket",
            StartError::Store(BufferError::Busy) => "busy",
            StartError::Store(BufferError::DiskFull | BufferError::Full { .. }) => "disk_full",
            StartError::Store(BufferError::DiskFails) => "disk_fails",
            StartError::Store(BufferError::SchemaNewer) => "newer",
            StartError::Store(BufferError::OldSqlite { .. }) => "old_sqlite",
            StartError::Store(_) => "store",
        }
    }

    /// Without a path.
    pub fn plain(&self) -> String {
        match self {
            StartError::Folder { error, .. } => format!("the data directory cannot be made: {error}"),
            StartError::Socket { error, .. } => format!("the local socket cannot be made: {error}"),
            StartError::Lock(_) | StartError::Silent(_) | StartError::Store(_) => self.to_string(),
        }
    }

    pub fn status(&self) -> Status {
        let why = self.plain();
        Status {
            reason: Some(why.clone()),
            reason_code: Some(NO_START.to_owned()),
            reason_args: Args::from([("cause".to_owned(), self.cause().into())]),
            ..Status::broken(&why, false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_for_the_log_and_the_terminal() {
        let error = || io::Error::from(io::ErrorKind::PermissionDenied);
        let path = PathBuf::from("/home/ada/data");
        for prevented in [
            StartError::Lock(error()),
            StartError::Silent(error()),
            StartError::Folder { path: path.clone(), error: error() },
            StartError::Socket { path: path.clone(), error: error() },
            StartError::Store(BufferError::SchemaNewer),
        ] {
            let status = prevented.status();
            let shown = serde_json::to_string(&status).unwrap();
            assert!(!shown.contains("ada"), "{shown}");
            assert_eq!(status.reason_args["cause"], prevented.cause());
            let names = matches!(prevented, StartError::Folder { .. } | StartError::Socket { .. });
            assert_eq!(prevented.to_string().contains("/home/ada/data"), names);
        }
    }
}
