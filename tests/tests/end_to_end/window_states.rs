//! The window in every state, each brought about for real (`e2e::tour`): what it says, and what axe says of it, in
//! every view, light and dark, with all of axe's rules.

use anyhow::{Result, ensure};
use e2e::tour::{self, Look, Visitor};
use e2e::window::Window;

/// Notes what the head says and what is wrong at each stop; a tour is not ended by the first finding.
#[derive(Default)]
struct Judge {
    heads: Vec<(String, String)>,
    wrong: Vec<String>,
}

impl Visitor for Judge {
    async fn look(&mut self, name: &str, state: &str, window: &Window) -> Result<()> {
        if !state.is_empty() {
            window.shows("status-head", "data-state", state).await?;
            self.heads.push((name.to_owned(), window.read("status-head").await?));
        }
        self.wrong.extend(window.axe().await?.into_iter().map(|found| format!("{name}: {found}")));
        let overflow = window.value("document.documentElement.scrollWidth - window.innerWidth").await?;
        if overflow.as_i64().is_some_and(|pixels| pixels > 0) {
            self.wrong.push(format!("{name}: {overflow} pixels too wide"));
        }
        Ok(())
    }
}

/// What the head says at each stop, in parts that do not depend on the hour.
const SAYS: &[(&str, &[&str])] = &[
    ("signed-out", &["Sign in to start", "nothing is lost"]),
    ("wrong-password", &["Sign in to start"]),
    ("up-to-date", &["Up to date", "Last confirmed"]),
    ("waiting", &["40 records waiting", "Next sync at"]),
    ("paused", &["Paused until", "40 records are safe here"]),
    ("backend-stopped", &["Could not deliver", "25 records are safe here", "next try"]),
    ("sign-in-page", &["Could not deliver", "A web page answered instead of the backend"]),
    ("refused", &["Sync needs your attention", "does not let this account send records (403)"]),
    ("failed", &["4 records need you"]),
    ("sign-out", &["12 records waiting"]),
    ("somebody-else", &["Sign in to start", "17 records are already safe here"]),
    ("two-accounts", &["Up to date"]),
    ("session-expired", &["Session expired. Sign in again"]),
];

#[tokio::test]
async fn every_state_is_said_and_nothing_is_wrong_with_it_in_light() -> Result<()> {
    let mut judge = Judge::default();
    tour::tour(Look { appearance: "light", language: "en", size: (440, 640) }, &mut judge).await?;
    for (name, parts) in SAYS {
        let said = judge.heads.iter().find(|(stop, _)| stop == name).map_or("", |(_, said)| said);
        for part in *parts {
            ensure!(said.contains(part), "{name}: {part:?} is not in {said:?}");
        }
    }
    ensure!(judge.wrong.is_empty(), "{:#?}", judge.wrong);
    Ok(())
}

#[tokio::test]
async fn nothing_is_wrong_in_dark_in_german_and_at_360_pixels() -> Result<()> {
    let mut judge = Judge::default();
    tour::tour(Look { appearance: "dark", language: "de", size: (360, 640) }, &mut judge).await?;
    ensure!(judge.wrong.is_empty(), "{:#?}", judge.wrong);
    let english = ["records", "Sync", "Sign in", "backend", "Last", "Next"];
    for (name, said) in &judge.heads {
        ensure!(!english.iter().any(|word| said.contains(word)), "{name} is not German: {said:?}");
    }
    Ok(())
}
