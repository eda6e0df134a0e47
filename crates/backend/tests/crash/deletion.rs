//! Killed while much is deleted, as soon as the first of it is gone. `HEYHO_KILLS` halved, else 3.
//!
//! Each record is at any moment either there or deleted, never both and never neither; asked again, it is finished.

use crate::kill::kills;
use crate::program::{Program, batch, count};
use reqwest::Method;
use serde_json::{Value, json};

/// Several slices.
const BATCHES: usize = 4;
const RECORDS: usize = 1_000;

const VISITS: &str = "SELECT count(*) FROM page_visits";
const TOMBSTONES: &str = "SELECT count(*) FROM tombstones";

async fn killed_while_much_is_deleted(database: &str) {
    let mut program = Program::start(database).await;
    let token = program.client().register().await;
    let other = json!({"pageVisits": [{"id": "other", "url": "https://other.example/", "visited_at": 1}]});
    let (status, _) =
        program.client().sync(&token, "other", other.to_string().into_bytes(), false).await.unwrap();
    assert_eq!(status, 200);
    let look = async |sql: &str| usize::try_from(count(database, sql).await).unwrap();
    let (mut hit, mut sent) = (0, 0);
    let rounds = (kills() / 2).max(1);
    // now and then it is done before it can be killed
    for round in 0..rounds * 4 {
        if hit == rounds {
            break;
        }
        let client = program.client();
        for n in 0..BATCHES {
            let name = format!("r{round}b{n}");
            let (status, answer) = client.sync(&token, &name, batch(&name, RECORDS), false).await.unwrap();
            assert_eq!(status, 200, "{answer}");
        }
        let gone = sent;
        sent += BATCHES * RECORDS;
        let deleting = tokio::spawn({
            let (client, token) = (client.clone(), token.clone());
            async move { delete(&client, &token).await }
        });
        while look(TOMBSTONES).await == gone && !deleting.is_finished() {}
        program.kill_and_start().await;
        let heard = deleting.await.unwrap();
        let (left, tombstones) = (look(VISITS).await - 1, look(TOMBSTONES).await);
        assert_eq!(left + tombstones, sent, "{left} are there and {tombstones} deleted");
        hit += usize::from(left > 0);
        assert!(heard.is_none() || left == 0, "it was answered before it was done");

        let (status, answer) = delete(&program.client(), &token).await.unwrap();
        assert_eq!((status, &answer["data"]["deleted"]), (200, &json!(left)));
        assert_eq!((look(VISITS).await, look(TOMBSTONES).await), (1, sent));
    }
    assert_eq!(hit, rounds, "no kill hit it half way");
    // what comes again is accounted for and not stored
    let (status, answer) =
        program.client().sync(&token, "again", batch("r0b0", RECORDS), false).await.unwrap();
    assert_eq!((status.as_u16(), &answer["data"]["page_visits_synced"]), (200, &json!(RECORDS)));
    assert_eq!(look(VISITS).await, 1);
    println!("figures: {hit} deletions killed half way, {sent} records deleted once each");
}

async fn delete(client: &crate::program::Client, token: &str) -> Option<(u16, Value)> {
    client.ask(Method::DELETE, "browsing_data?domain=example.com", token, &Value::Null).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_on_sqlite_that_was_killed_is_finished_by_asking_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("heyho.db").display());
    killed_while_much_is_deleted(&url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_on_postgres_that_was_killed_is_finished_by_asking_again() {
    let Some(url) = crate::postgres::new_database().await else { return };
    killed_while_much_is_deleted(&url).await;
}
