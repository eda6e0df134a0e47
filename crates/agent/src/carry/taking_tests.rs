//! The next batch out of a real buffer, asked for as the core asks, without a backend.

use crate::account::Keeper;
use crate::carry::Carrier;
use crate::live::Live;
use crate::monotonic::Monotonic;
use crate::tokenholder::Tokenholder;
use crate::tokens::{FileStore, Stored};
use heyho_buffer::{Account, Arrival, Buffer, SignedIn, Source};
use heyho_local::clock;
use heyho_records::Kind;
use heyho_sync::base_url::BaseUrl;
use heyho_sync::driver::{Driver, DriverConfig, ProxySetting};
use heyho_sync::secret::Secret;
use heyho_sync::task::{Batch, BatchLimits, Mode, Outcome, Pick, Role, RowRef, Settlement, Task};
use heyho_sync::why::Stop;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use std::sync::Arc;

struct Bench {
    dir: tempfile::TempDir,
    buffer: Buffer,
    account: Account,
}

impl Bench {
    async fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
        let who = SignedIn {
            backend: "http://127.0.0.1:9".into(),
            user_id: "1".into(),
            email: "u@x".into(),
            claim_others: false,
        };
        let (account, _) = buffer.sign_in(&who, clock::system().now_ms()).await.unwrap();
        Bench { dir, buffer, account }
    }

    async fn append(&self, visits: &[Value], aggregates: &[Value]) {
        let source = Source {
            name: "ext#p".into(),
            profile_id: "p".into(),
            browser: String::new(),
            client: String::new(),
        };
        let texts = |records: &[Value]| records.iter().map(Value::to_string).collect::<Vec<_>>();
        let (visits, aggregates) = (texts(visits), texts(aggregates));
        let refs =
            |texts: &'_ [String]| texts.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
        let (visits, aggregates) = (refs(&visits), refs(&aggregates));
        let visits: Vec<&str> = visits.iter().map(String::as_str).collect();
        let aggregates: Vec<&str> = aggregates.iter().map(String::as_str).collect();
        let arrival = Arrival::read(None, &visits, &aggregates);
        self.buffer.append(&source, &[arrival], 0, clock::system().now_ms()).await.unwrap();
    }

    fn carrier(&self) -> Carrier {
        let clock = clock::system();
        let driver = Driver::new(&DriverConfig {
            base_url: BaseUrl::parse(&self.account.backend, false).unwrap(),
            ca_file: None,
            proxy: ProxySetting::Off,
            device_id: "d".into(),
            user_agent: "t".into(),
        });
        let stored = Stored {
            account_ref: self.account.r#ref.clone(),
            access_token: Secret::new("t"),
            refresh_token: None,
            expires_at: None,
            kept_login: None,
        };
        let keeper = Keeper::new(Arc::new(FileStore::new(self.dir.path().join("tokens"))));
        Carrier::new(
            self.buffer.clone(),
            driver.unwrap(),
            Tokenholder::new(keeper, clock.clone(), stored),
            self.account.id,
            "d".into(),
            clock.clone(),
            Monotonic::start(clock),
            Arc::new(Live::default()),
        )
    }

    async fn row(&self, id: &str) -> RowRef {
        let all: Vec<i64> = (1..1_000).collect();
        let rows = self.buffer.waiting(self.account.id, &all).await.unwrap();
        let row = rows.iter().find(|row| row.id == id).unwrap();
        RowRef { kind: row.kind, seq: row.seq, revision: row.revision }
    }
}

async fn take(carrier: &mut Carrier, pick: Pick) -> Option<Batch> {
    let limits = BatchLimits {
        mode: Mode::Baseline,
        max_page_visits: 100,
        max_tab_aggregates: 100,
        max_records: 200,
        max_bytes: 524_288,
        single_bytes: 524_288,
        pick,
    };
    match carrier.carry(&Task::TakeBatch(limits)).await {
        Outcome::Taken(taken) => taken.batch,
        other => panic!("{other:?}"),
    }
}

fn ids(batch: Option<Batch>) -> Vec<String> {
    batch.map(|batch| batch.items.into_iter().map(|item| item.id).collect()).unwrap_or_default()
}

