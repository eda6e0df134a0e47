//! Which of two versions of one record says more (contract, section 1).
//!
//! Visits by (`endedAt`, duration, `lastHeartbeat`), aggregates by (`lastActiveTime`,
//! `totalActiveDuration`, `pageCount`); a value that is missing or unreadable is least. The backend breaks
//! ties by the higher `companionRevision`, then by the greater SHA-256 of the canonical form, so that the
//! final row does not depend on the order of arrival.

use crate::Kind;
use crate::json::Json;
use crate::time;
use std::cmp::Ordering;

/// The first rule: three measures, compared in order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Completeness([Option<f64>; 3]);

impl Completeness {
    pub fn of(kind: Kind, record: &Json) -> Completeness {
        let moment = |name| record.get(name).and_then(|v| time::millis(v).ok()).map(|ms| ms as f64);
        let number = |name| record.get(name).and_then(Json::as_f64);
        Completeness(match kind {
            Kind::PageVisit => [
                moment("endedAt"),
                number("durationSeconds").map(|s| s * 1000.0).or_else(|| number("duration")),
                moment("lastHeartbeat"),
            ],
            Kind::TabAggregate => {
                [moment("lastActiveTime"), number("totalActiveDuration"), number("pageCount")]
            }
        })
    }

    /// As stored beside a record, so that a later arrival is compared without reading the old text again.
    pub fn to_columns(self) -> [Option<f64>; 3] {
        self.0
    }

    pub fn from_columns(columns: [Option<f64>; 3]) -> Completeness {
        Completeness(columns)
    }
}

impl Eq for Completeness {}

impl PartialOrd for Completeness {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Completeness {
    fn cmp(&self, other: &Self) -> Ordering {
        let one = |a: &Option<f64>, b: &Option<f64>| match (a, b) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            // -0 and 0 are one duration
            (Some(a), Some(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
        };
        self.0.iter().zip(&other.0).map(|(a, b)| one(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(text: &str) -> Completeness {
        Completeness::of(Kind::PageVisit, &Json::parse(text).unwrap())
    }

    #[test]
    fn later_end_then_longer_then_later_heartbeat() {
        let rising = [
            r#"{}"#,
            r#"{"lastHeartbeat":5}"#,
            r#"{"duration":1000}"#,
            r#"{"durationSeconds":2}"#,
            r#"{"endedAt":10}"#,
            r#"{"endedAt":10,"duration":1}"#,
            r#"{"endedAt":"1970-01-01T00:00:00.011Z"}"#,
        ];
        for pair in rising.windows(2) {
            assert!(visit(pair[0]) < visit(pair[1]), "{pair:?}");
        }
        assert_eq!(visit(r#"{"durationSeconds":2}"#), visit(r#"{"duration":2000,"endedAt":null}"#));
        assert_eq!(visit(r#"{"endedAt":"garbage"}"#), visit("{}"));
    }

    #[test]
    fn aggregates_have_measures_of_their_own() {
        let of = |t: &str| Completeness::of(Kind::TabAggregate, &Json::parse(t).unwrap());
        assert!(of(r#"{"pageCount":2.4e21}"#) > of(r#"{"pageCount":3}"#));
        assert!(of(r#"{"lastActiveTime":1}"#) > of(r#"{"totalActiveDuration":9,"pageCount":9}"#));
    }
}
