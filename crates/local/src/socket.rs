//! The vocabulary over the local socket: who serves it, and a client.
//!
//! Only this user can reach it: it lies in a directory of mode 0700 (a named pipe of this user on Windows).
//! The server is whoever holds `agent.lock`, so a socket file found when binding is stale and is replaced.
//! Requests of one connection are answered as they finish, matched by id: a `sync` that waits does not hold
//! up a `status`. Events go to whoever has attached or subscribed; the status to whoever has subscribed. What is
//! attached belongs to its connection. A line over [`MAX_LINE`] ends the connection.

use crate::paths::private_dir;
use crate::vocabulary::{
    Answering, Attached, Companion, Event, Fault, FaultCode, Message, Numbered, Request,
};
use futures_util::{SinkExt, StreamExt};
use heyho_records::status::Status;
use interprocess::local_socket::tokio::{Listener, Stream, prelude::*};
use interprocess::local_socket::{ListenerOptions, Name};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::codec::{FramedRead, FramedWrite, LinesCodec};

const MAX_LINE: usize = 16 << 20;
/// Status events to one client are at least this far apart; the last one always comes.
const EVENT_SPACING: Duration = Duration::from_millis(250);
/// Events a client may be behind; they are few, and each stands for itself.
const EVENTS_BEHIND: usize = 64;

/// Takes the socket. The caller holds `agent.lock`.
pub fn bind(path: &Path) -> io::Result<Listener> {
    if let Some(dir) = path.parent() {
        private_dir(dir)?;
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    ListenerOptions::new().name(name(path)?).create_tokio()
}

#[cfg(unix)]
fn name(path: &Path) -> io::Result<Name<'_>> {
    use interprocess::local_socket::{GenericFilePath, ToFsName};
    path.to_fs_name::<GenericFilePath>()
}

#[cfg(not(unix))]
fn name(path: &Path) -> io::Result<Name<'static>> {
    use interprocess::local_socket::{GenericNamespaced, ToNsName};
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    format!("heyho-companion-{:016x}", hasher.finish()).to_ns_name::<GenericNamespaced>()
}

/// Answers clients until dropped; their connections end with it, so that they learn of it.
pub async fn serve(listener: Listener, companion: Arc<dyn Companion>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok(stream) => {
                connections.spawn(connection(stream, companion.clone()));
            }
            Err(e) => {
                tracing::warn!("a client of the local socket could not be accepted: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: Stream, companion: Arc<dyn Companion>) {
    let (reader, writer) = tokio::io::split(stream);
    let mut lines = FramedRead::new(reader, LinesCodec::new_with_max_length(MAX_LINE));
    let mut sink = FramedWrite::new(writer, LinesCodec::new());
    let (out, mut outgoing) = mpsc::channel::<String>(64);
    let writing = tokio::spawn(async move {
        while let Some(line) = outgoing.recv().await {
            if sink.send(line).await.is_err() {
                break;
            }
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    let mut attached: Vec<Attached> = Vec::new();
    let mut hears_events = false;
    // Whoever pushes holds a sender of the writer, so the end of the reader has to reach them otherwise.
    let (here, gone) = watch::channel(());
    while let Some(Ok(line)) = lines.next().await {
        let numbered: Numbered = match serde_json::from_str(&line) {
            Ok(numbered) => numbered,
            Err(e) => {
                // The line is not repeated: it may hold a password.
                let id = serde_json::from_str::<IdOnly>(&line).map_or(0, |only| only.id);
                let fault = Fault::new(
                    FaultCode::UnknownCommand,
                    format!("the request is not understood by this version: {}", category(&e)),
                );
                send(&out, &Message::Refusal { id, error: fault }).await;
                continue;
            }
        };
        // It hears events before it counts as attached: who is counted is told.
        if matches!(numbered.request, Request::Attach { .. } | Request::Subscribe) && !hears_events {
            hears_events = true;
            if let Some(events) = companion.events() {
                tasks.spawn(push_events(out.clone(), events, gone.clone()));
            }
        }
        match &numbered.request {
            Request::Attach { source } => {
                let one = companion.attach(source);
                let sites = one.as_ref().map(|one| one.forgetting()).unwrap_or_default();
                for domain in sites {
                    send(&out, &Message::Event(Event::Forget { domain })).await;
                }
                attached.extend(one);
            }
            Request::Told { domain } => attached.iter().for_each(|one| one.told(domain)),
            _ => {}
        }
        let (out, companion, gone) = (out.clone(), companion.clone(), gone.clone());
        tasks.spawn(async move {
            let Numbered { id, request } = numbered;
            let subscribing = matches!(request, Request::Subscribe);
            let answer = match companion.call(request).await {
                Ok(ok) => Message::Answer { id, ok },
                Err(error) => Message::Refusal { id, error },
            };
            send(&out, &answer).await;
            if subscribing {
                push_statuses(&out, companion.watch(), gone).await;
            }
        });
        while tasks.try_join_next().is_some() {}
    }
    // The client is gone: its requests go on where they change something, but nobody waits for events.
    tasks.detach_all();
    drop((here, attached, out));
    let _ = writing.await;
}

#[derive(serde::Deserialize)]
struct IdOnly {
    id: u64,
}

fn category(e: &serde_json::Error) -> &'static str {
    match e.classify() {
        serde_json::error::Category::Data => "unknown command or field",
        _ => "not valid JSON",
    }
}

async fn send(out: &mpsc::Sender<String>, message: &Message) -> bool {
    match serde_json::to_string(message) {
        Ok(line) => out.send(line).await.is_ok(),
        Err(e) => {
            tracing::error!("an answer could not be written: {e}");
            false
        }
    }
}

async fn push_events(
    out: mpsc::Sender<String>,
    mut events: broadcast::Receiver<Event>,
    mut gone: watch::Receiver<()>,
) {
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => if !send(&out, &Message::Event(event)).await { return },
                // Too slow: the oldest are missed. At this it asks for settings, and for what should be told.
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    if !send(&out, &Message::Event(Event::Settings)).await { return }
                }
                Err(broadcast::error::RecvError::Closed) => return,
            },
            () = out.closed() => return,
            _ = gone.changed() => return,
        }
    }
}

