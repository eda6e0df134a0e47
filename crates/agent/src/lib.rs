//! The running companion without a window: whoever holds `agent.lock` in the data directory.
//!
//! ```text
//! socket, window, command line ──▶ commands ──▶ engine ──▶ carry (buffer, driver)
//!                                      │           │
//!                                      └─▶ live ◀──┘ ──▶ publish ──▶ status to everyone who watches
//! ```
//!
//! Invariants:
//! 1. One agent a buffer: the lock is held before anything else is touched, and until the end.
//! 2. Only the agent holds tokens and speaks to the backend.
//! 3. A run belongs to one account from its first row to its last; another sign-in ends it.
//! 4. When this process dies, wherever it is: what was acknowledged is in the buffer, what was about to be sent
//!    is there with its bytes and key, and the next agent goes on from there.
//!
//! No window here, and no GTK: the desktop app and the command line both run this.

mod account;
mod carry;
mod checkup;
mod commands;
#[cfg(test)]
mod crash_tests;
mod engine;
pub mod export;
mod extras;
mod forgetting;
#[cfg(test)]
mod heyho_tests;
mod live;
mod monotonic;
mod prevented;
mod publish;
mod rules_read;
mod start;
mod stay;
mod surroundings;
mod tokenholder;
mod tokens;
mod upkeep;

pub use checkup::{check_backend, check_tokens};
pub use commands::{driver, shown, waiting_record};
pub use heyho_local::lock::{AgentLock, LockError};
pub use heyho_sync::surroundings::{HeldBack, Surroundings};
pub use prevented::{NO_START, StartError};
pub use start::{Agent, StartOptions, Started, start_or_join};
pub use stay::{Stayed, go_on_staying, start_and_stay};
pub use tokens::{FileStore, KeptLogin, KeyringStore, StoreError, Stored, TokenStore};
pub use upkeep::recovered;
