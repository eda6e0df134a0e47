//! Whether somebody who sends a byte a second costs others anything.

use super::Taken;
use super::drain::post;
use crate::figure::{By, Row, quantile};
use crate::lab::{Lab, ms};
use crate::plot::{Plot, Series};
use crate::records;
use anyhow::{Context, Result, ensure};
use axum::body::Bytes;
use e2e::World;
use e2e::backend::Backend;
use e2e::companion::{EMAIL, PASSWORD};
use heyho_records::Kind;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

const CRAWLERS: u64 = 500;
const RECORDS: u64 = 10;

/// Makes an account; its access token.
pub async fn register(client: &reqwest::Client, url: &str) -> Result<String> {
    let who = serde_json::json!({"email": EMAIL, "password": PASSWORD});
    let answer = client.post(format!("{url}/api/v1/auth/register")).json(&who).send().await?;
    let answer: serde_json::Value = answer.json().await?;
    Ok(answer["data"]["access_token"].as_str().with_context(|| answer.to_string())?.to_owned())
}

pub async fn take(lab: Lab) -> Result<Taken> {
    let world = World::new()?;
    let backend = Backend::start(&world).await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let token = register(&client, &backend.url()).await?;
    let crawlers = lab.size(CRAWLERS, 20);
    let count = lab.size(300, 5);
    let mut row = Row::new("a batch of 10 records while 500 connections crawl at 1 byte/s, p99", "ms")
        .beside("the same without them", By::Ratio)
        .at_most(2.0);
    let mut half = Row::new("the same, p50", "ms").beside("the same without them", By::Ratio);
    let mut next = 0;
    let mut both = [Vec::new(), Vec::new()];
    lab.settle_disk();
    for round in 0..lab.rounds() {
        let (stop, stopped) = watch::channel(false);
        let mut crawling = tokio::task::JoinSet::new();
        for n in 0..crawlers {
            crawling.spawn(crawl(backend.port(), token.clone(), n, stopped.clone()));
        }
        // All are connected and have sent something before the time begins.
        tokio::time::sleep(Duration::from_millis(if lab.quick { 100 } else { 1_500 })).await;
        let with = requests(&client, &backend.url(), &token, &mut next, count).await?;
        let held = crawling.len() as u64;
        ensure!(held == crawlers, "only {held} of {crawlers} crawl");
        ensure!(crawling.try_join_next().is_none(), "a crawling connection was closed while it was measured");
        stop.send(true)?;
        while crawling.join_next().await.is_some() {}
        let without = requests(&client, &backend.url(), &token, &mut next, count).await?;
        row.round(quantile(&with, 0.99), quantile(&without, 0.99));
        half.round(quantile(&with, 0.5), quantile(&without, 0.5));
        both[0].extend(with);
        both[1].extend(without);
        lab.progress("crawl", round);
    }
    backend.kill().await?;
    world.done();
    let series = ["with 500 crawling", "without"].into_iter().zip(&both).map(|(name, times)| {
        let points = (1..=99).map(|p| (f64::from(p), quantile(times, f64::from(p) / 100.0))).collect();
        Series::of(name, points)
    });
    let plot = Plot::new("crawl", "A batch of 10 records beside crawling connections", "percentile", "ms")
        .with(series);
    Ok(Taken { rows: vec![row, half], plots: vec![plot] })
}

/// A request that never comes to its end: half of them crawl in the head, half in the body.
async fn crawl(port: u16, token: String, n: u64, mut stopped: watch::Receiver<bool>) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let head = format!(
        "POST /api/v1/data/sync HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    );
    if n.is_multiple_of(2) {
        stream.write_all(head.as_bytes()).await?;
    }
    let bytes = if n.is_multiple_of(2) { vec![b' '; 100_000] } else { head.into_bytes() };
    for byte in bytes.chunks(1) {
        tokio::select! {
            written = stream.write_all(byte) => written?,
            _ = stopped.changed() => return Ok(()),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = stopped.changed() => return Ok(()),
        }
    }
    Ok(())
}

async fn requests(
    client: &reqwest::Client,
    url: &str,
    token: &str,
    next: &mut u64,
    count: u64,
) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..count {
        let body = batch(*next..*next + RECORDS);
        *next += RECORDS;
        let start = Instant::now();
        post(client, url, token, body).await?;
        times.push(ms(start));
    }
    Ok(times)
}

/// A request as the agent sends it.
pub fn batch(numbers: std::ops::Range<u64>) -> Bytes {
    let list = |wanted: Kind| {
        let of_kind = numbers.clone().filter(|n| records::kind(*n) == wanted);
        let text = |n| {
            let record = records::record(n, records::BYTES);
            format!("{},\"companionSource\":\"bench\",\"companionRevision\":1}}", &record[..record.len() - 1])
        };
        of_kind.map(text).collect::<Vec<_>>().join(",")
    };
    Bytes::from(format!(
        "{{\"batchId\":\"00000000-0000-4000-8000-{:012}\",\"deviceId\":\"bench\",\"pageVisits\":[{}],\"tabAggregates\":[{}]}}",
        numbers.start,
        list(Kind::PageVisit),
        list(Kind::TabAggregate)
    ))
}
