//! The account: signing out everywhere, a new password, its export, its end.

use crate::support::{Account, Backend, aggregate, on_each_store, visit};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

on_each_store!(
    signing_out_everywhere_ends_every_session,
    a_new_password_ends_the_other_sessions,
    the_export_holds_everything_stored,
    an_export_whose_account_ends_meanwhile_ends_unfinished,
    deletion_leaves_nothing,
    an_account_that_is_ending_is_gone_to_who_signs_in_meanwhile,
);

async fn login(backend: &Backend, password: &str) -> Account {
    let body = json!({"email": "ada@example.org", "password": password});
    Account::from(&backend.post("/api/v1/auth/login", body).await.ok())
}

async fn alive(backend: &Backend, account: &Account) -> bool {
    backend.get("/api/v1/auth/me", &account.access).await.status == 200
}

async fn signing_out_everywhere_ends_every_session(backend: Backend) {
    let one = backend.register("ada@example.org").await;
    let two = login(&backend, "correct horse").await;
    let bob = backend.register("bob@example.org").await;
    assert_eq!(backend.post_as(&one.access, "/api/v1/auth/logout-all", json!({})).await.status, 204);
    assert!(!alive(&backend, &one).await && !alive(&backend, &two).await);
    assert!(alive(&backend, &bob).await);
    let refresh = backend.post("/api/v1/auth/refresh", json!({"refresh_token": two.refresh})).await;
    assert_eq!(refresh.code(), (401, "UNAUTHORIZED"));
}

async fn a_new_password_ends_the_other_sessions(backend: Backend) {
    let here = backend.register("ada@example.org").await;
    let elsewhere = login(&backend, "correct horse").await;
    let change = async |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        backend.post_as(&here.access, "/api/v1/auth/password", body).await
    };
    assert_eq!(change("wrong horse", "battery staple").await.code(), (401, "INVALID_CREDENTIALS"));
    assert_eq!(change("correct horse", "short").await.code(), (400, "VALIDATION_ERROR"));
    assert!(alive(&backend, &elsewhere).await);
    assert_eq!(change("correct horse", "battery staple").await.status, 204);
    assert!(alive(&backend, &here).await);
    assert!(!alive(&backend, &elsewhere).await);
    let old = json!({"email": "ada@example.org", "password": "correct horse"});
    assert_eq!(backend.post("/api/v1/auth/login", old).await.code(), (401, "INVALID_CREDENTIALS"));
    login(&backend, "battery staple").await;
}

async fn export(backend: &Backend, token: &str) -> Vec<Value> {
    let request = backend.request(Method::GET, "/api/v1/users/me/export").bearer_auth(token);
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

async fn the_export_holds_everything_stored(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let bob = backend.register("bob@example.org").await;
    let body = "{\"deviceId\":\"d1\",\"pageVisits\":[{\"id\":\"v1\",\n\"url\":\"https://example.com/\",\"visited_at\":1,\"version\":\"own\",\"n\":2.40e21}]}";
    let request = backend.request(Method::POST, "/api/v1/data/sync").bearer_auth(&ada.access);
    crate::support::send(request.body(body)).await.ok();
    let many: Vec<Value> = (0..1_000).map(|n| visit(&format!("w{n}"))).collect();
    backend.sync(&ada.access, json!(many), json!([aggregate(1)])).await.ok();
    backend.sync(&bob.access, json!([visit("bobs")]), json!([])).await.ok();

    let lines = export(&backend, &ada.access).await;
    assert_eq!(lines.len(), 1 + 1_002);
    assert_eq!(lines[0]["account"]["email"], "ada@example.org");
    assert_eq!(lines[0]["account"]["devices"][0]["id"], "d1");
    assert_eq!((&lines[1]["kind"], &lines[1]["record"]["version"]), (&json!("pageVisit"), &json!("own")));
    assert!(lines.iter().all(|l| l["id"] != "bobs" && !l.to_string().contains("argon2")));

    let deleted = backend.delete("/api/v1/browsing_data?from=0&to=2", &ada.access).await.ok();
    assert_eq!(deleted["data"]["deleted"], 1);
    let lines = export(&backend, &ada.access).await;
    let last = &lines[1_002];
    assert_eq!((&last["kind"], &last["id"]), (&json!("pageVisit"), &json!("v1")));
    assert!(last["deleted_at"].is_string() && last["record"].is_null());
}

/// Several pages, of which no more than one is on its way to a client that does not read.
async fn an_export_whose_account_ends_meanwhile_ends_unfinished(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    for page in 0..4 {
        let large: Vec<Value> = (0..25)
            .map(|n| {
                let mut record = visit(&format!("v{page}-{n}"));
                record["title"] = json!("x".repeat(40_000));
                record
            })
            .collect();
        backend.sync(&ada.access, json!(large), json!([])).await.ok();
    }
    let export = async |backend: &Backend, ends: bool| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(backend.address()).await.unwrap();
        let head = format!(
            "GET /api/v1/users/me/export HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
            ada.access
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 64];
        stream.read_exact(&mut answer).await.unwrap();
        if ends {
            assert_eq!(backend.delete("/api/v1/users/me", &ada.access).await.status, 204);
        }
        // a connection that was broken off is an end too
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        answer.ends_with(b"\r\n0\r\n\r\n")
    };
    assert!(export(&backend, false).await);
    assert!(!export(&backend, true).await, "it looks whole");
}

