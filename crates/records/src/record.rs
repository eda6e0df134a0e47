//! Reading one record: what is accepted, what is changed, what is known of it (contract, section 1).
//!
//! The text is carried verbatim but for two things: the extension's own bookkeeping keys are taken out, and
//! what no database stores as text (lone surrogates, U+0000) becomes U+FFFD. Only what the companion itself
//! needs is checked here; a wrong type in an optional field is the backend's to refuse.

use crate::complete::Completeness;
use crate::json::{Json, entries_of, repair};
use crate::{Kind, time};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// The extension's own notes about syncing; never carried.
pub const BOOKKEEPING: [&str; 3] = ["synced", "syncedAt", "syncStatus"];
/// What the companion adds on the wire; not part of a record's content.
pub const ADDED: [&str; 2] = ["companionSource", "companionRevision"];

pub const MAX_RECORD_BYTES: usize = 256 * 1024;
pub const MAX_METADATA_BYTES: usize = 50 * 1024;
/// In Unicode scalar values.
pub const MAX_URL: usize = 65_536;
pub const MAX_ID: usize = 128;

/// A record that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub kind: Kind,
    pub id: String,
    /// The id was made from the tab life, and is added on the wire.
    pub id_derived: bool,
    /// The JSON text as it is stored and sent.
    pub text: String,
    pub tree: Json,
    /// SHA-256 of the canonical form: equal for the same content.
    pub digest: [u8; 32],
    pub completeness: Completeness,
    pub facts: Facts,
}

/// What the companion reads out of a record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// When the visit began (visits), in ms.
    pub visited_at: Option<i64>,
    /// The tab, as its text.
    pub tab: Option<String>,
    /// A tab's life (aggregates), in ms.
    pub start_time: Option<i64>,
    pub last_active: Option<i64>,
    /// The visit an aggregate names itself.
    pub page_visit_id: Option<String>,
}

/// A record that was not accepted, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    pub code: Code,
    /// The record's own id, as far as it could be read.
    pub record_id: Option<String>,
    pub field: Option<&'static str>,
    pub message: String,
}

/// The codes of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "snake_case")]
pub enum Code {
    MissingId,
    MissingUrl,
    InvalidUrl,
    MissingTime,
    InvalidTime,
    MissingTab,
    InvalidDuration,
    MetadataTooLarge,
    RecordTooLarge,
    NotAnObject,
    InvalidJson,
}

impl Record {
    /// Reads one record from its JSON text.
    pub fn read(kind: Kind, raw: &str) -> Result<Record, Rejection> {
        let raw = raw.trim();
        if raw.len() > MAX_RECORD_BYTES {
            return Err(reject(
                Code::RecordTooLarge,
                None,
                format!("the record has {} bytes; at most {MAX_RECORD_BYTES} are accepted", raw.len()),
            ));
        }
        let repaired = repair(raw);
        let tree = Json::parse(&repaired).map_err(|e| reject(Code::InvalidJson, None, e.to_string()))?;
        let Json::Object(_) = tree else {
            return Err(reject(Code::NotAnObject, None, "a record is a JSON object".to_owned()));
        };
        let (text, tree) = without_bookkeeping(repaired, tree)?;
        let read = match kind {
            Kind::PageVisit => page_visit(&tree, text.len()),
            Kind::TabAggregate => tab_aggregate(&tree),
        };
        let (id, id_derived, facts) = read.map_err(|rejection| Rejection {
            record_id: id_of(kind, &tree).map(|id| id.chars().take(MAX_ID).collect()),
            ..rejection
        })?;
        Ok(Record {
            kind,
            id,
            id_derived,
            digest: digest(&tree),
            completeness: Completeness::of(kind, &tree),
            text,
            tree,
            facts,
        })
    }
}

/// SHA-256 of the canonical form, what the companion adds left aside: equal for the same content.
pub fn digest(tree: &Json) -> [u8; 32] {
    let canonical = tree.canonical_without(&ADDED);
    Sha256::digest(canonical.as_bytes()).into()
}