fn visit(id: &str, tab: u64) -> Value {
    json!({"id": id, "url": "http://a/", "startedAt": 1_000 + tab, "tabId": tab})
}

fn opened(id: &str, opener: &str) -> Value {
    json!({"id": id, "url": "http://a/", "startedAt": 5, "source_page_visit_id": opener})
}

#[tokio::test]
async fn visits_that_opened_each_other_in_a_circle_are_each_tried_alone() {
    for length in [2, 3, 30] {
        let bench = Bench::new().await;
        let visits: Vec<Value> =
            (0..length).map(|n| opened(&format!("c{n}"), &format!("c{}", (n + 1) % length))).collect();
        bench.append(&visits, &[]).await;
        for id in ["c0", "c1"] {
            let row = bench.row(id).await;
            assert_eq!(ids(take(&mut bench.carrier(), Pick::Rows(vec![row])).await), [id], "of {length}");
            bench.carrier().carry(&Task::Settle(Settlement::default())).await;
            let mut carrier = bench.carrier();
            take(&mut carrier, Pick::Rows(vec![row])).await;
            carrier.carry(&Task::Settle(Settlement::default())).await;
        }
        let all = take(&mut bench.carrier(), Pick::Oldest { skip: Vec::new() }).await;
        assert_eq!(ids(all).len(), length, "together they go at once");
    }
    // In a chain the first is first, also for one that is asked for by name.
    let bench = Bench::new().await;
    bench
        .append(&[opened("child", "parent"), opened("parent", "grandparent"), visit("grandparent", 1)], &[])
        .await;
    let child = bench.row("child").await;
    assert_eq!(ids(take(&mut bench.carrier(), Pick::Rows(vec![child])).await), [""; 0]);
    let both = Pick::Rows(vec![child, bench.row("parent").await, bench.row("grandparent").await]);
    assert_eq!(ids(take(&mut bench.carrier(), both).await), ["grandparent", "parent", "child"]);
}

#[tokio::test]
async fn what_waits_for_an_opener_that_is_left_out_stands_in_nobodys_way() {
    let bench = Bench::new().await;
    let mut visits = vec![visit("opener", 1)];
    visits.extend((0..450).map(|n| opened(&format!("d{n}"), "opener")));
    visits.extend([visit("free", 2), visit("too", 3)]);
    bench.append(&visits, &[]).await;
    let skip = vec![bench.row("opener").await];
    assert_eq!(ids(take(&mut bench.carrier(), Pick::Oldest { skip }).await), ["free", "too"]);
}

#[tokio::test]
async fn an_aggregate_waits_with_the_visit_that_is_left_out() {
    let bench = Bench::new().await;
    let aggregate =
        |tab: u64| json!({"tabId": tab, "startTime": 900, "lastActiveTime": 5_000, "isOpen": true});
    bench.append(&[visit("left", 1), visit("sent", 2)], &[aggregate(1), aggregate(2)]).await;
    let skip = vec![bench.row("left").await];
    assert_eq!(
        ids(take(&mut bench.carrier(), Pick::Oldest { skip: skip.clone() }).await),
        ["sent", "agg_900_2"]
    );
    // Another visit of the same tab stands for it.
    let bench = Bench::new().await;
    bench
        .append(
            &[visit("left", 1), json!({"id": "other", "url": "http://a/", "startedAt": 2_000, "tabId": 1})],
            &[],
        )
        .await;
    bench.append(&[], &[aggregate(1)]).await;
    let skip = vec![bench.row("left").await];
    assert_eq!(ids(take(&mut bench.carrier(), Pick::Oldest { skip }).await), ["other", "agg_900_1"]);
}

