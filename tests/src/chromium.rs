//! What is Chromium's own in [`crate::browser`]: how it is started, and how its worker is ended.
//!
//! The profile lies where Chromium keeps it by default in the world's home, so that `heyho browsers register`
//! finds it there as it does on a person's machine. One in another place is given the same manifests.

use crate::browser::Start;
use crate::webdriver::Driver;
use crate::world::{World, repository};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Chromium's folder in a world, made before a registration looks for it.
pub fn profile(world: &World) -> Result<PathBuf> {
    let dir = world.config_home().join("chromium");
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// The id that the manifest's key gives the unpacked extension.
pub fn extension_id() -> Result<String> {
    let path = repository("extension/ids.json");
    let ids: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    let id = ids["chromium"][0].as_str().context("no id for Chromium")?;
    Ok(id.to_owned())
}

/// How Chromium names the extension to the host.
pub fn origin() -> Result<String> {
    Ok(format!("chrome-extension://{}/", extension_id()?))
}

pub(crate) async fn start(world: &World, start: &Start) -> Result<(Driver, String)> {
    let dist = start.dist.clone().unwrap_or_else(|| repository("extension/dist"));
    let extension = dist.join("chromium").canonicalize().context("build extension/")?;
    let profile = match &start.profile {
        None => profile(world)?,
        Some(name) => elsewhere(world, name)?,
    };
    let mark = format!("--user-data-dir={}", profile.display());
    let mut arguments = vec![
        mark.clone(),
        format!("--load-extension={}", extension.display()),
        // Debian's Chromium loads an unpacked extension from the command line only without this feature.
        "--disable-features=DisableLoadExtensionCommandLineSwitch".to_owned(),
    ];
    // As root, in containers and without a graphics card; and nothing is asked of the network outside.
    for switch in [
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "no-first-run",
        "disable-quic",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "no-default-browser-check",
    ] {
        arguments.push(format!("--{switch}"));
    }
    if world.variable("DISPLAY").is_none() {
        arguments.push("--headless=new".to_owned());
    }
    if start.restore {
        arguments.push("--restore-last-session".to_owned());
    }
    let capabilities = json!({
        "browserName": "chrome",
        "goog:chromeOptions": {"args": arguments},
    });
    Ok((Driver::start(world, "chromedriver", &[], capabilities).await?, mark))
}

/// With a data directory of its own, Chromium reads the manifests there.
fn elsewhere(world: &World, name: &str) -> Result<PathBuf> {
    let dir = world.home().join("chromium-profiles").join(name);
    std::fs::create_dir_all(&dir)?;
    let hosts = dir.join("NativeMessagingHosts");
    if !hosts.exists() {
        std::os::unix::fs::symlink(profile(world)?.join("NativeMessagingHosts"), hosts)?;
    }
    Ok(dir)
}

pub(crate) async fn stop_worker(driver: &Driver) -> Result<()> {
    let targets = cdp(driver, "Target.getTargets", json!({})).await?;
    for target in targets["targetInfos"].as_array().into_iter().flatten() {
        if target["type"] == "service_worker" {
            // It may have ended by itself since the list was made.
            cdp(driver, "Target.closeTarget", json!({"targetId": target["targetId"]})).await.ok();
        }
    }
    Ok(())
}

/// A command of the DevTools protocol.
pub(crate) async fn cdp(driver: &Driver, command: &str, parameters: Value) -> Result<Value> {
    driver.vendor("goog/cdp/execute", &json!({"cmd": command, "params": parameters})).await
}
