//! Backends whose sessions cannot be renewed, and what is done by codes.

use crate::backend::{Mood, backend};
use crate::world::{World, login};
use heyho_local::vocabulary::{FaultCode, Login, Request, RunSummary, ask};
use heyho_records::status::{Account, State};
use sqlx::{Connection, SqliteConnection};
use std::sync::atomic::Ordering;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_cannot_be_renewed_is_over_and_the_password_may_be_kept_for_the_next() {
    let (backend, url) = backend().await;
    backend.never_renews.store(true, Ordering::SeqCst);
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate && !s.short_session).await;
    // The hour is over.
    backend.dead_before.store(1, Ordering::SeqCst);
    world.append(&["a"]).await;
    assert_eq!(agent.sync().await.unwrap().fault, Some(FaultCode::SignInNeeded));
    agent.until("over, with the offer", |s| s.state == State::SessionExpired && s.short_session).await;
    assert_eq!(backend.logins.load(Ordering::SeqCst), 1, "off until asked for");

    let kept = Login { keep_password: Some(true), ..login("u@x", "right password") };
    ask::<Account>(agent.companion.as_ref(), Request::Login(kept)).await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate && s.backlog.records() == 0).await;
    backend.dead_before.store(2, Ordering::SeqCst);
    world.append(&["b"]).await;
    assert_eq!(agent.sync().await.unwrap().fault, None);
    assert_eq!(
        (backend.ids("u@x"), backend.logins.load(Ordering::SeqCst)),
        (vec!["a".into(), "b".into()], 3)
    );
    // In a file no password is kept, whoever asks for it.
    let stored = std::fs::read_to_string(world.paths().token_file()).unwrap();
    assert!(!stored.contains("right password"), "{stored}");
    // Signed out, it is gone from memory too.
    agent.companion.call(Request::Logout).await.unwrap();
    agent.until("signed out", |s| s.state == State::SignedOut).await;
    agent.login("u@x", "right password").await.unwrap();
    backend.dead_before.store(10, Ordering::SeqCst);
    backend.feel(Mood::Well);
    world.append(&["c"]).await;
    // Asked after the run of the sign-in has found out, or before.
    let fault = agent.sync().await.map_or_else(|fault| Some(fault.code), |summary| summary.fault);
    assert_eq!(fault, Some(FaultCode::SignInNeeded));
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_was_asked_for_is_kept_though_the_run_ends_meanwhile() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    std::fs::create_dir_all(&world.paths().config).unwrap();
    let settings = format!("[backend]\nurl = \"{url}\"\n[tokens]\nstore = \"file\"\n");
    std::fs::write(world.paths().config_file(), settings).unwrap();
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.slow_refresh.store(true, Ordering::SeqCst);
    backend.dead_before.store(1, Ordering::SeqCst);
    world.append(&["a"]).await;
    let companion = agent.companion.clone();
    let run = tokio::spawn(async move {
        ask::<RunSummary>(companion.as_ref(), Request::Sync { wait: true }).await.unwrap()
    });
    backend.refresh_asked.notified().await;
    // The settings of the connection change: the run is dropped where it stands.
    let set = Request::ConfigSet { key: "backend.allow_http".to_owned(), value: true.into() };
    agent.companion.call(set).await.unwrap();
    assert_eq!(run.await.unwrap().outcome, "stopped");
    backend.let_go.notify_one();
    agent.until("delivered", |s| s.state == State::UpToDate && s.last_confirmed_at.is_some()).await;
    assert_eq!((backend.ids("u@x"), backend.refreshed.load(Ordering::SeqCst)), (vec!["a".to_owned()], 1));
    let stored = std::fs::read_to_string(world.paths().token_file()).unwrap();
    assert!(stored.contains("refresh of u@x+"), "{stored}");
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_asks_to_be_left_alone_is_also_after_a_start_and_a_sign_in() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate && s.last_confirmed_at.is_none()).await;
    backend.feel(Mood::Busy);
    world.append(&["a"]).await;
    assert_eq!(agent.sync().await.unwrap().outcome, "rate_limited");
    backend.feel(Mood::Well);
    let asked = backend.asked.load(Ordering::SeqCst);
    agent.agent.shutdown().await;

    let agent = world.start().await;
    agent.until("there", |s| s.backlog.records() == 1 && s.state == State::Retrying).await;
    let summary = agent.sync().await.unwrap();
    assert_eq!((summary.outcome.as_str(), summary.fault), ("asked_to_wait", Some(FaultCode::TryLater)));
    agent.login("u@x", "right password").await.unwrap();
    assert_eq!(agent.sync().await.unwrap().outcome, "asked_to_wait");
    assert_eq!(backend.asked.load(Ordering::SeqCst), asked);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_file_that_cannot_be_read_is_said_and_not_taken_for_an_ended_session() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    std::fs::create_dir_all(&world.paths().config).unwrap();
    let settings = format!("[backend]\nurl = \"{url}\"\n[tokens]\nstore = \"file\"\n");
    std::fs::write(world.paths().config_file(), settings).unwrap();
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    let set = Request::ConfigSet { key: "backend.ca_file".to_owned(), value: "/nowhere/ca.pem".into() };
    agent.companion.call(set).await.unwrap();
    let status = agent.until("said", |s| s.reason_code.as_deref() == Some("configuration")).await;
    let reason = status.reason.unwrap();
    // Where it lies is not the window's business.
    assert!(reason.starts_with("backend.ca_file `ca.pem` cannot be read"), "{reason}");
    assert!(reason.ends_with(". Records are kept safely here.") && !reason.contains(".."), "{reason}");
    let summary = agent.sync().await.unwrap();
    assert_eq!((summary.why, summary.fault), (Some(reason), Some(FaultCode::Configuration)));
    let set = Request::ConfigSet { key: "backend.ca_file".to_owned(), value: serde_json::Value::Null };
    agent.companion.call(set).await.unwrap();
    agent.until("well again", |s| s.state == State::UpToDate).await;
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_by_codes_is_done_at_the_backend_that_was_typed() {
    // Nobody listens where the settings point; the other one answers, and has no codes.
    let (_backend, url) = backend().await;
    let world = World::new("http://127.0.0.1:9");
    let agent = world.start().await;
    let asked = |backend: Option<&str>| {
        let (email, code, backend) =
            (|| "u@x".to_owned(), || "123456".to_owned(), backend.map(str::to_owned));
        [
            Request::Verify { email: email(), code: code(), backend: backend.clone() },
            Request::VerifyResend { email: email(), backend: backend.clone() },
            Request::PasswordReset { email: email(), backend: backend.clone() },
            Request::PasswordSet {
                email: email(),
                code: code(),
                password: "a new password".to_owned(),
                backend,
            },
        ]
    };
    for request in asked(Some(&url)) {
        let word = request.word();
        assert_eq!(agent.companion.call(request).await.unwrap_err().code, FaultCode::NotOffered, "{word}");
    }
    for request in asked(None).into_iter().chain(asked(Some(" "))) {
        let word = request.word();
        assert_eq!(
            agent.companion.call(request).await.unwrap_err().code,
            FaultCode::BackendUnreachable,
            "{word}"
        );
    }
    let bad = asked(Some("nonsense")).map(|request| agent.companion.call(request));
    for refused in bad {
        assert_eq!(refused.await.unwrap_err().code, FaultCode::Configuration);
    }
    assert!(!world.paths().config_file().exists(), "only a sign-in writes the address down");
    agent.agent.shutdown().await;
}

