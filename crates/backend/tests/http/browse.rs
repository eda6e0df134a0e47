//! Reading back.

use crate::support::{Backend, aggregate, on_each_store, visit};
use serde_json::json;

on_each_store!(pages_are_in_feed_order_and_complete, bad_questions_are_named, capabilities_need_no_sign_in);

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
    // a changed record moves to the end
    let mut changed = visit("v00");
    changed["endedAt"] = json!(5);
    backend.sync(&ada.access, json!([changed]), json!([])).await.ok();
    let all = backend.stored(&ada.access, "pageVisit", 3).await;
    assert_eq!((all.len(), all[19]["id"].as_str(), all[19]["version"].as_i64()), (20, Some("v00"), Some(5)));
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
