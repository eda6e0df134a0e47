//! For a program that stays (the app): there is always an agent at hand, this process's own where no other is.
//!
//! It may begin as a client, of a headless agent or of a command that is one for its length. When that agent
//! ends, this becomes the agent, or a client of the next one. Whoever holds the companion notices nothing but
//! a moment without a status. An agent whose buffer was found damaged, or replaced, is ended and started anew: opening
//! it mends it.

use crate::start::{Agent, StartOptions, Started, start_or_join};
use heyho_local::vocabulary::{Answering, Companion, Event, Request};
use heyho_records::status::Status;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot, watch};

/// Before another try, where neither becoming the agent nor joining one worked.
const AGAIN: Duration = Duration::from_secs(2);

/// Events a listener may be behind.
const EVENTS: usize = 64;

/// The agent that is at hand.
pub struct Stayed {
    pub companion: Arc<dyn Companion>,
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

struct Current {
    inner: Mutex<Arc<dyn Companion>>,
    status: watch::Receiver<Option<Status>>,
    events: broadcast::Sender<Event>,
}

impl Current {
    fn get(&self) -> Arc<dyn Companion> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, companion: Arc<dyn Companion>) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = companion;
    }
}

impl Companion for Current {
    fn call(&self, request: Request) -> Answering<'_> {
        Box::pin(async move { self.get().call(request).await })
    }

    fn watch(&self) -> watch::Receiver<Option<Status>> {
        self.status.clone()
    }

    fn events(&self) -> Option<broadcast::Receiver<Event>> {
        Some(self.events.subscribe())
    }
}

/// Becomes the agent or joins one, and goes on doing so.
pub async fn start_and_stay(options: StartOptions) -> anyhow::Result<Stayed> {
    heyho_local::browsers::keep_registered(&options.config);
    let started = start_or_join(options.clone()).await?;
    let (to, status) = watch::channel(None);
    let events = broadcast::channel(EVENTS).0;
    let current = Arc::new(Current { inner: Mutex::new(started.companion.clone()), status, events });
    let (end, asked_to_end) = oneshot::channel();
    tokio::spawn(stay(options, started, current.clone(), to, asked_to_end));
    Ok(Stayed { companion: current, end })
}

async fn stay(
    options: StartOptions,
    mut started: Started,
    current: Arc<Current>,
    to: watch::Sender<Option<Status>>,
    mut asked_to_end: oneshot::Receiver<oneshot::Sender<()>>,
) {
    loop {
        current.set(started.companion.clone());
        let ended = tokio::select! {
            () = follow(started.companion.as_ref(), started.agent.is_some(), &to) => None,
            () = pass_on(started.companion.as_ref(), &current.events) => None,
            done = &mut asked_to_end => Some(done.ok()),
        };
        to.send_replace(None);
        if let Some(done) = ended {
            return finish(started.agent, done).await;
        }
        if let Some(agent) = started.agent.take() {
            agent.shutdown().await;
        }
        started = loop {
            let again = tokio::select! {
                again = start_or_join(options.clone()) => again,
                done = &mut asked_to_end => return finish(None, done.ok()).await,
            };
            match again {
                Ok(started) => break started,
                Err(error) => {
                    tracing::warn!("no agent for now: {error:#}");
                    to.send_replace(Some(Status::broken(&format!("{error:#}"), false)));
                }
            }
            tokio::time::sleep(AGAIN).await;
        };
    }
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
        loop {
            match events.recv().await {
                Ok(event) => {
                    let _ = to.send(event);
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
    }
    std::future::pending().await
}

/// Passes statuses on until the agent at the other end is gone, or our own has to be started anew.
async fn follow(companion: &dyn Companion, own: bool, to: &watch::Sender<Option<Status>>) {
    let mut watch = companion.watch();
    if !own {
        match companion.call(Request::Subscribe).await {
            Ok(status) => to.send_replace(serde_json::from_value(status).ok()),
            Err(_) => return,
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
            None if !own && companion.call(Request::Status).await.is_err() => return,
            None => {}
        }
        if watch.changed().await.is_err() {
            return;
        }
    }
}
