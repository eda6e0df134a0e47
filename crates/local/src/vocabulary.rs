//! What can be asked of the agent, in-process or over the local socket, and how it answers.
//!
//! One line of JSON a message. A request is `{"id":n,"cmd":"…", …}`; the answer `{"id":n,"ok":…}` or
//! `{"id":n,"error":{"code","text"}}`; a push `{"event":"status","data":…}`. A client says `hello` first;
//! an agent of another version answers what it understands and refuses the rest as `unknown_command`.
//! Requests are only ever added, and their fields are optional when added later.

use heyho_records::Kind;
use heyho_records::reason::Reason;
use heyho_records::status::Status;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;

/// Raised when the meaning of a message changes; additions do not raise it.
pub const VERSION: u32 = 1;

/// One request to the agent.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all_fields = "camelCase")]
pub enum Request {
    #[serde(rename = "hello")]
    Hello { version: u32, program: String },
    /// Answer: [`Status`].
    #[serde(rename = "status")]
    Status,
    /// Answer: [`Status`]; then a `status` event after each change.
    #[serde(rename = "subscribe")]
    Subscribe,
    /// "A browser is connected through me": holds until this connection ends. Answer: null.
    #[serde(rename = "attach")]
    Attach { source: String },
    /// "I have committed records": the agent looks at the buffer. Answer: null.
    #[serde(rename = "nudge")]
    Nudge,
    /// Start a run now, or join the one that is running. With `wait`, answers when it has ended with
    /// [`RunSummary`]; else at once with null.
    #[serde(rename = "sync")]
    Sync {
        #[serde(default)]
        wait: bool,
    },
    /// End the run after the batch in flight. Answer: null.
    #[serde(rename = "stop")]
    Stop,
    /// Answer: null.
    #[serde(rename = "pause")]
    Pause { seconds: Option<u64> },
    #[serde(rename = "resume")]
    Resume,
    /// Answer: [`heyho_records::status::Account`].
    #[serde(rename = "login")]
    Login(Login),
    /// Answer: null.
    #[serde(rename = "logout")]
    Logout,
    /// Answer: [`FailedPage`].
    #[serde(rename = "failed.list")]
    FailedList {
        /// Only ids greater than this one.
        #[serde(default)]
        after: i64,
        #[serde(default = "page")]
        limit: u32,
        /// Only this reason code.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Answer: [`FailedRecord`], with `record`.
    #[serde(rename = "failed.show")]
    FailedShow { number: i64 },
    /// Answer: [`Count`].
    #[serde(rename = "failed.retry")]
    FailedRetry { which: Selection },
    #[serde(rename = "failed.discard")]
    FailedDiscard { which: Selection },
    #[serde(rename = "failed.keep")]
    FailedKeep { which: Selection },
    /// Answer: array of [`Run`], newest first.
    #[serde(rename = "history")]
    History {
        #[serde(default = "page")]
        limit: u32,
    },
    /// Brings the app's window up. Answer: null, or the fault `no_window` from a headless agent.
    #[serde(rename = "open")]
    Open,
}

fn page() -> u32 {
    100
}

impl Request {
    /// The command word, for logs: a request itself may hold a password and is never logged.
    pub fn word(&self) -> &'static str {
        match self {
            Request::Hello { .. } => "hello",
            Request::Status => "status",
            Request::Subscribe => "subscribe",
            Request::Attach { .. } => "attach",
            Request::Nudge => "nudge",
            Request::Sync { .. } => "sync",
            Request::Stop => "stop",
            Request::Pause { .. } => "pause",
            Request::Resume => "resume",
            Request::Login(_) => "login",
            Request::Logout => "logout",
            Request::FailedList { .. } => "failed.list",
            Request::FailedShow { .. } => "failed.show",
            Request::FailedRetry { .. } => "failed.retry",
            Request::FailedDiscard { .. } => "failed.discard",
            Request::FailedKeep { .. } => "failed.keep",
            Request::History { .. } => "history",
            Request::Open => "open",
        }
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// Sign in, or register and sign in.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export, optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct Login {
    pub email: String,
    pub password: String,
    /// Another backend than the configured one; it is written into `config.toml` once the sign-in worked.
    #[serde(default)]
    pub backend: Option<String>,
    #[serde(default)]
    pub register: bool,
    #[serde(default)]
    pub first_name: Option<String>,
    #[serde(default)]
    pub last_name: Option<String>,
    /// What becomes of records captured after a sign-out of another account: claimed by this one or not.
    #[serde(default)]
    pub claim: Option<bool>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("backend", &self.backend)
            .field("register", &self.register)
            .finish_non_exhaustive()
    }
}

