//! The status everyone sees: what the buffer holds, and what is true right now, put together in one place.

use crate::live::{Live, LiveState, Pause, SessionState};
use heyho_buffer::Buffer;
use heyho_local::clock::Clock;
use heyho_records::status::{Facts, Progress, State, Status};
use heyho_sync::why::Outlook;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Two publications are at least this far apart; the last change always comes.
const SPACING: Duration = Duration::from_millis(100);

/// Publishes after each change, for ever.
pub async fn publish(
    buffer: Buffer,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    interval: Duration,
    to: watch::Sender<Option<Status>>,
) {
    loop {
        let status = compose(&buffer, &live, clock.as_ref(), interval).await;
        to.send_if_modified(|current| {
            let changed = current.as_ref() != Some(&status);
            if changed {
                *current = Some(status);
            }
            changed
        });
        tokio::time::sleep(SPACING).await;
        live.changed().await;
    }
}

/// The status as of now.
pub async fn compose(buffer: &Buffer, live: &Live, clock: &dyn Clock, interval: Duration) -> Status {
    let state = live.read();
    match buffer.status(interval, clock.now_ms()).await {
        Ok(mut known) => {
            for (browser, source) in known.status.browsers.iter_mut().zip(&known.sources) {
                browser.connected = state.connected.contains_key(source);
            }
            overlay(known.status, known.facts, &state)
        }
        Err(error) => Status::broken(&error.to_string(), true),
    }
}

fn overlay(mut status: Status, mut facts: Facts, live: &LiveState) -> Status {
    let outlook = live.last_end.as_ref().map(|why| why.outlook());
    facts.signed_in = facts.signed_in && live.session != SessionState::SignedOut;
    facts.session_expired = live.session == SessionState::Expired || outlook == Some(Outlook::SessionExpired);
    facts.buffer_problem |= live.buffer_problem.is_some() || live.damage.is_some();
    facts.paused = live.paused.is_some();
    facts.syncing = live.running.is_some();
    facts.blocked = outlook == Some(Outlook::NeedsAttention) || live.configuration.is_some();
    facts.retrying = outlook == Some(Outlook::Retrying);
    status.state = State::decide(facts);
    status.agent_running = true;
    status.next_attempt_at = live.next_attempt_at.filter(|_| facts.signed_in && !facts.paused);
    status.paused_until = match live.paused {
        Some(Pause::Until(at)) => Some(at),
        _ => None,
    };
    status.progress = live.running.map(|run| {
        let left = status.backlog.records().saturating_sub(status.backlog.held);
        Progress {
            done: run.done,
            total: run.done + left,
            eta_seconds: eta(run.done, left, run.now_ms - run.started_ms),
        }
    });
    status.reason = reason(&status, live);
    status
}

/// Remaining time at the rate so far; nothing is said before a second has passed and something was done.
fn eta(done: u64, left: u64, elapsed_ms: i64) -> Option<u64> {
    let elapsed = u64::try_from(elapsed_ms).ok().filter(|ms| *ms >= 1_000)?;
    (done > 0).then(|| (left as u128 * elapsed as u128).div_ceil(done as u128 * 1_000) as u64)
}

/// One plain sentence on why it is not simply well.
fn reason(status: &Status, live: &LiveState) -> Option<String> {
    let failed = status.failed - status.failed_kept;
    match status.state {
        State::BufferProblem => {
            live.damage.clone().or_else(|| live.buffer_problem.clone()).or_else(|| status.reason.clone())
        }
        State::SessionExpired if live.note.is_some() => live.note.clone(),
        State::SessionExpired => Some(
            "The session has ended: sign in again to go on sending. Records are kept safely here.".to_owned(),
        ),
        State::SignedOut => Some("Nobody is signed in. Records are kept safely here.".to_owned()),
        State::NeedsAttention if live.configuration.is_some() => live.configuration.clone(),
        State::NeedsAttention => match &live.last_end {
            Some(why) if why.outlook() == Outlook::NeedsAttention => Some(why.sentence()),
            _ if failed == 1 => Some("1 record could not be delivered.".to_owned()),
            _ => Some(format!("{failed} records could not be delivered.")),
        },
        State::Retrying => live.last_end.as_ref().map(|why| why.sentence()),
        State::Paused | State::Syncing | State::Waiting | State::UpToDate => {
            live.recovered.clone().or_else(|| live.note.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remaining_time_is_said_only_when_it_is_known() {
        assert_eq!(eta(0, 100, 5_000), None);
        assert_eq!(eta(10, 100, 500), None);
        assert_eq!(eta(100, 900, 10_000), Some(90));
        assert_eq!(eta(3, 1, 1_000), Some(1));
        assert_eq!(eta(100, 0, 10_000), Some(0));
    }
}
