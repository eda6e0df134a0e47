//! Reading back.

use crate::support::{Backend, aggregate, on_each_store, visit};
use serde_json::json;

on_each_store!(
    pages_are_in_feed_order_and_complete,
    a_page_of_large_records_is_short_and_none_is_missed,
    a_reader_goes_on_from_the_end,
    bad_questions_are_named,
    capabilities_need_no_sign_in
);

async fn pages_are_in_feed_order_and_complete(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let bob = backend.register("bob@example.org").await;
    for batch in 0..4 {
        let visits: Vec<_> = (0..5).rev().map(|n| visit(&format!("v{batch}{n}"))).collect();
        let aggregates: Vec<_> = (0..3).map(|n| aggregate(batch * 10 + n)).collect();
        backend.sync(&ada.access, json!(visits), json!(aggregates)).await.ok();
        backend.sync(&bob.access, json!([visit("bobs")]), json!([])).await.ok();
    }
    for limit in [1, 2, 7, 1_000] {
        for (kind, expected) in [("pageVisit", 20), ("tabAggregate", 12), ("", 32)] {
            let all = backend.stored(&ada.access, kind, limit).await;
            assert_eq!(all.len(), expected, "{kind} {limit}");
            assert!(all.iter().all(|r| r["id"] != "bobs" && r["updated_at"].is_string()));
        }
        let all = backend.stored(&ada.access, "pageVisit", limit).await;
        let order: Vec<_> = all.iter().map(|r| (r["version"].as_i64(), r["id"].as_str())).collect();
        assert!(order.is_sorted(), "{order:?}");
    }
    // a page that ends with the last record says so
    let page = backend.get("/api/v1/browsing_data?limit=32", &ada.access).await.ok();
    assert!(page["next_cursor"].is_null());
    // a changed record moves to the end
    let mut changed = visit("v00");
    changed["endedAt"] = json!(5);
    backend.sync(&ada.access, json!([changed]), json!([])).await.ok();
    let all = backend.stored(&ada.access, "pageVisit", 3).await;
    assert_eq!((all.len(), all[19]["id"].as_str(), all[19]["version"].as_i64()), (20, Some("v00"), Some(5)));
}

async fn a_page_of_large_records_is_short_and_none_is_missed(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let large = "x".repeat(250_000);
    for batch in 0..4 {
        let visits: Vec<_> = (0..12)
            .map(|n| {
                let mut record = visit(&format!("v{batch}-{n}"));
                record["title"] = json!(large);
                record
            })
            .collect();
        let small: Vec<_> = (0..20).map(|n| aggregate(batch * 100 + n)).collect();
        backend.sync(&ada.access, json!(visits), json!(small)).await.ok();
    }
    let page = backend.get("/api/v1/browsing_data?limit=1000", &ada.access).await.ok();
    let visits = page["data"]["page_visits"].as_array().unwrap().len();
    assert!((1..48).contains(&visits) && page["next_cursor"].is_string(), "{visits}");
    let mut keys: Vec<String> = backend
        .stored(&ada.access, "", 1_000)
        .await
        .iter()
        .map(|r| r["id"].as_str().map_or_else(|| r["tabId"].to_string(), str::to_owned))
        .collect();
    keys.sort();
    assert_eq!(keys.len(), 4 * 32);
    keys.dedup();
    assert_eq!(keys.len(), 4 * 32);
}

/// With nothing but what the answers said.
async fn a_reader_goes_on_from_the_end(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let read = async |cursor: &str| {
        let page = backend.get(&format!("/api/v1/browsing_data?cursor={cursor}"), &ada.access).await.ok();
        assert!(page["next_cursor"].is_null());
        let ids =
            ["page_visits", "tab_aggregates"].map(|kind| page["data"][kind].as_array().unwrap().clone());
        let ids: Vec<String> = ids.concat().iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect();
        (ids, page["cursor"].as_str().unwrap().to_owned(), page["feed_epoch"].clone())
    };
    let (ids, start, epoch) = read("").await;
    assert!(ids.is_empty());
    // one that says nothing of time is in the feed like any other
    let timeless = json!({"id": "timeless", "page_visit_id": "elsewhere"});
    let saved = backend.sync(&ada.access, json!([visit("v1"), visit("v2")]), json!([timeless])).await.ok();
    assert_eq!(saved["feed_epoch"], epoch);
    let (ids, end, _) = read(&start).await;
    assert_eq!(ids, ["v1", "v2", "timeless"]);
    let (ids, still, _) = read(&end).await;
    assert_eq!((ids.len(), &still), (0, &end));
    let mut changed = visit("v1");
    changed["endedAt"] = json!(5);
    backend.sync(&ada.access, json!([visit("v3"), changed]), json!([])).await.ok();
    assert_eq!(read(&end).await.0, ["v1", "v3"]);
}

async fn bad_questions_are_named(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    for query in ["kind=visits", "limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=W10"] {
        let answer = backend.get(&format!("/api/v1/browsing_data?{query}"), &ada.access).await;
        assert_eq!(answer.code(), (400, "VALIDATION_ERROR"), "{query}");
    }
    assert_eq!(backend.get("/api/v1/browsing_data", "").await.code(), (401, "UNAUTHORIZED"));
}

async fn capabilities_need_no_sign_in(backend: Backend) {
    let body = backend.get("/api/v1/capabilities", "").await.ok();
    assert_eq!(body["protocol"], 1);
    assert_eq!(body["limits"]["max_page_visits"], 1_000);
    for feature in ["data.sync", "idempotency", "gzip"] {
        assert!(body["features"].as_array().unwrap().contains(&json!(feature)));
    }
}
