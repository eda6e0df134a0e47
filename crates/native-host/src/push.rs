//! What a subscribed extension is told without asking: the status after each change, at most one a second, and
//! the privacy rules when they change, at once where the agent says so. From the agent while there is one; without one from the buffer, whose
//! file says when another program has written. A buffer that cannot be used is told as well, and is tried again.

use crate::agent_link::AgentLink;
use crate::answers;
use crate::settings::Settings;
use heyho_buffer::{Buffer, BufferError, Watch};
use heyho_local::clock::Clock;
use heyho_local::vocabulary::{Companion, Request as AgentRequest};
use heyho_records::native::{Answer, RequestId};
use heyho_records::rules::Rule;
use heyho_records::status::Status;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

/// At most one status a second (contract, section 2).
const SPACING: Duration = Duration::from_secs(1);
/// The rules' file, and whether there is an agent by now, are looked at so often. Each look wakes the processor.
pub const LOOK: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Pusher {
    pub agent: Arc<AgentLink>,
    pub path: PathBuf,
    /// None: it could not be used.
    pub buffer: Option<Buffer>,
    pub written: Option<Watch>,
    pub settings: Settings,
    pub clock: Arc<dyn Clock>,
    pub out: mpsc::UnboundedSender<Vec<u8>>,
    pub id: Option<RequestId>,
    /// What the extension was told last.
    pub said: Option<Status>,
    /// The same of the rules; None where it was told none because they could not be read.
    pub rules: Option<Vec<Rule>>,
    pub look_every: Duration,
}

impl Pusher {
    /// Until the browser is gone.
    pub async fn run(mut self) {
        if let Some(buffer) = &self.buffer {
            self.written = buffer.watch().await.ok();
        }
        let mut live = self.subscribe().await;
        let mut not_before = Instant::now() + SPACING;
        while !self.out.is_closed() {
            tokio::select! {
                () = changed(&mut live) => {}
                () = written_to(&mut self.written), if live.is_none() => {}
                () = self.agent.settings.notified() => {}
                () = tokio::time::sleep(self.look_every) => {}
            }
            // A page may be open already that a new one keeps out.
            self.tell_rules();
            tokio::select! {
                () = tokio::time::sleep_until(not_before) => {}
                () = self.agent.settings.notified() => {
                    self.tell_rules();
                    tokio::time::sleep_until(not_before).await;
                }
            }
            not_before = Instant::now() + SPACING;
            if live.is_none() {
                live = self.subscribe().await;
            }
            let status = live.as_mut().map(|watch| watch.borrow_and_update().clone());
            match status {
                Some(Some(status)) => self.tell(status),
                // The agent has ended: what it said last is no longer so.
                Some(None) => {
                    live = None;
                    self.tell_from_buffer().await;
                }
                None => {
                    let in_place = self.buffer.as_ref().is_some_and(Buffer::is_in_place);
                    let changed = match &mut self.written {
                        Some(watch) => watch.changed().await.unwrap_or(true),
                        None => true,
                    };
                    if changed || !in_place {
                        self.tell_from_buffer().await;
                    }
                }
            }
        }
    }

    async fn subscribe(&self) -> Option<watch::Receiver<Option<Status>>> {
        let client = self.agent.client().await?;
        let mut watch = client.watch();
        // One that hangs is none: the buffer is there.
        timeout(self.agent.patience, client.call(AgentRequest::Subscribe)).await.ok()?.ok()?;
        // Before the first change the answer to the subscription is the status; ask for it once.
        if watch.borrow_and_update().is_none() {
            let first = self.agent.status().await?;
            return Some(joined(first, watch));
        }
        Some(watch)
    }

    fn tell_rules(&mut self) {
        if let Some(rules) = self.settings.rules().filter(|now| self.rules.as_ref() != Some(now)) {
            self.say(&Answer::Rules { rules: rules.clone() });
            self.rules = Some(rules);
        }
    }

    async fn tell_from_buffer(&mut self) {
        let (interval, now) = (self.settings.interval(), self.clock.now_ms());
        let cap = self.settings.current().ok().and_then(|config| config.buffer_max_bytes);
        let known = match self.buffer().await {
            Ok(buffer) => {
                buffer.set_cap(cap);
                buffer.offline_status(interval, now).await
            }
            Err(error) => Err(error),
        };
        self.tell(known.unwrap_or_else(|error| Status::broken(&error.to_string(), false)));
    }

    /// The one that is in its place: a damaged one is set aside, and another is made.
    async fn buffer(&mut self) -> Result<&Buffer, BufferError> {
        let buffer = match self.buffer.take().filter(Buffer::is_in_place) {
            Some(buffer) => buffer,
            None => {
                self.written = None;
                let buffer = Buffer::open(&self.path).await?;
                self.written = buffer.watch().await.ok();
                buffer
            }
        };
        Ok(self.buffer.insert(buffer))
    }

    fn tell(&mut self, status: Status) {
        if self.said.as_ref() == Some(&status) {
            return;
        }
        self.say(&answers::status(self.id.clone(), status.clone()));
        self.said = Some(status);
    }

    fn say(&self, answer: &Answer) {
        let _ = self.out.send(answers::json(answer));
    }
}

/// A status that was not told yet, or the end of the agent that tells them.
async fn changed(live: &mut Option<watch::Receiver<Option<Status>>>) {
    match live {
        Some(watch) => drop(watch.changed().await),
        None => std::future::pending().await,
    }
}

async fn written_to(buffer: &mut Option<Watch>) {
    match buffer {
        Some(watch) => watch.written().await,
        None => std::future::pending().await,
    }
}

