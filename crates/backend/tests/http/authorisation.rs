//! Every route that needs a sign-in, asked with everything that is none.
//!
//! The routes come from the OpenAPI document, so a new one is tested from its first day.

use crate::documented::document;
use crate::support::{Account, Backend, on_each_store, send, visit};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use reqwest::Method;
use serde_json::{Value, json};

on_each_store!(whatever_is_no_sign_in_is_refused_everywhere, nobody_reads_or_changes_what_is_somebody_elses);

/// What anybody may ask. Everything else needs a sign-in.
const OPEN: [&str; 12] = [
    "login",
    "register",
    "refresh",
    "verify-email",
    "resend-verification",
    "reset-password-request",
    "reset-password",
    "capabilities",
    "health",
    "ready",
    "metrics",
    "openapi.json",
];

/// (method, path) of every operation, and whether it needs a sign-in.
fn operations() -> Vec<(Method, String, bool)> {
    let paths = document()["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, operations)| {
        operations.as_object().unwrap().iter().map(move |(method, operation)| {
            let method: Method = method.to_uppercase().parse().unwrap();
            let closed = !OPEN.contains(&path.rsplit('/').next().unwrap());
            assert_eq!(operation.get("security").is_some(), closed, "the document on {method} {path}");
            (method, path.clone(), closed)
        })
    });
    each.collect()
}

async fn whatever_is_no_sign_in_is_refused_everywhere(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let expired = backend.register("expired@example.org").await.access;
    backend.clock.advance(15 * 60 * 1_000);
    let ada = Account::from(
        &backend.post("/api/v1/auth/refresh", json!({"refresh_token": ada.refresh})).await.ok(),
    );
    let signed_out = backend.register("out@example.org").await.access;
    assert_eq!(backend.post_as(&signed_out, "/api/v1/auth/logout", json!({})).await.status, 204);
    let deleted = backend.register("deleted@example.org").await.access;
    assert_eq!(backend.delete("/api/v1/users/me", &deleted).await.status, 204);

    let parts: Vec<&str> = ada.access.split('.').collect();
    let mut header: Value = serde_json::from_slice(&B64.decode(parts[0]).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&B64.decode(parts[1]).unwrap()).unwrap();
    let wrong_key = jsonwebtoken::encode(
        &jsonwebtoken::Header { kid: header["kid"].as_str().map(str::to_owned), ..Default::default() },
        &claims,
        &jsonwebtoken::EncodingKey::from_secret(&[0; 64]),
    )
    .unwrap();
    header["alg"] = json!("none");
    let none = format!("{}.{}.", B64.encode(header.to_string()), parts[1]);
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    let refresh = ada.refresh.clone();

    let all = operations();
    assert!(all.iter().filter(|o| o.2).count() >= 15, "{all:?}");
    let bad = [
        ("no token", None),
        ("an expired one", Some(expired)),
        ("one of a session that was signed out", Some(signed_out)),
        ("one of a deleted account", Some(deleted)),
        ("alg none", Some(none)),
        ("no signature", Some(unsigned)),
        ("another key", Some(wrong_key)),
        ("a refresh token", Some(refresh)),
        ("nonsense", Some("x".to_owned())),
    ];
    for (method, path, _) in all.iter().filter(|o| o.2) {
        for (what, token) in &bad {
            let mut request = backend.request(method.clone(), path).json(&json!({}));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            assert_eq!(send(request).await.code(), (401, "UNAUTHORIZED"), "{method} {path} with {what}");
        }
    }
    // control: the same questions with a sign-in are not refused for want of one; what ends it comes last
    let mut open: Vec<_> =
        all.iter().filter(|o| o.2 && !o.1.contains("logout") && !o.1.ends_with("users/me")).collect();
    open.sort_by_key(|o| o.1.clone());
    for (method, path, _) in open {
        let request = backend.request(method.clone(), path).bearer_auth(&ada.access).json(&json!({}));
        if path.ends_with("export") {
            assert_eq!(request.send().await.unwrap().status(), 200);
        } else {
            assert_ne!(send(request).await.status, 401, "{method} {path}");
        }
    }
}

async fn nobody_reads_or_changes_what_is_somebody_elses(backend: Backend) {
    let (ada, bob) = (backend.register("ada@example.org").await, backend.register("bob@example.org").await);
    let secret = json!({"id": "shared", "url": "https://secret.example/", "visited_at": 1, "endedAt": 5});
    backend.sync(&ada.access, json!([secret]), json!([{"id": "a", "page_visit_id": "bobs"}])).await.ok();

    // the same id of Bob is another record, however much more complete
    let mut bobs = visit("shared");
    bobs["endedAt"] = json!(9_999_999_999_999_i64);
    let body = backend.sync(&bob.access, json!([bobs, visit("bobs")]), json!([])).await.ok();
    assert_eq!(body["version"], 1);
    let adas = backend.stored(&ada.access, "pageVisit", 10).await;
    assert_eq!((adas.len(), &adas[0]["url"]), (1, &secret["url"]));
    // the same of aggregates, of which Bob's says more of each thing that decides
    let bobs = json!({"id": "a", "page_visit_id": "nowhere", "total_time_seconds": 9e9, "closed_at": 9_999_999_999_999_i64, "totalActiveDuration": 9e9, "lastActiveTime": 9_999_999_999_999_i64});
    backend.sync(&bob.access, json!([]), json!([bobs])).await.ok();
    let adas = backend.stored(&ada.access, "tabAggregate", 10).await;
    assert_eq!((adas.len(), &adas[0]["id"], &adas[0]["total_time_seconds"]), (1, &json!("a"), &json!(null)));
    assert_eq!(backend.stored(&bob.access, "tabAggregate", 10).await.len(), 1);
    // nor is Bob's visit tied to Ada's aggregate
    assert_eq!(
        backend.count("SELECT count(*) FROM tab_aggregates WHERE page_visit_row IS NOT NULL").await,
        0
    );

    // a cursor is a place, not a key: Ada's in Bob's hands shows Bob's
    backend.sync(&ada.access, json!([visit("v2"), visit("v3")]), json!([])).await.ok();
    let page = backend.get("/api/v1/browsing_data?limit=1", &ada.access).await.ok();
    let path = format!("/api/v1/browsing_data?cursor={}", page["next_cursor"].as_str().unwrap());
    assert!(!backend.get(&path, &bob.access).await.ok().to_string().contains("secret.example"));

    // what Bob deletes is Bob's
    let deleted = backend.delete("/api/v1/browsing_data?from=0&to=9999999999999", &bob.access).await.ok();
    assert_eq!(deleted["data"]["deleted"], 2);
    assert_eq!(backend.stored(&ada.access, "pageVisit", 10).await.len(), 3);
    assert_eq!(backend.delete("/api/v1/users/me", &bob.access).await.status, 204);
    assert_eq!(backend.stored(&ada.access, "pageVisit", 10).await.len(), 3);
}
