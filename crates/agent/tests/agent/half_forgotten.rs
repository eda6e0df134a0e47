//! A site that was half forgotten: the next start sends nothing of it, also where another program keeps it from going on
//! at once; and what fails in the middle is shown nowhere.

use crate::backend::backend;
use crate::world::World;
use heyho_buffer::Buffer;
use heyho_local::vocabulary::{FaultCode, Request, Selection};
use heyho_records::status::State;
use serde_json::json;
use sqlx::{Connection, SqliteConnection};

#[tokio::test(flavor = "multi_thread")]
async fn while_another_program_writes_a_start_sends_nothing_of_a_half_forgotten_site() {
    let (backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    agent.agent.shutdown().await;
    world.append(&["of-the-site"]).await;
    let path = world.paths().buffer();
    let buffer = Buffer::open(&path).await.unwrap();
    buffer.set_meta("forgetting:a", "").await.unwrap();
    buffer.close().await;

    let mut writer = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut writer).await.unwrap();
    // It waits for the other in vain, and starts all the same.
    let mut options = world.options();
    options.first_run = false;
    let agent = world.start_with(options).await;
    sqlx::query("ROLLBACK").execute(&mut writer).await.unwrap();
    writer.close().await.unwrap();
    agent.until("signed in", |s| matches!(s.state, State::Waiting | State::UpToDate)).await;
    agent.sync().await.unwrap();
    assert_eq!(backend.ids("u@x"), Vec::<String>::new());
    assert!(backend.seen.lock().unwrap().is_empty(), "nor in a request that was refused");
    let buffer = Buffer::open(&path).await.unwrap();
    assert_eq!(buffer.meta("forgetting:a").await.unwrap(), None);
    buffer.close().await;
    agent.agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_of_a_site_is_not_shown_where_forgetting_it_fails_and_is_finished_later() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    world.append(&["delivered"]).await;
    agent.sync().await.unwrap();
    let delivered = async || agent.companion.call(Request::Delivered).await.unwrap();
    assert_eq!(delivered().await[0]["host"], "a");
    agent.companion.call(Request::Pause { seconds: None }).await.unwrap();
    world.append(&["waits"]).await;
    agent.until("seen", |s| s.backlog.records() == 1).await;

    let file = format!("sqlite://{}", world.paths().buffer().display());
    let mut other = SqliteConnection::connect(&file).await.unwrap();
    let no = "CREATE TRIGGER no BEFORE DELETE ON record BEGIN SELECT RAISE(ABORT, 'not now'); END";
    sqlx::query(no).execute(&mut other).await.unwrap();
    agent.companion.call(Request::Forget { domain: "a".into(), backend: false }).await.unwrap_err();
    assert_eq!(delivered().await, json!([]));
    sqlx::query("DROP TRIGGER no").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    agent.companion.call(Request::Resume).await.unwrap();
    agent.until("gone", |s| s.backlog.records() == 0 && s.state == State::UpToDate).await;
    assert_eq!(delivered().await, json!([]));
    agent.agent.shutdown().await;
}

