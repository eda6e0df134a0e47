//! A real Chromium with the unpacked extension, driven as a person drives it: consent is a click on the
//! extension's own page, a visit is a navigation.
//!
//! The profile lies where Chromium keeps it by default in the world's home, so that `heyho browsers register`
//! finds it there as it does on a person's machine.

use crate::eventually::{BOOT, eventually};
use crate::webdriver::Driver;
use crate::world::{World, repository};
use anyhow::{Context, Result};
use fantoccini::Locator;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug)]
pub struct Chromium {
    driver: Driver,
}

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

impl Chromium {
    pub async fn start(world: &World) -> Result<Chromium> {
        let extension = repository("extension/dist/chromium").canonicalize().context("build extension/")?;
        let mut arguments = vec![
            format!("--user-data-dir={}", profile(world)?.display()),
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
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
        });
        let driver = Driver::start(world, "chromedriver", &[], capabilities).await?;
        Ok(Chromium { driver })
    }

    /// The click with which a person allows the extension to record.
    pub async fn consent(&self) -> Result<()> {
        self.driver.client.goto(&format!("{}consent.html", origin()?)).await?;
        self.driver.click("#consent-allow", BOOT).await?;
        eventually(BOOT, "the consent page says that it was heard", async || {
            let answer = self.driver.client.find(Locator::Id("answer")).await?;
            anyhow::ensure!(answer.is_displayed().await?, "no answer yet");
            Ok(())
        })
        .await
    }

    /// Opens an address in the tab that is in front, and waits until it is loaded.
    pub async fn visit(&self, url: &str) -> Result<()> {
        Ok(self.driver.client.goto(url).await?)
    }

    /// Opens a new tab and brings it to the front.
    pub async fn new_tab(&self) -> Result<()> {
        let tab = self.driver.client.new_window(true).await?;
        Ok(self.driver.client.switch_to_window(tab.handle).await?)
    }

    /// Closes the tab in front; the first one left comes to the front.
    pub async fn close_tab(&self) -> Result<()> {
        self.driver.client.close_window().await?;
        let left = self.driver.client.windows().await?;
        let first = left.into_iter().next().context("that was the last tab")?;
        Ok(self.driver.client.switch_to_window(first).await?)
    }

    /// Closes the browser as a person does.
    pub async fn quit(self) -> Result<()> {
        self.driver.close().await
    }
}
