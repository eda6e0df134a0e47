//! From the bytes of a request to validated rows, or to the list of everything that is wrong with them.
//!
//! The body is split into records without interpreting them, so that one bad record never hides its neighbours;
//! then every record is read by the companion's rules (`heyho_records`) and the backend's stricter ones.

use crate::error::{ApiError, FailedRecord};
use crate::limits::{MAX_DEVICE_CHARS, MAX_RECORDS};
use crate::store::Counts;
use crate::store::decide::once_each;
use crate::store::rows::{AggregateColumns, Row, VisitColumns};
use crate::sync::{columns, strict};
use heyho_records::{Kind, Record};
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::panic::resume_unwind;
use std::thread;

/// A request in which nothing is wrong.
#[derive(Debug)]
pub struct Accepted {
    pub batch_id: Option<String>,
    pub device: Option<String>,
    pub visits: Vec<Row<VisitColumns>>,
    pub aggregates: Vec<Row<AggregateColumns>>,
    pub counts: Counts,
}

/// Which of the three bodies is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `{"batchId","deviceId","pageVisits":[…],"tabAggregates":[…]}`, either list may be missing.
    Batch,
    /// `{"visits":[…]}`
    Visits,
    /// `{"aggregates":[…]}`
    Aggregates,
}

/// Every field stays raw: one of a wrong type is named, not a reason to refuse to read.
#[derive(serde::Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "batchId")]
    batch_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "deviceId")]
    device_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "pageVisits")]
    page_visits: Option<&'a RawValue>,
    #[serde(borrow, rename = "tabAggregates")]
    tab_aggregates: Option<&'a RawValue>,
    #[serde(borrow)]
    visits: Option<&'a RawValue>,
    #[serde(borrow)]
    aggregates: Option<&'a RawValue>,
}

pub fn read(form: Form, body: &[u8]) -> Result<Accepted, ApiError> {
    let body =
        std::str::from_utf8(body).map_err(|e| ApiError::InvalidJson(format!("it is not UTF-8: {e}")))?;
    if !body.trim_start().starts_with('{') {
        return Err(ApiError::InvalidJson("it is not a JSON object".into()));
    }
    let fields: Fields = serde_json::from_str(body).map_err(|e| ApiError::InvalidJson(e.to_string()))?;
    let (visits, aggregates) = match form {
        Form::Batch => (
            list("pageVisits", fields.page_visits)?.unwrap_or_default(),
            list("tabAggregates", fields.tab_aggregates)?.unwrap_or_default(),
        ),
        Form::Visits => (needed("visits", list("visits", fields.visits)?)?, Vec::new()),
        Form::Aggregates => (Vec::new(), needed("aggregates", list("aggregates", fields.aggregates)?)?),
    };
    let counts = Counts { page_visits: visits.len(), tab_aggregates: aggregates.len() };
    let ((visits, mut failed), (aggregates, failed_too)) = at_once(
        visits.len().min(aggregates.len()) >= WORTH_A_THREAD,
        || each(Kind::PageVisit, &visits, columns::visit),
        || each(Kind::TabAggregate, &aggregates, columns::aggregate),
    );
    failed.extend(failed_too);
    if !failed.is_empty() {
        return Err(ApiError::Records(failed));
    }
    Ok(Accepted {
        batch_id: short_text("batchId", fields.batch_id)?,
        device: short_text("deviceId", fields.device_id)?,
        visits: once_each(visits),
        aggregates: once_each(aggregates),
        counts,
    })
}

fn list<'a>(field: &'static str, raw: Option<&'a RawValue>) -> Result<Option<Vec<&'a RawValue>>, ApiError> {
    let Some(raw) = raw else { return Ok(None) };
    if !raw.get().starts_with('[') {
        return Err(ApiError::invalid(field, format!("{field} is not an array of records")));
    }
    let List { records, count } =
        serde_json::from_str(raw.get()).map_err(|e| ApiError::InvalidJson(e.to_string()))?;
    if count > MAX_RECORDS {
        return Err(ApiError::BatchTooLarge { field, count, max: MAX_RECORDS });
    }
    Ok(Some(records))
}