async fn deletion_leaves_nothing(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let bob = backend.register("bob@example.org").await;
    for token in [&ada.access, &bob.access] {
        let request = backend.request(Method::POST, "/api/v1/data/sync").bearer_auth(token);
        let body = json!({"deviceId": "d", "pageVisits": [visit("v1")], "tabAggregates": [aggregate(1)]});
        crate::support::send(request.header("Idempotency-Key", "k").json(&body)).await.ok();
        backend.delete("/api/v1/browsing_data?domain=example.com", token).await.ok();
        backend.sync(token, json!([visit("v2")]), json!([aggregate(2)])).await.ok();
    }
    assert_eq!(backend.delete("/api/v1/users/me", &ada.access).await.status, 204);
    assert!(!alive(&backend, &ada).await);
    let refresh = backend.post("/api/v1/auth/refresh", json!({"refresh_token": ada.refresh})).await;
    assert_eq!(refresh.code(), (401, "UNAUTHORIZED"));
    assert_eq!(
        backend.sync(&ada.access, json!([visit("v3")]), json!([])).await.code(),
        (401, "UNAUTHORIZED")
    );
    for sql in [
        "SELECT count(DISTINCT user_id) FROM page_visits",
        "SELECT count(DISTINCT user_id) FROM tab_aggregates",
        "SELECT count(DISTINCT user_id) FROM tombstones",
        "SELECT count(DISTINCT user_id) FROM idempotency_keys",
        "SELECT count(DISTINCT user_id) FROM devices",
        "SELECT count(DISTINCT user_id) FROM sessions",
        "SELECT count(DISTINCT session_id) FROM refresh_tokens",
        "SELECT count(*) FROM feeds",
        "SELECT count(*) FROM users",
    ] {
        assert_eq!(backend.count(sql).await, 1, "{sql}");
    }
    // the address is free again, and it is another account
    let again = backend.register("ada@example.org").await;
    assert_ne!(again.id, ada.id);
    assert_eq!(backend.stored(&again.access, "", 10).await.len(), 0);
}

/// What its end takes first is gone; the rest is still to go. Whoever's password was read before that comes too late.
async fn an_account_that_is_ending_is_gone_to_who_signs_in_meanwhile(mut backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    backend.sync(&ada.access, json!([visit("v1")]), json!([aggregate(1)])).await.ok();
    backend.execute("DELETE FROM feeds").await;
    let who = json!({"email": "ada@example.org", "password": "correct horse"});
    assert_eq!(backend.post("/api/v1/auth/login", who).await.code(), (401, "INVALID_CREDENTIALS"));
    assert!(!alive(&backend, &ada).await);
    let refresh = backend.post("/api/v1/auth/refresh", json!({"refresh_token": ada.refresh})).await;
    assert_eq!(refresh.code(), (401, "UNAUTHORIZED"));
    // an end that broke off goes on when the backend starts
    backend.restart().await;
    let left = "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM page_visits)";
    let going = async { while backend.count(left).await > 0 {} };
    tokio::time::timeout(Duration::from_secs(20), going).await.expect("the rest of the account stays");
}
