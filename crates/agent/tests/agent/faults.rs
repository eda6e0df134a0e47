//! A fault of this program in the very task that sends: planted in the clock by which that alone goes.

use crate::backend::{Mood, backend};
use crate::world::{Played, World};
use heyho_agent::StartOptions;
use heyho_local::vocabulary::{FaultCode, Request, RunSummary, ask};
use heyho_records::status::State;
use std::sync::atomic::Ordering;

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_engine_is_said_leaves_nobody_waiting_and_what_was_sent_is_sent_again() {
    let (backend, url) = backend().await;
    let (world, clock) = (World::new(&url), Played::new());
    let agent = world.start_with(StartOptions { clock: clock.clone(), ..world.options() }).await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Slow);
    world.append(&["a"]).await;
    agent.until("seen", |s| s.backlog.records() == 1).await;
    let companion = agent.companion.clone();
    let waiting =
        tokio::spawn(
            async move { ask::<RunSummary>(companion.as_ref(), Request::Sync { wait: true }).await },
        );
    backend.received.notified().await;
    clock.broken.store(true, Ordering::SeqCst);
    backend.let_go.notify_one();
    // Who waited is told, and the status says it for as long as nothing works.
    let fault = waiting.await.unwrap().unwrap_err();
    assert_eq!((fault.code, fault.text.contains("lost track")), (FaultCode::Failed, true), "{fault:?}");
    let said = agent.until("said", |s| s.reason_code.as_deref() == Some("internal")).await;
    assert_eq!((said.state, said.progress.is_some()), (State::NeedsAttention, false));
    assert!(said.next_attempt_at.is_some(), "{said:?}");
    // Whoever asks meanwhile is told too: of the next engine, which meets the same, or of none.
    let fault = agent.sync().await.unwrap_err();
    assert!(fault.text.contains("lost track"), "{fault:?}");
    backend.feel(Mood::Well);
    clock.broken.store(false, Ordering::SeqCst);
    agent.until("delivered", |s| s.state == State::UpToDate && s.backlog.records() == 0).await;
    let seen = backend.seen.lock().unwrap().clone();
    assert!(seen.len() == 2 && seen[0] == seen[1], "the same key and bytes: {}", seen.len());
    // It is the agent as before: asked, paused, stopped.
    world.append(&["b"]).await;
    assert_eq!(agent.sync().await.unwrap().sent, 1);
    agent.agent.shutdown().await;
}
