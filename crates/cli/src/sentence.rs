//! The status in words, with the headings of the window (`heyho_records::words`).

use heyho_records::status::{State, Status};
use heyho_records::words::{self, ago, count, number, size, span, waiting};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write;

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
    if status.failed > 0 {
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
        let came = match (&last.why, last.sent) {
            (None, 0) => "nothing had to be sent".to_owned(),
            (None, n) => format!("{} sent", count(n, "record")),
            (Some(why), 0) if said(why) => "did not get through".to_owned(),
            (Some(why), 0) => why.clone(),
            (Some(why), n) => format!("{} sent. {why}", count(n, "record")),
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
        State::NeedsAttention => match status.failed.saturating_sub(status.failed_kept) {
            0 => words::NEEDS_ATTENTION.to_owned(),
            1 => "1 record needs you: heyho failed list".to_owned(),
            n => format!("{} need you: heyho failed list", count(n, "record")),
        },
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

/// The time of day; with the day where it is another one.
fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let format = if at.date() == now.date() { "%H:%M" } else { "%H:%M on %Y-%m-%d" };
    at.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_records::status::{Backlog, Progress};

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
                of(State::SignedOut, |s| s.unclaimed = 3),
                "Sign in to start. 1,207 records are already safe here",
            ),
            (of(State::SessionExpired, |_| {}), "Session expired. Sign in again: heyho login --email …"),
            (of(State::BufferProblem, |_| {}), "The store on this computer has a problem"),
        ] {
            assert_eq!(said, expected);
        }
    }
}
