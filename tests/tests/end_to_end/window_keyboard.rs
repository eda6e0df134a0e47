//! The whole tour by keyboard: sign in, sync, go through every tab, pause and resume, change a setting, answer a
//! question. Nothing is clicked.

use anyhow::{Result, bail, ensure};
use e2e::desk::Desk;
use e2e::tour::{bad_visit, hand_over, visit};
use e2e::window::Window;
use e2e::{SOON, eventually};
use e2e::{chromium, companion};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
/// Ctrl, a key, and Ctrl let go.
const LARGER: &str = "\u{e009}=\u{e009}";
const AS_IT_WAS: &str = "\u{e009}0\u{e009}";
const SPACE: &str = " ";
const DOWN: &str = "\u{e015}";
const RIGHT: &str = "\u{e014}";
const END: &str = "\u{e010}";
/// More presses of Tab than a view has stops.
const STOPS: usize = 60;

/// Tab, until the part has the focus. (Whether the focus is seen is not asked here: without a window manager the
/// window has no input focus, and a page without it draws none.)
async fn tab_to(window: &Window, testid: &str) -> Result<()> {
    let mut seen = Vec::new();
    for _ in 0..STOPS {
        if window.focused().await? == testid {
            return Ok(());
        }
        window.keys(TAB).await?;
        let at = window.focused().await?;
        seen.push(at);
    }
    bail!("{testid:?} is not reached; seen: {seen:?}")
}

#[tokio::test]
async fn everything_can_be_done_by_keyboard() -> Result<()> {
    let desk = Desk::new().await?;
    let world = &desk.world;
    chromium::profile(world)?;
    let window = Window::start_first(world).await?;

    tab_to(&window, "first-agree").await?;
    window.keys(ENTER).await?;
    window.shows("first-run", "data-step", "2").await?;
    tab_to(&window, "browser-register").await?;
    window.keys(ENTER).await?;
    window.shows("browser-row", "data-state", "registered").await?;
    tab_to(&window, "first-next").await?;
    window.keys(ENTER).await?;
    window.shows("first-run", "data-step", "3").await?;
    tab_to(&window, "signin-mode-signin").await?;
    window.keys(RIGHT).await?;
    tab_to(&window, "signin-email").await?;
    window.keys(companion::EMAIL).await?;
    tab_to(&window, "signin-password").await?;
    window.keys(companion::PASSWORD).await?;
    window.keys(ENTER).await?;
    window.has("first-finish", true).await?;
    tab_to(&window, "first-finish").await?;
    window.keys(ENTER).await?;
    window.shows("status-head", "data-state", "up_to_date").await?;

    hand_over(world, &[visit(0), visit(1), bad_visit(0)]).await?;
    window.shows("status-head", "data-state", "needs_attention").await?;
    tab_to(&window, "sync-now").await?;
    window.keys(ENTER).await?;
    window.says("backlog-total", |n| n == "0").await?;
    tab_to(&window, "pause").await?;
    window.keys(DOWN).await?;
    window.keys(ENTER).await?;
    window.shows("status-head", "data-state", "paused").await?;
    tab_to(&window, "resume").await?;
    window.keys(ENTER).await?;
    window.shows("status-head", "data-state", "needs_attention").await?;

    tab_to(&window, "tab-overview").await?;
    window.keys(RIGHT).await?;
    window.has("failed-row", true).await?;
    tab_to(&window, "failed-choose").await?;
    window.keys(SPACE).await?;
    window.has("failed-chosen", true).await?;
    tab_to(&window, "chosen-discard").await?;
    window.keys(ENTER).await?;
    window.has("confirm", true).await?;
    window.keys(ESCAPE).await?;
    window.has("confirm", false).await?;
    tab_to(&window, "chosen-discard").await?;
    window.keys(ENTER).await?;
    tab_to(&window, "confirm").await?;
    window.keys(ENTER).await?;
    window.has("failed-empty", true).await?;
    // The button that had the focus is gone with the rows.
    eventually(SOON, "the focus at what is left of the list", async || {
        let focused = window.focused().await?;
        ensure!(focused == "failed-title", "{focused:?} has it");
        Ok(())
    })
    .await?;

    for (key, part) in [(RIGHT, "browser-row"), (RIGHT, "history"), (END, "erase")] {
        tab_to_tabs(&window).await?;
        window.keys(key).await?;
        window.has(part, true).await?;
    }
    tab_to(&window, "pause-on-battery").await?;
    window.keys(SPACE).await?;
    eventually(SOON, "the setting is on", async || {
        let said = companion::heyho(world, &["config", "get", "sync.pause_on_battery"]).await?.expect(0)?;
        ensure!(said.out.trim() == "true", "{}", said.out);
        Ok(())
    })
    .await?;
    tab_to(&window, "rule-pattern").await?;
    window.keys("*.bank.example").await?;
    window.keys(ENTER).await?;
    window.has("rule", true).await?;
    tab_to(&window, "quit").await?;
    let wide = window.value("window.innerWidth").await?;
    for (keys, larger) in [(LARGER, true), (AS_IT_WAS, false)] {
        window.keys(keys).await?;
        eventually(SOON, "the page in another size", async || {
            ensure!((window.value("window.innerWidth").await? != wide) == larger);
            Ok(())
        })
        .await?;
    }
    desk.leave(window).await
}

/// Whichever tab is the current one.
async fn tab_to_tabs(window: &Window) -> Result<()> {
    for _ in 0..STOPS {
        if window.focused().await?.starts_with("tab-") {
            return Ok(());
        }
        window.keys(TAB).await?;
    }
    bail!("the tabs are not reached")
}