async fn push_statuses(
    out: &mpsc::Sender<String>,
    mut status: watch::Receiver<Option<Status>>,
    mut gone: watch::Receiver<()>,
) {
    loop {
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = out.closed() => return,
            _ = gone.changed() => return,
        }
        let Some(current) = status.borrow_and_update().clone() else { return };
        if !send(out, &Message::Event(Event::Status(Box::new(current)))).await {
            return;
        }
        tokio::time::sleep(EVENT_SPACING).await;
    }
}

/// Who waits for which answer; `None` once the connection has ended.
type Pending = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Result<serde_json::Value, Fault>>>>>>;

/// A client of the agent's socket.
pub struct Client {
    next: AtomicU64,
    pending: Pending,
    out: mpsc::Sender<String>,
    status: watch::Receiver<Option<Status>>,
    events: broadcast::Sender<Event>,
    reader: tokio::task::AbortHandle,
}

impl Drop for Client {
    /// Both halves must go for the connection to close.
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Connects; fails at once where nobody listens.
    pub async fn connect(path: &Path) -> io::Result<Client> {
        let stream = Stream::connect(name(path)?).await?;
        let (reader, writer) = tokio::io::split(stream);
        let (out, mut outgoing) = mpsc::channel::<String>(64);
        tokio::spawn(async move {
            let mut sink = FramedWrite::new(writer, LinesCodec::new());
            while let Some(line) = outgoing.recv().await {
                if sink.send(line).await.is_err() {
                    break;
                }
            }
        });
        let pending: Pending = Arc::new(Mutex::new(Some(HashMap::new())));
        let (latest, status) = watch::channel(None);
        let (events, _) = broadcast::channel(EVENTS_BEHIND);
        let heard = events.clone();
        let waiting = pending.clone();
        let reading = tokio::spawn(async move {
            let mut lines = FramedRead::new(reader, LinesCodec::new_with_max_length(MAX_LINE));
            while let Some(Ok(line)) = lines.next().await {
                let (id, answer) = match serde_json::from_str(&line) {
                    Ok(Message::Answer { id, ok }) => (id, Ok(ok)),
                    Ok(Message::Refusal { id, error }) => (id, Err(error)),
                    Ok(Message::Event(Event::Status(status))) => {
                        latest.send_replace(Some(*status));
                        continue;
                    }
                    Ok(Message::Event(event)) => {
                        let _ = heard.send(event);
                        continue;
                    }
                    // A later agent may push what this client does not know.
                    Err(_) => continue,
                };
                let asker = locked(&waiting).as_mut().and_then(|pending| pending.remove(&id));
                if let Some(asker) = asker {
                    let _ = asker.send(answer);
                }
            }
            latest.send_replace(None);
            *locked(&waiting) = None;
        });
        Ok(Client { next: AtomicU64::new(1), pending, out, status, events, reader: reading.abort_handle() })
    }

