//! Deleting records: what goes, what stays, and that it stays away.

use crate::support::{Backend, START, aggregate, on_each_store, visit};
use serde_json::{Value, json};

on_each_store!(
    a_domain_goes_with_what_is_below_it,
    a_domain_has_one_spelling,
    a_time_goes,
    what_says_no_start_goes_by_its_last_sign_of_life,
    what_was_deleted_is_not_stored_again,
    an_aggregate_written_meanwhile_goes_with_its_visit,
    bad_requests_delete_nothing
);

fn at(id: &str, url: &str, moment: i64) -> Value {
    json!({"id": id, "url": url, "visited_at": moment})
}

async fn ids(backend: &Backend, token: &str) -> Vec<String> {
    let stored = backend.stored(token, "", 100).await;
    let mut ids: Vec<_> = stored.iter().map(|r| r["id"].as_str().unwrap_or("derived").to_owned()).collect();
    ids.sort();
    ids
}

async fn a_domain_goes_with_what_is_below_it(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let bob = backend.register("bob@example.org").await;
    let visits = json!([
        at("same", "https://Bank.example/a", START),
        at("below", "https://www.bank.example:8443/", START),
        at("other", "https://mybank.example/", START),
        at("dotted", "https://bank.example./", START),
        at("above", "https://example/", START),
        at("path", "https://else.example/bank.example", START),
    ]);
    let aggregates = json!([
        {"id": "by-visit", "page_visit_id": "same"},
        {"id": "by-duration", "startTime": 1, "tabId": 1, "domainDurations": {"www.bank.example": 5, "else.example": 1}},
        {"id": "by-current", "startTime": 1, "tabId": 2, "currentUrl": "https://bank.example/x"},
        {"id": "by-dotted", "startTime": 1, "tabId": 4, "domainDurations": {"bank.example.": 5}},
        {"id": "unrelated", "startTime": 1, "tabId": 3, "currentDomain": "else.example"},
    ]);
    for token in [&ada.access, &bob.access] {
        backend.sync(token, visits.clone(), aggregates.clone()).await.ok();
    }
    let answer = backend.delete("/api/v1/browsing_data?domain=*.BANK.example", &ada.access).await.ok();
    assert_eq!(answer, json!({"success": true, "data": {"deleted": 7}}));
    assert_eq!(ids(&backend, &ada.access).await, ["above", "other", "path", "unrelated"]);
    assert_eq!(ids(&backend, &bob.access).await.len(), 11);
    assert_eq!(backend.count("SELECT count(*) FROM tombstones WHERE version = 2").await, 7);
    let again = backend.delete("/api/v1/browsing_data?domain=bank.example", &ada.access).await.ok();
    assert_eq!(again["data"]["deleted"], 0);
}

async fn a_domain_has_one_spelling(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let spellings = ["b\u{fc}cher.example", "xn--bcher-kva.example", "B\u{dc}CHER.example."];
    for (n, asked) in spellings.into_iter().enumerate() {
        let visits: Vec<Value> = spellings
            .iter()
            .enumerate()
            .map(|(v, host)| at(&format!("v{n}{v}"), &format!("https://www.{host}/"), START))
            .collect();
        let by_key = spellings.iter().enumerate().map(|(a, host)| {
            json!({"id": format!("a{n}{a}"), "startTime": 1, "tabId": a, "domainDurations": {format!("www.{host}"): 5}})
        });
        let current =
            json!({"id": format!("c{n}"), "startTime": 1, "tabId": 9, "currentDomain": spellings[n]});
        let aggregates: Vec<Value> = by_key.chain([current]).collect();
        backend.sync(&ada.access, json!(visits), json!(aggregates)).await.ok();
        let asked: String = url::form_urlencoded::byte_serialize(asked.as_bytes()).collect();
        let path = format!("/api/v1/browsing_data?domain={asked}");
        let answer = backend.delete(&path, &ada.access).await.ok();
        assert_eq!(answer["data"]["deleted"], 7, "{asked}");
    }
    assert!(ids(&backend, &ada.access).await.is_empty());
}

