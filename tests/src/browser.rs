//! A real browser with the real extension, driven as a person drives it: consent is a click on the extension's
//! own page, a visit is a navigation. Chromium and Firefox behind one set of words; what differs is in
//! [`crate::chromium`] and [`crate::firefox`].
//!
//! A world with a display gets a window on it, one without is driven headless. One tab stays on the extension's
//! own page ([`Browser::inside`]): from there the extension's own interfaces are asked.

use crate::eventually::{BOOT, SOON, eventually};
use crate::process;
use crate::webdriver::Driver;
use crate::world::World;
use crate::{chromium, firefox};
use anyhow::{Context, Result, ensure};
use fantoccini::Locator;
use fantoccini::wd::WindowHandle;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Chromium,
    Firefox,
}

impl Kind {
    pub const BOTH: [Kind; 2] = [Kind::Chromium, Kind::Firefox];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Chromium => "Chromium",
            Kind::Firefox => "Firefox",
        }
    }
}

/// Which profile, which build of the extension, and whether the last session comes back.
#[derive(Debug, Clone)]
pub struct Start {
    pub kind: Kind,
    /// A name of the world's own; `None`: the profile a person would have.
    pub profile: Option<String>,
    pub restore: bool,
    /// Another build than `extension/dist`, such as one with a fault in it.
    pub dist: Option<PathBuf>,
}

impl Start {
    pub fn new(kind: Kind) -> Start {
        Start { kind, profile: None, restore: false, dist: None }
    }

    pub fn profile(self, name: &str) -> Start {
        Start { profile: Some(name.to_owned()), ..self }
    }

    pub fn restoring(self) -> Start {
        Start { restore: true, ..self }
    }

    pub fn built_in(self, dist: &Path) -> Start {
        Start { dist: Some(dist.to_owned()), ..self }
    }
}

/// Where the browser of that kind keeps the databases of its extensions, in the profile a person would have.
pub fn storage(world: &World, kind: Kind) -> PathBuf {
    match kind {
        Kind::Chromium => world.config_home().join("chromium/Default/IndexedDB"),
        Kind::Firefox => world.home().join(".mozilla/firefox/default/storage/default"),
    }
}

#[derive(Debug)]
pub struct Browser {
    pub kind: Kind,
    driver: Driver,
    world: PathBuf,
    /// In the command line of the browser's own process, and of no other browser's.
    mark: String,
    inside: Option<WindowHandle>,
}

impl Browser {
    pub async fn start(world: &World, start: &Start) -> Result<Browser> {
        let (driver, mark) = match start.kind {
            Kind::Chromium => chromium::start(world, start).await?,
            Kind::Firefox => firefox::start(world, start).await?,
        };
        let world = world.dir().to_owned();
        Ok(Browser { kind: start.kind, driver, world, mark, inside: None })
    }

    fn page(&self, name: &str) -> Result<String> {
        match self.kind {
            Kind::Chromium => Ok(format!("{}{name}", chromium::origin()?)),
            Kind::Firefox => Ok(format!("{}{name}", firefox::ORIGIN)),
        }
    }

    /// The click with which a person allows the extension to record.
    pub async fn consent(&self) -> Result<()> {
        self.answer("#consent-allow").await
    }

    /// A click on the consent page, in the tab that is in front.
    pub async fn answer(&self, button: &str) -> Result<()> {
        self.visit(&self.page("consent.html")?).await?;
        self.driver.click(button, BOOT).await?;
        eventually(BOOT, "the consent page says that it was heard", async || {
            let answer = self.driver.client.find(Locator::Id("answer")).await?;
            ensure!(answer.is_displayed().await?, "no answer yet");
            Ok(())
        })
        .await
    }

    /// Runs a script on a page of the extension's own, in a tab of its own, and comes back. The script is the
    /// body of an async function with `a`, its arguments.
    pub async fn inside(&mut self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        let client = &self.driver.client;
        let before = client.window().await?;
        match &self.inside {
            Some(handle) => client.switch_to_window(handle.clone()).await?,
            None => {
                let tab = client.new_window(true).await?;
                client.switch_to_window(tab.handle.clone()).await?;
                client.goto(&self.page("consent.html")?).await?;
                self.inside = Some(tab.handle);
            }
        }
        let wrapped = format!(
            "const a = [...arguments], done = a.pop();
             (async () => {{ {script} }})().then((ok) => done({{ ok }}), (e) => done({{ error: String(e) }}));"
        );
        let answer = client.execute_async(&wrapped, arguments).await;
        client.switch_to_window(before).await?;
        let answer = answer?;
        ensure!(answer["error"].is_null(), "{script}: {}", answer["error"]);
        Ok(answer["ok"].clone())
    }

    /// What the popup would show, in the words of its elements.
    pub async fn popup(&self, element: &str) -> Result<String> {
        let popup = self.page("popup.html")?;
        if self.driver.client.current_url().await?.as_str() != popup {
            self.visit(&popup).await?;
        }
        self.driver.text(element).await
    }

