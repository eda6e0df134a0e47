//! The app's own window, as a person sees and uses it.

use crate::parts::{greeted_host, hand_over, visits};
use anyhow::{Result, ensure};
use e2e::backend::Backend;
use e2e::companion::{self, Tokens};
use e2e::desk::Desk;
use e2e::faulty::{Fault, Faulty};
use e2e::rows::Rows;
use e2e::tray::Tray;
use e2e::window::Window;
use e2e::{SOON, World, desktop, eventually};
use serde_json::json;

#[tokio::test]
async fn the_window_shows_the_backlog_and_sync_now_empties_it() -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let _keyring = desktop::keyring(&world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::Keyring)?;

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

    window.close().await?;
    world.done();
    Ok(())
}

#[tokio::test]
async fn a_record_that_cannot_be_sent_is_shown_with_its_reason() -> Result<()> {
    let desk = Desk::new().await?;
    let window = desk.signed_in().await?;

    let mut host = greeted_host(&desk.world).await?;
    let bad = json!({"id": "script", "url": "javascript:alert(1)", "visited_at": 1_790_000_000_000_u64});
    let answer = host.ask(&json!({"type": "records", "id": 1, "pageVisits": [bad]})).await?;
    ensure!(
        answer["type"] == "ack" && answer["rejected"].as_array().is_some_and(|r| r.len() == 1),
        "{answer}"
    );

    window.shows("status-head", "data-state", "needs_attention").await?;
    window.click("tab-failed").await?;
    window.shows("failed-reason", "data-code", "rejected_at_capture").await?;
    let reason = window.read("failed-reason").await?;
    ensure!(!reason.trim().is_empty());
    desk.leave(window).await
}

/// The end takes as long as the batch in flight. Whoever starts the app meanwhile finds it running again afterwards.
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
    let silent = Faulty::start(port, Fault::Silent).await?;
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &visits(0..3)).await?;
    tray.choose("Sync now").await?;
    eventually(SOON, "a batch in flight", async || {
        ensure!(silent.requests().iter().any(|line| line.contains("/data/sync")), "{:?}", silent.requests());
        Ok(())
    })
    .await?;

    tray.choose("Quit").await?;
    let says = async |words: &str| {
        eventually(SOON, words, async || {
            let first = tray.entries().await?.into_iter().next().map(|entry| entry.label).unwrap_or_default();
            ensure!(first.starts_with(words), "{first:?}");
            Ok(())
        })
        .await
    };
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
