//! Settings changed in the window hold at once; what they delete is gone; what they export is there.

use anyhow::{Context, Result, ensure};
use e2e::backend::Backend;
use e2e::companion::{self, heyho};
use e2e::desk::Desk;
use e2e::tour::{hand_over, visit};
use e2e::window::Window;
use e2e::{SOON, World, eventually};
use serde_json::json;

#[tokio::test]
async fn settings_hold_at_once_and_without_a_restart() -> Result<()> {
    let desk = Desk::new().await?;
    let (world, window) = (&desk.world, desk.signed_in().await?);
    window.click("tab-settings").await?;
    window.has("rule-form", true).await?;

    // The language and the look, while one looks.
    window.choose("language", "de").await?;
    window.says("status-sentence", |text| text == "Alles übertragen").await?;
    window.choose("appearance", "dark").await?;
    background(&window, "rgb(29, 30, 33)").await?;
    window.choose("appearance", "light").await?;
    background(&window, "rgb(245, 245, 246)").await?;
    window.choose("language", "en").await?;
    window.says("status-sentence", |text| text == "Up to date").await?;

    // The schedule: the next attempt is nearer.
    window.choose("interval", "1m").await?;
    companion::status_when(world, "the next attempt within a minute", |status| {
        status["nextAttemptAt"].as_str().is_some_and(|at| soon(at, 61))
    })
    .await?;

    // Privacy: what the rule names is stored nowhere from now on.
    window.fill("rule-pattern", "tides.example.org").await?;
    window.click("rule-add").await?;
    window.has("rule", true).await?;
    let answer = hand_over(world, &[visit(0), visit(1)]).await?;
    ensure!(answer["filtered"] == 1 && answer["stored"] == 1, "{answer}");
    window.click("rule-remove").await?;
    window.has("rule", false).await?;

    // Held before sending, from now on; and no longer, for what comes then.
    window.choose("hold", "60m").await?;
    setting(world, "sync.hold", "1h").await?;
    hand_over(world, &[visit(2)]).await?;
    companion::status_when(world, "one is held", |status| status["backlog"]["held"] == 1).await?;
    window.choose("hold", "0m").await?;

    // A backend's address is tried first: this one is none, and is not taken.
    window.fill("backend-url", "http://127.0.0.1:1").await?;
    window.bring("backend-test").await?;
    window.click("backend-test").await?;
    window.shows("backend-answer", "data-ok", "false").await?;
    let url = heyho(world, &["config", "get", "backend.url"]).await?.expect(0)?;
    ensure!(!url.out.contains(":1\n"), "{}", url.out);

    // Start at login, on and off again.
    let entries = || std::fs::read_dir(world.config_home().join("autostart")).map(|d| d.count()).unwrap_or(0);
    for wanted in [1, 0] {
        window.click("start-at-login").await?;
        eventually(SOON, "the entry of the system's autostart", async || {
            ensure!(entries() == wanted);
            Ok(())
        })
        .await?;
    }

    // A mistake in the file is named as in the terminal.
    let path = world.config_home().join("heyho-companion/config.toml");
    let good = std::fs::read_to_string(&path)?;
    std::fs::write(&path, good.clone() + "\n[buffer]\nmax_bytes = \"plenty\"\n")?;
    window.click("tab-overview").await?;
    window.click("tab-settings").await?;
    window.says("problem-text", |text| text.contains("max_bytes") && text.contains("plenty")).await?;
    // Nor does an export that cannot be written say where that is.
    let downloads = world.home().join("Downloads");
    std::fs::write(&downloads, "a file in the way")?;
    window.names_no_folder().await?;
    std::fs::remove_file(&downloads)?;
    std::fs::write(&path, good)?;

    // Another backend: what it leaves behind is said, and from then on that one is asked.
    window.click("tab-overview").await?;
    window.click("tab-settings").await?;
    window.has("problem", false).await?;
    let other = Backend::start(world).await?;
    window.bring("backend-test").await?;
    window.fill("backend-url", &other.url()).await?;
    window.click("backend-test").await?;
    window.says("unsent", |text| text.contains("never sent to the other backend")).await?;
    window.click("confirm").await?;
    window.shows("status-head", "data-state", "session_expired").await?;
    window.says("status-head", |text| text.contains("another backend: sign in there")).await?;
    setting(world, "backend.url", &other.url()).await?;
    desk.leave(window).await
}

async fn setting(world: &World, key: &str, wanted: &str) -> Result<()> {
    eventually(SOON, &format!("{key} = {wanted}"), async || {
        let said = heyho(world, &["config", "get", key]).await?.expect(0)?;
        ensure!(said.out.trim().trim_end_matches('/') == wanted, "{}", said.out);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn data_is_exported_forgotten_and_erased_from_the_window() -> Result<()> {
    let desk = Desk::new().await?;
    let (world, window) = (&desk.world, desk.signed_in().await?);
    hand_over(world, &(0..12).map(visit).collect::<Vec<_>>()).await?;
    window.says("backlog-total", |n| n == "12").await?;

    // What waits is searched, and deleted before it is sent.
    window.click("waiting-show").await?;
    window.fill("waiting-search", "bowline").await?;
    eventually(SOON, "the two that were searched for", async || {
        ensure!(window.count("waiting-row").await? == 2);
        Ok(())
    })
    .await?;
    window.click("waiting-discard").await?;
    window.click("confirm").await?;
    window.says("backlog-total", |n| n == "11").await?;

    window.click("tab-settings").await?;
    window.click("export").await?;
    let said = window.says("export-done", |text| text.contains("11 records saved")).await?;
    let name = said.split(" as ").nth(1).and_then(|rest| rest.split(' ').next()).context(said.clone())?;
    let exported = std::fs::read_to_string(world.home().join("Downloads").join(name))?;
    ensure!(exported.lines().count() == 11);

    window.fill("forget-site", "tides.example.org").await?;
    window.click("forget").await?;
    window.click("confirm").await?;
    window.says("forgotten", |text| text.starts_with("2 records deleted here")).await?;
    let left = heyho(world, &["waiting", "list", "--json"]).await?.expect(0)?;
    ensure!(!left.out.contains("tides"), "{}", left.out);

    window.click("erase").await?;
    window.click("confirm").await?;
    window.says("erased", |text| text.starts_with("9 records deleted")).await?;
    let status = companion::status(world).await?;
    ensure!(companion::waiting(&status) == 0 && status["failed"] == 0, "{status}");
    ensure!(status["account"]["email"] == json!(companion::EMAIL), "still signed in: {status}");
    desk.leave(window).await
}

async fn background(window: &Window, wanted: &str) -> Result<()> {
    eventually(SOON, "the window's ground", async || {
        let colour = window.value("getComputedStyle(document.documentElement).backgroundColor").await?;
        ensure!(colour == wanted, "{colour}");
        Ok(())
    })
    .await
}

/// Whether a time is at most so many seconds ahead.
fn soon(at: &str, seconds: i64) -> bool {
    let now = std::process::Command::new("date").arg("+%s").output().ok();
    let then = std::process::Command::new("date").args(["+%s", "-d", at]).output().ok();
    let number = |output: Option<std::process::Output>| {
        output.and_then(|o| String::from_utf8(o.stdout).ok()).and_then(|text| text.trim().parse::<i64>().ok())
    };
    number(then).zip(number(now)).is_some_and(|(then, now)| then - now <= seconds)
}
