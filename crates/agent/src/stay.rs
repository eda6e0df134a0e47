//! For a program that stays (the app): there is always an agent at hand, this process's own where no other is.
//!
//! It may begin as a client, of a headless agent or of a command that is one for its length. When that agent
//! ends, this becomes the agent, or a client of the next one. Whoever holds the companion notices nothing but
//! a moment without a status. An agent whose buffer was found damaged, or replaced, is ended and started anew: opening
//! it mends it.
//!
//! **A start may take minutes** (a schema is brought up to date, a damaged file read out) **or not work at all** (a newer
//! schema, a folder that cannot be written). It goes on behind the program: requests made meanwhile are answered once
//! it is over, be it the first start or a later one. One that does not work is said by a status with the reason code
//! [`crate::NO_START`], and tried again by itself, at ever longer intervals, or at once with [`Stayed::again`].

use crate::prevented::StartError;
use crate::start::{Agent, StartOptions, Started, start_or_join};
use heyho_local::config::{self, Config};
use heyho_local::vocabulary::{Answering, Companion, Event, Fault, FaultCode, Request};
use heyho_records::status::Status;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast, oneshot, watch};

/// Before another try, where neither becoming the agent nor joining one worked; twice as long after each.
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// Events a listener may be behind.
const EVENTS: usize = 64;
const PATIENCE: Patience =
    Patience { answers_within: Duration::from_secs(5), silent_for: Duration::from_secs(30) };

/// With another's agent.
#[derive(Clone, Copy)]
struct Patience {
    /// One that was stopped, or hangs, is none.
    answers_within: Duration,
    /// Before it is asked whether it still runs. Each time wakes the processor.
    silent_for: Duration,
}

/// The agent that is at hand.
pub struct Stayed {
    pub companion: Arc<dyn Companion>,
    /// Where there is no agent for now: to try again at once.
    pub again: Arc<Notify>,
    end: oneshot::Sender<oneshot::Sender<()>>,
}

impl std::fmt::Debug for Stayed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stayed").finish_non_exhaustive()
    }
}

impl Stayed {
    /// Ends after the batch in flight, where this process is the agent.
    pub async fn shutdown(self) {
        let (done, ended) = oneshot::channel();
        if self.end.send(done).is_ok() {
            let _ = ended.await;
        }
    }
}

/// Who answers.
#[derive(Clone)]
enum AtHand {
    /// Somebody will, or it is known why not, when the start that is under way is over.
    Starting,
    Here {
        companion: Arc<dyn Companion>,
        own: bool,
    },
    /// The last start did not work, and why.
    Prevented(String),
    /// Nobody any more.
    Ending,
}

struct Current {
    at_hand: watch::Sender<AtHand>,
    status: watch::Receiver<Option<Status>>,
    events: broadcast::Sender<Event>,
}

impl Companion for Current {
    fn call(&self, request: Request) -> Answering<'_> {
        Box::pin(async move {
            let mut changes = self.at_hand.subscribe();
            let at_hand = match changes.wait_for(|at_hand| !matches!(at_hand, AtHand::Starting)).await {
                Ok(at_hand) => (*at_hand).clone(),
                Err(_) => AtHand::Ending,
            };
            match at_hand {
                AtHand::Here { companion, own: true } => companion.call(request).await,
                // One that hangs may never answer; that it is at hand no more is the end of waiting.
                AtHand::Here { companion, own: false } => tokio::select! {
                    answer = companion.call(request) => answer,
                    _ = changes.changed() => Err(Fault::new(
                        FaultCode::AgentNotRunning,
                        "the companion has stopped answering; whether it has done this is not known",
                    )),
                },
                AtHand::Prevented(why) => Err(Fault::new(FaultCode::AgentNotRunning, why)),
                AtHand::Ending | AtHand::Starting => {
                    Err(Fault::new(FaultCode::AgentNotRunning, "the companion is ending"))
                }
            }
        })
    }

    fn watch(&self) -> watch::Receiver<Option<Status>> {
        self.status.clone()
    }

    fn events(&self) -> Option<broadcast::Receiver<Event>> {
        Some(self.events.subscribe())
    }
}

/// Becomes the agent or joins one, and goes on doing so, behind whoever asks.
pub fn start_and_stay(options: StartOptions) -> Stayed {
    stay_from(options, None)
}

/// The same from a start that is over.
pub fn go_on_staying(options: StartOptions, started: Started) -> Stayed {
    stay_from(options, Some(started))
}

fn stay_from(options: StartOptions, started: Option<Started>) -> Stayed {
    let (to, status) = watch::channel(None);
    let events = broadcast::channel(EVENTS).0;
    let current = Arc::new(Current { at_hand: watch::Sender::new(AtHand::Starting), status, events });
    let again = Arc::new(Notify::new());
    let (end, asked_to_end) = oneshot::channel();
    tokio::spawn(stay(options, started, current.clone(), to, again.clone(), asked_to_end));
    Stayed { companion: current, again, end }
}

