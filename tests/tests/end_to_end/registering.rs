//! What stays of a registration: mended at each start, never against the user's wish, and the browser named rightly.

use crate::parts::{headless, visits};
use anyhow::{Context, Result, ensure};
use e2e::companion::{self, heyho};
use e2e::host::Host;
use e2e::{SOON, World, eventually, firefox};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const MANIFEST: &str = "NativeMessagingHosts/com.heyho.companion.json";

/// The manifests of two browsers in a world, the second one's browser not there yet.
fn manifests(world: &World) -> (PathBuf, PathBuf) {
    (world.config_home().join("chromium").join(MANIFEST), world.config_home().join("vivaldi").join(MANIFEST))
}

fn path_in(manifest: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(manifest).with_context(|| manifest.display().to_string())?;
    Ok(serde_json::from_str::<Value>(&text)?["path"].clone())
}

/// As an update or a move leaves it behind: written by the same product, for another place.
async fn registered_elsewhere(world: &World) -> Result<()> {
    let elsewhere = world.home().join("old-version");
    std::fs::create_dir_all(&elsewhere)?;
    for program in ["heyho", "heyho-host"] {
        std::fs::copy(e2e::world::built(program)?, elsewhere.join(program))?;
    }
    let mut command = world.command(elsewhere.join("heyho"));
    let register = command.args(["browsers", "register"]).output().await?;
    ensure!(register.status.success(), "{register:?}");
    Ok(())
}

#[tokio::test]
async fn each_start_mends_the_registration_and_finds_new_browsers() -> Result<()> {
    let world = World::new()?;
    let (chromium, vivaldi) = manifests(&world);
    companion::configure(&world, "http://127.0.0.1:9", companion::Tokens::File)?;
    e2e::chromium::profile(&world)?;

    // Nothing is written before somebody has said yes.
    companion::start_agent(&world).await?.kill().await?;
    ensure!(!chromium.exists(), "registered without being asked");

    registered_elsewhere(&world).await?;
    let before = path_in(&chromium)?;
    std::fs::create_dir_all(world.config_home().join("vivaldi/Default"))?;
    companion::start_agent(&world).await?.kill().await?;
    let mended = path_in(&chromium)?;
    ensure!(before != mended && mended == path_in(&vivaldi)?, "{before}, then {mended}");
    let rows = heyho(&world, &["browsers", "list", "--json"]).await?.expect(0)?.json()?;
    let registered = |row: &Value| row["state"] == "registered";
    ensure!(
        rows.as_array().is_some_and(|rows| rows.iter().filter(|row| registered(row)).count() >= 2),
        "{rows}"
    );
    world.done();
    Ok(())
}

#[tokio::test]
async fn what_the_user_does_not_want_registered_stays_as_it_is() -> Result<()> {
    let world = World::new()?;
    let (chromium, vivaldi) = manifests(&world);
    companion::configure(&world, "http://127.0.0.1:9", companion::Tokens::File)?;
    e2e::chromium::profile(&world)?;
    std::fs::create_dir_all(world.config_home().join("vivaldi/Default"))?;
    registered_elsewhere(&world).await?;

    // One browser is left out by name.
    let old = path_in(&vivaldi)?;
    heyho(&world, &["config", "set", "browsers.skip", "[\"vivaldi\"]"]).await?.expect(0)?;
    companion::start_agent(&world).await?.kill().await?;
    ensure!(path_in(&vivaldi)? == old && path_in(&chromium)? != old, "skip is not honoured");

    // All of them.
    registered_elsewhere(&world).await?;
    heyho(&world, &["config", "set", "browsers.register", "false"]).await?.expect(0)?;
    std::fs::remove_file(&vivaldi)?;
    let old = path_in(&chromium)?;
    companion::start_agent(&world).await?.kill().await?;
    ensure!(path_in(&chromium)? == old && !vivaldi.exists(), "register = false is not honoured");
    world.done();
    Ok(())
}

/// Zen says that it is Firefox, and reads Firefox's manifest: the program that starts the host tells them apart.
#[tokio::test]
async fn a_browser_that_calls_itself_firefox_is_listed_under_its_own_name() -> Result<()> {
    let world = World::new()?;
    let _parts = headless(&world).await?;
    let zen = world.home().join("zen");
    std::fs::copy("/bin/sh", &zen)?;
    let mut command = world.command(&zen);
    // More than one command, so that the shell stays the parent.
    command.args(["-c", "\"$0\" \"$@\"; exit $?"]).arg(e2e::world::built("heyho-host")?);
    command.args(["/usr/lib/mozilla/native-messaging-hosts/com.heyho.companion.json", firefox::ID]);
    let mut host = Host::started_by(&world, command)?;
    let client = json!({"name": "end-to-end", "version": "1", "browser": "Firefox", "profileId": "p"});
    host.ask(&json!({"type": "hello", "protocol": 1, "client": client})).await?;
    let answer = host.ask(&json!({"type": "records", "id": "r", "pageVisits": visits(0..1)})).await?;
    ensure!(answer["stored"] == 1, "{answer}");
    eventually(SOON, "the browser is named and connected", async || {
        let status = companion::status(&world).await?;
        let browser = &status["browsers"][0];
        ensure!(browser["name"] == "Zen" && browser["connected"] == true, "{status}");
        Ok(())
    })
    .await?;
    // Who forgets a site hears which browser could not be told, once it is closed.
    let reached = heyho(&world, &["forget", "nowhere.example"]).await?.expect(0)?;
    ensure!(!reached.out.contains("Not reached"), "{reached:?}");
    host.hang_up().await?;
    eventually(SOON, "the answer names the closed browser", async || {
        let forgotten = heyho(&world, &["forget", "nowhere.example"]).await?.expect(0)?;
        ensure!(forgotten.out.contains("Not reached: Zen."), "{forgotten:?}");
        Ok(())
    })
    .await?;
    world.done();
    Ok(())
}
