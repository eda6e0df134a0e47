//! What breaks between the page and the buffer: nothing is lost and nothing doubled, and what could not be handed
//! over arrives afterwards.

use crate::surfing::{Around, Chance, all_arrived, around, delivered, extension_with, look, number, surfer};
use anyhow::{Context, Result, bail, ensure};
use e2e::browser::{Browser, Kind, Start, storage};
use e2e::companion::heyho;
use e2e::host::end_all;
use e2e::rows::Acknowledged;
use e2e::secrets;
use e2e::stays::Surfer;
use e2e::troubles::fill;
use e2e::world::built;
use e2e::{BOOT, World, eventually};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A page that was there for less than this before its worker or browser was killed may never have been heard
/// of: the worker has to start for it first (extension/README.md).
const IN_DOUBT: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn chromium_its_worker_and_its_hosts_killed_at_random_lose_nothing() -> Result<()> {
    killed_at_random(Kind::Chromium, number("HEYHO_KILLS", 30), None).await
}

#[tokio::test]
async fn firefox_its_worker_and_its_hosts_killed_at_random_lose_nothing() -> Result<()> {
    killed_at_random(Kind::Firefox, number("HEYHO_KILLS", 30), None).await
}

/// The control: what a worker has in its memory only is lost with it.
#[tokio::test]
async fn a_worker_that_keeps_in_memory_what_is_open_is_found_out() -> Result<()> {
    let out = extension_with("forgetful").await?;
    match killed_at_random(Kind::Chromium, 8, Some(out.path().to_owned())).await {
        Ok(()) => bail!("nobody noticed that nothing outlives the worker"),
        Err(error) if format!("{error:#}").contains("is still open") => Ok(()),
        Err(error) => Err(error.context("it failed, but not for what is wrong")),
    }
}

#[expect(clippy::print_stdout, reason = "torture reads the figures")]
async fn killed_at_random(kind: Kind, steps: u64, dist: Option<PathBuf>) -> Result<()> {
    let bound = if dist.is_some() { Duration::from_secs(10) } else { BOOT };
    let start = Start { dist, ..Start::new(kind) };
    let world = World::new()?;
    let around = around(&world).await?;
    let mut surfer = surfer(&world, &start).await?;
    let mut chance = Chance(number("HEYHO_SEED", 1));
    let mut pages: Vec<(String, Instant)> = Vec::new();
    let mut kills: Vec<Instant> = Vec::new();
    let mut crashes = 0;
    for n in 0..steps {
        match chance.below(10) {
            0 if crashes < 1 + n / 10 => {
                crashes += 1;
                kills.push(Instant::now());
                let log = surfer.kill()?;
                let browser = Browser::start(&world, &start).await?;
                surfer = Surfer::at(browser, log).await?;
                kills.push(Instant::now());
            }
            1..4 => {
                kills.push(Instant::now());
                surfer.browser.stop_worker().await?;
                kills.push(Instant::now());
            }
            4..6 => end_all(&world)?,
            _ => {}
        }
        let url = around.pages.url("kills", &n.to_string());
        let began = Instant::now();
        surfer.browser.visit(&url).await?;
        pages.push((url, began));
        look(*chance.of(&[0, 50, 300, 1_000, 2_000])).await;
    }
    look(2_000).await;
    surfer.go_away().await?;

    let surely: Vec<&str> = pages
        .iter()
        .filter(|(_, began)| {
            let near = |kill: &Instant| {
                *kill + IN_DOUBT > *began && *kill < *began + IN_DOUBT + Duration::from_millis(500)
            };
            !kills.iter().any(near)
        })
        .map(|(url, _)| url.as_str())
        .collect();
    ensure!(surely.len() * 4 > pages.len(), "only {} of {} pages prove anything", surely.len(), pages.len());
    eventually(bound, "every page that was surely heard of is a visit, and ended", async || {
        let visits = delivered(&world).await?;
        let mut urls: Vec<&str> = visits.iter().filter_map(|visit| visit["url"].as_str()).collect();
        let lost: Vec<&&str> = surely.iter().filter(|url| !urls.contains(url)).collect();
        ensure!(lost.is_empty(), "lost {lost:?}");
        ensure!(visits.iter().all(|visit| visit["isActive"] == false), "one is still open");
        urls.sort_unstable();
        let all = urls.len();
        urls.dedup();
        ensure!(urls.len() == all, "{} doubled", all - urls.len());
        ensure!(urls.iter().all(|url| pages.iter().any(|(page, _)| page == url)), "a visit to nowhere");
        Ok(())
    })
    .await
    .with_context(|| format!("HEYHO_SEED, {} kills, {crashes} crashes", kills.len()))?;
    let (sure, all) = (surely.len(), pages.len());
    println!(
        "figures: {}: {all} pages, {sure} of them provable, {} kills, {crashes} crashes",
        kind.name(),
        kills.len()
    );
    world.done();
    Ok(())
}