    pub async fn click(&self, css: &str) -> Result<()> {
        self.driver.click(css, SOON).await
    }

    /// Opens an address in the tab that is in front, and waits until it is loaded.
    pub async fn visit(&self, url: &str) -> Result<()> {
        Ok(self.driver.client.goto(url).await?)
    }

    pub async fn script(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        Ok(self.driver.client.execute(script, arguments).await?)
    }

    pub async fn back(&self) -> Result<()> {
        Ok(self.driver.client.back().await?)
    }

    pub async fn forward(&self) -> Result<()> {
        Ok(self.driver.client.forward().await?)
    }

    pub async fn reload(&self) -> Result<()> {
        Ok(self.driver.client.refresh().await?)
    }

    pub async fn address(&self) -> Result<String> {
        Ok(self.driver.client.current_url().await?.to_string())
    }

    pub async fn tab(&self) -> Result<WindowHandle> {
        Ok(self.driver.client.window().await?)
    }

    pub async fn tabs(&self) -> Result<Vec<WindowHandle>> {
        let all = self.driver.client.windows().await?;
        Ok(all.into_iter().filter(|tab| Some(tab) != self.inside.as_ref()).collect())
    }

    pub async fn switch(&self, tab: &WindowHandle) -> Result<()> {
        Ok(self.driver.client.switch_to_window(tab.clone()).await?)
    }

    /// Opens a new tab, or a window with one, and brings it to the front.
    pub async fn open(&self, window: bool) -> Result<WindowHandle> {
        let tab = self.driver.client.new_window(!window).await?;
        self.switch(&tab.handle).await?;
        Ok(tab.handle)
    }

    pub async fn new_tab(&self) -> Result<()> {
        self.open(false).await.map(drop)
    }

    /// Closes the tab in front; the first one left comes to the front.
    pub async fn close_tab(&self) -> Result<()> {
        self.driver.client.close_window().await?;
        let first = self.tabs().await?.into_iter().next().context("that was the last tab")?;
        self.switch(&first).await
    }

    /// Ends the extension's worker as the browser does when it was idle.
    pub async fn stop_worker(&self) -> Result<()> {
        match self.kind {
            Kind::Chromium => chromium::stop_worker(&self.driver).await,
            Kind::Firefox => firefox::stop_worker(&self.driver).await,
        }
    }

    /// A private window with that page in it, opened past the extension.
    pub async fn open_private(&mut self, url: &str) -> Result<()> {
        match self.kind {
            Kind::Chromium => {
                let script = "await chrome.windows.create({ incognito: true, url: a[0] });";
                self.inside(script, vec![json!(url)]).await.map(drop)
            }
            Kind::Firefox => firefox::open_private(&self.driver, url).await,
        }
    }

    /// Shows the page as narrow as the browser shows a popup, and as high as it is. Chromium only.
    pub async fn as_a_popup(&self, dark: bool) -> Result<()> {
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        chromium::cdp(&self.driver, "Emulation.setEmulatedMedia", media).await?;
        let size = "const page = document.querySelector('.page, .popup').getBoundingClientRect();
             return [document.querySelector('.popup') ? page.width : 720, Math.ceil(page.height)];";
        let size = self.script(size, vec![]).await?;
        let device = json!({"width": size[0], "height": size[1], "deviceScaleFactor": 2, "mobile": false});
        chromium::cdp(&self.driver, "Emulation.setDeviceMetricsOverride", device).await.map(drop)
    }

    /// As it was before.
    pub async fn as_a_tab(&self) -> Result<()> {
        chromium::cdp(&self.driver, "Emulation.clearDeviceMetricsOverride", json!({})).await?;
        let media = json!({"features": []});
        chromium::cdp(&self.driver, "Emulation.setEmulatedMedia", media).await.map(drop)
    }

    /// What axe finds wrong in the page that is in front.
    pub async fn axe(&self) -> Result<Vec<String>> {
        self.driver.axe().await
    }

    pub async fn picture(&self, to: &Path) -> Result<()> {
        Ok(std::fs::write(to, self.driver.client.screenshot().await?)?)
    }

    pub async fn size(&self, width: u32, height: u32) -> Result<()> {
        Ok(self.driver.client.set_window_size(width, height).await?)
    }

    /// Closes the browser as a person does.
    pub async fn quit(self) -> Result<()> {
        self.driver.close().await
    }

    /// SIGKILL to the browser's own process: what a crash does. Its helpers end with it.
    pub fn kill(self) -> Result<()> {
        let mut killed = 0;
        for (pid, line) in process::command_lines(&self.world)? {
            let line = String::from_utf8_lossy(&line).into_owned();
            let driver = line.split('\0').next().is_some_and(|program| program.ends_with("driver"));
            let helper = line.contains("--type=") || line.contains("-contentproc");
            if line.contains(&self.mark)
                && !driver
                && !helper
                && let Some(pid) = Pid::from_raw(pid)
            {
                kill_process(pid, Signal::KILL)?;
                killed += 1;
            }
        }
        ensure!(killed > 0, "no process with {} was there", self.mark);
        Ok(())
    }
}
