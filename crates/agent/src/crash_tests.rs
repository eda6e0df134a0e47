//! The program dies at each named point of the loop: nothing is lost, nothing is sent under two keys, nothing
//! good is set aside, and no session ends. The ledger is the backend's: which keys each record came under, and which
//! tokens it has given. Half of the seeds speak to a backend of the contract, with gzip, half in baseline mode. Each life
//! has a runtime of its own, so that nothing goes on after its death. `HEYHO_SEEDS`.

use crate::account::Keeper;
use crate::carry::Carrier;
use crate::live::Live;
use crate::monotonic::Monotonic;
use crate::tokenholder::Tokenholder;
use crate::tokens::{FileStore, Stored};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use heyho_buffer::{Account, Arrival, Buffer, SignedIn, Source};
use heyho_local::clock;
use heyho_sync::base_url::BaseUrl;
use heyho_sync::core::Core;
use heyho_sync::driver::{Driver, DriverConfig, ProxySetting};
use heyho_sync::policy::Policy;
use heyho_sync::secret::Secret;
use heyho_sync::task::{Outcome, Task, Trigger};
use heyho_sync::why::Why;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

const RECORDS: usize = 40;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Point {
    BeforeTheBatch,
    WithinTheBatch,
    BatchPersisted,
    WithinTheRequest,
    Answered,
    WithinTheSettlement,
    Settled,
    WithinTheRenewal,
    Renewed,
}

const POINTS: [Point; 9] = [
    Point::BeforeTheBatch,
    Point::WithinTheBatch,
    Point::BatchPersisted,
    Point::WithinTheRequest,
    Point::Answered,
    Point::WithinTheSettlement,
    Point::Settled,
    Point::WithinTheRenewal,
    Point::Renewed,
];

/// Which of these is at this task: before it, within it, after it.
fn points_of(task: &Task) -> [Option<Point>; 3] {
    match task {
        Task::TakeBatch(_) => [Some(Point::BeforeTheBatch), Some(Point::WithinTheBatch), None],
        Task::Send { .. } => [Some(Point::BatchPersisted), Some(Point::WithinTheRequest), None],
        Task::Settle(_) => [Some(Point::Answered), Some(Point::WithinTheSettlement), Some(Point::Settled)],
        Task::RefreshToken => [None, Some(Point::WithinTheRenewal), Some(Point::Renewed)],
        _ => [None; 3],
    }
}

/// Keeps its answers by key, as the contract says; some records it names as bad, some requests it fails.
#[derive(Default)]
struct Ledger {
    answers: BTreeMap<String, (Bytes, StatusCode, Value)>,
    keys: BTreeMap<String, BTreeSet<String>>,
    requests: u64,
    gzip: bool,
    /// The tokens that were given last have this number; access tokens up to that one are dead.
    given: u64,
    dead: u64,
    renewals: u64,
    /// A token was used again after its grace: the session is over.
    ended: bool,
}

type Backend = Arc<Mutex<Ledger>>;

