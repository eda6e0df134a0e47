//! What a person did in a browser, written down beside it, and compared with the records at the backend.
//!
//! A *stay* is one continuous time on one page in one tab; when it began and ended is known as a span: between
//! before the browser was told and after it said that it was done. A record is right when it has the stay's
//! address, the page's title, the stay before it whose page opened the tab, and a duration within a second of
//! what the spans allow. Nothing here asks the extension anything.

use crate::browser::Browser;
use crate::eventually::{SOON, eventually};
use anyhow::{Context, Result, ensure};
use fantoccini::wd::WindowHandle;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// How far a duration may be off beyond what the spans allow.
const OFF: Duration = Duration::from_secs(1);
/// After a crash a stay ends at the last beat before it, or at the beat the browser's end prevented.
const BEAT: Duration = Duration::from_secs(31);

#[derive(Debug, Clone, Copy)]
pub struct Span {
    before: Duration,
    after: Duration,
}

#[derive(Debug, Clone)]
pub struct Stay {
    pub url: String,
    from: Span,
    to: Option<Span>,
    /// The stay whose page opened this tab.
    opener: Option<usize>,
}

/// All stays of a test, over browsers and their restarts.
#[derive(Debug)]
pub struct Log {
    start: Instant,
    pub stays: Vec<Stay>,
}

impl Default for Log {
    fn default() -> Log {
        Log { start: Instant::now(), stays: Vec::new() }
    }
}

#[derive(Debug)]
pub struct Tab {
    pub handle: WindowHandle,
    open: Option<usize>,
    history: Vec<String>,
}

/// A person at a browser.
#[derive(Debug)]
pub struct Surfer {
    pub browser: Browser,
    pub log: Log,
    pub tabs: Vec<Tab>,
    pub front: usize,
}

impl Surfer {
    pub async fn at(browser: Browser, log: Log) -> Result<Surfer> {
        let handle = browser.tab().await?;
        let tabs = vec![Tab { handle, open: None, history: Vec::new() }];
        Ok(Surfer { browser, log, tabs, front: 0 })
    }

    fn now(&self) -> Duration {
        self.log.start.elapsed()
    }

    fn span_since(&self, before: Duration) -> Span {
        Span { before, after: self.now() }
    }

    pub fn here(&self) -> Option<&Stay> {
        self.tabs[self.front].open.map(|stay| &self.log.stays[stay])
    }

    /// The tab in front is on another page now.
    fn arrived(&mut self, url: &str, when: Span) {
        self.left(self.front, when);
        self.log.stays.push(Stay { url: url.to_owned(), from: when, to: None, opener: None });
        self.tabs[self.front].open = Some(self.log.stays.len() - 1);
        self.tabs[self.front].history.push(url.to_owned());
    }

    fn left(&mut self, tab: usize, when: Span) {
        if let Some(stay) = self.tabs[tab].open.take() {
            self.log.stays[stay].to = Some(when);
        }
    }

    pub async fn go(&mut self, url: &str) -> Result<()> {
        let before = self.now();
        self.browser.visit(url).await?;
        let when = self.span_since(before);
        self.arrived(url, when);
        Ok(())
    }

    /// Somewhere that is no page.
    pub async fn go_away(&mut self) -> Result<()> {
        let before = self.now();
        self.browser.visit("about:blank").await?;
        let when = self.span_since(before);
        self.left(self.front, when);
        Ok(())
    }

    /// An address under which no page is: the stay ends all the same.
    pub async fn go_wrong(&mut self, url: &str) -> Result<()> {
        let before = self.now();
        // Drivers differ in whether that is an error.
        self.browser.visit(url).await.ok();
        let when = self.span_since(before);
        self.left(self.front, when);
        Ok(())
    }

    /// An address after which the browser stays where it is.
    pub async fn go_nowhere(&mut self, url: &str) -> Result<()> {
        self.browser.script("document.getElementById('l').href = arguments[0]", vec![json!(url)]).await?;
        self.browser.click("#l").await
    }

