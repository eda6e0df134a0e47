//! The loop: when a run begins, and what may interrupt it.
//!
//! - [`running`]: one run, and listening meanwhile;
//! - [`ended`]: what follows a run: the history, those who wait for it, the next one;
//! - [`floor`]: what the backend asked for outlives the program;
//! - [`remembered`]: what was learnt of the backend for an account does too;
//! - [`resume`]: the session of the last start;
//! - [`settings`]: settings that change while it runs;
//! - [`telling`]: the figures of the day, and what somebody should be told;
//! - [`watched`]: a fault of the engine itself is said, and another takes its place.
//!
//! One task owns the core. While it carries out one of the core's tasks it still listens: Stop and Pause end
//! the run after the batch in flight; a change of account drops what is under way at once, which is safe at
//! every await (the batch in flight stays persisted for its account); Sync now joins the run, and cuts a
//! wait short unless the backend asked for it.
//!
//! Nothing here is lost with the process: what to do next is decided anew from the buffer at each start.

mod ended;
mod floor;
mod remembered;
mod resume;
mod running;
mod settings;
mod telling;
mod watched;

pub use watched::watched;

use crate::account::Keeper;
use crate::live::{Live, Pause, SessionState};
use crate::monotonic::Monotonic;
use crate::surroundings::Around;
use crate::tokens::Stored;
use crate::upkeep::Chore;
use heyho_buffer::{Account, Buffer, Watch};
use heyho_local::clock::{self, Clock};
use heyho_local::config::Config;
use heyho_local::vocabulary::RunSummary;
use heyho_records::fault::planted;
use heyho_sync::core::Core;
use heyho_sync::driver::Driver;
use heyho_sync::policy::{BACKLOG, SUSPENDED};
use heyho_sync::surroundings::{Surroundings, network_returned, run_after_return};
use heyho_sync::task::Trigger;
use std::sync::Arc;
use std::time::Duration;
use telling::Telling;
use tokio::sync::{mpsc, oneshot, watch};

/// So often the store is asked whether it was written to though nobody said so.
const MISSED: Duration = Duration::from_secs(60);

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
    /// The settings were changed.
    Settings(Box<Config>),
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
#[derive(Clone)]
pub struct Parts {
    pub buffer: Buffer,
    pub keeper: Keeper,
    pub live: Arc<Live>,
    pub clock: Arc<dyn Clock>,
    pub device_id: String,
    /// As they are when an engine is made of them; it is told of changes.
    pub settings: watch::Receiver<Config>,
    /// The network and the power, as they change.
    pub around: Around,
    /// Sync as soon as the session is there.
    pub first_run: bool,
    /// So often the buffer is looked at where nobody has said that it was written to.
    pub look_every: Duration,
    pub upkeep: mpsc::UnboundedSender<Chore>,
}

/// What came in while a run was going on, and is not forgotten when it is over.
#[derive(Debug, Default)]
struct Meanwhile {
    /// Stop, a pause.
    stop: bool,
    /// Sync now; and the same, or a resume, after a stop: then this run ends all the same, and another begins.
    sync: bool,
    go_on: bool,
    /// The network came back.
    online: bool,
    /// Nothing holds runs back any longer.
    released: bool,
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
    around: Around,
    /// The surroundings that were last acted on.
    surroundings: Surroundings,
    next_at: Option<i64>,
    /// When the last run ended.
    last_end_at: Option<i64>,
    /// When the session of the last start is looked for (again): a keyring may come up after us.
    resume_at: Option<i64>,
    first_run: bool,
    look_every: Duration,
    /// The user pressed Stop, or paused: before the next regular run none begins by itself, whatever changes.
    stopped: bool,
    /// Who waits for the run, and who asked while it was going on.
    waiters: Vec<oneshot::Sender<RunSummary>>,
    joined: Vec<oneshot::Sender<RunSummary>>,
    meanwhile: Meanwhile,
    /// Another run begins at once when this one is over.
    again: bool,
    ending: Option<oneshot::Sender<()>>,
    upkeep: mpsc::UnboundedSender<Chore>,
    telling: Telling,
    /// Until when (on the wall) the backend asked to be left alone, as it is kept.
    kept_floor: Option<i64>,
    /// [`Core::blamed`], as it is kept; none: what was kept could not be read, and stays.
    kept_blamed: Option<[usize; 2]>,
    /// Failed records when the buffer was last looked at: one more is somebody's business at once.
    failed: u64,
    /// So many the last run left, because they wait for others that are held back: no reason for another.
    left_behind: u64,
}