async fn backend(gzip: bool) -> (Backend, String) {
    let ledger = Backend::default();
    *ledger.lock().unwrap() = Ledger { gzip, given: 1, ..Ledger::default() };
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

fn is_bad(id: &str) -> bool {
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
    let packed = headers.get("content-encoding").is_some();
    assert_eq!(packed, ledger.gzip, "compressed where the backend says so, and only there");
    let body = match packed {
        true => {
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
    if !bad.is_empty() {
        let named: Vec<Value> =
            bad.iter().map(|id| json!({"kind": "pageVisit", "id": id, "error": "no"})).collect();
        let answer =
            json!({"success": false, "code": "VALIDATION_ERROR", "error": "x", "failed_records": named});
        return (StatusCode::BAD_REQUEST, Json(answer)).into_response();
    }
    for id in &ids {
        ledger.keys.entry(id.clone()).or_default().insert(key.clone());
    }
    let answer = json!({"success": true, "batchId": batch["batchId"],
        "data": {"page_visits_synced": ids.len(), "tab_aggregates_synced": 0, "rejected_records_count": 0}});
    ledger.answers.insert(key, (body, StatusCode::OK, answer.clone()));
    Json(answer).into_response()
}

/// One life of the program, to its end or to the n-th time it comes to a point. `true`: it ended by itself.
async fn live(file: &Path, account: &Account, url: &str, crash: Option<(Point, u64)>, polls: u64) -> bool {
    let (buffer, clock) = (Buffer::open(file).await.unwrap(), clock::system());
    let first = Stored {
        account_ref: account.r#ref.clone(),
        access_token: Secret::new("a1"),
        refresh_token: Some(Secret::new("r1")),
        expires_at: None,
        kept_login: None,
    };
    let keeper = Keeper::new(Arc::new(FileStore::new(file.with_extension("tokens"))));
    let stored = match keeper.load().await.unwrap() {
        Some(stored) => stored,
        None => {
            keeper.save(first.clone()).await;
            first
        }
    };
    let driver = Driver::new(&DriverConfig {
        base_url: BaseUrl::parse(url, false).unwrap(),
        ca_file: None,
        proxy: ProxySetting::Off,
        device_id: "d".into(),
        user_agent: "t".into(),
    })
    .unwrap();
    let mut carrier = Carrier::new(
        buffer,
        driver,
        Tokenholder::new(keeper, clock.clone(), stored),
        account.id,
        "d".into(),
        clock.clone(),
        Monotonic::start(clock.clone()),
        Arc::new(Live::default()),
    );
    let mut core = Core::new(Policy { batch_page_visits: 7, ..Policy::default() });
    let mut left = crash.map_or(u64::MAX, |(_, times)| times);
    let mut dies = |point: Option<Point>| {
        let hit = point.is_some() && point == crash.map(|(point, _)| point);
        left -= u64::from(hit);
        hit && left == 0
    };
    let mut task = core.begin(Trigger::SyncNow, 0, 0.5);
    loop {
        if let Task::Finish(end) = &task {
            assert_ne!(end.why, Why::SessionExpired, "{crash:?}");
            return true;
        }
        let [before, within, after] = points_of(&task);
        if dies(before) {
            return false;
        }
        let outcome = if matches!(task, Task::Wait { .. }) {
            Outcome::Woken
        } else if dies(within) {
            // Dropped where it waits for the n-th time.
            let mut work = pin!(carrier.carry(&task));
            let mut polled = 0;
            let cut = std::future::poll_fn(|context| {
                polled += 1;
                match work.as_mut().poll(context) {
                    Poll::Ready(_) => Poll::Ready(()),
                    Poll::Pending if polled >= polls => Poll::Ready(()),
                    Poll::Pending => Poll::Pending,
                }
            });
            cut.await;
            return false;
        } else {
            carrier.carry(&task).await
        };
        if dies(after) {
            return false;
        }
        task = core.told(outcome, 0, 0.5);
    }
}

/// The same on a runtime of its own.
async fn live_alone(
    file: &Path,
    account: &Account,
    url: &str,
    crash: Option<(Point, u64)>,
    polls: u64,
) -> bool {
    let (file, account, url) = (file.to_owned(), account.clone(), url.to_owned());
    let life = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(live(&file, &account, &url, crash, polls));
        runtime.shutdown_background();
        ended
    };
    tokio::task::spawn_blocking(life).await.unwrap()
}

async fn crash_and_go_on(point: Point, seed: u64) {
    let (dir, (ledger, url)) = (tempfile::tempdir().unwrap(), backend(seed.is_multiple_of(2)).await);
    let file = dir.path().join("buffer.db");
    let buffer = Buffer::open(&file).await.unwrap();
    let now = clock::system().now_ms();
    let who =
        SignedIn { backend: url.clone(), user_id: "u".into(), email: "u@x".into(), claim_others: false };
    let (account, _) = buffer.sign_in(&who, now).await.unwrap();
    let ids: Vec<String> = (0..RECORDS).map(|n| format!("v{n}")).collect();
    let text = |id: &String| format!(r#"{{"id":"{id}","url":"http://a/{id}","startedAt":1700000000000}}"#);
    let texts: Vec<String> = ids.iter().map(text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let source =
        Source { name: "e#p".into(), profile_id: "p".into(), browser: String::new(), client: String::new() };
    buffer.append(&source, &[Arrival::read(None, &texts, &[])], 0, now).await.unwrap();
    buffer.close().await;

    // It dies twice, the second time on the way back.
    for life in 1..=2 {
        live_alone(&file, &account, &url, Some((point, 1 + (seed + life) % 4)), 1 + seed % 7).await;
    }
    let buffer = Buffer::open(&file).await.unwrap();
    let totals = async || buffer.totals(Some(account.id), now).await.unwrap();
    let mut lives = 0;
    while totals().await.waiting() > 0 {
        lives += 1;
        assert!(lives < 20, "{point:?}, seed {seed}: it never ends");
        live_alone(&file, &account, &url, None, 0).await;
    }
    let bad = ids.iter().filter(|id| is_bad(id)).count();
    assert_eq!(totals().await.failed, bad as u64, "{point:?}, seed {seed}");
    let ledger = ledger.lock().unwrap();
    assert!(!ledger.ended && ledger.renewals > 0, "{point:?}, seed {seed}: the session ended");
    let held: BTreeSet<&String> = ledger.keys.keys().collect();
    assert_eq!(held, ids.iter().filter(|id| !is_bad(id)).collect(), "{point:?}, seed {seed}");
    let twice: Vec<_> = ledger.keys.iter().filter(|(_, keys)| keys.len() != 1).collect();
    assert!(twice.is_empty(), "{point:?}, seed {seed}: under several keys: {twice:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "torture reads the figures")]
async fn wherever_it_dies_each_record_arrives_under_one_key() {
    let seeds = std::env::var("HEYHO_SEEDS").ok().map_or(20, |text| text.parse().unwrap());
    for point in POINTS {
        for seed in 0..seeds {
            crash_and_go_on(point, seed).await;
        }
    }
    println!("figures: {} crashes at {} points", seeds * 2 * POINTS.len() as u64, POINTS.len());
}