fn without_bookkeeping(text: Cow<'_, str>, tree: Json) -> Result<(String, Json), Rejection> {
    let Json::Object(entries) = tree else { return Ok((text.into_owned(), tree)) };
    let own = |key: &str| !BOOKKEEPING.contains(&key);
    if entries.iter().all(|(key, _)| own(key)) {
        return Ok((text.into_owned(), Json::Object(entries)));
    }
    let kept = entries_of(&text)
        .map_err(|e| reject(Code::InvalidJson, None, e.to_string()))?
        .into_iter()
        .filter(|(key, _)| own(key))
        .map(|(key, value)| format!("{}:{}", Quoted(&key), value.get()))
        .collect::<Vec<_>>()
        .join(",");
    let tree = entries.into_iter().filter(|(key, _)| own(key)).collect();
    Ok((format!("{{{kept}}}"), Json::Object(tree)))
}

/// A string as JSON.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| std::fmt::Error)?)
    }
}

type Read = (String, bool, Facts);

const VISITED_AT: [&str; 4] = ["visited_at", "visitedAt", "startedAt", "timestamp"];
const START_TIME: [&str; 2] = ["startTime", "start_time"];
const PAGE_VISIT_ID: [&str; 2] = ["page_visit_id", "pageVisitId"];

fn page_visit(record: &Json, length: usize) -> Result<Read, Rejection> {
    let id = own_id(record, &["id", "visitId"])?
        .ok_or_else(|| reject(Code::MissingId, Some("id"), "the visit has no id".to_owned()))?;
    url(record)?;
    let visited_at = record
        .first(&VISITED_AT)
        .ok_or_else(|| reject(Code::MissingTime, Some("visited_at"), "the visit has no time".to_owned()))?;
    let visited_at =
        time::millis(visited_at).map_err(|e| reject(Code::InvalidTime, Some("visited_at"), e))?;
    // The canonical form is at most three times as long: of most records it need not be made for this.
    if length > MAX_METADATA_BYTES / 3
        && let Some(metadata) = record.get("metadata")
    {
        let bytes = metadata.canonical().len();
        if bytes > MAX_METADATA_BYTES {
            let message = format!("metadata has {bytes} bytes; at most {MAX_METADATA_BYTES} are accepted");
            return Err(reject(Code::MetadataTooLarge, Some("metadata"), message));
        }
    }
    let facts = Facts { visited_at: Some(visited_at), tab: tab(record), ..Facts::default() };
    Ok((id, false, facts))
}

fn tab_aggregate(record: &Json) -> Result<Read, Rejection> {
    let own_id = own_id(record, &["id"])?;
    let page_visit_id =
        record.first(&PAGE_VISIT_ID).and_then(Json::as_str).filter(|id| !id.is_empty()).map(str::to_owned);
    let (tab, start) = (tab(record), record.first(&START_TIME));
    let stands_alone = own_id.is_some() && page_visit_id.is_some();
    if !stands_alone {
        if own_id.is_none() && tab.is_none() && start.is_none() {
            let message =
                "the aggregate has neither an id nor the tabId and startTime to make one".to_owned();
            return Err(reject(Code::MissingId, Some("id"), message));
        }
        if tab.is_none() {
            return Err(reject(Code::MissingTab, Some("tabId"), "the aggregate has no tabId".to_owned()));
        }
        if start.is_none() {
            let message = "the aggregate has no startTime".to_owned();
            return Err(reject(Code::MissingTime, Some("startTime"), message));
        }
    }
    let start_time = start
        .map(|value| time::millis(value).map_err(|e| reject(Code::InvalidTime, Some("startTime"), e)))
        .transpose()?;
    no_negative_duration(record)?;
    let (id, id_derived) = match own_id {
        Some(id) => (id, false),
        None => (derived_id(record, tab.as_deref())?, true),
    };
    let last_active = record.get("lastActiveTime").and_then(|value| time::millis(value).ok());
    Ok((id, id_derived, Facts { visited_at: None, tab, start_time, last_active, page_visit_id }))
}

