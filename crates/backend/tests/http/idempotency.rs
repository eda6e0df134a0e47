//! One key, one effect.

use crate::support::{Answer, Backend, on_each_store, send, visit};
use reqwest::Method;
use serde_json::{Value, json};

on_each_store!(
    a_key_is_answered_once_and_replayed_for_a_day,
    a_key_with_another_body_is_refused,
    keys_of_two_users_and_two_paths_are_apart,
    only_a_200_is_kept,
    twins_that_race_have_one_effect,
    a_twin_that_waits_too_long_hears_409,
    the_body_is_compared_as_it_reads_inflated,
);

async fn post(backend: &Backend, token: &str, header: &str, key: &str, body: Value) -> Answer {
    let request = backend.request(Method::POST, "/api/v1/data/sync").bearer_auth(token);
    send(request.header(header, key).json(&body)).await
}

async fn a_key_is_answered_once_and_replayed_for_a_day(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let body = json!({"batchId": "b", "pageVisits": [visit("v1")]});
    let first = post(&backend, &ada.access, "Idempotency-Key", "k", body.clone()).await;
    assert!(!first.replayed);
    let first = first.ok();
    backend.sync(&ada.access, json!([visit("v2")]), json!([])).await.ok();
    for header in ["Idempotency-Key", "X-Idempotency-Key"] {
        let again = post(&backend, &ada.access, header, "k", body.clone()).await;
        assert!(again.replayed, "{header}");
        assert_eq!(again.ok(), first);
    }
    backend.clock.advance(24 * 60 * 60 * 1_000);
    let ada = crate::support::Account::from(
        &backend.post("/api/v1/auth/refresh", json!({"refresh_token": ada.refresh})).await.ok(),
    );
    let later = post(&backend, &ada.access, "Idempotency-Key", "k", body).await;
    assert!(!later.replayed);
    assert_eq!(later.ok()["version"], 2);
}

async fn a_key_with_another_body_is_refused(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let body = |id: &str| json!({"pageVisits": [visit(id)]});
    post(&backend, &ada.access, "Idempotency-Key", "k", body("v1")).await.ok();
    let other = post(&backend, &ada.access, "Idempotency-Key", "k", body("v2")).await;
    assert_eq!(other.code(), (422, "IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(backend.count("SELECT count(*) FROM page_visits").await, 1);
    let long = post(&backend, &ada.access, "Idempotency-Key", &"k".repeat(256), body("v3")).await;
    assert_eq!(long.code(), (400, "VALIDATION_ERROR"));
}

async fn the_body_is_compared_as_it_reads_inflated(backend: Backend) {
    use std::io::Write as _;
    let ada = backend.register("ada@example.org").await;
    let body = |id: &str| json!({"pageVisits": [visit(id)]}).to_string();
    let gzip = |text: &str, level: u32| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let post = async |encoding: &'static str, bytes: Vec<u8>| {
        let request = backend.request(Method::POST, "/api/v1/data/sync").bearer_auth(&ada.access);
        let request = request.header("Idempotency-Key", "k").header("content-encoding", encoding);
        send(request.body(bytes)).await
    };
    let first = post("identity", body("v1").into_bytes()).await.ok();
    for level in [0, 9] {
        let again = post("gzip", gzip(&body("v1"), level)).await;
        assert!(again.replayed, "{again:?}");
        assert_eq!(again.ok(), first);
    }
    assert_eq!(post("gzip", gzip(&body("v2"), 9)).await.code(), (422, "IDEMPOTENCY_KEY_REUSED"));
}

async fn keys_of_two_users_and_two_paths_are_apart(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let bob = backend.register("bob@example.org").await;
    let body = json!({"pageVisits": [visit("v1")], "visits": [visit("v1")]});
    for token in [&ada.access, &bob.access] {
        assert!(!post(&backend, token, "Idempotency-Key", "k", body.clone()).await.replayed);
    }
    let request = backend.request(Method::POST, "/api/sync/page-visits").bearer_auth(&ada.access);
    let other_path = send(request.header("Idempotency-Key", "k").json(&body)).await;
    assert_eq!((other_path.status.as_u16(), other_path.replayed), (200, false));
}

async fn only_a_200_is_kept(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let bad = json!({"pageVisits": [{"id": "v1"}]});
    let refused = post(&backend, &ada.access, "Idempotency-Key", "k", bad).await;
    assert_eq!(refused.code(), (400, "VALIDATION_ERROR"));
    let good = json!({"pageVisits": [visit("v1")]});
    let accepted = post(&backend, &ada.access, "Idempotency-Key", "k", good).await;
    assert!(!accepted.replayed);
    accepted.ok();
}

async fn twins_that_race_have_one_effect(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let body = json!({"pageVisits": [visit("v1"), visit("v2")]});
    let twins = (0..16).map(|_| post(&backend, &ada.access, "Idempotency-Key", "k", body.clone()));
    let answers = futures_util::future::join_all(twins).await;
    assert_eq!(answers.iter().filter(|a| !a.replayed).count(), 1);
    assert!(answers.iter().all(|a| a.status == 200 && a.body == answers[0].body));
    assert_eq!(answers[0].body["version"], 1);
}

/// The database is held by somebody else, so the first is still at work when its twin's patience ends.
async fn a_twin_that_waits_too_long_hears_409(mut backend: Backend) {
    backend.reconfigure(|config| config.limits.twin_wait = std::time::Duration::from_millis(50)).await;
    let ada = backend.register("ada@example.org").await;
    let held = backend.hold_writes().await;

    let body = json!({"pageVisits": [visit("v1")]});
    let one = post(&backend, &ada.access, "Idempotency-Key", "k", body.clone());
    let two = post(&backend, &ada.access, "Idempotency-Key", "k", body.clone());
    tokio::pin!(one, two);
    // whichever came second gives up; the other goes on once the database is free
    let (refused, rest) = match futures_util::future::select(one, two).await {
        futures_util::future::Either::Left((refused, rest)) => (refused, rest),
        futures_util::future::Either::Right((refused, rest)) => (refused, rest),
    };
    assert_eq!(refused.code(), (409, "IDEMPOTENCY_IN_PROGRESS"));
    held.release().await;
    assert_eq!(rest.await.ok()["version"], 1);
}
