//! What the core does about an answer to a batch.

use super::later::Failed;
use super::{Again, Core, Doubt, Run, Then};
use crate::answer::Reply;
use crate::classify::{Accounted, Sent, Verdict, classify};
use crate::hunt::Cause;
use crate::names::Named;
use crate::policy;
use crate::task::{Batch, BatchFate, BatchItem, Role, RowRef, RunEnd, Settlement, Task, Totals};
use crate::why::Why;
use heyho_records::Kind;
use heyho_records::fault::planted;
use heyho_records::reason::Reason;

impl Core {
    pub(super) fn judge(&mut self, reply: &Reply, now: i64, jitter: f64) -> Task {
        let Some(batch) = self.run.as_ref().and_then(|run| run.batch.clone()) else {
            return self.finish(Why::Internal, now, jitter);
        };
        let sent = Sent { batch_id: &batch.batch_id, items: &batch.items, bytes: batch.bytes };
        let verdict = classify(reply, sent);
        let status = reply.as_ref().map_or(0, |answer| answer.status);
        if !matches!(verdict, Verdict::Later { .. } | Verdict::SignedOut)
            && let Some(run) = &mut self.run
        {
            (run.failed, run.refreshed) = (0, false);
        }
        match verdict {
            Verdict::Accounted(accounted) => self.accounted(&batch, accounted, status),
            Verdict::Named(named) => self.named(&batch, named, status),
            Verdict::Refused { status, calls_invalid, message } => {
                let reason = Reason::RejectedByBackend { field: None, message, status: Some(status) };
                self.refused(&batch, status, calls_invalid, reason)
            }
            Verdict::TooLarge { limit } => self.too_large(&batch, limit, status),
            Verdict::TooMany => self.too_many(&batch, status),
            Verdict::KeyReused => self.key_reused(now, jitter),
            Verdict::SignedOut => self.refresh(Again::Send, now, jitter),
            Verdict::Configuration(why) => self.finish(why, now, jitter),
            Verdict::Later { why, floor, server_fault } => {
                self.later(why, floor, Failed::Batch { server_fault }, Again::Send, now, jitter)
            }
        }
    }

    fn accounted(&mut self, batch: &Batch, accounted: Accounted, status: u16) -> Task {
        let Some(run) = &mut self.run else { return self.lost() };
        let mut settlement = Settlement::default();
        let mut kinds = [false; 2];
        for item in accounted.confirmed.iter().filter_map(|index| batch.items.get(*index)) {
            settlement.confirm.push(item.row);
            for (place, kind) in Kind::ALL.into_iter().enumerate() {
                kinds[place] |= kind == item.row.kind;
                run.confirmed[place] |= kind == item.row.kind;
                run.at_hand[place] |= kind == item.row.kind;
            }
        }
        set_named_aside(&mut settlement, batch, accounted.refused, status);
        if !settlement.confirm.is_empty() {
            run.totals.confirmed += settlement.confirm.len() as u64;
            run.totals.batches += 1;
            (run.rekeyed, run.vouched) = (false, 0);
            self.away = 0;
            self.takes_records = true;
            let all = self.policy.batch_page_visits + self.policy.batch_tab_aggregates;
            self.few = self.few.map(|few| few * 2).filter(|few| *few < all);
            run.weather |= self.faults.1 > 0 && self.faults.0 == batch.batch_id;
            run.accepted(&mut settlement, kinds);
        }
        let mut doubt = None;
        for kind in Kind::ALL {
            let short: Vec<&BatchItem> = accounted
                .short
                .iter()
                .filter_map(|index| batch.items.get(*index))
                .filter(|item| item.row.kind == kind)
                .collect();
            if run.short(&short) {
                match run.voucher(kind) == Some(kind) {
                    true => doubt = Some(Doubt::Short { kind }),
                    false => run.hunt.suspend(kind, Why::ConfirmsNone { kind }),
                }
            }
        }
        run.totals.set_aside += settlement.set_aside.len() as u64;
        let then = match (run.probe.take(), doubt) {
            (Some(probe), _) if !run.faults_refuse && !run.weather => Then::Finish(probe.why),
            (None, Some(doubt)) => Then::Vouch(doubt),
            _ => Then::Take,
        };
        self.settle(settlement, then)
    }

    fn named(&mut self, batch: &Batch, named: Vec<Named>, status: u16) -> Task {
        let Some(run) = &mut self.run else { return self.lost() };
        let mut settlement = Settlement::default();
        set_named_aside(&mut settlement, batch, named, status);
        run.totals.set_aside += settlement.set_aside.len() as u64;
        let rest: Vec<RowRef> =
            own(batch).filter(|row| !settlement.set_aside.iter().any(|(named, _)| named == row)).collect();
        if run.hunt.is_hunting() {
            run.hunt.put_first(&rest);
        }
        self.settle_or_end_probe(settlement)
    }

