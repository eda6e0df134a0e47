//! The loop: when a run begins, and what may interrupt it.
//!
//! One task owns the core. While it carries out one of the core's tasks it still listens: Stop and Pause end
//! the run after the batch in flight; a change of account drops what is under way at once, which is safe at
//! every await (the batch in flight stays persisted for its account); Sync now joins the run, and cuts a
//! wait short unless the backend asked for it.

use crate::account::{Keeper, Tokenholder, why_code};
use crate::carry::Carrier;
use crate::commands::driver;
use crate::live::{Live, Pause, Running, SessionState};
use crate::monotonic::Monotonic;
use crate::tokens::Stored;
use crate::upkeep::Upkeep;
use heyho_buffer::{Account, Buffer, RunRecord, Watch};
use heyho_local::clock::{self, Clock};
use heyho_local::config::Config;
use heyho_local::vocabulary::{FaultCode, RunSummary};
use heyho_records::time::timestamp;
use heyho_sync::core::Core;
use heyho_sync::driver::Driver;
use heyho_sync::policy::Policy;
use heyho_sync::task::{Outcome, RunEnd, Task, Trigger};
use heyho_sync::why::{Outlook, Stop, Why};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// So many waiting records begin a run by themselves (issue: "when 100 records wait").
const BACKLOG: u64 = 100;
/// How often the buffer is asked whether somebody else has written: the fallback for a nudge that was lost.
const LOOK: Duration = Duration::from_secs(1);
/// A timer does not count while the machine sleeps: look at the clock at least this often.
const WAKE_CHECK: Duration = Duration::from_secs(30);
/// A keyring that was not there is looked for again after this.
const RESUME_AGAIN_MS: i64 = 30_000;
/// A jump of the schedule's clock between two looks by more than this was a suspend.
const SUSPENDED_MS: i64 = 90_000;

pub enum Command {
    Sync {
        done: Option<oneshot::Sender<RunSummary>>,
    },
    Stop,
    /// The pause in `live` was changed.
    PauseChanged,
    /// Somebody signed in, or out.
    Session(Box<Option<Signed>>),
    /// Hosts have stored something.
    Nudge,
    /// End after the batch in flight.
    Shutdown {
        done: oneshot::Sender<()>,
    },
}

/// A session, ready to be used.
pub struct Signed {
    pub account: Account,
    pub stored: Stored,
    pub driver: Driver,
}

/// What an engine is made of.
pub struct Parts {
    pub buffer: Buffer,
    pub keeper: Keeper,
    pub live: Arc<Live>,
    pub clock: Arc<dyn Clock>,
    pub device_id: String,
    pub config: Config,
    /// Sync as soon as the session is there.
    pub first_run: bool,
}

pub struct Engine {
    buffer: Buffer,
    keeper: Keeper,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    device_id: String,
    core: Core,
    monotonic: Monotonic,
    signed: Option<Signed>,
    config: Config,
    next_at: Option<i64>,
    /// When the session of the last start is looked for (again): a keyring may come up after us.
    resume_at: Option<i64>,
    first_run: bool,
    /// The user pressed Stop: before the next regular run none begins by itself.
    stopped: bool,
    /// Somebody asked for a run while one was going on.
    joined: bool,
    waiters: Vec<oneshot::Sender<RunSummary>>,
    ending: Option<oneshot::Sender<()>>,
    upkeep: Upkeep,
}

/// What came in while a run was under way and has to wait for its end.
enum After {
    Nothing,
    Switch(Box<Option<Signed>>),
}

impl Engine {
    pub fn new(parts: Parts) -> Engine {
        let Parts { buffer, keeper, live, clock, device_id, config, first_run } = parts;
        let monotonic = Monotonic::start();
        let core = Core::new(Policy {
            batch_page_visits: config.sync.batch_page_visits as usize,
            batch_tab_aggregates: config.sync.batch_tab_aggregates as usize,
            batch_bytes: usize::try_from(config.sync.batch_bytes).unwrap_or(usize::MAX),
            interval: config.sync.interval,
        });
        let upkeep = Upkeep { buffer: buffer.clone(), live: live.clone() };
        Engine {
            upkeep,
            buffer,
            keeper,
            live,
            clock,
            device_id,
            core,
            monotonic,
            signed: None,
            config,
            next_at: None,
            // Looked for by the engine itself: a keyring may keep it waiting behind a dialog, and the socket and
            // the status are there meanwhile.
            resume_at: Some(monotonic.now_ms()),
            first_run,
            stopped: false,
            joined: false,
            waiters: Vec::new(),
            ending: None,
        }
    }

