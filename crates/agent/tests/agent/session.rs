//! Backends whose sessions cannot be renewed, and what is done by codes.

use crate::backend::{Mood, backend};
use crate::world::{World, login};
use heyho_local::vocabulary::{FaultCode, Login, Request, ask};
use heyho_records::status::{Account, State};
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
