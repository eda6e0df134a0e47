//! The extension's popup in every state, each brought about for real, in Chromium, light and dark. As with the
//! window's tour ([`crate::tour`]), a test judges the same states that the pictures show.

use crate::backend::Backend;
use crate::browser::{Browser, Kind, Start};
use crate::companion::{self, Tokens, heyho};
use crate::eventually::{BOOT, eventually};
use crate::tour::{bad_visit, hand_over, visit};
use crate::world::{World, repository};
use crate::{chromium, firefox};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::PathBuf;

/// Somebody who looks at each stop, once in light (`dark` is false) and once in dark.
pub trait Visitor {
    fn look(&mut self, name: &str, dark: bool, browser: &Browser) -> impl Future<Output = Result<()>>;
}

struct Tour<'v, V> {
    browser: Browser,
    visitor: &'v mut V,
}

/// Through everything, in a world of its own, with the words of that language.
pub async fn tour(language: &str, visitor: &mut impl Visitor) -> Result<()> {
    let world = World::new()?;
    let start = Start::new(Kind::Chromium).built_in(&speaking(&world, language)?);
    let backend = Backend::start(&world).await?;
    companion::configure(&world, &backend.url(), Tokens::File)?;
    chromium::profile(&world)?;
    let browser = Browser::start(&world, &start).await?;
    let mut tour = Tour { browser, visitor };

    tour.stop("not-consented", "sayUnasked").await?;
    tour.page("consent", "consent.html").await?;
    tour.browser.consent().await?;
    tour.stop("no-host", "sayNoHost").await?;
    heyho(&world, &["browsers", "register"]).await?.expect(0)?;
    tour.stop("not-running", "sayNoAgent").await?;
    let agent = companion::start_agent(&world).await?;
    tour.stop("signed-out", "saySignedOut").await?;
    companion::register(&world).await?;
    tour.stop("connected", "sayUpToDate").await?;

    tour.browser.click("#pause summary").await?;
    tour.look("pausing").await?;
    tour.browser.click("#pause-tomorrow").await?;
    tour.stop("paused", "sayCapturePaused").await?;
    tour.browser.click("#resume").await?;

    hand_over(&world, &(0..40).map(visit).collect::<Vec<_>>()).await?;
    tour.stop("backlog", "sayWaiting").await?;
    backend.kill().await?;
    tour.press("#sync", "answerSync", language).await?;
    tour.stop("backend-stopped", "sayRetrying").await?;
    hand_over(&world, &(0..3).map(bad_visit).collect::<Vec<_>>()).await?;
    tour.stop("failed", "sayNeedsAttention").await?;
    tour.browser.quit().await?;
    drop(agent);
    world.done();
    Ok(())
}

/// The extension with another catalogue in the place of the English one: Debian's Chromium speaks English only, so
/// numbers and hours stay English.
fn speaking(world: &World, language: &str) -> Result<PathBuf> {
    let dist = world.dir().join("extension");
    let mut files = Vec::new();
    let built = repository("extension/dist");
    firefox::collect(&built, &built, &mut files)?;
    let words = format!("chromium/_locales/{language}/messages.json");
    let words = files.iter().find(|(name, _)| *name == words).context("that language is spoken")?.1.clone();
    for (name, contents) in files {
        let path = dist.join(&name);
        std::fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        std::fs::write(path, if name == "chromium/_locales/en/messages.json" { &words } else { &contents })?;
    }
    Ok(dist)
}

impl<V: Visitor> Tour<'_, V> {
    /// The popup, opened anew, once it has come to say that message.
    async fn stop(&mut self, name: &str, message: &str) -> Result<()> {
        eventually(BOOT, &format!("the popup says {message} for {name}"), async || {
            self.browser.popup("#sentence").await?;
            let said = self.browser.script("return document.documentElement.dataset.says", vec![]).await?;
            if said != message {
                // It asks for a connection when it opens.
                self.browser.reload().await?;
            }
            ensure!(said == message, "{said}");
            Ok(())
        })
        .await?;
        self.look(name).await
    }

    /// A button of the popup that is there, until it has had that message for an answer.
    async fn press(&self, button: &str, message: &str, language: &str) -> Result<()> {
        let words = std::fs::read(repository(&format!("extension/_locales/{language}/messages.json")))?;
        let words: Value = serde_json::from_slice(&words)?;
        self.browser.click(button).await?;
        eventually(BOOT, &format!("{button} is answered with {message}"), async || {
            let answer = self.browser.popup("#answer").await?;
            ensure!(words[message]["message"] == answer, "{answer}");
            Ok(())
        })
        .await
    }

    async fn page(&mut self, name: &str, page: &str) -> Result<()> {
        self.browser.visit(&format!("{}{page}", chromium::origin()?)).await?;
        self.look(name).await
    }

    async fn look(&mut self, name: &str) -> Result<()> {
        for dark in [false, true] {
            self.browser.as_a_popup(dark).await?;
            self.visitor.look(name, dark, &self.browser).await?;
        }
        self.browser.as_a_tab().await
    }
}
