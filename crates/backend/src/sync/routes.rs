//! The three routes that take records: one path through them all.
//!
//! A place among the user's, turn for the idempotency key, turn of the user → an answer given before, meanwhile read and
//! validate → save. Only a 200 is kept for replay.

use super::describe::{AggregatesBody, BatchBody, SyncAnswer, SyncErrors, SyncHeaders, VisitsBody};
use super::request::{self, Form};
use crate::app::{App, Shared};
use crate::auth::Caller;
use crate::error::ApiError;
use crate::limits::{MAX_DEVICE_CHARS, MAX_KEY_CHARS};
use crate::openapi::{Bodies, Common, SignedInOnly};
use crate::store::{Batch, Counts, IdempotencyKey, Saved};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use heyho_records::Kind;
use heyho_records::fault::planted;
use sha2::{Digest as _, Sha256};

/// The routes that take records.
pub const BATCHES: [&str; 3] = ["/api/v1/data/sync", "/api/sync/page-visits", "/api/sync/tab-aggregates"];

const REPLAY: HeaderName = HeaderName::from_static("x-idempotent-replay");

/// Not refused by itself: a failure to look the session up is counted and coded like any other of a batch.
type SignedIn = Result<Caller, ApiError>;

/// Takes a batch of both kinds: all of it, or nothing.
#[utoipa::path(post, path = "/api/v1/data/sync", tag = "records", request_body = BatchBody, params(SyncHeaders),
    security(("bearer" = [])), responses((status = 200, body = SyncAnswer), SyncErrors, Bodies, SignedInOnly, Common))]
pub async fn data(
    state: State<Shared>,
    caller: SignedIn,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(state, caller, headers, body, Form::Batch, "/api/v1/data/sync").await
}

/// Takes page visits.
#[utoipa::path(post, path = "/api/sync/page-visits", tag = "records", request_body = VisitsBody, params(SyncHeaders),
    security(("bearer" = [])), responses((status = 200, body = SyncAnswer), SyncErrors, Bodies, SignedInOnly, Common))]
pub async fn page_visits(
    state: State<Shared>,
    caller: SignedIn,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(state, caller, headers, body, Form::Visits, "/api/sync/page-visits").await
}

/// Takes tab aggregates.
#[utoipa::path(post, path = "/api/sync/tab-aggregates", tag = "records", request_body = AggregatesBody,
    params(SyncHeaders), security(("bearer" = [])),
    responses((status = 200, body = SyncAnswer), SyncErrors, Bodies, SignedInOnly, Common))]
pub async fn tab_aggregates(
    state: State<Shared>,
    caller: SignedIn,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take(state, caller, headers, body, Form::Aggregates, "/api/sync/tab-aggregates").await
}

/// Takes the request and counts what became of it.
async fn take(
    State(app): State<Shared>,
    caller: SignedIn,
    headers: HeaderMap,
    body: Body,
    form: Form,
    path: &'static str,
) -> Result<Response, ApiError> {
    let taken = match caller {
        Ok(caller) => save(&app, caller, headers, body, form, path).await,
        Err(error) => Err(error),
    };
    let taken = taken.map_err(ApiError::of_a_batch);
    match &taken {
        Ok(Taken { replay: true, .. }) => app.metrics.batch("replayed"),
        Ok(Taken { counts, .. }) => {
            app.metrics.batch("saved");
            app.metrics.records(Kind::PageVisit.name(), "held", counts.page_visits);
            app.metrics.records(Kind::TabAggregate.name(), "held", counts.tab_aggregates);
        }
        Err(error) => {
            app.metrics.batch(if error.status().is_server_error() { "failed" } else { "refused" });
            if let ApiError::Records(failed) = error {
                failed.iter().for_each(|f| app.metrics.records(f.kind, "refused", 1));
            }
        }
    }
    taken.map(|taken| ok(taken.body, taken.replay))
}

/// A 200.
struct Taken {
    body: String,
    replay: bool,
    counts: Counts,
}