    /// An address that leads to others before one stays: each page passed through is a stay of its own.
    pub async fn go_through(&mut self, url: &str, through: &[&str], to: &str) -> Result<()> {
        let before = self.now();
        self.browser.visit(url).await?;
        self.wait_for(to).await?;
        let when = self.span_since(before);
        for page in through {
            self.arrived(page, when);
        }
        self.arrived(to, when);
        Ok(())
    }

    async fn wait_for(&self, url: &str) -> Result<()> {
        eventually(SOON, &format!("the browser is at {url}"), async || {
            let address = self.browser.address().await?;
            ensure!(address == url, "{address}");
            Ok(())
        })
        .await
    }

    /// A click on a link.
    pub async fn follow(&mut self, url: &str) -> Result<()> {
        self.browser.script("document.getElementById('l').href = arguments[0]", vec![json!(url)]).await?;
        let before = self.now();
        self.browser.click("#l").await?;
        self.wait_for(url).await?;
        let when = self.span_since(before);
        self.arrived(url, when);
        Ok(())
    }

    /// A click on an element that leads to `url`. A page that was rendered ahead comes with a handle of its own.
    pub async fn click(&mut self, css: &str, url: &str) -> Result<()> {
        let before = self.now();
        self.browser.click(css).await?;
        self.wait_for(url).await?;
        let when = self.span_since(before);
        self.arrived(url, when);
        let known: Vec<WindowHandle> = self.tabs.iter().map(|tab| tab.handle.clone()).collect();
        let all = self.browser.tabs().await?;
        if !all.contains(&self.tabs[self.front].handle) {
            let handle =
                all.into_iter().find(|tab| !known.contains(tab)).context("the tab is still there")?;
            self.browser.switch(&handle).await?;
            self.tabs[self.front].handle = handle;
        }
        Ok(())
    }

    /// A click on a link that opens a tab, and a look at it.
    pub async fn follow_in_new_tab(&mut self, url: &str) -> Result<()> {
        let opener = self.tabs[self.front].open;
        self.browser.script("document.getElementById('b').href = arguments[0]", vec![json!(url)]).await?;
        let known = self.browser.tabs().await?;
        let before = self.now();
        self.browser.click("#b").await?;
        let handle = self.new_handle(&known).await?;
        self.add(handle).await?;
        self.wait_for(url).await?;
        let when = self.span_since(before);
        self.arrived(url, when);
        if let Some(stay) = self.log.stays.last_mut() {
            stay.opener = opener;
        }
        Ok(())
    }

    async fn new_handle(&self, known: &[WindowHandle]) -> Result<WindowHandle> {
        eventually(SOON, "a new tab", async || {
            let all = self.browser.tabs().await?;
            all.into_iter().find(|tab| !known.contains(tab)).context("none yet")
        })
        .await
    }

    async fn add(&mut self, handle: WindowHandle) -> Result<()> {
        self.browser.switch(&handle).await?;
        self.tabs.push(Tab { handle, open: None, history: Vec::new() });
        self.front = self.tabs.len() - 1;
        Ok(())
    }

    /// A tab that shows `url` came up by itself: a duplicate, a restored one.
    pub async fn found(&mut self, known: &[WindowHandle], url: &str, before: Duration) -> Result<()> {
        let handle = self.new_handle(known).await?;
        self.add(handle).await?;
        self.wait_for(url).await?;
        let when = self.span_since(before);
        self.arrived(url, when);
        Ok(())
    }

    pub async fn open_tab(&mut self, window: bool) -> Result<()> {
        let handle = self.browser.open(window).await?;
        self.add(handle).await
    }

    pub async fn switch(&mut self, tab: usize) -> Result<()> {
        self.front = tab;
        let at = || format!("the tab with {:?}", self.tabs[tab].history.last());
        self.browser.switch(&self.tabs[tab].handle).await.with_context(at)
    }

