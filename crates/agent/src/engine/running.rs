//! One run from its first task to its end, and what may interrupt it.
//!
//! Dying at any await here: before `begin_batch` nothing has happened; after it the batch is persisted with
//! bytes and key and the next agent sends just that; a settlement is one transaction.

use super::{Command, Engine, Meanwhile, Signed, ms};
use crate::carry::Carrier;
use crate::live::{Running, SessionState};
use crate::tokenholder::Tokenholder;
use heyho_buffer::AccountId;
use heyho_local::clock;
use heyho_local::config::Config;
use heyho_records::fault::planted;
use heyho_sync::answer::TransportError;
use heyho_sync::pace::Pace;
use heyho_sync::policy::{SUSPENDED, TICK};
use heyho_sync::task::{Outcome, Task, Trigger};
use heyho_sync::why::{Outlook, Stop};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

/// What came in while a run was under way and has to wait for its end.
pub(super) enum After {
    Nothing,
    Switch(Box<Option<Signed>>),
    /// The backend is another one.
    Settings(Box<Config>),
}

impl Engine {
    pub(super) async fn begin(&mut self, trigger: Trigger, commands: &mut mpsc::Receiver<Command>) {
        self.run_once(trigger, commands).await;
        // Who asked in the middle of a run, perhaps after its last look at the queue, gets one that begins afterwards.
        while std::mem::take(&mut self.again) {
            self.waiters.append(&mut self.joined);
            self.run_once(Trigger::SyncNow, commands).await;
            // The fault: one more is enough for all.
            if planted("one-more-run") {
                break;
            }
        }
    }

