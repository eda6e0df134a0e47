//! The first run, from consent to the first confirmed record.

use anyhow::{Result, ensure};
use e2e::backend::Backend;
use e2e::companion::{self, Tokens};
use e2e::rows::Rows;
use e2e::tour::{hand_over, visit};
use e2e::window::Window;
use e2e::{SOON, World, chromium, desktop, eventually, x11};

#[tokio::test]
async fn a_new_user_agrees_connects_a_browser_signs_in_and_sees_the_first_record_confirmed() -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let _keyring = desktop::keyring(&world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::Keyring)?;
    chromium::profile(&world)?;

    let window = Window::start_first(&world).await?;
    window.shows("first-run", "data-step", "1").await?;
    window.click("first-agree").await?;
    let manifest = world.config_home().join("chromium/NativeMessagingHosts/com.heyho.companion.json");
    ensure!(!manifest.exists());
    window.click("browser-register").await?;
    window.shows("browser-row", "data-state", "registered").await?;
    ensure!(manifest.is_file());

    // Off until it is asked for.
    let autostart = world.config_home().join("autostart");
    let entries = || std::fs::read_dir(&autostart).map(|dir| dir.count()).unwrap_or(0);
    ensure!(entries() == 0);
    window.click("start-at-login").await?;
    eventually(SOON, "an entry of the system's autostart", async || {
        ensure!(entries() == 1);
        Ok(())
    })
    .await?;

    window.click("first-next").await?;
    window.register(companion::EMAIL, companion::PASSWORD).await?;
    window.has("first-count", true).await?;
    window.says("first-count", |n| n == "0").await?;
    hand_over(&world, &[visit(0), visit(1), visit(2)]).await?;
    window.says("first-count", |n| n == "3").await?;
    window.click("first-finish").await?;
    window.click("sync-now").await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    ensure!(Rows::open(&world).await?.visits().await? == 3);
    x11::resize_window(&world, "HeyHo Companion", (520, 700))?;
    is_large(&window).await?;
    window.quit(&world).await?;

    // It is not asked twice, and the window is as large as it was left.
    let again = Window::start_first(&world).await?;
    again.shows("status-head", "data-state", "up_to_date").await?;
    is_large(&again).await?;
    again.close().await?;
    world.done();
    Ok(())
}

async fn is_large(window: &Window) -> Result<()> {
    eventually(SOON, "a page of that size", async || {
        let size = window.value("`${innerWidth} ${innerHeight}`").await?;
        ensure!(size == "520 700", "{size}");
        Ok(())
    })
    .await
}
