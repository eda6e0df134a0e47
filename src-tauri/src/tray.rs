//! The tray as a value: which icon, which first line, which menu a status gives. Pure: time and language are
//! parameters. It says the same as the head of the window, and never more than the status.

use crate::words::{Lang, fill};
use heyho_agent::{HeldBack, NO_START};
use heyho_records::status::{State, Status};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tray {
    pub icon: Icon,
    /// The first line of the menu, and the tooltip where there is one.
    pub line: String,
    pub menu: Vec<Item>,
}

/// Five shapes; see src-tauri/icons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Icon {
    /// Up to date, or waiting for the next scheduled sync: the normal state while browsing.
    Calm,
    Syncing,
    Retrying,
    Paused,
    Attention,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The first line: words, not an action.
    Line(String),
    Separator,
    Entry {
        action: Action,
        label: &'static str,
        enabled: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    SyncNow,
    Stop,
    PauseHour,
    PauseTomorrow,
    Resume,
    Open,
    Quit,
}

impl Action {
    pub const ALL: [Action; 7] = [
        Action::SyncNow,
        Action::Stop,
        Action::PauseHour,
        Action::PauseTomorrow,
        Action::Resume,
        Action::Open,
        Action::Quit,
    ];

    /// The menu entry's id.
    pub fn id(self) -> &'static str {
        match self {
            Action::SyncNow => "sync-now",
            Action::Stop => "stop",
            Action::PauseHour => "pause-hour",
            Action::PauseTomorrow => "pause-tomorrow",
            Action::Resume => "resume",
            Action::Open => "open",
            Action::Quit => "quit",
        }
    }

    pub fn of(id: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.id() == id)
    }
}

/// What the tray is computed from.
#[derive(Debug)]
pub struct View<'a> {
    pub lang: Lang,
    pub now: Timestamp,
    pub zone: &'a TimeZone,
    pub known: Known<'a>,
}

/// What is known of the agent.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// It has said nothing yet.
    Starting,
    Status(&'a Status),
    /// It does not answer any more.
    Gone,
    /// It is being ended.
    Quitting,
    /// It is being ended, and begins anew.
    Restarting,
}

