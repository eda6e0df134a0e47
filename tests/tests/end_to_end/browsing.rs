//! Everything a person does in a browser, in both browsers: the visits at the backend are exactly what was done.

use crate::surfing::{Around, Chance, all_arrived, around, delivered, extension_with, look, number, surfer};
use anyhow::{Context, Result, bail, ensure};
use e2e::browser::{Browser, Kind, Start};
use e2e::compare::compare_visits;
use e2e::stays::Surfer;
use e2e::{SOON, World, eventually};
use serde_json::json;

#[tokio::test]
async fn a_session_with_every_case_in_chromium() -> Result<()> {
    every_case(Kind::Chromium).await
}

#[tokio::test]
async fn a_session_with_every_case_in_firefox() -> Result<()> {
    every_case(Kind::Firefox).await
}

/// The control: one visit too many is found out.
#[tokio::test]
async fn an_extension_that_takes_a_reload_for_a_visit_is_found_out() -> Result<()> {
    let out = extension_with("reload-begins").await?;
    let world = World::new()?;
    let around = around(&world).await?;
    let mut surfer = surfer(&world, &Start::new(Kind::Chromium).built_in(out.path())).await?;
    surfer.go(&around.pages.url("one", "kept")).await?;
    surfer.reload().await?;
    look(300).await;
    surfer.leave_all().await?;
    eventually(SOON, "both visits are at the backend", async || {
        let there = delivered(&world).await?.len();
        ensure!(there == 2, "{there}");
        Ok(())
    })
    .await?;
    match compare_visits(&surfer.log, &delivered(&world).await?) {
        Ok(()) => bail!("nobody noticed a visit too many"),
        Err(error) => ensure!(format!("{error:#}").contains("too many"), "{error:#}"),
    }
    world.done();
    Ok(())
}

async fn every_case(kind: Kind) -> Result<()> {
    let world = World::new()?;
    let around = around(&world).await?;
    let mut surfer = surfer(&world, &Start::new(kind)).await?;
    pages_after_each_other(&mut surfer, &around).await.context("pages_after_each_other")?;
    tabs_and_windows(&mut surfer, &around).await.context("tabs_and_windows")?;
    worker_stopped(&mut surfer, &around).await.context("worker_stopped")?;
    if kind == Kind::Chromium {
        rendered_ahead(&mut surfer, &around).await.context("rendered_ahead")?;
    }
    private(&mut surfer, &around).await.context("private")?;
    surfer.leave_all().await.context("leave_all")?;
    all_arrived(&world, &surfer.log).await?;
    let surfer = restarted(&world, surfer, &around, kind).await.context("restarted")?;
    all_arrived(&world, &surfer.log).await?;
    pages_were_asked_for(&surfer, &around)?;
    world.done();
    Ok(())
}

async fn pages_after_each_other(surfer: &mut Surfer, around: &Around) -> Result<()> {
    let page = |name: &str| around.pages.url("one", name);
    surfer.go(&page("first")).await?;
    look(1_700).await;
    surfer.follow(&page("second")).await?;
    look(300).await;
    surfer.go_through(&around.pages.at("one", "redirect/landed"), &[], &page("landed")).await?;
    look(300).await;
    surfer.go_through(&page("hop/beyond"), &[&page("hop/beyond")], &page("beyond")).await?;
    look(300).await;
    // A single-page application, a place on a page, a route.
    surfer.push(&page("app/a")).await?;
    look(300).await;
    surfer.jump("#chapter").await?;
    surfer.push(&page("app/b")).await?;
    look(1_700).await;
    surfer.push(&page("app/b#/route")).await?;
    look(300).await;
    // A reload goes on with the stay; a page that comes back out of the cache begins one.
    surfer.go(&page("kept")).await?;
    surfer.reload().await?;
    look(300).await;
    surfer.go(&page("after-kept")).await?;
    look(300).await;
    surfer.back().await?;
    look(1_700).await;
    surfer.forward(&page("after-kept")).await?;
    look(300).await;
    surfer.go_nowhere(&around.pages.at("one", "nothing/")).await?;
    look(300).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    surfer.go_wrong(&format!("http://{nobody}/")).await?;
    look(300).await;
    surfer.go(&page("after-wrong")).await?;
    look(300).await;
    Ok(())
}

