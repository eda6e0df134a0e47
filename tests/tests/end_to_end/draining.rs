//! The agent is killed -9 again and again while it drains: each record is once at the backend, by a ledger that
//! is outside: what was handed over, and plain SQL on the backend's database. `HEYHO_AGENT_KILLS`, `HEYHO_SEED`.

use crate::parts::{greeted_host, hand_over, headless, ids, visits};
use anyhow::{Result, ensure};
use e2e::companion::{heyho, status_when, waiting};
use e2e::rows::Rows;
use e2e::world::built;
use e2e::{BOOT, World, eventually, process};
use rustix::process::Signal;
use serde_json::json;
use std::time::Duration;

const FRAME: usize = 1_000;
/// Of the issue; more kills need more to drain.
const RECORDS: usize = 20_000;

fn knob(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Small numbers that look random and come again with the seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "torture reads the figures")]
async fn an_agent_that_is_killed_while_it_drains_delivers_each_record_once() -> Result<()> {
    let kills = knob("HEYHO_AGENT_KILLS", 100);
    let mut dice = Dice(knob("HEYHO_SEED", 1));
    let records = RECORDS.max(kills as usize * 200);
    let world = World::new()?;
    let parts = headless(&world).await?;
    // Nothing goes out before there is all of it.
    heyho(&world, &["pause"]).await?.expect(0)?;
    let mut host = greeted_host(&world).await?;
    for first in (0..records).step_by(FRAME) {
        hand_over(&mut host, &visits(first..first + FRAME)).await?;
    }
    parts.agent.kill().await?;
    heyho(&world, &["resume"]).await?.expect(0)?;

    let (mut died_with_some, mut died_empty) = (0u64, 0u64);
    for _ in 0..kills {
        let before = Rows::open(&world).await?.visits().await?;
        let mut command = world.program("heyho")?;
        command.arg("agent");
        let mut agent = world.start("killed", command)?;
        // In one life it gets as far as a few more rows, then dies a moment later: anywhere in the loop.
        let rows = before + dice.throw(150);
        eventually(BOOT, "the agent drains", async || {
            agent.still_runs()?;
            let now = Rows::open(&world).await?.visits().await?;
            ensure!(now > rows || now >= records as u64, "{now} of {rows}");
            Ok(())
        })
        .await?;
        tokio::time::sleep(Duration::from_micros(dice.throw(40_000))).await;
        agent.kill().await?;
        let at_backend = Rows::open(&world).await?.visits().await?;
        if at_backend < records as u64 { died_with_some += 1 } else { died_empty += 1 }
    }

    let _agent = e2e::companion::start_agent(&world).await?;
    heyho(&world, &["sync", "--wait"]).await?.expect(0)?;
    let status = status_when(&world, "nothing waits", |s| waiting(s) == 0 && s["failed"] == 0).await?;
    ensure!(status["state"] == "up_to_date", "{status}");
    let mut rows = Rows::open(&world).await?;
    let stored = rows.visit_ids().await?;
    let mut expected = ids(0..records);
    expected.sort();
    ensure!(stored == expected, "{} rows of {records}", stored.len());
    // Once: a record that came under two keys is one row all the same, but was accounted for twice.
    let accounted = rows.accounted_for().await?;
    ensure!(accounted == records as u64, "{accounted} accounted for, of {records}");
    ensure!(2 * died_with_some > kills, "only {died_with_some} of {kills} kills met a drain");
    println!(
        "figures: {kills} kills, {died_with_some} while draining, {died_empty} with nothing left, {records} records once each"
    );
    world.done();
    Ok(())
}

#[tokio::test]
async fn an_agent_that_stood_still_in_the_middle_goes_on() -> Result<()> {
    let world = World::new()?;
    let parts = headless(&world).await?;
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &visits(0..FRAME)).await?;
    hand_over(&mut host, &visits(FRAME..2 * FRAME)).await?;
    eventually(BOOT, "it drains", async || {
        ensure!(Rows::open(&world).await?.visits().await? > 0);
        Ok(())
    })
    .await?;
    // The host goes on without it, but where it stands in the middle of a write: then it says so, and nothing of
    // the frame is stored.
    parts.agent.signal(Signal::STOP)?;
    let more = json!({"type": "records", "id": "more", "pageVisits": visits(2 * FRAME..3 * FRAME)});
    let answer = host.ask(&more).await?;
    ensure!(answer["type"] == "ack" || answer["code"] == "buffer_busy", "{answer}");
    parts.agent.signal(Signal::CONT)?;
    if answer["type"] == "nack" {
        hand_over(&mut host, &visits(2 * FRAME..3 * FRAME)).await?;
    }
    status_when(&world, "nothing waits", |s| waiting(s) == 0 && s["state"] == "up_to_date").await?;
    let mut rows = Rows::open(&world).await?;
    ensure!(rows.visit_ids().await? == ids(0..3 * FRAME));
    ensure!(rows.accounted_for().await? == 3 * FRAME as u64);
    world.done();
    Ok(())
}

#[tokio::test]
async fn a_sync_that_is_waited_for_is_paused_interrupted_and_goes_on() -> Result<()> {
    const RECORDS: usize = 6 * FRAME;
    let world = World::new()?;
    let _parts = headless(&world).await?;
    heyho(&world, &["pause"]).await?.expect(0)?;
    // So many batches that the drain outlasts whoever comes in between, however slow the machine.
    heyho(&world, &["config", "set", "sync.batch_page_visits", "2"]).await?.expect(0)?;
    let mut host = greeted_host(&world).await?;
    for first in (0..RECORDS).step_by(FRAME) {
        hand_over(&mut host, &visits(first..first + FRAME)).await?;
    }
    let at_backend = async || Rows::open(&world).await?.visits().await;
    let waits_until_more_than = async |rows: u64| {
        // Whoever runs the tests in the background of a shell would have them, and this, ignore an interrupt.
        let mut command = world.command("/usr/bin/env");
        command.arg("--default-signal=INT").arg(built("heyho")?).args(["sync", "--wait"]);
        let sync = world.start("sync", command)?;
        eventually(BOOT, "it drains", async || {
            let now = at_backend().await?;
            ensure!(now > rows, "{now} of {rows}");
            Ok(())
        })
        .await?;
        anyhow::Ok(sync)
    };

    heyho(&world, &["resume"]).await?.expect(0)?;
    let mut sync = waits_until_more_than(0).await?;
    heyho(&world, &["pause"]).await?.expect(0)?;
    // The batch in flight is delivered, and whoever waited hears that it is later.
    ensure!(process::code(sync.ended().await?) == 75, "{}", sync.printed());
    let delivered = at_backend().await?;
    let status = status_when(&world, "it is paused", |s| s["state"] == "paused").await?;
    ensure!(
        delivered < RECORDS as u64 && waiting(&status) + delivered == RECORDS as u64,
        "{delivered}: {status}"
    );

    heyho(&world, &["resume"]).await?.expect(0)?;
    let mut sync = waits_until_more_than(delivered).await?;
    // Whoever no longer wants to wait does not end what the agent does.
    sync.signal(Signal::INT)?;
    ensure!(process::code(sync.ended().await?) == 130, "{}", sync.printed());
    heyho(&world, &["config", "set", "sync.batch_page_visits", "1000"]).await?.expect(0)?;
    heyho(&world, &["sync", "--wait"]).await?.expect(0)?;
    let mut rows = Rows::open(&world).await?;
    ensure!(rows.visit_ids().await? == ids(0..RECORDS));
    ensure!(rows.accounted_for().await? == RECORDS as u64);
    world.done();
    Ok(())
}
