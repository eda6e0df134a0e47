//! The sync engine without any I/O: it asks for a task and is told the outcome.
//!
//! ```text
//! begin(trigger) ─▶ LearnCapabilities (first, then daily)
//!                        │
//!        ┌──────────▶ TakeBatch ── nothing waits ──▶ Check ──▶ Finish
//!        │               │ batch                    (only if nothing was confirmed)
//!        │             Send ◀───────────────┐
//!        │               │ answer           │ same bytes, same key
//!        │               ├─ 401 ──────▶ RefreshToken (once)
//!        │               ├─ later ────▶ Wait (at most five attempts, else Finish)
//!        └── Settle ◀────┴─ accounted for, named, refused, too large, key reused
//!                        (Vouch: a record that is known to be good once more, where only suspects are left)
//! ```
//!
//! The caller's loop:
//!
//! ```text
//! let mut task = core.begin(trigger, now, jitter);
//! while !matches!(task, Task::Finish(_)) { let outcome = carry_out(&task); task = core.told(outcome, now, jitter); }
//! ```
//!
//! Invariants:
//! - a record is confirmed only by an answer that accounts for it, and set aside only when named, or when others
//!   were accepted after it was refused alone ([`crate::hunt`]);
//! - what is persisted is enough: after a crash a new core resends the batch in flight and finds its way again;
//! - every run ends: each request confirms, sets aside, counts, halves or spends an attempt; and should that be wrong
//!   of some backend, after so many requests without a result ([`policy::REQUESTS_WITHOUT_RESULT`]).
//!
//! `now` is in milliseconds of a clock that does not jump and counts while the machine sleeps, from any origin;
//! `jitter` is drawn evenly from 0 to 1 for each call.

mod judge;
mod later;
mod steps;
mod take;
mod vouch;

use crate::capabilities::Capabilities;
use crate::hunt::{Hunt, Next};
use crate::policy::{self, Policy};
use crate::task::{Batch, Outcome, RowRef, RunEnd, Task, Totals, Trigger, Vouched};
use crate::why::Why;
use heyho_records::Kind;
use std::time::Duration;

/// The engine. It lives as long as the program; what it learnt of the backend is forgotten with it.
#[derive(Debug)]
pub struct Core {
    policy: Policy,
    capabilities: Option<(Capabilities, i64)>,
    /// Learnt from 413 and from "too many".
    learnt_bytes: Option<usize>,
    learnt_records: Option<usize>,
    /// Records of one request while the connection keeps breaking; doubles with each confirmed batch.
    few: Option<usize>,
    passed_over: Vec<PassedOver>,
    /// Server errors on one batch (its id), over all runs that tried it.
    faults: (String, usize),
    /// Those were enough to try a single record, but the backend asked to be left alone first.
    probe_next: Option<Why>,
    /// [`Run::blamed`], as the last run left it.
    blamed: [usize; 2],
    /// Runs in a row that ended without a healthy answer.
    away: u32,
    /// The route for them had a fault of its own when it was asked last.
    capabilities_fault: bool,
    /// It has confirmed records: that it knows no route for a check is no fault then.
    takes_records: bool,
    /// The backend asked not to be disturbed before this.
    floor_until: Option<i64>,
    next_at: Option<i64>,
    run: Option<Run>,
}

/// What was learnt of a backend for an account, and outlives the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Remembered {
    /// How many records of each kind were set aside on the word of others, and none of the kind was accepted since.
    pub blamed: [usize; 2],
    /// It has confirmed records of this account.
    pub takes_records: bool,
}

#[derive(Debug)]
struct Run {
    trigger: Trigger,
    totals: Totals,
    step: Step,
    batch: Option<Batch>,
    hunt: Hunt,
    /// Failures in a row of what is being tried.
    failed: usize,
    refreshed: bool,
    rekeyed: bool,
    /// Kinds of which something was confirmed in this run.
    confirmed: [bool; 2],
    /// Kinds of which one that was confirmed may be sent once more.
    at_hand: [bool; 2],
    /// The single record that is tried after a batch met five server errors, and that batch.
    probe: Option<Probe>,
    /// A server error now is a refusal: a single record passed while its batch did not.
    faults_refuse: bool,
    /// What met a server error passed unchanged a moment later: no record is the cause.
    weather: bool,
    /// Records set aside because a known good one was accepted once more, and nothing new since.
    vouched: usize,
    /// Records of each kind set aside because something else was accepted, and none of the kind since: a kind that
    /// is refused alone is sick as a whole, however well the other one is. Held over all runs, and all lives of the
    /// program ([`Remembered`]).
    blamed: [usize; 2],
    /// Requests since something was confirmed, set aside or counted; and the last status that refused.
    fruitless: usize,
    refused_with: u16,
    stop: bool,
    /// What waits now waits for what is held back.
    behind: bool,
}

