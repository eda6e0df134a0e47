//! The lines on the socket.

use super::{Fault, Request};
use heyho_records::alert::Alert;
use heyho_records::status::Status;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

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
    /// To whoever subscribed, after each change.
    Status(Box<Status>),
    /// To whoever is attached or subscribed: the user wants nothing kept of this site. Hosts pass it on, so that
    /// extensions clear their outboxes of it.
    Forget { domain: String },
    /// Something a person should be told once, wherever they are: a notification.
    Alert(Notice),
    /// A setting was changed: whoever shows settings, or goes by some, asks for them again (`config.get`).
    Settings,
}

/// A change of what somebody should be told. It is raised once, and stands until its cause is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    pub code: Alert,
    /// One plain sentence.
    pub text: String,
    /// The numbers of the sentence.
    #[cfg_attr(feature = "ts", ts(type = "Record<string, number>"))]
    pub args: BTreeMap<String, u64>,
    /// False: its cause is gone, and what was shown may be taken away.
    pub raised: bool,
}
