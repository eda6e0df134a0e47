//! Taking in records.

use crate::support::{Backend, aggregate, on_each_store, send, visit};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Write as _;

on_each_store!(
    saves_a_batch_and_accounts_for_every_record,
    one_bad_record_saves_nothing_and_every_bad_one_is_named,
    the_same_content_gets_no_version_and_the_more_complete_stays,
    identities_of_two_sources_and_two_users_are_apart,
    an_aggregate_is_linked_when_its_visit_comes,
    one_kind_each_on_the_roadmaps_routes,
    takes_gzip_and_refuses_what_is_too_large,
    needs_a_sign_in,
    odd_values_are_stored_to_the_letter,
    what_is_stored_outlives_a_restart,
    the_devices_header_wins_over_the_body,
    a_node_whose_database_fails_is_not_ready,
    a_database_that_fails_is_one_code_on_the_routes_of_batches,
);

async fn saves_a_batch_and_accounts_for_every_record(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let body = backend
        .sync(&ada.access, json!([visit("v1"), visit("v2"), visit("v1")]), json!([aggregate(1)]))
        .await
        .ok();
    assert_eq!(body["success"], true);
    assert_eq!(body["batchId"], "b-1");
    assert_eq!(body["version"], 1);
    assert!(body["feed_epoch"].as_str().is_some_and(|e| !e.is_empty()));
    let data = json!({"page_visits_synced": 3, "tab_aggregates_synced": 1, "rejected_records_count": 0, "validation_errors": []});
    assert_eq!(body["data"], data);
    assert_eq!(backend.count("SELECT count(*) FROM page_visits").await, 2);
    assert_eq!(backend.count("SELECT count(*) FROM tab_aggregates WHERE total_active_ms = 5").await, 1);

    let empty = backend.post_as(&ada.access, "/api/v1/data/sync", json!({})).await.ok();
    assert_eq!((&empty["version"], &empty["data"]["page_visits_synced"]), (&json!(1), &json!(0)));
}

async fn one_bad_record_saves_nothing_and_every_bad_one_is_named(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let visits = json!([
        visit("good"),
        {"id": "no-url", "visited_at": 1},
        {"id": "late", "url": "https://example.com/", "visited_at": 1, "endedAt": "soon"},
        7,
    ]);
    let aggregates =
        json!([aggregate(1), {"id": "a", "startTime": 1, "tabId": 1, "totalActiveDuration": -1}]);
    let answer = backend.sync(&ada.access, visits, aggregates).await;
    assert_eq!(answer.code(), (400, "VALIDATION_ERROR"));
    let failed = answer.body["failed_records"].as_array().unwrap();
    let named: Vec<Value> =
        failed.iter().map(|f| json!([f["kind"], f["index"], f["id"], f["field"]])).collect();
    assert_eq!(
        named,
        [
            json!(["pageVisit", 1, "no-url", "url"]),
            json!(["pageVisit", 2, "late", "endedAt"]),
            json!(["pageVisit", 3, null, null]),
            json!(["tabAggregate", 1, "a", "totalActiveDuration"]),
        ]
    );
    assert!(failed.iter().all(|f| f["error"].as_str().is_some_and(|e| !e.is_empty())));
    assert_eq!(backend.count("SELECT count(*) FROM page_visits").await, 0);

    let many = vec![visit("x"); 1_001];
    let answer = backend.sync(&ada.access, json!(many), json!([])).await;
    assert_eq!(answer.code(), (400, "BATCH_TOO_LARGE"));
}

