//! What the backend refuses beyond the companion's own rules: optional fields of a wrong type or range (contract,
//! section 1). Null and absent are always fine; an unknown field is never looked at.

use crate::error::FailedRecord;
use crate::limits::MAX_SOURCE_CHARS;
use heyho_records::json::Json;
use heyho_records::{Kind, Record, time};

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Text,
    /// A text that is part of an index key.
    Source,
    Bool,
    /// Any number: what does not fit a column is stored as text only.
    Number,
    /// A number that is not negative.
    Amount,
    /// 0 to 1.
    Share,
    Time,
    Object,
    /// An object whose values are amounts.
    Amounts,
    Array,
    /// A tab is a number in browsers; a string is taken too, as it is for the derived id.
    Tab,
}

use Shape::{Amount, Amounts, Array, Bool, Number, Object, Share, Source, Tab, Text, Time};

const VISIT: &[(&str, Shape)] = &[
    ("tabId", Tab),
    ("title", Text),
    ("domain", Text),
    ("endedAt", Time),
    ("durationSeconds", Amount),
    ("duration", Amount),
    ("isActive", Bool),
    ("activeDuration", Amount),
    ("idlePeriods", Array),
    ("engagementRate", Share),
    ("lastHeartbeat", Time),
    ("closedAt", Time),
    ("openedAt", Time),
    ("source_page_visit_id", Text),
    ("category", Text),
    ("categoryConfidence", Number),
    ("categoryMethod", Text),
    ("metadata", Object),
    ("anonymousClientId", Text),
];

const AGGREGATE: &[(&str, Shape)] = &[
    ("tabId", Tab),
    ("page_visit_id", Text),
    ("pageVisitId", Text),
    ("lastActiveTime", Time),
    ("totalActiveDuration", Amount),
    ("domainDurations", Amounts),
    ("pageCount", Amount),
    ("currentUrl", Text),
    ("currentDomain", Text),
    ("statistics", Object),
    ("total_time_seconds", Amount),
    ("active_time_seconds", Amount),
    ("scroll_depth_percent", Number),
    ("closed_at", Time),
    ("isOpen", Bool),
    ("anonymousClientId", Text),
];

const ADDED: &[(&str, Shape)] = &[("companionSource", Source), ("companionRevision", Amount)];

/// The optional fields that are looked at. The OpenAPI document describes the same.
pub fn fields(kind: Kind) -> impl Iterator<Item = (&'static str, Shape)> {
    let own = match kind {
        Kind::PageVisit => VISIT,
        Kind::TabAggregate => AGGREGATE,
    };
    own.iter().chain(ADDED).copied()
}

/// The first field that is not as it should be: its name and what is wrong.
pub fn fault(record: &Record) -> Option<(&'static str, String)> {
    fields(record.kind).find_map(|(name, shape)| {
        let what = check(shape, record.tree.get(name)?).err()?;
        Some((name, format!("{name} {what}")))
    })
}

pub fn refusal(record: &Record, index: usize) -> Option<FailedRecord> {
    fault(record).map(|(field, error)| FailedRecord {
        kind: record.kind.name(),
        index,
        id: Some(record.id.clone()),
        field: Some(field.to_owned()),
        code: "invalid_field".to_owned(),
        error: shown(error),
    })
}

/// An error may quote what was sent, which may be long: it keeps its beginning and its end, which says what is accepted.
pub fn shown(error: String) -> String {
    const PART: usize = 100;
    let length = error.chars().count();
    if length <= 3 * PART {
        return error;
    }
    let first: String = error.chars().take(PART).collect();
    let last: String = error.chars().skip(length - PART).collect();
    format!("{first} … {last}")
}

