//! What the core does when nothing was decided: the network, a fault of the backend, an answer that proves
//! nothing. It waits, it looks whether a record is the cause, or it ends the run.

use super::judge::{fault_reason, own};
use super::{Again, Core, PassedOver, Probe, Then, millis};
use crate::answer::TransportError;
use crate::hunt::Cause;
use crate::policy;
use crate::task::{BatchFate, RowRef, Settlement, Task, Trigger};
use crate::why::{Stop, Why};
use heyho_records::fault::planted;
use std::time::Duration;

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// The request with the batch, and whether by a fault of the backend.
    Batch { server_fault: bool },
    /// Anything else: the capabilities, a check, the renewal of the session. It says nothing of a record.
    Other,
}

impl Core {
    pub(super) fn later(
        &mut self,
        why: Why,
        floor: Option<Duration>,
        failed: Failed,
        again: Again,
        now: i64,
        jitter: f64,
    ) -> Task {
        self.leave_alone(floor, now);
        let away = self.away;
        let Some(run) = &mut self.run else { return self.lost() };
        // Pressed while the request was under way: no other one is waited for.
        if run.stop {
            return self.finish(Why::Stopped { by: Stop::Asked }, now, jitter);
        }
        // The fault: whatever failed, it was the batch.
        let batch_failed = matches!(failed, Failed::Batch { .. })
            || (planted("blames-the-batch") && matches!(again, Again::Send));
        let server_fault = failed == Failed::Batch { server_fault: true };
        if server_fault && run.faults_refuse {
            return self.fault_refuses(why, floor, now, jitter);
        }
        if run.probe.is_some() {
            // The single record failed as well: an outage. Nothing counts against anything.
            return self.settle(Settlement::default(), Then::Finish(why));
        }
        run.failed += 1;
        if let Some(batch) = run.batch.as_ref().filter(|_| server_fault) {
            if self.faults.0 != batch.batch_id {
                self.faults = (batch.batch_id.clone(), 0);
            }
            self.faults.1 += 1;
        }
        let asked_for = matches!(run.trigger, Trigger::SyncNow | Trigger::SignedIn);
        // After an outage one request is enough to learn whether it is over.
        let wait = if away > 0 && !asked_for { None } else { self.policy.attempt_wait(run.failed, jitter) };
        if let Some(wait) = wait
            && floor.is_none_or(|floor| floor <= longest_wait())
        {
            let wait = wait.max(floor.unwrap_or_default());
            return self.wait(wait, floor.is_some(), again, now);
        }
        if wait.is_none()
            && server_fault
            && !run.weather
            && self.faults.1 >= policy::SERVER_ERRORS_OF_A_BATCH
            && let Some(batch) = &run.batch
        {
            if floor.is_some() {
                self.probe_next = Some(why.clone());
                return self.finish(why, now, jitter);
            }
            let rows = own(batch).collect();
            run.failed = 0;
            run.probe = Some(Probe { rows, why });
            return self.settle(Settlement::default(), Then::Take);
        }
        let for_long = away >= policy::LOST_RUNS || self.few.is_some();
        if batch_failed && breaks(&why) && for_long {
            self.send_less(&why, now);
            return self.settle(Settlement::default(), Then::Finish(why));
        }
        if batch_failed && (matches!(why, Why::NotProof { .. }) || stuck(&why, away)) {
            // An answer kept under this key would be given again for ever.
            let settlement = Settlement { batch: BatchFate::Rekey, ..Settlement::default() };
            return self.settle(settlement, Then::Finish(why));
        }
        self.finish(why, now, jitter)
    }

    /// The backend asked not to be disturbed for so long.
    pub(super) fn leave_alone(&mut self, floor: Option<Duration>, now: i64) {
        if let Some(floor) = floor {
            self.floor_until = Some(now.saturating_add(millis(floor)));
        }
    }

    /// The exchange breaks with this batch: half of it next time; a single record is passed over.
    fn send_less(&mut self, why: &Why, now: i64) {
        let Some(run) = &self.run else { return };
        let rows: Vec<RowRef> = run.batch.iter().flat_map(own).collect();
        match rows.as_slice() {
            [row] => {
                let until = now.saturating_add(millis(policy::PASSED_OVER_FOR));
                self.passed_over.push(PassedOver { row: *row, until, why: why.clone() });
            }
            rows => self.few = Some((rows.len() / 2).max(1)),
        }
    }

    /// A server error while looking for the record that causes it.
    fn fault_refuses(&mut self, why: Why, floor: Option<Duration>, now: i64, jitter: f64) -> Task {
        if floor.is_some_and(|floor| floor > longest_wait()) {
            // Too long for this run, and a single record passed in it: what is found so far is kept by the next batch.
            self.send_less(&why, now);
            return self.settle(Settlement::default(), Then::Finish(why));
        }
        let Some(run) = &mut self.run else { return self.lost() };
        if let Why::ServerError { status } = &why {
            run.refused_with = *status;
        }
        let rows: Vec<RowRef> = run.batch.iter().flat_map(own).collect();
        let too_many = match rows.as_slice() {
            [] => false,
            [row] => run.hunt.refused_alone(*row, Cause::ServerError, fault_reason(&why)),
            rows => {
                run.hunt.split(rows, Cause::ServerError);
                false
            }
        };
        let wait = policy::ATTEMPT_WAITS[0].mul_f64(jitter.clamp(0.0, 1.0)).max(floor.unwrap_or_default());
        let then = match (rows.first().filter(|_| too_many), &why) {
            (Some(row), Why::ServerError { status }) => run.doubted(row.kind, *status),
            (Some(_), _) => Then::Finish(why),
            (None, _) => Then::WaitAndTake(wait, floor.is_some()),
        };
        self.settle(Settlement::default(), then)
    }
}

/// A longer one ends the run.
fn longest_wait() -> Duration {
    policy::ATTEMPT_WAITS.iter().max().copied().unwrap_or_default()
}

/// A backend that stays at work on a batch over several runs has forgotten it.
fn stuck(why: &Why, away: u32) -> bool {
    *why == Why::StillWorking && away >= policy::STILL_WORKING_RUNS
}

/// The backend was reached, and then the exchange broke: the batch may be the cause.
fn breaks(why: &Why) -> bool {
    use TransportError::{AnswerTimeout, BodyTooLarge, ConnectionLost};
    matches!(why, Why::NoAnswer { error: AnswerTimeout | BodyTooLarge | ConnectionLost })
}
