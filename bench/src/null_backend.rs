//! A backend that accounts for everything and keeps nothing: what is left is the cost of delivering. It looks at
//! bodies no more than it must to count their records, on a loopback port, with a thread pool of its own.

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Each record on the wire carries this once.
const MARK: &str = "\"companionRevision\":";

#[derive(Debug, Default)]
pub struct Seen {
    pub records: u64,
    pub first: Option<Instant>,
    pub last: Option<Instant>,
    /// Seconds since the first request, and records until then.
    pub course: Vec<(f64, u64)>,
    /// The bodies, where they are kept.
    pub bodies: Option<Vec<Bytes>>,
}

impl Seen {
    /// Seconds from the first byte of the first request to the last answer.
    pub fn seconds(&self) -> Option<f64> {
        Some(self.last?.duration_since(self.first?).as_secs_f64())
    }
}

#[derive(Debug, Clone)]
pub struct NullBackend {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    /// Ends with the last handle.
    _runtime: Arc<Runtime>,
}

#[derive(Debug)]
struct Runtime(Option<tokio::runtime::Runtime>);

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl NullBackend {
    pub fn start() -> Result<NullBackend> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let router = router(seen.clone());
        runtime.spawn(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            let _ = axum::serve(listener, router).await;
        });
        Ok(NullBackend { port, seen, _runtime: Arc::new(Runtime(Some(runtime))) })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts from nothing again; keeps the bodies if so wanted.
    pub fn reset(&self, keep_bodies: bool) -> Seen {
        std::mem::replace(&mut self.lock(), Seen { bodies: keep_bodies.then(Vec::new), ..Seen::default() })
    }

    pub fn records(&self) -> u64 {
        self.lock().records
    }

    /// Waits until so many records have come, as long as `alive` says that they may.
    pub async fn received(&self, records: u64, mut alive: impl FnMut() -> Result<()>) -> Result<()> {
        let begun = Instant::now();
        while self.records() < records {
            alive()?;
            anyhow::ensure!(begun.elapsed().as_secs() < 1_800, "only {} of {records} came", self.records());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

fn router(seen: Arc<Mutex<Seen>>) -> Router {
    let session = json!({"success": true, "data": {
        "access_token": "null.null.null", "refresh_token": "null", "token_type": "Bearer", "expires_in": 86_400,
        "user": {"id": "null", "email": e2e::companion::EMAIL}}});
    let user = json!({"success": true, "data": {"user": session["data"]["user"]}});
    let given = move || std::future::ready(Json(session.clone()));
    Router::new()
        .route("/api/v1/auth/register", post(given.clone()))
        .route("/api/v1/auth/login", post(given.clone()))
        .route("/api/v1/auth/refresh", post(given))
        .route("/api/v1/auth/me", get(move || std::future::ready(Json(user.clone()))))
        .route("/api/v1/capabilities", get(capabilities))
        .route("/api/v1/data/sync", post(sync))
        .layer(DefaultBodyLimit::disable())
        .with_state(seen)
}

async fn capabilities() -> Json<Value> {
    Json(json!({"protocol": 1, "features": ["data.sync", "idempotency"],
                "limits": {"max_page_visits": 1000, "max_tab_aggregates": 1000, "max_body_bytes": 67_108_864}}))
}

async fn sync(State(seen): State<Arc<Mutex<Seen>>>, body: Bytes) -> Json<Value> {
    let (visits, aggregates, batch) = count(&body).unwrap_or_default();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let first = *seen.first.get_or_insert(now);
    seen.last = Some(now);
    seen.records += visits + aggregates;
    let point = (now.duration_since(first).as_secs_f64(), seen.records);
    seen.course.push(point);
    if let Some(bodies) = &mut seen.bodies {
        bodies.push(body);
    }
    Json(json!({"success": true, "batchId": batch, "version": 1, "feed_epoch": "null",
        "data": {"page_visits_synced": visits, "tab_aggregates_synced": aggregates,
                 "rejected_records_count": 0, "validation_errors": []}}))
}

/// Visits, aggregates, and the batch's id.
fn count(body: &[u8]) -> Result<(u64, u64, String)> {
    let body = std::str::from_utf8(body)?;
    let (visits, aggregates) = body.split_once("\"tabAggregates\":").context("a batch has both lists")?;
    let (_, id) = body.split_once("\"batchId\":\"").context("a batch has an id")?;
    let id = id.get(..36).context("an id has 36 characters")?;
    Ok((times(visits), times(aggregates), id.to_owned()))
}

fn times(part: &str) -> u64 {
    part.matches(MARK).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_counted_by_kind() {
        let body = br#"{"batchId":"01920000-0000-7000-8000-000000000000","pageVisits":[{"companionRevision":1}],"tabAggregates":[{"companionRevision":1},{"companionRevision":2}]}"#;
        let (visits, aggregates, id) = count(body).unwrap();
        assert_eq!((visits, aggregates), (1, 2));
        assert_eq!(id, "01920000-0000-7000-8000-000000000000");
    }
}
