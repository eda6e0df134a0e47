//! What a person did in a browser, written down beside it ([`mod@crate::compare`] holds the records against it).
//!
//! A *stay* is one continuous time on one page in one tab, a *life* one continuous time of a tab; when they began and
//! ended is known as a span: between before the browser was told and after it said that it was done. Nothing here asks
//! the extension anything.

use crate::browser::{Browser, Kind};
use crate::eventually::{SOON, eventually};
use anyhow::{Context, Result, ensure};
use fantoccini::wd::WindowHandle;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};

/// After a crash a stay ends at the last beat before it, or at the beat the browser's end prevented.
const BEAT: Duration = Duration::from_secs(31);
/// A browser that is told to end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub before: Duration,
    pub after: Duration,
}

#[derive(Debug, Clone)]
pub struct Stay {
    pub url: String,
    pub from: Span,
    pub to: Option<Span>,
    /// The stay whose page opened this tab.
    pub opener: Option<usize>,
    /// What the record may be called.
    pub titles: Vec<String>,
    /// When its tab was the one that was looked at; none where that is not known.
    pub front: Option<Vec<(Span, Span)>>,
}

#[derive(Debug, Clone)]
pub struct Life {
    pub from: Span,
    pub to: Option<Span>,
    pub stays: Vec<usize>,
}

/// All stays and lives of a test, over browsers and their restarts.
#[derive(Debug)]
pub struct Log {
    start: Instant,
    /// `start` since the epoch.
    pub began: Duration,
    pub stays: Vec<Stay>,
    pub lives: Vec<Life>,
}

impl Default for Log {
    #[expect(
        clippy::disallowed_methods,
        reason = "the oracle's own clock, beside those of the programs under test"
    )]
    fn default() -> Log {
        let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Log { start: Instant::now(), began, stays: Vec::new(), lives: Vec::new() }
    }
}

impl Log {
    /// What somebody else did meanwhile.
    pub fn absorb(&mut self, other: Log) {
        let shift = |span: Span| {
            // What was there before the script looked, was.
            let at = |moment: Duration| match moment.is_zero() {
                true => moment,
                false => (other.began + moment).saturating_sub(self.began),
            };
            Span { before: at(span.before), after: at(span.after) }
        };
        let first = self.stays.len();
        self.stays.extend(other.stays.into_iter().map(|stay| Stay {
            from: shift(stay.from),
            to: stay.to.map(shift),
            opener: stay.opener.map(|opener| opener + first),
            front:
                stay.front.map(|front| front.iter().map(|(from, to)| (shift(*from), shift(*to))).collect()),
            ..stay
        }));
        self.lives.extend(other.lives.into_iter().map(|life| Life {
            from: shift(life.from),
            to: life.to.map(shift),
            stays: life.stays.into_iter().map(|stay| stay + first).collect(),
        }));
    }
}

/// What the page server calls the page at this address.
fn title_of(url: &str) -> String {
    let name = url.split_once("/page/").map_or("", |(_, name)| name);
    format!("Page {}", name.split(['?', '#']).next().unwrap_or_default())
}

#[derive(Debug)]
pub struct Tab {
    pub handle: WindowHandle,
    open: Option<usize>,
    life: Option<usize>,
    /// When it came to be; or when everything that was open ended, and it stayed.
    since: Duration,
    history: Vec<String>,
}

impl Tab {
    fn new(handle: WindowHandle, since: Duration) -> Tab {
        Tab { handle, open: None, life: None, since, history: Vec::new() }
    }
}

/// A person at a browser.
#[derive(Debug)]
pub struct Surfer {
    pub browser: Browser,
    pub log: Log,
    pub tabs: Vec<Tab>,
    pub front: usize,
    /// The stay that is looked at, and since when.
    seen: Option<(usize, Span)>,
    /// Chromium's driver does not bring to the front what it switches to: from then on nothing is known.
    sees: bool,
}

