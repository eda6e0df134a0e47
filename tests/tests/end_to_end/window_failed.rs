//! Thousands of failed records: few of them in the document, each within reach of the keyboard.

use anyhow::{Context, Result, ensure};
use e2e::companion;
use e2e::desk::Desk;
use e2e::tour::{bad_visit, hand_over};
use e2e::{SOON, World, eventually};
use serde_json::Value;

const MANY: usize = 5_000;
const MOST_IN_DOCUMENT: usize = 80;

/// By how many pixels the list grows with its last row, before the next frame; less how far it lets itself be scrolled
/// where it is too small.
const OPENED_AND_CLOSED: &str = "(async () => {
    const list = document.querySelector('[data-testid=\"failed-list\"]');
    const row = document.querySelector('[data-row=\"4999\"]');
    const settled = async () => { for (let i = 0; i < 50; i += 1) await null; };
    const before = list.offsetHeight;
    row.click();
    await settled();
    const grown = list.offsetHeight - before;
    const high = list.style.blockSize;
    list.style.blockSize = before + 'px';
    list.scrollTop = 5000;
    const scrolled = list.scrollTop;
    list.style.blockSize = high;
    row.click();
    await settled();
    return grown - scrolled;
})()";

#[tokio::test]
async fn five_thousand_failed_records_are_dealt_with_in_the_window() -> Result<()> {
    let desk = Desk::new().await?;
    let world = &desk.world;
    for part in 0..MANY / 1_000 {
        let bad: Vec<Value> = (part * 1_000..(part + 1) * 1_000).map(bad_visit).collect();
        hand_over(world, &bad).await?;
    }
    let window = desk.register().await?;
    window.shows("status-head", "data-state", "needs_attention").await?;
    window.says("status-sentence", |text| text == "5,000 records need you").await?;

    window.click("tab-failed").await?;
    window.has("failed-row", true).await?;
    ensure!(window.count("failed-row").await? <= MOST_IN_DOCUMENT);
    window.value("document.querySelector('[data-row=\"0\"]').focus()").await?;
    window.keys("\u{e010}").await?;
    eventually(SOON, "the last row has the focus", async || {
        let row = window.value("document.activeElement.dataset.row ?? null").await?;
        ensure!(row == "4999", "{row}");
        Ok(())
    })
    .await?;
    ensure!(window.count("failed-row").await? <= MOST_IN_DOCUMENT);

    // An opened row has its room before it is drawn, and nothing but the page scrolls: what is clicked in it is
    // where it was.
    let grown = window.value(OPENED_AND_CLOSED).await?;
    ensure!(grown.as_i64().is_some_and(|pixels| pixels > 100), "{grown}");

    // Opened by keyboard; kept quietly, then discarded.
    window.keys("\u{e007}").await?;
    window.click("failed-keep").await?;
    window.says("status-sentence", |text| text == "4,999 records need you").await?;
    window.click_and_confirm("failed-discard").await?;
    failed(world, 4_999).await?;

    window.value("scrollTo(0, 0)").await?;
    window.click("failed-export").await?;
    let said = window.says("failed-export-done", |text| text.contains("4,999 records saved")).await?;
    let name = said.split(" as ").nth(1).and_then(|rest| rest.split(' ').next()).context(said.clone())?;
    let exported = std::fs::read_to_string(world.home().join("Downloads").join(name))?;
    ensure!(exported.lines().count() == 4_999, "{} lines", exported.lines().count());

    window.click("failed-more").await?;
    window.click("failed-keep-all").await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    window.click("failed-more").await?;
    window.click_and_confirm("failed-discard-all").await?;
    window.has("failed-empty", true).await?;
    failed(world, 0).await?;
    desk.leave(window).await
}

async fn failed(world: &World, wanted: u64) -> Result<()> {
    companion::status_when(world, "the number of failed records", |status| status["failed"] == wanted)
        .await?;
    Ok(())
}
