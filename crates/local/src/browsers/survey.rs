//! How each browser stands, in words: what lies on the disk, and what the companion has heard from it.
//!
//! The state is the first that holds of [`BrowserState`], in its order. A browser that is not installed and was
//! never heard from is no row.

use super::OptOut;
use super::places::{Form, Registration, Sandbox};
use super::register::{Held, Standing, held, standing};
use heyho_records::status::Browser;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A browser that was in use and from which nothing has come for this long is worth a word.
const QUIET: SignedDuration = SignedDuration::from_hours(3 * 24);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "snake_case")]
pub enum BrowserState {
    /// The extension is connected through a host at this moment.
    Connected,
    /// The sandbox lets nothing out until the user has allowed it.
    Blocked,
    /// Somebody else's registration stands there, and is left alone.
    Changed,
    /// Registered for another place or version: registering again mends it.
    Elsewhere,
    OptedOut,
    NotRegistered,
    /// Was in use; nothing has come for days.
    Quiet,
    /// Was connected before.
    Seen,
    /// The way is open; no extension has used it yet.
    Registered,
}

/// One browser on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct BrowserRow {
    /// The word that `browsers.register` takes.
    pub browser: String,
    pub name: String,
    pub form: Form,
    pub state: BrowserState,
    /// How it stands, and what mends it, as a sentence.
    pub sentence: String,
    /// What keeps it registered though the user did not want it, which the sentence says as well: another browser whose
    /// registration it reads; nothing between the quotes: a package of the system, for all users.
    pub held: Option<String>,
    /// A command for the user to run, where only that mends it.
    pub command: Option<String>,
    /// Somebody's own file that stands in its place. For a terminal: the window is told no path.
    #[serde(skip)]
    pub changed: Option<PathBuf>,
    /// Whether `browsers.register` would mend it: the one button.
    pub can_register: bool,
    /// Since when it is quiet, in days.
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub quiet_days: Option<i64>,
    pub profiles: Vec<BrowserProfile>,
}

/// One profile from which records have come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct BrowserProfile {
    pub profile_id: String,
    pub connected: bool,
    #[cfg_attr(feature = "ts", ts(type = "string | null"))]
    pub last_seen_at: Option<Timestamp>,
    pub quiet: bool,
}

/// `heard` is `browsers` of the status.
pub fn survey(all: &[Registration], heard: &[Browser], opt_out: &OptOut, now: Timestamp) -> Vec<BrowserRow> {
    let standings: Vec<Standing> = all.iter().map(standing).collect();
    combine(all, &standings, heard, opt_out, now)
}

fn combine(
    all: &[Registration],
    standings: &[Standing],
    heard: &[Browser],
    opt_out: &OptOut,
    now: Timestamp,
) -> Vec<BrowserRow> {
    let mut unplaced: Vec<&Browser> = heard.iter().collect();
    let mut rows = Vec::new();
    // The extension cannot tell how its browser was installed: the first form that can be connected has it.
    let order = |standing: Standing| match standing {
        Standing::NotInstalled => 2,
        Standing::Blocked => 1,
        _ => 0,
    };
    let mut indices: Vec<usize> = (0..all.len()).collect();
    indices.sort_by_key(|i| order(standings[*i]));
    for index in indices {
        let (registration, standing) = (&all[index], standings[index]);
        let (mine, rest) =
            unplaced.into_iter().partition(|browser| same_name(&browser.name, registration.says));
        unplaced = rest;
        let mine: Vec<&Browser> = mine;
        if standing == Standing::NotInstalled && mine.is_empty() {
            continue;
        }
        let mut row = row(registration, standing, &mine, opt_out, now);
        if let Some(held) = held(registration, all, opt_out) {
            let by = holder(held);
            row.sentence = format!("{} {}", row.sentence, against_the_wish(&by));
            row.held = Some(by);
        }
        rows.push((index, row));
    }
    rows.sort_by_key(|(index, _)| *index);
    let mut rows: Vec<BrowserRow> = rows.into_iter().map(|(_, row)| row).collect();
    while let Some(first) = unplaced.first().map(|browser| browser.name.clone()) {
        let (mine, rest): (Vec<&Browser>, _) =
            unplaced.into_iter().partition(|browser| same_name(&browser.name, &first));
        rows.push(unknown(&first, &mine, now));
        unplaced = rest;
    }
    rows
}

