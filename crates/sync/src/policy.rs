//! Every limit and interval of the sync engine, each with its reason. Nothing elsewhere in this crate names a
//! number of its own.

use heyho_records::fault::planted;
use std::time::Duration;

/// Records of each kind in one request. S0: with 1 to 2 KB a record a request stays well under 512 KB.
pub const BATCH_PAGE_VISITS: usize = 100;
pub const BATCH_TAB_AGGREGATES: usize = 100;

/// Bytes of one request, envelope included, before any compression. S0: gateways refuse from 1 MB on.
pub const BATCH_BYTES: usize = 524_288;

/// The least `batch_bytes` that may be configured: one record may have 256 KB, and must always fit.
pub const BATCH_BYTES_LEAST: usize = 307_200;

/// A batch limit learnt from a 413 is not halved below this: smaller requests only cost round trips, and a
/// single record is always tried alone before it is judged too large.
pub const LEARNT_BYTES_LEAST: usize = 4_096;

/// The time between two runs. S0.
pub const INTERVAL: Duration = Duration::from_secs(300);

/// Each interval is drawn from this part of itself to this much more, so that clients started together
/// (a lab, a power cut) drift apart instead of arriving together for ever.
pub const INTERVAL_JITTER: f64 = 0.1;

/// The waits between the attempts of one run: S2's 1, 2, 4, 8 s. The first attempt is at once, so there are
/// five. Each wait is drawn from zero to its value (full jitter): a thousand clients that lost one backend at
/// one moment do not return at one moment.
pub const ATTEMPT_WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// After the attempts of a run are spent: the wait to the next run, doubling up to `AWAY_MOST` while the
/// backend stays away. A short outage is over soon, a long one is asked about rarely. Drawn from the upper
/// half of the value; at its longest from the upper fifth. Then all of a backend's clients wait like that, and whoever
/// comes back after an hour has a session to renew besides: with an average of 270 s both together stay under twice the
/// steady rate, with one of 225 s (the upper half) they would not.
pub const AWAY_FIRST: Duration = Duration::from_secs(30);
pub const AWAY_MOST: Duration = Duration::from_secs(300);
pub const AWAY_LEAST: f64 = 0.5;
pub const AWAY_LEAST_AT_MOST: f64 = 0.8;

/// `Retry-After` is a floor, but a mistaken or hostile one does not silence the companion for a day.
pub const RETRY_AFTER_MOST: Duration = Duration::from_secs(3_600);

/// Those who were all told the same time come back within this part of it later, not in one second.
pub const FLOOR_JITTER: f64 = 0.25;

/// A `Retry-After` that cannot be read still asked for patience: one interval.
pub const RETRY_AFTER_UNREADABLE: Duration = INTERVAL;

/// An answer is read up to here and then cut off. A full answer of the contract has a few hundred bytes, one
/// that names 200 records some 60 KB; a stream without end must not fill the memory.
pub const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// So many single records from different places refused without one being accepted in between: then it may be
/// the backend. Nothing is set aside unless a record that it has confirmed before is accepted again.
pub const REFUSED_PLACES: usize = 3;

/// So many records may be set aside in one run on the word of a record that was confirmed before, with nothing new
/// accepted in between; then the run ends, and the next one knows of no such record until something new is accepted. More
/// bad ones than that at the end of a queue are less likely than a backend that takes nothing new. And so many of one kind
/// with none of it accepted since, over all runs, starts and sign-ins of an account: then only its own kind decides about it.
pub const VOUCHED_MOST: usize = 50;

/// How often a single record must stay unaccounted for, in answers that otherwise add up, before it is set
/// aside as "the backend did not confirm it".
pub const NOT_CONFIRMED_ATTEMPTS: u32 = 3;

/// So many server errors on one batch, over however many runs, before it is asked whether a record is the cause:
/// in an outage every batch fails, and the attempts of S2 are five.
pub const SERVER_ERRORS_OF_A_BATCH: usize = 5;

