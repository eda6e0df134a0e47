//! A person who goes away from a page that stays open, and a browser that throws pages away to save memory.

use crate::surfing::{all_arrived, around, delivered, look, surfer};
use anyhow::{Context, Result, ensure};
use e2e::browser::{Kind, Start};
use e2e::{World, desktop, x11};
use serde_json::{Value, json};

/// The least that a browser counts as idle; the extension asks for a minute.
const IDLE_SECONDS: u64 = 15;

#[tokio::test]
async fn time_away_from_chromium_and_behind_a_locked_screen_is_idle_time() -> Result<()> {
    away(Kind::Chromium, &["idle", "locked"]).await
}

/// Firefox on Linux knows nothing of a locked screen; the unit tests have that order of events.
#[tokio::test]
async fn time_away_from_firefox_is_idle_time() -> Result<()> {
    away(Kind::Firefox, &["idle"]).await
}

async fn away(kind: Kind, reasons: &[&str]) -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let around = around(&world).await?;
    let mut surfer = surfer(&world, &Start::new(kind)).await?;
    // The person is away while the page is in front.
    surfer.unwatched();
    let sooner = "chrome.idle.setDetectionInterval(a[0]);";
    surfer.browser.inside(sooner, vec![json!(IDLE_SECONDS)]).await?;
    surfer.open_tab(false).await?;
    x11::touched(&world)?;
    surfer.go(&around.pages.url("away", "page")).await?;
    look((IDLE_SECONDS + 4) * 1_000).await;
    if reasons.contains(&"locked") {
        x11::screen_saver_on(&world)?;
        look(4_000).await;
    }
    x11::touched(&world)?;
    look(3_000).await;
    surfer.leave_all().await?;
    all_arrived(&world, &surfer.log).await?;

    let visits = delivered(&world).await?;
    let visit = visits.first().context("one visit")?;
    let periods = visit["idlePeriods"].as_array().context("periods")?;
    let found: Vec<&str> = periods.iter().filter_map(|period| period["reason"].as_str()).collect();
    ensure!(found == reasons, "{visit}");
    let milliseconds = |value: &Value| value.as_u64().with_context(|| format!("a time in {visit}"));
    let mut idle = 0;
    for period in periods {
        let length = milliseconds(&period["durationMs"])?;
        ensure!(length >= 1_000, "{visit}");
        idle += length;
    }
    let (whole, active) = (milliseconds(&visit["duration"])?, milliseconds(&visit["activeDuration"])?);
    ensure!(whole.abs_diff(active + idle) < 2_000, "{visit}");
    world.done();
    Ok(())
}

#[tokio::test]
async fn a_page_that_chromium_discarded_goes_on_when_it_is_loaded_again() -> Result<()> {
    discarded(Kind::Chromium).await
}

#[tokio::test]
async fn a_page_that_firefox_discarded_goes_on_when_it_is_loaded_again() -> Result<()> {
    discarded(Kind::Firefox).await
}

async fn discarded(kind: Kind) -> Result<()> {
    let world = World::new()?;
    let around = around(&world).await?;
    let mut surfer = surfer(&world, &Start::new(kind)).await?;
    // The extension's own interfaces bring tabs to the front here.
    surfer.unwatched();
    let page = |name: &str| around.pages.url("memory", name);
    surfer.go(&page("kept")).await?;
    look(1_700).await;
    surfer.open_tab(false).await?;
    surfer.go(&page("front")).await?;
    look(500).await;
    let find = "const find = async () => (await chrome.tabs.query({})).find((tab) => tab.url === a[0]);";
    let discard = format!(
        "{find} const tab = await find(); await chrome.tabs.discard(tab.id);
         for (let n = 0; n < 100 && !(await find()).discarded; n++) await new Promise((go) => setTimeout(go, 50));
         return (await find()).discarded;"
    );
    let gone = surfer.browser.inside(&discard, vec![json!(page("kept"))]).await?;
    ensure!(gone == true, "the page was not discarded: {gone}");
    look(1_000).await;
    // Nobody ends a stay on a page that only its memory was taken from; a worker that starts meanwhile finds it.
    surfer.browser.stop_worker().await?;
    surfer.go(&page("front-again")).await?;
    look(1_000).await;
    let back = format!("{find} await chrome.tabs.update((await find()).id, {{ active: true }});");
    surfer.browser.inside(&back, vec![json!(page("kept"))]).await?;
    surfer.loaded_again(0, &page("kept")).await?;
    look(1_000).await;
    surfer.leave_all().await?;
    all_arrived(&world, &surfer.log).await?;
    world.done();
    Ok(())
}
