//! Who is the agent: whoever holds the lock on `agent.lock`. The system gives it up when the process ends,
//! however it ends.

use crate::paths::private_dir;
use std::fs::{File, TryLockError};
use std::path::Path;

/// Held for as long as this program is the agent.
#[derive(Debug)]
pub struct AgentLock(#[expect(dead_code, reason = "held, never read")] File);

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another agent is running")]
    Taken,
    #[error("agent.lock cannot be used: {0}")]
    Io(#[from] std::io::Error),
}

impl AgentLock {
    pub fn take(path: &Path) -> Result<AgentLock, LockError> {
        if let Some(dir) = path.parent() {
            private_dir(dir)?;
        }
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(AgentLock(file)),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken),
            Err(TryLockError::Error(e)) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_holds_it_and_the_next_may_when_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/agent.lock");
        let held = AgentLock::take(&path).unwrap();
        assert!(matches!(AgentLock::take(&path), Err(LockError::Taken)));
        drop(held);
        AgentLock::take(&path).unwrap();
    }
}