/// HeyHo's extension appends the page that is looked at again and again, and its tab's times grow with it.
#[tokio::test]
async fn the_page_that_is_looked_at_goes_once_in_a_request() {
    let bench = Bench::new().await;
    let aggregate =
        |until: u64| json!({"tabId": 1, "startTime": 900, "lastActiveTime": until, "isOpen": true});
    bench.append(&[visit("v", 1)], &[aggregate(2_000)]).await;
    let mut carrier = bench.carrier();
    let first = take(&mut carrier, Pick::Oldest { skip: Vec::new() }).await.unwrap();
    let confirm = first.items.iter().map(|item| item.row).collect();
    carrier.carry(&Task::Settle(Settlement { confirm, ..Settlement::default() })).await;
    let mut longer = visit("v", 1);
    longer["duration"] = json!(60_000);
    bench.append(&[], &[aggregate(3_000)]).await;
    bench.append(&[longer], &[]).await;
    let again = take(&mut bench.carrier(), Pick::Oldest { skip: Vec::new() }).await.unwrap();
    let sent: Vec<_> = again.items.iter().map(|item| (item.id.as_str(), item.role)).collect();
    assert_eq!(sent, [("v", Role::Own), ("agg_900_1", Role::Own)]);
}

#[tokio::test]
async fn a_batch_in_flight_that_was_damaged_is_made_anew_and_stands_in_nobodys_way() {
    for damage in [
        "UPDATE batch SET body = CAST(replace(CAST(body AS TEXT), 'http://a', 'http://b') AS BLOB)",
        "UPDATE batch SET body = x'7b22'",
        "UPDATE batch_item SET kind = 2 WHERE position = 0",
    ] {
        let bench = Bench::new().await;
        bench.append(&[visit("a", 1), visit("b", 2)], &[]).await;
        let first = take(&mut bench.carrier(), Pick::Oldest { skip: Vec::new() }).await.unwrap();
        let again = take(&mut bench.carrier(), Pick::Oldest { skip: Vec::new() }).await.unwrap();
        assert_eq!(again, first, "the very bytes and their key");
        let options = SqliteConnectOptions::new().filename(bench.dir.path().join("buffer.db"));
        let mut other = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query(damage).execute(&mut other).await.unwrap();
        let anew = take(&mut bench.carrier(), Pick::Oldest { skip: Vec::new() }).await.unwrap();
        assert_ne!(anew.batch_id, first.batch_id, "{damage}");
        assert!(anew.items.iter().all(|item| item.row.kind == Kind::PageVisit));
        let flight = bench.buffer.in_flight(bench.account.id).await.unwrap().unwrap();
        let body: Value = serde_json::from_slice(&flight.body).unwrap();
        assert!(flight.intact && body["pageVisits"][0]["url"] == "http://a/", "{body}");
    }
}

/// Another program writes for longer than a write waits (10 s): nothing is broken, and soon it goes on.
#[tokio::test]
async fn a_store_that_is_busy_is_not_a_broken_one() {
    let bench = Bench::new().await;
    bench.append(&[visit("a", 1)], &[]).await;
    let options = SqliteConnectOptions::new().filename(bench.dir.path().join("buffer.db"));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let limits = BatchLimits {
        mode: Mode::Full,
        max_page_visits: 1,
        max_tab_aggregates: 1,
        max_records: 1,
        max_bytes: 524_288,
        single_bytes: 524_288,
        pick: Pick::Oldest { skip: Vec::new() },
    };
    let outcome = bench.carrier().carry(&Task::TakeBatch(limits)).await;
    assert_eq!(outcome, Outcome::Stop(Stop::BufferBusy));
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(ids(take(&mut bench.carrier(), Pick::Oldest { skip: Vec::new() }).await), ["a"]);
}

#[tokio::test]
async fn what_is_left_of_a_site_that_is_half_forgotten_goes_before_a_batch_is_made() {
    let bench = Bench::new().await;
    let of = |id: &str, host: &str| json!({"id": id, "url": format!("http://{host}/"), "startedAt": 5});
    bench.append(&[of("gone", "www.gone.example"), of("stays", "stays.example")], &[]).await;
    bench.buffer.set_meta("forgetting:gone.example", "").await.unwrap();
    assert_eq!(ids(take(&mut bench.carrier(), Pick::Oldest { skip: Vec::new() }).await), ["stays"]);
    assert_eq!(bench.buffer.meta("forgetting:gone.example").await.unwrap(), None);
}
