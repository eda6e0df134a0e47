//! Renewals against a server that answers by a script, and one that is not there.

use super::*;
use crate::tokens::{FileStore, TokenStore};
use heyho_sync::base_url::BaseUrl;
use heyho_sync::driver::{DriverConfig, ProxySetting};
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

enum Act {
    /// The request is read, and the connection cut: perhaps it was done.
    Cut,
    Say(u16, &'static str),
}

const RENEWED: &str =
    r#"{"success":true,"data":{"access_token":"a2","refresh_token":"r2","expires_in":900}}"#;

/// Answers one connection each, and keeps the requests.
async fn server(acts: Vec<Act>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = requests.clone();
    tokio::spawn(async move {
        for act in acts {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                let mut bytes = [0; 1_024];
                let read = stream.read(&mut bytes).await.unwrap();
                request.extend_from_slice(&bytes[..read]);
            }
            kept.lock().unwrap().push(String::from_utf8(request).unwrap());
            if let Act::Say(status, body) = act {
                let head = format!(
                    "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + body).as_bytes()).await.unwrap();
            }
        }
    });
    (url, requests)
}

fn driver(url: &str) -> Driver {
    Driver::new(&DriverConfig {
        base_url: BaseUrl::parse(url, false).unwrap(),
        ca_file: None,
        proxy: ProxySetting::Off,
        device_id: "d".into(),
        user_agent: "t".into(),
    })
    .unwrap()
}

/// A session that ends in so many seconds, in a file.
async fn holder(dir: &std::path::Path, ends_in: i64) -> Tokenholder {
    let clock = heyho_local::clock::system();
    let stored = Stored {
        account_ref: "ref".into(),
        access_token: Secret::new("a1"),
        refresh_token: Some(Secret::new("r1")),
        expires_at: Some(clock.now_ms() + ends_in * 1_000),
        kept_login: None,
    };
    let keeper = Keeper::new(Arc::new(FileStore::new(dir.join("tokens"))));
    keeper.save(stored.clone()).await;
    Tokenholder::new(keeper, clock, stored)
}

fn kept(dir: &std::path::Path) -> Stored {
    FileStore::new(dir.join("tokens")).load().unwrap().unwrap()
}

/// The backend has spent the token, and nobody heard of it. Its grace is 30 s, the next run may come in 5 minutes.
#[tokio::test]
async fn a_renewal_whose_answer_is_lost_is_asked_for_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (url, requests) = server(vec![Act::Cut, Act::Say(200, RENEWED)]).await;
    let mut holder = holder(dir.path(), 600).await;
    assert_eq!(holder.refresh(&driver(&url)).await, Refresh::Done);
    assert_eq!(kept(dir.path()).refresh_token, Some(Secret::new("r2")));
    let requests = requests.lock().unwrap();
    assert!(
        requests.len() == 2 && requests.iter().all(|it| it.contains(r#"{"refresh_token":"r1"}"#)),
        "{requests:?}"
    );
}

/// The program dies between the answer and its storing: the next one asks with the token that it finds.
#[tokio::test]
async fn a_renewal_that_was_not_stored_is_asked_for_with_the_token_that_was() {
    let dir = tempfile::tempdir().unwrap();
    let (url, _) = server(vec![Act::Say(200, RENEWED), Act::Say(200, RENEWED)]).await;
    let before = holder(dir.path(), 600).await;
    let token = before.stored().refresh_token.clone().unwrap();
    driver(&url).refresh(&token, Asked::Refused).await.unwrap();
    let stored = kept(dir.path());
    assert_eq!(stored.refresh_token, Some(token));
    let keeper = Keeper::new(Arc::new(FileStore::new(dir.path().join("tokens"))));
    let stored = keeper.load().await.unwrap().unwrap_or(stored);
    let mut next = Tokenholder::new(keeper, heyho_local::clock::system(), stored);
    assert_eq!(next.refresh(&driver(&url)).await, Refresh::Done);
    assert_eq!(kept(dir.path()).refresh_token, Some(Secret::new("r2")));
}

#[tokio::test]
async fn with_a_token_that_is_over_nothing_is_sent_while_the_backend_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = driver("http://127.0.0.1:9");
    let mut over = holder(dir.path(), -1).await;
    for _ in 0..2 {
        let access = over.access(&nobody).await;
        assert!(matches!(access, Access::NotNow(Why::NoAnswer { .. }, None)), "{access:?}");
    }
    // While it lasts it is used, and its renewal is not asked for before each request.
    let (url, requests) = server(vec![Act::Say(503, "{}"), Act::Say(503, "{}")]).await;
    let mut ends_soon = holder(dir.path(), 20).await;
    for _ in 0..3 {
        assert_eq!(ends_soon.access(&driver(&url)).await, Access::Token(Secret::new("a1")));
    }
    assert_eq!(requests.lock().unwrap().len(), 1);
}

/// A program that answers a route it does not have with a page of its own.
#[tokio::test]
async fn a_page_for_a_route_that_is_missing_ends_a_session_that_the_backend_has_refused() {
    let page = "<!DOCTYPE html><pre>Cannot POST /api/v1/auth/refresh</pre>";
    let dir = tempfile::tempdir().unwrap();
    let (url, _) = server(vec![Act::Say(404, page), Act::Say(404, page)]).await;
    let mut holder = holder(dir.path(), -1).await;
    // It may be a network in between: the backend is asked itself, with the old token.
    assert_eq!(holder.access(&driver(&url)).await, Access::Token(Secret::new("a1")));
    assert!(!holder.is_short_session());
    assert_eq!(holder.refresh(&driver(&url)).await, Refresh::SessionOver);
    assert!(holder.is_short_session(), "and so it is offered to keep the password");
}
