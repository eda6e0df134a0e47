//! What happens when: statuses go to the window and the tray, alerts become notifications, menu entries go to the
//! agent, and "quit" ends it. The end takes as long as the batch in flight, which the window says too; whoever starts the
//! app meanwhile gets it again when that is over. A start that does not work opens the window once, to say why.
//!
//! It talks to the desktop only through [`Shell`] and to the agent only through [`Companion`], so that the tests
//! below run it with a recording desktop. One task, no locks; a slow answer of the agent holds nothing up.

use crate::look::Look;
use crate::memory::Memory;
use crate::shell::{After, Event, Notification, Shell};
use crate::tray::{Action, Known, Tray, View, cannot_start, until_tomorrow};
use heyho_local::clock::Clock;
use heyho_local::config;
use heyho_local::vocabulary::{self, Companion, Fault, Notice, Request, Settings, ask};
use heyho_records::alert::Alert;
use heyho_records::status::Status;
use jiff::tz::TimeZone;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Statuses that follow each other faster than this are shown as the last of them.
const CALM: Duration = Duration::from_millis(100);
const AN_HOUR: u64 = 3600;

#[derive(Debug)]
pub struct Controller<S> {
    pub shell: S,
    pub companion: Agent,
    /// What the agent pushes: heard from before it was started.
    pub pushes: Option<broadcast::Receiver<vocabulary::Event>>,
    pub clock: Arc<dyn Clock>,
    pub look: Look,
    pub memory: Memory,
    pub zone: TimeZone,
}

/// The agent, here or behind its socket.
#[derive(Clone)]
pub struct Agent(pub Arc<dyn Companion>);

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Agent")
    }
}

