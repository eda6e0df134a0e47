//! What keeps the backend up and closed on the open internet.

use crate::support::{Backend, aggregate, on_each_store, send, visit};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use heyho_backend::limits::{HEAD_BYTES, LARGE_BODIES_OF_ONE_USER, LARGE_BODY, Limits, Rate};
use heyho_backend::{Config, Registration};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

on_each_store!(
    who_asks_too_often_hears_when_to_come_back,
    guessing_a_password_is_slow_for_one_address_and_for_one_network,
    a_flood_from_one_network_is_stopped_before_anything_is_read,
    forms_that_do_not_come_keep_nobody_elses_from_coming,
    closed_registration_is_closed_to_everybody,
    every_answer_is_closed_to_browsers_and_has_an_id,
    metrics_count_what_happened_and_name_nobody,
    methods_that_a_client_makes_up_are_one_series,
    a_body_that_says_it_is_too_large_is_refused_at_once,
    who_is_refused_in_the_middle_of_sending_hears_it_and_may_go_on,
    large_bodies_count_as_such_until_they_are_saved,
    stopping_finishes_what_is_under_way,
);

async fn who_asks_too_often_hears_when_to_come_back(mut backend: Backend) {
    backend.reconfigure(|config| config.limits.user_requests = Rate { burst: 3, per_minute: 6 }).await;
    let (ada, bob) = (backend.register("ada@example.org").await, backend.register("bob@example.org").await);
    for _ in 0..3 {
        backend.get("/api/v1/auth/me", &ada.access).await.ok();
    }
    let request = backend.request(Method::POST, "/api/v1/data/sync").bearer_auth(&ada.access);
    let response = request.json(&json!({"pageVisits": [visit("v")]})).send().await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "10");
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!((&body["code"], &body["retry_after"]), (&json!("RATE_LIMITED"), &json!(10)));

    backend.get("/api/v1/auth/me", &bob.access).await.ok();
    backend.clock.advance(10_000);
    backend.sync(&ada.access, json!([visit("v")]), json!([])).await.ok();
}

async fn guessing_a_password_is_slow_for_one_address_and_for_one_network(mut backend: Backend) {
    let few = |config: &mut Config| {
        config.limits.address_sign_ins = Rate { burst: 2, per_minute: 1 };
        config.limits.network_sign_ins = Rate { burst: 4, per_minute: 1 };
    };
    backend.reconfigure(few).await;
    let login = async |email: &str| {
        backend.post("/api/v1/auth/login", json!({"email": email, "password": "guess"})).await.code().0
    };
    assert_eq!(
        [login("a@b.example").await, login("A@b.example ").await, login("a@b.example").await],
        [401, 401, 429]
    );
    assert_eq!([login("c@b.example").await, login("d@b.example").await], [401, 429]);
    backend.clock.advance(60_000);
    assert_eq!(login("a@b.example").await, 401);
    // what is no address has no bucket: it may be anything, of any length
    backend.clock.advance(10 * 60_000);
    let nonsense = "x".repeat(60_000);
    for _ in 0..4 {
        assert_eq!(login(&nonsense).await, 401);
    }
    assert_eq!(login("e@b.example").await, 429);
}

/// From one network, by somebody without an account: as many as would fill all the room there is.
async fn forms_that_do_not_come_keep_nobody_elses_from_coming(mut backend: Backend) {
    backend.reconfigure(|c| c.client_ip_header = Some("x-forwarded-for".parse().unwrap())).await;
    let ada = backend.register("ada@example.org").await;
    let form = async |path: &str, from: &str, body: serde_json::Value| {
        send(backend.request(Method::POST, path).header("x-forwarded-for", from).json(&body)).await
    };
    let mut stuck = Vec::new();
    for _ in 0..520 {
        let mut stream = TcpStream::connect(backend.address()).await.unwrap();
        let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.1\r\ncontent-length: 65536\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&[b' '; 65_535]).await.unwrap();
        stuck.push(stream);
    }
    let full = async { while form("/api/v1/auth/login", "192.0.2.1", json!({})).await.code().0 != 429 {} };
    tokio::time::timeout(Duration::from_secs(60), full).await.expect("they hold nothing");
    let refresh = json!({"refresh_token": ada.refresh});
    form("/api/v1/auth/refresh", "198.51.100.7", refresh).await.ok();
}

/// A head that goes on and on is held by nobody's account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_is_bounded() {
    let backend = Backend::on_sqlite().await;
    for (length, end, told) in
        [(HEAD_BYTES / 2, "\r\n\r\n", "HTTP/1.1 200"), (HEAD_BYTES, "", "HTTP/1.1 431")]
    {
        let mut stream = TcpStream::connect(backend.address()).await.unwrap();
        let mut head = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-long: ".to_owned();
        // no byte more than is read: what is left unread would break the answer off
        head.push_str(&"x".repeat(length - head.len()));
        stream.write_all((head + end).as_bytes()).await.unwrap();
        let mut answer = String::new();
        let told_it = tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await;
        told_it.expect("it is waited for").unwrap();
        assert!(answer.starts_with(told), "{answer}");
    }
}

