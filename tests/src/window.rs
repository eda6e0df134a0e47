//! The app with its real window, driven by WebKitWebDriver: what is asserted is what a person reads, what is
//! done is clicked and typed.

use crate::eventually::{BOOT, SOON, eventually};
use crate::process;
use crate::webdriver::Driver;
use crate::world::{World, built};
use anyhow::{Context, Result, ensure};
use fantoccini::Locator;
use serde_json::{Value, json};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Window {
    driver: Driver,
    /// Whose.
    world: PathBuf,
}

/// A part of the window by its `data-testid`.
pub fn part(testid: &str) -> String {
    format!("[data-testid=\"{testid}\"]")
}

/// Where the app of a world keeps its logs, and what it remembers of its window.
pub fn state_dir(world: &World) -> PathBuf {
    world.home().join(".local/state/heyho-companion")
}

impl Window {
    /// Starts the app for somebody who has used it before, and waits for its window.
    pub async fn start(world: &World) -> Result<Window> {
        let state = state_dir(world);
        std::fs::create_dir_all(&state)?;
        std::fs::write(state.join("window.json"), r#"{"welcomed":true}"#)?;
        let window = Window::start_first(world).await?;
        // The window is there before its agent.
        eventually(BOOT, "the agent's first word", async || {
            let state = window.driver.find(&part("status-head"), BOOT).await?.attr("data-state").await?;
            ensure!(state.is_some_and(|state| state != "connecting"), "it is connecting");
            Ok(())
        })
        .await?;
        Ok(window)
    }

    /// Starts the app as it is, whatever its window shows then.
    pub async fn start_first(world: &World) -> Result<Window> {
        let app = built("heyho-companion")?;
        let capabilities = json!({"webkitgtk:browserOptions": {"binary": app, "args": []}});
        let environment = [("TAURI_WEBVIEW_AUTOMATION", "true")];
        let driver = Driver::start(world, "WebKitWebDriver", &environment, capabilities).await?;
        driver.find("main h1", BOOT).await?;
        Ok(Window { driver, world: world.dir().to_owned() })
    }

    /// A click, as soon as it does something: a driver presses a button that is off without a word.
    pub async fn click(&self, testid: &str) -> Result<()> {
        let button = part(testid);
        eventually(SOON, &format!("\"{testid}\" that can be clicked"), async || {
            let element = self.driver.client.find(Locator::Css(&button)).await?;
            ensure!(element.is_enabled().await?, "it is off");
            // Its own words for why not are only in its debugging output.
            element.click().await.map_err(|error| anyhow::anyhow!("{error:?}"))
        })
        .await
    }

    /// A click that is asked about first, and the yes. Where a list is drawn anew under the click it reaches
    /// nothing, and is made again.
    pub async fn click_and_confirm(&self, testid: &str) -> Result<()> {
        eventually(SOON, &format!("\"{testid}\" and its question"), async || {
            if self.count("confirm").await? == 0 {
                let element = self.driver.client.find(Locator::Css(&part(testid))).await?;
                element.click().await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
            }
            ensure!(self.count("confirm").await? > 0, "nothing is asked");
            Ok(())
        })
        .await?;
        self.click("confirm").await
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

    /// Waits until a part of the window is there, or is not.
    pub async fn has(&self, testid: &str, wanted: bool) -> Result<()> {
        eventually(SOON, &format!("\"{testid}\" in the window: {wanted}"), async || {
            ensure!((self.count(testid).await? > 0) == wanted);
            Ok(())
        })
        .await
    }

    /// How many parts of that name are in the document.
    pub async fn count(&self, testid: &str) -> Result<usize> {
        Ok(self.driver.client.find_all(Locator::Css(&part(testid))).await?.len())
    }

    /// What an expression in the page comes to.
    pub async fn value(&self, expression: &str) -> Result<Value> {
        Ok(self.driver.client.execute(&format!("return {expression};"), Vec::new()).await?)
    }

    /// Whatever the page may ask for, in whatever state, and its answers; what stands in it, is typed in it and is kept by it.
    pub async fn all_it_knows(&self) -> Result<Vec<String>> {
        const ASKED: &str = "
            const done = arguments[0], list = {after: 0, limit: 50};
            const asked = {
                about: {}, status: {}, browsers: {}, settings: {}, delivered: {}, timeline: {}, diagnostics: {},
                history: {limit: 50}, start_at_login: {on: null}, restart: {},
                failed_list: {...list, reason: null}, waiting_list: {...list, search: null}, failed_show: {number: 99},
                set_setting: {key: 'sync.interval', value: 'soon'},
                add_rule: {rule: {id: '', match: 'host', pattern: 'a', action: 'drop'}},
                remove_rule: {rule: {id: 'none', match: 'host', pattern: 'a', action: 'drop'}},
                test_backend: {url: 'http://127.0.0.1:1'}, discard_account: {account: 'nobody'},
                register_browser: {browser: 'none'}, export_records: {failed: false, account: null},
            };
            const ask = ([name, given]) => window.__TAURI_INTERNALS__.invoke(name, given).then(
                (answer) => name + ': ' + JSON.stringify(answer),
                (fault) => name + ' is refused: ' + JSON.stringify(fault));
            const typed = () => [...document.querySelectorAll('input, textarea, select')].map((field) => field.value);
            const kept = [{...localStorage}, {...sessionStorage}, document.cookie];
            Promise.all(Object.entries(asked).map(ask)).then((said) => done([
                ...said, location.href, document.documentElement.outerHTML, JSON.stringify([typed(), kept])]));";
        let said = self.driver.client.execute_async(ASKED, Vec::new()).await?;
        let said: Vec<String> = serde_json::from_value(said)?;
        ensure!(said.len() > 15 && said[0].starts_with("about: {"), "{said:?}");
        Ok(said)
    }

    /// In all of that nothing says where things lie on this computer.
    pub async fn names_no_folder(&self) -> Result<()> {
        let said = self.all_it_knows().await?;
        let folder = self.world.display().to_string();
        let names: Vec<&String> = said.iter().filter(|text| text.contains(&folder)).collect();
        ensure!(names.is_empty(), "{folder} is named: {names:#?}");
        Ok(())
    }

    /// Keys for whatever has the focus. It may be drawn anew between the question and the keys: they have reached
    /// nothing then, and go to what has the focus now.
    pub async fn keys(&self, keys: &str) -> Result<()> {
        eventually(SOON, "something that takes keys", async || {
            Ok(self.driver.client.active_element().await?.send_keys(keys).await?)
        })
        .await
    }

    /// The `data-testid` of what has the focus.
    pub async fn focused(&self) -> Result<String> {
        let testid = self.value("document.activeElement.dataset.testid ?? document.activeElement.id").await?;
        Ok(testid.as_str().unwrap_or_default().to_owned())
    }

    /// Chooses in a list of few values. (A driver cannot click in WebKit's own pop-up.)
    pub async fn choose(&self, testid: &str, value: &str) -> Result<()> {
        self.driver.find(&part(testid), SOON).await?;
        let script = "const list = document.querySelector(arguments[0]); list.value = arguments[1];
             list.dispatchEvent(new Event('change', {bubbles: true}));";
        self.driver.client.execute(script, vec![json!(part(testid)), json!(value)]).await?;
        Ok(())
    }

    /// Scrolls until a part of the window is in its middle, not under the tabs, which stay at the top.
    pub async fn bring(&self, testid: &str) -> Result<()> {
        self.driver.find(&part(testid), SOON).await?;
        let script = "document.querySelector(arguments[0]).scrollIntoView({block: 'center'})";
        self.driver.client.execute(script, vec![json!(part(testid))]).await.map(drop)?;
        Ok(())
    }

    /// What axe finds wrong in the window as it is: with all of its rules, each finding a line.
    pub async fn axe(&self) -> Result<Vec<String>> {
        self.driver.axe().await
    }

    /// The same in the other colours of the two, as the style sheet has them, and then as it was.
    pub async fn axe_in_other_colours(&self) -> Result<Vec<String>> {
        const TURN: &str = "(() => {
            const ground = () => getComputedStyle(document.documentElement).backgroundColor;
            const before = ground();
            if (window.colours) {
                for (const [media, text] of window.colours) media.mediaText = text;
                document.documentElement.style.colorScheme = '';
                delete window.colours;
            } else {
                const dark = matchMedia('(prefers-color-scheme: dark)').matches;
                const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]);
                window.colours = rules.filter((rule) => rule.media?.mediaText.includes('prefers-color-scheme'))
                    .map((rule) => [rule.media, rule.media.mediaText]);
                for (const [media] of window.colours) media.mediaText = dark ? 'not all' : 'all';
                document.documentElement.style.colorScheme = dark ? 'light' : 'dark';
            }
            const turned = ground() !== before;
            // A colour on its way to another is judged by neither.
            for (const one of document.getAnimations()) if (one instanceof CSSTransition) one.finish();
            return turned;
        })()";
        ensure!(self.value(TURN).await? == true, "the colours are the same");
        let found = self.axe().await?;
        ensure!(self.value(TURN).await? == true, "the colours are not as they were");
        Ok(found)
    }

    pub async fn fill(&self, testid: &str, text: &str) -> Result<()> {
        let field = self.driver.find(&part(testid), SOON).await?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }

    /// Makes an account in the sign-in form, as a person does at the first start.
    pub async fn register(&self, email: &str, password: &str) -> Result<()> {
        // Not under the tabs, which stay at the top of a page that is scrolled.
        self.bring("signin-mode-register").await?;
        self.click("signin-mode-register").await?;
        self.fill("signin-email", email).await?;
        self.fill("signin-password", password).await?;
        self.click("signin-submit").await
    }

    /// Waits until what the page says is also what it shows.
    pub async fn painted(&self) -> Result<()> {
        let script = "const done = arguments[0];
             requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0)));";
        self.driver.client.execute_async(script, Vec::new()).await?;
        Ok(())
    }

    /// Writes what the window shows now as a PNG.
    pub async fn screenshot(&self, path: &Path) -> Result<()> {
        let png = self.driver.client.screenshot().await?;
        std::fs::write(path, png).with_context(|| path.display().to_string())
    }

    /// Ends the app with its session, as the driver does it, and waits until it has ended: a start beside one
    /// that is dying hands over to it, and ends.
    pub async fn close(self) -> Result<()> {
        let running = self.running()?;
        self.driver.client.clone().close().await?;
        gone(&running).await
    }

    /// Ends the app as a person does: the driver leaves it no time to note how large its window was.
    pub async fn quit(self, world: &World) -> Result<()> {
        let running = self.running()?;
        let mut command = world.program("heyho-companion")?;
        command.arg("--quit");
        let mut quitting = world.start("quit", command)?;
        ensure!(quitting.ended().await?.success());
        gone(&running).await
    }

    fn running(&self) -> Result<Vec<i32>> {
        let app = built("heyho-companion")?;
        let app = app.as_os_str().as_bytes();
        let all = process::command_lines(&self.world)?;
        let running: Vec<i32> =
            all.into_iter().filter(|(_, line)| line.starts_with(app)).map(|(pid, _)| pid).collect();
        ensure!(!running.is_empty(), "the app does not run any more");
        Ok(running)
    }
}

async fn gone(running: &[i32]) -> Result<()> {
    eventually(SOON, "the end of the app", async || {
        ensure!(running.iter().all(|pid| process::has_ended(*pid)), "{running:?} go on");
        Ok(())
    })
    .await
}
