//! Reading back what is stored, and deleting it.
//!
//! Each record is returned as it was sent, with the store's `version` and `updated_at` written into it; where a record
//! has fields of these names itself, the store's stand in their place (an export keeps the record's own).

use crate::app::Shared;
use crate::auth::Caller;
use crate::auth::routes::Envelope;
use crate::clock;
use crate::error::ApiError;
use crate::limits::{DEFAULT_PAGE, MAX_PAGE};
use crate::openapi::{Common, ErrorBody, SignedInOnly};
use crate::store::{Deletion, PageQuery, Place, Selection, StoredRecord};
use crate::sync::columns;
use crate::sync::routes::device_header;
use crate::taken::held;
use axum::Json as Answer;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use heyho_records::json::{Json, entries_of};
use heyho_records::{Kind, time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::Instrument as _;
use utoipa::{IntoParams, ToSchema};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// `pageVisit` or `tabAggregate`; without it both.
    kind: Option<String>,
    /// The `next_cursor` of the page before, or the `cursor` of the last one.
    cursor: Option<String>,
    /// 1 to 1,000.
    limit: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// A host; what is below it goes too.
    domain: Option<String>,
    /// The first moment: ISO 8601 or milliseconds since the epoch.
    from: Option<String>,
    /// The moment after the last.
    to: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header")]
pub struct DeviceHeader {
    /// The device that asks; its tombstones name it.
    #[param(rename = "X-Device-ID", required = false)]
    device_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Deleted {
    /// Visits and aggregates together.
    deleted: u64,
}

#[derive(Serialize, ToSchema)]
pub struct Page {
    success: bool,
    data: Records,
    /// Null: this was the last page.
    next_cursor: Option<String>,
    /// Where this page ends. Sent as `cursor` later, it brings what was stored or changed since, nothing twice.
    cursor: String,
    /// The life of the feed: with another one, cursors from before mean nothing and a reader starts over.
    feed_epoch: String,
}

#[derive(Serialize, Default, ToSchema)]
pub struct Records {
    #[schema(value_type = Vec<Object>)]
    page_visits: Vec<Box<RawValue>>,
    #[schema(value_type = Vec<Object>)]
    tab_aggregates: Vec<Box<RawValue>>,
}

/// What is stored, in (version, kind, id) order.
#[utoipa::path(get, path = "/api/v1/browsing_data", tag = "records", params(ListQuery), security(("bearer" = [])),
    responses((status = 200, body = Page), (status = 400, body = ErrorBody), SignedInOnly, Common))]
pub async fn list(
    State(app): State<Shared>,
    caller: Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let kind = query.kind.filter(|k| !k.is_empty()).map(|k| kind(&k)).transpose()?;
    let limit = query.limit.filter(|l| !l.is_empty()).map_or(Ok(DEFAULT_PAGE), |l| limit(&l))?;
    let after =
        query.cursor.filter(|c| !c.is_empty()).map_or_else(|| Ok(Place::start()), |c| from_cursor(&c))?;
    let answer = app.answer(caller.user.id).await?;
    let _turn = app.turn(caller.user.id).await?;
    let page = app.store.page(PageQuery { user: caller.user.id, kind, after: after.clone(), limit }).await?;
    let feed_epoch = page.epoch.ok_or(ApiError::Unauthorized("the account no longer exists"))?;
    let cursor = to_cursor(page.records.last().map_or(&after, |last| &last.place));
    let next_cursor = page.more.then(|| cursor.clone());
    let mut data = Records::default();
    for stored in page.records {
        let list = match stored.kind {
            Kind::PageVisit => &mut data.page_visits,
            Kind::TabAggregate => &mut data.tab_aggregates,
        };
        list.push(with_version(&stored)?);
    }
    let page = Page { success: true, data, next_cursor, cursor, feed_epoch };
    let bytes = serde_json::to_vec(&page).map_err(|e| ApiError::Internal(e.into()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], held(bytes, answer)).into_response())
}

/// Deletes the records of a domain, or of a time. They are not stored again when they arrive again.
#[utoipa::path(delete, path = "/api/v1/browsing_data", tag = "records", params(DeleteQuery, DeviceHeader),
    security(("bearer" = [])),
    responses((status = 200, body = Envelope<Deleted>), (status = 400, body = ErrorBody), SignedInOnly, Common))]
pub async fn delete(
    State(app): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    query: Result<Query<DeleteQuery>, QueryRejection>,
) -> Result<Answer<Envelope<Deleted>>, ApiError> {
    let Query(query) = query?;
    let deletion = Deletion {
        user: caller.user.id,
        device: device_header(&headers)?,
        selection: selection(query)?,
        now: app.clock.now(),
    };
    let turn = app.turn(caller.user.id).await?;
    // The database goes on with what it began when the client goes away, and the turn is not free before it is done.
    let deleting = async move {
        let _turn = turn;
        app.store.delete_records(deletion).await
    };
    let deleted =
        tokio::spawn(deleting.in_current_span()).await.map_err(|e| ApiError::Internal(e.into()))??;
    Ok(Envelope::of(Deleted { deleted }))
}

fn selection(query: DeleteQuery) -> Result<Selection, ApiError> {
    let given = |value: Option<String>| value.map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
    match (given(query.domain), given(query.from), given(query.to)) {
        (Some(domain), None, None) => Ok(Selection::Domain(self::domain(&domain)?)),
        (None, None, None) => Err(ApiError::invalid(
            "domain",
            "say what to delete: domain, or from and to (one of the two may be left out)",
        )),
        (None, from, to) => {
            let from = from.map_or(Ok(i64::MIN), |text| moment("from", &text))?;
            let to = to.map_or(Ok(i64::MAX), |text| moment("to", &text))?;
            if from >= to {
                return Err(ApiError::invalid("to", "to must be later than from"));
            }
            Ok(Selection::Between { from, to })
        }
        (Some(_), _, _) => Err(ApiError::invalid("domain", "give either domain or a time, not both")),
    }
}

/// A host in the spelling of the stored ones.
fn domain(text: &str) -> Result<String, ApiError> {
    let text = text.strip_prefix("*.").unwrap_or(text).trim_matches('.');
    match url::Host::parse(text) {
        Ok(_) => Ok(columns::domain(text)),
        Err(_) => Err(ApiError::invalid("domain", "domain must be a host such as example.com")),
    }
}

fn moment(field: &'static str, text: &str) -> Result<i64, ApiError> {
    let value = match text.parse::<i64>() {
        Ok(_) => Json::Number(text.to_owned()),
        Err(_) => Json::String(text.to_owned()),
    };
    time::millis(&value).map_err(|e| ApiError::invalid(field, format!("{field}: {e}")))
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
    let bad = || ApiError::invalid("cursor", "cursor must be a cursor of an earlier answer");
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
