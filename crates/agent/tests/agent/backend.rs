//! A backend over real HTTP whose behaviour is scripted.

use axum::body::Bytes;
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// What the scripted backend does with a batch.
#[derive(Clone, Copy, PartialEq)]
pub enum Mood {
    Well,
    Fails,
    Portal,
    Empty,
    /// Names every visit whose id begins with `bad`.
    Picky,
    /// Refuses whatever holds an aggregate, in no words of its own.
    NoAggregates,
    Expired,
    /// Takes the request and never answers.
    Hangs,
    /// Saves it when it is let go.
    Slow,
    /// Fails when it is let go.
    SlowFails,
    /// Lets nobody send, once it is let go.
    SlowForbids,
    /// Asks to be left alone for ten minutes.
    Busy,
    /// The same, said in the body only.
    BusyInside,
}

pub struct Backend {
    pub mood: Mutex<Mood>,
    /// What it holds: user → id → record.
    pub held: Mutex<BTreeMap<String, BTreeMap<String, Value>>>,
    /// Every batch it was sent: user, key, body.
    pub seen: Mutex<Vec<(String, String, Bytes)>>,
    pub received: Notify,
    /// How often tokens were asked for anew, and whether that takes until it is let go.
    pub refreshed: AtomicUsize,
    pub slow_refresh: AtomicBool,
    /// Refresh tokens that were used: each is good once.
    pub spent: Mutex<BTreeSet<String>>,
    pub refresh_asked: Notify,
    pub let_go: Notify,
    /// Sessions cannot be renewed, as with HeyHo's service.
    pub never_renews: AtomicBool,
    /// Tokens of sign-ins before this one are dead.
    pub dead_before: AtomicUsize,
    pub logins: AtomicUsize,
    /// Signed-in questions and batches.
    pub asked: AtomicUsize,
    /// A site was to be deleted.
    pub delete_asked: Notify,
    /// It does not say what it can do, as S0 describes it.
    pub baseline: AtomicBool,
    /// It has no route that says who is signed in.
    pub knows_nobody: AtomicBool,
    /// Signed-in questions are answered when they are let go.
    pub slow_me: AtomicBool,
    pub me_asked: Notify,
}