    async fn run_once(&mut self, trigger: Trigger, commands: &mut mpsc::Receiver<Command>) {
        let Some(signed) = &self.signed else { return self.nobody_signed_in() };
        if signed.stored.account_ref != signed.account.r#ref && !planted("anybodys-tokens") {
            tracing::error!("tokens of another account were not used");
            self.live.change(|live| live.session = SessionState::Expired);
            return self.nobody_signed_in();
        }
        let account = signed.account.id;
        self.meanwhile = Meanwhile::default();
        let started_at = self.clock.now_ms();
        let mut carrier = Carrier::new(
            self.buffer.clone(),
            signed.driver.clone(),
            Tokenholder::new(self.keeper.clone(), self.clock.clone(), signed.stored.clone()),
            account,
            self.device_id.clone(),
            self.clock.clone(),
            self.monotonic.clone(),
            self.live.clone(),
        );
        let started_ms = self.monotonic.now_ms();
        let mut task = self.core.begin(trigger, started_ms, clock::jitter());
        let mut pace = Pace::begins(started_ms);
        let mut after = After::Nothing;
        let end = loop {
            if let Task::Finish(end) = task {
                break end;
            }
            // A look at whether there is anything to send is no run worth showing. Afterwards it is said how far
            // it has come whenever something was settled.
            let shown = self.live.read().running.is_some();
            if matches!((&task, shown), (Task::Send { .. }, false) | (Task::TakeBatch(_), true)) {
                self.progress(account, &mut pace).await;
            }
            if matches!(task, Task::Settle(_)) {
                self.keep_what_is_blamed().await;
            }
            let outcome = self.carry(&mut carrier, &task, trigger, commands, &mut after).await;
            task = self.core.told(outcome, self.monotonic.now_ms(), clock::jitter());
        };
        if let Some(signed) = &mut self.signed {
            signed.stored = carrier.tokens.stored().clone();
        }
        if carrier.tokens.is_short_session() {
            self.live.change(|live| live.short_session = true);
        }
        if end.why.outlook() == Outlook::Good && end.totals.confirmed == 0 && end.totals.checked {
            let _ = carrier.answered_now().await;
        }
        drop(carrier);
        self.ended(account, started_at, end).await;
        match after {
            After::Nothing => {}
            After::Settings(config) => self.settings_changed(*config),
            After::Switch(signed) => {
                let signed_in = signed.is_some();
                self.switch(*signed).await;
                self.next_at = signed_in.then(|| self.monotonic.now_ms());
            }
        }
    }

    /// Carries out one task and listens meanwhile.
    async fn carry(
        &mut self,
        carrier: &mut Carrier,
        task: &Task,
        trigger: Trigger,
        commands: &mut mpsc::Receiver<Command>,
        after: &mut After,
    ) -> Outcome {
        let asks_backend =
            matches!(task, Task::LearnCapabilities | Task::Send { .. } | Task::Check | Task::Vouch { .. });
        let work = carrier.carry(task);
        tokio::pin!(work);
        let mut looked_at = self.monotonic.now_ms();
        // One for all that comes in meanwhile: hosts nudge oftener than this.
        let mut look = tokio::time::interval_at(Instant::now() + TICK, TICK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                outcome = &mut work => return outcome,
                _ = look.tick(), if asks_backend => {
                    let now = self.monotonic.now_ms();
                    // The other end has long forgotten this connection: the same bytes and key are sent anew.
                    if now - looked_at > ms(SUSPENDED) && !planted("sleeps-through") {
                        return Outcome::Reply(Err(TransportError::ConnectionLost));
                    }
                    looked_at = now;
                }
                () = self.around.changed() => {
                    self.surroundings_changed();
                    // Who pressed Sync now wants it sent all the same.
                    if self.live.read().held_back.is_some() && trigger != Trigger::SyncNow {
                        self.core.stop();
                        if matches!(task, Task::Wait { .. }) {
                            return Outcome::Stop(Stop::Paused);
                        }
                    }
                }
                command = commands.recv() => match command {
                    Some(Command::Sync { done }) => {
                        self.joined.extend(done);
                        self.meanwhile.sync = true;
                        self.meanwhile.go_on |= self.meanwhile.stop;
                        if matches!(task, Task::Wait { asked_by_backend: false, .. }) {
                            return Outcome::Woken;
                        }
                    }
                    Some(Command::Nudge) => self.live.touch(),
                    Some(Command::Stop) => {
                        self.core.stop();
                        self.meanwhile = Meanwhile { stop: true, ..Meanwhile::default() };
                        if matches!(task, Task::Wait { .. }) {
                            return Outcome::Stop(Stop::Asked);
                        }
                    }
                    Some(Command::PauseChanged) => {
                        if self.live.read().paused.is_none() {
                            self.core.forget_failures();
                            self.meanwhile.go_on |= self.meanwhile.stop;
                        } else {
                            self.core.stop();
                            self.meanwhile = Meanwhile { stop: true, ..Meanwhile::default() };
                            if matches!(task, Task::Wait { .. }) {
                                return Outcome::Stop(Stop::Paused);
                            }
                        }
                        self.live.touch();
                    }
                    // The fault: the run goes on.
                    Some(Command::Session(signed)) if planted("run-outlives-account") => {
                        *after = After::Switch(signed);
                    }
                    // Found in the store by this start, before it was told of: no change.
                    Some(Command::Session(signed)) if self.is_of(signed.as_ref().as_ref()) => {}
                    Some(Command::Session(signed)) => {
                        let by = if signed.is_some() { Stop::AccountChanged } else { Stop::SignedOut };
                        *after = After::Switch(signed);
                        return Outcome::Stop(by);
                    }
                    Some(Command::Settings(config)) if config.backend != self.config.backend => {
                        *after = After::Settings(config);
                        return Outcome::Stop(Stop::SettingsChanged);
                    }
                    Some(Command::Settings(config)) => self.settings_changed(*config),
                    Some(Command::Shutdown { done }) => {
                        self.ending = Some(done);
                        self.core.stop();
                        if matches!(task, Task::Wait { .. }) {
                            return Outcome::Stop(Stop::Asked);
                        }
                    }
                    None => return Outcome::Stop(Stop::Asked),
                },
            }
        }
    }

    /// Whether this is the session that there is.
    fn is_of(&self, other: Option<&Signed>) -> bool {
        let (Some(signed), Some(other)) = (&self.signed, other) else { return false };
        signed.account.id == other.account.id
            && signed.stored == other.stored
            && signed.driver.base_url() == other.driver.base_url()
    }

    /// Done and left are read at one moment, so that their sum is what the run is about.
    async fn progress(&self, account: AccountId, pace: &mut Pace) {
        let totals = self.core.totals().unwrap_or_default();
        let done = totals.confirmed + totals.set_aside;
        let Ok(waiting) = self.buffer.totals_meanwhile(Some(account), self.clock.now_ms()).await else {
            return;
        };
        let rest = waiting.waiting().saturating_sub(waiting.held);
        pace.done(done, self.monotonic.now_ms());
        let running = Running { done, total: done + rest, left: pace.left(rest) };
        self.live.change(|live| live.running = Some(running));
    }
}
