//! Answers, each under the size a browser accepts.

use heyho_buffer::{Appended, BufferError};
use heyho_records::native::{Answer, ErrorCode, MAX_TO_BROWSER, NackCode, Rejected, RequestId};

/// Room for everything in an answer but the list of the rejected.
const ENVELOPE: usize = 4_096;
const LONGEST_ERROR: usize = 300;

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
        BufferError::OldSqlite { .. }
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

/// As JSON under the limit; an answer that is too large (which only a list in a status could be) is replaced.
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
    use heyho_records::{Code, Kind};

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
