//! A real Chromium with the real extension.

use anyhow::{Result, ensure};
use e2e::backend::Backend;
use e2e::browser::{Browser, Kind, Start};
use e2e::chromium;
use e2e::companion::{self, Tokens, heyho, status, waiting};
use e2e::pages::Pages;
use e2e::rows::Rows;
use e2e::{BOOT, World, desktop, eventually, session};

#[tokio::test]
async fn the_rows_in_the_backend_are_the_pages_that_chromium_visited() -> Result<()> {
    let mut world = World::new()?;
    let summary = session::run(&mut world, |_| ()).await?;
    ensure!(summary.agrees(), "{summary}\nvisited {:?}\nstored {:?}", summary.visited, summary.stored);
    world.done();
    Ok(())
}

#[tokio::test]
async fn browsing_with_the_backend_down_and_the_app_killed_arrives_once_after_all() -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::File)?;
    chromium::profile(&world)?;
    heyho(&world, &["browsers", "register"]).await?.expect(0)?;
    let app = companion::start_app(&world).await?;
    companion::register(&world).await?;
    let port = backend.port();
    backend.kill().await?;

    let pages = Pages::start().await?;
    let chromium = Browser::start(&world, &Start::new(Kind::Chromium)).await?;
    chromium.consent().await?;
    eventually(BOOT, "the popup's button brings up the window", async || {
        chromium.popup("#sentence").await?;
        // Not before the connection stands.
        chromium.click("#open").await?;
        let answer = chromium.popup("#answer").await?;
        ensure!(answer == "The window opens.", "{answer}");
        Ok(())
    })
    .await?;
    session::browse(&chromium, &pages).await?;
    app.kill().await?;
    // Browsing goes on with neither backend nor companion.
    session::browse(&chromium, &pages).await?;
    let visited = pages.visited();
    session::everything_acknowledged(&world, &visited).await?;
    chromium.quit().await?;

    let _app = companion::start_app(&world).await?;
    let before = status(&world).await?;
    ensure!(waiting(&before) >= visited.len() as u64 && before["failed"] == 0, "{before}");
    let _backend = Backend::start_on(&world, port).await?;
    heyho(&world, &["sync", "--wait"]).await?.expect(0)?;

    let (mut expected, stored) = (visited, Rows::open(&world).await?.visited().await?);
    expected.sort();
    ensure!(stored == expected, "visited {expected:?}, stored {stored:?}");
    world.done();
    Ok(())
}