/// Which failed records are meant: never "all" by accident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub enum Selection {
    Ids(#[cfg_attr(feature = "ts", ts(type = "number[]"))] Vec<i64>),
    Reason(String),
    All,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct Count {
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub count: u64,
}

/// One failed record, as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct FailedRecord {
    /// The local number that commands take.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub number: i64,
    pub kind: Kind,
    /// The record's own id.
    pub id: String,
    pub title: Option<String>,
    pub host: Option<String>,
    pub reason: Reason,
    /// The reason as a sentence.
    pub text: String,
    #[cfg_attr(feature = "ts", ts(type = "string"))]
    pub first_at: Timestamp,
    #[cfg_attr(feature = "ts", ts(type = "string"))]
    pub last_at: Timestamp,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub attempts: u32,
    pub kept: bool,
    pub account: Option<String>,
    /// The record's JSON text; only from `failed.show`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub record: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct FailedPage {
    pub records: Vec<FailedRecord>,
    /// Of the whole selection, not of this page.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub total: u64,
    /// How many there are for each reason code.
    pub reasons: Vec<ReasonCount>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct ReasonCount {
    pub code: String,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub count: u64,
}

/// One run of the sync loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct Run {
    #[cfg_attr(feature = "ts", ts(type = "string"))]
    pub started_at: Timestamp,
    #[cfg_attr(feature = "ts", ts(type = "string | null"))]
    pub ended_at: Option<Timestamp>,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub batches: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub sent: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub failed: u64,
    /// One word; see docs/sync.md.
    pub outcome: String,
    /// Why it stopped, as a sentence.
    pub why: Option<String>,
}

/// What one run came to: the answer to `sync` with `wait`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    pub sent: u64,
    /// Newly failed in this run.
    pub failed: u64,
    pub waiting: u64,
    pub outcome: String,
    pub why: Option<String>,
    /// How a command line ends that waited for it; null when all went well.
    pub fault: Option<FaultCode>,
}

/// Why a request was not carried out. Each maps to one exit status of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    Failed,
    UnknownCommand,
    Usage,
    BadData,
    NotFound,
    BackendUnreachable,
    TryLater,
    SignInNeeded,
    WrongCredentials,
    EmailTaken,
    Configuration,
    NoWindow,
    AgentNotRunning,
}

impl FaultCode {
    /// The exit status of the contract, section 4.
    pub fn exit_status(self) -> u8 {
        match self {
            FaultCode::Failed | FaultCode::NotFound | FaultCode::NoWindow => 1,
            FaultCode::UnknownCommand | FaultCode::Usage => 64,
            FaultCode::BadData => 65,
            FaultCode::BackendUnreachable | FaultCode::AgentNotRunning => 69,
            FaultCode::TryLater => 75,
            FaultCode::SignInNeeded | FaultCode::WrongCredentials | FaultCode::EmailTaken => 77,
            FaultCode::Configuration => 78,
        }
    }
}

/// A fault with one plain sentence: what happened, what is safe, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[error("{text}")]
pub struct Fault {
    pub code: FaultCode,
    pub text: String,
}

impl Fault {
    pub fn new(code: FaultCode, text: impl Into<String>) -> Fault {
        Fault { code, text: text.into() }
    }
}

/// A request on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub struct Numbered {
    pub id: u64,
    #[serde(flatten)]
    pub request: Request,
}

/// What comes back over the wire.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    Answer { id: u64, ok: Value },
    Refusal { id: u64, error: Fault },
    Event(Event),
}

/// A push.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum Event {
    Status(Box<Status>),
}

pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Value, Fault>> + Send + 'a>>;

/// Whoever answers for the agent: the agent itself in this process, or its socket.
pub trait Companion: Send + Sync {
    fn call(&self, request: Request) -> Answering<'_>;
    /// The latest status, and a wake-up after each change. `None`: the connection to the agent has ended.
    fn watch(&self) -> tokio::sync::watch::Receiver<Option<Status>>;
    /// A browser is connected for as long as what is returned is kept. Only the agent itself counts them.
    fn attach(&self, _source: &str) -> Option<Attached> {
        None
    }
}

/// Dropped when the connection ends.
pub type Attached = Box<dyn std::any::Any + Send + Sync>;

/// Asks, and reads the answer as `T`.
pub async fn ask<T: DeserializeOwned>(companion: &dyn Companion, request: Request) -> Result<T, Fault> {
    let word = request.word();
    let value = companion.call(request).await?;
    serde_json::from_value(value).map_err(|e| {
        Fault::new(FaultCode::UnknownCommand, format!("the agent's answer to {word} was not understood: {e}"))
    })
}
