//! Reading back what is stored.
//!
//! Each record is returned as it was sent, with the store's `version` and `updated_at` written into it; where a record
//! has fields of these names itself, the store's stand in their place (an export keeps the record's own).

use crate::app::Shared;
use crate::auth::Caller;
use crate::clock;
use crate::error::ApiError;
use crate::limits::{DEFAULT_PAGE, MAX_PAGE};
use crate::store::{PageQuery, Place, StoredRecord};
use axum::Json;
use axum::extract::{Query, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use heyho_records::Kind;
use heyho_records::json::entries_of;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub struct ListQuery {
    kind: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize)]
pub struct Page {
    success: bool,
    data: Records,
    next_cursor: Option<String>,
}

#[derive(Serialize, Default)]
pub struct Records {
    page_visits: Vec<Box<RawValue>>,
    tab_aggregates: Vec<Box<RawValue>>,
}

pub async fn list(
    State(app): State<Shared>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page>, ApiError> {
    let kind = query.kind.filter(|k| !k.is_empty()).map(|k| kind(&k)).transpose()?;
    let limit = query.limit.filter(|l| !l.is_empty()).map_or(Ok(DEFAULT_PAGE), |l| limit(&l))?;
    let after =
        query.cursor.filter(|c| !c.is_empty()).map_or_else(|| Ok(Place::start()), |c| from_cursor(&c))?;
    // one more than is shown tells whether there is a next page
    let mut found = app.store.page(PageQuery { user: caller.user.id, kind, after, limit: limit + 1 }).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > shown;
    found.truncate(shown);
    let next_cursor = found.last().filter(|_| more).map(|last| to_cursor(&last.place));
    let mut data = Records::default();
    for stored in found {
        let list = match stored.kind {
            Kind::PageVisit => &mut data.page_visits,
            Kind::TabAggregate => &mut data.tab_aggregates,
        };
        list.push(with_version(&stored)?);
    }
    Ok(Json(Page { success: true, data, next_cursor }))
}

fn kind(name: &str) -> Result<Kind, ApiError> {
    Kind::from_name(name).ok_or_else(|| ApiError::invalid("kind", "kind must be pageVisit or tabAggregate"))
}

fn limit(text: &str) -> Result<i64, ApiError> {
    match text.parse() {
        Ok(n @ 1..=MAX_PAGE) => Ok(n),
        _ => Err(ApiError::invalid("limit", format!("limit must be a whole number from 1 to {MAX_PAGE}"))),
    }
}

fn to_cursor(place: &Place) -> String {
    B64.encode(serde_json::json!([place.version, place.kind, place.id, place.source]).to_string())
}

fn from_cursor(text: &str) -> Result<Place, ApiError> {
    let bad = || ApiError::invalid("cursor", "cursor must be a next_cursor of an earlier answer");
    let bytes = B64.decode(text).map_err(|_| bad())?;
    let (version, kind, id, source): (i64, i64, String, String) =
        serde_json::from_slice(&bytes).map_err(|_| bad())?;
    if id.contains('\0') || source.contains('\0') {
        return Err(bad());
    }
    Ok(Place { version, kind, id, source })
}

/// The record's text, to the letter, with two entries more.
fn with_version(stored: &StoredRecord) -> Result<Box<RawValue>, ApiError> {
    let damaged =
        |what: String| ApiError::Internal(anyhow::anyhow!("a stored record cannot be read: {what}"));
    let entries = entries_of(&stored.record).map_err(|e| damaged(e.to_string()))?;
    let own = ["version", "updated_at"];
    let mut text = if entries.iter().any(|(key, _)| own.contains(&key.as_str())) {
        let kept: Vec<String> = entries
            .iter()
            .filter(|(key, _)| !own.contains(&key.as_str()))
            .map(|(key, value)| format!("{}:{}", serde_json::json!(key), value.get()))
            .collect();
        format!("{{{}", kept.join(","))
    } else {
        let body = stored.record.trim_end();
        body.strip_suffix('}').unwrap_or(body).to_owned()
    };
    if !text.trim_end().ends_with('{') {
        text.push(',');
    }
    let updated_at = clock::iso(stored.updated_at);
    text.push_str(&format!(r#""version":{},"updated_at":"{updated_at}"}}"#, stored.place.version));
    RawValue::from_string(text).map_err(|e| damaged(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(record: &str) -> String {
        let place = Place { version: 7, kind: 1, id: "v".into(), source: String::new() };
        let stored = StoredRecord { place, kind: Kind::PageVisit, record: record.into(), updated_at: 0 };
        with_version(&stored).unwrap().get().to_owned()
    }

    #[test]
    fn the_record_is_returned_to_the_letter_with_two_entries_more() {
        let more = r#""version":7,"updated_at":"1970-01-01T00:00:00Z"}"#;
        assert_eq!(stored(r#"{ "n": 2.40e21 }"#), format!(r#"{{ "n": 2.40e21 ,{more}"#));
        assert_eq!(stored(r#"{"a":1,"version":"own","updated_at":2}"#), format!(r#"{{"a":1,{more}"#));
        assert_eq!(stored(r#"{"version":1}"#), format!("{{{more}"));
    }

    #[test]
    fn a_cursor_that_is_none_of_ours_is_refused() {
        let place = Place { version: 3, kind: 2, id: "é".into(), source: "s#1".into() };
        assert_eq!(from_cursor(&to_cursor(&place)).unwrap(), place);
        for bad in ["x", "!!!", "W10", ""] {
            assert!(from_cursor(bad).is_err(), "{bad}");
        }
    }
}
