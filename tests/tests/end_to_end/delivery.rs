//! Host → buffer → agent → backend, without a window.

use crate::parts::{greeted_host, hand_over, headless, ids, visit, visits};
use anyhow::{Result, ensure};
use e2e::World;
use e2e::companion::{heyho, status_when, waiting};
use e2e::rows::Rows;
use serde_json::{Value, json};

#[tokio::test]
async fn what_the_host_acknowledged_is_in_the_backend_after_a_sync() -> Result<()> {
    let world = World::new()?;
    let _parts = headless(&world).await?;
    let mut host = greeted_host(&world).await?;
    // More than one batch of a hundred.
    hand_over(&mut host, &visits(0..230)).await?;
    let life = json!({"tabId": 3, "startTime": 1_790_000_003_000_u64, "lastActiveTime": 1_790_000_004_000_u64,
                      "totalActiveDuration": 900, "domainDurations": {"news.example": 900}, "pageCount": 1});
    let answer = host.ask(&json!({"type": "records", "id": 7, "tabAggregates": [life]})).await?;
    ensure!(answer["id"] == 7 && answer["stored"] == 1, "{answer}");

    heyho(&world, &["sync", "--wait"]).await?.expect(0)?;

    let status = status_when(&world, "nothing waits", |s| waiting(s) == 0).await?;
    ensure!(status["state"] == "up_to_date" && status["failed"] == 0, "{status}");
    ensure!(status["lastConfirmedAt"].is_string() && !status["lastSync"].is_null(), "{status}");
    let mut rows = Rows::open(&world).await?;
    ensure!(rows.visit_ids().await? == ids(0..230), "{:?}", rows.visit_ids().await?);
    ensure!(rows.aggregates().await? == 1);
    world.done();
    Ok(())
}

#[tokio::test]
async fn a_record_arrives_verbatim() -> Result<()> {
    let world = World::new()?;
    let _parts = headless(&world).await?;
    let mut host = greeted_host(&world).await?;
    // Numbers that no double holds, an unknown field, and an order of keys that nobody would choose.
    let record = r#"{"zeta":2.4e21,"visited_at":"2026-11-21T10:00:00Z","big":123456789012345678901234567890,"id":"verbatim","url":"https://a.example/ü","nested":{"b":[1.10,null],"a":true}}"#;
    host.send_text(&format!(r#"{{"type":"records","id":1,"pageVisits":[{record}]}}"#)).await?;
    let answer = host.read().await?;
    ensure!(answer["stored"] == 1, "{answer}");

    heyho(&world, &["sync", "--wait"]).await?.expect(0)?;

    let stored = Rows::open(&world).await?.visit_records().await?;
    let body = record.trim_end_matches('}');
    ensure!(stored.len() == 1 && stored[0].starts_with(body), "sent {record}, stored {stored:?}");
    ensure!(stored[0].contains("companionSource") && stored[0].contains("companionRevision"), "{stored:?}");
    world.done();
    Ok(())
}

#[tokio::test]
async fn the_same_record_again_is_not_sent_twice_and_a_later_version_replaces_it() -> Result<()> {
    let world = World::new()?;
    let _parts = headless(&world).await?;
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &[visit(1)]).await?;
    heyho(&world, &["sync", "--wait"]).await?.expect(0)?;

    let again = host.ask(&json!({"type": "records", "id": 2, "pageVisits": [visit(1)]})).await?;
    ensure!(again["unchanged"] == 1, "{again}");
    let mut ended: Value = visit(1);
    ended["endedAt"] = json!(1_790_000_090_000_u64);
    let later = host.ask(&json!({"type": "records", "id": 3, "pageVisits": [ended]})).await?;
    ensure!(later["stored"].as_u64().unwrap_or(0) + later["updated"].as_u64().unwrap_or(0) == 1, "{later}");
    heyho(&world, &["sync", "--wait"]).await?.expect(0)?;

    let stored = Rows::open(&world).await?.visit_records().await?;
    ensure!(stored.len() == 1 && stored[0].contains("1790000090000"), "{stored:?}");
    world.done();
    Ok(())
}

#[tokio::test]
async fn records_captured_before_any_sign_in_are_delivered_after_it() -> Result<()> {
    let world = World::new()?;
    let backend = e2e::backend::Backend::start(&world).await?;
    e2e::companion::configure(&world, &backend.url(), e2e::companion::Tokens::File)?;
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &visits(0..12)).await?;
    let before = e2e::companion::status(&world).await?;
    ensure!(before["state"] == "signed_out" && before["unclaimed"] == 12, "{before}");
    heyho(&world, &["sync", "--wait"]).await?.expect(77)?;

    let _agent = e2e::companion::start_agent(&world).await?;
    e2e::companion::register(&world).await?;

    // A sign-in starts a run by itself.
    status_when(&world, "all is delivered", |s| s["state"] == "up_to_date").await?;
    ensure!(Rows::open(&world).await?.visit_ids().await? == ids(0..12));
    world.done();
    Ok(())
}
