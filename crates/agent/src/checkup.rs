//! What `heyho doctor` says of the tokens and of the backend: with an agent the agent looks, since it is the one
//! that has to reach its keyring.

use crate::commands::driver;
use crate::start::store;
use crate::tokens::TokenStore;
use heyho_local::config::{Config, TokenStore as Wanted};
use heyho_local::paths::Paths;
use heyho_local::vocabulary::Finding;
use heyho_records::words::span;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

const PART: &str = "tokens";
/// Less is the time an answer takes, and clocks that are set now and then.
const CLOCK_MAY_DIFFER_S: u64 = 120;
/// A locked keyring may show a dialog and wait for somebody.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes an entry, reads it back and deletes it, where the settings want tokens kept.
pub async fn check_tokens(wanted: Wanted, paths: &Paths) -> Finding {
    let advice = match wanted {
        Wanted::Keyring => "unlock or install a keyring, or: heyho config set tokens.store file",
        Wanted::File => "make the data folder writable, or: heyho config set tokens.store keyring",
    };
    let place = match wanted {
        Wanted::Keyring => "the system's keyring",
        Wanted::File => "a file for this user alone",
    };
    let store: Arc<dyn TokenStore> = store(wanted, paths);
    let tried = tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(move || store.probe())).await;
    match tried {
        Ok(Ok(Ok(()))) => Finding::good(PART, format!("can be kept in {place}")),
        // In plain words: what the keyring's library says of it is for the log.
        Ok(Ok(Err(error))) => {
            tracing::debug!("{error}");
            Finding::bad(PART, error.plain(), advice)
        }
        Ok(Err(_)) => Finding::bad(PART, "the token store stopped unexpectedly", advice),
        Err(_) => {
            Finding::bad(PART, format!("{place} does not answer: it may be waiting to be unlocked"), advice)
        }
    }
}

/// Whether the backend answers, and whether its clock and this one agree.
pub async fn check_backend(config: &Config, now: Timestamp) -> Vec<Finding> {
    let url = &config.backend.url;
    let driver = match driver(config, "doctor") {
        Ok(driver) => driver,
        Err(fault) => {
            return vec![Finding::bad("backend", fault.text, "see what stands there: heyho config get")];
        }
    };
    // Here it would be the user's own; elsewhere somebody else starts it.
    let address = match url.is_loopback() {
        true => {
            "start your own: heyho-backend serve (docs/backend.md); or set another's address: heyho config set backend.url URL"
        }
        false => {
            "check the network, ask whoever runs it, or set another address: heyho config set backend.url URL"
        }
    };
    let found = match driver.probe().await {
        Ok(features) if features.is_empty() => Finding::good(
            "backend",
            format!("{url} answers; it names no features, so records go the plain way"),
        ),
        Ok(_) => Finding::good("backend", format!("{url} answers")),
        Err(why) => Finding::bad("backend", format!("{url}: {}", why.sentence()), address),
    };
    let date = driver.capabilities().await.ok().and_then(|answer| answer.date);
    let clock = date.as_deref().and_then(http_date).map(|there| clock(there, now));
    [Some(found), clock].into_iter().flatten().collect()
}

fn clock(there: Timestamp, here: Timestamp) -> Finding {
    let off = here.duration_since(there).as_secs();
    if off.unsigned_abs() <= CLOCK_MAY_DIFFER_S {
        return Finding::good("clock", "agrees with the backend's");
    }
    let (apart, how) = if off > 0 { (span(there, here), "ahead of") } else { (span(here, there), "behind") };
    Finding::bad(
        "clock",
        format!("this computer is {apart} {how} the backend"),
        "set the clock of one of them: certificates, sessions and times of records depend on it",
    )
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_said_with_how_much() {
        let there = http_date("Sat, 21 Nov 2026 14:10:00 GMT").unwrap();
        let off = |seconds: i64| clock(there, there + jiff::SignedDuration::from_secs(seconds));
        assert!(off(0).good && off(-100).good);
        assert_eq!(off(7_200).text, "this computer is 2 h ahead of the backend");
        assert_eq!(off(-300).text, "this computer is 5 min behind the backend");
    }

    #[tokio::test]
    async fn a_file_can_be_probed_and_nothing_stays() {
        let dir = tempfile::tempdir().unwrap();
        let here = |name: &str| dir.path().join(name);
        let paths =
            Paths { data: here("data"), config: here("config"), state: here("state"), runtime: here("run") };
        assert!(check_tokens(Wanted::File, &paths).await.good);
        assert_eq!(std::fs::read_dir(here("data")).unwrap().count(), 0);
        std::fs::remove_dir_all(here("data")).unwrap();
        std::fs::write(here("data"), "in the way").unwrap();
        let found = check_tokens(Wanted::File, &paths).await;
        assert!(!found.good && found.advice.is_some(), "{found:?}");
    }
}
