//! The backend of the crash suite, and the ledger: it keeps its answers by key, as the contract says; some records it
//! names as bad (or refuses without a word, where it is mute), some requests it fails, and its tokens end in the middle.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, Mutex};

#[derive(Default)]
pub struct Ledger {
    answers: BTreeMap<String, (Bytes, StatusCode, Value)>,
    /// Under which keys each record came.
    pub keys: BTreeMap<String, BTreeSet<String>>,
    /// Records that it had, and that came once more alone, to vouch for it.
    pub vouched: u64,
    requests: u64,
    gzip: bool,
    /// It says "Bad Request" to a batch with a bad record in it, and no more.
    mute: bool,
    /// The tokens that were given last have this number; access tokens up to that one are dead.
    given: u64,
    dead: u64,
    pub renewals: u64,
    /// A token was used again after its grace: the session is over.
    pub ended: bool,
}

pub type Backend = Arc<Mutex<Ledger>>;

pub async fn backend(gzip: bool, mute: bool) -> (Backend, String) {
    let ledger = Backend::default();
    *ledger.lock().unwrap() = Ledger { gzip, mute, given: 1, ..Ledger::default() };
    let app = Router::new()
        .route("/api/v1/capabilities", get(capabilities))
        .route("/api/v1/auth/refresh", post(refresh))
        .route("/api/v1/auth/me", get(async || Json(json!({"success": true, "data": {"user": {"id": "u"}}}))))
        .route("/api/v1/data/sync", post(sync))
        .with_state(ledger.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (ledger, url)
}

async fn capabilities(State(ledger): State<Backend>) -> Response {
    match ledger.lock().unwrap().gzip {
        true => Json(json!({"protocol": 1, "features": ["data.sync", "idempotency", "gzip"], "limits": {}}))
            .into_response(),
        false => StatusCode::NOT_FOUND.into_response(),
    }
}

fn unauthorized() -> Response {
    let error = json!({"success": false, "code": "UNAUTHORIZED", "error": "over"});
    (StatusCode::UNAUTHORIZED, Json(error)).into_response()
}

/// The token that was given last, and for a while the one before it, which gets the same successor.
async fn refresh(State(ledger): State<Backend>, Json(body): Json<Value>) -> Response {
    let mut ledger = ledger.lock().unwrap();
    ledger.renewals += 1;
    let number: u64 = body["refresh_token"].as_str().unwrap()[1..].parse().unwrap();
    match ledger.given - number {
        0 => ledger.given += 1,
        1 => {}
        _ => {
            ledger.ended = true;
            return unauthorized();
        }
    }
    let given = ledger.given;
    Json(json!({"success": true, "data": {"access_token": format!("a{given}"), "refresh_token": format!("r{given}"),
        "expires_in": 900}}))
    .into_response()
}

pub fn is_bad(id: &str) -> bool {
    id.ends_with('7')
}

async fn sync(State(ledger): State<Backend>, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let mut ledger = ledger.lock().unwrap();
    ledger.requests += 1;
    let token: u64 =
        headers["authorization"].to_str().unwrap().trim_start_matches("Bearer a").parse().unwrap();
    if ledger.requests.is_multiple_of(7) {
        ledger.dead = ledger.given;
    }
    if token <= ledger.dead {
        return unauthorized();
    }
    // What vouches is one record and goes as it is.
    let packed = headers.get("content-encoding").is_some();
    let body = match packed {
        true => {
            assert!(ledger.gzip, "compressed only where the backend says so");
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
            Bytes::from(plain)
        }
        false => body,
    };
    if ledger.requests.is_multiple_of(5) {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"success": false}))).into_response();
    }
    if let Some((before, status, answer)) = ledger.answers.get(&key) {
        assert_eq!(*before, body, "the same key for other bytes");
        return (*status, Json(answer.clone())).into_response();
    }
    let batch: Value = serde_json::from_slice(&body).unwrap();
    let ids: Vec<String> = batch["pageVisits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["id"].as_str().unwrap().to_owned())
        .collect();
    let bad: Vec<&String> = ids.iter().filter(|id| is_bad(id)).collect();
    if !bad.is_empty() && ledger.mute {
        return (StatusCode::BAD_REQUEST, "Bad Request").into_response();
    }
    if !bad.is_empty() {
        let named: Vec<Value> =
            bad.iter().map(|id| json!({"kind": "pageVisit", "id": id, "error": "no"})).collect();
        let answer =
            json!({"success": false, "code": "VALIDATION_ERROR", "error": "x", "failed_records": named});
        return (StatusCode::BAD_REQUEST, Json(answer)).into_response();
    }
    let vouches = ledger.mute && ids.len() == 1 && ledger.keys.contains_key(&ids[0]);
    assert!(packed == ledger.gzip || vouches, "compressed where the backend says so");
    match vouches {
        true => ledger.vouched += 1,
        false => {
            for id in &ids {
                ledger.keys.entry(id.clone()).or_default().insert(key.clone());
            }
        }
    }
    let answer = json!({"success": true, "batchId": batch["batchId"],
        "data": {"page_visits_synced": ids.len(), "tab_aggregates_synced": 0, "rejected_records_count": 0}});
    ledger.answers.insert(key, (body, StatusCode::OK, answer.clone()));
    Json(answer).into_response()
}