/// How often a single record must fail by a server error, each time with another accepted after it, before it is
/// set aside: S2's five attempts. A backend that is restarted answers 500 to whoever asks, and one that fails by
/// chance every other time fails twice in a row on one good record in four.
pub const SERVER_ERROR_ATTEMPTS: u32 = 5;

/// After this many runs in which nobody answered, a batch whose connection broke is halved, on the guess that it
/// is too much for the line, or holds a record that breaks the backend. It never counts against a record: one
/// that breaks alone is passed over for a while, so that it blocks nobody, and keeps waiting.
pub const LOST_RUNS: u32 = 2;
pub const PASSED_OVER_FOR: Duration = Duration::from_secs(3_600);

/// Where what is oldest waits for something else (an opener that is passed over, and all that it opened), so many times
/// as much is read, to find what may go. More than that behind one visit is not browsing.
pub const WINDOWS_MOST: usize = 64;

/// A batch that the backend calls "in progress" over this many runs gets a new key: whatever worked on it died.
pub const STILL_WORKING_RUNS: u32 = 3;

/// So many requests of one run in a row without a record confirmed, set aside or counted: whatever it is that goes in
/// circles, it ends. To find one bad record among 2,000 by halving, five attempts each, is 120.
pub const REQUESTS_WITHOUT_RESULT: usize = 200;

/// Establishing a connection: a backend that is there answers in well under this.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The whole of one exchange: 512 KB up at 10 KB/s, and a slow commit.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);

/// Silence once an answer has begun. Before it does, the request may still be on its way, or be committed.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Small requests (sign-in, capabilities, check): somebody may be looking at a spinner.
pub const SMALL_REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// One attempt to renew a session. A refresh token is spent by its use, and whoever loses the answer may ask for it
/// again within the backend's 30 s of grace: so it is asked at once again, all of it within that time. The last attempt
/// begins after 8 + 1 + 8 + 4 s.
pub const REFRESH_TIMEOUT: Duration = Duration::from_secs(8);
pub const REFRESH_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// A store that another program keeps locked for longer than a write waits: soon again.
pub const BUSY_AGAIN: Duration = Duration::from_secs(20);

/// After a fault of this program in the task that sends: the wait until another takes its place, doubling up to
/// `AWAY_MOST`. One that came by chance costs nobody minutes, one that comes each time no more than a run each interval.
pub const FAULT_AGAIN: Duration = Duration::from_secs(1);

/// Capabilities are asked for again after this long: backends are upgraded.
pub const CAPABILITIES_AGE: Duration = Duration::from_secs(24 * 3_600);

/// After the network is back, names resolve and proxies answer only a moment later; drawn from a fifth of this to
/// all of it, so that a room full of machines does not return in one second.
pub const NETWORK_SETTLES: Duration = Duration::from_secs(5);
pub const NETWORK_SETTLES_LEAST: f64 = 0.2;

/// A loose cable comes back every few seconds: not each time is worth a run.
pub const NETWORK_FLAPS: Duration = Duration::from_secs(15);

/// In baseline mode a visit that opened another is brought to the front of it, and so on so many times: chains of
/// pages that are all still waiting are short, and what is deeper waits its turn.
pub const OPENERS_DEEP: usize = 20;

/// So many records that wait begin a run before its time: a full batch of visits.
pub const BACKLOG: u64 = 100;

/// A timer does not count while the machine sleeps: the clock is looked at this often at least, so that what waits is
/// on its way within 35 s after a suspend. Each look wakes the processor, so not oftener.
pub const TICK: Duration = Duration::from_secs(10);

/// A jump of the schedule's clock between two looks by more than this was a suspend; a busy machine jumps by less.
pub const SUSPENDED: Duration = Duration::from_secs(90);

/// Before an access token ends it is renewed this much earlier, so that it does not end on the way.
pub const REFRESH_EARLY: Duration = Duration::from_secs(30);

/// A keyring that was not there at the start (it may come up after us) is looked for again after this.
pub const RESUME_AGAIN: Duration = Duration::from_secs(30);

/// How long a sign-out waits for the backend to hear of it: somebody looks at it, and it has happened here already.
pub const LOGOUT_PATIENCE: Duration = Duration::from_secs(3);