/// By then the settings name the other backend: what is captured is not sent to the one before as if nothing had happened.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_cannot_be_stored_leaves_nobody_sending_to_the_backend_before() {
    let ((one, url), (other, elsewhere)) = (backend().await, backend().await);
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    let file = world.paths().buffer();
    let mut store = SqliteConnection::connect(file.to_str().unwrap()).await.unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON account BEGIN SELECT RAISE(ABORT, 'not now'); END";
    sqlx::query(refuse).execute(&mut store).await.unwrap();
    let there = Login { backend: Some(elsewhere.clone()), ..login("u@x", "right password") };
    let fault = ask::<Account>(agent.companion.as_ref(), Request::Login(there.clone())).await.unwrap_err();
    assert!(fault.text.contains("could not be stored"), "{fault}");
    let status = agent.until("over", |s| s.state == State::SessionExpired).await;
    assert_eq!(status.reason_code.as_deref(), Some("other_backend"));
    world.append(&["a"]).await;
    assert_eq!(agent.sync().await.unwrap_err().code, FaultCode::SignInNeeded);
    assert!(one.ids("u@x").is_empty());
    sqlx::query("DROP TRIGGER refuse").execute(&mut store).await.unwrap();
    ask::<Account>(agent.companion.as_ref(), Request::Login(there)).await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    assert_eq!((one.ids("u@x"), other.logins.load(Ordering::SeqCst)), (Vec::<String>::new(), 2));
    agent.agent.shutdown().await;
}