fn check(shape: Shape, value: &Json) -> Result<(), String> {
    let number = value.as_f64();
    let ok = match shape {
        Text => matches!(value, Json::String(_)),
        Source => match value {
            Json::String(text) if text.chars().count() > MAX_SOURCE_CHARS => {
                return Err(format!("has more than {MAX_SOURCE_CHARS} characters"));
            }
            other => matches!(other, Json::String(_)),
        },
        Bool => matches!(value, Json::Bool(_)),
        Number => number.is_some(),
        Amount => number.is_some_and(|n| n >= 0.0),
        Share => number.is_some_and(|n| (0.0..=1.0).contains(&n)),
        Time => return time::millis(value).map(drop).map_err(|e| format!("is no time: {e}")),
        Object => matches!(value, Json::Object(_)),
        Amounts => match value {
            Json::Object(entries) => {
                entries.iter().all(|(_, v)| matches!(v, Json::Null) || v.as_f64().is_some_and(|n| n >= 0.0))
            }
            _ => false,
        },
        Array => matches!(value, Json::Array(_)),
        Tab => matches!(value, Json::String(_)) || number.is_some(),
    };
    if ok { Ok(()) } else { Err(format!("is {}; {} is accepted", what(value), accepted(shape))) }
}

fn accepted(shape: Shape) -> &'static str {
    match shape {
        Text | Source => "a string",
        Bool => "true or false",
        Number => "a number",
        Amount => "a number of 0 or more",
        Share => "a number from 0 to 1",
        Time => "an ISO 8601 string or milliseconds since the epoch",
        Object => "an object",
        Amounts => "an object of numbers of 0 or more",
        Array => "an array",
        Tab => "a number or a string",
    }
}

fn what(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(b) => b.to_string(),
        Json::Number(text) => text.chars().take(40).collect(),
        Json::String(_) => "a string".to_owned(),
        Json::Array(_) => "an array".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: Kind, field: &str) -> Option<&'static str> {
        let needed = match kind {
            Kind::PageVisit => r#""id":"v","url":"http://a.example/","visited_at":1"#,
            Kind::TabAggregate => r#""id":"a","startTime":1,"tabId":1"#,
        };
        let record = Record::read(kind, &format!("{{{needed},{field}}}")).unwrap();
        fault(&record).map(|(name, _)| name)
    }

    #[test]
    fn a_refusal_quotes_no_more_than_a_line() {
        let text = format!(
            r#"{{"id":"v","url":"http://a.example/","visited_at":1,"endedAt":"{}"}}"#,
            "é".repeat(100_000)
        );
        let error = refusal(&Record::read(Kind::PageVisit, &text).unwrap(), 0).unwrap().error;
        assert!(error.chars().count() <= 203, "{error}");
        assert!(
            error.starts_with("endedAt is no time") && error.ends_with("milliseconds since the epoch"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_type_or_range_is_named() {
        for (text, expected) in [
            (r#""title":5"#, Some("title")),
            (r#""title":null"#, None),
            (r#""isActive":"yes""#, Some("isActive")),
            (r#""engagementRate":1.01"#, Some("engagementRate")),
            (r#""engagementRate":1"#, None),
            (r#""duration":-1"#, Some("duration")),
            (r#""duration":2.4e21"#, None),
            (r#""endedAt":"soon""#, Some("endedAt")),
            (r#""endedAt":"2024-01-15T10:30:00""#, None),
            (r#""idlePeriods":{}"#, Some("idlePeriods")),
            (r#""metadata":[1]"#, Some("metadata")),
            (r#""companionRevision":"1""#, Some("companionRevision")),
            (r#""companionSource":1"#, Some("companionSource")),
            (r#""whatever":{"x":[true]}"#, None),
        ] {
            assert_eq!(field(Kind::PageVisit, text), expected, "{text}");
        }
        for (text, expected) in [
            (r#""pageCount":2.4e21"#, None),
            (r#""domainDurations":{"a.example":"long"}"#, Some("domainDurations")),
            (r#""domainDurations":{"a.example":5}"#, None),
            (r#""page_visit_id":7"#, Some("page_visit_id")),
            (r#""closed_at":true"#, Some("closed_at")),
        ] {
            assert_eq!(field(Kind::TabAggregate, text), expected, "{text}");
        }
    }
}