async fn closed_registration_is_closed_to_everybody(mut backend: Backend) {
    let open = backend.get("/api/v1/capabilities", "").await.ok();
    assert!(open["features"].as_array().unwrap().contains(&json!("registration")));
    let ada = backend.register("ada@example.org").await;
    backend.reconfigure(|config| config.registration = Registration::Closed).await;
    for path in ["/api/v1/auth/register", "/api/auth/register"] {
        for email in ["bob@example.org", "ada@example.org"] {
            let body = json!({"email": email, "password": "correct horse"});
            assert_eq!(backend.post(path, body).await.code(), (403, "REGISTRATION_CLOSED"));
        }
    }
    let closed = backend.get("/api/v1/capabilities", "").await.ok();
    assert!(!closed["features"].as_array().unwrap().contains(&json!("registration")));
    backend.get("/api/v1/auth/me", &ada.access).await.ok();
    assert_eq!(backend.count("SELECT count(*) FROM users").await, 1);
}

async fn a_flood_from_one_network_is_stopped_before_anything_is_read(mut backend: Backend) {
    backend.reconfigure(|config| config.limits.network_requests = Rate { burst: 2, per_minute: 1 }).await;
    let health = async || send(backend.request(Method::GET, "/health")).await.status.as_u16();
    assert_eq!([health().await, health().await, health().await], [200, 200, 429]);
}

async fn every_answer_is_closed_to_browsers_and_has_an_id(mut backend: Backend) {
    for (path, id) in
        [("/health", None), ("/nothing", Some("my-id.1")), ("/api/v1/auth/me", Some("not plain!"))]
    {
        let mut request = backend.request(Method::GET, path).header("origin", "https://evil.example");
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let response = request.send().await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"));
        assert_eq!(header("cache-control").as_deref(), Some("no-store"));
        assert!(header("content-security-policy").is_some_and(|v| v.contains("default-src 'none'")));
        assert_eq!(header("access-control-allow-origin"), None);
        let given = header("x-request-id").unwrap();
        assert_eq!(given == id.unwrap_or_default(), id == Some("my-id.1"), "{given}");
    }
    let open = |config: &mut Config| {
        config.cors_origins.push("https://app.example.org".parse().unwrap());
        config.limits.user_requests = Rate { burst: 1, per_minute: 1 };
        config.limits.network_requests = Rate { burst: 6, per_minute: 1 };
    };
    let ada = backend.register("ada@example.org").await;
    backend.reconfigure(open).await;
    // the user's bucket is empty after the first, the network's after the last; a refusal is for the page to read too
    for (n, (origin, allowed)) in [("https://app.example.org", true), ("https://evil.example", false)]
        .into_iter()
        .cycle()
        .take(8)
        .enumerate()
    {
        let request = backend.request(Method::GET, "/api/v1/auth/me").bearer_auth(&ada.access);
        let response = request.header("origin", origin).send().await.unwrap();
        assert_eq!(response.status(), if n == 0 { 200 } else { 429 });
        assert_eq!(response.headers().contains_key("access-control-allow-origin"), allowed, "{origin} {n}");
        assert!(response.headers().contains_key("x-request-id"));
    }
    // what a page of an allowed origin may send
    let asked =
        backend.request(Method::OPTIONS, "/api/v1/data/sync").header("origin", "https://app.example.org");
    let asked = asked.header("access-control-request-method", "POST").send().await.unwrap();
    let headers = asked.headers()["access-control-allow-headers"].to_str().unwrap().to_lowercase();
    for name in ["authorization", "content-encoding", "idempotency-key", "x-idempotency-key", "x-device-id"] {
        assert!(headers.split(',').any(|allowed| allowed == name), "{name} is not in {headers}");
    }
}

async fn metrics_count_what_happened_and_name_nobody(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    backend.sync(&ada.access, json!([visit("v1"), visit("v2")]), json!([])).await.ok();
    backend.sync(&ada.access, json!([{"id": "bad"}]), json!([])).await;
    backend.get("/api/v1/browsing_data?domain=secret.example", &ada.access).await.ok();
    let text = backend.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        r#"heyho_sync_batches_total{outcome="saved"} 1"#,
        r#"heyho_sync_batches_total{outcome="refused"} 1"#,
        r#"heyho_sync_records_total{kind="pageVisit",outcome="held"} 2"#,
        r#"heyho_sync_records_total{kind="pageVisit",outcome="refused"} 1"#,
        r#"heyho_http_requests_total{method="POST",route="/api/v1/data/sync",status="200"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("example") && !text.contains(&ada.id));
}

