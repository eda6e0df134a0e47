//! One step of a run to the next, and a run's end.

use super::later::Failed;
use super::{Again, Core, Step, Then, millis, spread};
use crate::answer::Reply;
use crate::capabilities::Capabilities;
use crate::classify::{CheckVerdict, classify_check};
use crate::policy;
use crate::task::{Refreshed, RunEnd, Settlement, Task};
use crate::why::{Outlook, Stop, Why};
use std::time::Duration;

impl Core {
    pub(super) fn learnt(&mut self, reply: Reply, now: i64, jitter: f64) -> Task {
        match (classify_check(&reply), reply) {
            (CheckVerdict::Later { why, floor }, Ok(_)) if floor.is_some() || why == Why::RateLimited => {
                self.later(why, floor, Failed::Other, Again::Learn, now, jitter)
            }
            (_, Ok(answer)) => {
                // A fault says nothing: what was known before holds, and is asked for again in the next run.
                let read = Capabilities::read(&answer);
                self.capabilities_fault = read.is_none();
                if let Some(read) = read {
                    self.capabilities = Some((read, now));
                }
                if let Some(run) = &mut self.run {
                    run.failed = 0;
                }
                self.take(now, jitter)
            }
            (_, Err(error)) => {
                self.later(Why::NoAnswer { error }, None, Failed::Other, Again::Learn, now, jitter)
            }
        }
    }

    pub(super) fn again(&mut self, again: Again, now: i64, jitter: f64) -> Task {
        match again {
            Again::Learn => self.step(Step::Learning, Task::LearnCapabilities),
            Again::Take => self.take(now, jitter),
            Again::Send => self.send(),
            Again::Check => self.step(Step::Checking, Task::Check),
            Again::Vouch(doubt) => self.vouch(doubt),
        }
    }

    pub(super) fn step(&mut self, step: Step, task: Task) -> Task {
        if let Some(run) = &mut self.run {
            run.step = step;
        }
        task
    }

    pub(super) fn send(&mut self) -> Task {
        let gzip = self.capabilities.as_ref().is_some_and(|(it, _)| it.gzip);
        if let Some(run) = &mut self.run {
            run.totals.requests += 1;
            run.fruitless += 1;
        }
        self.step(Step::Sending, Task::Send { gzip })
    }

    pub(super) fn settle(&mut self, settlement: Settlement, then: Then) -> Task {
        let result = [settlement.confirm.len(), settlement.set_aside.len(), settlement.count.len()] != [0; 3];
        if let Some(run) = self.run.as_mut().filter(|_| result) {
            run.fruitless = 0;
        }
        self.step(Step::Settling(then), Task::Settle(settlement))
    }

    pub(super) fn wait(&mut self, wait: Duration, asked_by_backend: bool, again: Again, now: i64) -> Task {
        let until_ms = now.saturating_add(millis(wait));
        self.step(Step::Waiting(again), Task::Wait { until_ms, asked_by_backend })
    }

    pub(super) fn checked(&mut self, reply: &Reply, now: i64, jitter: f64) -> Task {
        match classify_check(reply) {
            CheckVerdict::Good => {
                let Some(run) = &mut self.run else { return self.lost() };
                run.totals.checked = true;
                let why = if run.behind { Why::LeftBehind } else { Why::NothingToSend };
                self.finish(why, now, jitter)
            }
            CheckVerdict::Configuration(Why::NotFound) if self.takes_records => {
                self.finish(Why::NothingToSend, now, jitter)
            }
            CheckVerdict::SignedOut => self.refresh(Again::Check, now, jitter),
            CheckVerdict::Configuration(why) => self.finish(why, now, jitter),
            CheckVerdict::Later { why, floor } => {
                self.later(why, floor, Failed::Other, Again::Check, now, jitter)
            }
        }
    }

    /// One refresh for one refusal; a fresh token that is refused too ends the session.
    pub(super) fn refresh(&mut self, again: Again, now: i64, jitter: f64) -> Task {
        match &mut self.run {
            Some(run) if !run.refreshed => {
                run.refreshed = true;
                self.step(Step::Refreshing(again), Task::RefreshToken)
            }
            _ => self.finish(Why::SessionExpired, now, jitter),
        }
    }

    pub(super) fn refreshed(&mut self, refreshed: Refreshed, again: Again, now: i64, jitter: f64) -> Task {
        match refreshed {
            Refreshed::Yes => self.again(again, now, jitter),
            Refreshed::SessionOver => self.finish(Why::SessionExpired, now, jitter),
            Refreshed::NotNow(why, floor) => {
                // It was not refreshed: the next refusal is no proof that the session is over.
                if let Some(run) = &mut self.run {
                    run.refreshed = false;
                }
                self.later(why, floor, Failed::Other, again, now, jitter)
            }
        }
    }

    pub(super) fn finish(&mut self, why: Why, now: i64, jitter: f64) -> Task {
        let run = self.run.take();
        self.blamed = run.as_ref().map_or(self.blamed, |run| run.blamed);
        let totals = run.map(|run| run.totals).unwrap_or_default();
        let after = |wait: Duration| Some(now.saturating_add(millis(wait)));
        self.next_at = match why.outlook() {
            // That says nothing of the backend.
            _ if why == (Why::Stopped { by: Stop::BufferBusy }) => after(policy::BUSY_AGAIN),
            Outlook::Good => {
                self.away = 0;
                after(self.policy.interval_wait(jitter))
            }
            Outlook::NeedsAttention => {
                self.away = self.away.saturating_add(1);
                after(self.policy.interval_wait(jitter))
            }
            Outlook::Retrying => {
                self.away = self.away.saturating_add(1);
                let wait = after(self.policy.away_wait(self.away, jitter));
                wait.max(self.floor_until.map(|until| spread(now, until, jitter)))
            }
            Outlook::Stopped | Outlook::SessionExpired => None,
        };
        Task::Finish(RunEnd { why, next_at_ms: self.next_at, totals })
    }
}
