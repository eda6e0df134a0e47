//! Answers, each under the size a browser accepts.

use heyho_buffer::{Appended, BufferError};
use heyho_records::native::{Answer, ErrorCode, MAX_TO_BROWSER, NackCode, Rejected, RequestId};
use heyho_records::status::Status;
use std::cmp::Reverse;

/// Room for everything in an answer but the list of the rejected.
const ENVELOPE: usize = 4_096;
const LONGEST_ERROR: usize = 300;
/// Of browser profiles in a status.
const MOST_BROWSERS: usize = 50;

pub fn ack(id: Option<RequestId>, appended: Appended) -> Answer {
    let mut left = MAX_TO_BROWSER - ENVELOPE;
    let total = appended.rejected.len();
    let mut rejected: Vec<Rejected> = Vec::new();
    for mut one in appended.rejected {
        one.error = one.error.chars().take(LONGEST_ERROR).collect();
        let size = serde_json::to_string(&one).map_or(usize::MAX, |json| json.len() + 1);
        if size > left {
            break;
        }
        left -= size;
        rejected.push(one);
    }
    let rejected_more = (total - rejected.len()) as u64;
    Answer::Ack { id, counts: appended.counts, rejected, rejected_more }
}

pub fn nack(id: Option<RequestId>, error: &BufferError) -> Answer {
    let (code, retry_after_ms) = match error {
        BufferError::Busy | BufferError::Replaced | BufferError::Changed => (NackCode::BufferBusy, 1_000),
        BufferError::DiskFull | BufferError::Full { .. } => (NackCode::BufferFull, 60_000),
        BufferError::SchemaNewer => (NackCode::SchemaNewer, 300_000),
        BufferError::Partly { .. }
        | BufferError::OldSqlite { .. }
        | BufferError::DiskFails
        | BufferError::Unavailable(_)
        | BufferError::Refused(_)
        | BufferError::Damaged(_) => (NackCode::BufferUnavailable, 30_000),
    };
    Answer::Nack { id, code, error: error.to_string(), retry_after_ms }
}

pub fn error(id: Option<RequestId>, code: ErrorCode, error: String) -> Answer {
    Answer::Error { id, code, error, supported: None }
}

/// A status as an extension is told it: with the browsers that are connected, and of the others those seen last.
pub fn status(id: Option<RequestId>, mut status: Status) -> Answer {
    if status.browsers.len() > MOST_BROWSERS {
        status.browsers.sort_by_key(|browser| (!browser.connected, Reverse(browser.last_seen_at)));
        status.browsers.truncate(MOST_BROWSERS);
    }
    Answer::Status { id, status: Box::new(status) }
}

/// As JSON under the limit; an answer that is too large, which none is that the host makes, is replaced.
pub fn json(answer: &Answer) -> Vec<u8> {
    match serde_json::to_vec(answer) {
        Ok(json) if json.len() <= MAX_TO_BROWSER => json,
        Ok(json) => {
            tracing::error!("an answer of {} bytes was not sent", json.len());
            br#"{"type":"error","code":"bad_message","error":"the answer is too large for the browser"}"#
                .to_vec()
        }
        Err(e) => {
            tracing::error!("an answer could not be written: {e}");
            br#"{"type":"error","code":"bad_message","error":"the answer could not be written"}"#.to_vec()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_records::status::Browser;
    use heyho_records::{Code, Kind};

    #[test]
    fn a_status_of_six_thousand_profiles_names_those_that_are_connected_and_the_latest() {
        let mut status = Status::broken("", true);
        let at = |n: usize| format!("2026-01-01T{:02}:{:02}:{:02}Z", n / 3_600, n / 60 % 60, n % 60);
        let browser = |n: usize| {
            let (name, profile) = ("\u{1}".repeat(128), "\u{1}".repeat(256));
            serde_json::from_value(serde_json::json!({
                "name": name, "profileId": profile, "lastSeenAt": at(n), "connected": n == 7
            }))
        };
        status.browsers = (0..6_000).map(|n| browser(n).unwrap()).collect();
        let answer = super::status(None, status);
        assert!(json(&answer).len() <= MAX_TO_BROWSER);
        let Answer::Status { status, .. } = answer else { panic!() };
        assert_eq!(status.browsers.len(), MOST_BROWSERS);
        assert!(status.browsers[0].connected);
        let latest = |browser: &Browser| browser.last_seen_at.unwrap().to_string() > at(5_900);
        assert!(status.browsers[1..].iter().all(latest));
    }

    #[test]
    fn an_ack_of_two_thousand_rejected_stays_under_the_limit_and_still_adds_up() {
        let one = Rejected {
            kind: Kind::PageVisit,
            index: 7,
            record_id: Some("\u{1}".repeat(128)),
            code: Code::InvalidUrl,
            error: "\u{1}".repeat(5_000),
        };
        let appended = Appended { rejected: vec![one; 2_000], ..Appended::default() };
        let answer = ack(None, appended);
        assert!(json(&answer).len() <= MAX_TO_BROWSER);
        let Answer::Ack { rejected, rejected_more, .. } = answer else { panic!() };
        assert_eq!(rejected.len() as u64 + rejected_more, 2_000);
        assert!(rejected_more > 0);
    }
}
