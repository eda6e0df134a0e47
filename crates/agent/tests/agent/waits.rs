//! Who waits, and for what: for a run, and until a backend wants to be asked again.

use crate::backend::{Mood, backend};
use crate::world::World;
use heyho_local::vocabulary::Request;
use heyho_records::status::State;
use std::sync::atomic::Ordering;

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_asks_to_be_left_alone_is_also_after_a_sign_out_a_start_and_a_sign_in() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Busy);
    world.append(&["a"]).await;
    assert_eq!(agent.sync().await.unwrap().outcome, "rate_limited");
    backend.feel(Mood::Well);
    agent.companion.call(Request::Logout).await.unwrap();
    agent.until("signed out", |s| s.state == State::SignedOut).await;
    agent.agent.shutdown().await;

    let agent = world.start().await;
    agent.until("signed out", |s| s.state == State::SignedOut).await;
    let asked = backend.asked.load(Ordering::SeqCst);
    agent.login("u@x", "right password").await.unwrap();
    assert_eq!(agent.sync().await.unwrap().outcome, "asked_to_wait");
    assert_eq!(backend.asked.load(Ordering::SeqCst), asked);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_backend_asked_for_outlasts_a_visit_to_another() {
    let ((backend, url), (_other, other_url)) = (backend().await, crate::backend::backend().await);
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Busy);
    world.append(&["a"]).await;
    assert_eq!(agent.sync().await.unwrap().outcome, "rate_limited");
    backend.feel(Mood::Well);
    for (url, outcome) in [(&other_url, "nothing_to_send"), (&url, "asked_to_wait")] {
        let mut login = crate::world::login("u@x", "right password");
        login.backend = Some(url.clone());
        agent.companion.call(Request::Login(login)).await.unwrap();
        assert_eq!(agent.sync().await.unwrap().outcome, outcome, "{url}");
    }
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waited_for_a_run_finds_a_status_that_is_true() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    for n in 0..20 {
        world.append(&[&format!("v{n}")]).await;
        assert_eq!(agent.sync().await.unwrap().fault, None);
        let status = agent.companion.call(Request::Status).await.unwrap();
        assert_eq!(status["state"], "up_to_date", "{status}");
    }
    agent.agent.shutdown().await;
}