async fn stay(
    mut options: StartOptions,
    mut first: Option<Started>,
    current: Arc<Current>,
    to: watch::Sender<Option<Status>>,
    again: Arc<Notify>,
    mut asked_to_end: oneshot::Receiver<oneshot::Sender<()>>,
) {
    // Who has started before has done it before.
    if first.is_none() {
        heyho_local::browsers::keep_registered(&options.config);
    }
    loop {
        let started = match first.take() {
            Some(started) => started,
            None => tokio::select! {
                started = start_at_last(&options, &current, &to, &again) => started,
                done = &mut asked_to_end => {
                    // Whoever waits for an answer is told.
                    current.at_hand.send_replace(AtHand::Ending);
                    return finish(None, done.ok()).await;
                }
            },
        };
        let Started { companion, agent } = started;
        let here = AtHand::Here { companion: companion.clone(), own: agent.is_some() };
        current.at_hand.send_replace(here);
        let ended = tokio::select! {
            () = follow(companion.as_ref(), agent.is_some(), PATIENCE, &to) => None,
            () = pass_on(companion.as_ref(), &current.events) => None,
            done = &mut asked_to_end => Some(done.ok()),
        };
        if let Some(done) = ended {
            to.send_replace(None);
            return finish(agent, done).await;
        }
        // What is asked from now on is for the next one.
        current.at_hand.send_replace(AtHand::Starting);
        to.send_replace(None);
        if let Some(agent) = agent {
            agent.shutdown().await;
        }
        options.config = by_now(&options);
    }
}

/// The settings may have been changed since the last start.
fn by_now(options: &StartOptions) -> Config {
    let file = options.paths.config_file();
    match file.exists() {
        true => config::read(&file).over(&options.config),
        false => options.config.clone(),
    }
}