/// The name of a site.
const PLANTED: &str = "planted-9c41f7d05be3";

/// Three pages, and the tab is empty again.
async fn three_pages(surfer: &mut Surfer, around: &Around, site: &str) -> Result<()> {
    for page in ["a", "b", "c"] {
        surfer.go(&around.pages.url(site, page)).await?;
        look(300).await;
    }
    surfer.go_away().await
}

/// The popup's number of records that wait in the browser. To look at it is also to ask for a connection now.
async fn in_the_browser(surfer: &Surfer) -> Result<u64> {
    let text = surfer.browser.popup("#outbox").await?;
    text.parse().with_context(|| format!("{text:?}"))
}

async fn visits_in_the_buffer(world: &World) -> Result<u64> {
    Ok(Acknowledged::read(world).await?.visits)
}

#[tokio::test]
async fn without_a_host_and_after_it_was_removed_and_replaced_all_arrives_in_chromium() -> Result<()> {
    host_comes_and_goes(Kind::Chromium).await
}

#[tokio::test]
async fn without_a_host_and_after_it_was_removed_and_replaced_all_arrives_in_firefox() -> Result<()> {
    host_comes_and_goes(Kind::Firefox).await
}

async fn host_comes_and_goes(kind: Kind) -> Result<()> {
    let world = World::new()?;
    let around = around(&world).await?;
    heyho(&world, &["browsers", "unregister"]).await?.expect(0)?;
    let mut surfer = surfer(&world, &Start::new(kind)).await?;
    // No host at all.
    three_pages(&mut surfer, &around, PLANTED).await?;
    eventually(BOOT, "the pages wait in the browser", async || {
        let outbox = in_the_browser(&surfer).await?;
        ensure!(outbox >= 3, "{outbox}");
        Ok(())
    })
    .await?;
    // What the canaries of `privacy.rs` are looked for with finds what is there, also where the browser compresses it.
    let storage = storage(&world, kind);
    let found = secrets::in_files(&storage, PLANTED)?;
    ensure!(!found.is_empty(), "the scanner finds nothing in {}", storage.display());
    // To open the popup asks for a connection: "Connecting" until the browser has looked for the host.
    eventually(BOOT, "the popup says that there is no host", async || {
        let sentence = surfer.browser.popup("#sentence").await?;
        ensure!(sentence.contains("not installed"), "{sentence:?}");
        Ok(())
    })
    .await?;
    heyho(&world, &["browsers", "register"]).await?.expect(0)?;
    handed_over(&world, &surfer, 3).await?;
    surfer.go_away().await?;

    // Removed while it is in use.
    heyho(&world, &["browsers", "unregister"]).await?.expect(0)?;
    end_all(&world)?;
    three_pages(&mut surfer, &around, "removed").await?;
    // And put back as another program in another place, as an update does.
    let elsewhere = world.home().join("another-version");
    std::fs::create_dir_all(&elsewhere)?;
    for program in ["heyho", "heyho-host"] {
        std::fs::copy(built(program)?, elsewhere.join(program))?;
    }
    let register = world.command(elsewhere.join("heyho")).args(["browsers", "register"]).output().await?;
    ensure!(register.status.success(), "{register:?}");
    handed_over(&world, &surfer, 6).await?;

    // Replaced during use: the one that runs goes on, the next one is the other.
    heyho(&world, &["browsers", "register"]).await?.expect(0)?;
    surfer.go_away().await?;
    three_pages(&mut surfer, &around, "replaced").await?;
    end_all(&world)?;
    handed_over(&world, &surfer, 9).await?;
    surfer.go_away().await?;
    all_arrived(&world, &surfer.log).await?;
    world.done();
    Ok(())
}

