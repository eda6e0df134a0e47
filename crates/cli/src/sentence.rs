//! The status in words, with the headings of the window (`heyho_records::words`).

use heyho_records::status::{State, Status};
use heyho_records::words::{self, ago, count, number, size, span, waiting};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write;

/// In place of a number or a time, while the store cannot be asked.
const NOT_KNOWN: &str = "not known";

pub fn status(status: &Status, now: Timestamp, zone: &TimeZone) -> String {
    let mut text = format!("{}\n", head(status, now, zone));
    let said = status.also.iter().map(|said| &said.text);
    for sentence in status.reason.iter().chain(said) {
        let _ = writeln!(text, "{sentence}");
    }
    text.push('\n');
    let mut row = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<11}{what}");
    };
    let backlog = &status.backlog;
    let oldest =
        backlog.oldest_at.map(|at| format!(", the oldest from {}", ago(at, now))).unwrap_or_default();
    row(
        "Waiting",
        match backlog.records() {
            _ if status.numbers_unknown => NOT_KNOWN.to_owned(),
            0 => "nothing".to_owned(),
            _ => format!(
                "{}, {}, {}{oldest}",
                count(backlog.page_visits, "page visit"),
                count(backlog.tab_aggregates, "tab aggregate"),
                size(backlog.bytes)
            ),
        },
    );
    if backlog.held > 0 {
        row("Held", format!("{} of them, before sending", number(backlog.held)));
    }
    if status.numbers_unknown {
        row("Failed", NOT_KNOWN.to_owned());
    } else if status.failed > 0 {
        let kept = match status.failed_kept {
            0 => String::new(),
            kept => format!(", {} of them kept quietly", number(kept)),
        };
        let others = match status.other_accounts.iter().map(|other| other.failed).sum() {
            0 => String::new(),
            others => format!(", {} of other accounts", number(others)),
        };
        row("Failed", format!("{}{kept}{others}: heyho failed list", count(status.failed, "record")));
    }
    let never = match status.state {
        _ if status.numbers_unknown => NOT_KNOWN,
        // The backend answers, and had nothing to confirm.
        State::UpToDate => "nothing sent yet",
        _ => "never yet",
    };
    row("Confirmed", status.last_confirmed_at.map_or(never.to_owned(), |at| ago(at, now)));
    if let Some(last) = &status.last_sync {
        // Said above already.
        let said = |why: &str| {
            let above = status.reason.iter().chain(status.also.iter().map(|said| &said.text));
            above.into_iter().any(|text| text == why)
        };
        let done = match (last.sent, last.failed) {
            (0, 0) => None,
            (sent, 0) => Some(format!("{} sent", count(sent, "record"))),
            (0, failed) => Some(format!("{} failed", count(failed, "record"))),
            (sent, failed) => Some(format!("{} sent, {} failed", count(sent, "record"), number(failed))),
        };
        let came = match (&last.why, done) {
            (None, None) => "nothing had to be sent".to_owned(),
            (None, Some(done)) if last.failed > 0 && status.failed > 0 => {
                format!("{done}: heyho failed list")
            }
            (None, Some(done)) => done,
            (Some(why), None) if said(why) => "did not get through".to_owned(),
            (Some(why), None) => why.clone(),
            (Some(why), Some(done)) => format!("{done}. {why}"),
        };
        row("Last run", format!("{}: {came}", ago(last.at, now)));
    }
    if let Some(at) = status.next_attempt_at.filter(|_| status.state != State::Syncing) {
        row("Next", if at <= now { "now".to_owned() } else { format!("in {}", span(now, at)) });
    }
    if let Some(account) = &status.account {
        row("Account", format!("{} at {}", account.email, account.backend));
    }
    if status.unclaimed > 0 {
        let how = if status.account.is_some() { ": heyho claim" } else { "" };
        row(
            "Unclaimed",
            format!("{} captured while nobody was signed in{how}", count(status.unclaimed, "record")),
        );
    }
    for other in &status.other_accounts {
        let what = format!("{} waiting, {} failed", number(other.waiting), number(other.failed));
        row("Other", format!("{} at {}: {what}", other.email, other.backend));
    }
    for browser in &status.browsers {
        let seen = browser
            .last_seen_at
            .map_or("no record yet".to_owned(), |at| format!("last record {}", ago(at, now)));
        let how = if browser.connected { "connected, " } else { "" };
        row("Browser", format!("{}: {how}{seen}", browser.name));
    }
    text
}

