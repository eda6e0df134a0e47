//! What can be asked of the agent, in-process or over the local socket, and how it answers.
//!
//! One line of JSON a message. A request is `{"id":n,"cmd":"…", …}`; the answer `{"id":n,"ok":…}` or
//! `{"id":n,"error":{"code","text"}}`; a push `{"event":"status","data":…}`. A client says `hello` first;
//! an agent of another version answers what it understands and refuses the rest as `unknown_command`.
//! Requests are only ever added, and their fields are optional when added later.
//!
//! - [`request`]: what is asked; each variant names the type of its answer;
//! - [`records`]: what waits, what failed, what was delivered, and what erasing came to;
//! - [`runs`]: the runs of the sync loop and the day's timeline;
//! - [`session`]: signing in;
//! - [`settings`]: the settings as they are shown and changed;
//! - [`checkup`]: how each part stands;
//! - [`fault`]: why something was not done;
//! - [`wire`]: the lines, and what is pushed without being asked.

pub mod checkup;
pub mod fault;
pub mod records;
pub mod request;
pub mod runs;
pub mod session;
pub mod settings;
pub mod wire;

pub use checkup::Finding;
pub use fault::{Fault, FaultCode};
pub use records::{
    Count, Delivered, FailedPage, FailedRecord, Forgotten, ReasonCount, Selection, WaitingPage, WaitingRecord,
};
pub use request::Request;
pub use runs::{Run, RunSummary, Timeline, TimelinePoint};
pub use session::{Login, SignedIn};
pub use settings::{BackendTest, Setting, SettingProblem, Settings};
pub use wire::{Event, Message, Notice, Numbered};

use heyho_records::status::Status;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use tokio::sync::{broadcast, watch};

/// Raised when the meaning of a message changes; additions do not raise it.
pub const VERSION: u32 = 1;

pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Value, Fault>> + Send + 'a>>;

/// Whoever answers for the agent: the agent itself in this process, or its socket.
pub trait Companion: Send + Sync {
    fn call(&self, request: Request) -> Answering<'_>;
    /// The latest status, and a wake-up after each change. `None`: the connection to the agent has ended.
    fn watch(&self) -> watch::Receiver<Option<Status>>;
    /// What is pushed besides the status. `None`: this end pushes nothing.
    fn events(&self) -> Option<broadcast::Receiver<Event>> {
        None
    }
    /// A browser is connected for as long as what is answered is kept. Only the agent itself counts them.
    fn attach(&self, _source: &str) -> Option<Attached> {
        None
    }
}

/// A browser that is connected: kept with its host's connection, and dropped with it.
pub trait Attachment: Send + Sync {
    /// Sites that are being forgotten at this moment: who has come meanwhile is told as those that were there.
    fn forgetting(&self) -> Vec<String>;
    /// Its host has heard that the site is to be forgotten ([`Request::Told`]).
    fn told(&self, site: &str);
}

pub type Attached = Box<dyn Attachment>;

/// Asks, and reads the answer as `T`.
pub async fn ask<T: DeserializeOwned>(companion: &dyn Companion, request: Request) -> Result<T, Fault> {
    let word = request.word();
    let value = companion.call(request).await?;
    serde_json::from_value(value).map_err(|e| {
        Fault::new(FaultCode::UnknownCommand, format!("the agent's answer to {word} was not understood: {e}"))
    })
}
