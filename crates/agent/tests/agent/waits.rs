//! Who waits, and for what: for a run, and until a backend wants to be asked again.

use crate::backend::{Backend, Mood, backend};
use crate::world::World;
use heyho_buffer::{Arrival, Buffer, Source};
use heyho_local::clock;
use heyho_local::vocabulary::{Request, RunSummary, ask};
use heyho_records::status::{State, Status};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_asks_to_be_left_alone_is_also_after_a_sign_out_a_start_and_a_sign_in() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    // As HeyHo's service may say it: in the body only.
    backend.feel(Mood::BusyInside);
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

/// Visits that wait for the page that opened them, and that page is held back (it may still change).
async fn append_behind_a_held_one(world: &World, visits: u32) {
    let buffer = Buffer::open(&world.paths().buffer()).await.unwrap();
    let source = Source {
        name: "ext#p".into(),
        profile_id: "p".into(),
        browser: "Chromium".into(),
        client: String::new(),
    };
    let now = clock::system().now_ms();
    let opener = r#"{"id":"opener","url":"http://a/","startedAt":1700000000000}"#;
    buffer.append(&source, &[Arrival::read(None, &[opener], &[])], 600_000, now).await.unwrap();
    let text = |n| {
        format!(
            r#"{{"id":"opened-{n}","url":"http://a/","startedAt":1700000000000,"source_page_visit_id":"opener"}}"#
        )
    };
    let texts: Vec<String> = (0..visits).map(text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    buffer.append(&source, &[Arrival::read(None, &texts, &[])], 0, now).await.unwrap();
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_held_page_is_not_called_delivered_and_begins_no_run_after_run() {
    let (backend, url) = backend().await;
    backend.baseline.store(true, Ordering::SeqCst);
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    append_behind_a_held_one(&world, 120).await;
    let summary = agent.sync().await.unwrap();
    assert_eq!((summary.outcome.as_str(), summary.sent, summary.waiting), ("left_behind", 0, 121));
    let asked = backend.asked.load(Ordering::SeqCst);
    for n in 0..5 {
        world.append(&[&format!("free-{n}")]).await;
        agent.companion.call(Request::Nudge).await.unwrap();
    }
    let summary = agent.sync().await.unwrap();
    assert_eq!((summary.outcome.as_str(), summary.sent, summary.waiting), ("left_behind", 5, 121));
    assert_eq!(backend.asked.load(Ordering::SeqCst), asked + 1, "one batch, and no run before it");
    let status = agent.companion.call(Request::Status).await.unwrap();
    assert_eq!(
        (&status["state"], &status["lastSync"]["outcome"]),
        (&"waiting".into(), &"left_behind".into())
    );
    agent.agent.shutdown().await;
}

/// Each asks after the last look of the run that is going on: nobody is left without an answer.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_in_the_last_moment_of_a_run_is_answered_by_the_next() {
    let (backend, url) = backend().await;
    backend.baseline.store(true, Ordering::SeqCst);
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    // There is something to send at the end of each run, so that who joined it gets one that begins afterwards.
    append_behind_a_held_one(&world, 1).await;
    backend.slow_me.store(true, Ordering::SeqCst);
    let asks = || {
        let companion = agent.companion.clone();
        tokio::spawn(async move {
            ask::<RunSummary>(companion.as_ref(), Request::Sync { wait: true }).await.unwrap()
        })
    };
    let answered = async |waiting: tokio::task::JoinHandle<RunSummary>| {
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("an answer").unwrap()
    };
    let mut waiting = asks();
    for _ in 0..4 {
        // Nothing more is looked for once this is asked.
        let asked = tokio::time::timeout(Duration::from_secs(10), backend.me_asked.notified());
        asked.await.expect("a run for whoever waits");
        let next = asks();
        // It has been heard of by the time that others have been answered.
        for _ in 0..3 {
            agent.companion.call(Request::Status).await.unwrap();
        }
        backend.let_go.notify_one();
        assert_eq!(answered(waiting).await.outcome, "left_behind");
        waiting = next;
    }
    backend.slow_me.store(false, Ordering::SeqCst);
    backend.let_go.notify_one();
    assert_eq!(answered(waiting).await.outcome, "left_behind");
    agent.agent.shutdown().await;
}

/// As `heyho sync --wait` waits: Stop and Pause end the run after the batch in flight, and the next goes on with the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_waited_for_is_stopped_and_resumed_at_will() {
    const RECORDS: u64 = 1_000;
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    // Nothing goes before there is all of it.
    agent.companion.call(Request::Pause { seconds: None }).await.unwrap();
    let ids: Vec<String> = (0..RECORDS).map(|n| format!("v{n:04}")).collect();
    world.append(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    backend.feel(Mood::Slow);
    let asks = || {
        let companion = agent.companion.clone();
        tokio::spawn(async move {
            ask::<RunSummary>(companion.as_ref(), Request::Sync { wait: true }).await.unwrap()
        })
    };
    let mut sent = 0;
    for pauses in [true, false, true] {
        agent.companion.call(Request::Resume).await.unwrap();
        let waiting = asks();
        // Two batches, and it is to end while the third is on its way.
        for _ in 0..2 {
            backend.received.notified().await;
            backend.let_go.notify_one();
        }
        backend.received.notified().await;
        let shown =
            agent.until("some are done", |s| s.progress.as_ref().is_some_and(|p| p.done == 200)).await;
        assert_eq!(shown.progress.unwrap().total, RECORDS - sent);
        let stop = if pauses { Request::Pause { seconds: None } } else { Request::Stop };
        agent.companion.call(stop).await.unwrap();
        backend.let_go.notify_one();
        sent += 300;
        let summary = waiting.await.unwrap();
        assert_eq!(
            (summary.outcome.as_str(), summary.sent, summary.waiting),
            ("stopped", 300, RECORDS - sent)
        );
        let left = |s: &Status| s.progress.is_none() && s.backlog.records() == RECORDS - sent;
        agent.until("nothing goes on", left).await;
        assert!(!pauses || agent.sync().await.is_err(), "it is paused");
        assert_eq!(backend.ids("u@x").len() as u64, sent, "and nothing more went");
    }
    agent.agent.shutdown().await;
}

/// A batch that nobody waited for would be taken for the next one, and a word that nobody waited for would let it go.
async fn earlier_batches_are_forgotten(backend: &Backend) {
    use futures_util::FutureExt;
    let _ = backend.received.notified().now_or_never();
    let _ = backend.let_go.notified().now_or_never();
}

/// What is asked for while a run is ending is done after it, whoever asks and whether or not he waits.
#[tokio::test(flavor = "multi_thread")]
async fn sync_now_after_a_stop_and_a_resume_after_a_pause_are_not_forgotten_while_the_run_ends() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    let sync = || Request::Sync { wait: false };
    for (number, asks) in
        [[Request::Stop, sync()], [Request::Pause { seconds: None }, Request::Resume]].into_iter().enumerate()
    {
        earlier_batches_are_forgotten(&backend).await;
        backend.feel(Mood::Slow);
        // More than one batch, less than two: what is left begins no run by itself.
        let ids: Vec<String> = (0..150).map(|n| format!("v{number}-{n:03}")).collect();
        world.append(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
        agent.until("seen", |s| s.backlog.records() >= 150).await;
        agent.companion.call(sync()).await.unwrap();
        backend.received.notified().await;
        for request in asks {
            agent.companion.call(request).await.unwrap();
        }
        backend.feel(Mood::Well);
        backend.let_go.notify_one();
        agent.until("all of it", |s| s.backlog.records() == 0 && s.state == State::UpToDate).await;
        assert_eq!(backend.ids("u@x").len(), (number + 1) * 150);
    }
    // Pressed during the last question of a run that found nothing to send.
    backend.slow_me.store(true, Ordering::SeqCst);
    agent.companion.call(sync()).await.unwrap();
    backend.me_asked.notified().await;
    backend.slow_me.store(false, Ordering::SeqCst);
    world.append(&["late"]).await;
    agent.until("seen", |s| s.backlog.records() == 1).await;
    agent.companion.call(sync()).await.unwrap();
    backend.let_go.notify_one();
    agent.until("late", |s| s.backlog.records() == 0 && s.state == State::UpToDate).await;
    // The last word holds: a stop after it.
    earlier_batches_are_forgotten(&backend).await;
    backend.feel(Mood::Slow);
    let ids: Vec<String> = (0..150).map(|n| format!("w{n:03}")).collect();
    world.append(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    agent.until("seen", |s| s.backlog.records() == 150).await;
    agent.companion.call(sync()).await.unwrap();
    backend.received.notified().await;
    for request in [Request::Stop, sync(), Request::Stop] {
        agent.companion.call(request).await.unwrap();
    }
    backend.let_go.notify_one();
    agent.until("one batch", |s| s.progress.is_none() && s.backlog.records() == 50).await;
    agent.agent.shutdown().await;
}
