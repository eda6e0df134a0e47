//! A site that was half forgotten when the program ended: the next start sends nothing of it, also where another program
//! keeps it from going on at once.

use crate::backend::backend;
use crate::world::World;
use heyho_buffer::Buffer;
use heyho_records::status::State;
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
