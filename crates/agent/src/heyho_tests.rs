//! HeyHo's published service as it behaves (field notes), spoken to from the real buffer: what is tied to what is
//! found in SQLite here, where the suite of the core (`heyho-sync`, `core/tests/heyho.rs`) keeps it in memory.
//! `HEYHO_TABS`: tabs of each of two profiles.

use crate::account::Keeper;
use crate::carry::Carrier;
use crate::live::Live;
use crate::monotonic::Monotonic;
use crate::tokenholder::Tokenholder;
use crate::tokens::{FileStore, Stored};
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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Each session has a number of its own, and later ones are greater.
static SIGN_INS: AtomicU64 = AtomicU64::new(0);

const T0: u64 = 1_700_000_000_000;

#[derive(Default)]
struct HeyHo {
    /// Written over by their id, whoever sends them: whose each is, and how long it lasted.
    visits: BTreeMap<String, (String, u64)>,
    /// And which visit each is tied to, and until when it lasted.
    aggregates: BTreeMap<String, (String, u64)>,
    requests: u64,
    /// Requests in which an id stood twice, and that held too many records.
    twice: u64,
    too_many: u64,
    /// Sessions of sign-ins before this one are over; and the tokens that were refused for it.
    hour: u64,
    over: u64,
    /// `/auth/refresh` was asked for: it has none.
    renewals: u64,
}

type Service = Arc<Mutex<HeyHo>>;