/// The record's id, where it has a good one; `None` where there is none at all.
fn own_id(record: &Json, names: &[&str]) -> Result<Option<String>, Rejection> {
    let Some(value) = record.first(names) else { return Ok(None) };
    match value.as_str() {
        Some(id) if (1..=MAX_ID).contains(&id.chars().count()) => Ok(Some(id.to_owned())),
        _ => {
            let message = format!("an id is a string of 1 to {MAX_ID} characters");
            Err(reject(Code::MissingId, Some("id"), message))
        }
    }
}

/// For naming a rejected record: its id, however bad it is.
fn id_of(kind: Kind, record: &Json) -> Option<String> {
    let names: &[&str] = if kind == Kind::PageVisit { &["id", "visitId"] } else { &["id"] };
    record.first(names).and_then(Json::as_str).map(str::to_owned)
}

fn derived_id(record: &Json, tab: Option<&str>) -> Result<String, Rejection> {
    let start = record.first(&START_TIME).and_then(plain_text).unwrap_or_default();
    let id = format!("agg_{start}_{}", tab.unwrap_or_default());
    if id.chars().count() > MAX_ID {
        let message = format!("the id made of startTime and tabId has more than {MAX_ID} characters");
        return Err(reject(Code::MissingId, Some("id"), message));
    }
    Ok(id)
}

fn tab(record: &Json) -> Option<String> {
    record.get("tabId").and_then(plain_text)
}