impl View<'_> {
    pub fn tray(&self) -> Tray {
        let line = self.line();
        Tray { icon: self.icon(), menu: self.menu(line.clone()), line }
    }

    /// When the first line has to be said anew though nothing happened; None when it holds still.
    pub fn fresh_for(&self) -> Option<Duration> {
        let Known::Status(status) = self.known else { return None };
        match status.state {
            State::UpToDate => Some(Duration::from_secs(60)),
            State::Retrying => {
                let ahead = status.next_attempt_at.map(|at| at.duration_since(self.now).as_secs())?;
                Some(Duration::from_secs(if ahead <= 60 { STEP } else { 60 }))
            }
            _ => None,
        }
    }

    fn icon(&self) -> Icon {
        let status = match self.known {
            Known::Status(status) => status,
            Known::Starting | Known::Quitting | Known::Restarting => return Icon::Calm,
            Known::Gone => return Icon::Attention,
        };
        match status.state {
            State::UpToDate | State::Waiting | State::SignedOut => Icon::Calm,
            State::Syncing => Icon::Syncing,
            State::Retrying => Icon::Retrying,
            State::Paused => Icon::Paused,
            State::NeedsAttention | State::SessionExpired | State::BufferProblem => Icon::Attention,
        }
    }

    fn menu(&self, line: String) -> Vec<Item> {
        if matches!(self.known, Known::Quitting | Known::Restarting) {
            return vec![Item::Line(line)];
        }
        let words = self.lang.words();
        let entry = |action, label| Item::Entry { action, label, enabled: true };
        let mut menu = vec![Item::Line(line), Item::Separator];
        match self.known {
            Known::Status(Status { state: State::Syncing, .. }) => menu.push(entry(Action::Stop, words.stop)),
            // Where only the network or the power holds runs back there is no pause to end.
            Known::Status(status) if is_paused(status) => menu.push(entry(Action::Resume, words.resume)),
            Known::Status(status) => {
                // Without a session there is nothing to sync or to pause; "Open" leads to the sign-in.
                let enabled = !status.needs_sign_in();
                menu.push(Item::Entry { action: Action::SyncNow, label: words.sync_now, enabled });
                if enabled {
                    menu.push(entry(Action::PauseHour, words.pause_hour));
                    menu.push(entry(Action::PauseTomorrow, words.pause_tomorrow));
                }
            }
            Known::Starting | Known::Gone | Known::Quitting | Known::Restarting => {
                menu.push(Item::Entry { action: Action::SyncNow, label: words.sync_now, enabled: false });
            }
        }
        menu.push(Item::Separator);
        menu.push(entry(Action::Open, words.open));
        menu.push(entry(Action::Quit, words.quit));
        menu
    }

    fn line(&self) -> String {
        let words = self.lang.words();
        let status = match self.known {
            Known::Status(status) => status,
            Known::Starting => return words.starting.to_owned(),
            Known::Gone => return words.no_agent.to_owned(),
            Known::Quitting => return words.quitting.to_owned(),
            Known::Restarting => return words.restarting.to_owned(),
        };
        let reason = self.reason(status);
        let reason = reason.as_deref();
        let waiting = status.backlog.records();
        let waits = (waiting > 0).then(|| fill(words.waiting, &[&self.lang.number(waiting)]));
        match status.state {
            State::UpToDate => {
                let confirmed = status.last_confirmed_at.map(|at| fill(words.confirmed, &[&self.age(at)]));
                sentence([Some(words.up_to_date.to_owned()), confirmed], None)
            }
            State::Waiting => {
                let next = status.next_attempt_at.map(|at| fill(words.next_sync_at, &[&self.clock(at)]));
                sentence([waits.or(Some(words.nothing_waiting.to_owned())), next], None)
            }
            State::Syncing => match &status.progress {
                Some(progress) if progress.total > 0 => fill(
                    words.sending,
                    &[&self.lang.number(progress.done), &self.lang.number(progress.total)],
                ),
                _ => words.checking.to_owned(),
            },
            State::Retrying => {
                let next = status.next_attempt_at.map(|at| self.ahead(at));
                sentence([waits, next], reason)
            }
            State::NeedsAttention => {
                let others = || status.other_accounts.iter().filter(|other| other.failed > other.failed_kept);
                let of_others: u64 = others().map(|other| other.failed - other.failed_kept).sum();
                let needing = match (status.failed.saturating_sub(status.failed_kept), of_others) {
                    (0, _) => return sentence([Some(words.needs_attention.to_owned()), None], reason),
                    // Another account's need nobody who is here, and are named.
                    (all, of_others) if all <= of_others => {
                        let emails: Vec<&str> = others().map(|other| other.email.as_str()).collect();
                        let words = if all == 1 { words.one_of_others } else { words.many_of_others };
                        fill(words, &[&self.lang.number(all), &emails.join(", ")])
                    }
                    (all, of_others) => match all - of_others {
                        1 => words.one_needs_you.to_owned(),
                        n => fill(words.many_need_you, &[&self.lang.number(n)]),
                    },
                };
                sentence([Some(needing), waits], None)
            }
            State::Paused => {
                let paused = match (status.paused_until, held_back(status)) {
                    (Some(until), _) => fill(words.paused_until, &[&self.clock(until)]),
                    (None, Some(HeldBack::Metered)) => words.paused_metered.to_owned(),
                    (None, Some(HeldBack::Battery)) => words.paused_battery.to_owned(),
                    (None, None) => words.paused.to_owned(),
                };
                sentence([Some(paused), waits], None)
            }
            State::SessionExpired => words.session_expired.to_owned(),
            State::SignedOut => words.signed_out.to_owned(),
            State::BufferProblem => {
                let what = if cannot_start(status) { words.no_start } else { words.buffer_problem };
                sentence([Some(what.to_owned()), None], reason)
            }
        }
    }

    /// Why, in the reader's language; nothing where that has no sentence for it.
    fn reason(&self, status: &Status) -> Option<String> {
        if self.lang.is_the_agents() {
            return status.reason.clone();
        }
        self.lang.reason(status.reason_code.as_deref()?, &status.reason_args)
    }

    fn age(&self, at: Timestamp) -> String {
        let words = self.lang.words();
        let minutes = self.now.duration_since(at).as_secs() / 60;
        match minutes {
            i64::MIN..=0 => words.just_now.to_owned(),
            1..60 => fill(words.minutes_ago, &[&minutes.to_string()]),
            60..1440 => fill(words.hours_ago, &[&(minutes / 60).to_string()]),
            _ => fill(words.days_ago, &[&(minutes / 1440).to_string()]),
        }
    }

    /// In steps, so that the menu is not rewritten by the second.
    fn ahead(&self, at: Timestamp) -> String {
        let words = self.lang.words();
        let seconds = u64::try_from(at.duration_since(self.now).as_secs()).unwrap_or(0);
        match seconds {
            0 => words.retry_now.to_owned(),
            1..=60 => fill(words.retry_in_seconds, &[&(seconds.div_ceil(STEP) * STEP).to_string()]),
            _ => fill(words.retry_in_minutes, &[&((seconds + 30) / 60).to_string()]),
        }
    }

    fn clock(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.zone.clone());
        let time = zoned.strftime("%H:%M");
        if zoned.date() == self.now.to_zoned(self.zone.clone()).date() {
            return time.to_string();
        }
        // As the window has it: within the week its day, else the date.
        if at.duration_since(self.now).as_hours().abs() < 6 * 24 {
            let day = usize::try_from(zoned.weekday().to_monday_zero_offset()).unwrap_or_default();
            return format!("{} {time}", self.lang.words().days.get(day).copied().unwrap_or_default());
        }
        format!("{} {time}", zoned.strftime(self.lang.words().date))
    }
}