async fn tabs_and_windows(surfer: &mut Surfer, around: &Around) -> Result<()> {
    let page = |name: &str| around.pages.url("two", name);
    surfer.go(&page("opener")).await?;
    surfer.follow_in_new_tab(&page("opened")).await?;
    look(1_700).await;
    surfer.close(0).await?;
    // A tab goes to another window: nothing changes for its page.
    surfer.go(&page("moved")).await?;
    surfer.open_tab(true).await?;
    surfer.go(&page("window")).await?;
    let to = "const find = async (url) => (await chrome.tabs.query({})).find((tab) => tab.url === url);";
    let move_it = format!(
        "{to} const target = await find(a[1]);
         await chrome.tabs.move((await find(a[0])).id, {{ windowId: target.windowId, index: -1 }});"
    );
    surfer.inside(&move_it, vec![json!(page("moved")), json!(page("window"))]).await?;
    look(500).await;
    // A duplicate is a life and a stay of its own.
    let known = surfer.browser.tabs().await?;
    let before = surfer.clock();
    let duplicate = format!("{to} await chrome.tabs.duplicate((await find(a[0])).id);");
    surfer.inside(&duplicate, vec![json!(page("window"))]).await?;
    surfer.found(&known, &page("window"), before).await?;
    look(500).await;
    surfer.go(&page("after-duplicate")).await?;
    Ok(())
}

async fn worker_stopped(surfer: &mut Surfer, around: &Around) -> Result<()> {
    let page = |name: &str| around.pages.url("three", name);
    surfer.go(&page("before-stop")).await?;
    look(2_000).await;
    surfer.browser.stop_worker().await?;
    look(500).await;
    surfer.follow(&page("after-stop")).await?;
    look(1_000).await;
    Ok(())
}

/// What was rendered ahead is a stay once it is shown, and what never was shown is none.
async fn rendered_ahead(surfer: &mut Surfer, around: &Around) -> Result<()> {
    let page = |name: &str| around.pages.url("four", name);
    let fetched = async |name: &str| {
        let wanted = page(name);
        eventually(SOON, "a page is fetched ahead", async || {
            ensure!(around.pages.fetched_ahead().contains(&wanted), "{:?}", around.pages.fetched_ahead());
            Ok(())
        })
        .await
    };
    surfer.go(&page("ahead/shown-later")).await?;
    fetched("shown-later").await?;
    look(500).await;
    surfer.click("#ahead", &page("shown-later")).await?;
    look(500).await;
    surfer.go(&page("ahead/never-shown")).await?;
    fetched("never-shown").await?;
    look(500).await;
    surfer.go(&page("after-ahead")).await?;
    look(500).await;
    Ok(())
}

async fn private(surfer: &mut Surfer, around: &Around) -> Result<()> {
    let secret = around.pages.url("private", "secret");
    surfer.open_private(&secret).await?;
    eventually(SOON, "the private window shows its page", async || {
        ensure!(around.pages.visited().contains(&secret), "not yet");
        Ok(())
    })
    .await?;
    look(2_000).await;
    Ok(())
}

