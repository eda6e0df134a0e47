//! A clock that never jumps and counts while the machine sleeps: what the schedule is kept by, so that a wall
//! clock that is set a year ahead or back starts no storm, and a night's suspend is noticed at once.

use heyho_local::clock::Clock;
use heyho_records::fault::planted;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug, Clone)]
pub struct Monotonic {
    started: Instant,
    clock: Arc<dyn Clock>,
}

impl Monotonic {
    pub fn start(clock: Arc<dyn Clock>) -> Monotonic {
        Monotonic { started: Instant::now(), clock }
    }

    /// Milliseconds from any origin.
    pub fn now_ms(&self) -> i64 {
        if planted("wall-clock-schedule") {
            return self.clock.now_ms();
        }
        self.clock
            .boot_ms()
            .or_else(platform::boot_ms)
            .unwrap_or_else(|| i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use rustix::time::{ClockId, clock_gettime};

    pub fn boot_ms() -> Option<i64> {
        let now = clock_gettime(ClockId::Boottime);
        Some(now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000))
    }
}

/// `Instant` counts through sleep on Windows and not on macOS, where a wake-up is noticed by the tick that
/// follows it (docs/platforms.md).
#[cfg(not(target_os = "linux"))]
mod platform {
    pub fn boot_ms() -> Option<i64> {
        None
    }
}