/// Extensions say it as they like.
fn same_name(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn row(
    registration: &Registration,
    standing: Standing,
    heard: &[&Browser],
    opt_out: &OptOut,
    now: Timestamp,
) -> BrowserRow {
    let profiles: Vec<BrowserProfile> = heard.iter().map(|browser| profile(browser, now)).collect();
    let state = state(standing, &profiles, opt_out.holds_for(&registration.browser));
    let last = profiles.iter().filter_map(|profile| profile.last_seen_at).max();
    let quiet_days =
        last.filter(|_| state == BrowserState::Quiet).map(|at| now.duration_since(at).as_hours() / 24);
    let (sentence, command) = words(registration, state, quiet_days);
    BrowserRow {
        browser: registration.browser.clone(),
        name: registration.name.to_owned(),
        form: registration.form,
        state,
        sentence,
        held: None,
        command,
        changed: registration.manifest.clone().filter(|_| state == BrowserState::Changed),
        can_register: matches!(
            state,
            BrowserState::NotRegistered | BrowserState::Elsewhere | BrowserState::OptedOut
        ),
        quiet_days,
        profiles,
    }
}

fn profile(browser: &Browser, now: Timestamp) -> BrowserProfile {
    let quiet =
        !browser.connected && browser.last_seen_at.is_some_and(|seen| now.duration_since(seen) > QUIET);
    BrowserProfile {
        profile_id: browser.profile_id.clone(),
        connected: browser.connected,
        last_seen_at: browser.last_seen_at,
        quiet,
    }
}

fn state(standing: Standing, profiles: &[BrowserProfile], opted_out: bool) -> BrowserState {
    if profiles.iter().any(|profile| profile.connected) {
        return BrowserState::Connected;
    }
    match standing {
        Standing::Blocked => BrowserState::Blocked,
        Standing::Changed => BrowserState::Changed,
        Standing::Outdated if opted_out => BrowserState::OptedOut,
        Standing::NotRegistered if opted_out => BrowserState::OptedOut,
        Standing::Outdated => BrowserState::Elsewhere,
        Standing::NotRegistered => BrowserState::NotRegistered,
        Standing::Registered | Standing::NotInstalled => {
            if profiles.is_empty() {
                BrowserState::Registered
            } else if profiles.iter().all(|profile| profile.quiet) {
                BrowserState::Quiet
            } else {
                BrowserState::Seen
            }
        }
    }
}

fn words(
    registration: &Registration,
    state: BrowserState,
    quiet_days: Option<i64>,
) -> (String, Option<String>) {
    let name = registration.name;
    let sentence = match (state, &registration.sandbox) {
        (BrowserState::Blocked, Sandbox::Flatpak { id, .. }) => {
            let command = format!("flatpak override --user --talk-name=org.freedesktop.Flatpak {id}");
            let sentence = format!(
                "{name} is a flatpak, whose sandbox keeps the companion out. Run this command once, and start {name} again."
            );
            return (sentence, Some(command));
        }
        (BrowserState::Blocked, _) => format!(
            "{name} is a snap, whose sandbox keeps the companion out. Install {name} from its maker or from your system's packages instead."
        ),
        (BrowserState::Registered, Sandbox::Portal) => format!(
            "Registered. {name} is a snap: when it asks whether the extension may talk to the companion, allow it."
        ),
        (BrowserState::Connected, _) => "Connected.".to_owned(),
        (BrowserState::Changed, _) => {
            "Its registration was changed by hand and is left alone. Delete its file to have it written anew."
                .to_owned()
        }
        (BrowserState::Elsewhere, _) => {
            "Registered for another place or another extension. Connect it again.".to_owned()
        }
        (BrowserState::OptedOut, _) => "Not registered, as you wished.".to_owned(),
        (BrowserState::NotRegistered, _) => "It does not know the companion yet. Connect it.".to_owned(),
        (BrowserState::Quiet, _) => match quiet_days {
            Some(days) => {
                format!("Nothing has come from it for {days} days. Is the extension still enabled?")
            }
            None => "Nothing has come from it for days. Is the extension still enabled?".to_owned(),
        },
        (BrowserState::Seen, _) => "Not running at the moment, or its extension is off.".to_owned(),
        (BrowserState::Registered, _) => {
            "Registered. Install the HeyHo extension in it, and agree to capture there.".to_owned()
        }
    };
    (sentence, None)
}

fn holder(held: Held) -> String {
    match held {
        Held::With(other) => match other.form {
            Form::Package => other.name.to_owned(),
            Form::Flatpak => format!("{} (flatpak)", other.name),
            Form::Snap => format!("{} (snap)", other.name),
        },
        Held::ForAllUsers => String::new(),
    }
}

fn against_the_wish(by: &str) -> String {
    if by.is_empty() {
        return "You did not want it registered, but a package of the system registers it for all users: only removing that package ends it.".to_owned();
    }
    format!(
        "You did not want it registered, but it reads the registration of {by}: it stays registered as long as that is."
    )
}

/// A browser this program knows nothing of, which found the host all the same, with all its profiles.
fn unknown(name: &str, heard: &[&Browser], now: Timestamp) -> BrowserRow {
    let profiles: Vec<BrowserProfile> = heard.iter().map(|browser| profile(browser, now)).collect();
    // Nothing else is known of it than what was heard.
    let state = state(Standing::Registered, &profiles, false);
    let sentence = match state {
        BrowserState::Connected => "Connected.",
        _ => "Not running at the moment, or its extension is off.",
    };
    BrowserRow {
        browser: name.to_lowercase(),
        name: name.to_owned(),
        form: Form::Package,
        state,
        sentence: sentence.to_owned(),
        held: None,
        command: None,
        changed: None,
        can_register: false,
        quiet_days: None,
        profiles,
    }
}
