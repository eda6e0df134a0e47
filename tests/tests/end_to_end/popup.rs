//! The extension's popup in every state (`e2e::popup`): what it says, and what axe says of it, light and dark.

use anyhow::{Result, ensure};
use e2e::browser::Browser;
use e2e::popup::{self, Visitor};

/// Notes what is said and what is wrong at each stop; a tour is not ended by the first finding.
#[derive(Default)]
struct Judge {
    said: Vec<(String, String)>,
    wrong: Vec<String>,
}

impl Visitor for Judge {
    async fn look(&mut self, name: &str, dark: bool, browser: &Browser) -> Result<()> {
        let said = browser.script("return document.body.innerText", vec![]).await?;
        self.said.push((name.to_owned(), said.as_str().unwrap_or_default().to_owned()));
        let at = format!("{name}{}", if dark { ", dark" } else { "" });
        self.wrong.extend(browser.axe().await?.into_iter().map(|found| format!("{at}: {found}")));
        let overflow = "return document.documentElement.scrollWidth - window.innerWidth";
        let overflow = browser.script(overflow, vec![]).await?;
        if overflow.as_i64().is_some_and(|pixels| pixels > 0) {
            self.wrong.push(format!("{at}: {overflow} pixels too wide"));
        }
        Ok(())
    }
}

const SAYS: &[(&str, &[&str])] = &[
    ("not-consented", &["Nothing is captured until you agree", "Read what is captured"]),
    ("consent", &["Before anything is captured", "Agree and start capturing"]),
    ("no-host", &["not installed, or does not know this browser", "connect this browser in its window"]),
    ("not-running", &["keeps your records but is not running", "Start the companion"]),
    ("signed-out", &["Sign in to the companion"]),
    ("connected", &["Up to date", "Capture is on", "Pause capture"]),
    ("pausing", &["For an hour", "Until tomorrow", "Until I resume"]),
    ("paused", &["Capture is paused until", "Resume capture"]),
    ("backlog", &["40 records wait for the next sync"]),
    ("backend-stopped", &["40 records wait; the companion will try again"]),
    ("failed", &["The companion needs you"]),
];

#[tokio::test]
async fn every_state_of_the_popup_is_said_and_nothing_is_wrong_with_it() -> Result<()> {
    let mut judge = Judge::default();
    popup::tour("en", &mut judge).await?;
    for (name, parts) in SAYS {
        let said = judge.said.iter().find(|(stop, _)| stop == name).map_or("", |(_, said)| said);
        for part in *parts {
            ensure!(said.contains(part), "{name}: {part:?} is not in {said:?}");
        }
    }
    ensure!(judge.wrong.is_empty(), "{:#?}", judge.wrong);
    Ok(())
}

#[tokio::test]
async fn nothing_is_wrong_with_the_popup_in_german() -> Result<()> {
    let mut judge = Judge::default();
    popup::tour("de", &mut judge).await?;
    ensure!(judge.wrong.is_empty(), "{:#?}", judge.wrong);
    let english = ["records", "Sync now", "Sign in", "Waiting", "Last", "Capture is"];
    for (name, said) in &judge.said {
        // The companion's own sentence is quoted as it is.
        let said = match (said.find('„'), said.find('“')) {
            (Some(from), Some(to)) if from < to => said[..from].to_owned() + &said[to..],
            _ => said.clone(),
        };
        ensure!(!english.iter().any(|word| said.contains(word)), "{name} is not German: {said:?}");
    }
    Ok(())
}
