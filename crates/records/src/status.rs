//! The object of `heyho status --json`, of the host's `status` answer, and of every `status` event.
//!
//! It never says more than is known: a field that is not known is null, and `upToDate` is only said by
//! [`State::decide`], in one place.

use crate::words;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The first that holds, in this order (contract, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "snake_case")]
pub enum State {
    BufferProblem,
    SessionExpired,
    SignedOut,
    Paused,
    Syncing,
    NeedsAttention,
    Retrying,
    Waiting,
    UpToDate,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::BufferProblem => "buffer_problem",
            State::SessionExpired => "session_expired",
            State::SignedOut => "signed_out",
            State::Paused => "paused",
            State::Syncing => "syncing",
            State::NeedsAttention => "needs_attention",
            State::Retrying => "retrying",
            State::Waiting => "waiting",
            State::UpToDate => "up_to_date",
        }
    }
}

/// What the state is decided by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    pub buffer_problem: bool,
    pub session_expired: bool,
    pub signed_in: bool,
    pub paused: bool,
    pub syncing: bool,
    /// The backend refuses everything, or the configuration keeps us from it.
    pub blocked: bool,
    /// Failed records the user has not chosen to keep quietly.
    pub failed_unkept: bool,
    pub retrying: bool,
    pub waiting: bool,
    /// A batch was confirmed, or with nothing to send a signed-in request was answered, recently enough.
    pub confirmed_lately: bool,
}

impl State {
    /// The one place where "up to date" is said.
    pub fn decide(facts: Facts) -> State {
        match facts {
            Facts { buffer_problem: true, .. } => State::BufferProblem,
            Facts { session_expired: true, .. } => State::SessionExpired,
            Facts { signed_in: false, .. } => State::SignedOut,
            Facts { paused: true, .. } => State::Paused,
            Facts { syncing: true, .. } => State::Syncing,
            Facts { blocked: true, .. } | Facts { failed_unkept: true, .. } => State::NeedsAttention,
            Facts { retrying: true, .. } => State::Retrying,
            Facts { waiting: false, confirmed_lately: true, .. } => State::UpToDate,
            _ => State::Waiting,
        }
    }
}

/// How recent a confirmation must be for "up to date", in ms (contract, section 4).
pub fn fresh_within_ms(interval: std::time::Duration) -> i64 {
    let twice = interval.as_millis().saturating_mul(2).saturating_add(60_000);
    i64::try_from(twice).unwrap_or(i64::MAX)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub state: State,
    /// One plain sentence, or null when the state says it all.
    pub reason: Option<String>,
    /// The stable word for `reason`, by which the window says it in another language.
    #[serde(default)]
    pub reason_code: Option<String>,
    /// The numbers, times and names that stand in that sentence.
    #[cfg_attr(feature = "ts", ts(type = "Record<string, string | number>"))]
    #[serde(default)]
    pub reason_args: Args,
    /// What is true besides and does not decide the state: records failed, and the backend is down too.
    #[serde(default)]
    pub also: Vec<Said>,
    pub backlog: Backlog,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub failed: u64,
    /// Of those, the ones the user chose to keep quietly.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub failed_kept: u64,
    pub last_sync: Option<LastSync>,
    #[cfg_attr(feature = "ts", ts(type = "string | null"))]
    pub last_confirmed_at: Option<Timestamp>,
    #[cfg_attr(feature = "ts", ts(type = "string | null"))]
    pub next_attempt_at: Option<Timestamp>,
    pub progress: Option<Progress>,
    pub account: Option<Account>,
    pub agent_running: bool,
    /// Records captured before any sign-in, or after a sign-out and not claimed.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub unclaimed: u64,
    pub other_accounts: Vec<OtherAccount>,
    pub browsers: Vec<Browser>,
    /// Until when syncing is paused; null also when it is paused until resumed.
    #[cfg_attr(feature = "ts", ts(type = "string | null"))]
    #[serde(default)]
    pub paused_until: Option<Timestamp>,
    /// How delivering went in the last day; null without an agent.
    #[serde(default)]
    pub metrics: Option<Metrics>,
    /// This backend ends sessions and cannot renew them: keeping the password may be offered.
    #[serde(default)]
    pub short_session: bool,
    /// The store could not be asked: every number and time here is not known, rather than none, and so is whether
    /// anybody is signed in.
    #[serde(default)]
    pub numbers_unknown: bool,
}

/// What stands in a sentence, by name.
pub type Args = BTreeMap<String, Value>;

/// One plain sentence, with a stable word for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct Said {
    pub code: String,
    #[cfg_attr(feature = "ts", ts(type = "Record<string, string | number>"))]
    #[serde(default)]
    pub args: Args,
    pub text: String,
}

