//! What the tests with a browser start with and end with.

use crate::parts::{Headless, headless};
use anyhow::{Result, ensure};
use e2e::browser::{Browser, Start};
use e2e::companion::heyho;
use e2e::compare::compare;
use e2e::pages::Pages;
use e2e::rows::Rows;
use e2e::stays::{Log, Surfer};
use e2e::world::repository;
use e2e::{BOOT, World, chromium, eventually};
use serde_json::Value;

pub struct Around {
    _parts: Headless,
    pub pages: Pages,
}

/// Backend, agent and account; the host made known to every browser; the pages.
pub async fn around(world: &World) -> Result<Around> {
    around_these(world, headless(world).await?).await
}

/// The same with backend, agent and account as they are.
pub async fn around_these(world: &World, parts: Headless) -> Result<Around> {
    chromium::profile(world)?;
    std::fs::create_dir_all(world.home().join(".mozilla"))?;
    heyho(world, &["browsers", "register"]).await?.expect(0)?;
    Ok(Around { _parts: parts, pages: Pages::start().await? })
}

/// A browser whose user has agreed, with nothing done in it yet.
pub async fn surfer(world: &World, start: &Start) -> Result<Surfer> {
    let browser = Browser::start(world, start).await?;
    browser.consent().await?;
    let mut surfer = Surfer::at(browser, Log::default()).await?;
    surfer.go_away().await?;
    Ok(surfer)
}

/// The extension with a fault on purpose (extension/faults.mjs), in a folder of its own.
pub async fn extension_with(fault: &str) -> Result<tempfile::TempDir> {
    let out = tempfile::tempdir()?;
    let mut build = tokio::process::Command::new("node");
    build.args(["build.mjs", "--fault", fault, "--out"]).arg(out.path()).current_dir(repository("extension"));
    let built = build.output().await?;
    ensure!(built.status.success(), "{built:?}");
    Ok(out)
}

/// Sends what waits until the visits at the backend are the stays of the log, and the aggregates its tabs' lives, each
/// once, each right.
pub async fn all_arrived(world: &World, log: &Log) -> Result<()> {
    eventually(BOOT, "visits and aggregates at the backend are what was done", async || {
        let visits = delivered(world).await?;
        compare(log, &visits, &parsed(Rows::open(world).await?.aggregate_records().await?)?)
    })
    .await
}

/// The visits at the backend, after what waits was sent.
pub async fn delivered(world: &World) -> Result<Vec<Value>> {
    heyho(world, &["sync", "--wait"]).await?.expect(0)?;
    parsed(Rows::open(world).await?.visit_records().await?)
}

fn parsed(records: Vec<String>) -> Result<Vec<Value>> {
    records.iter().map(|record| Ok(serde_json::from_str(record)?)).collect()
}

/// A small generator (splitmix64): the same seed, the same session.
#[derive(Debug)]
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn of<'a, T>(&mut self, these: &'a [T]) -> &'a T {
        &these[self.below(these.len())]
    }
}

/// From the environment: sizes are small in a test run and large in `cargo xtask torture`.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How long a person looks at a page: part of the session, not a wait for anything.
pub async fn look(milliseconds: u64) {
    tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
}