#[derive(Debug, Clone)]
struct Probe {
    rows: Vec<RowRef>,
    why: Why,
}

/// A single record whose request breaks.
#[derive(Debug, Clone)]
struct PassedOver {
    row: RowRef,
    until: i64,
    why: Why,
}

/// What was asked for last.
#[derive(Debug, Clone)]
enum Step {
    Learning,
    Taking(Next),
    Sending,
    Settling(Then),
    Refreshing(Again),
    Checking,
    Vouching(Doubt),
    Waiting(Again),
}

/// What follows a settlement.
#[derive(Debug, Clone)]
enum Then {
    Take,
    Send,
    /// For so long, and whether the backend asked for it.
    WaitAndTake(Duration, bool),
    Vouch(Doubt),
    Finish(Why),
}

/// What is tried again.
#[derive(Debug, Clone, Copy)]
enum Again {
    Learn,
    Take,
    Send,
    Check,
    Vouch(Doubt),
}

/// Only suspects are left, or many places refuse in a row, though others were accepted before.
#[derive(Debug, Clone, Copy)]
enum Doubt {
    /// They are refused with this status.
    Refused { status: u16, kind: Kind },
    /// They are not accounted for.
    Short { kind: Kind },
}

impl Core {
    pub fn new(policy: Policy) -> Core {
        Core {
            policy,
            capabilities: None,
            learnt_bytes: None,
            learnt_records: None,
            few: None,
            passed_over: Vec::new(),
            faults: (String::new(), 0),
            probe_next: None,
            blamed: [0; 2],
            away: 0,
            capabilities_fault: false,
            takes_records: false,
            floor_until: None,
            next_at: None,
            run: None,
        }
    }

    /// Another backend: nothing that was learnt holds.
    pub fn forget_backend(&mut self) {
        *self = Core { policy: self.policy.clone(), run: self.run.take(), ..Core::new(Policy::default()) };
    }

    /// What holds of whoever is signed in from now on ([`Core::blamed`]).
    pub fn remember(&mut self, Remembered { blamed, takes_records }: Remembered) {
        (self.blamed, self.takes_records) = (blamed, takes_records);
    }

    /// [`Remembered::blamed`], as it is by now. What a settlement sets aside is in it before the settlement is carried out.
    pub fn blamed(&self) -> [usize; 2] {
        self.run.as_ref().map_or(self.blamed, |run| run.blamed)
    }

    /// Another session at the same backend: what it asked for holds. Whose it is may have been here before
    /// ([`Core::remember`]).
    pub fn forget_session(&mut self) {
        let floor_until = self.floor_until;
        self.forget_backend();
        self.floor_until = floor_until;
    }

    /// Before this the backend does not want to be asked; it outlives the program ([`Core::ask_not_before`]).
    pub fn not_before(&self) -> Option<i64> {
        self.floor_until
    }

    pub fn ask_not_before(&mut self, until_ms: i64) {
        self.floor_until = Some(until_ms);
    }

