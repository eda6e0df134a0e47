//! What was learnt of a backend outlives the program, and a sign-out: it is not learnt anew at each start.

use crate::backend::{Mood, backend};
use crate::world::World;
use heyho_local::vocabulary::Request;
use heyho_records::status::State;
use sqlx::{Connection, SqliteConnection};
use std::sync::atomic::Ordering;

/// As `heyho sync` from a timer: each an agent of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_sick_kind_costs_few_records_however_often_the_program_starts_and_somebody_signs_in() {
    const ALLOWED: u64 = 50 + 3;
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    agent.companion.call(Request::Pause { seconds: None }).await.unwrap();
    let tabs =
        (0..180).map(|n| format!(r#"{{"id":"t{n:03}","page_visit_id":"v","active_time_seconds":{n}}}"#));
    world.append_texts(&[], &tabs.collect::<Vec<_>>()).await;
    backend.feel(Mood::NoAggregates);
    agent.companion.call(Request::Resume).await.unwrap();
    let (mut agent, mut failed) = (agent, 0);
    for round in 0..4 {
        // Somebody browses.
        let visit = |n| format!(r#"{{"id":"v{round}-{n}","url":"http://a/","startedAt":1700000000000}}"#);
        world.append_texts(&(0..5).map(visit).collect::<Vec<_>>(), &[]).await;
        // The run with which it began may have looked before.
        for _ in 0..3 {
            let summary = agent.sync().await.unwrap();
            assert_eq!(summary.outcome, "refuses_everything", "{round}: {summary:?}");
        }
        let status = agent.companion.call(Request::Status).await.unwrap();
        failed = status["failed"].as_u64().unwrap();
        assert!((20..=ALLOWED).contains(&failed), "{round}: {status}");
        if round == 1 {
            agent.companion.call(Request::Logout).await.unwrap();
            agent.login("u@x", "right password").await.unwrap();
        } else {
            agent.agent.shutdown().await;
            agent = world.start().await;
        }
    }
    assert_eq!(backend.ids("u@x").len(), 4 * 5, "the visits have arrived");
    // It is mended: the rest goes, and with that the kind is as good as any.
    backend.feel(Mood::Well);
    while agent.sync().await.unwrap().waiting > 0 {}
    assert_eq!(backend.ids("u@x").len() as u64, 4 * 5 + 180 - failed);
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_cannot_be_asked_and_took_records_is_there_also_after_a_start_and_a_sign_in() {
    let (backend, url) = backend().await;
    backend.knows_nobody.store(true, Ordering::SeqCst);
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    // Nothing is known of it yet.
    assert_eq!(agent.sync().await.unwrap().outcome, "not_found");
    world.append(&["a"]).await;
    assert_eq!(agent.sync().await.unwrap().outcome, "emptied");
    agent.agent.shutdown().await;
    let agent = world.start().await;
    assert_eq!(agent.sync().await.unwrap().outcome, "nothing_to_send");
    agent.companion.call(Request::Logout).await.unwrap();
    agent.login("u@x", "right password").await.unwrap();
    assert_eq!(agent.sync().await.unwrap().outcome, "nothing_to_send");
    // Another account's word says nothing for this one.
    agent.login("w@x", "right password").await.unwrap();
    assert_eq!(agent.sync().await.unwrap().outcome, "not_found");
    agent.agent.shutdown().await;
}

/// Else a death between the two costs as many again, at each start.
#[tokio::test(flavor = "multi_thread")]
async fn how_many_of_a_kind_were_set_aside_is_kept_before_they_are() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    agent.companion.call(Request::Pause { seconds: None }).await.unwrap();
    let visit = |n| format!(r#"{{"id":"v{n}","url":"http://a/","startedAt":1700000000000}}"#);
    let tabs =
        (0..60).map(|n| format!(r#"{{"id":"t{n:03}","page_visit_id":"v","active_time_seconds":{n}}}"#));
    world.append_texts(&(0..5).map(visit).collect::<Vec<_>>(), &tabs.collect::<Vec<_>>()).await;
    // In the settlement's own transaction: what is kept, beside what is set aside with this one.
    const WATCH: &str = "CREATE TRIGGER watches AFTER UPDATE OF state ON record WHEN new.state = 2 AND new.kind = 2 \
         AND ifnull((SELECT max(json_extract(j.value, '$[1]')) FROM meta m, json_each(m.value) j \
             WHERE m.key = 'blamed'), 0) < (SELECT count(*) FROM record WHERE state = 2 AND kind = 2) \
         BEGIN INSERT OR REPLACE INTO meta VALUES ('too-late', new.id); END";
    let file = format!("sqlite://{}", world.paths().buffer().display());
    let mut other = SqliteConnection::connect(&file).await.unwrap();
    sqlx::query(WATCH).execute(&mut other).await.unwrap();
    backend.feel(Mood::NoAggregates);
    agent.companion.call(Request::Resume).await.unwrap();
    assert_eq!(agent.sync().await.unwrap().outcome, "refuses_everything");
    const LATE: &str =
        "SELECT count(*), (SELECT count(*) FROM record WHERE state = 2) FROM meta WHERE key = 'too-late'";
    let (late, set_aside): (i64, i64) = sqlx::query_as(LATE).fetch_one(&mut other).await.unwrap();
    assert!(late == 0 && set_aside > 10, "{late}, {set_aside}");
    sqlx::query("DROP TRIGGER watches").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    agent.agent.shutdown().await;
}