/// "Nothing was changed" would have somebody think better of it, and lose the rest all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_has_begun_says_so_and_comes_to_its_end() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    let agent = world.start().await;
    agent.login("u@x", "right password").await.unwrap();
    agent.until("up to date", |s| s.state == State::UpToDate).await;
    agent.companion.call(Request::Pause { seconds: None }).await.unwrap();
    let ids: Vec<String> = (0..600).map(|n| format!("v{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let file = format!("sqlite://{}", world.paths().buffer().display());
    let mut other = SqliteConnection::connect(&file).await.unwrap();
    // The first page of five hundred goes, the second does not.
    let no =
        "CREATE TRIGGER no BEFORE DELETE ON record WHEN old.id = 'v550' BEGIN SELECT RAISE(ABORT, 'no'); END";
    for asked in [
        Request::Erase,
        Request::DiscardAccount { account: "u@x".into() },
        Request::Forget { domain: "a".into(), backend: false },
    ] {
        world.append(&ids).await;
        sqlx::query(no).execute(&mut other).await.unwrap();
        let fault = agent.companion.call(asked.clone()).await.unwrap_err();
        assert_eq!((fault.code, fault.code.exit_status()), (FaultCode::Begun, 75), "{asked:?}: {fault}");
        assert!(fault.text.contains("finishes it by itself"), "{fault}");
        let waiting: i64 =
            sqlx::query_scalar("SELECT count(*) FROM record").fetch_one(&mut other).await.unwrap();
        assert!((1..600).contains(&waiting), "{asked:?}: {waiting}");
        sqlx::query("DROP TRIGGER no").execute(&mut other).await.unwrap();
        agent.companion.call(Request::Resume).await.unwrap();
        agent.until("gone", |s| s.backlog.records() == 0 && s.state == State::UpToDate).await;
        agent.companion.call(Request::Pause { seconds: None }).await.unwrap();
    }
    // Where nothing has begun, nothing is said to have.
    let begins = "CREATE TRIGGER no BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'no'); END";
    sqlx::query(begins).execute(&mut other).await.unwrap();
    let fault = agent.companion.call(Request::Erase).await.unwrap_err();
    assert_eq!(fault.code, FaultCode::Failed, "{fault}");
    sqlx::query("DROP TRIGGER no").execute(&mut other).await.unwrap();
    agent.agent.shutdown().await;
}

/// Of chosen ones a part may be gone; that too is no nothing.
#[tokio::test(flavor = "multi_thread")]
async fn of_chosen_ones_that_went_in_part_it_is_said_how_many_went() {
    let world = World::new("http://127.0.0.1:9");
    let agent = world.start().await;
    let ids: Vec<String> = (0..1_100).map(|n| format!("v{n}")).collect();
    for part in ids.chunks(600) {
        world.append(&part.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    let file = format!("sqlite://{}", world.paths().buffer().display());
    let mut other = SqliteConnection::connect(&file).await.unwrap();
    for (stays, which) in [("v510", Selection::Ids((1..=520).collect())), ("v1050", Selection::All)] {
        let no = format!(
            "CREATE TRIGGER no BEFORE DELETE ON record WHEN old.id = '{stays}' BEGIN SELECT RAISE(ABORT, 'no'); END"
        );
        sqlx::query(sqlx::AssertSqlSafe(no)).execute(&mut other).await.unwrap();
        let fault = agent.companion.call(Request::WaitingDiscard { which }).await.unwrap_err();
        assert_eq!(fault.code, FaultCode::Partly, "{fault}");
        let told = "500 of these records are deleted, the others are not";
        assert!(fault.text.contains(told), "{fault}");
        sqlx::query("DROP TRIGGER no").execute(&mut other).await.unwrap();
    }
    other.close().await.unwrap();
    agent.agent.shutdown().await;
}

/// Damaged files that were set aside go with whatever is deleted for good, also with what was owed from before.
#[tokio::test(flavor = "multi_thread")]
async fn where_an_erasure_is_owed_damaged_files_are_not_said_to_be_kept() {
    let (_backend, url) = backend().await;
    let world = World::new(&url);
    world.append(&["a"]).await;
    let file = world.paths().buffer();
    let mut bytes = std::fs::read(&file).unwrap();
    for byte in bytes.iter_mut().skip(100).take(3_000) {
        *byte = !*byte;
    }
    std::fs::write(&file, bytes).unwrap();
    for (owed, said) in [(false, "are kept beside it for thirty days"), (true, "are no longer kept")] {
        if owed {
            let buffer = Buffer::open(&file).await.unwrap();
            buffer.set_meta("erased", "1").await.unwrap();
            buffer.close().await;
        }
        let agent = world.start().await;
        let status = agent.until("a status", |_| true).await;
        let all = serde_json::to_string(&status).unwrap();
        assert!(all.contains("was damaged") && all.contains(said), "owed: {owed}: {all}");
        agent.agent.shutdown().await;
    }
}
