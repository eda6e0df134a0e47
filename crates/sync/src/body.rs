//! The body of an answer, read with suspicion: everything in it is optional, and a value of the wrong type is
//! as good as none.

use crate::policy;
use heyho_records::Kind;
use serde_json::{Map, Value};
use std::time::Duration;

/// A body by its outermost shape.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Object(Object),
    /// JSON, but not an object.
    NotAnObject,
    Html,
    NotJson,
    Empty,
}

impl Body {
    pub fn read(bytes: &[u8]) -> Body {
        let trimmed = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii();
        if trimmed.is_empty() {
            return Body::Empty;
        }
        if trimmed.first() == Some(&b'<') {
            return Body::Html;
        }
        match serde_json::from_slice(trimmed) {
            Ok(Value::Object(map)) => Body::Object(Object(map)),
            Ok(_) => Body::NotAnObject,
            Err(_) => Body::NotJson,
        }
    }

    pub fn code(&self) -> Option<&str> {
        match self {
            Body::Object(object) => object.code(),
            _ => None,
        }
    }

    pub fn retry_after(&self) -> Option<Duration> {
        let Body::Object(object) = self else { return None };
        let value = object.find("retry_after")?;
        seconds(value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?)
    }
}

/// A JSON object that answers a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(Map<String, Value>);

/// What an answer says it saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    page_visits: Option<u64>,
    tab_aggregates: Option<u64>,
    pub rejected: Option<u64>,
    /// One of the names was there, even if its value could not be read.
    present: bool,
}

impl Counts {
    pub fn of(self, kind: Kind) -> Option<u64> {
        match kind {
            Kind::PageVisit => self.page_visits,
            Kind::TabAggregate => self.tab_aggregates,
        }
    }

    /// The answer counts nothing, as S0's own backend.
    pub fn absent(self) -> bool {
        !self.present
    }
}

impl Object {
    /// A value at the top, else in `data`.
    pub fn find(&self, name: &str) -> Option<&Value> {
        let within = || self.0.get("data")?.as_object()?.get(name);
        self.0.get(name).or_else(within).filter(|value| !value.is_null())
    }

    pub fn code(&self) -> Option<&str> {
        self.0.get("code")?.as_str()
    }

    /// Not a success in its own words. A word that is not known to mean success does not.
    pub fn says_no(&self) -> bool {
        let success = self.0.get("success").is_some_and(|value| *value != Value::Bool(true))
            || ["status", "code"].iter().any(|name| self.0.get(*name).is_some_and(|word| !is_success(word)));
        let error = ["error", "errors", "failed_records"]
            .iter()
            .any(|name| self.0.get(*name).is_some_and(says_something));
        success || error
    }

    pub fn batch_id(&self) -> Option<&str> {
        self.0.get("batchId").or_else(|| self.0.get("batch_id"))?.as_str()
    }

    pub fn counts(&self) -> Counts {
        let names = ["page_visits_synced", "tab_aggregates_synced"];
        let [page_visits, tab_aggregates] = names.map(|name| self.find(name));
        Counts {
            present: page_visits.is_some() || tab_aggregates.is_some(),
            page_visits: page_visits.and_then(count),
            tab_aggregates: tab_aggregates.and_then(count),
            rejected: self.find("rejected_records_count").and_then(count),
        }
    }

    /// Says of itself that records were invalid: the reference backend by its code, S0 by its list, HeyHo's
    /// service by `success:false` with a list of errors that may be empty.
    pub fn calls_invalid(&self) -> bool {
        let list = |name: &str| self.0.get(name).is_some_and(Value::is_array);
        let no = self.0.get("success") == Some(&Value::Bool(false));
        self.code() == Some("VALIDATION_ERROR") || list("failed_records") || (no && list("errors"))
    }

    /// What it says in words.
    pub fn message(&self) -> Option<String> {
        ["error", "message", "errors"].iter().find_map(|name| text(self.0.get(*name)?))
    }

    pub fn max_bytes(&self) -> Option<usize> {
        usize::try_from(self.find("max_bytes")?.as_u64()?).ok()
    }

    /// The entries of the lists in which backends name records, whatever they are.
    pub fn entries(&self) -> impl Iterator<Item = &Value> {
        ["failed_records", "validation_errors", "errors"]
            .into_iter()
            .filter_map(|name| self.find(name)?.as_array())
            .flatten()
    }

    /// Describes a signed-in user, in any of the known shapes.
    pub fn is_user(&self) -> bool {
        if self.says_no() {
            return false;
        }
        let within =
            |value: &Value| value.get("id").or_else(|| value.get("email")).is_some_and(says_something);
        let whole = [self.find("user"), self.0.get("data")];
        whole.into_iter().flatten().any(within)
            || ["id", "email"].iter().any(|name| self.find(name).is_some())
    }
}

/// A text from a backend, cut to what is kept of it and free of control characters.
pub fn text(value: &Value) -> Option<String> {
    let text: String = match value {
        Value::String(text) => text.chars().take(policy::MESSAGE_CHARS).map(printable).collect(),
        Value::Array(values) => {
            let texts: Vec<String> = values.iter().filter_map(text).collect();
            texts.join("; ").chars().take(policy::MESSAGE_CHARS).collect()
        }
        _ => return None,
    };
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// A number of seconds that makes sense.
pub fn seconds(seconds: f64) -> Option<Duration> {
    if !seconds.is_finite() {
        return None;
    }
    Duration::try_from_secs_f64(seconds.clamp(0.0, policy::RETRY_AFTER_MOST.as_secs_f64())).ok()
}

/// `"status":"success"`, `"code":200` and their like.
fn is_success(word: &Value) -> bool {
    const WORDS: [&str; 9] =
        ["ok", "success", "succeeded", "saved", "synced", "done", "complete", "completed", "200"];
    match word {
        Value::Null | Value::Bool(true) => true,
        Value::Number(number) => number.as_u64().is_some_and(|number| number == 0 || number == 200),
        Value::String(text) => WORDS.iter().any(|it| text.eq_ignore_ascii_case(it)),
        _ => false,
    }
}

/// Some encoders write every number with a point.
fn count(value: &Value) -> Option<u64> {
    let whole = |number: &f64| number.fract() == 0.0 && (0.0..1e9).contains(number);
    value.as_u64().or_else(|| value.as_f64().filter(whole).map(|number| number as u64))
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(values) => !values.is_empty(),
        _ => true,
    }
}
