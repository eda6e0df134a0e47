//! The window in every state, each brought about for real (`e2e::tour`): what it says, and what is wrong with it
//! (`e2e::judge`) in every view: light, dark in German at 360 pixels, and as the desktop is set for who sees badly.

use anyhow::Result;
use e2e::judge::Judge;
use e2e::tour::{self, DARK, EASED, LIGHT, Look};

/// What the head says at each stop, in parts that do not depend on the hour.
const SAYS: &[(&str, &[&str])] = &[
    ("signed-out", &["Sign in to start", "nothing is lost"]),
    ("wrong-password", &["Sign in to start"]),
    ("up-to-date", &["Up to date", "Last confirmed"]),
    ("waiting", &["40 records waiting", "Next sync at"]),
    ("paused", &["Paused until", "40 records are safe here"]),
    ("code-form", &["Sign in to start"]),
    ("syncing", &["Sending 0 of 25"]),
    ("stopped", &["25 records waiting"]),
    ("backend-stopped", &["Could not deliver", "25 records are safe here", "next try"]),
    ("sign-in-page", &["Could not deliver", "A web page answered instead of the backend"]),
    ("refused", &["Sync needs your attention", "does not let this account send records (403)"]),
    ("failed", &["4 records need you"]),
    ("sign-out", &["12 records waiting"]),
    ("somebody-else", &["Sign in to start", "17 records are already safe here"]),
    ("two-accounts", &["Up to date", "17 more records here are not sent with this account"]),
    ("session-expired", &["Session expired. Sign in again"]),
];

#[tokio::test]
async fn every_state_is_said_and_nothing_is_wrong_with_it_in_light() -> Result<()> {
    let mut judge = Judge::new(LIGHT);
    tour::tour(LIGHT, &mut judge).await?;
    judge.ends(SAYS)
}

#[tokio::test]
async fn nothing_is_wrong_in_dark_in_german_and_at_360_pixels() -> Result<()> {
    let look = Look { language: "de", size: (360, 640), ..DARK };
    let mut judge = Judge::new(look);
    tour::tour(look, &mut judge).await?;
    judge.ends(&[])
}

#[tokio::test]
async fn nothing_is_wrong_with_text_at_200_percent_and_nothing_moves() -> Result<()> {
    let mut judge = Judge::new(EASED);
    tour::tour(EASED, &mut judge).await?;
    judge.ends(SAYS)
}