/// The host has acknowledged that many visits, and nothing waits in the browser.
async fn handed_over(world: &World, surfer: &Surfer, visits: u64) -> Result<()> {
    eventually(BOOT, &format!("{visits} visits are handed over"), async || {
        let outbox = in_the_browser(surfer).await?;
        let there = visits_in_the_buffer(world).await?;
        ensure!(outbox == 0 && there >= visits, "{outbox} wait in the browser, {there} visits in the buffer");
        // The popup asks for a connection when it opens: open it again.
        surfer.browser.reload().await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_a_full_buffer_refused_of_chromium_arrives_when_there_is_room() -> Result<()> {
    full_for_a_while(Start::new(Kind::Chromium)).await
}

#[tokio::test]
async fn what_a_full_buffer_refused_of_firefox_arrives_when_there_is_room() -> Result<()> {
    full_for_a_while(Start::new(Kind::Firefox)).await
}

/// The control: an outbox that deletes what it has sent must be found out by the test above.
#[tokio::test]
async fn an_outbox_that_deletes_before_the_ack_is_found_out() -> Result<()> {
    let out = extension_with("early-delete").await?;
    match full_for_a_while(Start::new(Kind::Chromium).built_in(out.path())).await {
        Ok(()) => bail!("nobody noticed that the outbox deletes before the ack"),
        Err(error) if format!("{error:#}").contains("lost") => Ok(()),
        Err(error) => Err(error.context("it failed, but not for what is wrong")),
    }
}

async fn full_for_a_while(start: Start) -> Result<()> {
    let faulty = start.dist.is_some();
    let world = World::new()?;
    let around = around(&world).await?;
    let mut surfer = surfer(&world, &start).await?;
    three_pages(&mut surfer, &around, "before").await?;
    handed_over(&world, &surfer, 3).await?;
    surfer.go_away().await?;
    heyho(&world, &["pause"]).await?.expect(0)?;
    heyho(&world, &["config", "set", "buffer.max_bytes", "1048576"]).await?.expect(0)?;
    fill(&world).await?;
    end_all(&world)?;
    three_pages(&mut surfer, &around, "full").await?;
    let what =
        if faulty { "what was sent is no longer in the browser" } else { "the pages wait in the browser" };
    eventually(BOOT, what, async || {
        let outbox = in_the_browser(&surfer).await?;
        ensure!(if faulty { outbox == 0 } else { outbox >= 3 }, "{outbox}");
        surfer.browser.reload().await?;
        Ok(())
    })
    .await?;
    surfer.go_away().await?;
    heyho(&world, &["resume"]).await?.expect(0)?;
    // What it says is not looked at: the extension may hand over between the run's last look and its count.
    heyho(&world, &["sync", "--wait"]).await?;
    // A host that starts anew ends the wait that the full one had asked for.
    end_all(&world)?;
    let bound = if faulty { Duration::from_secs(10) } else { BOOT };
    eventually(bound, "what was done is at the backend, beside what filled the buffer", async || {
        let mut visits = delivered(&world).await?;
        visits.retain(|visit| !visit["id"].as_str().is_some_and(|id| id.starts_with("filler")));
        e2e::compare::compare_visits(&surfer.log, &visits)
    })
    .await?;
    world.done();
    Ok(())
}
