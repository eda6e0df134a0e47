//! The backend is down, or wrong in a way that could be taken for a yes: nothing is lost, and all of it
//! arrives once when a real one is there again.

use crate::parts::{Headless, greeted_host, hand_over, headless, ids, visits};
use anyhow::{Result, ensure};
use e2e::backend::Backend;
use e2e::companion::{heyho, status, status_when, waiting};
use e2e::faulty::{Fault, Faulty};
use e2e::rows::Rows;
use e2e::{SOON, World, eventually};
use serde_json::Value;

#[tokio::test]
async fn nothing_is_lost_to_a_backend_that_is_down() -> Result<()> {
    let world = World::new()?;
    let Headless { backend, agent: _agent } = headless(&world).await?;
    let port = backend.port();
    backend.kill().await?;
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &visits(0..40)).await?;

    heyho(&world, &["sync", "--wait"]).await?.expect(69)?;
    let down = status(&world).await?;
    ensure!(waiting(&down) == 40 && down["failed"] == 0, "{down}");
    ensure!(down["state"] == "retrying" && down["reason"].is_string(), "{down}");
    ensure!(down["nextAttemptAt"].is_string(), "{down}");

    all_arrive_once(&world, port, 0..40).await?;
    world.done();
    Ok(())
}

#[tokio::test]
async fn a_500_deletes_nothing() -> Result<()> {
    no_proof(Fault::ServerError).await
}

#[tokio::test]
async fn a_page_of_html_with_200_deletes_nothing() -> Result<()> {
    no_proof(Fault::HtmlWith200).await
}

#[tokio::test]
async fn an_empty_200_deletes_nothing() -> Result<()> {
    no_proof(Fault::Empty200).await
}

#[tokio::test]
async fn an_answer_that_breaks_off_deletes_nothing() -> Result<()> {
    no_proof(Fault::CutOff).await
}

#[tokio::test]
async fn no_answer_deletes_nothing() -> Result<()> {
    no_proof(Fault::HangUp).await
}

async fn no_proof(fault: Fault) -> Result<()> {
    let world = World::new()?;
    let Headless { backend, agent: _agent } = headless(&world).await?;
    let port = backend.port();
    backend.kill().await?;
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &visits(0..40)).await?;

    let faulty = Faulty::start(port, fault).await?;
    let ran = heyho(&world, &["sync", "--wait"]).await?;
    ensure!(ran.code != 0, "it was taken for a confirmation: {ran:?}");
    eventually(SOON, "a request that met the fault", async || {
        ensure!(faulty.requests().iter().any(|line| line.starts_with("POST ")), "{:?}", faulty.requests());
        Ok(())
    })
    .await?;
    // The agent tries again by itself, too: what it says between two attempts is what counts.
    let said = |s: &Value| s["state"] != "syncing" && s["reason"].is_string();
    let after = status_when(&world, "the status says why", said).await?;
    ensure!(waiting(&after) == 40 && after["failed"] == 0, "{after}");
    ensure!(after["state"] != "up_to_date", "{after}");
    faulty.stop().await;

    all_arrive_once(&world, port, 0..40).await?;
    world.done();
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_killed_in_the_outage_goes_on_where_it_was() -> Result<()> {
    let world = World::new()?;
    let Headless { backend, agent } = headless(&world).await?;
    let port = backend.port();
    backend.kill().await?;
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &visits(0..150)).await?;
    heyho(&world, &["sync", "--wait"]).await?.expect(69)?;
    agent.kill().await?;
    // The host needs no agent.
    hand_over(&mut host, &visits(150..160)).await?;
    let without = status(&world).await?;
    ensure!(without["agentRunning"] == false && waiting(&without) == 160, "{without}");

    let _agent = e2e::companion::start_agent(&world).await?;
    all_arrive_once(&world, port, 0..160).await?;
    world.done();
    Ok(())
}

/// A real backend takes the place of the fault; the rows are exactly those visits.
async fn all_arrive_once(world: &World, port: u16, range: std::ops::Range<usize>) -> Result<()> {
    let _backend = Backend::start_on(world, port).await?;
    heyho(world, &["sync", "--wait"]).await?.expect(0)?;
    status_when(world, "nothing waits", |s| waiting(s) == 0 && s["state"] == "up_to_date").await?;
    let stored = Rows::open(world).await?.visit_ids().await?;
    ensure!(stored == ids(range), "{stored:?}");
    Ok(())
}
