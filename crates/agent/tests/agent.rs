//! The agent on a real buffer, against a backend over real HTTP whose behaviour is scripted.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it needs by failing")]

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use heyho_agent::{Agent, StartOptions, start_and_stay, start_or_join};
use heyho_buffer::{Arrival, Buffer, Source};
use heyho_local::clock;
use heyho_local::config::Config;
use heyho_local::paths::Paths;
use heyho_local::socket::Client;
use heyho_local::vocabulary::{
    Companion, FailedPage, Fault, FaultCode, Login, Request, Run, RunSummary, Selection, ask,
};
use heyho_records::status::{Account, State, Status};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// What the scripted backend does with a batch.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Fails,
    Portal,
    Empty,
    /// Names every visit whose id begins with `bad`.
    Picky,
    Expired,
    /// Takes the request and never answers.
    Hangs,
}

struct Backend {
    mood: Mutex<Mood>,
    /// What it holds: user → id → record.
    held: Mutex<BTreeMap<String, BTreeMap<String, Value>>>,
    /// Every batch it was sent: user, key, body.
    seen: Mutex<Vec<(String, String, Bytes)>>,
    received: Notify,
    /// How often tokens were asked for anew, and whether that takes until it is let go.
    refreshed: AtomicUsize,
    slow_refresh: AtomicBool,
    refresh_asked: Notify,
    let_go: Notify,
}

