//! What a broken or hostile caller sends, through the real host; and what only the backend can judge.

use crate::parts::{greeted_host, hand_over, headless, ids, visit, visits};
use anyhow::{Context, Result, ensure};
use e2e::World;
use e2e::companion::{heyho, status, waiting};
use e2e::process::code;
use e2e::rows::Rows;
use serde_json::{Value, json};

#[tokio::test]
async fn malformed_json_and_unknown_types_are_named_and_the_connection_goes_on() -> Result<()> {
    let world = World::new()?;
    let mut host = greeted_host(&world).await?;
    for bad in ["{\"type\":\"records\",", "not json", "[]", "7", "{\"type\":\"selfdestruct\",\"id\":4}", "{}"]
    {
        host.send_text(bad).await?;
        let answer = host.read().await?;
        ensure!(answer["type"] == "error" && answer["code"] == "bad_message", "{bad}: {answer}");
        ensure!(answer["error"].as_str().is_some_and(|text| !text.is_empty()), "{bad}: {answer}");
    }
    let unknown = host.ask(&json!({"type": "selfdestruct", "id": 4})).await?;
    ensure!(unknown["id"] == 4, "{unknown}");
    hand_over(&mut host, &[visit(1)]).await?;
    ensure!(code(host.hang_up().await?) == 0);
    world.done();
    Ok(())
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_and_ends_the_host() -> Result<()> {
    let world = World::new()?;
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &[visit(1)]).await?;
    host.send_raw(&(64 * 1024 * 1024_u32).to_ne_bytes()).await?;
    let answer = host.read().await?;
    ensure!(answer["type"] == "error" && answer["code"] == "message_too_large", "{answer}");
    ensure!(code(host.ended().await?) == 65);
    let status = status(&world).await?;
    ensure!(status["unclaimed"] == 1, "what was acknowledged before is kept: {status}");
    world.done();
    Ok(())
}

#[tokio::test]
async fn bad_records_are_named_and_kept_with_their_reason_and_the_rest_arrives() -> Result<()> {
    let world = World::new()?;
    let _parts = headless(&world).await?;
    let mut host = greeted_host(&world).await?;
    let mut batch = visits(0..10);
    batch.insert(3, json!({"url": "https://no-id.example/", "visited_at": 1_790_000_000_000_u64}));
    batch.insert(
        6,
        json!({"id": "script", "url": "javascript:alert(1)", "visited_at": 1_790_000_000_000_u64}),
    );
    let answer = host.ask(&json!({"type": "records", "id": 1, "pageVisits": batch})).await?;
    ensure!(answer["type"] == "ack" && answer["stored"] == 10, "{answer}");
    let rejected = answer["rejected"].as_array().context("rejected")?;
    let named: Vec<(u64, &str)> =
        rejected.iter().filter_map(|r| Some((r["index"].as_u64()?, r["code"].as_str()?))).collect();
    ensure!(named == [(3, "missing_id"), (6, "invalid_url")], "{answer}");

    heyho(&world, &["sync", "--wait"]).await?;

    ensure!(Rows::open(&world).await?.visit_ids().await? == ids(0..10));
    let status = status(&world).await?;
    ensure!(waiting(&status) == 0 && status["failed"] == 2, "{status}");
    ensure!(status["state"] == "needs_attention", "a failed record is never a green light: {status}");
    let reasons: Vec<String> = failed(&world).await?.iter().map(|f| f["reason"].to_string()).collect();
    ensure!(reasons.len() == 2 && reasons.iter().any(|r| r.contains("invalid_url")), "{reasons:?}");
    world.done();
    Ok(())
}

#[tokio::test]
async fn a_record_that_the_backend_refuses_is_set_aside_and_the_rest_arrives() -> Result<()> {
    let world = World::new()?;
    let _parts = headless(&world).await?;
    let mut host = greeted_host(&world).await?;
    let mut batch = visits(0..30);
    // The companion carries what it does not understand; the backend knows that a rate ends at 1.
    batch[17]["engagementRate"] = json!(7);
    hand_over(&mut host, &batch).await?;

    let ran = heyho(&world, &["sync", "--wait"]).await?;
    ensure!(ran.code == 1, "a new failure is exit status 1: {ran:?}");

    let mut good = ids(0..30);
    good.remove(17);
    ensure!(Rows::open(&world).await?.visit_ids().await? == good);
    let failed = failed(&world).await?;
    ensure!(failed.len() == 1 && failed[0]["id"] == "visit-00017", "{failed:?}");
    ensure!(failed[0]["reason"]["code"] == "rejected_by_backend", "{failed:?}");
    ensure!(failed[0]["text"].as_str().is_some_and(|text| text.contains("engagementRate")), "{failed:?}");
    world.done();
    Ok(())
}

#[tokio::test]
async fn a_title_cut_inside_an_emoji_arrives_with_a_replacement_character() -> Result<()> {
    let world = World::new()?;
    let _parts = headless(&world).await?;
    let mut host = greeted_host(&world).await?;
    let record =
        r#"{"id":"cut","url":"https://a.example/","visited_at":1790000000000,"title":"Party \ud83c"}"#;
    host.send_text(&format!(r#"{{"type":"records","id":1,"pageVisits":[{record}]}}"#)).await?;
    let answer = host.read().await?;
    ensure!(answer["stored"] == 1, "{answer}");
    heyho(&world, &["sync", "--wait"]).await?.expect(0)?;
    let stored = Rows::open(&world).await?.visit_records().await?;
    let stored: Value = serde_json::from_str(stored.first().context("a row")?)?;
    ensure!(stored["title"] == "Party \u{FFFD}", "{stored}");
    world.done();
    Ok(())
}

async fn failed(world: &World) -> Result<Vec<Value>> {
    let list = heyho(world, &["failed", "list", "--json"]).await?.expect(0)?.json()?;
    Ok(list.as_array().with_context(|| list.to_string())?.clone())
}
