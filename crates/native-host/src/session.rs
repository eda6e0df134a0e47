//! One connection of a browser: frames in, answers out, in the order of the requests.
//!
//! What already waits in the pipe goes into one commit; each frame still gets its own answer. An `ack` is
//! written only after its commit, so whenever this process dies the browser still has what was not
//! acknowledged. Writing answers is a task of its own: a reader that is stuck holds up nobody's commit.

use crate::agent_link::AgentLink;
use crate::answers;
use crate::push::{self, Pusher};
use crate::reading::{Other, RecordsFrame, Turn};
use crate::settings::Settings;
use heyho_buffer::{Appended, Arrival, Buffer, BufferError, Source};
use heyho_local::clock::Clock;
use heyho_local::lock::{AgentLock, LockError};
use heyho_local::paths::Paths;
use heyho_local::presence::Presence;
use heyho_local::vocabulary::{FaultCode, Request as AgentRequest};
use heyho_records::fault::planted;
use heyho_records::native::{
    AccountRef, Answer, Client, ErrorCode, HostInfo, Limits, MAX_FROM_BROWSER, MAX_RECORDS, PROTOCOL,
    RequestId,
};
use heyho_records::rules::Rule;
use heyho_records::status::Status;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

/// Of raw frames in one commit: keeps a transaction short beside other writers.
const GROUP_BYTES: usize = 4 << 20;
const GROUP_FRAMES: usize = 64;
/// Of answers that nobody has read.
const MOST_UNREAD: u64 = 32 << 20;
/// Characters of what a client calls itself and its browser: what is longer is cut.
const LONGEST_NAME: usize = 128;
/// The stream cannot be trusted further (contract, section 2).
const DATA_ERROR: u8 = 65;

#[derive(Debug)]
pub struct Session {
    pub paths: Paths,
    pub settings: Settings,
    pub clock: Arc<dyn Clock>,
    /// The extension that started this host, as the browser names it.
    pub caller: String,
    agent: Arc<AgentLink>,
    buffer: Option<Buffer>,
    client: Client,
    /// The privacy rules as the client was told them last.
    rules: Option<Vec<Rule>>,
    out: mpsc::UnboundedSender<Vec<u8>>,
    /// Bytes of answers, and how many of all that goes out were written.
    said: AtomicU64,
    written: watch::Receiver<u64>,
    /// End with the session: some hold the way out open.
    tasks: JoinSet<()>,
    /// An agent that starts knows by it that there is somebody to wait for.
    presence: Option<Presence>,
    pusher: Option<AbortHandle>,
    /// Keeps the agent told of the browser.
    staying: Option<AbortHandle>,
}

/// What one client says of itself stands in the status that all others are told. A profile's number is a name by which
/// records are told apart: of a long one a digest stands for it, and none is taken for another.
fn bounded(client: Client) -> Client {
    let cut = |text: Option<String>| text.map(|text| text.chars().take(LONGEST_NAME).collect());
    Client {
        name: cut(client.name),
        version: cut(client.version),
        browser: cut(client.browser),
        browser_version: cut(client.browser_version),
        profile_id: client.profile_id.map(heyho_buffer::profile_id),
    }
}

/// A browser's own name, where the extension in it knows only that of its family: the browser is what started this
/// host.
fn named(client: Client) -> Client {
    let program = crate::parent::program();
    let says = client.browser.as_deref().unwrap_or_default();
    let name = program.and_then(|program| heyho_local::browsers::by_program(says, &program));
    Client { browser: name.map(str::to_owned).or(client.browser), ..client }
}

impl Session {
    pub fn new(
        paths: Paths,
        clock: Arc<dyn Clock>,
        caller: String,
        out: mpsc::UnboundedSender<Vec<u8>>,
        written: watch::Receiver<u64>,
    ) -> Session {
        let agent = Arc::new(AgentLink::new(paths.socket(), &out, clock.clone()));
        let mut settings = Settings::new(paths.config_file());
        Session {
            rules: settings.rules(),
            settings,
            paths,
            clock,
            caller,
            agent,
            buffer: None,
            client: Client::default(),
            out,
            said: AtomicU64::new(0),
            written,
            tasks: JoinSet::new(),
            presence: None,
            pusher: None,
            staying: None,
        }
    }