impl Engine {
    pub fn new(parts: Parts) -> Engine {
        let Parts { buffer, keeper, live, clock, device_id, settings, around, first_run, look_every, upkeep } =
            parts;
        let config = settings.borrow().clone();
        let monotonic = Monotonic::start(clock.clone());
        let mut engine = Engine {
            upkeep,
            buffer,
            keeper,
            live,
            clock,
            device_id,
            core: Core::new(settings::policy(&config)),
            // Looked for by the engine itself: a keyring may keep it waiting behind a dialog, and the socket and
            // the status are there meanwhile.
            resume_at: Some(monotonic.now_ms()),
            monotonic,
            signed: None,
            config,
            surroundings: around.now(),
            around,
            next_at: None,
            last_end_at: None,
            first_run,
            look_every,
            stopped: false,
            waiters: Vec::new(),
            joined: Vec::new(),
            meanwhile: Meanwhile::default(),
            again: false,
            ending: None,
            telling: Telling::default(),
            kept_floor: None,
            kept_blamed: Some([0; 2]),
            failed: 0,
            left_behind: 0,
        };
        engine.hold_back();
        engine
    }

    pub async fn run(mut self, commands: &mut mpsc::Receiver<Command>) {
        let mut watch = self.buffer.watch().await.ok();
        let mut looked_at = self.monotonic.now_ms();
        let mut asked_at = None;
        // Seen by what woke us, a browser that stores again for instance.
        let mut slept = false;
        loop {
            if let Some(done) = self.ending.take() {
                let _ = done.send(());
                return;
            }
            let now = self.monotonic.now_ms();
            let suspended = std::mem::take(&mut slept) || self.has_slept(looked_at);
            if self.resume_at.is_some_and(|at| at <= now) {
                self.resume_session().await;
            }
            let due = self.next_at.is_some_and(|at| at <= now);
            if (due || (suspended && !self.stopped)) && self.may_run() {
                let trigger = if suspended { Trigger::NetworkBack } else { Trigger::Periodic };
                self.begin(trigger, commands).await;
                looked_at = self.monotonic.now_ms();
                continue;
            }
            looked_at = now;
            self.tell_now_and_then().await;
            // What is due and may not run (a pause, a metered connection) waits for a change, not in a circle.
            let until_due = match self.next_at.filter(|_| self.may_run() || planted("spins-when-paused")) {
                Some(at) => Duration::from_millis((at - now).max(0) as u64),
                None => self.look_every,
            };
            let last_end_at = self.last_end_at;
            tokio::select! {
                command = commands.recv() => match command {
                    None => return,
                    Some(command) => {
                        slept = self.has_slept(looked_at) && !planted("sleeps-through");
                        self.idle(command, commands).await;
                        looked_at = self.monotonic.now_ms();
                    }
                },
                () = self.around.changed() => self.surroundings_changed(),
                written = written_or(&mut watch, until_due.min(self.look_every)) => {
                    slept = self.has_slept(looked_at);
                    // What was missed is looked for as well, and not at each look at the time: another thread wakes for it.
                    let now = self.monotonic.now_ms();
                    let asks = written || asked_at.is_none_or(|at| now - at >= ms(MISSED));
                    if asks {
                        asked_at = Some(now);
                    }
                    if asks && changed(&mut watch).await {
                        self.look(commands).await;
                        looked_at = self.monotonic.now_ms();
                    }
                    self.end_pause();
                }
            }
            // With what it woke to a run has begun already.
            slept &= self.last_end_at == last_end_at;
        }
    }