    /// The agent at the other end is gone.
    pub fn is_closed(&self) -> bool {
        locked(&self.pending).is_none()
    }

    async fn exchange(&self, request: Request) -> Result<serde_json::Value, Fault> {
        let gone =
            || Fault::new(FaultCode::AgentNotRunning, "the companion ended before it answered; try again");
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (asker, answer) = oneshot::channel();
        match locked(&self.pending).as_mut() {
            Some(pending) => pending.insert(id, asker),
            None => return Err(gone()),
        };
        let line = serde_json::to_string(&Numbered { id, request })
            .map_err(|e| Fault::new(FaultCode::Failed, format!("the request cannot be written: {e}")))?;
        self.out.send(line).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Companion for Client {
    fn call(&self, request: Request) -> Answering<'_> {
        Box::pin(self.exchange(request))
    }

    fn watch(&self) -> watch::Receiver<Option<Status>> {
        self.status.clone()
    }

    fn events(&self) -> Option<broadcast::Receiver<Event>> {
        Some(self.events.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    struct Echo(watch::Sender<Option<Status>>);

    impl Companion for Echo {
        fn call(&self, request: Request) -> Answering<'_> {
            Box::pin(async move {
                match request {
                    Request::Sync { .. } => std::future::pending().await,
                    Request::Open => Err(Fault::new(FaultCode::NoWindow, "no window here")),
                    other => Ok(json!(other.word())),
                }
            })
        }
        fn watch(&self) -> watch::Receiver<Option<Status>> {
            self.0.subscribe()
        }
    }

    async fn served() -> (tempfile::TempDir, std::path::PathBuf, tokio::task::JoinHandle<()>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/agent.sock");
        let companion = Arc::new(Echo(watch::channel(None).0));
        let task = tokio::spawn(serve(bind(&path).unwrap(), companion));
        (dir, path, task)
    }

    #[tokio::test]
    async fn answers_find_their_requests_also_while_another_waits() {
        let (_dir, path, _task) = served().await;
        let client = Arc::new(Client::connect(&path).await.unwrap());
        let waiting = {
            let client = client.clone();
            tokio::spawn(async move { client.call(Request::Sync { wait: true }).await })
        };
        assert_eq!(client.call(Request::Status).await, Ok(json!("status")));
        assert_eq!(client.call(Request::Open).await.unwrap_err().code, FaultCode::NoWindow);
        assert!(!waiting.is_finished());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_an_absent_one_refuses_at_once() {
        let (dir, path, task) = served().await;
        task.abort();
        let _ = task.await;
        std::fs::write(dir.path().join("run/other"), b"").unwrap();
        std::fs::write(&path, b"stale").ok();
        let companion = Arc::new(Echo(watch::channel(None).0));
        let _task = tokio::spawn(serve(bind(&path).unwrap(), companion));
        Client::connect(&path).await.unwrap();
        assert!(Client::connect(&dir.path().join("run/nobody")).await.is_err());
    }

    #[tokio::test]
    async fn what_is_not_understood_is_refused_without_being_repeated() {
        let (_dir, path, _task) = served().await;
        let stream = Stream::connect(name(&path).unwrap()).await.unwrap();
        let (reader, writer) = tokio::io::split(stream);
        let mut lines = FramedRead::new(reader, LinesCodec::new());
        let mut sink = FramedWrite::new(writer, LinesCodec::new());
        for (line, words) in [
            (r#"{"id":3,"cmd":"teleport","password":"hunter2"}"#, "unknown command"),
            (r#"{"id":4,"cmd":"login","email":5,"password":"hunter2"}"#, "unknown command or field"),
            ("hunter2", "not valid JSON"),
        ] {
            sink.send(line.to_owned()).await.unwrap();
            let answer: Value = serde_json::from_str(&lines.next().await.unwrap().unwrap()).unwrap();
            assert_eq!(answer["error"]["code"], "unknown_command");
            assert!(answer["error"]["text"].as_str().unwrap().contains(words), "{answer}");
            assert!(!answer.to_string().contains("hunter2"));
        }
    }

    /// Clients of an earlier and of a later version, as they speak: what they share works, what this version does
    /// not know is refused by itself, and the connection goes on.
    #[tokio::test]
    async fn a_client_of_another_version_gets_what_is_understood() {
        let (_dir, path, _task) = served().await;
        let stream = Stream::connect(name(&path).unwrap()).await.unwrap();
        let (reader, writer) = tokio::io::split(stream);
        let mut lines = FramedRead::new(reader, LinesCodec::new());
        let mut sink = FramedWrite::new(writer, LinesCodec::new());
        for (line, ok) in [
            (r#"{"id":1,"cmd":"hello","version":0,"program":"old"}"#, true),
            (r#"{"id":2,"cmd":"hello","version":2,"program":"new","since":"later"}"#, true),
            (r#"{"id":3,"cmd":"sync.changes","since":5}"#, false),
            (r#"{"id":4,"cmd":"failed.list"}"#, true),
            (r#"{"id":5,"cmd":"status","detail":"all"}"#, true),
        ] {
            sink.send(line.to_owned()).await.unwrap();
            let answer: Value = serde_json::from_str(&lines.next().await.unwrap().unwrap()).unwrap();
            assert_eq!(answer.get("ok").is_some(), ok, "{line}: {answer}");
        }
    }

    /// An agent of a later version says more than this client knows: events are passed over, answers with more
    /// fields are read.
    #[tokio::test]
    async fn an_agent_of_another_version_is_understood_as_far_as_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        let listener = bind(&path).unwrap();
        let client = Arc::new(Client::connect(&path).await.unwrap());
        let (reader, writer) = tokio::io::split(listener.accept().await.unwrap());
        let mut lines = FramedRead::new(reader, LinesCodec::new());
        let mut sink = FramedWrite::new(writer, LinesCodec::new());
        let mut events = client.events().unwrap();
        let asking = {
            let client = client.clone();
            tokio::spawn(async move {
                crate::vocabulary::ask::<crate::vocabulary::Count>(client.as_ref(), Request::Erase).await
            })
        };
        lines.next().await.unwrap().unwrap();
        for line in [
            r#"{"event":"weather","data":{"rain":true}}"#,
            r#"{"event":"forget","data":{"domain":"a.example","since":"later"}}"#,
            r#"{"id":1,"ok":{"count":3,"bytes":9},"took":5}"#,
        ] {
            sink.send(line.to_owned()).await.unwrap();
        }
        assert_eq!(asking.await.unwrap().unwrap().count, 3);
        assert!(matches!(events.recv().await, Ok(Event::Forget { domain }) if domain == "a.example"));
    }

    #[tokio::test]
    async fn whoever_missed_pushes_is_told_to_ask_anew() {
        let (events, missing) = broadcast::channel(2);
        for domain in ["a", "b", "c"] {
            events.send(Event::Forget { domain: domain.to_owned() }).unwrap();
        }
        drop(events);
        let (out, mut lines) = mpsc::channel(8);
        push_events(out, missing, watch::channel(()).1).await;
        let mut said = Vec::new();
        while let Some(line) = lines.recv().await {
            said.push(serde_json::from_str::<Value>(&line).unwrap());
        }
        assert_eq!(said[0]["event"], "settings");
        assert_eq!((&said[1]["data"]["domain"], &said[2]["data"]["domain"]), (&json!("b"), &json!("c")));
    }

    #[tokio::test]
    async fn when_the_agent_ends_its_clients_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        let listener = bind(&path).unwrap();
        let client = Arc::new(Client::connect(&path).await.unwrap());
        let accepted = listener.accept().await.unwrap();
        let waiting = {
            let client = client.clone();
            tokio::spawn(async move { client.call(Request::Status).await })
        };
        let (reader, _writer) = tokio::io::split(accepted);
        let mut lines = FramedRead::new(reader, LinesCodec::new());
        lines.next().await.unwrap().unwrap();
        drop((lines, _writer));
        assert_eq!(waiting.await.unwrap().unwrap_err().code, FaultCode::AgentNotRunning);
        assert_eq!(client.call(Request::Status).await.unwrap_err().code, FaultCode::AgentNotRunning);
    }
}