/// As many records as are ever taken; what comes after them is only counted, so that a list of millions, which deflates
/// to nothing, costs no memory beside its text.
struct List<'a> {
    records: Vec<&'a RawValue>,
    count: usize,
}

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Records;
        impl<'de> Visitor<'de> for Records {
            type Value = List<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an array of records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<'de>, A::Error> {
                let mut records = Vec::new();
                while records.len() < MAX_RECORDS {
                    match items.next_element()? {
                        Some(record) => records.push(record),
                        None => break,
                    }
                }
                let mut count = records.len();
                if count == MAX_RECORDS {
                    while items.next_element::<IgnoredAny>()?.is_some() {
                        count += 1;
                    }
                }
                Ok(List { records, count })
            }
        }
        deserializer.deserialize_seq(Records)
    }
}

fn needed<T>(field: &'static str, list: Option<T>) -> Result<T, ApiError> {
    list.ok_or_else(|| {
        ApiError::invalid(field, format!("{field} is missing: an array of records is expected"))
    })
}

/// Reading so many records takes far longer than starting a thread.
const WORTH_A_THREAD: usize = 25;

/// Both, each on a thread of its own where that is wanted and there is one.
fn at_once<A, B: Send>(wanted: bool, one: impl FnOnce() -> A, other: impl Fn() -> B + Sync) -> (A, B) {
    if !wanted {
        return (one(), other());
    }
    thread::scope(|scope| match thread::Builder::new().spawn_scoped(scope, &other) {
        Err(_) => (one(), other()),
        Ok(beside) => {
            let one = one();
            (one, beside.join().unwrap_or_else(|panic| resume_unwind(panic)))
        }
    })
}

/// The rows, and what is wrong with those that are none, in their order.
fn each<C>(
    kind: Kind,
    raw: &[&RawValue],
    row: impl Fn(Record) -> Row<C>,
) -> (Vec<Row<C>>, Vec<FailedRecord>) {
    let mut rows = Vec::with_capacity(raw.len());
    let mut failed = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        match Record::read(kind, raw.get()) {
            Ok(record) => match strict::refusal(&record, index) {
                None => rows.push(row(record)),
                Some(refusal) => failed.push(refusal),
            },
            Err(rejection) => failed.push(FailedRecord {
                kind: kind.name(),
                index,
                id: rejection.record_id,
                field: rejection.field.map(str::to_owned),
                code: name_of(rejection.code),
                error: strict::shown(rejection.message),
            }),
        }
    }
    (rows, failed)
}