    /// Closes the tab in front, and looks at another.
    pub async fn close(&mut self, next: usize) -> Result<()> {
        let before = self.now();
        self.browser.close_tab().await?;
        let when = self.span_since(before);
        self.left(self.front, when);
        self.tabs.remove(self.front);
        self.switch(next.min(self.tabs.len() - 1)).await
    }

    /// A page of a single-page application.
    pub async fn push(&mut self, url: &str) -> Result<()> {
        let before = self.now();
        self.browser.script("history.pushState({}, '', arguments[0])", vec![json!(url)]).await?;
        let when = self.span_since(before);
        self.arrived(url, when);
        Ok(())
    }

    /// A place on the page: the same stay.
    pub async fn jump(&mut self, place: &str) -> Result<()> {
        self.browser.script("history.replaceState({}, '', arguments[0])", vec![json!(place)]).await.map(drop)
    }

    /// The same stay.
    pub async fn reload(&mut self) -> Result<()> {
        self.browser.reload().await
    }

    /// To the page before, which is a stay of its own. False where there is none.
    pub async fn back(&mut self) -> Result<bool> {
        let history = &mut self.tabs[self.front].history;
        if history.len() < 2 {
            return Ok(false);
        }
        history.pop();
        let url = history.pop().context("two or more")?;
        let before = self.now();
        self.browser.back().await?;
        let when = self.span_since(before);
        self.arrived(&url, when);
        Ok(true)
    }

    pub async fn forward(&mut self, url: &str) -> Result<()> {
        let before = self.now();
        self.browser.forward().await?;
        let when = self.span_since(before);
        self.arrived(url, when);
        Ok(())
    }

    /// Everything that is open ends, page by page.
    pub async fn leave_all(&mut self) -> Result<()> {
        for tab in 0..self.tabs.len() {
            self.switch(tab).await?;
            self.go_away().await?;
        }
        Ok(())
    }

    /// The browser is closed by its user: what is open ends then, or at the last beat.
    pub async fn quit(mut self) -> Result<Log> {
        let before = self.now();
        self.browser.quit().await?;
        let when = Span { before, after: self.log.start.elapsed() };
        end_at_a_beat(&mut self.log, &mut self.tabs, when);
        Ok(self.log)
    }

    pub fn kill(mut self) -> Result<Log> {
        let before = self.now();
        self.browser.kill()?;
        let when = Span { before, after: self.log.start.elapsed() };
        end_at_a_beat(&mut self.log, &mut self.tabs, when);
        Ok(self.log)
    }

    /// The browser has brought back that page, in whatever tab.
    pub async fn comes_back(&mut self, url: &str) -> Result<()> {
        let handle = eventually(SOON, &format!("{url} is back"), async || {
            let mut seen = Vec::new();
            for tab in self.browser.tabs().await? {
                self.browser.switch(&tab).await?;
                let address = self.browser.address().await?;
                if address == url {
                    return Ok(tab);
                }
                seen.push(address);
            }
            anyhow::bail!("{seen:?}")
        })
        .await?;
        self.add(handle).await?;
        // It was there before anybody looked.
        self.arrived(url, Span { before: Duration::ZERO, after: self.now() });
        Ok(())
    }

    /// For a stay that begins or ends in a way of its own.
    pub fn clock(&self) -> Duration {
        self.now()
    }

    /// Since then nobody looks any more: whatever is open has ended, though its tab stays.
    pub fn all_ended(&mut self, before: Duration) {
        let when = self.span_since(before);
        (0..self.tabs.len()).for_each(|tab| self.left(tab, when));
    }

    /// Since then a tab's page is looked at, which had been there before.
    pub fn began(&mut self, tab: usize, url: &str, before: Duration) {
        let (front, when) = (self.front, self.span_since(before));
        self.front = tab;
        self.arrived(url, when);
        self.front = front;
    }

