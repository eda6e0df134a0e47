//! The one provider of time and chance. Everywhere else both are parameters; clippy forbids the rest.

use jiff::Timestamp;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use uuid::Uuid;

/// The wall clock, as a parameter.
pub trait Clock: Send + Sync + std::fmt::Debug {
    fn now(&self) -> Timestamp;

    fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }

    /// Milliseconds of a clock that never jumps and counts while the machine sleeps, from any origin. `None`:
    /// the system's own is good; a clock that is played gives its own.
    fn boot_ms(&self) -> Option<i64> {
        None
    }
}

#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one provider of time")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

pub fn system() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// A new id that sorts by its time.
#[expect(clippy::disallowed_methods, reason = "the one provider of chance")]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// A number from 0 up to 1, for spreading retries; not for secrets.
pub fn jitter() -> f64 {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    #[test]
    fn jitter_stays_in_its_range_and_varies() {
        let drawn: Vec<f64> = (0..100).map(|_| super::jitter()).collect();
        assert!(drawn.iter().all(|x| (0.0..1.0).contains(x)));
        assert!(drawn.windows(2).any(|w| w[0] != w[1]));
    }
}