    /// Since it was looked last. A run that took its time is not counted.
    fn has_slept(&self, looked_at: i64) -> bool {
        self.monotonic.now_ms() - looked_at > ms(SUSPENDED)
    }

    /// Whether a run may begin by itself.
    fn may_run(&self) -> bool {
        let live = self.live.read();
        self.signed.is_some()
            && live.session == SessionState::SignedIn
            && live.paused.is_none()
            && live.held_back.is_none()
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
                self.switch(*signed).await;
                if signed_in && self.may_run() {
                    self.begin(Trigger::SignedIn, commands).await;
                }
            }
            Command::Settings(config) => self.settings_changed(*config),
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
        if std::mem::replace(&mut self.failed, totals.failed) != totals.failed {
            self.telling.soon();
        }
        let stopped = self.stopped && self.next_at.is_some_and(|at| at > self.monotonic.now_ms());
        let sendable = totals.waiting().saturating_sub(totals.held);
        if sendable.saturating_sub(self.left_behind) >= BACKLOG && self.may_run() && !stopped {
            self.begin(Trigger::Backlog, commands).await;
        }
    }

    async fn switch(&mut self, signed: Option<Signed>) {
        self.resume_at = None;
        match &signed {
            Some(signed) if *signed.driver.base_url() != self.config.backend.url => {
                self.core.forget_backend();
                self.config.backend.url = signed.driver.base_url().clone();
            }
            _ => self.core.forget_session(),
        }
        let session = if signed.is_some() { SessionState::SignedIn } else { SessionState::SignedOut };
        let note = signed.as_ref().and_then(|_| self.keeper.note());
        self.signed = signed;
        self.remember().await;
        self.next_at = None;
        // A sign-in is a word of its own, and no regular run is left that would end the Stop.
        self.stopped = false;
        self.left_behind = 0;
        self.telling.soon();
        self.live.change(|live| {
            live.session = session;
            live.configuration = None;
            live.note = note;
            live.last_end = None;
            live.next_attempt_at = None;
        });
        // What was delivered for one account is not shown to the next.
        self.live.forget_all_delivered();
    }

    /// A pause ends as if nothing had failed before it: whoever resumes wants it tried now.
    fn pause_changed(&mut self) {
        if self.live.read().paused.is_none() && self.signed.is_some() {
            self.core.forget_failures();
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

    fn surroundings_changed(&mut self) {
        let (before, after) = (self.surroundings, self.around.now());
        self.surroundings = after;
        if network_returned(before, after) && self.signed.is_some() {
            tracing::info!("the network is back");
            self.meanwhile.online = true;
            let now = self.monotonic.now_ms();
            self.comes_at(run_after_return(now, self.next_at, self.last_end_at, clock::jitter()));
        }
        if self.hold_back() {
            self.released();
        }
    }

    /// Nothing holds runs back any longer.
    fn released(&mut self) {
        self.meanwhile.released = true;
        self.comes_at(self.monotonic.now_ms());
    }

    /// When the next run begins by itself, because something has changed; not after a Stop, nor without a session.
    fn comes_at(&mut self, at: i64) {
        let signed_in = self.live.read().session == SessionState::SignedIn;
        // The fault: whatever changes, the user's word is forgotten.
        if (signed_in && !self.stopped) || planted("forgets-stop") {
            self.next_at = Some(at);
        }
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// For a nudge that was lost: until the buffer may have been written to (true), or for so long.
async fn written_or(watch: &mut Option<Watch>, most: Duration) -> bool {
    match watch {
        Some(watch) => tokio::time::timeout(most, watch.written()).await.is_ok(),
        None => {
            tokio::time::sleep(most).await;
            true
        }
    }
}

/// A watch that cannot be asked says "changed": looking once too often is harmless.
async fn changed(watch: &mut Option<Watch>) -> bool {
    match watch {
        Some(watch) => watch.changed().await.unwrap_or(true),
        None => true,
    }
}