    /// Until the end of input.
    pub async fn run(mut self, mut turns: mpsc::Receiver<Turn>) -> ExitCode {
        let mut put_back: Option<Turn> = None;
        loop {
            self.is_read().await;
            let turn = match put_back.take() {
                Some(turn) => Some(turn),
                None => turns.recv().await,
            };
            match turn {
                None => return ExitCode::SUCCESS,
                Some(Turn::TooLarge { length }) => return self.too_large(length),
                Some(Turn::Other(id, other)) => self.other(id, other).await,
                Some(Turn::Records(first)) => {
                    let mut group = vec![first];
                    while group.len() < GROUP_FRAMES
                        && group.iter().map(|frame| frame.bytes).sum::<usize>() < GROUP_BYTES
                    {
                        match turns.try_recv() {
                            Ok(Turn::Records(frame)) => group.push(frame),
                            Ok(other) => {
                                put_back = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.store(group).await;
                }
            }
        }
    }

    fn say(&self, answer: &Answer) {
        let json = answers::json(answer);
        if planted("answers-in-the-way") {
            use std::io::Write;
            let frame = [&(json.len() as u32).to_ne_bytes()[..], &json].concat();
            let _ = std::io::stdout().write_all(&frame).and_then(|()| std::io::stdout().flush());
            return;
        }
        self.said.fetch_add(json.len() as u64, Ordering::Relaxed);
        // The other end is gone only when the browser is: then the end of input follows.
        let _ = self.out.send(json);
    }

    /// While a browser sends and does not read, nothing more is taken from it: the answers would fill the memory.
    async fn is_read(&mut self) {
        let unread = |written: &u64| self.said.load(Ordering::Relaxed).saturating_sub(*written) > MOST_UNREAD;
        // An error: nobody writes any more, for nobody is there to read.
        let _ = self.written.wait_for(|written| !unread(written)).await;
    }

    fn too_large(&self, length: usize) -> ExitCode {
        let error = format!("a message of {length} bytes; at most {MAX_FROM_BROWSER} are accepted");
        self.say(&answers::error(None, ErrorCode::MessageTooLarge, error));
        ExitCode::from(DATA_ERROR)
    }

    async fn store(&mut self, group: Vec<RecordsFrame>) {
        let (ids, mut arrivals): (Vec<_>, Vec<_>) = group.into_iter().map(|f| (f.id, f.arrival)).unzip();
        if planted("early-ack") {
            return self.promise_and_then_store(ids, arrivals).await;
        }
        match self.append(&mut arrivals).await {
            Ok(appended) => {
                for (id, one) in ids.into_iter().zip(appended) {
                    self.say(&answers::ack(id, one));
                }
                let agent = self.agent.clone();
                tokio::spawn(async move { agent.call(AgentRequest::Nudge).await });
            }
            Err(error) => {
                tracing::warn!("nothing was stored: {error}");
                for id in ids {
                    self.say(&answers::nack(id, &error));
                }
            }
        }
    }

    /// The fault `early-ack`.
    async fn promise_and_then_store(&mut self, ids: Vec<Option<RequestId>>, mut arrivals: Vec<Arrival>) {
        for (id, arrival) in ids.into_iter().zip(&arrivals) {
            let mut promised = Appended::default();
            promised.counts.stored = arrival.records() as u64;
            self.say(&answers::ack(id, promised));
        }
        tokio::task::yield_now().await;
        let _ = self.append(&mut arrivals).await;
    }

    async fn append(&mut self, arrivals: &mut [Arrival]) -> Result<Vec<Appended>, BufferError> {
        let source = self.source();
        let hold = i64::try_from(self.settings.hold().as_millis()).unwrap_or(i64::MAX / 4);
        let now = self.clock.now_ms();
        let agent = self.agent.clone();
        let mut late = agent.late.lock().await;
        late.sift(arrivals, now);
        let buffer = self.buffer().await?;
        let error = match buffer.append(&source, arrivals, hold, now).await {
            Err(error) => buffer.judged(error).await,
            appended => return appended,
        };
        match error {
            // It was damaged and has been made anew: nothing was stored in the old one, so store it here.
            BufferError::Replaced => self.buffer = None,
            // Nobody else may be there to mend it. It stays open meanwhile: the last one to close a damaged file harms it.
            BufferError::Damaged(why) => self.buffer = Some(self.mended(why).await?),
            other => return Err(other),
        }
        self.buffer().await?.append(&source, arrivals, hold, now).await
    }

    /// One that is damaged is set aside, and what can be read of it is saved. While an agent runs it has the file
    /// open, and does that itself when it is told.
    async fn mended(&mut self, why: String) -> Result<Buffer, BufferError> {
        // By its lock: one that is starting, or of another session of this user, does not answer on the socket.
        let agent = AgentLock::take(&self.paths.agent_lock());
        if matches!(agent, Err(LockError::Taken)) {
            Buffer::doubt(&self.paths.buffer())?;
            return Err(BufferError::Damaged(why));
        }
        // Given back at once: one that starts meanwhile waits for us at the buffer, and looks whether it was replaced.
        drop(agent);
        let (buffer, recovery) = Buffer::open_and_mend(&self.paths.buffer(), self.clock.now_ms()).await?;
        if let Some(recovery) = recovery {
            tracing::error!(
                "{} records were saved of a damaged buffer, which lies in {}",
                recovery.saved,
                recovery.set_aside.display()
            );
        }
        Ok(buffer)
    }

    fn cap(&mut self) -> Option<u64> {
        self.settings.current().ok().and_then(|config| config.buffer_max_bytes)
    }

    /// Opened when it is first needed; a buffer that could not be opened is tried again with the next frame.
    async fn buffer(&mut self) -> Result<&Buffer, BufferError> {
        let buffer = match self.buffer.take() {
            Some(buffer) => buffer,
            None => {
                heyho_local::paths::private_dir(&self.paths.data)?;
                match Buffer::open(&self.paths.buffer()).await {
                    Err(BufferError::Damaged(why)) => self.mended(why).await?,
                    buffer => buffer?,
                }
            }
        };
        // As the settings have it now: this host may live for days.
        buffer.set_cap(self.cap());
        Ok(self.buffer.insert(buffer))
    }

    fn source(&self) -> Source {
        let profile = self.client.profile_id.clone().unwrap_or_default();
        Source {
            name: format!("{}#{profile}", self.caller),
            profile_id: profile,
            browser: self.client.browser.clone().unwrap_or_default(),
            // Read again by the agent, for what a batch says of its source.
            client: [&self.client.name, &self.client.version, &self.client.browser_version]
                .map(|text| text.as_deref().unwrap_or_default())
                .join("\u{1f}"),
        }
    }

    async fn other(&mut self, id: Option<RequestId>, other: Other) {
        match other {
            Other::Hello { protocol, client } => self.hello(id, protocol, client).await,
            Other::Status => {
                let status = self.status().await;
                self.say(&answers::status(id, status));
            }
            Other::Subscribe => self.subscribe(id).await,
            Other::Sync => {
                let answer = match self.sync().await {
                    None => Answer::SyncRequested { id, accepted: true, reason: None },
                    reason => Answer::SyncRequested { id, accepted: false, reason },
                };
                self.say(&answer);
            }
            Other::Open => self.open(id).await,
            Other::Refused { code, error } => self.say(&answers::error(id, code, error)),
            Other::NotNow { error } => {
                tracing::warn!("{error}");
                self.say(&answers::nack(id, &BufferError::Unavailable(error)));
            }
        }
    }

    async fn hello(&mut self, id: Option<RequestId>, protocol: Option<u64>, client: Client) {
        if protocol != Some(PROTOCOL) {
            let asked = protocol.map_or("none".to_owned(), |p| p.to_string());
            self.say(&Answer::Error {
                id,
                code: ErrorCode::UnsupportedProtocol,
                error: format!("protocol {asked} is not spoken here; {PROTOCOL} is"),
                supported: Some(vec![PROTOCOL]),
            });
            return;
        }
        self.client = named(bounded(client));
        if self.presence.is_none() {
            let announced = Presence::announce(&self.paths.hosts());
            self.presence =
                announced.inspect_err(|e| tracing::warn!("nobody is told that this host runs: {e}")).ok();
        }
        let (agent, source) = (self.agent.clone(), self.source().name);
        let staying = self.tasks.spawn(async move {
            agent.introduce(source).await;
            agent.stay().await;
        });
        // Of this hello, not of each there was.
        if let Some(before) = self.staying.replace(staying) {
            before.abort();
        }
        while self.tasks.try_join_next().is_some() {}
        let account = match self.buffer().await {
            Ok(buffer) => buffer.signed_in().await.ok(),
            Err(_) => None,
        };
        self.rules = self.settings.rules();
        self.say(&Answer::Welcome {
            id,
            protocol: PROTOCOL,
            host: HostInfo { version: env!("CARGO_PKG_VERSION") },
            features: vec!["records", "status", "subscribe", "sync", "open"],
            limits: Limits { max_records: MAX_RECORDS, max_message_bytes: MAX_FROM_BROWSER },
            account: account.map(|known| known.map(|a| AccountRef { r#ref: a.r#ref, email: a.email })),
            rules: self.rules.clone(),
        });
    }

    /// The agent's word, or without one what the buffer knows; a buffer that cannot be used is a status too.
    async fn status(&mut self) -> Status {
        if let Some(status) = self.agent.status().await {
            return status;
        }
        let interval = self.settings.interval();
        let now = self.clock.now_ms();
        let known = match self.buffer().await {
            Ok(buffer) => buffer.offline_status(interval, now).await,
            Err(error) => Err(error),
        };
        known.unwrap_or_else(|error| Status::broken(&error.to_string(), false))
    }

    async fn subscribe(&mut self, id: Option<RequestId>) {
        let said = self.status().await;
        self.say(&answers::status(id.clone(), said.clone()));
        let pusher = Pusher {
            agent: self.agent.clone(),
            path: self.paths.buffer(),
            buffer: self.buffer().await.ok().cloned(),
            written: None,
            settings: Settings::new(self.paths.config_file()),
            clock: self.clock.clone(),
            out: self.out.clone(),
            id,
            said: Some(said),
            rules: self.rules.clone(),
            look_every: push::LOOK,
        };
        // One for this connection: a second subscription takes the place of the first.
        if let Some(before) = self.pusher.replace(self.tasks.spawn(pusher.run())) {
            before.abort();
        }
    }

    /// None: it was accepted.
    async fn sync(&self) -> Option<&'static str> {
        match self.agent.call(AgentRequest::Sync { wait: false }).await {
            Ok(_) => None,
            Err(fault) => Some(match fault.code {
                FaultCode::SignInNeeded => "signed_out",
                FaultCode::TryLater => "paused",
                _ => "agent_not_running",
            }),
        }
    }

    async fn open(&self, id: Option<RequestId>) {
        let opened = match self.agent.call(AgentRequest::Open).await {
            Ok(_) => Ok(()),
            // A headless agent has no window, and no agent has none either: the app brings one.
            Err(fault) if matches!(fault.code, FaultCode::AgentNotRunning | FaultCode::NoWindow) => {
                crate::launch::app().await.map_err(str::to_owned)
            }
            Err(fault) => Err(fault.text),
        };
        self.say(&Answer::Opened { id, accepted: opened.is_ok(), reason: opened.err() });
    }
}

#[cfg(test)]
mod tests;
