//! The whole job once, on real parts: a Chromium with the extension browses local pages, the host keeps the
//! records, the app delivers them, and everything that can be counted is counted where it really is: the pages
//! in the page server's access log, the records in the buffer's file, the rows in the backend's database.

use crate::backend::Backend;
use crate::browser::{Browser, Kind, Start};
use crate::chromium;
use crate::companion::{self, Tokens};
use crate::pages::Pages;
use crate::rows::{Acknowledged, Rows};
use crate::window::Window;
use crate::world::World;
use crate::{BOOT, SOON, desktop, eventually, process};
use anyhow::{Result, ensure};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What `cargo xtask run` prints.
#[derive(Debug)]
pub struct Summary {
    /// From the page server's own access log.
    pub visited: Vec<String>,
    /// Visits and aggregates that the host acknowledged.
    pub acknowledged: Acknowledged,
    /// The addresses in the backend's rows.
    pub stored: Vec<String>,
    pub stored_aggregates: u64,
    pub backlog: u64,
    pub failed: u64,
    pub elapsed: Duration,
    pub screenshot: PathBuf,
}

impl Summary {
    /// Every page that was visited is a row, nothing else is, and nothing waits or failed.
    pub fn agrees(&self) -> bool {
        let mut visited = self.visited.clone();
        visited.sort();
        visited == self.stored
            && !visited.is_empty()
            && self.acknowledged.visits == visited.len() as u64
            && self.acknowledged.aggregates == self.stored_aggregates
            && self.backlog == 0
            && self.failed == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Acknowledged { visits, aggregates } = self.acknowledged;
        writeln!(f, "pages visited          {:>6}  (the page server's access log)", self.visited.len())?;
        writeln!(
            f,
            "records acknowledged   {:>6}  ({visits} visits, {aggregates} tab aggregates)",
            visits + aggregates
        )?;
        writeln!(
            f,
            "rows in the backend    {:>6}  ({} visits, {} tab aggregates; plain SQL)",
            self.stored.len() as u64 + self.stored_aggregates,
            self.stored.len(),
            self.stored_aggregates
        )?;
        writeln!(f, "waiting, failed        {:>6}  {}", self.backlog, self.failed)?;
        writeln!(f, "seconds                {:>6.1}", self.elapsed.as_secs_f64())?;
        writeln!(f, "the window's picture   {}", self.screenshot.display())?;
        write!(f, "{}", if self.agrees() { "they agree" } else { "THEY DO NOT AGREE" })
    }
}

/// Three sites in three tabs, four pages each.
const SITES: [&str; 3] = ["news", "shop", "wiki"];
const PAGES_EACH: usize = 4;

/// Does the job in an empty world; `say` hears each step.
pub async fn run(world: &mut World, say: impl Fn(&str)) -> Result<Summary> {
    let start = Instant::now();
    say("a private display, D-Bus session and Secret Service");
    let _display = desktop::display(world).await?;
    let _bus = desktop::bus(world).await?;
    let _keyring = desktop::keyring(world).await?;

    say("the backend, on an empty SQLite database");
    let backend = Backend::start(world).await?;
    companion::configure(world, &backend.url(), Tokens::Keyring)?;
    chromium::profile(world)?;
    companion::heyho(world, &["browsers", "register"]).await?.expect(0)?;

    say("the app: an account is made in its window");
    let window = Window::start(world).await?;
    window.register(companion::EMAIL, companion::PASSWORD).await?;
    window.shows("status-head", "data-state", "up_to_date").await?;

    say("Chromium with the extension: consent, then three tabs of browsing");
    let pages = Pages::start().await?;
    let chromium = Browser::start(world, &Start::new(Kind::Chromium)).await?;
    chromium.consent().await?;
    browse(&chromium, &pages).await?;
    let visited = pages.visited();
    everything_acknowledged(world, &visited).await?;
    chromium.quit().await?;
    // What the browser said last is committed when its hosts have ended.
    eventually(SOON, "the end of the hosts", async || {
        let running = process::command_lines(world.dir())?;
        ensure!(
            !running.iter().any(|(_, line)| line.windows(10).any(|part| part == b"heyho-host")),
            "one runs"
        );
        Ok(())
    })
    .await?;

    say("Sync now, until nothing waits");
    window.click("sync-now").await?;
    window.shows("status-head", "data-state", "up_to_date").await?;
    window.says("backlog-total", |n| n == "0").await?;
    let screenshot = world.dir().join("window.png");
    window.screenshot(&screenshot).await?;

    let status = companion::status(world).await?;
    let mut rows = Rows::open(world).await?;
    let summary = Summary {
        visited,
        acknowledged: Acknowledged::read(world).await?,
        stored: rows.visited().await?,
        stored_aggregates: rows.aggregates().await?,
        backlog: companion::waiting(&status),
        failed: status["failed"].as_u64().unwrap_or(u64::MAX),
        elapsed: start.elapsed(),
        screenshot,
    };
    window.close().await?;
    Ok(summary)
}

/// A tab a site, pages one after the other, then each tab is closed.
pub async fn browse(chromium: &Browser, pages: &Pages) -> Result<()> {
    for site in SITES {
        chromium.new_tab().await?;
        for page in 0..PAGES_EACH {
            chromium.visit(&pages.url(site, &page.to_string())).await?;
        }
        chromium.close_tab().await?;
    }
    Ok(())
}

/// Waits until the buffer holds, or has delivered, each visit in its last version and each tab's end.
pub async fn everything_acknowledged(world: &World, visited: &[String]) -> Result<()> {
    eventually(BOOT, "the host has acknowledged every visit and every closed tab", async || {
        let got = Acknowledged::read(world).await?;
        ensure!(got.visits == visited.len() as u64 && got.aggregates >= SITES.len() as u64, "{got:?}");
        Ok(())
    })
    .await
}
