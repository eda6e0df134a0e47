//! Order of arrival and order of the feed.

use crate::support::{Backend, send, visit};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};
use std::collections::HashSet;

/// A version of one of a few records, so that they meet often.
fn version() -> impl Strategy<Value = Value> {
    (0..3u8, 0..2u8, prop::option::of(0..3u8), 0..2u8, 0..3u8).prop_map(|(id, source, ended, title, revision)| {
        json!({
            "id": format!("v{id}"), "url": "https://example.com/", "visited_at": 1, "title": format!("title {title}"),
            "endedAt": ended, "companionSource": format!("s{source}"), "companionRevision": revision,
        })
    })
}

/// Batches, and the same batches in another order with some of them twice.
fn two_histories() -> impl Strategy<Value = (Vec<Vec<Value>>, Vec<(usize, bool)>)> {
    prop::collection::vec(prop::collection::vec(version(), 1..5), 1..6).prop_flat_map(|batches| {
        let n = batches.len();
        let again = prop::collection::vec((0..n, any::<bool>()), 0..4);
        let order = again.prop_flat_map(move |again| {
            let all: Vec<(usize, bool)> = (0..n).map(|i| (i, true)).chain(again).collect();
            Just(all).prop_shuffle()
        });
        (Just(batches), order)
    })
}

/// Final rows, without what the order may change: versions, times, and the revision the text came with.
async fn rows(backend: &Backend, token: &str) -> Vec<String> {
    let mut rows: Vec<String> = backend
        .stored(token, "pageVisit", 100)
        .await
        .into_iter()
        .map(|mut record| {
            for name in ["version", "updated_at", "companionRevision"] {
                record.as_object_mut().unwrap().remove(name);
            }
            record.to_string()
        })
        .collect();
    rows.sort();
    rows
}

fn any_order_ends_in_the_same_rows(start: impl AsyncFn() -> Option<Backend>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let Some(backend) = runtime.block_on(start()) else { return };
    let mut users = 0;
    let mut runner = TestRunner::new(Config { cases: 8, failure_persistence: None, ..Config::default() });
    let backend = &backend;
    let users = std::cell::RefCell::new(&mut users);
    runner
        .run(&two_histories(), |(batches, order)| {
            runtime.block_on(async {
                **users.borrow_mut() += 1;
                let n = **users.borrow();
                let one = backend.register(&format!("one{n}@example.org")).await;
                let two = backend.register(&format!("two{n}@example.org")).await;
                for batch in &batches {
                    backend.sync(&one.access, json!(batch), json!([])).await.ok();
                }
                for (batch, keyed) in &order {
                    let mut request =
                        backend.request(Method::POST, "/api/v1/data/sync").bearer_auth(&two.access);
                    if *keyed {
                        request = request.header("Idempotency-Key", format!("batch-{batch}"));
                    }
                    send(request.json(&json!({"pageVisits": batches[*batch]}))).await.ok();
                }
                prop_assert_eq!(rows(backend, &one.access).await, rows(backend, &two.access).await);
                Ok(())
            })
        })
        .unwrap();
}

#[test]
fn any_order_ends_in_the_same_rows_on_sqlite() {
    any_order_ends_in_the_same_rows(async || Some(Backend::on_sqlite().await));
}

#[test]
fn any_order_ends_in_the_same_rows_on_postgres() {
    any_order_ends_in_the_same_rows(Backend::on_postgres);
}

const WRITERS: usize = 6;

/// 600,000 rows with `HEYHO_TORTURE=1`, else 30,000.
fn batches_a_writer() -> usize {
    let rows = if std::env::var_os("HEYHO_TORTURE").is_some() { 600_000 } else { 30_000 };
    rows / WRITERS / BATCH
}
const BATCH: usize = 250;

/// Commits take a random while, so that they end in another order than they began. `plain` is for the control in this
/// test, and for the fault `plain-sequence`.
const SLOW_COMMITS: &str = "
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(random() * 0.01); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON idempotency_keys
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle();
    CREATE SEQUENCE plain;
    CREATE TABLE control (version BIGINT, id TEXT);
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON control
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle();";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_by_version_misses_nothing() {
    let Some(backend) = Backend::on_postgres().await else { return };
    let url = backend.database_url();
    sqlx::PgConnection::connect(&url).await.unwrap().execute(SLOW_COMMITS).await.unwrap();
    let ada = backend.register("ada@example.org").await;
    let writers = futures_util::future::join_all((0..WRITERS).map(async |writer| {
        for batch in 0..batches_a_writer() {
            let visits: Vec<Value> = (0..BATCH).map(|n| visit(&format!("{writer}-{batch}-{n}"))).collect();
            let request = backend.request(Method::POST, "/api/v1/data/sync").bearer_auth(&ada.access);
            let request = request.header("Idempotency-Key", format!("{writer}-{batch}"));
            send(request.json(&json!({"pageVisits": visits}))).await.ok();
        }
    }));
    // reads on from where it is, and never looks back
    let mut seen = HashSet::new();
    let mut cursor = String::new();
    let mut read_on = async || {
        loop {
            let path = format!("/api/v1/browsing_data?kind=pageVisit&limit=1000&cursor={cursor}");
            let page = backend.get(&path, &ada.access).await.ok();
            let visits = page["data"]["page_visits"].as_array().unwrap();
            seen.extend(visits.iter().map(|v| v["id"].as_str().unwrap().to_owned()));
            cursor = page["cursor"].as_str().unwrap().to_owned();
            if page["next_cursor"].is_null() {
                return seen.len();
            }
        }
    };
    tokio::pin!(writers);
    loop {
        tokio::select! {
            biased;
            _ = &mut writers => break,
            _ = read_on() => {}
        }
    }
    let expected = WRITERS * batches_a_writer() * BATCH;
    assert_eq!(read_on().await, expected);
    let batches = i64::try_from(WRITERS * batches_a_writer()).unwrap();
    assert_eq!(backend.count("SELECT version FROM feeds").await, batches);
    let control = control_misses_some(&url).await;
    assert!(control > 0, "the control would not have noticed");
    println!(
        "figures: {expected} rows in feed order, 0 missed; by a plain sequence {control} of {} missed",
        WRITERS * 50
    );
}

/// The same with a version from a plain sequence: how many rows its reader never sees.
async fn control_misses_some(url: &str) -> usize {
    let writers = futures_util::future::join_all((0..WRITERS).map(async |writer| {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        for n in 0..50 {
            sqlx::query("INSERT INTO control VALUES (nextval('plain'), $1)")
                .bind(format!("{writer}-{n}"))
                .execute(&mut connection)
                .await
                .unwrap();
        }
    }));
    let mut reader = sqlx::PgConnection::connect(url).await.unwrap();
    let (mut seen, mut last) = (0, 0_i64);
    let mut read_on = async || {
        let rows: Vec<i64> =
            sqlx::query_scalar("SELECT version FROM control WHERE version > $1 ORDER BY version")
                .bind(last)
                .fetch_all(&mut reader)
                .await
                .unwrap();
        seen += rows.len();
        last = rows.last().copied().unwrap_or(last);
        seen
    };
    tokio::pin!(writers);
    loop {
        tokio::select! {
            biased;
            _ = &mut writers => break,
            _ = read_on() => {}
        }
    }
    WRITERS * 50 - read_on().await
}
