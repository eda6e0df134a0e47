//! Killed in the middle of everything, again and again, while clients send.

use crate::program::{Client, Program, batch};
use sqlx::Connection as _;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;

const WRITERS: usize = 4;
/// Of each writer, while one kill happens.
const BATCHES: usize = 5;
const RECORDS: usize = 20;

/// `HEYHO_KILLS`, else 6.
pub fn kills() -> usize {
    std::env::var("HEYHO_KILLS").map_or(6, |text| text.parse().expect("HEYHO_KILLS is a number"))
}

/// Sends until it is answered, as a companion does: the same key, the same body, whichever node there is.
async fn send(nodes: &watch::Receiver<Vec<Client>>, token: &str, name: &str, first: usize) -> (bool, i64) {
    let body = batch(name, RECORDS);
    let mut tries = 0;
    let finishing = async {
        loop {
            let node = {
                let nodes = nodes.borrow();
                nodes[(first + tries) % nodes.len()].clone()
            };
            tries += 1;
            match node.sync(token, name, body.clone(), false).await {
                Some((status, answer)) if status == 200 => return answer["version"].as_i64().unwrap(),
                // 5xx while the database restarts, 409 while a twin of a killed node's request still holds its key
                Some((status, answer)) => {
                    assert!(status.is_server_error() || status == 409, "{status} {answer}");
                }
                None => tokio::task::yield_now().await,
            }
        }
    };
    let version =
        tokio::time::timeout(Duration::from_secs(120), finishing).await.expect("a batch never got through");
    (tries > 1, version)
}

async fn killed_over_and_over(database: &str, count: usize) -> (Client, String) {
    let mut programs = Vec::new();
    for _ in 0..count {
        programs.push(Program::start(database).await);
    }
    let token = programs[0].client().register().await;
    let (now_up, nodes) = watch::channel(programs.iter().map(Program::client).collect::<Vec<_>>());
    let writers = futures_util::future::join_all((0..WRITERS).map(async |writer| {
        let mut results = Vec::new();
        for n in 0..BATCHES * kills() {
            results.push(send(&nodes, &token, &format!("w{writer}b{n}"), writer).await);
        }
        results
    }));
    let killing = async {
        for kill in 0..kills() {
            // not a wait for something: the moment of a kill is arbitrary
            tokio::time::sleep(Duration::from_millis(150)).await;
            let program = kill % programs.len();
            programs[program].kill_and_start().await;
            now_up.send_replace(programs.iter().map(Program::client).collect());
        }
    };
    let (results, ()) = tokio::join!(writers, killing);
    let results: Vec<(bool, i64)> = results.into_iter().flatten().collect();
    assert!(results.iter().any(|(retried, _)| *retried), "no kill hit anything");

    // every batch took one version, and none took two
    let mut versions: Vec<i64> = results.iter().map(|(_, version)| *version).collect();
    versions.sort_unstable();
    let batches = WRITERS * BATCHES * kills();
    let expected: Vec<i64> = (1..=batches as i64).collect();
    assert_eq!(versions, expected);

    let client = programs[0].client();
    let mut seen = HashMap::new();
    for visit in client.stored(&token).await {
        *seen.entry(visit["id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), batches * RECORDS, "records were lost");
    assert!(seen.values().all(|n| *n == 1), "records are doubled");
    let hit = results.iter().filter(|(retried, _)| *retried).count();
    println!(
        "figures: {} kills of {count} nodes, {hit} of {batches} batches hit, 0 lost, 0 doubled",
        kills()
    );
    (client, token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sqlite_backend_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heyho.db");
    let url = format!("sqlite://{}", path.display());
    killed_over_and_over(&url, 1).await;
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let check: String =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
    assert_eq!(check, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_killed_in_turn_lose_and_double_nothing() {
    let Some(url) = crate::postgres::new_database().await else { return };
    killed_over_and_over(&url, 2).await;
}
