//! What is Firefox's own in [`crate::browser`]: how it is started with the extension in it, and what has to be
//! asked of the browser itself because no page may.
//!
//! The extension is installed by the driver, for good, and unsigned: ESR allows that with a preference. Its
//! internal address is a preference too, so that its pages can be opened.

use crate::browser::Start;
use crate::webdriver::Driver;
use crate::world::{World, repository};
use anyhow::{Context, Result};
use base64::Engine;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub const ID: &str = "companion@heyho.app";
const UUID: &str = "3f2b8c1e-5a7d-4e6f-9b0a-1c2d3e4f5a6b";
pub const ORIGIN: &str = "moz-extension://3f2b8c1e-5a7d-4e6f-9b0a-1c2d3e4f5a6b/";

pub(crate) async fn start(world: &World, start: &Start) -> Result<(Driver, String)> {
    let name = start.profile.as_deref().unwrap_or("default");
    let profile = world.home().join(".mozilla/firefox").join(name);
    let fresh = !profile.exists();
    std::fs::create_dir_all(&profile)?;
    let mark = profile.display().to_string();
    let mut arguments = vec!["-profile".to_owned(), mark.clone()];
    if world.variable("DISPLAY").is_none() {
        arguments.push("-headless".to_owned());
    }
    let capabilities = json!({
        "browserName": "firefox",
        "moz:firefoxOptions": {
            "binary": program(),
            "args": arguments,
            "prefs": {
                "extensions.webextensions.uuids": json!({ID: UUID}).to_string(),
                "xpinstall.signatures.required": false,
                "browser.startup.page": if start.restore { 3 } else { 0 },
                "browser.sessionstore.resume_from_crash": start.restore,
                "browser.sessionstore.max_resumed_crashes": 100,
                // Written soon, so that a crash leaves something to restore.
                "browser.sessionstore.interval": 500,
                "toolkit.startup.max_resumed_crashes": -1,
            },
        },
    });
    let driver = driver_program()?;
    let driver = Driver::start_with(world, &driver, &["--allow-system-access"], &[], capabilities).await?;
    if fresh {
        let dist = start.dist.clone().unwrap_or_else(|| repository("extension/dist"));
        let zipped = zipped(&dist.join("firefox"))?;
        let addon = base64::engine::general_purpose::STANDARD.encode(zipped);
        driver.vendor("moz/addon/install", &json!({"addon": addon, "temporary": false})).await?;
    }
    Ok((driver, mark))
}

fn program() -> &'static str {
    match Path::new("/usr/bin/firefox-esr").exists() {
        true => "/usr/bin/firefox-esr",
        false => "firefox",
    }
}

/// Where `cargo xtask test` builds it: in `tools` beside the profile's directory; else on the path.
fn driver_program() -> Result<PathBuf> {
    let mut dir = std::env::current_exe()?;
    while dir.pop() {
        let built = dir.join("tools/bin/geckodriver");
        if built.is_file() {
            return Ok(built);
        }
    }
    Ok(PathBuf::from("geckodriver"))
}

/// The folder as an archive without compression: what an extension's file is.
fn zipped(dir: &Path) -> Result<Vec<u8>> {
    let mut files = Vec::new();
    collect(dir, dir, &mut files)?;
    crate::zip::stored(&files)
}

/// Every file below, by its name there.
pub(crate) fn collect(at: &Path, base: &Path, files: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for entry in std::fs::read_dir(at).with_context(|| format!("{}: build extension/", at.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, base, files)?;
        } else {
            files.push((path.strip_prefix(base)?.display().to_string(), std::fs::read(&path)?));
        }
    }
    Ok(())
}

pub(crate) async fn stop_worker(driver: &Driver) -> Result<()> {
    let script = format!(
        "const done = arguments[0];
         const {{ extension }} = WebExtensionPolicy.getByID('{ID}');
         extension.terminateBackground({{ ignoreDevToolsAttached: true, disableResetIdleForTest: true }})
           .then(() => done(true), (e) => done(String(e)));"
    );
    let answer = privileged(driver, &script, vec![]).await?;
    anyhow::ensure!(answer == json!(true), "{answer}");
    Ok(())
}

pub(crate) async fn open_private(driver: &Driver, url: &str) -> Result<()> {
    let script = "const [url, done] = arguments;
        const from = Services.wm.getMostRecentWindow('navigator:browser');
        const window = from.OpenBrowserWindow({ private: true });
        window.addEventListener('load', () => {
          const browser = window.gBrowser.selectedBrowser;
          browser.fixupAndLoadURIString(url, { triggeringPrincipal: Services.scriptSecurityManager.getSystemPrincipal() });
          done(true);
        }, { once: true });";
    privileged(driver, script, vec![json!(url)]).await.map(drop)
}

/// Runs a script with the browser's own rights.
async fn privileged(driver: &Driver, script: &str, arguments: Vec<Value>) -> Result<Value> {
    driver.vendor("moz/context", &json!({"context": "chrome"})).await?;
    let answer = driver.client.execute_async(script, arguments).await;
    driver.vendor("moz/context", &json!({"context": "content"})).await?;
    Ok(answer?)
}
