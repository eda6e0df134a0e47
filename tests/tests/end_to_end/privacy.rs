//! What a user wants kept private is in no file, no log and no request; what should be forgotten is.

use crate::surfing::{around, delivered, extension_with, look, surfer};
use anyhow::{Context, Result, ensure};
use e2e::browser::{Kind, Start};
use e2e::companion::heyho;
use e2e::secrets;
use e2e::stays::Surfer;
use e2e::{BOOT, SOON, World, eventually};
use std::path::{Path, PathBuf};

/// In the address and the title of a page of a site that is never stored; in the query of a page whose address
/// is cut; and in an address that may be kept, which the scanner has to find.
const DROPPED: &str = "canary-dropped-5b1f9c7e2d";
const STRIPPED: &str = "canary-stripped-8a0d3e6f41";
const PLANTED: &str = "canary-planted-c47e90b2a5";

const RULES: &str = r#"
[[privacy.rules]]
id = "r1"
match = "host"
pattern = "*.bank.localhost"
action = "drop"

[[privacy.rules]]
id = "r2"
match = "host"
pattern = "shop.localhost"
action = "strip"
"#;

#[tokio::test]
async fn canaries_are_nowhere_after_chromium() -> Result<()> {
    let found = canaries(Kind::Chromium, None).await?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn canaries_are_nowhere_after_firefox() -> Result<()> {
    let found = canaries(Kind::Firefox, None).await?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

/// The control: rules that only the host keeps leave a trace in the browser's own storage of the extension.
#[tokio::test]
async fn an_extension_that_leaves_the_rules_to_the_host_is_found_out() -> Result<()> {
    let out = extension_with("no-rules").await?;
    let found = canaries(Kind::Chromium, Some(out.path().to_owned())).await?;
    ensure!(!found.is_empty(), "the scanner found no trace of a page that the extension had written down");
    Ok(())
}

async fn canaries(kind: Kind, dist: Option<PathBuf>) -> Result<Vec<secrets::Finding>> {
    let world = World::new()?;
    let around = around(&world).await?;
    append(&world.config_home().join("heyho-companion/config.toml"), RULES)?;
    let mut surfer = surfer(&world, &Start { dist, ..Start::new(kind) }).await?;
    knows_the_rules(&surfer).await?;
    let open = async |surfer: &mut Surfer, url: String| {
        surfer.browser.visit(&url).await?;
        look(2_000).await;
        Ok::<_, anyhow::Error>(())
    };
    let kept = around.pages.url("kept", PLANTED);
    open(&mut surfer, kept.clone()).await?;
    open(&mut surfer, around.pages.url("my.bank", DROPPED)).await?;
    // A tab that a dropped page opened, and a dropped page in a tab that a kept one opened.
    let after = around.pages.url("kept", "after");
    surfer.follow_in_new_tab(&after).await?;
    surfer.follow_in_new_tab(&around.pages.url("my.bank", &format!("{DROPPED}/2"))).await?;
    look(2_000).await;
    let cut = around.pages.url("shop", "cut");
    open(&mut surfer, format!("{cut}?q={STRIPPED}")).await?;
    surfer.leave_all().await?;

    let mut expected = vec![kept, after, cut];
    expected.sort();
    eventually(BOOT, "the visits are those that may be kept", async || {
        let visits = delivered(&world).await?;
        let mut urls: Vec<&str> = visits.iter().filter_map(|visit| visit["url"].as_str()).collect();
        urls.sort_unstable();
        ensure!(urls == expected, "{urls:?}");
        Ok(())
    })
    .await?;
    surfer.quit().await?;

    let places = places(&world, kind)?;
    let mut found = Vec::new();
    let mut planted = Vec::new();
    for place in &places {
        found.extend(secrets::in_files(place, DROPPED)?);
        found.extend(secrets::in_files(place, STRIPPED)?);
        planted.extend(secrets::in_files(place, PLANTED)?);
    }
    ensure!(
        planted.iter().any(|finding| finding.place.contains("heyho-backend")),
        "the scanner did not find what was there: {planted:?}"
    );
    world.done();
    Ok(found)
}

/// The rules are with the extension once its connection stands: the popup says so much.
async fn knows_the_rules(surfer: &Surfer) -> Result<()> {
    eventually(SOON, "the extension is connected", async || {
        let sentence = surfer.browser.popup("#sentence").await?;
        ensure!(!sentence.is_empty() && !sentence.contains("Connecting"), "{sentence}");
        Ok(())
    })
    .await?;
    surfer.browser.visit("about:blank").await
}

/// Everything that is ours: settings and state, buffer, backend, logs, and the extension's own storage. What the
/// browser itself remembers of a page is the browser's.
fn places(world: &World, kind: Kind) -> Result<Vec<PathBuf>> {
    let mut places = vec![
        world.config_home().join("heyho-companion"),
        world.data_home(),
        world.home().join(".local/state"),
        world.logs(),
        world.runtime(),
    ];
    let storage = match kind {
        Kind::Chromium => world.config_home().join("chromium/Default/IndexedDB"),
        Kind::Firefox => world.home().join(".mozilla/firefox/default/storage/default"),
    };
    ensure!(storage.is_dir(), "{} is not there: where does the extension keep its own?", storage.display());
    places.push(storage);
    Ok(places.into_iter().filter(|place| place.exists()).collect())
}

fn append(file: &Path, text: &str) -> Result<()> {
    let before = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(std::fs::write(file, before + text)?)
}

/// `heyho forget` reaches what still waits in a browser, as well as what is here.
#[tokio::test]
async fn a_forgotten_site_leaves_the_outbox_of_a_connected_browser_too() -> Result<()> {
    let world = World::new()?;
    let around = around(&world).await?;
    let mut surfer = surfer(&world, &Start::new(Kind::Chromium)).await?;
    knows_the_rules(&surfer).await?;
    // A mistake in the rules: nothing may be stored, so everything waits in the browser.
    let config = world.config_home().join("heyho-companion/config.toml");
    let good = std::fs::read_to_string(&config)?;
    append(
        &config,
        "\n[[privacy.rules]]\nid = \"r1\"\nmatch = \"nothing\"\npattern = \"x\"\naction = \"drop\"\n",
    )?;
    for page in ["a", "b"] {
        surfer.go(&around.pages.url("gone", page)).await?;
        look(300).await;
        surfer.go(&around.pages.url("stays", page)).await?;
        look(300).await;
    }
    surfer.go_away().await?;
    let outbox = async || -> Result<u64> { Ok(surfer.browser.popup("#outbox").await?.parse()?) };
    eventually(SOON, "all of it waits in the browser", async || {
        let outbox = outbox().await?;
        ensure!(outbox >= 4, "{outbox}");
        Ok(outbox)
    })
    .await?;
    std::fs::write(&config, &good)?;
    heyho(&world, &["forget", "gone.localhost"]).await?.expect(0)?;
    eventually(BOOT, "what stays arrives, and nothing else", async || {
        let visits = delivered(&world).await?;
        let mut urls: Vec<&str> = visits.iter().filter_map(|visit| visit["url"].as_str()).collect();
        urls.sort_unstable();
        ensure!(urls == [around.pages.url("stays", "a"), around.pages.url("stays", "b")], "{urls:?}");
        ensure!(outbox().await? == 0, "some wait");
        Ok(())
    })
    .await?;
    world.done();
    Ok(())
}