/// Somebody has paused: beside a store that has a problem, which decides the state, it is said besides.
fn is_paused(status: &Status) -> bool {
    match status.state {
        State::Paused => held_back(status).is_none(),
        State::BufferProblem => status.says("paused") && !status.needs_sign_in(),
        _ => false,
    }
}

/// What holds runs back though nobody has paused: Sync now sends all the same.
fn held_back(status: &Status) -> Option<HeldBack> {
    if status.paused_until.is_some() {
        return None;
    }
    [HeldBack::Metered, HeldBack::Battery].into_iter().find(|held| status.says(held.code()))
}

/// Whether the agent says that it could not be started.
pub fn cannot_start(status: &Status) -> bool {
    status.reason_code.as_deref() == Some(NO_START)
}

/// How long until "tomorrow": six in the morning of the next day, as in the window (ui/src/lib/pause.ts).
pub fn until_tomorrow(now: Timestamp, zone: &TimeZone) -> u64 {
    const A_DAY: u64 = 24 * 3600;
    let now_here = now.to_zoned(zone.clone());
    now_here
        .date()
        .tomorrow()
        .ok()
        .and_then(|day| day.at(6, 0, 0, 0).to_zoned(zone.clone()).ok())
        // Rounded up: a second less, and the sentence says 05:59.
        .and_then(|end| u64::try_from(end.timestamp().duration_since(now).as_millis()).ok())
        .map_or(A_DAY, |millis| millis.div_ceil(1_000))
}

/// Seconds between two values of a countdown.
const STEP: u64 = 10;

fn sentence(parts: [Option<String>; 2], why: Option<&str>) -> String {
    let said: Vec<String> = parts.into_iter().flatten().collect();
    let said = said.join(", ");
    match why {
        Some(why) if said.is_empty() => why.to_owned(),
        Some(why) => format!("{said}: {why}"),
        None => said,
    }
}

#[cfg(test)]
#[path = "tray_tests.rs"]
pub mod tests;
