//! Records as lists show them, and which of them are meant.

use heyho_records::Kind;
use heyho_records::reason::Reason;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which records are meant: never "all" by accident.
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

/// One record that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct WaitingRecord {
    /// The local number that commands take.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub number: i64,
    pub kind: Kind,
    /// The record's own id.
    pub id: String,
    pub title: Option<String>,
    pub host: Option<String>,
    /// The whole address.
    pub url: Option<String>,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub bytes: u64,
    #[cfg_attr(feature = "ts", ts(type = "string"))]
    pub captured_at: Timestamp,
    /// Held back until then before it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional, type = "string"))]
    pub held_until: Option<Timestamp>,
    /// Whose it is; absent: nobody's yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub account: Option<String>,
    /// Of the account that is signed in: the same e-mail address may be known at two backends.
    #[serde(default)]
    pub own: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct WaitingPage {
    pub records: Vec<WaitingRecord>,
    /// After which number to go on; null: that was all. A search looks at so many records at a time: a page may be
    /// short, even empty, and still not be the last.
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub next: Option<i64>,
    /// Of everything that waits, whoever's it is.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub total: u64,
}

/// One of the last records the backend confirmed. Kept in the agent's memory only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct Delivered {
    pub title: Option<String>,
    pub host: Option<String>,
    pub kind: Kind,
    #[cfg_attr(feature = "ts", ts(type = "string"))]
    pub at: Timestamp,
}

/// What forgetting a site came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct Forgotten {
    /// Records deleted that waited.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub waiting: u64,
    /// Records deleted that had failed.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub failed: u64,
    /// Records that lost what they said of the site, and stay for other sites.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub changed: u64,
    /// Deleted at the backend; null: it was not asked, or did not do it.
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub backend: Option<u64>,
    /// Browsers that were not connected: what they hold of the site comes with them.
    #[serde(default)]
    pub closed: Vec<String>,
    /// Browsers that were connected and did not answer.
    #[serde(default)]
    pub silent: Vec<String>,
    /// All of it in a sentence or two.
    pub text: String,
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
    /// The whole address.
    #[serde(default)]
    pub url: Option<String>,
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
    /// Of the account that is signed in: the same e-mail address may be known at two backends.
    #[serde(default)]
    pub own: bool,
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
    /// What is counted had failed by then: for a question about all of them. Null from an earlier agent.
    #[serde(default)]
    #[cfg_attr(feature = "ts", ts(type = "string | null"))]
    pub as_of: Option<Timestamp>,
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
