//! Finding the records a backend will not take without naming them.
//!
//! - A refused group is halved, and both halves are sent; so k bad records among n cost at most
//!   k(2⌈log₂n⌉+1)+1 requests.
//! - A single record that is refused is *undecided* until another record is accepted after it. Only then is it
//!   the record and not the backend. Two undecided ones make doubt: the next record is taken from a different
//!   place, and after [`policy::REFUSED_PLACES`] without an acceptance the hunt is over and nobody is blamed.
//! - A server error may be the weather: its record is tried again each time after others were accepted, and where
//!   all of a group that failed are confirmed after all, it was the weather.
//! - A kind of which many were set aside and none was accepted since (*worn*) is judged by its own kind alone.
//! - A record whose kind's count stays short is counted only once another of its kind was confirmed after it.

use crate::policy;
use crate::task::{Pick, RowRef};
use crate::why::Why;
use heyho_records::Kind;
use heyho_records::reason::Reason;
use std::collections::{BTreeMap, VecDeque};

/// Why a group is suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Refused without a name.
    Refused,
    /// A server error that a record may have caused.
    ServerError,
    /// Its kind's count was short.
    Short,
}

/// A single record that was refused, or stayed short, with nothing to show yet that it is the record's fault.
#[derive(Debug, Clone)]
struct Undecided {
    row: RowRef,
    cause: Cause,
    reason: Reason,
    attempts: u32,
    /// Something was accepted after it, and that decided nothing: its own kind has to be.
    stays: bool,
}

/// What an acceptance decided about the undecided ones.
#[derive(Debug, Default, PartialEq)]
pub struct Decided {
    pub set_aside: Vec<(RowRef, Reason)>,
    /// Counted as not confirmed, and tried again.
    pub count: Vec<RowRef>,
}

/// The suspects of one run.
#[derive(Debug, Default)]
pub struct Hunt {
    /// The front is next. Halves are put in front, records that get another chance at the back.
    groups: VecDeque<Vec<RowRef>>,
    undecided: Vec<Undecided>,
    /// How often a single record met a server error.
    faults: BTreeMap<(Kind, i64), u32>,
    /// Groups that met a server error, less what of them was confirmed since. If a record is the cause, each keeps it.
    failing: Vec<Vec<(Kind, i64)>>,
    /// Kinds that are left alone in this run: single records stay short, or are refused, and none is confirmed.
    suspended: Vec<(Kind, Why)>,
    /// The last refusal met records that were already under suspicion without any acceptance between.
    doubt: bool,
    /// Nothing waits beyond the suspects.
    nothing_beyond: bool,
}

/// What to take next, and how many at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The front group.
    Group(Vec<RowRef>),
    /// One record from beyond all suspects.
    Beyond { skip: Vec<RowRef> },
    /// No suspects: whatever waits, but for the undecided ones.
    Free { skip: Vec<RowRef> },
}

impl Next {
    pub fn is_beyond(&self) -> bool {
        matches!(self, Next::Beyond { .. })
    }

    pub fn pick(&self) -> Pick {
        match self {
            Next::Group(rows) => Pick::Rows(rows.clone()),
            Next::Beyond { skip } | Next::Free { skip } => Pick::Oldest { skip: skip.clone() },
        }
    }
}

impl Hunt {
    /// Halves a group; of one the other half is empty.
    pub fn split(&mut self, rows: &[RowRef], cause: Cause) {
        if cause == Cause::ServerError {
            self.failing.push(rows.iter().map(|row| row.key()).collect());
        }
        let (first, second) = rows.split_at(rows.len() / 2);
        for half in [second, first] {
            self.put_first(half);
        }
        self.doubt |= cause != Cause::Short && self.refused() > 0;
    }

    /// These are next; not halved.
    pub fn put_first(&mut self, rows: &[RowRef]) {
        if !rows.is_empty() {
            self.groups.push_front(rows.to_vec());
        }
    }