async fn what_says_no_start_goes_by_its_last_sign_of_life(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let named = |id: &str, more: Value| {
        let mut record = json!({"id": id, "page_visit_id": "elsewhere"});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let aggregates = json!([
        named("active", json!({"lastActiveTime": START})),
        named("closed", json!({"closed_at": START})),
        named("closed-later", json!({"lastActiveTime": START + 9, "closed_at": START + 20})),
        named("timeless", json!({})),
    ]);
    backend.sync(&ada.access, json!([]), aggregates).await.ok();
    let path = format!("/api/v1/browsing_data?from={START}&to={}", START + 1);
    assert_eq!(backend.delete(&path, &ada.access).await.ok()["data"]["deleted"], 2);
    assert_eq!(ids(&backend, &ada.access).await, ["closed-later", "timeless"]);
    let path = "/api/v1/browsing_data?from=0";
    assert_eq!(backend.delete(path, &ada.access).await.ok()["data"]["deleted"], 1);
    assert_eq!(ids(&backend, &ada.access).await, ["timeless"]);
}

async fn a_time_goes(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let visits: Vec<Value> =
        (0..5).map(|n| at(&format!("v{n}"), "https://example.com/", START + n)).collect();
    let aggregates = json!([
        {"id": "touches", "startTime": START - 10, "lastActiveTime": START + 2, "tabId": 1},
        {"id": "before", "startTime": START - 10, "lastActiveTime": START, "tabId": 2},
        {"id": "after", "startTime": START + 4, "tabId": 3},
    ]);
    backend.sync(&ada.access, json!(visits), aggregates).await.ok();
    let path = format!("/api/v1/browsing_data?from={}&to=2026-11-20T12:00:00.003Z", START + 1);
    assert_eq!(backend.delete(&path, &ada.access).await.ok()["data"]["deleted"], 3);
    assert_eq!(ids(&backend, &ada.access).await, ["after", "before", "v0", "v3", "v4"]);
    let path = format!("/api/v1/browsing_data?from={}", START + 4);
    assert_eq!(backend.delete(&path, &ada.access).await.ok()["data"]["deleted"], 2);
    assert_eq!(ids(&backend, &ada.access).await, ["before", "v0", "v3"]);
}

async fn what_was_deleted_is_not_stored_again(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    backend.sync(&ada.access, json!([visit("v1"), visit("v2")]), json!([aggregate(1)])).await.ok();
    backend.delete("/api/v1/browsing_data?domain=example.com", &ada.access).await.ok();
    let mut better = visit("v1");
    better["endedAt"] = json!(START + 5);
    let body = backend.sync(&ada.access, json!([better, visit("v3")]), json!([aggregate(1)])).await.ok();
    // accounted for, whether stored or not
    assert_eq!(body["data"]["page_visits_synced"], 2);
    assert_eq!(body["data"]["tab_aggregates_synced"], 1);
    assert_eq!(body["version"], 3);
    assert_eq!(ids(&backend, &ada.access).await, ["v3"]);
    let only_deleted = backend.sync(&ada.access, json!([visit("v2")]), json!([])).await.ok();
    assert_eq!(only_deleted["version"], 3);
}

/// Between two slices of the deletion the aggregate is sent again, as open tabs are: it is not what was marked.
async fn an_aggregate_written_meanwhile_goes_with_its_visit(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let slice: Vec<Value> = (0..1_000)
        .map(|n| json!({"id": format!("s{n}"), "startTime": 1, "tabId": n, "currentDomain": "bank.example"}))
        .collect();
    backend.sync(&ada.access, json!([]), json!(slice)).await.ok();
    let visits = json!([at("v", "https://bank.example/", START), at("w", "https://else.example/", START)]);
    let aggregates = json!([{"id": "a", "page_visit_id": "v"}, {"id": "other", "page_visit_id": "w"}]);
    backend.sync(&ada.access, visits, aggregates).await.ok();
    let again = "UPDATE tab_aggregates SET version = 1000 WHERE id = 'a'";
    let trigger = match backend.database_url().starts_with("sqlite") {
        true => format!(
            "CREATE TRIGGER sent AFTER DELETE ON tab_aggregates WHEN old.id = 's0' BEGIN {again}; END"
        ),
        false => format!(
            "CREATE FUNCTION sent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {again}; RETURN NULL; END $$;
             CREATE TRIGGER sent AFTER DELETE ON tab_aggregates
             FOR EACH ROW WHEN (old.id = 's0') EXECUTE FUNCTION sent()"
        ),
    };
    backend.execute(trigger).await;
    let answer = backend.delete("/api/v1/browsing_data?domain=bank.example", &ada.access).await.ok();
    assert_eq!(
        (answer["data"]["deleted"].as_i64(), ids(&backend, &ada.access).await),
        (Some(1_002), vec!["other".to_owned(), "w".to_owned()])
    );
    assert_eq!(backend.count("SELECT count(*) FROM tombstones WHERE id = 'a'").await, 1);
}

async fn bad_requests_delete_nothing(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    backend.sync(&ada.access, json!([visit("v1")]), json!([])).await.ok();
    for query in [
        "",
        "?domain=",
        "?domain=a%20b",
        "?from=soon",
        "?from=5&to=5",
        "?domain=example.com&from=1",
        "?to=yesterday",
    ] {
        let answer = backend.delete(&format!("/api/v1/browsing_data{query}"), &ada.access).await;
        assert_eq!(answer.code(), (400, "VALIDATION_ERROR"), "{query}");
    }
    assert_eq!(ids(&backend, &ada.access).await, ["v1"]);
}
