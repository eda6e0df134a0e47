//! The status everyone sees: what the buffer holds, and what is true right now, put together in one place.

use crate::live::{Live, LiveState, Pause, SessionState};
use crate::upkeep::doubted;
use heyho_buffer::Buffer;
use heyho_local::clock::Clock;
use heyho_local::config::Config;
use heyho_records::status::{
    Args, Facts, Progress, Said, State, Status, beside_a_problem, failed_records, nobody,
};
use heyho_sync::why::{Outlook, Why};
use serde_json::Value;
use std::collections::HashSet;
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
    settings: watch::Receiver<Config>,
    to: watch::Sender<Option<Status>>,
) {
    loop {
        let interval = settings.borrow().sync.interval;
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
    let mut state = live.read();
    // Whoever found it out.
    if buffer.is_doubted() {
        state.damage = Some(doubted());
    }
    match buffer.status(interval, clock.now_ms()).await {
        Ok(mut known) => {
            for (browser, source) in known.status.browsers.iter_mut().zip(&known.sources) {
                browser.connected = state.connected.contains_key(source);
            }
            overlay(known.status, known.facts, known.said, &state)
        }
        Err(error) => {
            let mut status = Status::broken(&error.to_string(), true);
            if let Some(damage) = state.damage {
                status.say(vec![damage]);
            }
            status
        }
    }
}

fn overlay(mut status: Status, mut facts: Facts, known: Vec<Said>, live: &LiveState) -> Status {
    let outlook = live.last_end.as_ref().map(|why| why.outlook());
    facts.signed_in = facts.signed_in && live.session != SessionState::SignedOut;
    facts.session_expired = live.session == SessionState::Expired || outlook == Some(Outlook::SessionExpired);
    facts.buffer_problem |= live.buffer_problem.is_some() || live.damage.is_some();
    facts.paused = live.paused.is_some() || (live.held_back.is_some() && live.running.is_none());
    facts.syncing = live.running.is_some();
    facts.blocked =
        outlook == Some(Outlook::NeedsAttention) || live.configuration.is_some() || live.rules.is_some();
    facts.retrying = outlook == Some(Outlook::Retrying);
    status.state = State::decide(facts);
    status.agent_running = true;
    status.next_attempt_at = live.next_attempt_at.filter(|_| facts.signed_in && !facts.paused);
    status.paused_until = match live.paused {
        Some(Pause::Until(at)) => Some(at),
        _ => None,
    };
    status.progress = live.running.map(|run| Progress {
        done: run.done,
        total: run.total,
        eta_seconds: run.left.map(|left| left.as_millis().div_ceil(1_000) as u64),
    });
    status.metrics = live.metrics.clone();
    status.short_session = live.short_session;
    let said = said(&status, facts, known, live);
    status.say(said);
    status
}

/// Why it is not simply well: the sentence of the state first, then whatever is true besides. Failed records do
/// not hide that the backend is down, and a store that was damaged is not hidden by a pause.
fn said(status: &Status, facts: Facts, known: Vec<Said>, live: &LiveState) -> Vec<Said> {
    let mut said = Vec::new();
    let outlook = live.last_end.as_ref().map(|why| why.outlook());
    let in_the_way = live.last_end.as_ref().filter(|_| {
        matches!(outlook, Some(Outlook::NeedsAttention | Outlook::Retrying)) && live.running.is_none()
    });
    // Sync now sends all the same: not where somebody has paused, or has to sign in first, or has pressed it.
    let held_back = live
        .held_back
        .filter(|_| live.paused.is_none() && live.running.is_none())
        .filter(|_| match status.state {
            State::Paused => true,
            State::BufferProblem => facts.signed_in && !facts.session_expired,
            _ => false,
        })
        .map(|held| Said::new(held.code(), held.sentence()));
    match status.state {
        State::BufferProblem => {
            said.extend(live.damage.clone().or_else(|| live.buffer_problem.clone()));
            said.extend(known);
            said.extend(beside_a_problem(facts, live.paused.is_some()));
        }
        State::SessionExpired => said.push(live.note.clone().unwrap_or_else(|| {
            Said::new(
                "session_expired",
                "The session has ended: sign in again to go on sending. Records are kept safely here.",
            )
        })),
        State::SignedOut => {
            said.push(nobody());
        }
        // Nothing is taken at all, whatever else there is.
        State::NeedsAttention if live.rules.is_some() => said.extend(live.rules.clone()),
        State::NeedsAttention if live.configuration.is_some() => said.extend(live.configuration.clone()),
        State::NeedsAttention if outlook == Some(Outlook::NeedsAttention) => {}
        State::NeedsAttention => said.extend(failed_records(status)),
        State::Paused => said.extend(held_back.clone()),
        _ => {}
    }
    if !matches!(status.state, State::SessionExpired | State::SignedOut) {
        said.extend(in_the_way.map(why_said));
        said.extend(failed_records(status));
        said.extend(live.note.clone());
    }
    said.extend(held_back);
    said.extend(live.rules.clone());
    said.extend(live.recovered.clone());
    let mut codes = HashSet::new();
    said.retain(|one| codes.insert(one.code.clone()));
    said
}

/// Why the last run ended, with the numbers and names of its sentence, flat: `{"status":503}`,
/// `{"fault":"tls","problem":"expired"}`.
fn why_said(why: &Why) -> Said {
    fn flatten(value: Value, into: &mut Args) {
        let Value::Object(map) = value else { return };
        for (name, value) in map {
            match value {
                Value::Object(_) => flatten(value, into),
                Value::Null | Value::Array(_) => {}
                value => {
                    into.insert(name, value);
                }
            }
        }
    }
    let mut said = Said::new(why.code(), why.sentence());
    flatten(serde_json::to_value(why).unwrap_or_default(), &mut said.args);
    // That is the code already.
    said.args.remove("why");
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed_in() -> Facts {
        Facts { signed_in: true, ..Facts::default() }
    }

    #[test]
    fn failed_records_do_not_hide_that_the_backend_is_down() {
        use heyho_sync::answer::{TlsProblem, TransportError};
        let mut status = Status::broken("", true);
        (status.failed, status.failed_kept) = (3, 1);
        let mut live = LiveState {
            last_end: Some(Why::NoAnswer { error: TransportError::Refused }),
            ..LiveState::default()
        };
        let codes = |state, live: &LiveState| {
            let status = Status { state, ..status.clone() };
            said(&status, signed_in(), Vec::new(), live).into_iter().map(|said| said.code).collect::<Vec<_>>()
        };
        assert_eq!(codes(State::NeedsAttention, &live), ["failed_records", "no_answer"]);
        assert_eq!(codes(State::Retrying, &live), ["no_answer", "failed_records"]);
        live.last_end = Some(Why::NoAnswer { error: TransportError::Tls { problem: TlsProblem::Expired } });
        assert_eq!(codes(State::NeedsAttention, &live), ["no_answer", "failed_records"]);
        live.last_end = Some(Why::Emptied);
        live.note = Some(Said::new("tokens_in_memory", ""));
        assert_eq!(codes(State::NeedsAttention, &live), ["failed_records", "tokens_in_memory"]);
        assert_eq!(codes(State::SignedOut, &live), ["signed_out"]);
        status.failed = 0;
        live.note = None;
        live.recovered = Some(Said::new("recovered", ""));
        let status = Status { state: State::UpToDate, ..status.clone() };
        let up: Vec<_> =
            said(&status, signed_in(), Vec::new(), &live).into_iter().map(|said| said.code).collect();
        assert_eq!(up, ["recovered"]);
    }

    #[test]
    fn rules_that_cannot_be_read_are_never_well() {
        let well = Facts { signed_in: true, confirmed_lately: true, ..Facts::default() };
        let status = |live: &LiveState| overlay(Status::broken("", true), well, Vec::new(), live);
        let signed_in = LiveState { session: SessionState::SignedIn, ..LiveState::default() };
        assert_eq!(status(&signed_in).state, State::UpToDate);
        let rules = Some(Said::new("rules_mistaken", "mend it"));
        let mistaken = status(&LiveState { rules, ..signed_in.clone() });
        assert_eq!(
            (mistaken.state, mistaken.reason_code.as_deref()),
            (State::NeedsAttention, Some("rules_mistaken"))
        );
        // Beside what is said first of somebody who has paused.
        let rules = Some(Said::new("rules_mistaken", "mend it"));
        let paused = status(&LiveState { rules, paused: Some(Pause::UntilResumed), ..signed_in });
        assert_eq!(paused.state, State::Paused);
        let also = paused.reason_code.into_iter().chain(paused.also.into_iter().map(|one| one.code));
        assert!(also.collect::<Vec<_>>().contains(&"rules_mistaken".to_owned()));
    }

    /// By that word, window and tray offer Sync now and not Resume.
    #[test]
    fn what_holds_runs_back_is_said_first_and_not_to_whoever_has_paused() {
        use heyho_sync::answer::TransportError;
        use heyho_sync::surroundings::HeldBack;
        let mut live = LiveState {
            last_end: Some(Why::NoAnswer { error: TransportError::Refused }),
            held_back: Some(HeldBack::Metered),
            ..LiveState::default()
        };
        let status = Status { state: State::Paused, ..Status::broken("", true) };
        let codes = |state, live: &LiveState| -> Vec<String> {
            let status = Status { state, ..status.clone() };
            said(&status, signed_in(), Vec::new(), live).into_iter().map(|said| said.code).collect()
        };
        assert_eq!(codes(State::Paused, &live), ["metered", "no_answer"]);
        assert_eq!(codes(State::BufferProblem, &live), ["no_answer", "metered"]);
        // Where there is no such button, or it was pressed, it promises nothing.
        for state in [State::SignedOut, State::SessionExpired, State::Syncing] {
            assert!(!codes(state, &live).contains(&"metered".to_owned()), "{state:?}");
        }
        live.paused = Some(Pause::UntilResumed);
        assert_eq!(codes(State::Paused, &live), ["no_answer"]);
    }

    /// Sending is what makes room: without this, nobody would be told how it begins.
    #[test]
    fn beside_a_full_store_it_is_said_what_keeps_it_from_emptying() {
        let full = || vec![Said::new("buffer_full", "")];
        let codes = |facts: Facts, live: &LiveState| {
            let status = overlay(Status::broken("", true), facts, full(), live);
            assert_eq!(status.state, State::BufferProblem);
            let also = status.also.iter().map(|said| said.code.as_str());
            status.reason_code.iter().map(String::as_str).chain(also).map(str::to_owned).collect::<Vec<_>>()
        };
        let problem = Facts { buffer_problem: true, ..signed_in() };
        let nobody = Facts { signed_in: false, ..problem };
        assert_eq!(codes(nobody, &LiveState::default()), ["buffer_full", "signed_out"]);
        let out = LiveState { session: SessionState::SignedOut, ..LiveState::default() };
        assert_eq!(codes(problem, &out), ["buffer_full", "signed_out"]);
        let expired = LiveState { session: SessionState::Expired, ..LiveState::default() };
        assert_eq!(codes(problem, &expired), ["buffer_full", "session_expired"]);
        let paused = LiveState {
            session: SessionState::SignedIn,
            paused: Some(Pause::UntilResumed),
            held_back: Some(heyho_sync::surroundings::HeldBack::Metered),
            ..LiveState::default()
        };
        assert_eq!(codes(problem, &paused), ["buffer_full", "paused"]);
        let alone = LiveState { session: SessionState::SignedIn, ..LiveState::default() };
        assert_eq!(codes(problem, &alone), ["buffer_full"]);
    }

    #[test]
    fn what_stands_in_a_sentence_stands_beside_it() {
        use heyho_sync::answer::{TlsProblem, TransportError};
        let args = |why: Why| serde_json::to_value(why_said(&why).args).unwrap();
        assert_eq!(args(Why::ServerError { status: 503 }), serde_json::json!({"status": 503}));
        let tls = Why::NoAnswer { error: TransportError::Tls { problem: TlsProblem::Expired } };
        assert_eq!(args(tls), serde_json::json!({"fault": "tls", "problem": "expired"}));
        assert_eq!(args(Why::Emptied), serde_json::json!({}));
    }
}
