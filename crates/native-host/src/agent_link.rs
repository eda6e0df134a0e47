//! The host's connection to the agent: a courtesy, never a condition. Without an agent records are stored
//! all the same; the agent finds them when it starts.

use crate::answers;
use heyho_buffer::Late;
use heyho_local::clock::Clock;
use heyho_local::presence::LOOK_FOR_AGENT;
use heyho_local::socket::Client;
use heyho_local::vocabulary::{Companion, Event, Fault, FaultCode, Request, ask};
use heyho_records::native::Answer;
use heyho_records::status::Status;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, broadcast, mpsc};
use tokio::time::timeout;

/// An agent that does not answer within this is treated as absent.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct AgentLink {
    socket: PathBuf,
    client: Mutex<Option<Arc<Client>>>,
    /// The browser profile this host serves, once it has said hello.
    source: std::sync::Mutex<Option<String>>,
    /// To the browser; held weakly, so that the session's end ends it.
    out: mpsc::WeakUnboundedSender<Vec<u8>>,
    /// What was forgotten. Whoever stores records holds it until they are committed.
    pub late: Mutex<Late>,
    /// The agent has said that the settings have changed: the rules may have.
    pub settings: Notify,
    pub patience: Duration,
    clock: Arc<dyn Clock>,
}

impl AgentLink {
    pub fn new(socket: PathBuf, out: &mpsc::UnboundedSender<Vec<u8>>, clock: Arc<dyn Clock>) -> AgentLink {
        let source = std::sync::Mutex::new(None);
        let late = Mutex::default();
        AgentLink {
            socket,
            client: Mutex::new(None),
            source,
            out: out.downgrade(),
            late,
            settings: Notify::new(),
            patience: PATIENCE,
            clock,
        }
    }

    /// The connection there is, or a new one.
    pub async fn client(self: &Arc<Self>) -> Option<Arc<Client>> {
        let mut client = self.client.lock().await;
        if client.is_none() {
            *client = Client::connect(&self.socket).await.ok().map(Arc::new);
            let source = self.source.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(events) = client.as_ref().and_then(|client| client.events()) {
                tokio::spawn(pass_on(events, Arc::downgrade(self), client.as_ref().map(Arc::downgrade)));
            }
            if let (Some(client), Some(source)) = (client.clone(), source) {
                tokio::spawn(async move { client.call(Request::Attach { source }).await });
            }
        }
        client.clone()
    }

    /// Tells the agent, this one and each later one, which browser is connected through this host.
    pub async fn introduce(self: &Arc<Self>, source: String) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
        self.forget().await;
        self.client().await;
    }

    /// Finds an agent that was started after this host, for as long as the host lives.
    pub async fn stay(self: &Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_FOR_AGENT).await;
            let ended = match self.client.lock().await.as_ref() {
                Some(client) => client.is_closed(),
                None => true,
            };
            if ended {
                self.forget().await;
                self.client().await;
            }
        }
    }

    async fn forget(&self) {
        *self.client.lock().await = None;
    }

    pub async fn call(self: &Arc<Self>, request: Request) -> Result<serde_json::Value, Fault> {
        let absent = || Fault::new(FaultCode::AgentNotRunning, "the companion is not running");
        // Twice: the connection may be to an agent that has ended since.
        for _ in 0..2 {
            let client = self.client().await.ok_or_else(absent)?;
            match timeout(self.patience, client.call(request.clone())).await {
                Ok(Err(fault)) if fault.code == FaultCode::AgentNotRunning => self.forget().await,
                Ok(answer) => return answer,
                Err(_) => return Err(absent()),
            }
        }
        Err(absent())
    }

    pub async fn status(self: &Arc<Self>) -> Option<Status> {
        let client = self.client().await?;
        match timeout(self.patience, ask::<Status>(client.as_ref(), Request::Status)).await {
            Ok(Ok(status)) => Some(status),
            _ => {
                self.forget().await;
                None
            }
        }
    }
}

/// What the agent says to extensions, until the connection to it ends. One that missed some goes on with the rest: what it
/// does not say it has heard, the agent asks its user to forget once more.
async fn pass_on(mut events: broadcast::Receiver<Event>, link: Weak<AgentLink>, agent: Option<Weak<Client>>) {
    loop {
        match events.recv().await {
            Ok(Event::Forget { domain }) => {
                let Some(link) = link.upgrade() else { return };
                // After the commit that is under way: what it stored is there to be erased, and nothing older follows.
                link.late.lock().await.forget(&domain, link.clock.now_ms());
                let Some(out) = link.out.upgrade() else { return };
                let _ = out.send(answers::json(&Answer::Forget { domain: domain.clone() }));
                // Who has not introduced himself is not waited for.
                let attached = link.source.lock().unwrap_or_else(PoisonError::into_inner).is_some();
                if attached && let Some(agent) = agent.as_ref().and_then(Weak::upgrade) {
                    // One that does not take it must not keep the next from being heard.
                    let _ = timeout(link.patience, agent.call(Request::Told { domain })).await;
                }
            }
            // Among those that were missed one may have been of the settings.
            Ok(Event::Settings) | Err(broadcast::error::RecvError::Lagged(_)) => {
                let Some(link) = link.upgrade() else { return };
                link.settings.notify_one();
            }
            Ok(_) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_local::clock;
    use heyho_local::socket;
    use heyho_local::vocabulary::Answering;
    use serde_json::Value;
    use tokio::sync::{Notify, watch};

    /// An agent that tells which sites to forget, and never answers that it was heard.
    struct Mute {
        events: broadcast::Sender<Event>,
        attached: Notify,
        status: watch::Sender<Option<Status>>,
    }

    impl Companion for Mute {
        fn call(&self, request: Request) -> Answering<'_> {
            Box::pin(async move {
                match request {
                    Request::Told { .. } => std::future::pending().await,
                    Request::Attach { .. } => self.attached.notify_one(),
                    _ => {}
                }
                Ok(Value::Null)
            })
        }

        fn events(&self) -> Option<broadcast::Receiver<Event>> {
            Some(self.events.subscribe())
        }

        fn watch(&self) -> watch::Receiver<Option<Status>> {
            self.status.subscribe()
        }
    }

    #[tokio::test]
    async fn an_agent_that_takes_no_answer_keeps_the_next_site_from_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("agent.sock");
        let agent = Arc::new(Mute {
            events: broadcast::channel(8).0,
            attached: Notify::new(),
            status: watch::Sender::new(None),
        });
        tokio::spawn(socket::serve(socket::bind(&place).unwrap(), agent.clone()));
        let (out, mut said) = mpsc::unbounded_channel();
        let mut link = AgentLink::new(place, &out, clock::system());
        link.patience = Duration::from_millis(200);
        let link = Arc::new(link);
        link.introduce("ext#p".to_owned()).await;
        agent.attached.notified().await;
        for site in ["first.example", "next.example"] {
            agent.events.send(Event::Forget { domain: site.to_owned() }).unwrap();
        }
        for site in ["first.example", "next.example"] {
            let heard = tokio::time::timeout(Duration::from_secs(20), said.recv()).await.unwrap().unwrap();
            assert!(String::from_utf8(heard).unwrap().contains(site), "{site}");
        }
    }
}