fn plain_text(value: &Json) -> Option<String> {
    match value {
        Json::Number(text) | Json::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

fn url(record: &Json) -> Result<(), Rejection> {
    let invalid = |message: String| reject(Code::InvalidUrl, Some("url"), message);
    let value = record
        .get("url")
        .ok_or_else(|| reject(Code::MissingUrl, Some("url"), "the visit has no url".to_owned()))?;
    let text = value.as_str().ok_or_else(|| invalid("the url is not a string".to_owned()))?;
    if text.chars().count() > MAX_URL {
        return Err(invalid(format!("the url has more than {MAX_URL} characters")));
    }
    let parsed = url::Url::parse(text).map_err(|e| invalid(format!("the url cannot be read: {e}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(invalid(format!(
            "the url's scheme is {:?}; http and https are accepted",
            parsed.scheme()
        )));
    }
    Ok(())
}

fn no_negative_duration(record: &Json) -> Result<(), Rejection> {
    let negative = |value: &Json| value.as_f64().is_some_and(|n| n < 0.0);
    let refuse =
        |name, what: &str| Err(reject(Code::InvalidDuration, Some(name), format!("{what} is negative")));
    for name in ["totalActiveDuration", "total_time_seconds", "active_time_seconds"] {
        if record.get(name).is_some_and(negative) {
            return refuse(name, name);
        }
    }
    if let Some(Json::Object(entries)) = record.get("domainDurations")
        && let Some((domain, _)) = entries.iter().find(|(_, value)| negative(value))
    {
        return refuse("domainDurations", &format!("the duration of {domain:?}"));
    }
    Ok(())
}

fn reject(code: Code, field: Option<&'static str>, message: String) -> Rejection {
    Rejection { code, record_id: None, field, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VISIT: &str = r#"{"id":"v1","url":"https://example.com/a","startedAt":1705314600000}"#;

    fn code(kind: Kind, text: &str) -> Option<Code> {
        Record::read(kind, text).err().map(|r| r.code)
    }

    #[test]
    fn the_text_is_carried_to_the_letter() {
        let text =
            r#"{ "id":"v1", "url":"https://example.com/", "startedAt":1, "n": 1.50e+3, "x":{"synced":1}}"#;
        assert_eq!(Record::read(Kind::PageVisit, text).unwrap().text, text);
    }

    #[test]
    fn bookkeeping_goes_and_does_not_count_as_content() {
        let noted = r#"{"id":"v1","synced":false,"url":"https://example.com/a","startedAt":1705314600000,"syncedAt":null,"syncStatus":"x"}"#;
        let record = Record::read(Kind::PageVisit, noted).unwrap();
        assert_eq!(record.text, VISIT);
        assert_eq!(record.digest, Record::read(Kind::PageVisit, VISIT).unwrap().digest);
        let sent = VISIT.replace("}", r#","companionSource":"s","companionRevision":3}"#);
        assert_eq!(record.digest, Record::read(Kind::PageVisit, &sent).unwrap().digest);
    }

    #[test]
    fn each_rule_of_a_visit_has_its_code() {
        for (text, expected) in [
            (VISIT.to_owned(), None),
            (r#"{"visitId":"v","url":"http://a/","timestamp":"2024-01-15T10:30:00"}"#.into(), None),
            (r#"{"id":null,"visitId":"v","url":"http://a/","timestamp":1}"#.into(), None),
            (r#"{"url":"http://a/","startedAt":1}"#.into(), Some(Code::MissingId)),
            (r#"{"id":7,"url":"http://a/","startedAt":1}"#.into(), Some(Code::MissingId)),
            (r#"{"id":"","url":"http://a/","startedAt":1}"#.into(), Some(Code::MissingId)),
            (format!(r#"{{"id":"{}","url":"http://a/","startedAt":1}}"#, "é".repeat(128)), None),
            (
                format!(r#"{{"id":"{}","url":"http://a/","startedAt":1}}"#, "é".repeat(129)),
                Some(Code::MissingId),
            ),
            (r#"{"id":"v","startedAt":1}"#.into(), Some(Code::MissingUrl)),
            (r#"{"id":"v","url":"javascript:alert(1)","startedAt":1}"#.into(), Some(Code::InvalidUrl)),
            (r#"{"id":"v","url":"about:blank","startedAt":1}"#.into(), Some(Code::InvalidUrl)),
            (r#"{"id":"v","url":"not a url","startedAt":1}"#.into(), Some(Code::InvalidUrl)),
            (r#"{"id":"v","url":5,"startedAt":1}"#.into(), Some(Code::InvalidUrl)),
            (r#"{"id":"v","url":"http://a/x|y[z"  ,"startedAt":1}"#.into(), None),
            (r#"{"id":"v","url":"http://a/"}"#.into(), Some(Code::MissingTime)),
            (r#"{"id":"v","url":"http://a/","startedAt":"soon"}"#.into(), Some(Code::InvalidTime)),
            (
                format!(
                    r#"{{"id":"v","url":"http://a/","startedAt":1,"metadata":{{"x":"{}"}}}}"#,
                    "x".repeat(51_200)
                ),
                Some(Code::MetadataTooLarge),
            ),
            (
                format!(r#"{{"id":"v","url":"http://a/","startedAt":1,"title":"{}"}}"#, "x".repeat(262_144)),
                Some(Code::RecordTooLarge),
            ),
            ("[1]".into(), Some(Code::NotAnObject)),
            ("null".into(), Some(Code::NotAnObject)),
            (r#"{"id":"v","id":"w"}"#.into(), Some(Code::InvalidJson)),
            (format!(r#"{{"id":{}1{}}}"#, "[".repeat(64), "]".repeat(64)), Some(Code::InvalidJson)),
            (r#"{"id":"v","title":"cut \ud83d","url":"http://a/","startedAt":1}"#.into(), None),
            (
                r#"{"id":"v","tabId":"odd type","duration":"long","url":"http://a/","startedAt":1}"#.into(),
                None,
            ),
        ] {
            assert_eq!(code(Kind::PageVisit, &text), expected, "{}", &text[..text.len().min(120)]);
        }
    }

    #[test]
    fn each_rule_of_an_aggregate_has_its_code() {
        for (text, expected) in [
            (r#"{"startTime":1700000000000,"tabId":5}"#, None),
            (r#"{"id":"a","startTime":1,"tabId":5}"#, None),
            (r#"{"id":"a","page_visit_id":"v"}"#, None),
            (r#"{"id":"a","pageVisitId":"v"}"#, None),
            (r#"{"id":"a"}"#, Some(Code::MissingTab)),
            (r#"{"id":"a","tabId":5}"#, Some(Code::MissingTime)),
            (r#"{"tabId":5}"#, Some(Code::MissingTime)),
            (r#"{"startTime":1}"#, Some(Code::MissingTab)),
            (r#"{}"#, Some(Code::MissingId)),
            (r#"{"startTime":"x","tabId":5}"#, Some(Code::InvalidTime)),
            (r#"{"startTime":1,"tabId":5,"totalActiveDuration":-1}"#, Some(Code::InvalidDuration)),
            (r#"{"startTime":1,"tabId":5,"domainDurations":{"a.b":-3}}"#, Some(Code::InvalidDuration)),
            (r#"{"startTime":1,"tabId":5,"pageCount":2.4e21}"#, None),
        ] {
            assert_eq!(code(Kind::TabAggregate, text), expected, "{text}");
        }
        let derived = Record::read(Kind::TabAggregate, r#"{"start_time":1700,"tabId":"t"}"#).unwrap();
        assert_eq!((derived.id.as_str(), derived.id_derived), ("agg_1700_t", true));
    }

    #[test]
    fn of_several_names_the_first_that_is_there_and_not_null_counts() {
        let read = |kind, text: &str| Record::read(kind, text).unwrap();
        let names = r#""visited_at":1,"visitedAt":2,"startedAt":3,"timestamp":4"#;
        for (text, at) in [
            (names.to_owned(), 1),
            (names.replace("visited_at\":1", "visited_at\":null"), 2),
            (names.replace(r#""visited_at":1,"visitedAt":2,"#, ""), 3),
            (r#""timestamp":4"#.to_owned(), 4),
        ] {
            let record = read(Kind::PageVisit, &format!(r#"{{"id":"v","url":"http://a/",{text}}}"#));
            assert_eq!(record.facts.visited_at, Some(at), "{text}");
        }
        let both = r#"{"id":"first","visitId":"second","url":"http://a/","startedAt":1}"#;
        assert_eq!(read(Kind::PageVisit, both).id, "first");
        let aggregate = r#"{"tabId":1,"startTime":5,"start_time":6,"page_visit_id":"a","pageVisitId":"b"}"#;
        let record = read(Kind::TabAggregate, aggregate);
        assert_eq!((record.id.as_str(), record.facts.start_time), ("agg_5_1", Some(5)));
        assert_eq!(record.facts.page_visit_id.as_deref(), Some("a"));
    }

    #[test]
    fn lengths_count_characters_and_the_limits_themselves_are_accepted() {
        let url = |characters: usize| {
            let text = format!("http://a/{}", "é".repeat(characters - 9));
            code(Kind::PageVisit, &format!(r#"{{"id":"v","url":"{text}","startedAt":1}}"#))
        };
        assert_eq!((url(65_536), url(65_537)), (None, Some(Code::InvalidUrl)));
        let sized = |bytes: usize| {
            let empty = r#"{"id":"v","url":"http://a/","startedAt":1,"t":""}"#;
            code(
                Kind::PageVisit,
                &empty.replace("\"t\":\"", &format!("\"t\":\"{}", "x".repeat(bytes - empty.len()))),
            )
        };
        assert_eq!((sized(262_144), sized(262_145)), (None, Some(Code::RecordTooLarge)));
        let deep = |levels: usize| {
            let nested = format!("{}1{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
            code(Kind::PageVisit, &format!(r#"{{"id":"v","url":"http://a/","startedAt":1,"x":{nested}}}"#))
        };
        assert_eq!((deep(64), deep(65)), (None, Some(Code::InvalidJson)));
    }

    #[test]
    fn a_rejection_names_the_record() {
        let rejection = Record::read(Kind::PageVisit, r#"{"id":"bad","startedAt":1}"#).unwrap_err();
        assert_eq!(rejection.record_id.as_deref(), Some("bad"));
        assert_eq!(rejection.field, Some("url"));
    }
}
