//! A record that was confirmed in this run is sent once more: is it accepted, the others were refused for their own
//! sake; is it not, the backend is not well, whatever it answers elsewhere, and nobody is to blame.

use super::take::refuses;
use super::{Again, Core, Doubt, Run, Step, Then};
use crate::classify::{Sent, Verdict, classify};
use crate::task::{Settlement, Task, Vouched};
use heyho_records::Kind;
use heyho_records::fault::planted;

impl Core {
    pub(super) fn vouch(&mut self, doubt: Doubt) -> Task {
        let (Doubt::Refused { kind, .. } | Doubt::Short { kind }) = doubt;
        if let Some(run) = &mut self.run {
            run.totals.requests += 1;
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
        let accepted = matches!(&verdict, Some(Verdict::Accounted(it))
            if it.short.is_empty() && it.refused.is_empty() && !it.confirmed.is_empty());
        match doubt {
            // The fault: that it answers at all is taken for an acceptance.
            _ if accepted || (planted("vouches-for-anything") && verdict.is_some()) => {
                let (Doubt::Refused { kind, .. } | Doubt::Short { kind }) = doubt;
                let decided = run.hunt.accepted(Kind::ALL.map(|it| it == kind));
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
                run.hunt.suspend(kind);
                self.settle(Settlement::default(), Then::Take)
            }
        }
    }
}

impl Run {
    /// A kind of which something was confirmed in this run, if possible this one.
    pub(super) fn known_good(&self, kind: Kind) -> Option<Kind> {
        let confirmed = |of: &Kind| Kind::ALL.iter().zip(self.confirmed).any(|(it, yes)| it == of && yes);
        Some(kind).filter(confirmed).or_else(|| Kind::ALL.into_iter().find(confirmed))
    }
}
