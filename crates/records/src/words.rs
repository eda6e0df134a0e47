//! English for people: numbers, plurals, times and sizes, said the same everywhere. The window and the tray have
//! their own languages (ui/src/messages, src-tauri/src/words.rs); this is the agent and the command line.

use jiff::Timestamp;

/// With the thousands apart: 1,204.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `1,204 records`, `2 old copies`.
pub fn count(n: u64, one: &str) -> String {
    match (n, one.strip_suffix('y')) {
        (1, _) => format!("1 {one}"),
        (n, Some(stem)) => format!("{} {stem}ies", number(n)),
        (n, None) => format!("{} {one}s", number(n)),
    }
}

/// The time between two moments, in its largest unit. Never negative: a clock that was set back makes nothing
/// come from the future.
pub fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    match seconds {
        s if s < 60 => format!("{s} s"),
        s if s < 3_600 => format!("{} min", s / 60),
        s if s < 172_800 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}

/// `just now`, `2 min ago`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    match now.duration_since(at).as_secs() {
        s if s < 5 => "just now".to_owned(),
        _ => format!("{} ago", span(at, now)),
    }
}

pub fn size(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        b if b < 1_000 => format!("{b} bytes"),
        b if b < 1_000_000 => format!("{:.1} kB", b as f64 / 1e3),
        b if b < 1_000_000_000 => format!("{:.1} MB", b as f64 / 1e6),
        b => format!("{:.1} GB", b as f64 / 1e9),
    }
}

/// What waits, for the heading of a status: `1,204 records waiting`.
pub fn waiting(n: u64) -> String {
    match n {
        0 => NOTHING_WAITING.to_owned(),
        n => format!("{} waiting", count(n, "record")),
    }
}

/// The headings of a status, as the window has them too (ui/src/messages/en/everyday.ts; a test compares them).
pub const UP_TO_DATE: &str = "Up to date";
pub const CHECKING: &str = "Checking with the backend";
pub const NOTHING_WAITING: &str = "Nothing waiting, not confirmed lately";
pub const RETRYING: &str = "Could not deliver";
pub const NEEDS_ATTENTION: &str = "Sync needs your attention";
pub const PAUSED: &str = "Paused";
pub const SESSION_EXPIRED: &str = "Session expired. Sign in again";
pub const SIGNED_OUT: &str = "Sign in to start";
pub const BUFFER_PROBLEM: &str = "The store on this computer has a problem";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart_and_words_their_plural() {
        let said = [0, 999, 1_000, 48_310, 1_234_567].map(number);
        assert_eq!(said, ["0", "999", "1,000", "48,310", "1,234,567"]);
        assert_eq!([0, 1, 1_204].map(|n| count(n, "record")), ["0 records", "1 record", "1,204 records"]);
        assert_eq!([1, 2].map(|n| count(n, "copy")), ["1 copy", "2 copies"]);
    }

    #[test]
    fn the_window_says_the_same() {
        let window = include_str!("../../../ui/src/messages/en/everyday.ts");
        for said in [
            UP_TO_DATE,
            CHECKING,
            NOTHING_WAITING,
            RETRYING,
            NEEDS_ATTENTION,
            PAUSED,
            SESSION_EXPIRED,
            SIGNED_OUT,
            BUFFER_PROBLEM,
        ] {
            assert!(window.contains(&format!("{said:?}")), "the window does not say {said:?}");
        }
    }

    #[test]
    fn times_and_sizes_are_said_in_their_largest_unit() {
        let at = |s: i64| Timestamp::from_second(1_000_000 + s).unwrap();
        for (seconds, said) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_300, "2 h"), (259_200, "3 days"), (-5, "0 s")]
        {
            assert_eq!(span(at(0), at(seconds)), said);
        }
        assert_eq!([4, 60, -9].map(|s| ago(at(0), at(s))), ["just now", "1 min ago", "just now"]);
        assert_eq!([1, 12, 1_500, 2_000_000].map(size), ["1 byte", "12 bytes", "1.5 kB", "2.0 MB"]);
    }
}