impl<S: Shell> Controller<S> {
    /// Runs until it is told to quit, and then until `end`, which ends the agent, is through.
    pub async fn run<E>(mut self, mut events: mpsc::Receiver<Event>, end: impl FnOnce() -> E + Send) -> After
    where
        E: Future<Output = ()> + Send,
    {
        let mut statuses = self.companion.0.watch();
        let mut pushes = self.pushes.take();
        let mut asked = JoinSet::new();
        let mut settings = JoinSet::new();
        let mut standing = JoinSet::new();
        let mut tray = None;
        let mut not_before = Instant::now();
        let mut connected = true;
        let mut said_why = false;

        let mut status = statuses.borrow_and_update().clone();
        self.shell.tell_window(status.as_ref());
        loop {
            let prevented = status.as_ref().is_some_and(cannot_start);
            if prevented && !said_why {
                self.shell.open_window();
            }
            said_why = prevented || (said_why && status.is_none());
            let known = match &status {
                Some(status) => Known::Status(status),
                None if !connected => Known::Gone,
                // Also where there was one: it takes its place again by itself.
                None => Known::Starting,
            };
            let fresh_for = self.show(&mut tray, known);
            let stale = async {
                match fresh_for {
                    Some(time) => tokio::time::sleep(time).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = next(&mut statuses, not_before), if connected => {
                    not_before = Instant::now() + CALM;
                    connected = changed;
                    status = if connected { statuses.borrow_and_update().clone() } else { None };
                    match connected {
                        true => self.shell.tell_window(status.as_ref()),
                        false => self.shell.tell_gone(),
                    }
                }
                push = pushed(&mut pushes) => match push {
                    Push::Alert(notice) => self.alerted(&notice),
                    Push::Settings => {
                        self.shell.tell_settings();
                        let agent = self.companion.clone();
                        // An answer to an earlier question would be older.
                        settings.abort_all();
                        settings.spawn(async move { ask::<Settings>(&*agent.0, Request::ConfigGet).await });
                        // It may be another agent, or something was missed: what stands there may not have been told.
                        let agent = self.companion.clone();
                        standing.abort_all();
                        standing.spawn(async move { ask::<Vec<Notice>>(&*agent.0, Request::Alerts).await });
                    }
                },
                Some(said) = standing.join_next() => if let Ok(Ok(said)) = said {
                    self.remember(self.memory.note_standing(|alert| said.iter().any(|it| it.code == alert)));
                    for notice in &said {
                        self.alerted(notice);
                    }
                },
                Some(said) = settings.join_next() => if let Ok(Ok(said)) = said {
                    self.look = Look::of(&config::told(&said));
                    self.shell.dress(&self.look);
                },
                event = events.recv() => match event {
                    Some(Event::Open) | Some(Event::Menu(Action::Open)) => self.shell.open_window(),
                    Some(Event::Closed) => self.closed(),
                    Some(Event::Quit) | Some(Event::Menu(Action::Quit)) | None => break,
                    Some(Event::Menu(action)) => {
                        if let Some(request) = self.request(action) {
                            let agent = self.companion.clone();
                            asked.spawn(async move { agent.0.call(request).await });
                        }
                    }
                },
                Some(answer) = asked.join_next() => self.answered(answer),
                () = stale => {}
            }
        }
        self.ending(tray, events, end()).await
    }

    /// The last order holds: to quit, or to be there again.
    async fn ending(
        self,
        mut tray: Option<Tray>,
        mut events: mpsc::Receiver<Event>,
        end: impl Future<Output = ()>,
    ) -> After {
        let mut end = pin!(end);
        let mut after = After::Nothing;
        loop {
            let known = match after {
                After::Nothing => Known::Quitting,
                After::Again => Known::Restarting,
            };
            self.show(&mut tray, known);
            self.shell.tell_ending(after);
            tokio::select! {
                () = &mut end => return after,
                Some(event) = events.recv() => match event {
                    Event::Open => after = After::Again,
                    Event::Quit => after = After::Nothing,
                    Event::Closed | Event::Menu(_) => {}
                },
            }
        }
    }

    /// Shows the tray if it changed; how long what it says stays true.
    fn show(&self, shown: &mut Option<Tray>, known: Known<'_>) -> Option<Duration> {
        let view = View { lang: self.look.lang(), now: self.clock.now(), zone: &self.zone, known };
        let tray = view.tray();
        if shown.as_ref() != Some(&tray) {
            self.shell.show_tray(&tray);
            *shown = Some(tray);
        }
        view.fresh_for()
    }

    /// Each once, until it changes, whoever is the agent; what is over needs nobody.
    fn alerted(&self, notice: &Notice) {
        // The others are told to whoever looks: nobody has to act.
        let acts = match notice.code {
            Alert::SessionExpired | Alert::FailedRecords | Alert::BacklogDay | Alert::DiskFull => true,
            Alert::FailureRate | Alert::Backlog => false,
        };
        if !acts {
            return;
        }
        if !notice.raised {
            return self.remember(self.memory.note_standing(|alert| alert != notice.code));
        }
        if self.memory.was_told(notice.code) {
            return;
        }
        self.remember(self.memory.note_told(notice.code));
        if self.look.notifications {
            let lang = self.look.lang();
            let (title, text) = (lang.words().needs_you.to_owned(), lang.alert(notice));
            self.shell.notify(Notification { title, text });
        }
    }

    /// The first time, where the app has gone is said: it does not end with its window.
    fn closed(&self) {
        if !self.look.notifications || self.memory.said_tray() {
            return;
        }
        let words = self.look.lang().words();
        self.shell
            .notify(Notification { title: words.in_tray.to_owned(), text: words.in_tray_how.to_owned() });
        self.remember(self.memory.note_said_tray());
    }

    fn remember(&self, noted: std::io::Result<()>) {
        if let Err(error) = noted {
            tracing::warn!("what was said cannot be remembered: {error}");
        }
    }

    fn request(&self, action: Action) -> Option<Request> {
        match action {
            Action::SyncNow => Some(Request::Sync { wait: false }),
            Action::Stop => Some(Request::Stop),
            Action::PauseHour => Some(Request::Pause { seconds: Some(AN_HOUR) }),
            Action::PauseTomorrow => {
                Some(Request::Pause { seconds: Some(until_tomorrow(self.clock.now(), &self.zone)) })
            }
            Action::Resume => Some(Request::Resume),
            Action::Open | Action::Quit => None,
        }
    }

    /// A menu has no place for a refusal: the window has, and says why.
    fn answered(&self, answer: Result<Result<serde_json::Value, Fault>, tokio::task::JoinError>) {
        match answer {
            Ok(Ok(_)) => {}
            Ok(Err(fault)) => {
                tracing::warn!(code = ?fault.code, "the menu's request was refused: {fault}");
                self.shell.open_window();
            }
            Err(error) => tracing::error!("the menu's request was not carried out: {error}"),
        }
    }
}

/// What the agent pushes and the shell goes by.
enum Push {
    Alert(Notice),
    Settings,
}

/// The next push of the agent; never, where it pushes nothing (any more).
async fn pushed(pushes: &mut Option<broadcast::Receiver<vocabulary::Event>>) -> Push {
    while let Some(from) = pushes {
        match from.recv().await {
            Ok(vocabulary::Event::Alert(notice)) => return Push::Alert(notice),
            // What was missed may have been of settings: reading them once too often changes nothing.
            Ok(vocabulary::Event::Settings) | Err(RecvError::Lagged(_)) => return Push::Settings,
            Ok(_) => {}
            Err(RecvError::Closed) => *pushes = None,
        }
    }
    std::future::pending().await
}

/// The next status; false when there will be none.
async fn next(statuses: &mut watch::Receiver<Option<Status>>, not_before: Instant) -> bool {
    sleep_until(not_before).await;
    statuses.changed().await.is_ok()
}

#[cfg(test)]
#[path = "controller_tests.rs"]
mod tests;
