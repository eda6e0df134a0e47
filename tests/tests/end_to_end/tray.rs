//! The tray's menu, as a panel reads it over D-Bus.

use crate::parts::{greeted_host, hand_over, visits};
use anyhow::{Result, ensure};
use e2e::backend::Backend;
use e2e::companion::{self, Tokens};
use e2e::tray::Tray;
use e2e::{SOON, World, desktop, eventually};

#[tokio::test]
async fn the_trays_menu_says_what_the_status_is_and_its_lines_work() -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::File)?;
    let tray = Tray::start(&world).await?;
    let mut app = companion::start_app(&world).await?;

    let lines: Vec<String> = tray.entries().await?.into_iter().map(|e| e.label).collect();
    for wanted in ["Sync now", "Open", "Quit"] {
        ensure!(lines.iter().any(|line| line.starts_with(wanted)), "no {wanted:?} in {lines:?}");
    }
    ensure!(!tray.icon().await?.is_empty(), "an icon without a picture");
    ensure!(!tray.entry("Sync now").await?.enabled, "nobody is signed in");

    companion::register(&world).await?;
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &visits(0..3)).await?;
    first_line(&tray, "the menu counts what waits", |line| line.contains('3')).await?;
    tray.choose("Sync now").await?;
    first_line(&tray, "the menu says that all is delivered", |line| line.starts_with("Up to date")).await?;
    tray.choose("Quit").await?;
    ensure!(app.ended().await?.success());
    world.done();
    Ok(())
}

async fn first_line(tray: &Tray, what: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
    eventually(SOON, what, async || {
        let first = tray.entries().await?.into_iter().next().map(|e| e.label).unwrap_or_default();
        ensure!(wanted(&first), "it says {first:?}");
        Ok(())
    })
    .await
}
