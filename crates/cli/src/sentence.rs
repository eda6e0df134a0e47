//! The status in words, as the window's head says it.

use heyho_records::status::{State, Status};
use jiff::Timestamp;
use std::fmt::Write;

pub fn status(status: &Status, now: Timestamp) -> String {
    let mut text = format!("{}\n", head(status, now));
    if let Some(reason) = &status.reason {
        let _ = writeln!(text, "{reason}");
    }
    let backlog = &status.backlog;
    text.push('\n');
    let _ = writeln!(
        text,
        "Waiting   {} page visits, {} tab aggregates, {}{}",
        backlog.page_visits,
        backlog.tab_aggregates,
        size(backlog.bytes),
        backlog.oldest_at.map_or(String::new(), |at| format!(", the oldest from {} ago", ago(at, now)))
    );
    if backlog.held > 0 {
        let _ = writeln!(text, "Held      {} of them, before sending", backlog.held);
    }
    let kept = if status.failed_kept > 0 {
        format!(", {} of them kept quietly", status.failed_kept)
    } else {
        String::new()
    };
    let _ = writeln!(text, "Failed    {}{kept}", status.failed);
    if let Some(last) = &status.last_sync {
        let _ = writeln!(
            text,
            "Last sync {} ago, {} sent ({})",
            ago(last.at, now),
            last.sent,
            last.outcome.replace('_', " ")
        );
    }
    if let Some(account) = &status.account {
        let _ = writeln!(text, "Account   {} at {}", account.email, account.backend);
    }
    if status.unclaimed > 0 {
        let _ = writeln!(text, "Unclaimed {} records captured while nobody was signed in", status.unclaimed);
    }
    for other in &status.other_accounts {
        let _ = writeln!(
            text,
            "Other     {} at {}: {} waiting, {} failed",
            other.email, other.backend, other.waiting, other.failed
        );
    }
    for browser in &status.browsers {
        let seen = browser.last_seen_at.map_or("never".to_owned(), |at| format!("{} ago", ago(at, now)));
        let _ = writeln!(text, "Browser   {}, last record {seen}", browser.name);
    }
    text
}

fn head(status: &Status, now: Timestamp) -> String {
    let waiting = status.backlog.records();
    let count = match waiting {
        1 => "1 record waiting".to_owned(),
        n => format!("{n} records waiting"),
    };
    let next = status.next_attempt_at.map(|at| format!("next try in {}", ago(now, at)));
    match status.state {
        State::BufferProblem => "The local store has a problem".to_owned(),
        State::SessionExpired => "Session expired. Sign in again: heyho login --email …".to_owned(),
        State::SignedOut if status.unclaimed > 0 => {
            format!("Sign in to start. {} records are already safe here", status.unclaimed)
        }
        State::SignedOut => "Sign in to start: heyho login --email …".to_owned(),
        State::Paused => match status.paused_until {
            Some(at) => format!("Paused for another {}", ago(now, at)),
            None => "Paused".to_owned(),
        },
        State::Syncing => match &status.progress {
            Some(progress) => format!("Sending {} of {}", progress.done, progress.total),
            None => "Sending".to_owned(),
        },
        State::NeedsAttention => match status.failed - status.failed_kept {
            0 => "This needs you".to_owned(),
            1 => "1 record needs you: heyho failed list".to_owned(),
            n => format!("{n} records need you: heyho failed list"),
        },
        State::Retrying => match next {
            Some(next) => format!("{count}, safe here; {next}"),
            None => format!("{count}, safe here"),
        },
        State::Waiting if waiting == 0 => "Nothing is waiting".to_owned(),
        State::Waiting => match next {
            Some(next) => format!("{count}, {next}"),
            None => count,
        },
        State::UpToDate => match status.last_confirmed_at {
            Some(at) => format!("Up to date, confirmed {} ago", ago(at, now)),
            None => "Up to date".to_owned(),
        },
    }
}

/// The time between two moments, in its largest unit.
pub fn ago(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    match seconds {
        s if s < 60 => format!("{s} s"),
        s if s < 3_600 => format!("{} min", s / 60),
        s if s < 172_800 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}

pub fn size(bytes: u64) -> String {
    match bytes {
        b if b < 1_000 => format!("{b} bytes"),
        b if b < 1_000_000 => format!("{:.1} kB", b as f64 / 1e3),
        b if b < 1_000_000_000 => format!("{:.1} MB", b as f64 / 1e6),
        b => format!("{:.1} GB", b as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_said_in_their_largest_unit() {
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        for (seconds, said) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_300, "2 h"), (259_200, "3 days"), (-5, "0 s")]
        {
            assert_eq!(ago(at(1_000_000), at(1_000_000 + seconds)), said);
        }
        assert_eq!([size(12), size(1_500), size(2_000_000)], ["12 bytes", "1.5 kB", "2.0 MB"]);
    }
}
