//! What is true right now and stands in no file: which run is going, why the last one ended, what is paused.
//! The engine and the commands write it; publishing reads it.

use heyho_sync::why::Why;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub struct Live {
    state: Mutex<LiveState>,
    changed: Notify,
}

#[derive(Debug, Clone, Default)]
pub struct LiveState {
    /// Signed in, and the tokens are here.
    pub session: SessionState,
    pub running: Option<Running>,
    /// Why the last run ended.
    pub last_end: Option<Why>,
    pub next_attempt_at: Option<Timestamp>,
    pub paused: Option<Pause>,
    /// Browsers that are connected through a host, and how often.
    pub connected: HashMap<String, usize>,
    /// What is wrong with the buffer.
    pub buffer_problem: Option<String>,
    /// Settings that keep us from the backend.
    pub configuration: Option<String>,
    /// The weekly look found the file damaged: so until the next start, which mends it.
    pub damage: Option<String>,
    /// A damaged buffer was set aside when this program started: what was saved.
    pub recovered: Option<String>,
    /// Something the user should know that is no failure: tokens that live only in memory.
    pub note: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SessionState {
    /// The tokens are still being looked for: what the buffer says counts.
    #[default]
    Starting,
    SignedOut,
    SignedIn,
    /// An account is signed in, and its session is over.
    Expired,
}

/// A run, as far as it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// On the clock of the schedule.
    pub started_ms: i64,
    pub done: u64,
    pub now_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    UntilResumed,
    Until(Timestamp),
}

impl Live {
    pub fn read(&self) -> LiveState {
        self.lock().clone()
    }

    /// Changes it, and has the new status published.
    pub fn change(&self, how: impl FnOnce(&mut LiveState)) {
        how(&mut self.lock());
        self.touch();
    }

    /// The buffer has changed: have the status published anew.
    pub fn touch(&self) {
        self.changed.notify_one();
    }

    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, LiveState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One host's connection for one browser profile.
#[derive(Debug)]
pub struct Connected {
    live: Arc<Live>,
    source: String,
}

impl Connected {
    pub fn new(live: Arc<Live>, source: String) -> Connected {
        live.change(|live| *live.connected.entry(source.clone()).or_default() += 1);
        Connected { live, source }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.live.change(|live| {
            if let Some(count) = live.connected.get_mut(&self.source) {
                *count -= 1;
                if *count == 0 {
                    live.connected.remove(&self.source);
                }
            }
        });
    }
}