async fn methods_that_a_client_makes_up_are_one_series(backend: Backend) {
    for number in 0..1_000 {
        let method = Method::from_bytes(format!("MADE-UP-{number}").as_bytes()).unwrap();
        assert_eq!(backend.request(method, "/health").send().await.unwrap().status(), 405);
    }
    let text = backend.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(!text.contains("MADE-UP"), "{text}");
    let line = r#"heyho_http_requests_total{method="other",route="/health",status="405"} 1000"#;
    assert!(text.contains(line), "{line} is not in\n{text}");
}

async fn a_body_that_says_it_is_too_large_is_refused_at_once(backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let head = format!(
        "POST /api/v1/data/sync HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 99999999999\r\n\r\n",
        ada.access
    );
    let mut stream = TcpStream::connect(backend.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("max_bytes"), "{answer}");
}

/// A batch of the usual size whose token is over: the connection is not closed upon whoever still sends it.
async fn who_is_refused_in_the_middle_of_sending_hears_it_and_may_go_on(backend: Backend) {
    let mut stream = BufReader::new(TcpStream::connect(backend.address()).await.unwrap());
    let body = vec![b' '; 512 * 1024];
    for (token, length) in [("nonsense", body.len()), ("again", body.len()), ("short", 2)] {
        let head = format!(
            "POST /api/v1/data/sync HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // Only when the refusal is certain: what comes then would be nobody's.
        for part in body[..length].chunks(64 * 1024) {
            stream.write_all(part).await.expect("it still listens");
            tokio::task::yield_now().await;
        }
        stream.flush().await.unwrap();
        let (mut status, mut left) = (String::new(), 0);
        stream.read_line(&mut status).await.unwrap();
        assert!(status.starts_with("HTTP/1.1 401"), "{status:?}");
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let line = line.trim().to_ascii_lowercase();
            if let Some(length) = line.strip_prefix("content-length: ") {
                left = length.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        stream.read_exact(&mut vec![0; left]).await.unwrap();
    }
}

/// What a large body becomes on its way into the database is no smaller than itself.
async fn large_bodies_count_as_such_until_they_are_saved(mut backend: Backend) {
    backend.reconfigure(|c| c.limits.place_wait = Duration::from_secs(2)).await;
    let (ada, bob) = (backend.register("ada@example.org").await, backend.register("bob@example.org").await);
    let held = backend.hold_writes().await;
    let body = json!({"pageVisits": [visit("v1")], "ignored": " ".repeat(LARGE_BODY)}).to_string();
    let post = |token: &str| {
        let request = backend.request(Method::POST, "/api/v1/data/sync").bearer_auth(token);
        send(request.body(body.clone()))
    };
    let mut requests: FuturesUnordered<_> =
        (0..=LARGE_BODIES_OF_ONE_USER).map(|_| post(&ada.access)).collect();
    // nothing can be saved, so the one too many finds no place in its time; somebody else does
    assert_eq!(requests.next().await.unwrap().code(), (429, "RATE_LIMITED"));
    requests.push(post(&bob.access));
    held.release().await;
    while let Some(answer) = requests.next().await {
        answer.ok();
    }
}

/// The request under way when the server is asked to stop is answered.
async fn stopping_finishes_what_is_under_way(mut backend: Backend) {
    let ada = backend.register("ada@example.org").await;
    let held = backend.hold_writes().await;
    let body = json!({"pageVisits": [visit("v1")]});
    let request = backend.request(Method::POST, "/api/v1/data/sync").bearer_auth(&ada.access).json(&body);
    let answer = tokio::spawn(send(request));
    backend.until_under_way(1).await;
    let stopped = backend.ask_to_stop();
    held.release().await;
    assert_eq!(answer.await.unwrap().ok()["version"], 1);
    stopped.await.unwrap().unwrap();
}

/// However fast it comes: the clock stands still, so that no bucket ever refills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_fifty_thousand_drains_without_a_429() {
    let usual = Limits::default();
    let backend = Backend::with(|config| {
        (config.limits.user_requests, config.limits.network_requests) =
            (usual.user_requests, usual.network_requests);
    })
    .await;
    let ada = backend.register("ada@example.org").await;
    // of one kind only, so that no batch is full
    for batch in 0..500 {
        let records: Vec<_> = (0..100).map(|n| aggregate(batch * 100 + n)).collect();
        backend.sync(&ada.access, json!([]), json!(records)).await.ok();
    }
    assert_eq!(backend.count("SELECT count(*) FROM tab_aggregates").await, 50_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_tls_when_given_a_certificate() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = heyho_backend::tls::Tls::read(&certificate, &key).unwrap();
    let backend = Backend::with(|config| config.tls = Some(tls)).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()])
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/health", backend.address().port());
    let response = client.get(url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("strict-transport-security"));
}