    pub fn is_hunting(&self) -> bool {
        !self.groups.is_empty() || !self.undecided.is_empty()
    }

    /// What to take next. `jitter` chooses the different place.
    pub fn next(&mut self, jitter: f64) -> Next {
        if self.doubt && self.refused() > 0 {
            if !self.nothing_beyond {
                return Next::Beyond { skip: self.suspects() };
            }
            if let Some(row) = self.elsewhere(&Kind::ALL, jitter) {
                return Next::Group(vec![row]);
            }
        }
        // Two of a kind stayed undecided and none was confirmed: the third is from somewhere else, too.
        let stuck = |kind: &Kind| self.stuck_of(*kind) + 1 >= policy::REFUSED_PLACES;
        let doubtful: Vec<Kind> = Kind::ALL.into_iter().filter(stuck).collect();
        if let Some(row) = self.elsewhere(&doubtful, jitter) {
            return Next::Group(vec![row]);
        }
        match self.groups.front() {
            Some(rows) => Next::Group(rows.clone()),
            None => Next::Free { skip: self.undecided.iter().map(|it| it.row).collect() },
        }
    }

    /// Some suspect of these kinds.
    fn elsewhere(&self, kinds: &[Kind], jitter: f64) -> Option<RowRef> {
        let suspects = self.groups.iter().flatten().filter(|row| kinds.contains(&row.kind));
        let rows: Vec<RowRef> = suspects.copied().collect();
        rows.get((jitter.clamp(0.0, 0.999) * rows.len() as f64) as usize).copied()
    }

    fn short_of(&self, kind: Kind) -> usize {
        self.undecided.iter().filter(|it| it.cause == Cause::Short && it.row.kind == kind).count()
    }

    /// Undecided ones that only an acceptance of their own kind decides.
    fn stuck_of(&self, kind: Kind) -> usize {
        let stuck = |it: &&Undecided| it.row.kind == kind && (it.stays || it.cause == Cause::Short);
        self.undecided.iter().filter(stuck).count()
    }

    fn suspects(&self) -> Vec<RowRef> {
        self.groups.iter().flatten().copied().chain(self.undecided.iter().map(|it| it.row)).collect()
    }

    /// These rows are in the batch now: no group holds them any longer.
    pub fn taken(&mut self, rows: &[RowRef]) {
        self.forget_rows(rows);
    }

    /// The rows that were asked for do not wait any longer.
    pub fn gone(&mut self, next: &Next) {
        match next {
            Next::Group(rows) => self.forget_rows(rows),
            Next::Beyond { .. } => self.nothing_beyond = true,
            Next::Free { .. } => {}
        }
    }

    fn forget_rows(&mut self, rows: &[RowRef]) {
        for group in &mut self.groups {
            group.retain(|row| !rows.iter().any(|gone| gone.key() == row.key()));
        }
        self.groups.retain(|group| !group.is_empty());
    }

    /// A single record was refused. `true`: so many places refuse that it is the backend.
    pub fn refused_alone(&mut self, row: RowRef, cause: Cause, reason: Reason) -> bool {
        self.doubt |= self.refused() > 0;
        if cause == Cause::ServerError {
            *self.faults.entry(row.key()).or_default() += 1;
            self.failing.push(vec![row.key()]);
        }
        self.undecided.retain(|it| it.row.key() != row.key());
        self.undecided.push(Undecided { row, cause, reason, attempts: 0, stays: false });
        self.refused() >= policy::REFUSED_PLACES
    }

    /// A single record stayed short. `true`: so many of its kind do that it may be the backend.
    pub fn short_alone(&mut self, row: RowRef, attempts: u32) -> bool {
        let reason = Reason::NotConfirmed { attempts: attempts + 1 };
        self.undecided.push(Undecided { row, cause: Cause::Short, reason, attempts, stays: false });
        self.short_of(row.kind) >= policy::REFUSED_PLACES
    }