/// The statuses that follow, with one before them.
fn joined(first: Status, mut rest: watch::Receiver<Option<Status>>) -> watch::Receiver<Option<Status>> {
    let (to, watch) = watch::channel(Some(first));
    tokio::spawn(async move {
        while rest.changed().await.is_ok() {
            let status = rest.borrow_and_update().clone();
            let ended = status.is_none();
            if to.send(status).is_err() || ended {
                return;
            }
        }
        to.send_replace(None);
    });
    watch
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_buffer::{Arrival, Source};
    use heyho_local::clock;
    use heyho_local::socket;
    use heyho_local::vocabulary::{Answering, Event};
    use std::process::Command;
    use tokio::sync::{Notify, broadcast};

    /// An agent that says when the settings have changed.
    struct Says {
        events: broadcast::Sender<Event>,
        subscribed: Notify,
        status: watch::Sender<Option<Status>>,
    }

    impl Companion for Says {
        fn call(&self, request: AgentRequest) -> Answering<'_> {
            Box::pin(async move {
                if matches!(request, AgentRequest::Subscribe) {
                    self.subscribed.notify_one();
                }
                Ok(serde_json::to_value(Status::broken("a stand-in", true)).unwrap())
            })
        }

        fn events(&self) -> Option<broadcast::Receiver<Event>> {
            Some(self.events.subscribe())
        }

        fn watch(&self) -> watch::Receiver<Option<Status>> {
            self.status.subscribe()
        }
    }

    /// In an hour's looking now and then nothing would be seen.
    #[tokio::test]
    async fn a_subscriber_hears_of_a_rule_when_the_agent_says_that_the_settings_have_changed() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("agent.sock");
        let (events, status) = (broadcast::channel(8).0, watch::Sender::new(None));
        let agent = Arc::new(Says { events, subscribed: Notify::new(), status });
        tokio::spawn(socket::serve(socket::bind(&place).unwrap(), agent.clone()));
        let (out, mut said) = mpsc::unbounded_channel();
        let config = dir.path().join("config.toml");
        let pusher = Pusher {
            agent: Arc::new(AgentLink::new(place, &out, clock::system())),
            path: dir.path().join("buffer.db"),
            buffer: None,
            written: None,
            settings: Settings::new(config.clone()),
            clock: clock::system(),
            out,
            id: None,
            said: None,
            rules: Some(Vec::new()),
            look_every: Duration::from_secs(3_600),
        };
        let running = tokio::spawn(pusher.run());
        agent.subscribed.notified().await;
        for pattern in ["one.example", "two.example"] {
            let rules = format!(
                "[[privacy.rules]]\nid = '{pattern}'\nmatch = 'host'\npattern = '{pattern}'\naction = 'drop'\n"
            );
            let before = std::fs::read_to_string(&config).unwrap_or_default();
            std::fs::write(&config, before + &rules).unwrap();
            agent.events.send(Event::Settings).unwrap();
            let heard =
                async { while !String::from_utf8(said.recv().await.unwrap()).unwrap().contains(pattern) {} };
            tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap();
        }
        running.abort();
    }

    /// By an event: in an hour's looking now and then nothing would be seen.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_subscriber_hears_at_once_of_what_another_process_stores() {
        hears_of_what_another_process_stores(tempfile::tempdir().unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_subscriber_hears_of_it_also_where_the_agent_hangs() {
        let dir = tempfile::tempdir().unwrap();
        // It is connected to, and nobody reads.
        let _hangs = tokio::net::UnixListener::bind(dir.path().join("agent.sock")).unwrap();
        hears_of_what_another_process_stores(dir).await;
    }

    async fn hears_of_what_another_process_stores(dir: tempfile::TempDir) {
        let path = dir.path().join("buffer.db");
        let (out, mut said) = mpsc::unbounded_channel();
        let mut agent = AgentLink::new(dir.path().join("agent.sock"), &out, clock::system());
        agent.patience = Duration::from_millis(200);
        let pusher = Pusher {
            agent: Arc::new(agent),
            path: path.clone(),
            buffer: Some(Buffer::open(&path).await.unwrap()),
            written: None,
            settings: Settings::new(dir.path().join("config.toml")),
            clock: clock::system(),
            out,
            id: None,
            said: None,
            rules: Some(Vec::new()),
            look_every: Duration::from_secs(3_600),
        };
        let running = tokio::spawn(pusher.run());
        // More than one: what a start looks at by itself is over by then.
        for n in 1..=3 {
            let mut other = Command::new(std::env::current_exe().unwrap());
            other.args(["--exact", "push::tests::another_process_that_stores", "--ignored"]);
            assert!(other.env("HEYHO_TEST_BUFFER", &path).output().unwrap().status.success());
            let heard = async {
                loop {
                    let json: serde_json::Value =
                        serde_json::from_slice(&said.recv().await.unwrap()).unwrap();
                    if json["unclaimed"] == n {
                        return;
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap();
        }
        running.abort();
    }

    #[tokio::test]
    #[ignore = "the other test starts it"]
    async fn another_process_that_stores() {
        let Some(path) = std::env::var_os("HEYHO_TEST_BUFFER").map(PathBuf::from) else { return };
        let buffer = Buffer::open(&path).await.unwrap();
        let source = Source {
            name: "ext#p".to_owned(),
            profile_id: "p".to_owned(),
            browser: String::new(),
            client: String::new(),
        };
        let visit = format!(r#"{{"id":"{}","url":"http://a/","startedAt":1}}"#, clock::new_id());
        buffer.append(&source, &[Arrival::read(None, &[&visit], &[])], 0, 1).await.unwrap();
        buffer.close().await;
    }
}