impl Backend {
    pub fn feel(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn ids(&self, user: &str) -> Vec<String> {
        self.held.lock().unwrap().get(user).map(|held| held.keys().cloned().collect()).unwrap_or_default()
    }
}

pub async fn backend() -> (Arc<Backend>, String) {
    let backend = Arc::new(Backend {
        mood: Mutex::new(Mood::Well),
        held: Mutex::default(),
        seen: Mutex::default(),
        received: Notify::new(),
        refreshed: AtomicUsize::new(0),
        slow_refresh: AtomicBool::new(false),
        spent: Mutex::default(),
        refresh_asked: Notify::new(),
        let_go: Notify::new(),
        never_renews: AtomicBool::new(false),
        dead_before: AtomicUsize::new(0),
        logins: AtomicUsize::new(0),
        asked: AtomicUsize::new(0),
        delete_asked: Notify::new(),
        baseline: AtomicBool::new(false),
        knows_nobody: AtomicBool::new(false),
        slow_me: AtomicBool::new(false),
        me_asked: Notify::new(),
    });
    let app = Router::new()
        .route("/api/v1/capabilities", get(capabilities))
        .route("/api/v1/auth/login", post(login))
        .route("/api/v1/auth/me", get(me))
        .route("/api/v1/auth/refresh", post(refresh))
        .route("/api/v1/auth/logout", post(|| async { StatusCode::NO_CONTENT }))
        .route("/api/v1/data/sync", post(sync))
        .route("/api/v1/browsing_data", delete(delete_site))
        .with_state(backend.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (backend, url)
}

async fn capabilities(Shared(backend): Shared<Arc<Backend>>) -> Response {
    if backend.baseline.load(Ordering::SeqCst) {
        return StatusCode::NOT_FOUND.into_response();
    }
    Json(json!({ "protocol": 1, "features": ["data.sync", "idempotency", "browsing_data.delete"],
        "limits": { "max_page_visits": 1000, "max_tab_aggregates": 1000, "max_body_bytes": 1_048_576 } }))
    .into_response()
}

async fn login(Shared(backend): Shared<Arc<Backend>>, Json(body): Json<Value>) -> Response {
    if body["password"] != "right password" {
        let error = json!({ "success": false, "code": "INVALID_CREDENTIALS", "error": "wrong" });
        return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
    }
    let email = body["email"].as_str().unwrap();
    let token = format!("{email}#{}", backend.logins.fetch_add(1, Ordering::SeqCst));
    Json(json!({ "success": true, "data": { "access_token": token, "refresh_token": format!("refresh of {email}"), "token_type": "Bearer",
        "expires_in": 900, "user": { "id": email, "email": email } } }))
    .into_response()
}

/// Whose token it is; none: it is dead.
fn user(backend: &Backend, headers: &HeaderMap) -> Option<String> {
    backend.asked.fetch_add(1, Ordering::SeqCst);
    let token = headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ");
    let Some((user, number)) = token.split_once('#') else { return Some(token.to_owned()) };
    let alive = number.parse::<usize>().unwrap() >= backend.dead_before.load(Ordering::SeqCst);
    alive.then(|| user.to_owned())
}

fn unauthorized() -> Response {
    let error = json!({ "success": false, "code": "UNAUTHORIZED", "error": "over" });
    (StatusCode::UNAUTHORIZED, Json(error)).into_response()
}

async fn me(Shared(backend): Shared<Arc<Backend>>, headers: HeaderMap) -> Response {
    let Some(user) = user(&backend, &headers) else { return unauthorized() };
    if backend.knows_nobody.load(Ordering::SeqCst) {
        return StatusCode::NOT_FOUND.into_response();
    }
    if backend.slow_me.load(Ordering::SeqCst) {
        backend.me_asked.notify_one();
        backend.let_go.notified().await;
    }
    Json(json!({ "success": true, "data": { "user": { "id": user, "email": user } } })).into_response()
}

async fn refresh(Shared(backend): Shared<Arc<Backend>>, Json(body): Json<Value>) -> Response {
    backend.refreshed.fetch_add(1, Ordering::SeqCst);
    if backend.never_renews.load(Ordering::SeqCst) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let token = body["refresh_token"].as_str().unwrap();
    if backend.slow_refresh.load(Ordering::SeqCst) && backend.spent.lock().unwrap().insert(token.to_owned()) {
        backend.refresh_asked.notify_one();
        backend.let_go.notified().await;
        let user = token.trim_start_matches("refresh of ").trim_end_matches('+');
        return Json(json!({ "success": true, "data": { "access_token": user,
            "refresh_token": format!("{token}+"), "token_type": "Bearer", "expires_in": 900 } }))
        .into_response();
    }
    unauthorized()
}

async fn delete_site(
    Shared(backend): Shared<Arc<Backend>>,
    Query(of): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let Some(user) = user(&backend, &headers) else { return unauthorized() };
    backend.delete_asked.notify_one();
    let mut held = backend.held.lock().unwrap();
    let held = held.entry(user).or_default();
    let before = held.len();
    let of_site = format!("http://{}/", of["domain"]);
    held.retain(|_, record| !record["url"].as_str().unwrap().starts_with(&of_site));
    Json(json!({ "success": true, "data": { "deleted": before - held.len() } })).into_response()
}

async fn sync(Shared(backend): Shared<Arc<Backend>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(user) = user(&backend, &headers) else { return unauthorized() };
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let mood = *backend.mood.lock().unwrap();
    backend.seen.lock().unwrap().push((user.clone(), key, body.clone()));
    backend.received.notify_one();
    let batch: Value = serde_json::from_slice(&body).unwrap();
    let visits = batch["pageVisits"].as_array().unwrap().clone();
    let aggregates = batch["tabAggregates"].as_array().unwrap().clone();
    let error = |status, code: &str| {
        (status, Json(json!({ "success": false, "code": code, "error": code }))).into_response()
    };
    match mood {
        Mood::Fails => return error(StatusCode::INTERNAL_SERVER_ERROR, "SYNC_FAILED"),
        Mood::Portal => return axum::response::Html("<html>Welcome to the hotel</html>").into_response(),
        Mood::Empty => return StatusCode::OK.into_response(),
        Mood::Expired => return error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
        Mood::NoAggregates if !aggregates.is_empty() => {
            return (StatusCode::BAD_REQUEST, "Bad Request").into_response();
        }
        Mood::Hangs => std::future::pending().await,
        Mood::Busy => {
            let error = Json(json!({ "success": false, "code": "RATE_LIMITED", "error": "busy" }));
            return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "600")], error).into_response();
        }
        Mood::BusyInside => {
            let error = Json(json!({ "success": false, "message": "Too many requests", "retry_after": 600 }));
            return (StatusCode::TOO_MANY_REQUESTS, error).into_response();
        }
        Mood::SlowFails => {
            backend.let_go.notified().await;
            return error(StatusCode::INTERNAL_SERVER_ERROR, "SYNC_FAILED");
        }
        Mood::SlowForbids => {
            backend.let_go.notified().await;
            return error(StatusCode::FORBIDDEN, "FORBIDDEN");
        }
        Mood::Slow => backend.let_go.notified().await,
        Mood::Picky => {
            let failed: Vec<Value> = visits
                .iter()
                .enumerate()
                .filter(|(_, v)| v["id"].as_str().unwrap().starts_with("bad"))
                .map(|(index, v)| {
                    json!({ "kind": "pageVisit", "index": index, "id": v["id"], "field": "url", "error": "not liked" })
                })
                .collect();
            if !failed.is_empty() {
                let body = json!({ "success": false, "code": "VALIDATION_ERROR", "error": "some are bad",
                    "failed_records": failed });
                return (StatusCode::BAD_REQUEST, Json(body)).into_response();
            }
        }
        Mood::Well | Mood::NoAggregates => {}
    }
    let mut held = backend.held.lock().unwrap();
    let held = held.entry(user).or_default();
    for record in visits.iter().chain(&aggregates) {
        held.insert(record["id"].as_str().unwrap().to_owned(), record.clone());
    }
    Json(json!({ "success": true, "batchId": batch["batchId"], "data": { "page_visits_synced": visits.len(),
        "tab_aggregates_synced": aggregates.len(), "rejected_records_count": 0, "validation_errors": [] } }))
    .into_response()
}
