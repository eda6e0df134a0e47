//! How fast a run goes, and so how long it still takes: what a progress bar says.
//!
//! The rate is an average over the run in which a moment counts by the square of its distance from the beginning, so
//! that the last third of the time says more than all before it. A plain average over the run, where the pace halves in the middle, is
//! wrong by more than 30 % until five sixths are done; this one until a sixth more is done than was by then. A plain
//! average over a few batches would be nervous instead: each takes as long as the disk of the moment.
//!
//! Nothing is said before a second has passed and something was done, and nobody knows a change before it comes.

use heyho_records::fault::planted;
use std::time::Duration;

/// A moment counts by this power of its distance from the beginning; one more, as an integral.
const POWER: i32 = 2 + 1;

/// Before this nothing is known.
const LEAST: i64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    started_ms: i64,
    /// What was done when it was last looked at.
    at_ms: i64,
    done: u64,
    per_ms: f64,
}

impl Pace {
    /// On any clock that does not jump.
    pub fn begins(now_ms: i64) -> Pace {
        Pace { started_ms: now_ms, at_ms: now_ms, done: 0, per_ms: 0.0 }
    }

    /// So much is done by now.
    pub fn done(&mut self, done: u64, now_ms: i64) {
        let (before, now) = (self.at_ms - self.started_ms, now_ms - self.started_ms);
        if now <= before {
            return;
        }
        let new = done.saturating_sub(self.done) as f64 / (now - before) as f64;
        // The fault: every moment counts the same.
        let power = if planted("averages-all") { 1 } else { POWER };
        let kept = (before as f64 / now as f64).powi(power);
        self.per_ms = kept * self.per_ms + (1.0 - kept) * new;
        (self.at_ms, self.done) = (now_ms, done);
    }

    /// How long so much more takes, at this pace.
    pub fn left(&self, left: u64) -> Option<Duration> {
        if self.at_ms - self.started_ms < LEAST || self.per_ms <= 0.0 {
            return None;
        }
        Some(Duration::from_millis((left as f64 / self.per_ms).ceil() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: u64 = 20_000;
    const BATCH: u64 = 200;

    /// A run in which each batch takes so long; for each batch how much was done then (of one), what was said and what
    /// was so.
    fn said(takes: impl Fn(u64) -> f64) -> Vec<(f64, f64, f64)> {
        let (mut pace, mut now, mut said) = (Pace::begins(5_000), 5_000.0, Vec::new());
        for batch in 0..RECORDS / BATCH {
            now += takes(batch);
            let done = (batch + 1) * BATCH;
            pace.done(done, now as i64);
            if let Some(left) = pace.left(RECORDS - done) {
                said.push((done as f64 / RECORDS as f64, left.as_secs_f64() * 1e3, now));
            }
        }
        said.into_iter().map(|(part, left, at)| (part, left, now - at)).collect()
    }

    fn within_thirty_percent(said: f64, so: f64) -> bool {
        // To the millisecond, which is all that there is of the last batch.
        (said - so).abs() <= 0.3 * so + 1.0
    }

    /// From half as long to half as long again, as it comes.
    fn uneven(batch: u64) -> f64 {
        let draw = (batch + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        0.5 + draw as f64 / (1_u64 << 24) as f64
    }

    #[test]
    fn where_the_pace_is_steady_what_is_said_after_the_first_fifth_is_right() {
        for takes in [20.0, 80.0, 3_000.0] {
            let all = said(|batch| takes * uneven(batch));
            let after = all.iter().filter(|(part, ..)| (0.2..0.95).contains(part));
            let wrong: Vec<_> = after.filter(|(_, said, so)| !within_thirty_percent(*said, *so)).collect();
            assert!(all.len() > 20 && wrong.is_empty(), "{takes} ms: {wrong:?}");
        }
    }

    #[test]
    fn where_it_halves_once_that_is_known_soon() {
        for halves_at in [0.1, 0.2, 0.4, 0.5, 0.6, 0.8] {
            let slow = |batch: u64| (batch * BATCH) as f64 >= halves_at * RECORDS as f64;
            let all = said(|batch| 80.0 * uneven(batch) * if slow(batch) { 2.0 } else { 1.0 });
            // Nobody knows it before; then a fifth more than what was done by then is enough.
            let known = (halves_at * 1.2_f64).max(0.2);
            let after = all.iter().filter(|(part, ..)| (known..0.95).contains(part));
            let wrong: Vec<_> = after.filter(|(_, said, so)| !within_thirty_percent(*said, *so)).collect();
            assert!(wrong.is_empty(), "halved at {halves_at}: {wrong:?}");
        }
    }

    #[test]
    fn nothing_is_said_before_it_is_known() {
        let mut pace = Pace::begins(0);
        assert_eq!(pace.left(5), None);
        pace.done(0, 5_000);
        assert_eq!(pace.left(5), None, "nothing was done");
        let mut pace = Pace::begins(0);
        pace.done(10, 999);
        assert_eq!(pace.left(10), None);
        pace.done(10, 999);
        pace.done(100, 10_000);
        let left = pace.left(900).unwrap().as_secs();
        assert!((80..=100).contains(&left), "{left}");
        assert_eq!(pace.left(0), Some(Duration::ZERO));
    }
}