async fn save(
    app: &App,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
    form: Form,
    path: &'static str,
) -> Result<Taken, ApiError> {
    let key =
        header_text(&headers, &["idempotency-key", "x-idempotency-key"], "Idempotency-Key", MAX_KEY_CHARS)?;
    let device = device_header(&headers)?;
    let body = app.bodies.read(caller.user.id, &headers, body).await?;
    // who sends many at once is told so, and keeps none of them here
    let many = ApiError::RateLimited { retry_after: 1 };
    let _one_of_so_many = app.batches.free_turn(&caller.user.id).ok_or(many)?;

    let key = key.map(|key| IdempotencyKey { user: caller.user.id, method: "POST", path, key });
    let mut _turn = None;
    if let Some(key) = &key {
        _turn = Some(app.twins.turn(key, app.limits.twin_wait).await.ok_or(ApiError::IdempotencyInProgress)?);
    }
    let _place = app.turn(caller.user.id).await?;
    // read while the database is asked whether it was answered before
    let reading = tokio::task::spawn_blocking(move || {
        let body_hash: [u8; 32] = Sha256::digest(&body.bytes).into();
        (body_hash, request::read(form, &body.bytes), body.into_kept())
    });
    let before = match &key {
        Some(key) => app.store.answered(key, app.clock.now()).await?,
        None => None,
    };
    // its room is kept until it is saved
    let (body_hash, accepted, _kept) = reading.await.map_err(|e| ApiError::Internal(e.into()))?;
    match before {
        Some(before) if before.body_hash == body_hash => return Ok(replayed(before.answer)),
        Some(_) => return Err(ApiError::IdempotencyKeyReused),
        None => {}
    }
    let idempotency = key.map(|key| (key, body_hash));
    let accepted = accepted?;
    if planted("open-tabs-fail") && accepted.aggregates.iter().any(|row| row.columns.is_open == Some(true)) {
        return Err(ApiError::Internal(anyhow::anyhow!("planted")));
    }
    let counts = accepted.counts;
    let batch = Batch {
        user: caller.user.id,
        device: device.or(accepted.device),
        now: app.clock.now(),
        visits: accepted.visits,
        aggregates: accepted.aggregates,
        idempotency,
        batch_id: accepted.batch_id,
        counts,
    };
    let saved = match app.store.save(batch).await {
        Err(_) if planted("failure-is-success") => Saved::Now(r#"{"success":true}"#.to_owned()),
        saved => saved?,
    };
    match saved {
        Saved::Now(body) => Ok(Taken { body, replay: false, counts }),
        Saved::Before(body) => Ok(replayed(body)),
        Saved::KeyReused => Err(ApiError::IdempotencyKeyReused),
        Saved::InProgress => Err(ApiError::IdempotencyInProgress),
        Saved::NoSuchUser => Err(ApiError::Unauthorized("the account no longer exists")),
    }
}

fn replayed(body: String) -> Taken {
    Taken { body, replay: true, counts: Counts::default() }
}

fn ok(body: String, replay: bool) -> Response {
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut response = (StatusCode::OK, [json], body).into_response();
    if replay {
        response.headers_mut().insert(REPLAY, HeaderValue::from_static("true"));
    }
    response
}

pub fn device_header(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    header_text(headers, &["x-device-id"], "X-Device-ID", MAX_DEVICE_CHARS)
}

/// The first of these headers that is there and not empty.
fn header_text(
    headers: &HeaderMap,
    names: &[&str],
    shown: &'static str,
    max_chars: usize,
) -> Result<Option<String>, ApiError> {
    for name in names {
        let Some(value) = headers.get(*name) else { continue };
        match value.to_str() {
            Ok("") => {}
            Ok(text) if text.len() <= max_chars => return Ok(Some(text.to_owned())),
            _ => {
                return Err(ApiError::invalid(
                    shown,
                    format!("{shown} must have at most {max_chars} visible ASCII characters"),
                ));
            }
        }
    }
    Ok(None)
}
