//! What the core sends next, and what it does when nothing waits.

use super::judge::own;
use super::{Core, Doubt, Probe, Step, Then};
use crate::hunt::Next;
use crate::policy;
use crate::task::{BatchFate, BatchLimits, RowRef, Settlement, Taken, Task};
use crate::why::{Stop, Why};
use heyho_records::Kind;
use heyho_records::fault::planted;

impl Core {
    pub(super) fn take(&mut self, now: i64, jitter: f64) -> Task {
        let Some(run) = &mut self.run else { return self.finish(Why::Internal, now, jitter) };
        if run.stop {
            return self.finish(Why::Stopped { by: Stop::Asked }, now, jitter);
        }
        if run.fruitless >= policy::REQUESTS_WITHOUT_RESULT && !planted("goes-in-circles") {
            let why = match (run.refused_with, run.hunt.unconfirmed_kinds().first()) {
                (0, Some(kind)) => Why::ConfirmsNone { kind: *kind },
                (status, _) => refuses(status),
            };
            return self.finish(why, now, jitter);
        }
        run.batch = None;
        // Once nobody is suspect any longer, a server error is only that again.
        run.faults_refuse &= run.hunt.is_hunting();
        let mut next = match &run.probe {
            Some(probe) => Next::Beyond { skip: probe.rows.clone() },
            None => run.hunt.next(jitter),
        };
        if let Next::Beyond { skip } | Next::Free { skip } = &mut next {
            skip.extend(self.passed_over.iter().map(|it| it.row));
        }
        self.ask_for(next)
    }

    fn ask_for(&mut self, next: Next) -> Task {
        let limits = self.limits(&next);
        self.step(Step::Taking(next), Task::TakeBatch(limits))
    }

    fn limits(&self, next: &Next) -> BatchLimits {
        let said = self.capabilities.as_ref().map(|(it, _)| it.clone()).unwrap_or_default();
        let least =
            |limits: [Option<usize>; 2], own: usize| limits.into_iter().flatten().fold(own, usize::min);
        let of_kind = |kind: Kind, own: usize| {
            // A kind that is likely sick as a whole shows nothing as the single record that is tried.
            let shows_nothing = self.run.as_ref().is_some_and(|run| {
                run.hunt.is_suspended(kind) || (run.probe.is_some() && next.is_beyond() && run.is_worn(kind))
            });
            if shows_nothing { 0 } else { own }
        };
        let visits = least([said.max_page_visits, None], self.policy.batch_page_visits);
        let aggregates = least([said.max_tab_aggregates, None], self.policy.batch_tab_aggregates);
        let records = least([self.learnt_records, self.few], visits + aggregates);
        BatchLimits {
            mode: said.mode,
            max_page_visits: of_kind(Kind::PageVisit, visits),
            max_tab_aggregates: of_kind(Kind::TabAggregate, aggregates),
            max_records: if next.is_beyond() { 1 } else { records },
            max_bytes: least([said.max_body_bytes, self.learnt_bytes], self.policy.batch_bytes),
            single_bytes: self.policy.batch_bytes,
            pick: next.pick(),
        }
    }

    pub(super) fn taken(&mut self, next: Next, taken: Taken, now: i64, jitter: f64) -> Task {
        let Some(run) = &mut self.run else { return self.finish(Why::Internal, now, jitter) };
        run.behind = taken.behind;
        let unsendable: Vec<_> = taken.unsendable.into_iter().map(|it| (it.row, it.reason)).collect();
        let gone: Vec<RowRef> = unsendable.iter().map(|(row, _)| *row).collect();
        run.hunt.taken(&gone);
        run.totals.set_aside += unsendable.len() as u64;
        if let Some(batch) = taken.batch {
            let rows: Vec<RowRef> = batch.items.iter().map(|item| item.row).collect();
            run.hunt.taken(&rows);
            if let Some(why) = self.probe_next.take()
                && self.faults.0 == batch.batch_id
                && unsendable.is_empty()
            {
                run.probe = Some(Probe { rows: own(&batch).collect(), why });
                return self.settle(Settlement::default(), Then::Take);
            }
            run.batch = Some(batch);
            if unsendable.is_empty() {
                return self.send();
            }
            let settlement =
                Settlement { set_aside: unsendable, batch: BatchFate::Keep, ..Settlement::default() };
            return self.settle(settlement, Then::Send);
        }
        if !unsendable.is_empty() {
            return self.settle(Settlement { set_aside: unsendable, ..Settlement::default() }, Then::Take);
        }
        if let Some(probe) = run.probe.clone() {
            return self.probe_within(probe, &next, now, jitter);
        }
        run.hunt.gone(&next);
        match next {
            Next::Free { .. } => self.nothing_waits(now, jitter),
            Next::Group(_) | Next::Beyond { .. } => self.take(now, jitter),
        }
    }

    /// Nothing waits beyond the failing batch: the single record is one of its own.
    fn probe_within(&mut self, probe: Probe, next: &Next, now: i64, jitter: f64) -> Task {
        // Of a kind that is likely sick only if there is no other.
        let sick = |row: &&RowRef| self.run.as_ref().is_some_and(|run| run.is_worn(row.kind));
        let well: Vec<RowRef> = probe.rows.iter().filter(|row| !sick(row)).copied().collect();
        let rows = if well.is_empty() { &probe.rows } else { &well };
        let place = (jitter.clamp(0.0, 0.999) * rows.len() as f64) as usize;
        match (next, rows.get(place)) {
            (Next::Beyond { .. }, Some(row)) if probe.rows.len() > 1 => self.ask_for(Next::Group(vec![*row])),
            _ => self.finish(probe.why, now, jitter),
        }
    }

    /// The queue is empty but for what is undecided.
    fn nothing_waits(&mut self, now: i64, jitter: f64) -> Task {
        let Some(run) = &mut self.run else { return self.finish(Why::Internal, now, jitter) };
        let accepted = run.confirmed.contains(&true);
        if let Some((status, kind)) = run.hunt.refused_with() {
            return match run.doubted(kind, status) {
                Then::Vouch(doubt) => self.vouch(doubt),
                Then::Finish(why) => self.finish(why, now, jitter),
                _ => self.take(now, jitter),
            };
        }
        let short = run.hunt.unconfirmed_kinds();
        if let Some(kind) = short.iter().find(|kind| run.voucher(**kind) == Some(**kind)) {
            return self.vouch(Doubt::Short { kind: *kind });
        }
        let unconfirmed = short.first().map(|kind| Why::ConfirmsNone { kind: *kind });
        if let Some(why) = run.hunt.suspended_for().cloned().or(unconfirmed) {
            return self.finish(why, now, jitter);
        }
        if let Some(passed_over) = self.passed_over.first() {
            return self.finish(passed_over.why.clone(), now, jitter);
        }
        if accepted {
            let why = if run.behind { Why::LeftBehind } else { Why::Emptied };
            return self.finish(why, now, jitter);
        }
        self.step(Step::Checking, Task::Check)
    }
}

/// Records are refused, or fail, and nothing shows that it is their own fault.
pub(super) fn refuses(status: u16) -> Why {
    if status >= 500 { Why::ServerError { status } } else { Why::RefusesEverything { status, kind: None } }
}