impl Backend {
    fn feel(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn ids(&self, user: &str) -> Vec<String> {
        self.held.lock().unwrap().get(user).map(|held| held.keys().cloned().collect()).unwrap_or_default()
    }
}

async fn backend() -> (Arc<Backend>, String) {
    let backend = Arc::new(Backend {
        mood: Mutex::new(Mood::Well),
        held: Mutex::default(),
        seen: Mutex::default(),
        received: Notify::new(),
        refreshed: AtomicUsize::new(0),
        slow_refresh: AtomicBool::new(false),
        refresh_asked: Notify::new(),
        let_go: Notify::new(),
    });
    let app = Router::new()
        .route("/api/v1/capabilities", get(capabilities))
        .route("/api/v1/auth/login", post(login))
        .route("/api/v1/auth/me", get(me))
        .route("/api/v1/auth/refresh", post(refresh))
        .route("/api/v1/auth/logout", post(|| async { StatusCode::NO_CONTENT }))
        .route("/api/v1/data/sync", post(sync))
        .with_state(backend.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (backend, url)
}

async fn capabilities() -> Json<Value> {
    Json(json!({ "protocol": 1, "features": ["data.sync", "idempotency"],
        "limits": { "max_page_visits": 1000, "max_tab_aggregates": 1000, "max_body_bytes": 1_048_576 } }))
}

async fn login(Json(body): Json<Value>) -> Response {
    if body["password"] != "right password" {
        let error = json!({ "success": false, "code": "INVALID_CREDENTIALS", "error": "wrong" });
        return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
    }
    let email = body["email"].as_str().unwrap();
    Json(json!({ "success": true, "data": { "access_token": email, "refresh_token": format!("refresh of {email}"), "token_type": "Bearer",
        "expires_in": 900, "user": { "id": email, "email": email } } }))
    .into_response()
}

fn user(headers: &HeaderMap) -> String {
    headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned()
}

async fn me(headers: HeaderMap) -> Json<Value> {
    let user = user(&headers);
    Json(json!({ "success": true, "data": { "user": { "id": user, "email": user } } }))
}

async fn refresh(Shared(backend): Shared<Arc<Backend>>, Json(body): Json<Value>) -> Response {
    backend.refreshed.fetch_add(1, Ordering::SeqCst);
    if backend.slow_refresh.load(Ordering::SeqCst) {
        backend.refresh_asked.notify_one();
        backend.let_go.notified().await;
        let user = body["refresh_token"].as_str().unwrap().trim_start_matches("refresh of ").to_owned();
        return Json(json!({ "success": true, "data": { "access_token": user,
            "refresh_token": body["refresh_token"], "token_type": "Bearer", "expires_in": 900 } }))
        .into_response();
    }
    let error = json!({ "success": false, "code": "UNAUTHORIZED", "error": "over" });
    (StatusCode::UNAUTHORIZED, Json(error)).into_response()
}

async fn sync(Shared(backend): Shared<Arc<Backend>>, headers: HeaderMap, body: Bytes) -> Response {
    let user = user(&headers);
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    backend.seen.lock().unwrap().push((user.clone(), key, body.clone()));
    backend.received.notify_one();
    let batch: Value = serde_json::from_slice(&body).unwrap();
    let visits = batch["pageVisits"].as_array().unwrap().clone();
    let aggregates = batch["tabAggregates"].as_array().unwrap().clone();
    let mood = *backend.mood.lock().unwrap();
    let error = |status, code: &str| {
        (status, Json(json!({ "success": false, "code": code, "error": code }))).into_response()
    };
    match mood {
        Mood::Fails => return error(StatusCode::INTERNAL_SERVER_ERROR, "SYNC_FAILED"),
        Mood::Portal => return axum::response::Html("<html>Welcome to the hotel</html>").into_response(),
        Mood::Empty => return StatusCode::OK.into_response(),
        Mood::Expired => return error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
        Mood::Hangs => std::future::pending().await,
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
        Mood::Well => {}
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

struct World {
    dir: tempfile::TempDir,
    config: Config,
}

struct Running {
    companion: Arc<dyn Companion>,
    agent: Agent,
}

impl World {
    fn new(url: &str) -> World {
        let text = format!("[backend]\nurl = \"{url}\"\n[tokens]\nstore = \"file\"\n");
        World { dir: tempfile::tempdir().unwrap(), config: Config::parse(&text, "config.toml").unwrap() }
    }

    fn paths(&self) -> Paths {
        let of = |name: &str| self.dir.path().join(name);
        Paths { data: of("data"), config: of("config"), state: of("state"), runtime: of("run") }
    }

    async fn start(&self) -> Running {
        let options = StartOptions {
            paths: self.paths(),
            config: self.config.clone(),
            clock: clock::system(),
            open: None,
            first_run: true,
        };
        let started = start_or_join(options).await.unwrap();
        Running { companion: started.companion, agent: started.agent.unwrap() }
    }

    /// As a host does: straight into the buffer.
    async fn append(&self, ids: &[&str]) {
        let buffer = Buffer::open(&self.paths().buffer()).await.unwrap();
        let texts: Vec<String> = ids
            .iter()
            .map(|id| format!(r#"{{"id":"{id}","url":"http://a/{id}","startedAt":1700000000000}}"#))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let source = Source {
            name: "ext#p".into(),
            profile_id: "p".into(),
            browser: "Chromium".into(),
            client: String::new(),
        };
        let now = clock::system().now_ms();
        buffer.append(&source, &[Arrival::read(None, &texts, &[])], 0, now).await.unwrap();
        buffer.close().await;
    }
}

impl Running {
    async fn login(&self, email: &str, password: &str) -> Result<Account, Fault> {
        let login = Login {
            email: email.into(),
            password: password.into(),
            backend: None,
            register: false,
            first_name: None,
            last_name: None,
            claim: None,
        };
        ask(self.companion.as_ref(), Request::Login(login)).await
    }

    async fn sync(&self) -> Result<RunSummary, Fault> {
        ask(self.companion.as_ref(), Request::Sync { wait: true }).await
    }

    async fn until(&self, what: &str, holds: impl Fn(&Status) -> bool) -> Status {
        let mut watch = self.companion.watch();
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                if let Some(status) = watch.borrow_and_update().as_ref().filter(|s| holds(s)) {
                    return status.clone();
                }
                watch.changed().await.unwrap();
            }
        });
        match waited.await {
            Ok(status) => status,
            Err(_) => panic!("not within 30 s: {what}; it is {:?}", *self.companion.watch().borrow()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_delivered_at_sign_in_and_then_all_is_well() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    world.append(&["a", "b"]).await;
    let agent = world.start().await;
    let status = agent.until("signed out", |s| s.state == State::SignedOut).await;
    assert_eq!(status.unclaimed, 2);
    let wrong = agent.login("u@x", "wrong password").await.unwrap_err();
    assert_eq!(wrong.code, FaultCode::WrongCredentials);
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    assert_eq!(backend.ids("u@x"), ["a", "b"]);
    let runs: Vec<Run> = ask(agent.companion.as_ref(), Request::History { limit: 10 }).await.unwrap();
    assert_eq!((runs.len(), runs[0].sent, runs[0].outcome.as_str()), (1, 2, "emptied"));
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_a_host_is_seen_without_a_nudge() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.until("empty", |s| s.unclaimed == 0).await;
    world.append(&["a"]).await;
    agent.until("one record", |s| s.unclaimed == 1).await;
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_no_proof_deletes_nothing_and_says_so() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    world.append(&["a"]).await;
    for (mood, words) in
        [(Mood::Portal, "web page"), (Mood::Empty, "empty"), (Mood::Fails, "fault of its own")]
    {
        backend.feel(mood);
        // the attempts of a run are spent in well under a minute; Sync now cuts the waits between them short
        let summary = tokio::time::timeout(Duration::from_secs(60), async {
            let mut waiting = tokio::spawn({
                let companion = agent.companion.clone();
                async move { ask::<RunSummary>(companion.as_ref(), Request::Sync { wait: true }).await }
            });
            loop {
                tokio::select! {
                    done = &mut waiting => return done.unwrap().unwrap(),
                    () = backend.received.notified() => {
                        agent.companion.call(Request::Sync { wait: false }).await.unwrap();
                    }
                }
            }
        })
        .await
        .unwrap();
        assert_eq!((summary.sent, summary.waiting), (0, 1), "{words}");
        assert_eq!(summary.fault, Some(FaultCode::BackendUnreachable));
        let says = |s: &Status| s.reason.as_deref().is_some_and(|reason| reason.contains(words));
        let status = agent.until(words, |s| s.state == State::Retrying && says(s)).await;
        assert!(status.next_attempt_at.is_some());
        assert_eq!(status.backlog.records(), 1);
    }
    backend.feel(Mood::Well);
    assert_eq!(agent.sync().await.unwrap().sent, 1);
    assert_eq!(backend.ids("u@x"), ["a"]);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_the_backend_names_is_set_aside_and_the_rest_goes_on() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Picky);
    world.append(&["a", "bad1", "b", "bad2"]).await;
    let summary = agent.sync().await.unwrap();
    assert_eq!((summary.sent, summary.failed, summary.waiting), (2, 2, 0));
    assert_eq!(backend.ids("u@x"), ["a", "b"]);
    agent.until("needs attention", |s| s.state == State::NeedsAttention && s.failed == 2).await;
    let list = || Request::FailedList { after: 0, limit: 10, reason: None };
    let page: FailedPage = ask(agent.companion.as_ref(), list()).await.unwrap();
    assert_eq!(page.total, 2);
    assert!(page.records[0].text.contains("not liked"), "{:?}", page.records[0]);
    // the backend has changed its mind, and the user presses Retry
    backend.feel(Mood::Well);
    let which = Selection::Ids(vec![page.records[0].number]);
    agent.companion.call(Request::FailedRetry { which }).await.unwrap();
    agent.until("one left", |s| s.failed == 1 && s.backlog.records() == 0).await;
    agent.companion.call(Request::FailedDiscard { which: Selection::All }).await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    assert_eq!(backend.ids("u@x"), ["a", "b", "bad1"]);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_flight_when_the_agent_ended_is_sent_again_to_the_letter() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Hangs);
    world.append(&["a"]).await;
    agent.companion.call(Request::Sync { wait: false }).await.unwrap();
    backend.received.notified().await;
    drop(agent); // as a crash does: no goodbye
    world.append(&["b"]).await;
    backend.feel(Mood::Well);
    let agent = world.start().await;
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    assert_eq!(backend.ids("u@x"), ["a", "b"]);
    let seen = backend.seen.lock().unwrap().clone();
    assert_eq!((&seen[0].1, &seen[0].2), (&seen[1].1, &seen[1].2), "the same key and bytes");
    assert_ne!(seen[1].1, seen[2].1);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_account_in_the_middle_of_a_request_carries_nothing_across() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("a@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Hangs);
    world.append(&["of-a"]).await;
    agent.companion.call(Request::Sync { wait: false }).await.unwrap();
    backend.received.notified().await;
    agent.login("b@x", "right password").await.unwrap();
    backend.feel(Mood::Well);
    world.append(&["of-b"]).await;
    agent.sync().await.unwrap();
    assert_eq!((backend.ids("a@x"), backend.ids("b@x")), (vec![], vec!["of-b".to_owned()]));
    let status = agent.until("another account", |s| !s.other_accounts.is_empty()).await;
    assert_eq!((status.other_accounts[0].email.as_str(), status.other_accounts[0].waiting), ("a@x", 1));
    agent.companion.call(Request::Logout).await.unwrap();
    agent.until("signed out", |s| s.state == State::SignedOut).await;
    assert_eq!(agent.sync().await.unwrap_err().code, FaultCode::SignInNeeded);
    agent.login("a@x", "right password").await.unwrap();
    agent.until("delivered", |s| s.state == State::UpToDate).await;
    assert_eq!(backend.ids("a@x"), ["of-a"]);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_over_is_said_and_stays_over_after_a_start() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Expired);
    world.append(&["a"]).await;
    let summary = agent.sync().await.unwrap();
    assert_eq!((summary.fault, summary.waiting), (Some(FaultCode::SignInNeeded), 1));
    agent.until("session expired", |s| s.state == State::SessionExpired).await;
    agent.agent.shutdown().await;
    // tokens that are gone are the same
    std::fs::remove_file(world.paths().token_file()).unwrap();
    let agent = world.start().await;
    agent.until("session expired", |s| s.state == State::SessionExpired).await;
    backend.feel(Mood::Well);
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    assert_eq!(backend.ids("u@x"), ["a"]);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_also_across_a_start_until_it_is_resumed() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    agent.companion.call(Request::Pause { seconds: None }).await.unwrap();
    world.append(&["a"]).await;
    assert_eq!(agent.sync().await.unwrap_err().code, FaultCode::TryLater);
    agent.agent.shutdown().await;
    let agent = world.start().await;
    agent.until("paused", |s| s.state == State::Paused && s.backlog.records() == 1).await;
    assert!(backend.ids("u@x").is_empty());
    agent.companion.call(Request::Resume).await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    assert_eq!(backend.ids("u@x"), ["a"]);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_is_a_client_of_the_first_and_becomes_the_agent_when_that_is_gone() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let first = world.start().await;
    let options = || StartOptions {
        paths: world.paths(),
        config: world.config.clone(),
        clock: clock::system(),
        open: None,
        first_run: true,
    };
    let second = start_or_join(options()).await.unwrap();
    assert!(second.agent.is_none());
    let status: Status = ask(second.companion.as_ref(), Request::Status).await.unwrap();
    assert_eq!(status.state, State::SignedOut);
    let fault = second.companion.call(Request::Open).await.unwrap_err();
    assert_eq!(fault.code, FaultCode::NoWindow);
    first.agent.shutdown().await;
    assert!(start_or_join(options()).await.unwrap().agent.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_connected_for_as_long_as_its_host_is() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    world.append(&["a"]).await;
    let agent = world.start().await;
    agent.until("seen", |s| s.browsers.len() == 1 && !s.browsers[0].connected).await;
    let host = Client::connect(&world.paths().socket()).await.unwrap();
    host.call(Request::Attach { source: "ext#p".into() }).await.unwrap();
    agent.until("connected", |s| s.browsers[0].connected).await;
    drop(host);
    agent.until("gone", |s| !s.browsers[0].connected).await;
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_come_late_are_never_used_for_another_account() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("a@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    // a's session has to be refreshed, and that takes a while; meanwhile b signs in
    backend.slow_refresh.store(true, Ordering::SeqCst);
    backend.feel(Mood::Expired);
    world.append(&["of-a"]).await;
    agent.companion.call(Request::Sync { wait: false }).await.unwrap();
    backend.refresh_asked.notified().await;
    let login = tokio::spawn({
        let companion = agent.companion.clone();
        async move {
            let login = Login {
                email: "b@x".into(),
                password: "right password".into(),
                backend: None,
                register: false,
                first_name: None,
                last_name: None,
                claim: None,
            };
            ask::<Account>(companion.as_ref(), Request::Login(login)).await
        }
    });
    backend.let_go.notify_waiters();
    login.await.unwrap().unwrap();
    backend.let_go.notify_waiters();
    backend.feel(Mood::Well);
    world.append(&["of-b"]).await;
    agent.sync().await.unwrap();
    assert_eq!((backend.ids("a@x"), backend.ids("b@x")), (vec![], vec!["of-b".to_owned()]));
    let stored = std::fs::read_to_string(world.paths().token_file()).unwrap();
    assert!(stored.contains("refresh of b@x") && !stored.contains("a@x"), "{stored}");
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_over_leaves_the_backend_alone_however_much_waits() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Expired);
    let ids: Vec<String> = (0..250).map(|n| format!("v{n}")).collect();
    world.append(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    agent.until("session expired", |s| s.state == State::SessionExpired && s.backlog.records() == 250).await;
    let asked = || (backend.seen.lock().unwrap().len(), backend.refreshed.load(Ordering::SeqCst));
    let before = asked();
    // each commit of a host makes the agent look at the buffer
    for n in 0..5 {
        world.append(&[&format!("more{n}")]).await;
        agent.until("seen", |s| s.backlog.records() == 251 + n).await;
    }
    assert_eq!(asked(), before);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_stops_until_the_next_regular_run_which_comes() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Fails);
    let ids: Vec<String> = (0..250).map(|n| format!("v{n}")).collect();
    world.append(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    backend.received.notified().await;
    agent.companion.call(Request::Stop).await.unwrap();
    let stopped = agent
        .until("stopped", |s| {
            let ended = s.last_sync.as_ref().is_some_and(|last| last.outcome == "stopped");
            ended && s.state != State::Syncing && s.next_attempt_at.is_some()
        })
        .await;
    assert_eq!(stopped.backlog.records(), 250);
    let before = backend.seen.lock().unwrap().len();
    world.append(&["one-more"]).await;
    agent.until("seen", |s| s.backlog.records() == 251).await;
    assert_eq!(backend.seen.lock().unwrap().len(), before);
    backend.feel(Mood::Well);
    assert_eq!(agent.sync().await.unwrap().sent, 251);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_stays_becomes_the_agent_when_the_one_it_joined_ends() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let first = world.start().await;
    let options = StartOptions {
        paths: world.paths(),
        config: world.config.clone(),
        clock: clock::system(),
        open: None,
        first_run: true,
    };
    let stayed = start_and_stay(options).await.unwrap();
    let mut watch = stayed.companion.watch();
    let signed_out = |s: &Option<Status>| s.as_ref().is_some_and(|s| s.state == State::SignedOut);
    watch.wait_for(signed_out).await.unwrap();
    first.agent.shutdown().await;
    // whoever holds the companion goes on with the same one
    world.append(&["a"]).await;
    watch.wait_for(|s| s.as_ref().is_some_and(|s| s.unclaimed == 1)).await.unwrap();
    let login = Login {
        email: "u@x".into(),
        password: "right password".into(),
        backend: None,
        register: false,
        first_name: None,
        last_name: None,
        claim: None,
    };
    stayed.companion.call(Request::Login(login)).await.unwrap();
    watch.wait_for(|s| s.as_ref().is_some_and(|s| s.state == State::UpToDate)).await.unwrap();
    assert_eq!(backend.ids("u@x"), ["a"]);
    stayed.shutdown().await;
    assert!(heyho_agent::AgentLock::take(&world.paths().agent_lock()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_buffer_never_prevents_the_start_and_what_was_saved_is_said() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    world.append(&["a", "b"]).await;
    let file = world.paths().buffer();
    let mut bytes = std::fs::read(&file).unwrap();
    for byte in bytes.iter_mut().skip(100).take(3_000) {
        *byte = !*byte;
    }
    std::fs::write(&file, bytes).unwrap();
    let agent = world.start().await;
    let status = agent.until("a status", |_| true).await;
    assert_eq!(status.state, State::SignedOut);
    agent.login("u@x", "right password").await.unwrap();
    let status = agent.until("up to date", |s| s.state == State::UpToDate).await;
    assert!(status.reason.as_ref().unwrap().contains("was damaged"), "{status:?}");
    world.append(&["c"]).await;
    agent.sync().await.unwrap();
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_there_is_room_again_arrivals_are_taken_also_with_nothing_to_drain() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    world.append(&["a"]).await;
    // as a full disk left it, which has room by now
    Buffer::open(&world.paths().buffer()).await.unwrap().release_ballast().unwrap();
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    let buffer = Buffer::open(&world.paths().buffer()).await.unwrap();
    buffer.release_ballast().unwrap();
    // the second run begins when all that belongs to the first is done
    agent.sync().await.unwrap();
    agent.sync().await.unwrap();
    assert_eq!(buffer.problem().await.unwrap(), None);
    world.append(&["b"]).await;
    agent.sync().await.unwrap();
    assert_eq!(backend.ids("u@x"), ["a", "b"]);
    agent.agent.shutdown().await;
}