/// The sentence of the window's head.
pub fn head(status: &Status, now: Timestamp, zone: &TimeZone) -> String {
    let n = status.backlog.records();
    let next = status.next_attempt_at;
    let safe = || match n {
        0 => String::new(),
        1 => " 1 record is safe here".to_owned(),
        n => format!(" {} are safe here", count(n, "record")),
    };
    match status.state {
        State::BufferProblem if status.needs_sign_in() => {
            format!("{}. Sign in: heyho login --email …", words::BUFFER_PROBLEM)
        }
        State::BufferProblem if status.says("paused") => {
            format!("{}. Syncing is paused: heyho resume", words::BUFFER_PROBLEM)
        }
        State::BufferProblem => words::BUFFER_PROBLEM.to_owned(),
        State::SessionExpired => format!("{}: heyho login --email …", words::SESSION_EXPIRED),
        State::SignedOut => {
            // Everything that is kept and not delivered, for whichever account: what the window counts too.
            let kept = n + status.unclaimed + status.other_accounts.iter().map(|o| o.waiting).sum::<u64>();
            match kept {
                0 => format!("{}: heyho login --email …", words::SIGNED_OUT),
                1 => format!("{}. 1 record is already safe here", words::SIGNED_OUT),
                kept => format!("{}. {} are already safe here", words::SIGNED_OUT, count(kept, "record")),
            }
        }
        State::Paused => match status.paused_until {
            Some(at) => format!("Paused until {}", clock(at, now, zone)),
            None => words::PAUSED.to_owned(),
        },
        State::Syncing => match &status.progress {
            Some(progress) if progress.total > 0 => {
                let left = progress.eta_seconds.map(|s| format!(" (about {s} s left)")).unwrap_or_default();
                format!("Sending {} of {}{left}", number(progress.done), number(progress.total))
            }
            _ => words::CHECKING.to_owned(),
        },
        State::NeedsAttention => needing(status),
        State::Retrying => match next {
            Some(at) if at <= now => format!("{}.{}; next try now", words::RETRYING, safe()),
            Some(at) => format!("{}.{}; next try in {}", words::RETRYING, safe(), span(now, at)),
            None => format!("{}.{}", words::RETRYING, safe()),
        },
        State::Waiting => match next {
            Some(at) => format!("{}. Next sync at {}", waiting(n), clock(at, now, zone)),
            None => waiting(n),
        },
        State::UpToDate => words::UP_TO_DATE.to_owned(),
    }
}

/// Whose failed records ask for somebody: another account's are not the reader's to send.
fn needing(status: &Status) -> String {
    let others = status.other_accounts.iter().filter(|other| other.failed > other.failed_kept);
    let (of_others, emails) = others.fold((0, Vec::new()), |(sum, mut emails), other| {
        emails.push(other.email.as_str());
        (sum + other.failed - other.failed_kept, emails)
    });
    let all = status.failed.saturating_sub(status.failed_kept);
    match all.saturating_sub(of_others) {
        0 if all == 0 => words::NEEDS_ATTENTION.to_owned(),
        0 => {
            let are = if all == 1 { "is" } else { "are" };
            let (records, emails) = (count(all, "failed record"), emails.join(", "));
            format!("{records} of {emails} {are} still here: heyho failed list")
        }
        1 => "1 record needs you: heyho failed list".to_owned(),
        n => format!("{} need you: heyho failed list", count(n, "record")),
    }
}

