//! What follows a run: the history, those who waited for it, and when the next one comes.

use super::resume::WAITING_FOR_TOKENS;
use super::{Engine, ms};
use crate::account::why_code;
use crate::live::SessionState;
use crate::upkeep::Chore;
use heyho_buffer::{AccountId, RunRecord};
use heyho_local::clock;
use heyho_local::vocabulary::{FaultCode, RunSummary};
use heyho_records::fault::planted;
use heyho_records::status::Said;
use heyho_records::time::timestamp;
use heyho_sync::surroundings::run_after_return;
use heyho_sync::task::RunEnd;
use heyho_sync::why::{Outlook, Stop, Why};

impl Engine {
    pub(super) async fn ended(&mut self, account: AccountId, started_at: i64, end: RunEnd) {
        let now = self.clock.now_ms();
        self.last_end_at = Some(self.monotonic.now_ms());
        let asked = end.why == Why::Stopped { by: Stop::Asked };
        // However it ended: with an error of the backend, say. Not where a metered connection or the end of the program did.
        self.stopped = self.meanwhile.stop;
        let now_ms = self.monotonic.now_ms();
        let regular = now_ms.saturating_add(ms(self.config.sync.interval));
        self.next_at = end.next_at_ms.or(match end.why {
            // A disk may have room again, a file may be mended.
            Why::Stopped { by: Stop::Asked | Stop::BufferProblem } => Some(regular),
            // The batch ended because some of it was deleted: the rest of it waits.
            Why::Stopped { by: Stop::Erased } => Some(now_ms),
            _ => None,
        });
        let held_up = !matches!(end.why.outlook(), Outlook::Good | Outlook::SessionExpired)
            && (!self.stopped || planted("forgets-stop"));
        if held_up && (self.meanwhile.online || self.meanwhile.released) {
            let returned = run_after_return(now_ms, self.next_at, Some(now_ms), clock::jitter());
            self.next_at = Some(if self.meanwhile.released { now_ms } else { returned });
        }
        let next = self.next_at.map(|at| timestamp(now.saturating_add(at - self.monotonic.now_ms())));
        self.keep_floor().await;
        self.keep_blamed().await;
        // A look with nothing to send is no run of the history, whatever came of it: the rates are about delivering.
        let totals = self.buffer.totals(Some(account), now).await;
        let sendable = totals.map(|totals| totals.waiting().saturating_sub(totals.held)).ok();
        self.left_behind = sendable.filter(|_| end.why == Why::LeftBehind).unwrap_or_default();
        let did = end.totals.requests > 0 || end.totals.set_aside > 0;
        let had_work = did || sendable != Some(0);
        // A command that was the agent for its own length is over, or the program ends: nobody asked for it to stop.
        let cut_short = asked && self.ending.is_some();
        let quiet = matches!(end.why, Why::NotYet | Why::AskedToWait | Why::NothingToSend)
            || (end.why == Why::LeftBehind && !did)
            || (cut_short && !did)
            || !had_work;
        if !quiet {
            tracing::info!(
                outcome = end.why.code(),
                sent = end.totals.confirmed,
                failed = end.totals.set_aside,
                "a run ended"
            );
            let run = RunRecord {
                started_at,
                ended_at: Some(now),
                batches: end.totals.batches,
                sent: end.totals.confirmed,
                failed: end.totals.set_aside,
                outcome: end.why.code().to_owned(),
                why: (end.why.outlook() != Outlook::Good && !cut_short).then(|| end.why.sentence()),
            };
            if let Err(error) = self.buffer.add_run(account, &run).await {
                tracing::warn!("the run could not be added to the history: {error}");
            }
        }
        let summary = self.summary(account, &end, now).await;
        let delivered = end.totals.confirmed > 0;
        let note = self.keeper.note();
        self.live.change(|live| {
            live.running = None;
            live.next_attempt_at = next;
            live.note = note.filter(|_| end.why != Why::SessionExpired);
            live.buffer_problem = (end.why == Why::Stopped { by: Stop::BufferProblem })
                .then(|| Said::new("buffer_unusable", end.why.sentence()));
            match end.why {
                Why::NotYet => {}
                Why::SessionExpired => {
                    live.session = SessionState::Expired;
                    live.last_end = Some(end.why);
                }
                why => live.last_end = Some(why),
            }
        });
        // Whoever looks at the status once it has the answer finds it true.
        self.answer(summary);
        // It is there as long as the agent is.
        let _ = self.upkeep.send(Chore::AfterRun { delivered });
        self.telling.soon();
    }

    /// What the run came to, and whether those who joined it must wait for one that begins afterwards.
    async fn summary(&self, account: AccountId, end: &RunEnd, now: i64) -> (RunSummary, bool) {
        let good = end.why.outlook() == Outlook::Good;
        let totals = self.buffer.totals(Some(account), now).await;
        let sendable = totals.as_ref().is_ok_and(|totals| totals.waiting() > totals.held);
        let fault = match &totals {
            Err(_) => Some(FaultCode::Failed),
            Ok(_) if good => None,
            Ok(_) if self.live.read().paused.is_some() => Some(FaultCode::TryLater),
            Ok(_) => Some(why_code(&end.why)),
        };
        let summary = RunSummary {
            sent: end.totals.confirmed,
            failed: end.totals.set_aside,
            waiting: totals.map_or(0, |totals| totals.waiting()),
            outcome: end.why.code().to_owned(),
            why: (!good || end.why == Why::LeftBehind).then(|| end.why.sentence()),
            fault,
        };
        (summary, good && sendable)
    }

    fn answer(&mut self, (summary, again): (RunSummary, bool)) {
        let again = self.meanwhile.go_on || (self.meanwhile.sync && again);
        self.again = again && self.ending.is_none();
        if !self.again {
            self.waiters.append(&mut self.joined);
        }
        self.answer_waiters(&summary);
    }

    fn answer_waiters(&mut self, summary: &RunSummary) {
        for waiter in self.waiters.drain(..) {
            let _ = waiter.send(summary.clone());
        }
    }

    /// Those who wait are told why no run can begin.
    pub(super) fn nobody_signed_in(&mut self) {
        self.waiters.append(&mut self.joined);
        let live = self.live.read();
        let waiting = live.note.filter(|note| note.code == WAITING_FOR_TOKENS);
        let (outcome, why, fault) = match (live.configuration, waiting) {
            (Some(said), _) => (said.code, said.text, FaultCode::Configuration),
            (None, Some(said)) => (said.code, said.text, FaultCode::TryLater),
            (None, None) => {
                let why = Why::SessionExpired;
                (why.code().to_owned(), why.sentence(), FaultCode::SignInNeeded)
            }
        };
        self.answer_waiters(&RunSummary {
            sent: 0,
            failed: 0,
            waiting: 0,
            outcome,
            why: Some(why),
            fault: Some(fault),
        });
    }
}