async fn the_same_content_gets_no_version_and_the_more_complete_stays(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let version = async |record: Value| {
        let body = backend.sync(&ada.access, json!([record]), json!([])).await.ok();
        assert_eq!(body["data"]["page_visits_synced"], 1);
        body["version"].as_i64().unwrap()
    };
    let with = |more: Value| {
        let mut record = visit("v");
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    assert_eq!(version(with(json!({}))).await, 1);
    assert_eq!(version(with(json!({"synced": true, "companionRevision": 3}))).await, 1);
    assert_eq!(version(with(json!({"endedAt": 9, "companionRevision": 1}))).await, 2);
    // less complete, whatever its revision says
    assert_eq!(version(with(json!({"endedAt": 8, "companionRevision": 9}))).await, 2);
    // equally complete: the higher revision stays
    assert_eq!(version(with(json!({"endedAt": 9, "title": "B", "companionRevision": 2}))).await, 3);
    assert_eq!(version(with(json!({"endedAt": 9, "title": "C", "companionRevision": 1}))).await, 3);
    let stored = backend.stored(&ada.access, "pageVisit", 10).await;
    assert_eq!(stored.len(), 1);
    assert_eq!((&stored[0]["title"], &stored[0]["version"]), (&json!("B"), &json!(3)));
}

async fn identities_of_two_sources_and_two_users_are_apart(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let bob = backend.register("bob@example.org").await;
    let from = |source: &str| {
        let mut record = visit("same-id");
        record["companionSource"] = json!(source);
        record
    };
    let body = backend
        .sync(&ada.access, json!([from("ext#a"), from("ext#b"), visit("same-id")]), json!([]))
        .await
        .ok();
    assert_eq!(body["version"], 1);
    let body = backend.sync(&bob.access, json!([from("ext#a")]), json!([])).await.ok();
    assert_eq!(body["version"], 1);
    assert_eq!(backend.stored(&ada.access, "pageVisit", 10).await.len(), 3);
    assert_eq!(backend.stored(&bob.access, "pageVisit", 10).await.len(), 1);
}

async fn an_aggregate_is_linked_when_its_visit_comes(backend: Backend) {
    const LINKED: &str = "SELECT count(*) FROM tab_aggregates a JOIN page_visits v ON v.row_id = a.page_visit_row \
                          WHERE v.id = a.page_visit_id";
    let ada = backend.register("ada@example.org").await;
    let early = json!({"id": "a1", "page_visit_id": "v1"});
    let with_it = json!({"id": "a2", "page_visit_id": "v2"});
    backend.sync(&ada.access, json!([visit("v2")]), json!([early, with_it])).await.ok();
    assert_eq!(backend.count("SELECT count(*) FROM tab_aggregates").await, 2);
    assert_eq!(backend.count(LINKED).await, 1);
    backend.sync(&ada.access, json!([visit("v1")]), json!([])).await.ok();
    assert_eq!(backend.count(LINKED).await, 2);
    // a later version that names another visit
    let moved = json!({"id": "a2", "page_visit_id": "v3", "lastActiveTime": 5});
    backend.sync(&ada.access, json!([]), json!([moved])).await.ok();
    assert_eq!(backend.count(LINKED).await, 1);
}

async fn one_kind_each_on_the_roadmaps_routes(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let visits =
        backend.post_as(&ada.access, "/api/sync/page-visits", json!({"visits": [visit("v1")]})).await.ok();
    assert_eq!(visits["data"]["page_visits_synced"], 1);
    let path = "/api/sync/tab-aggregates";
    let aggregates =
        backend.post_as(&ada.access, path, json!({"aggregates": [aggregate(1), aggregate(2)]})).await.ok();
    assert_eq!(
        (&aggregates["data"]["tab_aggregates_synced"], &aggregates["version"]),
        (&json!(2), &json!(2))
    );
    let wrong = backend.post_as(&ada.access, path, json!({"visits": []})).await;
    assert_eq!(wrong.code(), (400, "VALIDATION_ERROR"));
    let bad = backend.post_as(&ada.access, path, json!({"aggregates": [{}]})).await;
    assert_eq!(bad.body["failed_records"][0]["kind"], "tabAggregate");
}

async fn takes_gzip_and_refuses_what_is_too_large(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let post = async |body: Vec<u8>, encoding: &'static str| {
        let request = backend.request(Method::POST, "/api/v1/data/sync").bearer_auth(&ada.access);
        send(request.header("content-encoding", encoding).body(body)).await
    };
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let body = json!({"pageVisits": [visit("v1")]}).to_string();
    let answer = post(gzip(body.as_bytes()), "gzip").await.ok();
    assert_eq!(answer["data"]["page_visits_synced"], 1);
    assert_eq!(post(body.clone().into_bytes(), "gzip").await.code(), (400, "INVALID_JSON"));
    assert_eq!(post(body.into_bytes(), "br").await.code(), (415, "UNSUPPORTED_ENCODING"));

    let capabilities = backend.get("/api/v1/capabilities", "").await.ok();
    let max = capabilities["limits"]["max_body_bytes"].as_u64().unwrap();
    let bomb = gzip(&vec![b' '; max as usize + 1]);
    assert!(bomb.len() < 1024 * 1024);
    let answer = post(bomb, "gzip").await;
    assert_eq!(answer.code(), (413, "PAYLOAD_TOO_LARGE"));
    assert_eq!(answer.body["max_bytes"], max);
}