/// Between two looks at the day's figures without a run in between; and no more runs than these are counted (one
/// each 86 seconds, all day).
pub const FIGURES_EVERY: Duration = Duration::from_secs(60);
pub const FIGURES_RUNS: u32 = 1_000;

/// S2's alerts: a failure rate of the last day over this …
pub const ALERT_FAILURE_RATE: f64 = 0.05;
/// … once there were enough runs for a rate to mean something,
pub const ALERT_RUNS_LEAST: u64 = 20;
/// and more records waiting than this, for longer than that.
pub const ALERT_WAITING: u64 = 100;
pub const ALERT_WAITING_FOR: Duration = Duration::from_secs(3_600);

/// Anything that waits for longer than this is worth a word: something keeps it here.
pub const ALERT_WAITING_LONG: Duration = Duration::from_secs(24 * 3_600);

/// What the rates are about.
pub const FIGURES_OF: Duration = Duration::from_secs(24 * 3_600);

/// What of a text written by the backend is kept and shown.
pub const MESSAGE_CHARS: usize = 500;

/// The settings of one engine. Everything else above is fixed.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub batch_page_visits: usize,
    pub batch_tab_aggregates: usize,
    pub batch_bytes: usize,
    pub interval: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            batch_page_visits: BATCH_PAGE_VISITS,
            batch_tab_aggregates: BATCH_TAB_AGGREGATES,
            batch_bytes: BATCH_BYTES,
            interval: INTERVAL,
        }
    }
}

impl Policy {
    /// The wait before attempt `failed + 1` of one run, or `None` when its attempts are spent.
    pub fn attempt_wait(&self, failed: usize, jitter: f64) -> Option<Duration> {
        let wait = ATTEMPT_WAITS.get(failed.checked_sub(1)?)?;
        Some(wait.mul_f64(unit(jitter)))
    }

    /// The wait to the next run after `runs` runs in a row that reached no healthy backend.
    pub fn away_wait(&self, runs: u32, jitter: f64) -> Duration {
        // The fault: it lengthens once and no more.
        let runs = if planted("no-backoff") { runs.min(2) } else { runs };
        let most = AWAY_MOST.min(self.interval);
        let wait = AWAY_FIRST.saturating_mul(1 << runs.saturating_sub(1).min(10)).min(most);
        let least = if wait < most { AWAY_LEAST } else { AWAY_LEAST_AT_MOST };
        wait.mul_f64(least + unit(jitter) * (1.0 - least))
    }

    /// The wait to the next run when all is well.
    pub fn interval_wait(&self, jitter: f64) -> Duration {
        self.interval.mul_f64(1.0 - INTERVAL_JITTER + 2.0 * INTERVAL_JITTER * unit(jitter))
    }
}

/// A jitter that is out of range or not a number must not become a panic or an endless wait.
fn unit(jitter: f64) -> f64 {
    if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_wait_at_most_one_two_four_and_eight_seconds_and_then_are_spent() {
        let policy = Policy::default();
        let most: Vec<_> = (1..6).map(|failed| policy.attempt_wait(failed, 1.0)).collect();
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(most, [seconds(1), seconds(2), seconds(4), seconds(8), None]);
        assert_eq!(policy.attempt_wait(3, 0.0), seconds(0));
    }

    #[test]
    fn the_wait_lengthens_to_five_minutes_and_no_further() {
        let policy = Policy::default();
        let waits: Vec<_> = (1..8).map(|runs| policy.away_wait(runs, 1.0).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 300, 300, 300]);
        let least: Vec<_> = [1, 4, 5, u32::MAX].map(|runs| policy.away_wait(runs, 0.0).as_secs()).into();
        assert_eq!(least, [15, 120, 240, 240]);
    }

    #[test]
    fn a_jitter_out_of_range_neither_panics_nor_stretches_a_wait() {
        let policy = Policy::default();
        for jitter in [f64::NAN, f64::INFINITY, -1.0, 7.0] {
            assert!(policy.interval_wait(jitter) <= Duration::from_secs(330));
            assert!(policy.away_wait(9, jitter) <= AWAY_MOST);
        }
    }
}