/// The code as the contract spells it.
fn name_of(code: heyho_records::Code) -> String {
    serde_json::to_value(code).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn short_text(field: &'static str, raw: Option<&RawValue>) -> Result<Option<String>, ApiError> {
    let Some(raw) = raw else { return Ok(None) };
    match serde_json::from_str::<String>(raw.get()) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) if text.chars().count() <= MAX_DEVICE_CHARS && !text.contains('\0') => Ok(Some(text)),
        _ => Err(ApiError::invalid(
            field,
            format!("{field} must be a string of at most {MAX_DEVICE_CHARS} characters, without U+0000"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"id":"v1","url":"http://a.example/","visited_at":1}"#;

    #[test]
    fn every_bad_record_is_named_and_none_hides_another() {
        let deep = "[".repeat(1_000) + "1" + &"]".repeat(1_000);
        let body = format!(
            r#"{{"pageVisits":[{GOOD},{{"id":"cut \ud83d"}},5,{{"id":"v2","url":"javascript:1","visited_at":1}},{deep}],
                "tabAggregates":[{{"id":"a1","startTime":1,"tabId":1,"isOpen":"no"}}]}}"#,
        );
        let Err(ApiError::Records(failed)) = read(Form::Batch, body.as_bytes()) else { panic!() };
        let named: Vec<_> =
            failed.iter().map(|f| (f.kind, f.index, f.id.as_deref(), f.code.as_str())).collect();
        assert_eq!(
            named,
            [
                ("pageVisit", 1, Some("cut \u{fffd}"), "missing_url"),
                ("pageVisit", 2, None, "not_an_object"),
                ("pageVisit", 3, Some("v2"), "invalid_url"),
                ("pageVisit", 4, None, "invalid_json"),
                ("tabAggregate", 0, Some("a1"), "invalid_field"),
            ]
        );
    }

    /// As long as both lists are read here or beside: the same is named, in the same order.
    #[test]
    fn long_lists_are_read_as_short_ones_are() {
        let list = |kind: &str, name: &str, records: usize| {
            let one = |n: usize| match n % 10 {
                9 => format!(r#"{{"id":"{name}{n}","startTime":"soon","tabId":1,"visited_at":"soon"}}"#),
                _ => format!(
                    r#"{{"id":"{name}{n}","url":"http://a.example/","visited_at":1,"startTime":1,"tabId":1}}"#
                ),
            };
            format!(r#""{kind}":[{}]"#, (0..records).map(one).collect::<Vec<_>>().join(","))
        };
        let ask = |records| {
            let (visits, aggregates) =
                (list("pageVisits", "v", records), list("tabAggregates", "a", records));
            read(Form::Batch, format!("{{{visits},{aggregates}}}").as_bytes())
        };
        for records in [9, WORTH_A_THREAD - 1, WORTH_A_THREAD, 10 * WORTH_A_THREAD] {
            let named: Vec<(&str, usize, Option<String>)> = match ask(records) {
                Err(ApiError::Records(failed)) => {
                    failed.into_iter().map(|f| (f.kind, f.index, f.id)).collect()
                }
                other => {
                    let accepted = other.unwrap();
                    assert_eq!((accepted.visits.len(), accepted.aggregates.len()), (records, records));
                    assert!(accepted.visits.iter().enumerate().all(|(n, row)| row.id == format!("v{n}")));
                    Vec::new()
                }
            };
            let bad = |kind, name: &str| {
                let nines = (0..records).filter(|n| n % 10 == 9);
                nines.map(|n| (kind, n, Some(format!("{name}{n}")))).collect::<Vec<_>>()
            };
            assert_eq!(named, [bad("pageVisit", "v"), bad("tabAggregate", "a")].concat());
        }
    }

    #[test]
    fn an_identity_twice_is_one_row_and_two_records() {
        let longer = GOOD.replace('}', r#","duration":5}"#);
        let body = format!(r#"{{"pageVisits":[{longer},{GOOD}]}}"#);
        let accepted = read(Form::Batch, body.as_bytes()).unwrap();
        assert_eq!(accepted.counts.page_visits, 2);
        assert_eq!(accepted.visits.len(), 1);
        assert_eq!(accepted.visits[0].record, longer);
    }

    #[test]
    fn of_a_list_that_is_too_long_only_the_first_records_are_held() {
        for count in [0, MAX_RECORDS - 1, MAX_RECORDS, MAX_RECORDS + 1, 1_000_000] {
            let text = format!("[{}]", vec!["0"; count].join(","));
            let list: List = serde_json::from_str(&text).unwrap();
            assert_eq!((list.records.len(), list.count), (count.min(MAX_RECORDS), count));
            assert!(list.records.capacity() < 2 * MAX_RECORDS);
        }
        let body = format!(r#"{{"visits":[{}]}}"#, vec!["0"; 1_000_000].join(","));
        let refused = read(Form::Visits, body.as_bytes());
        assert!(matches!(refused, Err(ApiError::BatchTooLarge { count: 1_000_000, .. })));
    }

    #[test]
    fn bodies_that_are_no_request_say_what_is_expected() {
        for (form, body, code) in [
            (Form::Batch, "", "INVALID_JSON"),
            (Form::Batch, "[]", "INVALID_JSON"),
            (Form::Batch, "{", "INVALID_JSON"),
            (Form::Batch, r#"{"pageVisits":{}}"#, "VALIDATION_ERROR"),
            (Form::Visits, r#"{"pageVisits":[]}"#, "VALIDATION_ERROR"),
            (Form::Aggregates, r#"{"visits":[]}"#, "VALIDATION_ERROR"),
            (Form::Batch, r#"{"batchId":5}"#, "VALIDATION_ERROR"),
        ] {
            assert_eq!(read(form, body.as_bytes()).unwrap_err().code(), code, "{body}");
        }
        let many = format!(r#"{{"visits":[{}]}}"#, vec![GOOD; 1_001].join(","));
        assert_eq!(read(Form::Visits, many.as_bytes()).unwrap_err().code(), "BATCH_TOO_LARGE");
        assert_eq!(read(Form::Batch, b"{}").unwrap().counts, Counts::default());
        let null = br#"{"pageVisits":null,"tabAggregates":[],"extra":"\ud83d"}"#;
        assert_eq!(read(Form::Batch, null).unwrap().counts, Counts::default());
    }
}
