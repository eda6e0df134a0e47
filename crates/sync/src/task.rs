//! The vocabulary between the core and whoever carries its tasks out (the agent, or a test's model).
//!
//! A row is named by kind, seq and revision. Confirming and setting aside apply only to that very revision: a
//! row that was changed meanwhile stays waiting. Picking and skipping go by kind and seq alone.

use crate::answer::Reply;
use crate::why::{Stop, Why};
use heyho_records::Kind;
use heyho_records::reason::Reason;
use std::time::Duration;

/// One version of one row of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowRef {
    pub kind: Kind,
    pub seq: i64,
    pub revision: i64,
}

impl RowRef {
    /// The row, whatever its revision.
    pub fn key(self) -> (Kind, i64) {
        (self.kind, self.seq)
    }
}

/// How the backend is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It serves `/capabilities`: the contract holds.
    Full,
    /// It does not: S0, and HeyHo's own service as it behaves.
    #[default]
    Baseline,
}

/// What the next batch may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLimits {
    pub mode: Mode,
    pub max_page_visits: usize,
    pub max_tab_aggregates: usize,
    /// Of both kinds together.
    pub max_records: usize,
    /// Of the whole body. A record that is alone larger is still taken, alone, up to `single_bytes`.
    pub max_bytes: usize,
    /// A body with one record that is larger than this cannot be sent at all.
    pub single_bytes: usize,
    pub pick: Pick,
}

/// Which rows a new batch is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// The oldest waiting ones but for these.
    Oldest { skip: Vec<RowRef> },
    /// Of these, what still waits, in this order; no others.
    Rows(Vec<RowRef>),
}

/// A batch in flight, as it was persisted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub batch_id: String,
    /// In the order in which they stand in the request, each kind in its own list.
    pub items: Vec<BatchItem>,
    /// Length of the body.
    pub bytes: usize,
}

/// One record of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchItem {
    pub row: RowRef,
    /// The id as it stands on the wire.
    pub id: String,
    /// How often it stayed unconfirmed before ([`Settlement::count`]).
    pub attempts: u32,
    pub role: Role,
}

/// Why a record is in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// It waits to be delivered.
    #[default]
    Own,
    /// A visit that was confirmed before and goes along because the backend ties its tab's aggregate to it
    /// (baseline mode). It is expected in the counts and otherwise left alone.
    Anchor,
}

/// What the core asks for. Each is answered by the [`Outcome`] named with it.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// Ask the backend what it can do (no sign-in needed): [`Outcome::Reply`].
    LearnCapabilities,
    /// Give the persisted batch in flight if there is one, else make one within these limits, persist it with
    /// a new key and give it: [`Outcome::Taken`].
    TakeBatch(BatchLimits),
    /// Send the persisted bytes with their key: [`Outcome::Reply`].
    Send { gzip: bool },
    /// Do all of this in one transaction: [`Outcome::Settled`].
    Settle(Settlement),
    /// Get a new access token: [`Outcome::Refreshed`].
    RefreshToken,
    /// Nothing is to be sent: ask a cheap signed-in question, to know where we stand: [`Outcome::Reply`].
    Check,
    /// Records of this kind are refused, and nothing else waits that could show whose fault it is: send one of
    /// the kind that was confirmed in this run once more, under a key of its own: [`Outcome::Vouched`].
    Vouch { kind: Kind },
    /// Wait until then: [`Outcome::Woken`]. Where the backend did not ask for it the wait may be cut short
    /// (the network came back, somebody pressed Sync now).
    Wait { until_ms: i64, asked_by_backend: bool },
    /// The run is over. No outcome is expected; the next call is [`crate::core::Core::begin`].
    Finish(RunEnd),
}

/// What becomes of the rows of a batch, and of rows that were in earlier batches of the same run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settlement {
    /// Held by the backend: delete them.
    pub confirm: Vec<RowRef>,
    /// Put them among the failed, with the reason.
    pub set_aside: Vec<(RowRef, Reason)>,
    /// The backend's answer did not account for them: raise their attempts by one; they stay waiting.
    pub count: Vec<RowRef>,
    /// Visits that went along only for their tab's aggregate and that the backend refuses: forget them.
    pub forget_anchors: Vec<RowRef>,
    pub batch: BatchFate,
}

/// What becomes of the batch in flight itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BatchFate {
    /// It is over: rows neither confirmed nor set aside wait again, in their old place.
    #[default]
    End,
    /// It stays in flight, bytes and key unchanged.
    Keep,
    /// It stays in flight with the same bytes and a new key.
    Rekey,
}

/// What came of a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Reply(Reply),
    Taken(Taken),
    Settled,
    Refreshed(Refreshed),
    /// What came of it; `None` where there is no such record at hand any longer.
    Vouched(Option<Vouched>),
    Woken,
    /// The run must end now, whatever was asked for. What was persisted stays as it is.
    Stop(Stop),
}

/// The answer to [`Task::TakeBatch`]. All empty: nothing waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    pub batch: Option<Batch>,
    /// Rows that cannot be sent at all; they are not part of the batch.
    pub unsendable: Vec<Unsendable>,
    /// There is no batch though something waits: all of it goes with, or after, what is held back.
    pub behind: bool,
}

/// A row that fits in no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsendable {
    pub row: RowRef,
    pub reason: Reason,
}

/// A request with a record that is known to be good, and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Vouched {
    pub batch: Batch,
    pub reply: Reply,
}

/// The answer to [`Task::RefreshToken`].
#[derive(Debug, Clone, PartialEq)]
pub enum Refreshed {
    /// There is a new token.
    Yes,
    /// The session is over: the user has to sign in.
    SessionOver,
    /// Nobody could be asked; and how long the backend asked to be left alone, if it did.
    NotNow(Why, Option<Duration>),
}

/// Why a run is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The time of the last [`RunEnd::next_at_ms`] has come, or the program has started.
    Periodic,
    SyncNow,
    SignedIn,
    /// Many records wait.
    Backlog,
    /// The network is back, or the machine woke up.
    NetworkBack,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEnd {
    pub why: Why,
    /// When to begin the next run by itself; `None` when only an event (a sign-in, a resume) makes sense.
    pub next_at_ms: Option<i64>,
    pub totals: Totals,
}

/// What one run did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub started_ms: i64,
    /// Requests that carried a batch.
    pub requests: u64,
    /// Batches of which something was confirmed.
    pub batches: u64,
    pub confirmed: u64,
    pub set_aside: u64,
    /// A signed-in request was answered in a known shape with nothing to send.
    pub checked: bool,
}
