//! The tray's menu, as a panel reads it over D-Bus.

use crate::parts::{greeted_host, hand_over, visits};
use anyhow::{Result, ensure};
use e2e::backend::Backend;
use e2e::companion::{self, Tokens};
use e2e::notices::Notices;
use e2e::portal::{DARK, LIGHT, Portal};
use e2e::tray::Tray;
use e2e::{BOOT, SOON, World, desktop, eventually, process, window, x11};
use std::path::{Path, PathBuf};

#[tokio::test]
async fn the_trays_menu_says_what_the_status_is_and_its_lines_work() -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::File)?;
    let tray = Tray::start(&world).await?;
    let logs = long_log(&world)?;
    let mut app = companion::start_app(&world).await?;

    let lines: Vec<String> = tray.entries().await?.into_iter().map(|e| e.label).collect();
    for wanted in ["Sync now", "Open", "Quit"] {
        ensure!(lines.iter().any(|line| line.starts_with(wanted)), "no {wanted:?} in {lines:?}");
    }
    tray.shows("calm-light").await?;
    ensure!(!tray.entry("Sync now").await?.enabled, "nobody is signed in");

    companion::register(&world).await?;
    first_line(&tray, "the run that a sign-in begins is over", |line| line.starts_with("Up to date")).await?;
    let mut host = greeted_host(&world).await?;
    hand_over(&mut host, &visits(0..3)).await?;
    first_line(&tray, "the menu counts what waits", |line| line.starts_with("3 waiting")).await?;
    tray.choose("Sync now").await?;
    first_line(&tray, "the menu says that all is delivered", |line| line.starts_with("Up to date")).await?;
    tray.choose("Quit").await?;
    ensure!(app.ended().await?.success());
    is_rotated(&logs)?;
    world.done();
    Ok(())
}

const NEARLY_FULL: u64 = 999_990;

/// One log more than is kept, and the current one with hardly any room.
fn long_log(world: &World) -> Result<PathBuf> {
    let logs = window::state_dir(world);
    std::fs::create_dir_all(&logs)?;
    for day in 1..=6 {
        std::fs::write(logs.join(format!("companion_2026-01-0{day}_00-00-00.log")), "old")?;
    }
    std::fs::write(logs.join("companion.log"), "x".repeat(NEARLY_FULL as usize))?;
    Ok(logs)
}

/// It was set aside while the app ran, and the oldest are gone: five stay, and the current one.
fn is_rotated(logs: &Path) -> Result<()> {
    let mut aside = Vec::new();
    for entry in std::fs::read_dir(logs)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("companion_") {
            aside.push((name, entry.metadata()?.len()));
        }
    }
    aside.sort();
    ensure!(aside.len() == 5 && aside[0].0.contains("2026-01-03"), "{aside:?}");
    ensure!(aside[4].1 == NEARLY_FULL, "{aside:?}");
    let current = std::fs::metadata(logs.join("companion.log"))?.len();
    ensure!((1..NEARLY_FULL).contains(&current), "{current} bytes");
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

#[tokio::test]
async fn each_state_has_its_icon_and_the_menu_pauses_and_resumes() -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::File)?;
    let tray = Tray::start(&world).await?;
    let mut app = companion::start_app(&world).await?;
    companion::register(&world).await?;
    first_line(&tray, "up to date", |line| line.starts_with("Up to date")).await?;
    tray.shows("calm-light").await?;

    tray.choose("Pause for 1 hour").await?;
    first_line(&tray, "paused", |line| line.starts_with("Paused until")).await?;
    tray.shows("paused-light").await?;
    tray.choose("Resume").await?;
    first_line(&tray, "up to date again", |line| line.starts_with("Up to date")).await?;
    tray.choose("Pause until tomorrow").await?;
    // With the day, since it is another one.
    first_line(&tray, "paused until six of the next day", |line| {
        line.starts_with("Paused until ") && line.split(' ').count() == 4 && line.ends_with("06:00")
    })
    .await?;
    tray.choose("Resume").await?;
    first_line(&tray, "up to date again", |line| line.starts_with("Up to date")).await?;

    let mut host = greeted_host(&world).await?;
    backend.kill().await?;
    hand_over(&mut host, &visits(0..3)).await?;
    first_line(&tray, "3 wait", |line| line.starts_with("3 waiting")).await?;
    tray.choose("Sync now").await?;
    first_line(&tray, "when it is tried again", |line| line.contains("retry")).await?;
    tray.shows("retrying-light").await?;

    let bad = serde_json::json!({"id": "script", "url": "javascript:alert(1)", "visited_at": 1});
    host.ask(&serde_json::json!({"type": "records", "id": 1, "pageVisits": [bad]})).await?;
    first_line(&tray, "who is needed", |line| line.starts_with("1 record needs you")).await?;
    tray.shows("attention-light").await?;

    tray.choose("Quit").await?;
    ensure!(app.ended().await?.success());
    world.done();
    Ok(())
}