    fn refused(&mut self, batch: &Batch, status: u16, calls_invalid: bool, reason: Reason) -> Task {
        let Some(run) = &mut self.run else { return self.lost() };
        run.refused_with = status;
        let rows: Vec<RowRef> = own(batch).collect();
        let mut settlement = Settlement::default();
        match rows.as_slice() {
            [] => settlement.forget_anchors = batch.items.iter().map(|item| item.row).collect(),
            // The fault: whoever is refused alone is to blame.
            [row] if calls_invalid || planted("blames-at-once") => {
                settlement.set_aside.push((*row, reason));
                run.totals.set_aside += 1;
            }
            [row] => {
                if run.hunt.refused_alone(*row, Cause::Refused, reason) {
                    let then = run.doubted(row.kind, status);
                    return self.settle(settlement, then);
                }
            }
            rows => run.hunt.split(rows, Cause::Refused),
        }
        self.settle_or_end_probe(settlement)
    }

    fn too_large(&mut self, batch: &Batch, limit: Option<usize>, status: u16) -> Task {
        let records = own(batch).count();
        if records <= 1 {
            let bytes = batch.bytes as u64;
            let limit = limit.map_or(bytes.saturating_sub(1), |limit| limit as u64);
            return self.refused(batch, status, false, Reason::TooLarge { bytes, limit });
        }
        let learnt = limit.unwrap_or(batch.bytes / 2).max(policy::LEARNT_BYTES_LEAST);
        if learnt < batch.bytes {
            self.learnt_bytes = Some(learnt);
        } else {
            self.learnt_records = Some(records / 2);
        }
        self.release(batch)
    }

    fn too_many(&mut self, batch: &Batch, status: u16) -> Task {
        let records = own(batch).count();
        if records <= 1 {
            let message = "too many records, although it was sent alone".to_owned();
            let reason = Reason::RejectedByBackend { field: None, message, status: Some(status) };
            return self.refused(batch, status, false, reason);
        }
        self.learnt_records = Some(records / 2);
        self.release(batch)
    }

    /// The same records again, in batches within what was just learnt.
    fn release(&mut self, batch: &Batch) -> Task {
        let Some(run) = &mut self.run else { return self.lost() };
        if run.hunt.is_hunting() {
            run.hunt.put_first(&own(batch).collect::<Vec<_>>());
        }
        self.settle_or_end_probe(Settlement::default())
    }

    fn key_reused(&mut self, now: i64, jitter: f64) -> Task {
        match &mut self.run {
            Some(run) if !run.rekeyed => {
                run.rekeyed = true;
                let settlement = Settlement { batch: BatchFate::Rekey, ..Settlement::default() };
                self.settle(settlement, Then::Send)
            }
            // Two fresh keys in a row cannot both have been used before.
            _ => self.finish(Why::UnexpectedStatus { status: 422 }, now, jitter),
        }
    }

    /// Anything but a confirmation of the single record ends a run that was only probing an outage.
    pub(super) fn settle_or_end_probe(&mut self, settlement: Settlement) -> Task {
        let then = match self.run.as_mut().and_then(|run| run.probe.take()) {
            Some(probe) => Then::Finish(probe.why),
            None => Then::Take,
        };
        self.settle(settlement, then)
    }

    /// Judging without a run cannot happen; if it did, nothing is touched.
    pub(super) fn lost(&mut self) -> Task {
        self.run = None;
        Task::Finish(RunEnd { why: Why::Internal, next_at_ms: None, totals: Totals::default() })
    }
}

impl Run {
    /// Something was confirmed: that decides about those refused alone before.
    fn accepted(&mut self, settlement: &mut Settlement, kinds: [bool; 2]) {
        if let Some(probe) = &self.probe {
            let rest: Vec<RowRef> = probe
                .rows
                .iter()
                .filter(|row| !settlement.confirm.iter().any(|it| it.key() == row.key()))
                .copied()
                .collect();
            self.hunt.split(&rest, Cause::ServerError);
            self.faults_refuse = true;
        }
        if self.hunt.confirmed(&settlement.confirm) {
            self.weather = true;
        }
        if self.weather {
            self.faults_refuse = false;
        }
        for (blamed, kind) in self.blamed.iter_mut().zip(kinds) {
            *blamed *= usize::from(!kind);
        }
        let decided = self.decided(kinds);
        settlement.set_aside.extend(decided.set_aside);
        settlement.count.extend(decided.count);
    }

    /// `true`: so many of the kind stay short that it may be the backend.
    fn short(&mut self, items: &[&BatchItem]) -> bool {
        match items {
            [] => false,
            [item] => self.hunt.short_alone(item.row, item.attempts),
            items => {
                let rows: Vec<RowRef> = items.iter().map(|item| item.row).collect();
                self.hunt.split(&rows, Cause::Short);
                false
            }
        }
    }
}

pub(super) fn own(batch: &Batch) -> impl Iterator<Item = RowRef> {
    batch.items.iter().filter(|item| item.role == Role::Own).map(|item| item.row)
}

fn set_named_aside(settlement: &mut Settlement, batch: &Batch, named: Vec<Named>, status: u16) {
    for it in named {
        let Some(item) = batch.items.get(it.index) else { continue };
        match item.role {
            Role::Anchor => settlement.forget_anchors.push(item.row),
            Role::Own => {
                let reason =
                    Reason::RejectedByBackend { field: it.field, message: it.message, status: Some(status) };
                settlement.set_aside.push((item.row, reason));
            }
        }
    }
}

pub(super) fn fault_reason(why: &Why) -> Reason {
    let status = match why {
        Why::ServerError { status } => Some(*status),
        _ => None,
    };
    Reason::RejectedByBackend { field: None, message: "the backend fails on this record".to_owned(), status }
}
