//! The one place that asks the machine for the time or for chance.
//!
//! Times are milliseconds since the epoch, as they are stored. Everything that decides by time takes a [`Clock`],
//! so that a test can let 24 hours pass in an instant.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A moment: milliseconds since 1970-01-01T00:00Z.
pub type Millis = i64;

pub const SECOND: Millis = 1_000;
pub const MINUTE: Millis = 60 * SECOND;
pub const HOUR: Millis = 60 * MINUTE;
pub const DAY: Millis = 24 * HOUR;

/// Where the time comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands still until it is moved.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    pub fn manual(start: Millis) -> Clock {
        Clock::Manual(Arc::new(AtomicI64::new(start)))
    }

    pub fn now(&self) -> Millis {
        match self {
            Clock::System => system_now(),
            Clock::Manual(at) => at.load(Ordering::SeqCst),
        }
    }

    /// How long this program has run: never goes back, whatever is done to the machine's clock.
    pub fn running(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match self {
            Clock::System => START.elapsed(),
            Clock::Manual(at) => Duration::from_millis(u64::try_from(at.load(Ordering::SeqCst)).unwrap_or(0)),
        }
    }

    /// Moves a manual clock; the machine's clock is never moved.
    pub fn advance(&self, by: Millis) {
        if let Clock::Manual(at) = self {
            at.fetch_add(by, Ordering::SeqCst);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this module is the provider")]
fn system_now() -> Millis {
    jiff::Timestamp::now().as_millisecond()
}

/// Bytes nobody can guess, from the operating system.
pub fn random_bytes<const N: usize>() -> std::io::Result<[u8; N]> {
    use rand::TryRngCore as _;
    let mut bytes = [0; N];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes)
}

/// A new id, ordered by the time it was made.
pub fn new_id(now: Millis) -> std::io::Result<Uuid> {
    let millis = u64::try_from(now).unwrap_or(0);
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &random_bytes()?).into_uuid())
}

/// ISO 8601 in UTC, for answers.
pub fn iso(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |t| t.to_string())
}