    /// The session that was there when the program ended, if its tokens are still here and are its own.
    async fn resume_session(&mut self) {
        self.resume_at = None;
        self.upkeep.now_and_then(self.clock.now_ms()).await;
        let expired = |live: &Live, why: &str| {
            tracing::warn!("the session of the last start cannot go on: {why}");
            let note = format!("{why} Records are kept safely here.");
            live.change(|live| {
                live.session = SessionState::Expired;
                live.note = Some(note);
            });
        };
        let account = match self.buffer.signed_in().await {
            Ok(Some(account)) => account,
            Ok(None) => {
                // What a sign-out left behind when the program died in the middle of it.
                self.keeper.clear().await;
                return;
            }
            Err(error) => return self.live.change(|live| live.buffer_problem = Some(error.to_string())),
        };
        if account.backend != self.config.backend.url.as_str() {
            return expired(&self.live, "The settings name another backend: sign in there.");
        }
        let stored = match self.keeper.load().await {
            Ok(Some(stored)) => stored,
            Ok(None) => return expired(&self.live, "The stored session is gone: sign in again."),
            Err(error) => {
                tracing::warn!("{error}; it is looked at again in a while");
                self.resume_at = Some(self.monotonic.now_ms() + RESUME_AGAIN_MS);
                let note = format!("Waiting for your session: {error}.");
                return self.live.change(|live| live.note = Some(note));
            }
        };
        if stored.account_ref != account.r#ref {
            return expired(&self.live, "The stored session is another account's: sign in again.");
        }
        match driver(&self.config, &self.device_id) {
            Ok(driver) => {
                self.signed = Some(Signed { account, stored, driver });
                self.next_at = self.first_run.then(|| self.monotonic.now_ms());
                self.live.change(|live| {
                    live.session = SessionState::SignedIn;
                    live.note = None;
                });
            }
            Err(fault) => {
                let text = format!("{} Records are kept safely here.", fault.text);
                self.live.change(|live| live.configuration = Some(text));
            }
        }
    }

    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut watch = self.buffer.watch().await.ok();
        let mut looked_at = self.monotonic.now_ms();
        loop {
            if let Some(done) = self.ending.take() {
                let _ = done.send(());
                return;
            }
            let now = self.monotonic.now_ms();
            let suspended = now - looked_at > SUSPENDED_MS;
            if self.resume_at.is_some_and(|at| at <= now) {
                self.resume_session().await;
            }
            let due = self.next_at.is_some_and(|at| at <= now);
            if (suspended || due) && self.may_run() {
                let trigger = if suspended { Trigger::NetworkBack } else { Trigger::Periodic };
                self.begin(trigger, &mut commands).await;
                looked_at = self.monotonic.now_ms();
                continue;
            }
            looked_at = now;
            let until_due =
                self.next_at.map_or(WAKE_CHECK, |at| Duration::from_millis((at - now).max(0) as u64));
            tokio::select! {
                command = commands.recv() => match command {
                    None => return,
                    Some(command) => {
                        self.idle(command, &mut commands).await;
                        looked_at = self.monotonic.now_ms();
                    }
                },
                () = tokio::time::sleep(until_due.min(LOOK)) => {
                    if changed(&mut watch).await {
                        self.look(&mut commands).await;
                        looked_at = self.monotonic.now_ms();
                    }
                    self.end_pause();
                }
            }
        }
    }

    fn may_run(&self) -> bool {
        let live = self.live.read();
        self.signed.is_some() && live.session == SessionState::SignedIn && live.paused.is_none()
    }

    async fn idle(&mut self, command: Command, commands: &mut mpsc::Receiver<Command>) {
        match command {
            Command::Sync { done } => {
                self.waiters.extend(done);
                self.begin(Trigger::SyncNow, commands).await;
            }
            Command::Nudge => self.look(commands).await,
            Command::PauseChanged => self.pause_changed(),
            Command::Session(signed) => {
                let signed_in = signed.is_some();
                self.switch(*signed);
                if signed_in && self.may_run() {
                    self.begin(Trigger::SignedIn, commands).await;
                }
            }
            Command::Stop => {}
            Command::Shutdown { done } => self.ending = Some(done),
        }
    }

    /// The buffer has changed: say so, and begin a run when much waits.
    async fn look(&mut self, commands: &mut mpsc::Receiver<Command>) {
        self.live.touch();
        let Some(signed) = &self.signed else { return };
        let Ok(totals) = self.buffer.totals(Some(signed.account.id), self.clock.now_ms()).await else {
            return;
        };
        let stopped = self.stopped && self.next_at.is_some_and(|at| at > self.monotonic.now_ms());
        if totals.waiting().saturating_sub(totals.held) >= BACKLOG && self.may_run() && !stopped {
            self.begin(Trigger::Backlog, commands).await;
        }
    }

    fn switch(&mut self, signed: Option<Signed>) {
        self.core.forget_backend();
        self.resume_at = None;
        if let Some(signed) = &signed {
            self.config.backend.url = signed.driver.base_url().clone();
        }
        let session = if signed.is_some() { SessionState::SignedIn } else { SessionState::SignedOut };
        self.signed = signed;
        self.next_at = None;
        self.live.change(|live| {
            live.session = session;
            live.configuration = None;
            live.note = None;
            live.last_end = None;
            live.next_attempt_at = None;
        });
    }

    fn pause_changed(&mut self) {
        if self.live.read().paused.is_none() && self.signed.is_some() {
            self.next_at = Some(self.monotonic.now_ms());
        }
        self.live.touch();
    }

    /// A pause that has a time ends by itself.
    fn end_pause(&mut self) {
        if let Some(Pause::Until(at)) = self.live.read().paused
            && at <= self.clock.now()
        {
            self.live.change(|live| live.paused = None);
            self.pause_changed();
        }
    }

    async fn begin(&mut self, trigger: Trigger, commands: &mut mpsc::Receiver<Command>) {
        self.joined = false;
        self.run_once(trigger, commands).await;
        // Who asked in the middle of a run, after its last look at the queue, gets one of their own.
        if self.joined && !self.waiters.is_empty() {
            self.joined = false;
            self.run_once(Trigger::SyncNow, commands).await;
        }
    }

    async fn run_once(&mut self, trigger: Trigger, commands: &mut mpsc::Receiver<Command>) {
        let Some(signed) = &self.signed else { return self.answer_waiters(&nobody_signed_in()) };
        if signed.stored.account_ref != signed.account.r#ref {
            tracing::error!("tokens of another account were not used");
            self.live.change(|live| live.session = SessionState::Expired);
            return self.answer_waiters(&nobody_signed_in());
        }
        let account = signed.account.id;
        let started_at = self.clock.now_ms();
        let mut carrier = Carrier::new(
            self.buffer.clone(),
            signed.driver.clone(),
            Tokenholder::new(self.keeper.clone(), self.clock.clone(), signed.stored.clone()),
            account,
            self.device_id.clone(),
            self.clock.clone(),
            self.monotonic,
        );
        let started_ms = self.monotonic.now_ms();
        let mut task = self.core.begin(trigger, started_ms, clock::jitter());
        let mut after = After::Nothing;
        let end = loop {
            if let Task::Finish(end) = task {
                break end;
            }
            // A look at whether there is anything to send is no run worth showing.
            if matches!(task, Task::Send { .. }) || self.live.read().running.is_some() {
                self.progress(started_ms);
            }
            let outcome = self.carry(&mut carrier, &task, commands, &mut after).await;
            task = self.core.told(outcome, self.monotonic.now_ms(), clock::jitter());
        };
        if let Some(signed) = &mut self.signed {
            signed.stored = carrier.tokens.stored().clone();
        }
        if end.why.outlook() == Outlook::Good && end.totals.confirmed == 0 && end.totals.checked {
            let _ = carrier.confirmed_now().await;
        }
        drop(carrier);
        self.ended(account, started_at, end).await;
        if let After::Switch(signed) = after {
            let signed_in = signed.is_some();
            self.switch(*signed);
            self.next_at = signed_in.then(|| self.monotonic.now_ms());
        }
    }

    /// Carries out one task and listens meanwhile.
    async fn carry(
        &mut self,
        carrier: &mut Carrier,
        task: &Task,
        commands: &mut mpsc::Receiver<Command>,
        after: &mut After,
    ) -> Outcome {
        let work = carrier.carry(task);
        tokio::pin!(work);
        loop {
            tokio::select! {
                outcome = &mut work => return outcome,
                command = commands.recv() => match command {
                    Some(Command::Sync { done }) => {
                        self.joined |= done.is_some();
                        self.waiters.extend(done);
                        if matches!(task, Task::Wait { asked_by_backend: false, .. }) {
                            return Outcome::Woken;
                        }
                    }
                    Some(Command::Nudge) => self.live.touch(),
                    Some(Command::Stop) => {
                        self.core.stop();
                        if matches!(task, Task::Wait { .. }) {
                            return Outcome::Stop(Stop::Asked);
                        }
                    }
                    Some(Command::PauseChanged) => {
                        if self.live.read().paused.is_some() {
                            self.core.stop();
                            if matches!(task, Task::Wait { .. }) {
                                return Outcome::Stop(Stop::Paused);
                            }
                        }
                        self.live.touch();
                    }
                    Some(Command::Session(signed)) => {
                        let by = if signed.is_some() { Stop::AccountChanged } else { Stop::SignedOut };
                        *after = After::Switch(signed);
                        return Outcome::Stop(by);
                    }
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

    /// Tells those who wait for the run what it came to.
    async fn answer(&mut self, account: heyho_buffer::AccountId, end: &RunEnd, now: i64) {
        let good = end.why.outlook() == Outlook::Good;
        let totals = self.buffer.totals(Some(account), now).await;
        let sendable = totals.as_ref().is_ok_and(|totals| totals.waiting() > totals.held);
        if self.joined && good && sendable {
            return;
        }
        self.joined = false;
        let fault = match &totals {
            Err(_) => Some(FaultCode::Failed),
            Ok(_) if good => None,
            Ok(_) if self.live.read().paused.is_some() => Some(FaultCode::TryLater),
            Ok(_) => Some(why_code(&end.why)),
        };
        self.answer_waiters(&RunSummary {
            sent: end.totals.confirmed,
            failed: end.totals.set_aside,
            waiting: totals.map_or(0, |totals| totals.waiting()),
            outcome: end.why.code().to_owned(),
            why: (!good).then(|| end.why.sentence()),
            fault,
        });
    }

    fn answer_waiters(&mut self, summary: &RunSummary) {
        for waiter in self.waiters.drain(..) {
            let _ = waiter.send(summary.clone());
        }
    }

    fn progress(&self, started_ms: i64) {
        let totals = self.core.totals().unwrap_or_default();
        let now_ms = self.monotonic.now_ms();
        self.live.change(|live| {
            live.running = Some(Running { started_ms, done: totals.confirmed + totals.set_aside, now_ms });
        });
    }

    async fn ended(&mut self, account: heyho_buffer::AccountId, started_at: i64, end: RunEnd) {
        let now = self.clock.now_ms();
        self.stopped = end.why == Why::Stopped { by: Stop::Asked };
        let regular = self.monotonic.now_ms().saturating_add(interval_ms(self.config.sync.interval));
        self.next_at = end.next_at_ms.or(self.stopped.then_some(regular));
        let next = self.next_at.map(|at| timestamp(now.saturating_add(at - self.monotonic.now_ms())));
        let quiet = matches!(end.why, Why::NotYet | Why::AskedToWait | Why::NothingToSend);
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
                why: (end.why.outlook() != Outlook::Good).then(|| end.why.sentence()),
            };
            if let Err(error) = self.buffer.add_run(account, &run).await {
                tracing::warn!("the run could not be added to the history: {error}");
            }
        }
        self.answer(account, &end, now).await;
        let delivered = end.totals.confirmed > 0;
        let note = self
            .keeper
            .problem()
            .map(|problem| format!("You stay signed in only until this program ends: {problem}."));
        self.live.change(|live| {
            live.running = None;
            live.next_attempt_at = next;
            live.note = note.filter(|_| end.why != Why::SessionExpired);
            live.buffer_problem =
                (end.why == Why::Stopped { by: Stop::BufferProblem }).then(|| end.why.sentence());
            match end.why {
                Why::NotYet => {}
                Why::SessionExpired => {
                    live.session = SessionState::Expired;
                    live.last_end = Some(end.why);
                }
                why => live.last_end = Some(why),
            }
        });
        if delivered {
            self.upkeep.after_draining().await;
        }
        self.upkeep.now_and_then(now).await;
    }
}

fn interval_ms(interval: Duration) -> i64 {
    i64::try_from(interval.as_millis()).unwrap_or(i64::MAX)
}

fn nobody_signed_in() -> RunSummary {
    RunSummary {
        sent: 0,
        failed: 0,
        waiting: 0,
        outcome: "session_expired".to_owned(),
        why: Some(Why::SessionExpired.sentence()),
        fault: Some(FaultCode::SignInNeeded),
    }
}

/// A watch that cannot be asked says "changed": looking once too often is harmless.
async fn changed(watch: &mut Option<Watch>) -> bool {
    match watch {
        Some(watch) => watch.changed().await.unwrap_or(true),
        None => true,
    }
}
