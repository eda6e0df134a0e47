//! The app's own window, as a person sees and uses it.

use crate::parts::{greeted_host, hand_over, visits};
use anyhow::{Result, ensure};
use e2e::backend::Backend;
use e2e::companion::{self, Tokens};
use e2e::rows::Rows;
use e2e::window::Window;
use e2e::{World, desktop};
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
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::File)?;
    let window = Window::start(&world).await?;
    window.register(companion::EMAIL, companion::PASSWORD).await?;
    window.shows("status-head", "data-state", "up_to_date").await?;

    let mut host = greeted_host(&world).await?;
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
    window.close().await?;
    world.done();
    Ok(())
}
