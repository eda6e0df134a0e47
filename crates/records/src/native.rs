//! The frames between extension and host, protocol 1 (contract, section 2; docs/native-messaging.md).
//!
//! A frame is a 32-bit length in native byte order and that many bytes of UTF-8 JSON. Records inside are
//! split raw: one bad record never refuses its neighbours. Frames from the host stay under
//! [`MAX_TO_BROWSER`]; a browser closes the port for one of over 1 MiB.

use crate::Kind;
use crate::record::Code;
use crate::rules::Rule;
use crate::status::{Account, Status};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub const PROTOCOL: u64 = 1;
pub const HOST_NAME: &str = "com.heyho.companion";
pub const MAX_FROM_BROWSER: usize = 32 * 1024 * 1024;
pub const MAX_TO_BROWSER: usize = 1_000_000;
/// Of each kind, in one frame.
pub const MAX_RECORDS: usize = 1_000;
const MAX_REQUEST_ID: usize = 128;

/// The `id` of a request, echoed as it came: a string (cut to 128 characters) or a number (as its text).
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum RequestId {
    Text(String),
    Number(Box<RawValue>),
}

/// A request, its records still raw.
#[derive(Debug)]
pub struct Request<'a> {
    pub id: Option<RequestId>,
    pub ask: Ask<'a>,
}

#[derive(Debug)]
pub enum Ask<'a> {
    Hello {
        protocol: Option<u64>,
        client: Client,
    },
    Records {
        account_ref: Option<String>,
        page_visits: Vec<&'a str>,
        tab_aggregates: Vec<&'a str>,
    },
    Status,
    Subscribe,
    Sync,
    Open,
    /// Understood as a frame, not as a request: what to answer.
    Refused {
        code: ErrorCode,
        error: String,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Client {
    pub name: Option<String>,
    pub version: Option<String>,
    pub browser: Option<String>,
    pub browser_version: Option<String>,
    pub profile_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    r#type: Option<String>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    protocol: Option<&'a RawValue>,
    #[serde(borrow)]
    client: Option<&'a RawValue>,
    #[serde(borrow)]
    account_ref: Option<&'a RawValue>,
    #[serde(borrow)]
    page_visits: Option<&'a RawValue>,
    #[serde(borrow)]
    tab_aggregates: Option<&'a RawValue>,
}

impl<'a> Request<'a> {
    /// Never fails: what cannot be understood becomes [`Ask::Refused`].
    pub fn read(frame: &'a [u8]) -> Request<'a> {
        let envelope: Envelope<'a> = match serde_json::from_slice(frame) {
            Ok(envelope) => envelope,
            Err(e) => return refused(None, format!("the message is not a JSON object of the protocol: {e}")),
        };
        let id = envelope.id.and_then(request_id);
        let ask = match envelope.r#type.as_deref() {
            Some("hello") => hello(&envelope),
            Some("records") => records(&envelope),
            Some("status") => Ask::Status,
            Some("subscribe") => Ask::Subscribe,
            Some("sync") => Ask::Sync,
            Some("open") => Ask::Open,
            Some(other) => {
                let shown: String = other.chars().take(64).collect();
                return refused(
                    id,
                    format!(
                        "unknown type {shown:?}; this host knows hello, records, status, subscribe, sync, open"
                    ),
                );
            }
            None => return refused(id, "the message has no type".to_owned()),
        };
        Request { id, ask }
    }
}

fn refused(id: Option<RequestId>, error: String) -> Request<'static> {
    Request { id, ask: Ask::Refused { code: ErrorCode::BadMessage, error } }
}

fn request_id(raw: &RawValue) -> Option<RequestId> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(&crate::json::repair(text))
            .ok()
            .map(|s| RequestId::Text(s.chars().take(MAX_REQUEST_ID).collect())),
        Some(b'-' | b'0'..=b'9') if text.len() <= MAX_REQUEST_ID => Some(RequestId::Number(raw.to_owned())),
        _ => None,
    }
}

fn hello<'a>(envelope: &Envelope<'a>) -> Ask<'a> {
    let protocol = envelope.protocol.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let client = match envelope.client.map(|raw| serde_json::from_str(&crate::json::repair(raw.get()))) {
        None => Client::default(),
        Some(Ok(client)) => client,
        Some(Err(e)) => {
            return Ask::Refused {
                code: ErrorCode::BadMessage,
                error: format!("hello.client is not understood: {e}"),
            };
        }
    };
    Ask::Hello { protocol, client }
}

fn records<'a>(envelope: &Envelope<'a>) -> Ask<'a> {
    let split = |raw: Option<&'a RawValue>, name: &str| -> Result<Vec<&'a str>, (ErrorCode, String)> {
        let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return Ok(Vec::new()) };
        let items: Vec<&'a RawValue> = serde_json::from_str(raw.get())
            .map_err(|_| (ErrorCode::BadMessage, format!("{name} is not an array")))?;
        if items.len() > MAX_RECORDS {
            return Err((
                ErrorCode::TooManyRecords,
                format!(
                    "{name} has {} records; at most {MAX_RECORDS} are accepted in one message",
                    items.len()
                ),
            ));
        }
        Ok(items.into_iter().map(RawValue::get).collect())
    };
    let both = split(envelope.page_visits, "pageVisits")
        .and_then(|visits| Ok((visits, split(envelope.tab_aggregates, "tabAggregates")?)));
    match both {
        Ok((page_visits, tab_aggregates)) => Ask::Records {
            account_ref: envelope.account_ref.filter(|raw| raw.get() != "null").map(account_ref),
            page_visits,
            tab_aggregates,
        },
        Err((code, error)) => Ask::Refused { code, error },
    }
}