    /// Begins a run. It may be over at once: when the backend asked to be left alone.
    pub fn begin(&mut self, trigger: Trigger, now: i64, jitter: f64) -> Task {
        let totals = Totals { started_ms: now, ..Totals::default() };
        // A clock that jumped back must not turn an hour into years.
        let most = now.saturating_add(millis(policy::RETRY_AFTER_MOST));
        if let Some(until) = self.floor_until.map(|until| until.min(most))
            && now < until
        {
            // The one time that was drawn holds, however often it is asked: those who were all told the same time do
            // not come back in the same second.
            let latest = spread(until.saturating_sub(millis(policy::RETRY_AFTER_MOST)), until, 1.0);
            let drawn = self.next_at.filter(|at| (until..=latest).contains(at));
            self.next_at = drawn.or(Some(spread(now, until, jitter)));
            return Task::Finish(RunEnd { why: Why::AskedToWait, next_at_ms: self.next_at, totals });
        }
        if trigger == Trigger::Backlog
            && (self.away > 0 || self.floor_until.is_some())
            && let Some(next) = self.next_at
            && now < next
        {
            return Task::Finish(RunEnd { why: Why::NotYet, next_at_ms: Some(next), totals });
        }
        self.floor_until = None;
        let passed_over_most = now.saturating_add(millis(policy::PASSED_OVER_FOR));
        self.passed_over.retain(|it| now < it.until && it.until <= passed_over_most);
        self.run = Some(Run {
            trigger,
            totals,
            step: Step::Learning,
            batch: None,
            hunt: Hunt::default(),
            failed: 0,
            refreshed: false,
            rekeyed: false,
            confirmed: [false; 2],
            at_hand: [false; 2],
            probe: None,
            faults_refuse: false,
            weather: false,
            vouched: 0,
            blamed: self.blamed,
            fruitless: 0,
            refused_with: 0,
            stop: false,
            behind: false,
        });
        let age = millis(policy::CAPABILITIES_AGE);
        match &self.capabilities {
            Some((_, learnt)) if (0..age).contains(&now.saturating_sub(*learnt)) => self.take(now, jitter),
            // In an outage one request is enough: the batch itself, in the plain way.
            None if self.capabilities_fault && self.away > 0 => self.take(now, jitter),
            _ => {
                (self.learnt_bytes, self.learnt_records) = (None, None);
                Task::LearnCapabilities
            }
        }
    }

    /// The settings changed; a run that goes on goes on with them.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// The user wants it tried as if nothing had failed before. What the backend asked for still holds.
    pub fn forget_failures(&mut self) {
        self.away = 0;
        self.next_at = None;
    }

    /// The run ends after the batch in flight is settled.
    pub fn stop(&mut self) {
        if let Some(run) = &mut self.run {
            run.stop = true;
        }
    }

    pub fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// What the current run did so far.
    pub fn totals(&self) -> Option<Totals> {
        self.run.as_ref().map(|run| run.totals)
    }

    /// The outcome of the last task; the answer is the next one.
    pub fn told(&mut self, outcome: Outcome, now: i64, jitter: f64) -> Task {
        let Some(run) = &mut self.run else {
            return self.finish(Why::Internal, now, jitter);
        };
        match (run.step.clone(), outcome) {
            (_, Outcome::Stop(by)) => self.finish(Why::Stopped { by }, now, jitter),
            (Step::Learning, Outcome::Reply(reply)) => self.learnt(reply, now, jitter),
            (Step::Taking(next), Outcome::Taken(taken)) => self.taken(next, taken, now, jitter),
            (Step::Sending, Outcome::Reply(reply)) => self.judge(&reply, now, jitter),
            // The token is over, and could not be renewed before anything was sent with it.
            (Step::Sending, Outcome::Refreshed(refreshed)) => {
                self.refreshed(refreshed, Again::Send, now, jitter)
            }
            (Step::Checking, Outcome::Refreshed(refreshed)) => {
                self.refreshed(refreshed, Again::Check, now, jitter)
            }
            (Step::Vouching(doubt), Outcome::Refreshed(refreshed)) => {
                self.refreshed(refreshed, Again::Vouch(doubt), now, jitter)
            }
            (Step::Settling(then), Outcome::Settled) => match then {
                Then::Take => self.take(now, jitter),
                Then::Send => self.send(),
                Then::WaitAndTake(wait, asked) => self.wait(wait, asked, Again::Take, now),
                Then::Vouch(doubt) => self.vouch(doubt),
                Then::Finish(why) => self.finish(why, now, jitter),
            },
            (Step::Refreshing(again), Outcome::Refreshed(refreshed)) => {
                self.refreshed(refreshed, again, now, jitter)
            }
            (Step::Checking, Outcome::Reply(reply)) => self.checked(&reply, now, jitter),
            (Step::Vouching(doubt), Outcome::Vouched(vouched)) => self.vouched(vouched, doubt, now, jitter),
            (Step::Vouching(doubt), Outcome::Reply(reply)) => {
                let batch = Batch { batch_id: String::new(), items: Vec::new(), bytes: 0 };
                self.vouched(Some(Vouched { batch, reply }), doubt, now, jitter)
            }
            (Step::Waiting(again), Outcome::Woken) => self.again(again, now, jitter),
            _ => self.finish(Why::Internal, now, jitter),
        }
    }
}

/// A while after `until`, of which all who wait for it were told.
fn spread(now: i64, until: i64, jitter: f64) -> i64 {
    let left = until.saturating_sub(now).max(0) as f64;
    until.saturating_add((left * jitter.clamp(0.0, 1.0) * policy::FLOOR_JITTER) as i64)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
