//! The one place that waits. A probe is asked until it answers, or until the bound has passed; then the error
//! says what was waited for and what the probe saw last. Nothing else in these tests lets time pass.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// For what our own programs do in well under a second. Wide, because a bound is not a measurement.
pub const SOON: Duration = Duration::from_secs(30);
/// For what starts a browser, a web view or a display on a busy machine.
pub const BOOT: Duration = Duration::from_secs(120);

const PAUSE: Duration = Duration::from_millis(25);

/// What is waited for cannot come any more: a probe's error of this type ends the waiting at once.
#[derive(Debug)]
pub struct Never(pub String);

impl std::fmt::Display for Never {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Never {}

/// Any other `Err` from the probe means "not yet", and its text is what was seen instead.
pub async fn eventually<T>(
    bound: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(PAUSE);
    loop {
        ticks.tick().await;
        // A probe that hangs (a driver whose browser has died) hangs no longer than anything may take.
        let saw = match timeout(bound + BOOT, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(saw)) => saw,
            Err(_) => bail!("{what}: the question for it got no answer"),
        };
        if saw.is::<Never>() {
            return Err(saw.context(format!("{what}: never")));
        }
        if start.elapsed() > bound {
            bail!("{what}: not within {} s; last seen: {saw:#}", bound.as_secs());
        }
    }
}