/// A ref of a wrong type is nobody's: kept unclaimed, like any ref that is not known.
fn account_ref(raw: &RawValue) -> String {
    serde_json::from_str(&crate::json::repair(raw.get())).unwrap_or_else(|_| raw.get().to_owned())
}

/// What the host says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    Welcome {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        protocol: u64,
        host: HostInfo,
        features: Vec<&'static str>,
        limits: Limits,
        /// Not said while it cannot be read: the client goes by whom it knows.
        #[serde(skip_serializing_if = "Option::is_none")]
        account: Option<Option<AccountRef>>,
        /// Not said while they cannot be read: the client keeps those it knows.
        #[serde(skip_serializing_if = "Option::is_none")]
        rules: Option<Vec<Rule>>,
    },
    Ack {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        #[serde(flatten)]
        counts: Counts,
        rejected: Vec<Rejected>,
        rejected_more: u64,
    },
    Nack {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        code: NackCode,
        error: String,
        retry_after_ms: u64,
    },
    Status {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        #[serde(flatten)]
        status: Box<Status>,
    },
    Rules {
        rules: Vec<Rule>,
    },
    /// The user wants nothing kept of this site and its subdomains.
    Forget {
        domain: String,
    },
    SyncRequested {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        accepted: bool,
        reason: Option<&'static str>,
    },
    Opened {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        accepted: bool,
        reason: Option<String>,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        code: ErrorCode,
        error: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        supported: Option<Vec<u64>>,
    },
}

#[derive(Debug, Serialize)]
pub struct HostInfo {
    pub version: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    pub max_records: usize,
    pub max_message_bytes: usize,
}

#[derive(Debug, Serialize)]
pub struct AccountRef {
    pub r#ref: String,
    pub email: String,
}

impl From<Account> for AccountRef {
    fn from(account: Account) -> Self {
        AccountRef { r#ref: account.r#ref, email: account.email }
    }
}

/// With the rejected, these add up to the records of the frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub stored: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub filtered: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    pub kind: Kind,
    pub index: usize,
    pub record_id: Option<String>,
    pub code: Code,
    pub error: String,
}

/// Nothing of the frame was stored; send it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NackCode {
    BufferFull,
    BufferBusy,
    BufferUnavailable,
    SchemaNewer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    BadMessage,
    TooManyRecords,
    MessageTooLarge,
    UnsupportedProtocol,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_emoji_in_one_record_leaves_the_frame_readable() {
        let frame =
            br#"{"type":"records","id":7,"pageVisits":[{"id":"a","title":"\ud83d"},5],"tabAggregates":null}"#;
        let request = Request::read(frame);
        let Ask::Records { page_visits, tab_aggregates, account_ref } = request.ask else { panic!() };
        assert_eq!(page_visits, [r#"{"id":"a","title":"\ud83d"}"#, "5"]);
        assert!(tab_aggregates.is_empty() && account_ref.is_none());
        assert_eq!(serde_json::to_string(&request.id).unwrap(), "7");
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_id() {
        for (frame, id, words) in [
            (&br#"{"type":"launch","id":"x"}"#[..], r#""x""#, "launch"),
            (br#"{"id":12345678901234567890123}"#, "12345678901234567890123", "no type"),
            (b"{\"type\":", "null", "not a JSON object"),
            (b"[]", "null", "not a JSON object"),
            (b"\xff\xfe", "null", "not a JSON object"),
            (br#"{"type":"records","id":1,"pageVisits":{}}"#, "1", "pageVisits is not an array"),
            (br#"{"type":"status","type":"sync"}"#, "null", "not a JSON object"),
        ] {
            let request = Request::read(frame);
            let Ask::Refused { code, error } = request.ask else { panic!("{frame:?}") };
            assert_eq!(code, ErrorCode::BadMessage);
            assert!(error.contains(words), "{error}");
            assert_eq!(serde_json::to_string(&request.id).unwrap(), id);
        }
    }

    #[test]
    fn long_ids_are_cut_and_too_many_records_are_refused() {
        let frame = format!(r#"{{"type":"status","id":"{}"}}"#, "é".repeat(500));
        let Some(RequestId::Text(id)) = Request::read(frame.as_bytes()).id else { panic!() };
        assert_eq!(id.chars().count(), 128);
        let frame = format!(r#"{{"type":"records","tabAggregates":[{}]}}"#, vec!["{}"; 1001].join(","));
        let Ask::Refused { code, .. } = Request::read(frame.as_bytes()).ask else { panic!() };
        assert_eq!(code, ErrorCode::TooManyRecords);
    }
}
