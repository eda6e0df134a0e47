//! What a user wants kept private is in no file, no log and no request; what should be forgotten is.

use crate::parts::headless_at;
use crate::surfing::{around, around_these, delivered, extension_with, look, surfer};
use anyhow::{Context, Result, ensure};
use e2e::backend::Backend;
use e2e::browser::{Kind, Start, storage};
use e2e::companion::heyho;
use e2e::secrets;
use e2e::stays::Surfer;
use e2e::wire::Wire;
use e2e::{BOOT, SOON, World, eventually};
use std::path::{Path, PathBuf};

/// In the address and the title of a page of a site that is never stored; in the name of that site; in the query of a
/// page whose address is cut; in the name of a site that is not kept since a rule came during use; and in an address
/// that may be kept, which the scanner has to find.
const DROPPED: &str = "canary-dropped-5b1f9c7e2d";
const SITE: &str = "canary-site-3d7a1e9b40";
const LATER: &str = "canary-later-e28f5a6c13";
const STRIPPED: &str = "canary-stripped-8a0d3e6f41";
const PLANTED: &str = "canary-planted-c47e90b2a5";

const RULES: &str = r#"
[[privacy.rules]]
id = "r1"
match = "host"
pattern = "*.bank.localhost"
action = "drop"
"#;

/// What the user adds while the browser runs.
const MORE_RULES: &str = r#"
[[privacy.rules]]
id = "r2"
match = "host"
pattern = "shop.localhost"
action = "strip"

[[privacy.rules]]
id = "r3"
match = "host"
pattern = "*later*"
action = "drop"
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
    let backend = Backend::start(&world).await?;
    // Every request, whatever the backend makes of it.
    let wire = Wire::tap(backend.port(), &world.dir().join("wire")).await?;
    let around = around_these(&world, headless_at(&world, backend, &wire.url()).await?).await?;
    append(&world.config_home().join("heyho-companion/config.toml"), RULES)?;
    let mut surfer = surfer(&world, &Start { dist, ..Start::new(kind) }).await?;
    knows_the_rules(&surfer).await?;
    append(&world.config_home().join("heyho-companion/config.toml"), MORE_RULES)?;
    has_rules(&mut surfer, 3).await?;
    // Looked at for so long a page is written down while it is open; what may be kept is written down when it is left.
    let open = async |surfer: &mut Surfer, url: String| {
        surfer.browser.visit(&url).await?;
        look(2_000).await;
        Ok::<_, anyhow::Error>(())
    };
    let kept = around.pages.url("kept", PLANTED);
    surfer.browser.visit(&kept).await?;
    look(300).await;
    open(&mut surfer, around.pages.url(&format!("{SITE}.bank"), DROPPED)).await?;
    open(&mut surfer, around.pages.url(LATER, "new")).await?;
    // A tab that a dropped page opened, and a dropped page in a tab that a kept one opened.
    let after = around.pages.url("kept", "after");
    surfer.follow_in_new_tab(&after).await?;
    surfer.follow_in_new_tab(&around.pages.url(&format!("{SITE}.bank"), &format!("{DROPPED}/2"))).await?;
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

    let mut places = places(&world, kind)?;
    places.push(wire.sent().to_owned());
    let mut found = Vec::new();
    let mut planted = Vec::new();
    for place in &places {
        let mut findings =
            secrets::all_in_files(place, &[PLANTED, DROPPED, SITE, LATER, STRIPPED])?.into_iter();
        planted.extend(findings.next().unwrap_or_default());
        found.extend(findings.flatten());
    }
    for there in ["heyho-backend", "/wire/"] {
        let finds = planted.iter().any(|finding| finding.place.contains(there));
        ensure!(finds, "the scanner did not find what was there in {there}: {planted:?}");
    }
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

/// A rule that came during use is pushed: the extension has it without being connected anew.
async fn has_rules(surfer: &mut Surfer, count: usize) -> Result<()> {
    let known = "const db = await new Promise((go, no) => {
           const asked = indexedDB.open('heyho-companion');
           asked.onsuccess = () => go(asked.result);
           asked.onerror = () => no(asked.error);
         });
         const rules = await new Promise((go, no) => {
           const asked = db.transaction('meta').objectStore('meta').get('rules');
           asked.onsuccess = () => go(asked.result);
           asked.onerror = () => no(asked.error);
         });
         db.close();
         return (rules ?? []).length;";
    let deadline = std::time::Instant::now() + SOON;
    loop {
        let rules = surfer.browser.inside(known, vec![]).await?;
        if rules == count {
            return Ok(());
        }
        ensure!(std::time::Instant::now() < deadline, "{rules} rules, {count} expected");
        look(100).await;
    }
}

/// Everything that is ours: settings and state, buffer, backend, logs, and the extension's own storage. What the
/// browser itself remembers of a page is the browser's.
pub fn places(world: &World, kind: Kind) -> Result<Vec<PathBuf>> {
    let mut places = vec![
        world.config_home().join("heyho-companion"),
        world.data_home(),
        world.home().join(".local/state"),
        world.logs(),
        world.runtime(),
    ];
    let profile = world.config_home().join("chromium/Default");
    let storage = storage(world, kind);
    ensure!(storage.is_dir(), "{} is not there: where does the extension keep its own?", storage.display());
    places.push(storage);
    // `storage.local` and `storage.session`; Firefox has both in the place above.
    places.extend(["Local Extension Settings", "Session Storage"].map(|name| profile.join(name)));
    Ok(places.into_iter().filter(|place| place.exists()).collect())
}

pub fn append(file: &Path, text: &str) -> Result<()> {
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