    /// The browser threw a tab's page away and loaded it anew, which can change what the driver calls the tab.
    pub async fn loaded_again(&mut self, tab: usize, url: &str) -> Result<()> {
        let others: Vec<WindowHandle> = self.tabs.iter().map(|tab| tab.handle.clone()).collect();
        let handle = eventually(SOON, &format!("{url} is loaded again"), async || {
            for handle in self.browser.tabs().await? {
                let known = others.contains(&handle) && handle != self.tabs[tab].handle;
                if known || self.browser.switch(&handle).await.is_err() {
                    continue;
                }
                if self.browser.address().await? == url {
                    return Ok(handle);
                }
            }
            anyhow::bail!("not yet")
        })
        .await?;
        self.tabs[tab].handle = handle;
        self.front = tab;
        Ok(())
    }
}

fn end_at_a_beat(log: &mut Log, tabs: &mut [Tab], when: Span) {
    for stay in tabs.iter_mut().filter_map(|tab| tab.open.take()) {
        let stay = &mut log.stays[stay];
        let before = when.before.saturating_sub(BEAT).max(stay.from.before);
        stay.to = Some(Span { before, after: when.after });
    }
}

/// Compares the visits at the backend with the stays: exact, each once, each right. The error says all that is not.
pub fn compare(log: &Log, records: &[Value]) -> Result<()> {
    let mut wrong = String::new();
    let mut stays: Vec<(usize, &Stay)> = log.stays.iter().enumerate().collect();
    stays.sort_by_key(|(n, stay)| (without_place(&stay.url), *n));
    let mut visits: Vec<&Value> = records.iter().collect();
    visits.sort_by_key(|record| (url(record), record["startedAt"].as_u64()));

    let expected: Vec<&str> = stays.iter().map(|(_, stay)| without_place(&stay.url)).collect();
    let found: Vec<&str> = visits.iter().map(|record| url(record)).collect();
    if expected != found {
        let lacks = |these: &[&str], those: &[&str]| {
            let mut those = those.to_vec();
            let lacking: Vec<String> = these
                .iter()
                .filter(|this| match those.iter().position(|that| that == *this) {
                    Some(at) => {
                        those.remove(at);
                        false
                    }
                    None => true,
                })
                .map(|this| this.to_string())
                .collect();
            lacking
        };
        anyhow::bail!(
            "{} stays, {} visits; lost {:?}; too many {:?}",
            expected.len(),
            found.len(),
            lacks(&expected, &found),
            lacks(&found, &expected)
        );
    }
    let id_of = |stay: usize| {
        let at = stays.iter().position(|(n, _)| *n == stay)?;
        visits[at]["id"].as_str()
    };
    for ((_, stay), visit) in stays.iter().zip(&visits) {
        let name = &stay.url;
        let Some(to) = stay.to else {
            writeln!(wrong, "{name}: the script has not ended this stay")?;
            continue;
        };
        if visit["isActive"] != false || visit["endedAt"].is_null() {
            writeln!(wrong, "{name}: still open")?;
            continue;
        }
        let duration = Duration::from_millis(visit["duration"].as_u64().context("a duration")?);
        let least = to.before.saturating_sub(stay.from.after).saturating_sub(OFF);
        let most = to.after.saturating_sub(stay.from.before) + OFF;
        if duration < least || duration > most {
            writeln!(wrong, "{name}: {duration:?}, between {least:?} and {most:?} expected")?;
        }
        let opener = stay.opener.and_then(id_of);
        if visit["source_page_visit_id"].as_str() != opener {
            writeln!(wrong, "{name}: opened by {}, expected {opener:?}", visit["source_page_visit_id"])?;
        }
        let active = visit["activeDuration"].as_u64().context("an active duration")?;
        if u128::from(active) > duration.as_millis() {
            writeln!(wrong, "{name}: active {active} ms of {duration:?}")?;
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}

fn url(record: &Value) -> &str {
    without_place(record["url"].as_str().unwrap_or_default())
}

fn without_place(url: &str) -> &str {
    match url.split_once('#') {
        Some((page, place)) if !place.starts_with('/') => page,
        _ => url,
    }
}