async fn service() -> (Service, String) {
    let heyho = Service::default();
    let app = Router::new()
        .route("/api/v1/users/me", get(async || Json(json!({"data": {"id": 7}}))))
        .route("/api/v1/data/sync", post(sync))
        // It has no such route; asked for it is counted.
        .route("/api/v1/auth/refresh", post(refresh))
        .with_state(heyho.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (heyho, url)
}

fn refused(visit: &Value) -> bool {
    visit["url"].as_str().is_none_or(|url| url.contains('|'))
}

async fn refresh(State(heyho): State<Service>) -> StatusCode {
    heyho.lock().unwrap().renewals += 1;
    StatusCode::NOT_FOUND
}

async fn sync(State(heyho): State<Service>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let token = headers["authorization"].to_str().unwrap().to_owned();
    let (user, session) = token.rsplit_once('#').unwrap();
    let user = user.to_owned();
    let mut heyho = heyho.lock().unwrap();
    heyho.requests += 1;
    // An hour is as long as so many requests take.
    if heyho.requests.is_multiple_of(20) {
        heyho.hour = session.parse::<u64>().unwrap() + 1;
    }
    if session.parse::<u64>().unwrap() < heyho.hour {
        heyho.over += 1;
        let error = json!({"success": false, "message": "Unauthorized"});
        return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
    }
    let failed = || {
        let error = json!({"success": false, "message": "Data sync failed"});
        (StatusCode::INTERNAL_SERVER_ERROR, Json(error)).into_response()
    };
    let (visits, aggregates) =
        (body["pageVisits"].as_array().unwrap(), body["tabAggregates"].as_array().unwrap());
    let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
    // Two rows of one id in one upsert are an error of the database.
    let twice = |records: &[Value]| records.iter().map(id).collect::<BTreeSet<_>>().len() != records.len();
    if twice(visits) || twice(aggregates) {
        heyho.twice += 1;
        return failed();
    }
    if visits.len() + aggregates.len() > 1_000 {
        heyho.too_many += 1;
        let error = json!({"success": false, "message": "Too many records", "errors": []});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    let mut known: BTreeSet<String> = heyho.visits.keys().cloned().collect();
    let (mut errors, mut saved) = (Vec::new(), Vec::new());
    for visit in visits {
        if refused(visit) {
            errors.push(json!({"record_id": visit["id"], "record_type": "PageVisit", "field": "url",
                "message": "is invalid"}));
            continue;
        }
        if visit["source_page_visit_id"].as_str().is_some_and(|opener| !known.contains(opener)) {
            return failed();
        }
        known.insert(id(visit));
        saved.push((id(visit), (user.clone(), visit["duration"].as_u64().unwrap_or_default())));
    }
    let mut tied = Vec::new();
    for aggregate in aggregates {
        // The other shape: tied to the visit that it names, which must be there.
        if let Some(visit) = aggregate["page_visit_id"].as_str().filter(|_| aggregate.get("tabId").is_none())
        {
            if !known.contains(visit) {
                return failed();
            }
            tied.push((id(aggregate), (visit.to_owned(), 0)));
            continue;
        }
        match visits.iter().find(|visit| visit["tabId"] == aggregate["tabId"]) {
            Some(visit) if refused(visit) => return failed(),
            Some(visit) if aggregate["totalActiveDuration"].as_f64().unwrap() < 3.2e10 => {
                assert_eq!(
                    visit["companionSource"], aggregate["companionSource"],
                    "tabs of two profiles mixed"
                );
                tied.push((id(aggregate), (id(visit), aggregate["lastActiveTime"].as_u64().unwrap())));
            }
            _ => {}
        }
    }
    if saved.is_empty() && tied.is_empty() && !errors.is_empty() {
        let error = json!({"success": false, "message": "All records were rejected", "errors": []});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    let data = json!({"page_visits_synced": saved.len(), "tab_aggregates_synced": tied.len(),
        "rejected_records_count": errors.len(), "data_quality_score": 97.5, "validation_errors": errors});
    heyho.visits.extend(saved);
    heyho.aggregates.extend(tied);
    Json(json!({"success": true, "message": "ok", "data": data})).into_response()
}

/// Runs until nothing waits; waits are not waited for, and whose session is over signs in anew.
async fn drain(buffer: &Buffer, account: &Account, url: &str, dir: &std::path::Path) {
    drain_for(buffer, account, url, dir, 60, Policy::default()).await;
    assert_eq!(buffer.totals(Some(account.id), 0).await.unwrap().waiting(), 0, "it never ends");
}

/// The same for so many runs, and with these limits.
async fn drain_for(
    buffer: &Buffer,
    account: &Account,
    url: &str,
    dir: &std::path::Path,
    most: u32,
    policy: Policy,
) {
    let clock = clock::system();
    let mut sign_in = SIGN_INS.fetch_add(1, Ordering::SeqCst);
    let session = |number: u64| Stored {
        account_ref: account.r#ref.clone(),
        access_token: Secret::new(format!("{}#{number}", account.email)),
        refresh_token: Some(Secret::new("it gives one, and takes it nowhere")),
        expires_at: None,
        kept_login: None,
    };
    let driver = Driver::new(&DriverConfig {
        base_url: BaseUrl::parse(url, false).unwrap(),
        ca_file: None,
        proxy: ProxySetting::Off,
        device_id: "d".into(),
        user_agent: "t".into(),
    })
    .unwrap();
    let keeper = Keeper::new(Arc::new(FileStore::new(dir.join("tokens"))));
    let mut core = Core::new(policy);
    let (mut now, mut step, mut runs) = (0, 0_u64, 0);
    while runs < most && buffer.totals(Some(account.id), clock.now_ms()).await.unwrap().waiting() > 0 {
        runs += 1;
        let mut carrier = Carrier::new(
            buffer.clone(),
            driver.clone(),
            Tokenholder::new(keeper.clone(), clock.clone(), session(sign_in)),
            account.id,
            "d".into(),
            clock.clone(),
            Monotonic::start(clock.clone()),
            Arc::new(Live::default()),
        );
        let mut task = core.begin(Trigger::SyncNow, now, 0.5);
        let end = loop {
            step += 1;
            let outcome = match &task {
                Task::Finish(end) => break end.clone(),
                Task::Wait { until_ms, .. } => {
                    now = *until_ms;
                    Outcome::Woken
                }
                task => carrier.carry(task).await,
            };
            // Any numbers from 0 to 1.
            let jitter = step.wrapping_mul(0x9E37_79B9_7F4A_7C15) as f64 / u64::MAX as f64;
            task = core.told(outcome, now, jitter);
        };
        now = match end.why {
            Why::SessionExpired => {
                sign_in = SIGN_INS.fetch_add(1, Ordering::SeqCst);
                core.forget_session();
                now
            }
            _ => end.next_at_ms.unwrap(),
        };
    }
}

async fn append(buffer: &Buffer, profile: u64, visits: &[Value], aggregates: &[Value]) {
    let source = Source {
        name: format!("chrome-extension://x/#{profile}"),
        profile_id: profile.to_string(),
        browser: String::new(),
        client: String::new(),
    };
    let texts = |records: &[Value]| records.iter().map(Value::to_string).collect::<Vec<_>>();
    for (visits, aggregates) in [(texts(visits), Vec::new()), (Vec::new(), texts(aggregates))] {
        let refs =
            |texts: &'_ [String]| texts.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
        let (visits, aggregates) = (refs(&visits), refs(&aggregates));
        let visits: Vec<&str> = visits.iter().map(String::as_str).collect();
        let aggregates: Vec<&str> = aggregates.iter().map(String::as_str).collect();
        let arrival = Arrival::read(None, &visits, &aggregates);
        buffer.append(&source, &[arrival], 0, clock::system().now_ms()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heyhos_service_gets_every_good_record_out_of_the_real_buffer() {
    let tabs = std::env::var("HEYHO_TABS").ok().map_or(150, |text| text.parse::<u64>().unwrap());
    // After a restart of the browser its tab ids come again.
    let tab_ids = tabs / 2 + 1;
    let (dir, (heyho, url)) = (tempfile::tempdir().unwrap(), service().await);
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    let who =
        SignedIn { backend: url.clone(), user_id: "7".into(), email: "u@x".into(), claim_others: false };
    let (account, _) = buffer.sign_in(&who, clock::system().now_ms()).await.unwrap();

    let (mut visits, mut good, mut bad) = (BTreeSet::new(), BTreeMap::new(), 0);
    let aggregate = |tab: u64, profile: u64, lasts: u64, active: u64| {
        let start = T0 + tab * 60_000 + profile;
        json!({"tabId": tab % tab_ids, "startTime": start, "lastActiveTime": start + lasts,
            "totalActiveDuration": active, "pageCount": 2.4e21, "isOpen": lasts < 50_000})
    };
    let (mut later, mut again, mut looked_at) = (Vec::new(), Vec::new(), Vec::new());
    for tab in 0..tabs {
        for profile in [1, 2] {
            let number = tab * 2 + profile;
            let mut any_good = false;
            let mut records = Vec::new();
            for place in 0..2 {
                let id = format!("v{tab}-{profile}-{place}");
                let poison = (number * 2 + place) % 31 == 0 || number % 47 == 0;
                let url = if poison { "https://x.example/a|b" } else { "https://x.example/" };
                let time = T0 + tab * 60_000 + profile + 1_000 * (place + 1);
                let mut record = json!({"id": id, "visitId": id, "url": url, "timestamp": time,
                    "tabId": tab % tab_ids});
                if number % 13 == 0 && !poison {
                    // The page that opened it is still open: its record comes later.
                    record["source_page_visit_id"] = json!(format!("opener-{number}"));
                }
                records.push(record);
                match poison {
                    true => bad += 1,
                    false => {
                        any_good = true;
                        // The page that is looked at is appended again with each run, longer than before.
                        if place == 1 && number % 3 == 0 {
                            let mut longer = records[records.len() - 1].clone();
                            longer["duration"] = json!(60_000);
                            again.push((profile, longer));
                            looked_at.push(id.clone());
                        }
                        visits.insert(id);
                    }
                }
            }
            // Half of the tabs are seen while they live, and again when they are closed.
            let lives = if tab % 2 == 0 { vec![aggregate(tab, profile, 10_000, 4_000)] } else { Vec::new() };
            append(&buffer, profile, &records, &lives).await;
            // The other shape names its visit. One whose visit is refused breaches a foreign key.
            if number % 11 == 0 {
                let id = format!("whole-{number}");
                let visit = format!("v{tab}-{profile}-0");
                let record = json!({"id": id, "page_visit_id": visit, "total_time_seconds": 5});
                append(&buffer, profile, &[], &[record]).await;
                match visits.contains(&visit) {
                    true => drop(good.insert(id, 0)),
                    false => bad += 1,
                }
            }
            if number % 13 == 0 {
                let id = format!("opener-{number}");
                let opener = json!({"id": id, "url": "https://x.example/", "timestamp": T0 + tab * 60_000});
                append(&buffer, profile, &[opener], &[]).await;
                visits.insert(id);
            }
            let skipped = number % 29 == 0;
            later.push((
                profile,
                aggregate(tab, profile, 50_000, if skipped { 40_000_000_000 } else { 5_000 }),
            ));
            let start = T0 + tab * 60_000 + profile;
            match any_good && !skipped {
                true => drop(good.insert(format!("agg_{start}_{}", tab % tab_ids), start + 50_000)),
                false => bad += 1,
            }
        }
    }
    drain(&buffer, &account, &url, dir.path()).await;
    for (profile, aggregate) in later {
        append(&buffer, profile, &[], &[aggregate]).await;
    }
    for (profile, visit) in again {
        append(&buffer, profile, &[visit], &[]).await;
    }
    drain(&buffer, &account, &url, dir.path()).await;

    let failed = buffer.totals(Some(account.id), clock::system().now_ms()).await.unwrap().failed;
    let heyho = heyho.lock().unwrap();
    assert_eq!(heyho.visits.keys().cloned().collect::<BTreeSet<_>>(), visits);
    assert_eq!((heyho.twice, heyho.too_many), (0, 0));
    assert!(
        heyho.over > 2 && heyho.renewals >= heyho.over,
        "{} hours, {} renewals",
        heyho.over,
        heyho.renewals
    );
    let short: Vec<_> = looked_at.iter().filter(|id| heyho.visits[*id].1 != 60_000).collect();
    assert!(short.is_empty(), "an older version lasts: {short:?}");
    let lasting: BTreeMap<String, u64> =
        heyho.aggregates.iter().map(|(id, (_, until))| (id.clone(), *until)).collect();
    let missing: Vec<_> = good.iter().filter(|(id, until)| lasting.get(*id) != Some(until)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(failed, bad, "after {} requests", heyho.requests);
}

/// The browser stays open when somebody else signs in: its tabs live on, and what was seen in them before is not theirs.
#[tokio::test(flavor = "multi_thread")]
async fn tabs_that_outlive_a_change_of_account_take_no_visit_across() {
    let (dir, (heyho, url)) = (tempfile::tempdir().unwrap(), service().await);
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    let aggregate = |tab: u64, lasts: u64| {
        json!({"tabId": tab, "startTime": T0 + tab * 60_000, "lastActiveTime": T0 + tab * 60_000 + lasts,
            "totalActiveDuration": 5_000, "isOpen": true})
    };
    let mut expected = BTreeMap::new();
    for (round, user) in ["a@x", "b@x", "c@x"].iter().enumerate() {
        let who = SignedIn {
            backend: url.clone(),
            user_id: (*user).into(),
            email: (*user).into(),
            claim_others: false,
        };
        let (account, _) = buffer.sign_in(&who, clock::system().now_ms()).await.unwrap();
        for tab in 0..10 {
            let id = format!("{user}-{tab}");
            let time = T0 + tab * 60_000 + 1_000 * (round as u64 + 1);
            let visit = json!({"id": id, "url": "https://x.example/", "timestamp": time, "tabId": tab});
            // In every other tab nothing new is looked at; its times grow all the same.
            if round == 0 || tab % 2 == 0 {
                append(&buffer, 1, &[visit], &[]).await;
                expected.insert(id, format!("Bearer {user}"));
            }
            append(&buffer, 1, &[], &[aggregate(tab, 10_000 * (round as u64 + 1))]).await;
        }
        let runs = if round == 0 { 60 } else { 8 };
        drain_for(&buffer, &account, &url, dir.path(), runs, Policy::default()).await;
    }
    let owners: BTreeMap<String, String> =
        heyho.lock().unwrap().visits.iter().map(|(id, (user, _))| (id.clone(), user.clone())).collect();
    assert_eq!(owners, expected);
}

/// Whoever sets more in a request than it takes: it names no record, and none is blamed.
#[tokio::test(flavor = "multi_thread")]
async fn more_than_it_takes_in_a_request_goes_in_two() {
    let (dir, (heyho, url)) = (tempfile::tempdir().unwrap(), service().await);
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    let who =
        SignedIn { backend: url.clone(), user_id: "7".into(), email: "u@x".into(), claim_others: false };
    let (account, _) = buffer.sign_in(&who, clock::system().now_ms()).await.unwrap();
    let visits: Vec<Value> = (0..2_500)
        .map(|n| json!({"id": format!("v{n}"), "url": "https://x.example/", "timestamp": T0 + n, "tabId": n}))
        .collect();
    append(&buffer, 1, &visits, &[]).await;
    let policy = Policy { batch_page_visits: 1_200, batch_bytes: 4_000_000, ..Policy::default() };
    drain_for(&buffer, &account, &url, dir.path(), 10, policy).await;
    let totals = buffer.totals(Some(account.id), clock::system().now_ms()).await.unwrap();
    assert_eq!((totals.waiting(), totals.failed), (0, 0));
    let heyho = heyho.lock().unwrap();
    assert_eq!(heyho.visits.len(), 2_500);
    assert!(heyho.too_many >= 1 && heyho.requests <= 10, "{} of {}", heyho.too_many, heyho.requests);
}
