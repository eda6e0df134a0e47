//! The app with its real window, driven by WebKitWebDriver: what is asserted is what a person reads, what is
//! done is clicked and typed.

use crate::eventually::{BOOT, SOON, eventually};
use crate::webdriver::Driver;
use crate::world::{World, built};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::Path;

#[derive(Debug)]
pub struct Window {
    driver: Driver,
}

/// A part of the window by its `data-testid`.
pub fn part(testid: &str) -> String {
    format!("[data-testid=\"{testid}\"]")
}

impl Window {
    /// Starts the app and waits for its window.
    pub async fn start(world: &World) -> Result<Window> {
        let app = built("heyho-companion")?;
        let capabilities = json!({"webkitgtk:browserOptions": {"binary": app, "args": []}});
        let environment = [("TAURI_WEBVIEW_AUTOMATION", "true")];
        let driver = Driver::start(world, "WebKitWebDriver", &environment, capabilities).await?;
        let window = Window { driver };
        window.driver.find(&part("status-sentence"), BOOT).await?;
        Ok(window)
    }

    pub async fn click(&self, testid: &str) -> Result<()> {
        self.driver.click(&part(testid), SOON).await
    }

    /// What stands in a part of the window now.
    pub async fn read(&self, testid: &str) -> Result<String> {
        self.driver.text(&part(testid)).await
    }

    /// Waits until a part of the window says what is wanted; gives what it says.
    pub async fn says(&self, testid: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        eventually(SOON, &format!("\"{testid}\" in the window"), async || {
            let text = self.read(testid).await?;
            ensure!(wanted(&text), "it says {text:?}");
            Ok(text)
        })
        .await
    }

    /// An attribute of a part of the window, once it has the wanted value.
    pub async fn shows(&self, testid: &str, attribute: &str, wanted: &str) -> Result<()> {
        eventually(SOON, &format!("\"{testid}\" with {attribute}={wanted}"), async || {
            let value = self.driver.find(&part(testid), SOON).await?.attr(attribute).await?;
            ensure!(value.as_deref() == Some(wanted), "{value:?}; {}", self.read("status-head").await?);
            Ok(())
        })
        .await
    }

    async fn fill(&self, testid: &str, text: &str) -> Result<()> {
        let field = self.driver.find(&part(testid), SOON).await?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }

    /// Makes an account in the sign-in form, as a person does at the first start.
    pub async fn register(&self, email: &str, password: &str) -> Result<()> {
        self.click("signin-mode-register").await?;
        self.fill("signin-email", email).await?;
        self.fill("signin-password", password).await?;
        self.click("signin-submit").await
    }

    /// Writes what the window shows now as a PNG.
    pub async fn screenshot(&self, path: &Path) -> Result<()> {
        let png = self.driver.client.screenshot().await?;
        std::fs::write(path, png).with_context(|| path.display().to_string())
    }

    /// Ends the app with its session, as the driver does it.
    pub async fn close(self) -> Result<()> {
        self.driver.close().await
    }
}