async fn needs_a_sign_in(backend: Backend) {
    for path in ["/api/v1/data/sync", "/api/sync/page-visits", "/api/sync/tab-aggregates"] {
        assert_eq!(backend.post(path, json!({})).await.code(), (401, "UNAUTHORIZED"));
    }
    assert_eq!(backend.get("/api/v1/nothing-here", "").await.code(), (404, "NOT_FOUND"));
    assert_eq!(backend.get("/api/v1/data/sync", "").await.code(), (405, "METHOD_NOT_ALLOWED"));
    assert_eq!(backend.get("/health", "").await.status, 200);
    assert_eq!(backend.get("/ready", "").await.status, 200);
    for path in ["/api/v1/health", "/api/v1/ready"] {
        assert_eq!(backend.get(path, "").await.ok()["success"], true);
    }
}

async fn odd_values_are_stored_to_the_letter(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let visit = r#"{"id":"v","url":"https://example.com/a|b[c","visited_at":1,"title":"cut \ud83d, nul \u0000","n":2.40e21,"unknown":{"x":[1.0]}}"#;
    let aggregate = r#"{"startTime":1,"tabId":1,"pageCount":2.4e21}"#;
    let body = format!(r#"{{"pageVisits":[{visit}],"tabAggregates":[{aggregate}]}}"#);
    let request = backend.request(Method::POST, "/api/v1/data/sync").bearer_auth(&ada.access);
    send(request.body(body)).await.ok();

    let request = backend.request(Method::GET, "/api/v1/browsing_data").bearer_auth(&ada.access);
    let text = request.send().await.unwrap().text().await.unwrap();
    let kept = visit.replace(r"\ud83d", r"\ufffd").replace(r"\u0000", r"\ufffd");
    assert!(text.contains(kept.strip_suffix('}').unwrap()), "{text}");
    assert!(text.contains(aggregate.strip_suffix('}').unwrap()), "{text}");
    assert_eq!(backend.count("SELECT count(*) FROM tab_aggregates WHERE page_count IS NULL").await, 1);

    // what is too deep to be read is named, whichever way it is, and nothing beside it is stored
    let deep = format!("{}1{}", "[".repeat(1_000), "]".repeat(1_000));
    let good = r#"{"id":"w","url":"https://example.com/","visited_at":1}"#;
    let within = format!(r#"{{"id":"x","url":"https://example.com/","visited_at":1,"metadata":{deep}}}"#);
    let body = format!(r#"{{"pageVisits":[{good},{within},{deep}]}}"#);
    let request = backend.request(Method::POST, "/api/v1/data/sync").bearer_auth(&ada.access);
    let answer = send(request.body(body)).await;
    assert_eq!(answer.code(), (400, "VALIDATION_ERROR"));
    let failed = answer.body["failed_records"].as_array().unwrap();
    let named: Vec<_> = failed.iter().map(|f| (f["index"].as_u64(), f["code"].as_str())).collect();
    assert_eq!(named, [(Some(1), Some("invalid_json")), (Some(2), Some("invalid_json"))]);
    assert_eq!(backend.count("SELECT count(*) FROM page_visits").await, 1);
}

async fn the_devices_header_wins_over_the_body(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let body = |id: &str| json!({"deviceId": "of-the-body", "pageVisits": [visit(id)]});
    let post = async |id: &str, device: &str| {
        let request = backend.request(Method::POST, "/api/v1/data/sync").bearer_auth(&ada.access);
        send(request.header("X-Device-ID", device).json(&body(id))).await
    };
    post("v1", "of-the-header").await.ok();
    assert_eq!(backend.count("SELECT count(*) FROM page_visits WHERE device_id = 'of-the-header'").await, 1);
    assert_eq!(backend.count("SELECT count(*) FROM devices WHERE id <> 'of-the-header'").await, 0);
    // an empty one is none
    post("v2", "").await.ok();
    backend.post_as(&ada.access, "/api/v1/data/sync", body("v3")).await.ok();
    assert_eq!(backend.count("SELECT count(*) FROM page_visits WHERE device_id = 'of-the-body'").await, 2);
    assert_eq!(post("v4", &"d".repeat(129)).await.code(), (400, "VALIDATION_ERROR"));
    // a deletion says whose it is too
    let request = backend.request(Method::DELETE, "/api/v1/browsing_data?domain=example.com");
    send(request.bearer_auth(&ada.access).header("X-Device-ID", "deletes")).await.ok();
    assert_eq!(backend.count("SELECT count(*) FROM tombstones WHERE device_id = 'deletes'").await, 3);
}

async fn what_is_stored_outlives_a_restart(mut backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let epoch = backend.sync(&ada.access, json!([visit("v1")]), json!([])).await.ok()["feed_epoch"].clone();
    backend.restart().await;
    // the same session, the same counter
    let body = backend.sync(&ada.access, json!([visit("v2")]), json!([])).await.ok();
    assert_eq!((&body["version"], &body["feed_epoch"]), (&json!(2), &epoch));
    #[cfg(unix)]
    for entry in std::fs::read_dir(backend.folder()).into_iter().flatten() {
        use std::os::unix::fs::PermissionsExt as _;
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

/// A proxy asks elsewhere from then on; the process lives, and is ready again with its database.
async fn a_node_whose_database_fails_is_not_ready(backend: Backend) {
    backend.execute("ALTER TABLE feeds RENAME TO elsewhere").await;
    for path in ["/ready", "/api/v1/ready"] {
        let answer = backend.get(path, "").await;
        assert_eq!(answer.code(), (503, "NOT_READY"));
        assert!(!answer.body.to_string().contains("feeds"), "{answer:?}");
    }
    assert_eq!(backend.get("/health", "").await.status, 200);
    backend.execute("ALTER TABLE elsewhere RENAME TO feeds").await;
    assert_eq!(backend.get("/ready", "").await.status, 200);
}

/// Also where only the session is looked up: who sends batches hears one code for all that goes wrong inside.
async fn a_database_that_fails_is_one_code_on_the_routes_of_batches(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    backend.execute("ALTER TABLE sessions RENAME TO elsewhere").await;
    for path in ["/api/v1/data/sync", "/api/sync/page-visits", "/api/sync/tab-aggregates"] {
        let answer = backend.post_as(&ada.access, path, json!({})).await;
        assert_eq!(answer.code(), (500, "SYNC_FAILED"));
        assert!(!answer.body.to_string().contains("sessions"), "{answer:?}");
    }
    assert_eq!(backend.get("/api/v1/auth/me", &ada.access).await.code(), (500, "INTERNAL_ERROR"));
}