impl Said {
    pub fn new(code: &str, text: impl Into<String>) -> Said {
        Said { code: code.to_owned(), args: Args::new(), text: text.into() }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Said {
        self.args.insert(name.to_owned(), value.into());
        self
    }
}

/// What to say of failed records that ask for attention; nothing where there are none.
pub fn failed_records(status: &Status) -> Option<Said> {
    let loud = status.failed.saturating_sub(status.failed_kept);
    (loud > 0).then(|| {
        let text = format!("{} could not be delivered.", words::count(loud, "record"));
        Said::new("failed_records", text).with("count", loud)
    })
}

/// What else keeps records from being sent, where the store's own problem decides the state: who is told of a full store
/// is told what empties it.
pub fn beside_a_problem(facts: Facts, user_paused: bool) -> Option<Said> {
    if facts.session_expired {
        return Some(Said::new(SESSION_EXPIRED, "The session has ended: sign in again to go on sending."));
    }
    if !facts.signed_in {
        return Some(nobody());
    }
    user_paused.then(|| Said::new("paused", "Syncing is paused: resume it, so that there is room again."))
}

/// What to say where nobody is signed in.
pub fn nobody() -> Said {
    Said::new("signed_out", "Nobody is signed in. Records are kept safely here.")
}

/// The word by which it is known that a session has ended, also where something else decides the state.
const SESSION_EXPIRED: &str = "session_expired";

impl Status {
    /// Whether this is said, as the reason or besides.
    pub fn says(&self, code: &str) -> bool {
        self.reason_code.as_deref() == Some(code) || self.also.iter().any(|said| said.code == code)
    }

    /// Nothing is sent before somebody signs in.
    pub fn needs_sign_in(&self) -> bool {
        matches!(self.state, State::SessionExpired | State::SignedOut)
            || self.says(SESSION_EXPIRED)
            || self.says("signed_out")
    }

    /// The first is the reason, the rest is said besides.
    pub fn say(&mut self, said: impl IntoIterator<Item = Said>) {
        let mut said = said.into_iter();
        (self.reason, self.reason_code, self.reason_args) = match said.next() {
            Some(Said { code, args, text }) => (Some(text), Some(code), args),
            None => (None, None, Args::new()),
        };
        self.also = said.collect();
    }

    /// When the buffer itself cannot be asked: nothing is claimed but that.
    pub fn broken(problem: &str, agent_running: bool) -> Status {
        Status {
            state: State::BufferProblem,
            reason: Some(format!(
                "The local store of records cannot be used: {problem}. Nothing that was sent is affected."
            )),
            reason_code: Some("buffer_unusable".to_owned()),
            reason_args: Args::from([("problem".to_owned(), problem.into())]),
            also: Vec::new(),
            backlog: Backlog::default(),
            failed: 0,
            failed_kept: 0,
            last_sync: None,
            last_confirmed_at: None,
            next_attempt_at: None,
            progress: None,
            account: None,
            agent_running,
            unclaimed: 0,
            other_accounts: Vec::new(),
            browsers: Vec::new(),
            paused_until: None,
            metrics: None,
            short_session: false,
            numbers_unknown: true,
        }
    }
}

/// How delivering went in the last day (S2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub runs: u64,
    /// From 0 to 1; null before there was any run.
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub success_rate: Option<f64>,
    pub average_seconds: f64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub pending: u64,
}

/// What waits for the account that is signed in (held records count as waiting); what is unclaimed or another
/// account's is counted beside it, never in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct Backlog {
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub page_visits: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub tab_aggregates: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub bytes: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub held: u64,
    #[cfg_attr(feature = "ts", ts(type = "string | null"))]
    pub oldest_at: Option<Timestamp>,
}

impl Backlog {
    pub fn records(&self) -> u64 {
        self.page_visits + self.tab_aggregates
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct LastSync {
    #[cfg_attr(feature = "ts", ts(type = "string"))]
    pub at: Timestamp,
    pub outcome: String,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub sent: u64,
    /// Of that run, the records that were set aside as failed.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    #[serde(default)]
    pub failed: u64,
    /// Why it stopped, as a sentence; null when all went well.
    #[serde(default)]
    pub why: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub done: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub total: u64,
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub eta_seconds: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct Account {
    pub r#ref: String,
    pub email: String,
    pub backend: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct OtherAccount {
    /// What `discard.account` takes.
    #[serde(default)]
    pub r#ref: String,
    pub email: String,
    pub backend: String,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub waiting: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub failed: u64,
    /// Of those, the ones the user chose to keep quietly.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    #[serde(default)]
    pub failed_kept: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct Browser {
    pub name: String,
    pub profile_id: String,
    #[cfg_attr(feature = "ts", ts(type = "string | null"))]
    pub last_seen_at: Option<Timestamp>,
    pub connected: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_holds_is_the_state() {
        let calm = Facts { signed_in: true, confirmed_lately: true, ..Facts::default() };
        let mut facts = calm;
        assert_eq!(State::decide(facts), State::UpToDate);
        assert_eq!(State::decide(Facts { confirmed_lately: false, ..calm }), State::Waiting);
        let mut worse = |change: fn(&mut Facts), expected| {
            change(&mut facts);
            assert_eq!(State::decide(facts), expected);
        };
        worse(|f| f.waiting = true, State::Waiting);
        worse(|f| f.retrying = true, State::Retrying);
        worse(|f| f.failed_unkept = true, State::NeedsAttention);
        worse(|f| f.syncing = true, State::Syncing);
        worse(|f| f.paused = true, State::Paused);
        worse(|f| f.signed_in = false, State::SignedOut);
        worse(|f| f.session_expired = true, State::SessionExpired);
        worse(|f| f.buffer_problem = true, State::BufferProblem);
    }

    #[test]
    fn no_failed_record_hides_behind_up_to_date() {
        let facts =
            Facts { signed_in: true, confirmed_lately: true, failed_unkept: true, ..Facts::default() };
        assert_eq!(State::decide(facts), State::NeedsAttention);
    }
}
