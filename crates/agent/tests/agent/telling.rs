//! What somebody is told once: events to whoever subscribed, over the socket too.

use crate::backend::{Mood, backend};
use crate::world::{Played, World};
use heyho_agent::StartOptions;
use heyho_local::socket::Client;
use heyho_local::vocabulary::{Companion, Event, Notice, Request, Selection, ask};
use heyho_records::alert::Alert;
use heyho_records::status::State;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;

async fn next(events: &mut Receiver<Event>) -> Notice {
    tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let Event::Alert(notice) = events.recv().await.unwrap() {
                return notice;
            }
        }
    })
    .await
    .expect("an alert within 30 s")
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_records_and_an_ended_session_are_told_once_until_they_are_mended() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    let client = Client::connect(&world.paths().socket()).await.unwrap();
    client.call(Request::Subscribe).await.unwrap();
    let mut events = client.events().unwrap();
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    backend.feel(Mood::Picky);
    world.append(&["bad1", "bad2"]).await;
    agent.sync().await.unwrap();
    let told = next(&mut events).await;
    assert_eq!((told.code, told.raised), (Alert::FailedRecords, true));
    assert_eq!((told.args["failed"], told.text.as_str()), (2, "2 records could not be delivered."));
    // One more is no news, and neither is a restart.
    world.append(&["bad3"]).await;
    agent.sync().await.unwrap();
    drop((events, client));
    agent.agent.shutdown().await;
    let agent = world.start().await;
    let mut events = agent.companion.events().unwrap();
    agent.until("three failed", |s| s.failed == 3 && s.metrics.is_some()).await;
    // Whoever was not there when it was told can ask.
    let standing: Vec<Notice> = ask(agent.companion.as_ref(), Request::Alerts).await.unwrap();
    let standing: Vec<_> =
        standing.iter().map(|notice| (notice.code, notice.raised, notice.args["failed"])).collect();
    assert_eq!(standing, [(Alert::FailedRecords, true, 3)]);
    backend.feel(Mood::Expired);
    world.append(&["a"]).await;
    agent.sync().await.unwrap();
    let told = next(&mut events).await;
    assert_eq!((told.code, told.raised), (Alert::SessionExpired, true));
    backend.feel(Mood::Well);
    agent.login("u@x", "right password").await.unwrap();
    let told = next(&mut events).await;
    assert_eq!((told.code, told.raised), (Alert::SessionExpired, false));
    agent.companion.call(Request::FailedDiscard { which: Selection::All, as_of: None }).await.unwrap();
    agent.sync().await.unwrap();
    let told = next(&mut events).await;
    assert_eq!((told.code, told.raised), (Alert::FailedRecords, false));
    assert_eq!(agent.companion.call(Request::Alerts).await.unwrap(), serde_json::json!([]));
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_a_day_is_told_but_not_one_that_was_paused() {
    let (backend, url) = backend().await;
    let (world, clock) = (World::new(&url), Played::new());
    let agent = world.start_with(StartOptions { clock: clock.clone(), ..world.options() }).await;
    let mut events = agent.companion.events().unwrap();
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    agent.companion.call(Request::Pause { seconds: None }).await.unwrap();
    world.append(&["a"]).await;
    agent.until("paused", |s| s.state == State::Paused && s.backlog.records() == 1).await;
    clock.pass(Duration::from_secs(26 * 3_600));
    agent.until("counted", |s| s.metrics.as_ref().is_some_and(|m| m.pending == 1)).await;
    assert!(events.try_recv().is_err(), "what is paused is not told");
    backend.feel(Mood::Portal);
    agent.companion.call(Request::Resume).await.unwrap();
    // The run fails, five attempts in up to fifteen seconds; then it is looked at.
    clock.pass(Duration::from_secs(120));
    let told = next(&mut events).await;
    assert_eq!((told.code, told.args["waiting"], told.args["hours"]), (Alert::BacklogDay, 1, 26));
    agent.agent.shutdown().await;
}
