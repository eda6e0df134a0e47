//! The app's own window, as a person sees and uses it.

use crate::parts::{greeted_host, hand_over, ids, visits};
use anyhow::{Result, ensure};
use e2e::backend::Backend;
use e2e::companion::{self, Tokens};
use e2e::desk::Desk;
use e2e::faulty::{Fault, Faulty, REFUSED};
use e2e::rows::Rows;
use e2e::tray::Tray;
use e2e::window::Window;
use e2e::{SOON, World, desktop, eventually};
use serde_json::json;

/// First beside an agent without a window, as its client; then by itself, when that has ended.
#[tokio::test]
async fn the_window_shows_the_backlog_and_sync_now_empties_it_as_a_client_and_as_the_agent() -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let _keyring = desktop::keyring(&world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::Keyring)?;

    let agent = companion::start_agent(&world).await?;
    let window = Window::start(&world).await?;
    window.shows("status-head", "data-state", "signed_out").await?;
    window.register(companion::EMAIL, companion::PASSWORD).await?;
    window.shows("status-head", "data-state", "up_to_date").await?;

    // Records come from the host while the window is open: it follows without being asked.
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &visits(0..25)).await?;
    window.shows("status-head", "data-state", "waiting").await?;
    window.says("backlog-total", |n| n == "25").await?;
    let before = window.read("last-sync").await?;
    window.click("sync-now").await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    window.says("backlog-total", |n| n == "0").await?;
    let after = window.read("last-sync").await?;
    ensure!(!after.is_empty(), "last sync: {before:?}, then {after:?}");
    ensure!(Rows::open(&world).await?.visits().await? == 25);
    window.click("tab-settings").await?;
    window.choose("interval", "15m").await?;
    eventually(SOON, "the setting, by the agent", async || {
        let said = companion::heyho(&world, &["config", "get", "sync.interval"]).await?.expect(0)?;
        ensure!(said.out.trim() == "15m", "{}", said.out);
        Ok(())
    })
    .await?;
    window.click("tab-overview").await?;

    ensure!(agent.terminate().await?.success());
    hand_over(&mut host, &visits(25..30)).await?;
    // The run with which the app begins as the agent may have taken them already.
    window.click("sync-now").await?;
    eventually(SOON, "all thirty at the backend", async || {
        let visits = Rows::open(&world).await?.visits().await?;
        ensure!(visits == 30, "{visits}");
        Ok(())
    })
    .await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    window.says("backlog-total", |n| n == "0").await?;

    window.close().await?;
    world.done();
    Ok(())
}

#[tokio::test]
async fn a_record_that_is_refused_is_shown_with_field_and_reason_and_delivered_once_it_is_taken() -> Result<()>
{
    let desk = Desk::new().await?;
    let window = desk.signed_in().await?;
    let world = &desk.world;
    let mut host = greeted_host(world).await?;

    // By the backend: its own words, the field it named; retried when it has changed its mind.
    let port = desk.backend.port();
    desk.backend.kill().await?;
    let refusing = Faulty::start(port, Fault::Refuses).await?;
    hand_over(&mut host, &visits(0..1)).await?;
    window.says("backlog-total", |n| n == "1").await?;
    window.click("sync-now").await?;
    window.says("status-sentence", |text| text == "1 record needs you").await?;
    window.click("tab-failed").await?;
    window.shows("failed-reason", "data-code", "rejected_by_backend").await?;
    ensure!(window.read("failed-reason").await? == REFUSED.1);
    window.value("document.querySelector('[data-row=\"0\"]').click()").await?;
    window.says("failed-field", |text| text == REFUSED.0).await?;
    window.says("failed-why", |text| text == format!("The backend refused it: {}", REFUSED.1)).await?;
    refusing.stop().await;
    let _backend = Backend::start_on(world, port).await?;
    window.click("failed-retry").await?;
    window.has("failed-empty", true).await?;
    window.click("sync-now").await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    ensure!(Rows::open(world).await?.visit_ids().await? == ids(0..1));
    companion::status_when(world, "nothing failed", |status| status["failed"] == 0).await?;

    // By the companion, where it was captured.
    let bad = json!({"id": "script", "url": "javascript:alert(1)", "visited_at": 1_790_000_000_000_u64});
    let answer = host.ask(&json!({"type": "records", "id": 1, "pageVisits": [bad]})).await?;
    ensure!(
        answer["type"] == "ack" && answer["rejected"].as_array().is_some_and(|r| r.len() == 1),
        "{answer}"
    );

    window.shows("status-head", "data-state", "needs_attention").await?;
    window.shows("failed-reason", "data-code", "rejected_at_capture").await?;
    let reason = window.read("failed-reason").await?;
    ensure!(!reason.trim().is_empty());
    window.close().await?;
    desk.world.done();
    Ok(())
}

/// Stop ends a run after the batch in flight, and so does the end of the app take as long. Whoever starts the app meanwhile finds it running again afterwards.
#[tokio::test]
async fn a_start_while_the_app_is_ending_is_not_lost() -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::File)?;
    let tray = Tray::start(&world).await?;
    let mut app = companion::start_app(&world).await?;
    companion::register(&world).await?;
    companion::status_when(&world, "signed in", |status| status["state"] == "up_to_date").await?;
    let port = backend.port();
    backend.kill().await?;
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &visits(0..3)).await?;
    let in_flight = async || {
        let silent = Faulty::start(port, Fault::Silent).await?;
        tray.choose("Sync now").await?;
        eventually(SOON, "a batch in flight", async || {
            let requests = silent.requests();
            ensure!(requests.iter().any(|line| line.contains("/data/sync")), "{requests:?}");
            Ok(())
        })
        .await?;
        anyhow::Ok(silent)
    };
    let says = async |words: &str| {
        eventually(SOON, words, async || {
            let first = tray.entries().await?.into_iter().next().map(|entry| entry.label).unwrap_or_default();
            ensure!(first.starts_with(words), "{first:?}");
            Ok(())
        })
        .await
    };
    let silent = in_flight().await?;
    tray.shows("syncing-light").await?;
    says("Sending 0 of 3").await?;
    tray.choose("Stop").await?;
    silent.stop().await;
    says("3 waiting").await?;

    let silent = in_flight().await?;
    tray.choose("Quit").await?;
    says("Ending after the batch").await?;
    let before = tray.registrations();
    let mut second = world.start("second", world.program("heyho-companion")?)?;
    ensure!(second.ended().await?.success());
    says("Starting again").await?;
    eventually(SOON, "the app that has begun anew", async || {
        ensure!(tray.registrations() > before);
        app.still_runs()?;
        ensure!(companion::status(&world).await?["agentRunning"] == true);
        Ok(())
    })
    .await?;
    silent.stop().await;
    world.done();
    Ok(())
}