/// Closed with tabs open, and killed with several; each time started again with its tabs: those that load begin stays of
/// their own.
async fn restarted(world: &World, surfer: Surfer, around: &Around, kind: Kind) -> Result<Surfer> {
    let page = |name: &str| around.pages.url("five", name);
    let mut surfer = surfer;
    surfer.switch(0).await?;
    surfer.go(&page("at-the-end")).await?;
    look(2_500).await;
    let log = surfer.quit().await?;
    let browser = Browser::start(world, &Start::new(kind).restoring()).await?;
    let mut surfer = Surfer::at(browser, log).await?;
    surfer.comes_back(&page("at-the-end")).await?;
    surfer.open_tab(false).await?;
    surfer.go(&page("next-day")).await?;
    // A browser notes its open tabs every few seconds: what it has not noted it does not bring back.
    look(4_000).await;
    let log = surfer.kill()?;
    let browser = Browser::start(world, &Start::new(kind).restoring()).await?;
    let mut surfer = Surfer::at(browser, log).await?;
    surfer.comes_back(&page("next-day")).await?;
    surfer.comes_back(&page("at-the-end")).await?;
    look(2_000).await;
    surfer.leave_all().await?;
    Ok(surfer)
}

/// The page server's own log: every page it served is a stay, and every stay but those of an application was
/// served; only what nobody saw or what was private is in the log alone.
fn pages_were_asked_for(surfer: &Surfer, around: &Around) -> Result<()> {
    let served = around.pages.visited();
    let page = |url: &str| url.split('#').next().unwrap_or_default().to_owned();
    let stays: Vec<String> = surfer.log.stays.iter().map(|stay| page(&stay.url)).collect();
    for url in &served {
        ensure!(stays.contains(url) || url.contains("/secret"), "{url} was served, and nobody was there");
    }
    for url in &stays {
        let shown = served.contains(url) || around.pages.fetched_ahead().contains(url);
        ensure!(shown || url.contains("/app/"), "{url} was never served");
    }
    Ok(())
}

#[tokio::test]
async fn random_sessions_in_chromium() -> Result<()> {
    random_sessions(Kind::Chromium).await
}

#[tokio::test]
async fn random_sessions_in_firefox() -> Result<()> {
    random_sessions(Kind::Firefox).await
}

/// HEYHO_SESSIONS sessions of HEYHO_STEPS steps, the first with HEYHO_SEED.
#[expect(clippy::print_stdout, reason = "torture reads the figures")]
async fn random_sessions(kind: Kind) -> Result<()> {
    let (first, sessions) = (number("HEYHO_SEED", 1), number("HEYHO_SESSIONS", 1));
    let mut stays = 0;
    for seed in first..first + sessions {
        let world = World::new()?;
        stays += random_session(&world, kind, seed).await.with_context(|| format!("HEYHO_SEED={seed}"))?;
        world.done();
    }
    println!("figures: {}: {sessions} sessions from seed {first}, {stays} stays", kind.name());
    Ok(())
}

/// How many stays it had.
async fn random_session(world: &World, kind: Kind, seed: u64) -> Result<usize> {
    let around = around(world).await?;
    let mut surfer = surfer(world, &Start::new(kind)).await?;
    let mut chance = Chance(seed);
    let mut names = 0..;
    let mut page = || around.pages.url("any", &format!("p{}", names.next().unwrap_or(0)));
    for _ in 0..number("HEYHO_STEPS", 40) {
        let here = surfer.here().is_some();
        match chance.below(26) {
            0..5 => surfer.go(&page()).await?,
            5..8 if here => surfer.follow(&page()).await?,
            8..11 if here => surfer.follow_in_new_tab(&page()).await?,
            11..13 => surfer.open_tab(chance.below(2) == 0).await?,
            13..16 => {
                let tab = chance.below(surfer.tabs.len());
                surfer.switch(tab).await?;
            }
            16..18 if surfer.tabs.len() > 1 => {
                let next = chance.below(surfer.tabs.len() - 1);
                surfer.close(next).await?;
            }
            18..21 if here => surfer.push(&page()).await?,
            21..23 if here => surfer.reload().await?,
            23..25 if here => drop(surfer.back().await?),
            25 if here => surfer.jump("#place").await?,
            _ => surfer.go(&page()).await?,
        }
        look(*chance.of(&[100, 300, 800, 1_800])).await;
    }
    surfer.leave_all().await?;
    all_arrived(world, &surfer.log).await?;
    Ok(surfer.log.stays.len())
}