/// Tries until it works, and says why it does not.
async fn start_at_last(
    options: &StartOptions,
    current: &Current,
    to: &watch::Sender<Option<Status>>,
    again: &Notify,
) -> Started {
    let mut pause = AGAIN;
    loop {
        let started = match start_or_join(options.clone()).await {
            // A stopped process still has its socket: whatever was asked there would be waited for without end.
            Ok(joined) if joined.agent.is_none() => {
                match answers(joined.companion.as_ref(), PATIENCE).await {
                    true => Ok(joined),
                    false => Err(StartError::Silent(std::io::ErrorKind::TimedOut.into())),
                }
            }
            started => started,
        };
        match started {
            Ok(started) => return started,
            Err(error) => {
                tracing::error!("the companion cannot start: {error}");
                to.send_replace(Some(error.status()));
                current.at_hand.send_replace(AtHand::Prevented(error.plain()));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(AGAIN_AT_MOST),
            () = again.notified() => {}
        }
    }
}

/// Whether the agent that was joined says anything within a time in which every one does that runs.
async fn answers(companion: &dyn Companion, patience: Patience) -> bool {
    let hello = Request::hello("heyho-companion");
    matches!(tokio::time::timeout(patience.answers_within, companion.call(hello)).await, Ok(Ok(_)))
}

async fn finish(agent: Option<Agent>, done: Option<oneshot::Sender<()>>) {
    if let Some(agent) = agent {
        agent.shutdown().await;
    }
    if let Some(done) = done {
        let _ = done.send(());
    }
}

/// Passes on what is pushed besides the status; `follow` sees the end.
async fn pass_on(companion: &dyn Companion, to: &broadcast::Sender<Event>) {
    use broadcast::error::RecvError;
    if let Some(mut events) = companion.events() {
        // What was set before anybody listened here, while it started or while there was no agent.
        let _ = to.send(Event::Settings);
        loop {
            match events.recv().await {
                Ok(event) => {
                    let _ = to.send(event);
                }
                // Whatever was missed: settings, and what should be told, are asked for anew at this.
                Err(RecvError::Lagged(_)) => {
                    let _ = to.send(Event::Settings);
                }
                Err(RecvError::Closed) => break,
            }
        }
    }
    std::future::pending().await
}

/// Passes statuses on until the agent at the other end is gone or answers no more, or our own has to be started anew.
async fn follow(
    companion: &dyn Companion,
    own: bool,
    patience: Patience,
    to: &watch::Sender<Option<Status>>,
) {
    let mut watch = companion.watch();
    if !own {
        let subscribed = companion.call(Request::Subscribe);
        match tokio::time::timeout(patience.answers_within, subscribed).await {
            Ok(Ok(status)) => to.send_replace(serde_json::from_value(status).ok()),
            _ => return,
        };
    }
    loop {
        let status = watch.borrow_and_update().clone();
        match status {
            Some(status) => {
                let anew = own && status.reason_code.as_deref() == Some("buffer_damaged");
                to.send_replace(Some(status));
                if anew {
                    return;
                }
            }
            // The channel of a client says so when its connection has ended; before the first event it is
            // empty for a moment.
            None if !own && !answers(companion, patience).await => return,
            None => {}
        }
        let changed = tokio::select! {
            changed = watch.changed() => changed.is_ok(),
            // Nothing has changed; or it was stopped, and its connection stands.
            () = tokio::time::sleep(patience.silent_for), if !own => answers(companion, patience).await,
        };
        if !changed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_local::clock;
    use heyho_local::paths::Paths;

    /// Another's agent, which can be made to hang.
    struct Other {
        hangs: watch::Receiver<bool>,
        status: watch::Receiver<Option<Status>>,
        asked: watch::Sender<u32>,
    }

    const PATIENCE: Patience =
        Patience { answers_within: Duration::from_millis(50), silent_for: Duration::from_millis(10) };
    const LONG: Duration = Duration::from_secs(30);

    impl Companion for Other {
        fn call(&self, request: Request) -> Answering<'_> {
            self.asked.send_modify(|asked| *asked += 1);
            let mut hangs = self.hangs.clone();
            Box::pin(async move {
                let _ = hangs.wait_for(|hangs| !hangs).await;
                match request {
                    Request::Subscribe => Ok(serde_json::to_value(Status::broken("", true)).unwrap()),
                    _ => Ok(serde_json::Value::Null),
                }
            })
        }

        fn watch(&self) -> watch::Receiver<Option<Status>> {
            self.status.clone()
        }
    }

    #[tokio::test]
    async fn another_agent_that_hangs_is_left_and_nobody_waits_for_it() {
        let (hang, hangs) = watch::channel(false);
        let (_says, status) = watch::channel(Some(Status::broken("", true)));
        let companion = Arc::new(Other { hangs, status, asked: watch::Sender::new(0) });
        let (to, shown) = watch::channel(None);
        let (following, other) = (to.clone(), companion.clone());
        let follows = tokio::spawn(async move { follow(other.as_ref(), false, PATIENCE, &following).await });
        companion.asked.subscribe().wait_for(|asked| *asked > 5).await.unwrap();
        assert!(!follows.is_finished(), "it says nothing new, and it answers");
        assert!(shown.borrow().is_some());

        let here = AtHand::Here { companion: companion.clone(), own: false };
        let current = Arc::new(Current {
            at_hand: watch::Sender::new(here),
            status: shown,
            events: broadcast::channel(EVENTS).0,
        });
        hang.send_replace(true);
        let pressed = tokio::spawn({
            let current = current.clone();
            async move { current.call(Request::Sync { wait: false }).await }
        });
        tokio::time::timeout(LONG, follows).await.unwrap().unwrap();
        current.at_hand.send_replace(AtHand::Starting);
        let answer = tokio::time::timeout(LONG, pressed).await.unwrap().unwrap();
        assert_eq!(answer.unwrap_err().code, FaultCode::AgentNotRunning);

        // One that is stopped between two words.
        let begins = tokio::spawn(async move { follow(companion.as_ref(), false, PATIENCE, &to).await });
        tokio::time::timeout(LONG, begins).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn whoever_missed_something_asks_anew() {
        struct Says(broadcast::Sender<Event>);
        impl Companion for Says {
            fn call(&self, _: Request) -> Answering<'_> {
                Box::pin(async { Ok(serde_json::Value::Null) })
            }
            fn watch(&self) -> watch::Receiver<Option<Status>> {
                watch::channel(None).1
            }
            fn events(&self) -> Option<broadcast::Receiver<Event>> {
                Some(self.0.subscribe())
            }
        }
        let says = Says(broadcast::channel(2).0);
        let (to, mut heard) = broadcast::channel(EVENTS);
        let forget = |n: u32| Event::Forget { domain: n.to_string() };
        let talks = async {
            // By then it listens.
            assert!(matches!(heard.recv().await.unwrap(), Event::Settings));
            for n in 0..5 {
                says.0.send(forget(n)).unwrap();
            }
            assert!(matches!(heard.recv().await.unwrap(), Event::Settings));
            assert!(matches!(heard.recv().await.unwrap(), Event::Forget { domain } if domain == "3"));
        };
        tokio::select! {
            () = pass_on(&says, &to) => {}
            () = talks => {}
        }
    }

    #[test]
    fn a_start_anew_goes_by_the_settings_as_they_are_by_then() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str| dir.path().join(name);
        let paths = Paths { data: of("data"), config: of("config"), state: of("state"), runtime: of("run") };
        let config = Config::parse("[backend]\nurl = 'http://127.0.0.1:7'\n", "config.toml").unwrap();
        let options = StartOptions {
            paths,
            config,
            clock: clock::system(),
            open: None,
            surroundings: None,
            first_run: false,
        };
        let url = || by_now(&options).backend.url.as_str().to_owned();
        assert_eq!(url(), options.config.backend.url.as_str());
        std::fs::create_dir_all(of("config")).unwrap();
        for (text, port) in [
            ("[backend]\nurl = 'http://127.0.0.1:8'\n", ":8"),
            ("[backend]\nurl = 7\n", ":7"),
            ("[backend\n", ":7"),
        ] {
            std::fs::write(options.paths.config_file(), text).unwrap();
            assert!(url().contains(port), "{text}: {}", url());
        }
    }
}
