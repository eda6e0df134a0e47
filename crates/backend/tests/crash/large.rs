//! More than anyone should send. `HEYHO_BOMBS` at once, else 16.

use crate::program::{Program, batch};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use sqlx::Connection as _;
use std::io::Write as _;

/// Far more than the limits allow to be held at once.
const BOUND: u64 = 700 * 1024 * 1024;

macro_rules! on_each_store {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let folder = tempfile::tempdir().unwrap();
                    let url = format!("sqlite://{}", folder.path().join("heyho.db").display());
                    super::$name(super::Program::start(&url).await).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    if let Some(url) = crate::postgres::new_database().await {
                        super::$name(super::Program::start(&url).await).await;
                    }
                }
            )*
        }
    };
}

on_each_store!(a_thousand_records_of_fifty_kilobytes_are_stored_or_named);

// what is refused before any database is asked is asked of one

async fn on_sqlite() -> (Program, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&format!("sqlite://{}", folder.path().join("heyho.db").display())).await;
    (program, folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_megabyte_that_inflates_to_half_a_gigabyte_is_a_413_in_bounded_memory() {
    let (program, _folder) = on_sqlite().await;
    let token = program.client().register().await;
    // gzip allows members one after another
    let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    member.write_all(&vec![b' '; 1024 * 1024]).unwrap();
    let bomb = member.finish().unwrap().repeat(512);
    assert!(bomb.len() < 1024 * 1024);

    let count =
        std::env::var("HEYHO_BOMBS").map_or(16, |text| text.parse().expect("HEYHO_BOMBS is a number"));
    let bombs = futures_util::future::join_all((0..count).map(|n| {
        let (client, token, bomb) = (program.client(), token.clone(), bomb.clone());
        async move {
            let mut asked = 0;
            // on a busy machine they wait for their turn for longer than one may
            loop {
                let answer = client.sync(&token, &format!("bomb{n}"), bomb.clone(), true).await.unwrap();
                if answer.0 != 429 {
                    return answer;
                }
                assert!(asked < 100, "it is refused for ever");
                asked += 1;
                tokio::task::yield_now().await;
            }
        }
    }));
    // meanwhile a companion's batch is served
    let client = program.client();
    let small = async { client.sync(&token, "small", batch("small", 100), false).await.unwrap() };
    let (bombs, small) = tokio::join!(bombs, small);
    // the faulty one is to be found out by this
    let peak = program.peak_memory();
    assert!(peak < BOUND, "{} MiB", peak / 1024 / 1024);
    assert_eq!(small.0, 200);
    for (status, answer) in bombs {
        assert_eq!((status.as_u16(), answer["code"].as_str()), (413, Some("PAYLOAD_TOO_LARGE")));
        assert_eq!(answer["max_bytes"], 64 * 1024 * 1024);
    }
}

/// None of them is a large one, nothing can be saved, and one person sends them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_hundred_kilobytes_that_inflate_to_six_hundred_megabytes_are_told_to_come_back() {
    const BURST: usize = 600;
    let (program, folder) = on_sqlite().await;
    let token = program.client().register().await;
    let mut body = batch("b", 1);
    body.splice(1..1, format!(r#""ignored":"{}","#, " ".repeat(1024 * 1024 - 1024)).into_bytes());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&body).unwrap();
    let small = gzip.finish().unwrap();
    assert!(body.len() < 1024 * 1024 && small.len() < 2_048);

    let url = format!("sqlite://{}", folder.path().join("heyho.db").display());
    let mut beside = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut beside).await.unwrap();
    let mut answers: FuturesUnordered<_> = (0..BURST)
        .map(|n| {
            let (client, token, body) = (program.client(), token.clone(), small.clone());
            async move { client.sync(&token, &format!("k{n}"), body, true).await.unwrap() }
        })
        .collect();
    // one user's share is some thirty of them
    for _ in 0..BURST - 64 {
        let (status, answer) = answers.next().await.unwrap();
        let peak = program.peak_memory();
        assert!(peak < 300 * 1024 * 1024, "{} MiB", peak / 1024 / 1024);
        assert_eq!((status.as_u16(), answer["code"].as_str()), (429, Some("RATE_LIMITED")), "{answer}");
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut beside).await.unwrap();
    let (mut saved, peak) = (0, program.peak_memory());
    while let Some((status, answer)) = answers.next().await {
        assert!([200, 429].contains(&status.as_u16()), "{status} {answer}");
        saved += usize::from(status == 200);
    }
    assert!(saved > 0, "the room was never given back");
    println!(
        "figures: of {BURST} bodies of 1 MiB at once {saved} were saved, {} MiB at most",
        peak / 1024 / 1024
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_thirty_million_is_a_400_in_bounded_memory() {
    let (program, _folder) = on_sqlite().await;
    let token = program.client().register().await;
    let gzip = |text: &str| {
        let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        member.write_all(text.as_bytes()).unwrap();
        member.finish().unwrap()
    };
    let zeros = gzip(&"0,".repeat(500_000)).repeat(60);
    let body = [gzip(r#"{"pageVisits":["#), zeros, gzip("0]}")].concat();
    let (status, answer) = program.client().sync(&token, "k", body, true).await.unwrap();
    assert_eq!((status.as_u16(), answer["code"].as_str()), (400, Some("BATCH_TOO_LARGE")), "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("30000001 records"), "{answer}");
    // the text itself, and room for it to grow
    let peak = program.peak_memory();
    assert!(peak < 300 * 1024 * 1024, "{} MiB", peak / 1024 / 1024);
}

async fn a_thousand_records_of_fifty_kilobytes_are_stored_or_named(program: Program) {
    let token = program.client().register().await;
    let record = |n: usize, padding: usize| json!({"id": format!("v{n}"), "url": "https://example.com/", "visited_at": 1, "metadata": {"x": "y".repeat(padding)}});
    let fitting: Vec<_> = (0..1_000).map(|n| record(n, 50_000)).collect();
    let body = json!({"pageVisits": fitting}).to_string().into_bytes();
    assert!(body.len() > 50_000_000);
    let (status, answer) = program.client().sync(&token, "k", body, false).await.unwrap();
    assert_eq!((status.as_u16(), &answer["data"]["page_visits_synced"]), (200, &json!(1_000)), "{answer}");

    let mut one_over: Vec<_> = (0..10).map(|n| record(n, 50_000)).collect();
    one_over[7] = record(7, 52_000);
    let body = json!({"pageVisits": one_over}).to_string().into_bytes();
    let (status, answer) = program.client().sync(&token, "l", body, false).await.unwrap();
    assert_eq!(status, 400);
    let failed = answer["failed_records"].as_array().unwrap();
    assert_eq!(
        (failed.len(), &failed[0]["index"], &failed[0]["code"]),
        (1, &json!(7), &json!("metadata_too_large"))
    );
}