#[tokio::test]
async fn started_hidden_it_has_no_web_view_until_a_second_start_opens_the_window() -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::File)?;
    let notices = Notices::start(&world).await?;
    let mut command = world.program("heyho-companion")?;
    command.arg("--hidden");
    let mut app = world.start("app", command)?;
    companion::status_when(&world, "the agent runs", |status| status["agentRunning"] == true).await?;
    ensure!(web_views(&world)? == 0, "a web view nobody asked for");

    let mut second = world.start("second", world.program("heyho-companion")?)?;
    ensure!(second.ended().await?.success(), "a second start leaves its order and ends");
    eventually(SOON, "the web view of the window", async || {
        ensure!(web_views(&world)? == 1);
        Ok(())
    })
    .await?;

    // What a person must do is said once outside the window.
    let mut host = greeted_host(&world).await?;
    let bad =
        |n: usize| serde_json::json!({"id": format!("script-{n}"), "url": "javascript:1", "visited_at": 1});
    host.ask(&serde_json::json!({"type": "records", "id": 1, "pageVisits": [bad(1)]})).await?;
    // The agent looks each minute, and at once after a sign-in.
    companion::register(&world).await?;
    notices.one("HeyHo Companion needs you").await?;

    let mut quitting = world.program("heyho-companion")?;
    quitting.arg("--quit");
    let mut quitting = world.start("quit", quitting)?;
    ensure!(quitting.ended().await?.success());
    ensure!(app.ended().await?.success());
    ensure!(notices.shown().len() == 1, "{:?}", notices.shown());
    world.done();
    Ok(())
}

/// What is changed on the command line meanwhile holds at once: the language, and that nothing is notified.
#[tokio::test]
async fn closing_the_window_ends_its_web_view_and_that_the_app_goes_on_is_said_once() -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::File)?;
    let notices = Notices::start(&world).await?;
    let tray = Tray::start(&world).await?;
    let mut app = companion::start_app(&world).await?;
    let set = async |key: &str, value: &str| {
        companion::heyho(&world, &["config", "set", key, value]).await?.expect(0).map(drop)
    };
    for opened in 1..=3 {
        let (notify, language, says) = match opened {
            1 => ("false", "de", "Zum Starten anmelden"),
            _ => ("true", "en", "Sign in to start"),
        };
        // Settings are heard of in their order: what the menu says in that language was said after both.
        set("window.notifications", notify).await?;
        set("window.language", language).await?;
        first_line(&tray, "the language that was set", |line| line == says).await?;
        eventually(SOON, "the window", async || {
            ensure!(web_views(&world)? == 1);
            x11::close_window(&world, "HeyHo Companion")
        })
        .await?;
        eventually(SOON, "no web view is left", async || {
            ensure!(web_views(&world)? == 0);
            Ok(())
        })
        .await?;
        if opened > 1 {
            notices.one("goes on in the tray").await?;
        }
        match opened {
            1 => tray.choose("Öffnen").await?,
            2 => {
                let mut second = world.start("second", world.program("heyho-companion")?)?;
                ensure!(second.ended().await?.success());
            }
            _ => {}
        }
    }
    app.still_runs()?;
    ensure!(notices.shown().len() == 1, "it is said once: {:?}", notices.shown());
    ensure!(companion::status(&world).await?["agentRunning"] == true, "the app has ended with its window");
    world.done();
    Ok(())
}

/// A panel of KDE has the colours of its windows; the icon's strokes are to be seen on it in either.
#[tokio::test]
async fn the_icons_strokes_follow_the_desktops_theme() -> Result<()> {
    let mut world = World::new()?;
    let _display = desktop::display(&mut world).await?;
    let _bus = desktop::bus(&mut world).await?;
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::File)?;
    let (tray, portal) = (Tray::start(&world).await?, Portal::start(&world).await?);
    let start = || {
        let mut command = world.program("heyho-companion")?;
        command.arg("--hidden").env("XDG_CURRENT_DESKTOP", "KDE");
        world.start("app", command)
    };
    let quit = async |mut app: process::Process| {
        tray.choose("Quit").await?;
        ensure!(app.ended().await?.success());
        anyhow::Ok(())
    };
    // At login a portal may still be starting.
    let app = start()?;
    eventually(BOOT, "the theme is asked for", async || {
        ensure!(portal.asked() > 0);
        Ok(())
    })
    .await?;
    tray.shows("calm-light").await?;
    portal.becomes(LIGHT).await?;
    tray.shows("calm-dark").await?;
    quit(app).await?;

    let app = start()?;
    eventually(BOOT, "another icon", async || {
        ensure!(tray.registrations() >= 2);
        Ok(())
    })
    .await?;
    tray.shows("calm-dark").await?;
    portal.becomes(DARK).await?;
    tray.shows("calm-light").await?;
    quit(app).await?;
    world.done();
    Ok(())
}

/// How many processes of the world show a page.
fn web_views(world: &World) -> Result<usize> {
    let named = |line: &[u8]| String::from_utf8_lossy(line).contains("WebKitWebProcess");
    Ok(process::command_lines(world.dir())?.iter().filter(|(_, line)| named(line)).count())
}