impl Surfer {
    pub async fn at(browser: Browser, log: Log) -> Result<Surfer> {
        let handle = browser.tab().await?;
        // It was there before anybody agreed to anything.
        let tabs = vec![Tab::new(handle, Duration::ZERO)];
        Ok(Surfer { browser, log, tabs, front: 0, seen: None, sees: true })
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
        let stay = self.log.stays.len();
        // It may have been left before it was called anything.
        let titles = vec![title_of(url), String::new()];
        self.log.stays.push(Stay {
            url: url.to_owned(),
            from: when,
            to: None,
            opener: None,
            titles,
            front: self.sees.then(Vec::new),
        });
        self.seen = Some((stay, when));
        let tab = &mut self.tabs[self.front];
        tab.open = Some(stay);
        tab.history.push(url.to_owned());
        let life = *tab.life.get_or_insert_with(|| {
            let from = Span { before: tab.since, after: when.after };
            self.log.lives.push(Life { from, to: None, stays: Vec::new() });
            self.log.lives.len() - 1
        });
        self.log.lives[life].stays.push(stay);
    }

    /// The page in front was loaded whole: its record has its title.
    fn is_titled(&mut self) {
        if let Some(stay) = self.log.stays.last_mut() {
            stay.titles.truncate(1);
        }
    }

    /// The document in front stays what it was, or what it once was: so does its title.
    fn may_be_called(&mut self, titles: Vec<String>) {
        if let Some(stay) = self.log.stays.last_mut() {
            stay.titles.extend(titles);
        }
    }

    fn left(&mut self, tab: usize, when: Span) {
        if let Some(stay) = self.tabs[tab].open.take() {
            self.log.stays[stay].to = Some(when);
            if self.seen.is_some_and(|(seen, _)| seen == stay) {
                self.looks_away(when);
            }
        }
    }

    fn looks_away(&mut self, when: Span) {
        if let Some((stay, from)) = self.seen.take() {
            self.log.stays[stay].front.iter_mut().for_each(|front| front.push((from, when)));
        }
    }

    fn loses_sight(&mut self) {
        if self.browser.kind == Kind::Chromium {
            self.unwatched();
        }
    }

    /// From now on nobody writes down what is looked at: the test has reasons of its own.
    pub fn unwatched(&mut self) {
        self.sees = false;
        for stay in self.tabs.iter().filter_map(|tab| tab.open) {
            self.log.stays[stay].front = None;
        }
    }

    /// The tab is closed, or nobody looks at it any more.
    fn ended(&mut self, tab: usize, when: Span) {
        self.left(tab, when);
        if let Some(life) = self.tabs[tab].life.take() {
            self.log.lives[life].to = Some(when);
        }
        self.tabs[tab].since = when.before;
    }

