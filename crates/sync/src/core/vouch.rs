//! A record that was confirmed in this run is sent once more: is it accepted, the others were refused for their own
//! sake; is it not, the backend is not well, whatever it answers elsewhere, and nobody is to blame.

use super::take::refuses;
use super::{Again, Core, Doubt, Run, Step, Then};
use crate::classify::{Sent, Verdict, classify};
use crate::hunt::Decided;
use crate::policy;
use crate::task::{Settlement, Task, Vouched};
use crate::why::Why;
use heyho_records::Kind;
use heyho_records::fault::planted;

impl Core {
    pub(super) fn vouch(&mut self, doubt: Doubt) -> Task {
        let (Doubt::Refused { kind, .. } | Doubt::Short { kind }) = doubt;
        if let Some(run) = &mut self.run {
            run.totals.requests += 1;
            run.fruitless += 1;
        }
        self.step(Step::Vouching(doubt), Task::Vouch { kind })
    }

    pub(super) fn vouched(&mut self, vouched: Option<Vouched>, doubt: Doubt, now: i64, jitter: f64) -> Task {
        let verdict = vouched.as_ref().map(|Vouched { batch, reply }| {
            let sent = Sent { batch_id: &batch.batch_id, items: &batch.items, bytes: batch.bytes };
            classify(reply, sent)
        });
        match verdict {
            Some(Verdict::SignedOut) => return self.refresh(Again::Vouch(doubt), now, jitter),
            Some(Verdict::Configuration(why)) => return self.finish(why, now, jitter),
            Some(Verdict::Later { why, floor, .. }) => {
                self.leave_alone(floor, now);
                return self.finish(why, now, jitter);
            }
            _ => {}
        }
        let Some(run) = &mut self.run else { return self.lost() };
        run.refreshed = false;
        // There is none of this kind at hand any longer: one of the other kind tells as much of a refusal.
        if let (None, Doubt::Refused { status, kind }) = (&verdict, doubt) {
            run.at_hand[place(kind)] = false;
            if let Some(kind) = run.voucher(kind) {
                return self.vouch(Doubt::Refused { status, kind });
            }
        }
        let accepted = matches!(&verdict, Some(Verdict::Accounted(it))
            if it.short.is_empty() && it.refused.is_empty() && !it.confirmed.is_empty());
        match doubt {
            // The fault: that it answers at all is taken for an acceptance.
            _ if accepted || (planted("vouches-for-anything") && verdict.is_some()) => {
                let (Doubt::Refused { kind, .. } | Doubt::Short { kind }) = doubt;
                let decided = run.decided(Kind::ALL.map(|it| it == kind));
                run.vouched += decided.set_aside.len();
                run.totals.set_aside += decided.set_aside.len() as u64;
                let settlement = Settlement {
                    set_aside: decided.set_aside,
                    count: decided.count,
                    ..Settlement::default()
                };
                self.settle(settlement, Then::Take)
            }
            Doubt::Refused { status, .. } => self.finish(refuses(status), now, jitter),
            Doubt::Short { kind } => {
                run.hunt.suspend(kind, Why::ConfirmsNone { kind });
                self.settle(Settlement::default(), Then::Take)
            }
        }
    }
}

impl Run {
    /// A kind of which something was confirmed in this run, if possible this one.
    fn known_good(&self, kind: Kind) -> Option<Kind> {
        let at_hand = |of: &Kind| self.at_hand[place(*of)];
        Some(kind).filter(at_hand).or_else(|| Kind::ALL.into_iter().find(at_hand))
    }

    /// The same, for records that are refused, or not accounted for. A backend that takes what it has already and nothing new (a quota, a
    /// table closed for writing) looks like one with bad records at the end of the queue: so not without limit.
    pub(super) fn voucher(&self, kind: Kind) -> Option<Kind> {
        let enough = self.vouched >= policy::VOUCHED_MOST || self.is_worn(kind);
        self.known_good(kind).filter(|_| !enough || planted("vouches-for-ever"))
    }

    /// So many of the kind were set aside, and none of it was accepted since, that it is the backend which does not
    /// take it, whatever becomes of the other kind.
    pub(super) fn is_worn(&self, kind: Kind) -> bool {
        self.blamed[place(kind)] >= policy::VOUCHED_MOST
    }

    /// What an acceptance of these kinds decides about those that are undecided.
    pub(super) fn decided(&mut self, kinds: [bool; 2]) -> Decided {
        // The fault: whatever else is accepted shows that it is the record.
        let worn = Kind::ALL.map(|kind| self.is_worn(kind) && !planted("one-kind-for-the-other"));
        let decided = self.hunt.accepted(kinds, worn);
        for (row, _) in &decided.set_aside {
            self.blamed[place(row.kind)] += 1;
        }
        decided
    }

    /// So many places refuse that it may be the backend: a record that is known to be good decides, or the kind is
    /// left alone in this run while the other goes on, or the run ends.
    pub(super) fn doubted(&mut self, kind: Kind, status: u16) -> Then {
        match self.voucher(kind) {
            Some(kind) => Then::Vouch(Doubt::Refused { status, kind }),
            None if self.is_worn(kind) && self.confirmed.contains(&true) => {
                let why = match refuses(status) {
                    Why::RefusesEverything { status, .. } => {
                        Why::RefusesEverything { status, kind: Some(kind) }
                    }
                    why => why,
                };
                self.hunt.suspend(kind, why);
                Then::Take
            }
            None => Then::Finish(refuses(status)),
        }
    }
}

fn place(kind: Kind) -> usize {
    Kind::ALL.iter().position(|it| *it == kind).unwrap_or_default()
}