    /// Nothing of this kind is accounted for, or accepted: it is left alone in this run.
    pub fn suspend(&mut self, kind: Kind, why: Why) {
        self.suspended.push((kind, why));
        self.undecided.retain(|it| it.row.kind != kind || it.cause == Cause::Short);
        for group in &mut self.groups {
            group.retain(|it| it.kind != kind);
        }
        self.groups.retain(|group| !group.is_empty());
    }

    /// These are held by the backend. `true`: all of a group that failed are, so that none of them was the cause.
    /// Then nobody is suspected of server errors any longer.
    pub fn confirmed(&mut self, rows: &[RowRef]) -> bool {
        for group in &mut self.failing {
            group.retain(|key| !rows.iter().any(|row| row.key() == *key));
        }
        let weather = self.failing.iter().any(Vec::is_empty);
        if weather {
            self.failing.clear();
            self.faults.clear();
            self.undecided.retain(|it| it.cause != Cause::ServerError);
        }
        weather
    }

    /// One more chance, after everything else under suspicion.
    pub fn put_last(&mut self, row: RowRef) {
        self.groups.push_back(vec![row]);
    }

    /// Records were accepted: what was refused alone before that was refused for its own sake; of a kind that is worn
    /// only where one of that kind was accepted.
    pub fn accepted(&mut self, confirmed: [bool; 2], worn: [bool; 2]) -> Decided {
        let mut decided = Decided::default();
        self.doubt = false;
        for it in std::mem::take(&mut self.undecided) {
            let is =
                |kinds: [bool; 2]| Kind::ALL.iter().zip(kinds).any(|(kind, yes)| *kind == it.row.kind && yes);
            let of_kind = is(confirmed);
            match it.cause {
                _ if !of_kind && is(worn) => self.undecided.push(Undecided { stays: true, ..it }),
                Cause::Refused => decided.set_aside.push((it.row, it.reason)),
                Cause::ServerError if self.faults_of(it.row) >= policy::SERVER_ERROR_ATTEMPTS => {
                    self.failing.retain(|group| !group.contains(&it.row.key()));
                    decided.set_aside.push((it.row, it.reason));
                }
                Cause::ServerError => self.put_last(it.row),
                Cause::Short if !of_kind => self.undecided.push(it),
                Cause::Short if it.attempts + 1 >= policy::NOT_CONFIRMED_ATTEMPTS => {
                    decided.set_aside.push((it.row, it.reason));
                }
                Cause::Short => {
                    decided.count.push(it.row);
                    self.put_last(it.row);
                }
            }
        }
        decided
    }

    /// Kinds of which single records stay short, and that are not left alone.
    pub fn unconfirmed_kinds(&self) -> Vec<Kind> {
        let short = self.undecided.iter().filter(|it| it.cause == Cause::Short).map(|it| it.row.kind);
        short.filter(|kind| !self.is_suspended(*kind)).collect()
    }

    /// Why a kind is left alone.
    pub fn suspended_for(&self) -> Option<&Why> {
        self.suspended.first().map(|(_, why)| why)
    }

    pub fn is_suspended(&self, kind: Kind) -> bool {
        self.suspended.iter().any(|(it, _)| *it == kind)
    }

    /// The status by which a record was refused that is still undecided, and its kind.
    pub fn refused_with(&self) -> Option<(u16, Kind)> {
        let it = self.undecided.iter().find(|it| it.cause != Cause::Short)?;
        let status = match it.reason {
            Reason::RejectedByBackend { status: Some(status), .. } => status,
            Reason::TooLarge { .. } => 413,
            _ => 0,
        };
        Some((status, it.row.kind))
    }

    fn refused(&self) -> usize {
        self.undecided.iter().filter(|it| it.cause != Cause::Short).count()
    }

    fn faults_of(&self, row: RowRef) -> u32 {
        self.faults.get(&row.key()).copied().unwrap_or(0)
    }
}