    pub async fn go(&mut self, url: &str) -> Result<()> {
        let before = self.now();
        self.browser.visit(url).await?;
        let when = self.span_since(before);
        self.arrived(url, when);
        self.is_titled();
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
        self.add(handle, before).await?;
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

    async fn add(&mut self, handle: WindowHandle, since: Duration) -> Result<()> {
        self.browser.switch(&handle).await?;
        self.looks_away(self.span_since(since));
        self.tabs.push(Tab::new(handle, since));
        self.front = self.tabs.len() - 1;
        Ok(())
    }

    /// A tab that shows `url` came up by itself: a duplicate, a restored one.
    pub async fn found(&mut self, known: &[WindowHandle], url: &str, before: Duration) -> Result<()> {
        let handle = self.new_handle(known).await?;
        self.add(handle, before).await?;
        self.wait_for(url).await?;
        let when = self.span_since(before);
        self.arrived(url, when);
        Ok(())
    }

    pub async fn open_tab(&mut self, window: bool) -> Result<()> {
        if window {
            self.loses_sight();
        }
        let before = self.now();
        let handle = self.browser.open(window).await?;
        self.add(handle, before).await
    }

    pub async fn switch(&mut self, tab: usize) -> Result<()> {
        let before = self.now();
        if self.front != tab {
            self.loses_sight();
        }
        self.front = tab;
        let at = || format!("the tab with {:?}", self.tabs[tab].history.last());
        self.browser.switch(&self.tabs[tab].handle).await.with_context(at)?;
        let when = self.span_since(before);
        if self.seen.is_none_or(|(stay, _)| Some(stay) != self.tabs[tab].open) {
            self.looks_away(when);
            self.seen = self.tabs[tab].open.map(|stay| (stay, when));
        }
        Ok(())
    }

    /// Closes the tab in front, and looks at another.
    pub async fn close(&mut self, next: usize) -> Result<()> {
        let before = self.now();
        self.browser.close_tab().await?;
        let when = self.span_since(before);
        self.ended(self.front, when);
        self.tabs.remove(self.front);
        self.loses_sight();
        self.switch(next.min(self.tabs.len() - 1)).await
    }

    /// A page of a single-page application.
    pub async fn push(&mut self, url: &str) -> Result<()> {
        let before = self.now();
        let titles = self.titles_here();
        self.browser.script("history.pushState({}, '', arguments[0])", vec![json!(url)]).await?;
        let when = self.span_since(before);
        self.arrived(url, when);
        self.may_be_called(titles);
        Ok(())
    }

    /// Of all pages of the tab in front so far.
    fn titles_here(&self) -> Vec<String> {
        self.tabs[self.front].history.iter().map(|url| title_of(url)).collect()
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
        let titles = self.titles_here();
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
        self.may_be_called(titles);
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
        self.looks_away(Span { before: before.saturating_sub(BEAT), after: before + ENDS_WITHIN });
        self.browser.quit().await?;
        let when = Span { before, after: self.log.start.elapsed() };
        end_at_a_beat(&mut self.log, &mut self.tabs, when);
        Ok(self.log)
    }

    pub fn kill(mut self) -> Result<Log> {
        let before = self.now();
        self.looks_away(Span { before: before.saturating_sub(BEAT), after: before + ENDS_WITHIN });
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
        // It was there before anybody looked.
        match self.tabs.iter().position(|tab| tab.handle == handle) {
            Some(known) => self.switch(known).await?,
            None => self.add(handle, Duration::ZERO).await?,
        }
        // Tabs come back in an order of the browser's own.
        self.loses_sight();
        self.arrived(url, Span { before: Duration::ZERO, after: self.now() });
        Ok(())
    }

    /// A script on the extension's own page, which is in front meanwhile, or is not.
    pub async fn inside(&mut self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        let before = self.now();
        let answer = self.browser.inside(script, arguments).await?;
        let when = self.span_since(before);
        if let Some((stay, _)) = self.seen {
            self.looks_away(when);
            self.seen = Some((stay, when));
        }
        Ok(answer)
    }

    /// A private window. Firefox brings it to the front, Chromium without a display does not.
    pub async fn open_private(&mut self, url: &str) -> Result<()> {
        let before = self.now();
        self.browser.open_private(url).await?;
        if self.browser.kind == Kind::Firefox {
            self.looks_away(self.span_since(before));
        }
        Ok(())
    }

    /// For a stay that begins or ends in a way of its own.
    pub fn clock(&self) -> Duration {
        self.now()
    }

    /// Since then nobody looks any more: whatever is open has ended, though its tab stays.
    pub fn all_ended(&mut self, before: Duration) {
        let when = self.span_since(before);
        (0..self.tabs.len()).for_each(|tab| self.ended(tab, when));
    }

    /// Since then a tab's page is looked at, which had been there before.
    pub fn began(&mut self, tab: usize, url: &str, before: Duration) {
        let (front, when) = (self.front, self.span_since(before));
        self.front = tab;
        self.arrived(url, when);
        self.front = front;
        if front != tab {
            self.seen = None;
        }
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
    let since = |from: Span| {
        let before = when.before.saturating_sub(BEAT).max(from.before);
        Some(Span { before, after: when.after })
    };
    for tab in tabs {
        if let Some(stay) = tab.open.take().map(|stay| &mut log.stays[stay]) {
            stay.to = since(stay.from);
        }
        if let Some(life) = tab.life.take().map(|life| &mut log.lives[life]) {
            life.to = since(life.from);
        }
    }
}