/// The time of day; with the day where it is another one.
fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let format = if at.date() == now.date() { "%H:%M" } else { "%H:%M on %Y-%m-%d" };
    at.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_records::status::{Backlog, LastSync, OtherAccount, Progress, Said};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn of(state: State, change: impl FnOnce(&mut Status)) -> String {
        let mut status = Status::broken("", true);
        status.state = state;
        status.backlog = Backlog { page_visits: 1_000, tab_aggregates: 204, ..Backlog::default() };
        change(&mut status);
        head(&status, at(0), &TimeZone::UTC)
    }

    fn grace(failed: u64, failed_kept: u64) -> OtherAccount {
        let (email, backend) = ("grace@x".to_owned(), "http://b".to_owned());
        OtherAccount { r#ref: "2".to_owned(), email, backend, waiting: 0, failed, failed_kept }
    }

    fn rows(status: &Status) -> String {
        super::status(status, at(60), &TimeZone::UTC)
    }

    #[test]
    fn what_is_not_known_is_not_said_to_be_nothing() {
        let said = rows(&Status::broken("the disk answers with an error", false));
        for row in ["Waiting    not known", "Failed     not known", "Confirmed  not known"] {
            assert!(said.contains(row), "{said}");
        }
        assert!(!said.contains("nothing") && !said.contains("never"), "{said}");
    }

    #[test]
    fn what_failed_in_the_last_run_is_said_beside_what_was_sent() {
        let of = |sent, failed, why: Option<&str>, still_here| {
            let why = why.map(str::to_owned);
            let last_sync = Some(LastSync { at: at(0), outcome: String::new(), sent, failed, why });
            let said = rows(&Status { last_sync, failed: still_here, ..Status::broken("", true) });
            let row = said.lines().find_map(|line| line.strip_prefix("Last run")).unwrap();
            row.split_once("ago: ").unwrap().1.to_owned()
        };
        assert_eq!(of(0, 0, None, 0), "nothing had to be sent");
        assert_eq!(of(6, 0, None, 0), "6 records sent");
        assert_eq!(of(6, 1, None, 1), "6 records sent, 1 failed: heyho failed list");
        assert_eq!(of(6, 1, None, 0), "6 records sent, 1 failed");
        assert_eq!(of(0, 2, None, 2), "2 records failed: heyho failed list");
        assert_eq!(of(6, 1, Some("It is down."), 1), "6 records sent, 1 failed. It is down.");
        assert_eq!(of(0, 0, Some("It is down."), 0), "It is down.");
    }

    #[test]
    fn each_state_has_its_sentence() {
        for (said, expected) in [
            (of(State::UpToDate, |_| {}), "Up to date"),
            (
                of(State::Waiting, |s| s.next_attempt_at = Some(at(300))),
                "1,204 records waiting. Next sync at 08:05",
            ),
            (of(State::Waiting, |s| s.backlog = Backlog::default()), "Nothing waiting, not confirmed lately"),
            (
                of(State::Syncing, |s| {
                    s.progress = Some(Progress { done: 1_200, total: 48_310, eta_seconds: Some(40) });
                }),
                "Sending 1,200 of 48,310 (about 40 s left)",
            ),
            (of(State::Syncing, |_| {}), "Checking with the backend"),
            (
                of(State::Retrying, |s| s.next_attempt_at = Some(at(40))),
                "Could not deliver. 1,204 records are safe here; next try in 40 s",
            ),
            (of(State::Paused, |s| s.paused_until = Some(at(3_600))), "Paused until 09:00"),
            (of(State::Paused, |s| s.paused_until = Some(at(86_400))), "Paused until 08:00 on 2027-01-16"),
            (of(State::NeedsAttention, |s| s.failed = 3), "3 records need you: heyho failed list"),
            (of(State::NeedsAttention, |_| {}), "Sync needs your attention"),
            (
                of(State::NeedsAttention, |s| (s.failed, s.other_accounts) = (1, vec![grace(1, 0)])),
                "1 failed record of grace@x is still here: heyho failed list",
            ),
            (
                of(State::NeedsAttention, |s| (s.failed, s.other_accounts) = (3, vec![grace(2, 0)])),
                "1 record needs you: heyho failed list",
            ),
            // Hers are kept quietly; these are ours.
            (
                of(State::NeedsAttention, |s| {
                    (s.failed, s.failed_kept, s.other_accounts) = (3, 2, vec![grace(2, 2)]);
                }),
                "1 record needs you: heyho failed list",
            ),
            (
                of(State::SignedOut, |s| s.unclaimed = 3),
                "Sign in to start. 1,207 records are already safe here",
            ),
            (of(State::SessionExpired, |_| {}), "Session expired. Sign in again: heyho login --email …"),
            (of(State::BufferProblem, |_| {}), "The store on this computer has a problem"),
            (
                of(State::BufferProblem, |s| s.also.push(Said::new("signed_out", ""))),
                "The store on this computer has a problem. Sign in: heyho login --email …",
            ),
            (
                of(State::BufferProblem, |s| s.also.push(Said::new("paused", ""))),
                "The store on this computer has a problem. Syncing is paused: heyho resume",
            ),
        ] {
            assert_eq!(said, expected);
        }
    }
}
