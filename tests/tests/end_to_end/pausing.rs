//! No consent, a pause of the capture asked for in the extension's popup, the end of the capture: nothing of it reaches
//! the companion, in both browsers.

use crate::surfing::{all_arrived, around, look};
use anyhow::{Context, Result, ensure};
use e2e::browser::{Browser, Kind, Start};
use e2e::stays::{Log, Surfer};
use e2e::{BOOT, SOON, World, eventually};
use serde_json::json;

#[tokio::test]
async fn nothing_is_captured_while_chromium_is_paused() -> Result<()> {
    paused(Kind::Chromium).await
}

#[tokio::test]
async fn nothing_is_captured_while_firefox_is_paused() -> Result<()> {
    paused(Kind::Firefox).await
}

async fn paused(kind: Kind) -> Result<()> {
    let world = World::new()?;
    let around = around(&world).await?;
    let page = |name: &str| around.pages.url("pausing", name);
    // Before anybody was asked, and after it was declined, nothing is looked at.
    let mut surfer = Surfer::at(Browser::start(&world, &Start::new(kind)).await?, Log::default()).await?;
    surfer.browser.visit(&page("unasked")).await?;
    look(1_700).await;
    surfer.browser.answer("#consent-decline").await?;
    surfer.browser.visit(&page("declined")).await?;
    look(1_700).await;
    surfer.browser.answer("#consent-allow").await?;
    surfer.go_away().await?;
    surfer.go(&page("before")).await?;
    look(1_700).await;
    surfer.open_tab(false).await?;
    press(&mut surfer, &["#pause summary", "#pause-hour"]).await?;
    says(&surfer, "#capture", "paused until").await?;
    badge(&mut surfer, "II").await?;

    // The page that was open stays open, and others follow: of none of it anything is kept, whatever ends and
    // starts again meanwhile.
    surfer.switch(0).await?;
    surfer.browser.visit(&page("during/a")).await?;
    look(1_700).await;
    surfer.browser.stop_worker().await?;
    surfer.browser.visit(&page("during/b")).await?;
    look(1_700).await;
    let log = surfer.quit().await?;
    let mut surfer = Surfer::at(Browser::start(&world, &Start::new(kind)).await?, log).await?;
    surfer.browser.visit(&page("during/c")).await?;
    look(1_700).await;
    badge(&mut surfer, "II").await?;
    surfer.browser.visit(&page("during/d")).await?;

    // What is open when it ends begins then.
    surfer.open_tab(false).await?;
    press(&mut surfer, &["#resume"]).await?;
    surfer.began(0, &page("during/d"), surfer.clock());
    says(&surfer, "#capture", "Capture is on").await?;
    badge(&mut surfer, "").await?;
    look(500).await;

    // A pause that ends by itself.
    let short = "const since = Date.now(); await chrome.storage.local.set({ pause: { since, until: since + a[0] } });";
    let before = surfer.clock();
    surfer.browser.inside(short, vec![json!(2_500)]).await?;
    surfer.all_ended(before);
    surfer.switch(0).await?;
    surfer.browser.visit(&page("during/e")).await?;
    let before = surfer.clock();
    badge(&mut surfer, "").await.context("the pause ends by itself")?;
    surfer.began(0, &page("during/e"), before);
    surfer.go(&page("after")).await?;
    look(300).await;
    surfer.leave_all().await?;
    all_arrived(&world, &surfer.log).await?;

    // Stopped for good: what is open ends, and nothing is looked at any more.
    let before = surfer.clock();
    surfer.browser.answer("#consent-stop").await?;
    surfer.all_ended(before);
    surfer.browser.visit(&page("stopped")).await?;
    look(1_700).await;
    all_arrived(&world, &surfer.log).await?;
    world.done();
    Ok(())
}

/// On the popup, in the tab that is in front.
async fn press(surfer: &mut Surfer, buttons: &[&str]) -> Result<()> {
    surfer.browser.popup("#capture").await?;
    for button in buttons {
        let before = surfer.clock();
        surfer.browser.click(button).await.with_context(|| (*button).to_owned())?;
        surfer.all_ended(before);
    }
    Ok(())
}

async fn says(surfer: &Surfer, element: &str, words: &str) -> Result<()> {
    eventually(SOON, &format!("the popup says {words:?}"), async || {
        let text = surfer.browser.popup(element).await?;
        ensure!(text.contains(words), "{text}");
        Ok(())
    })
    .await
}

/// What the extension's button carries in the browser's bar.
async fn badge(surfer: &mut Surfer, text: &str) -> Result<()> {
    let deadline = std::time::Instant::now() + BOOT;
    loop {
        let shown = surfer.browser.inside("return chrome.action.getBadgeText({});", vec![]).await?;
        if shown == text {
            return Ok(());
        }
        ensure!(std::time::Instant::now() < deadline, "the badge is {shown}, and not {text:?}");
        look(50).await;
    }
}
