//! Tables: what was sent is always the same, what comes back is not.

use super::*;
use crate::answer::{TlsProblem, TransportError};
use crate::task::RowRef;

/// Two visits, v1 and v2, and one aggregate, a1, in batch b.
fn items() -> Vec<BatchItem> {
    [("v1", Kind::PageVisit), ("v2", Kind::PageVisit), ("a1", Kind::TabAggregate)]
        .into_iter()
        .zip(1..)
        .map(|((id, kind), seq)| BatchItem {
            row: RowRef { kind, seq, revision: 1 },
            id: id.to_owned(),
            attempts: 0,
            role: Role::Own,
        })
        .collect()
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.into(), ..Answer::default() }
}

fn judge_items(items: &[BatchItem], answer: Answer) -> Verdict {
    classify(&Ok(answer), Sent { batch_id: "b", items, bytes: 1_000 })
}

fn judge(answer: Answer) -> Verdict {
    judge_items(&items(), answer)
}

/// A verdict in a few words, so that a table can be read.
fn words(verdict: &Verdict) -> String {
    let names = |named: &[Named]| named.iter().map(|it| it.index.to_string()).collect::<Vec<_>>().join(",");
    let list = |list: &[usize]| list.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    match verdict {
        Verdict::Accounted(it) => {
            format!(
                "confirm [{}] refuse [{}] short [{}]",
                list(&it.confirmed),
                names(&it.refused),
                list(&it.short)
            )
        }
        Verdict::Named(named) => format!("named [{}]", names(named)),
        Verdict::Refused { status, calls_invalid: true, .. } => format!("invalid {status}"),
        Verdict::Refused { status, .. } => format!("refused {status}"),
        Verdict::TooLarge { limit: Some(limit) } => format!("too large, limit {limit}"),
        Verdict::TooLarge { limit: None } => "too large".into(),
        Verdict::TooMany => "too many".into(),
        Verdict::KeyReused => "new key".into(),
        Verdict::SignedOut => "signed out".into(),
        Verdict::Configuration(why) => format!("stop: {}", why.code()),
        Verdict::Later { why, floor, server_fault } => {
            let floor = floor.map(|it| format!(" after {} s", it.as_secs())).unwrap_or_default();
            let fault = if *server_fault { ", its own fault" } else { "" };
            let answer = match why {
                Why::NotProof { answer } => format!(" {answer:?}"),
                _ => String::new(),
            };
            format!("later: {}{answer}{floor}{fault}", why.code())
        }
    }
}

#[track_caller]
fn table(rows: &[(u16, &str, &str)]) {
    for (status, body, expected) in rows {
        assert_eq!(words(&judge(answer(*status, body))), *expected, "status {status}, body {body}");
    }
}

#[test]
fn a_200_confirms_what_its_counts_account_for() {
    table(&[
        (
            200,
            r#"{"success":true,"batchId":"b","data":{"page_visits_synced":2,"tab_aggregates_synced":1,"rejected_records_count":0,"validation_errors":[]}}"#,
            "confirm [0,1,2] refuse [] short []",
        ),
        // The counts at the top, no rejected count.
        (200, r#"{"page_visits_synced":2,"tab_aggregates_synced":1}"#, "confirm [0,1,2] refuse [] short []"),
        // A byte order mark, numbers with a point.
        (
            200,
            "\u{feff}{\"data\":{\"page_visits_synced\":2.0,\"tab_aggregates_synced\":1.0}}",
            "confirm [0,1,2] refuse [] short []",
        ),
        // S0: nothing is counted, nothing is wrong.
        (200, r#"{"success":true}"#, "confirm [0,1,2] refuse [] short []"),
        (200, r#"{"success":true,"status":"Success","code":200}"#, "confirm [0,1,2] refuse [] short []"),
        // Refusals of records that were not sent, or that nobody can read: nobody knows what was saved.
        (200, r#"{"validation_errors":[{"record_id":"other"}]}"#, "confirm [] refuse [] short [0,1,2]"),
        (200, r#"{"data":{"validation_errors":["one is bad"]}}"#, "confirm [] refuse [] short [0,1,2]"),
        (
            200,
            r#"{"success":true,"data":{"page_visits_synced":2,"tab_aggregates_synced":1,"rejected_records_count":0,
                "validation_errors":[{"record_id":"other","message":"x"}]}}"#,
            "confirm [] refuse [] short [0,1,2]",
        ),
        (200, "{}", "confirm [0,1,2] refuse [] short []"),
        (
            200,
            r#"{"error":null,"errors":[],"message":"ok","code":"OK"}"#,
            "confirm [0,1,2] refuse [] short []",
        ),
        // An unknown success message with unknown fields.
        (200, r#" {"success":true,"more":{"deep":[1]}} "#, "confirm [0,1,2] refuse [] short []"),
    ]);
}

#[test]
fn a_count_that_is_short_confirms_nothing_of_its_kind() {
    table(&[
        (
            200,
            r#"{"data":{"page_visits_synced":1,"tab_aggregates_synced":1}}"#,
            "confirm [2] refuse [] short [0,1]",
        ),
        (
            200,
            r#"{"data":{"page_visits_synced":2,"tab_aggregates_synced":0}}"#,
            "confirm [0,1] refuse [] short [2]",
        ),
        (
            200,
            r#"{"data":{"page_visits_synced":0,"tab_aggregates_synced":0}}"#,
            "confirm [] refuse [] short [0,1,2]",
        ),
        // A count of one kind only says nothing of the other.
        (200, r#"{"data":{"page_visits_synced":2}}"#, "confirm [0,1] refuse [] short [2]"),
        // More than was sent is not a proof either, nor is a count that is none.
        (
            200,
            r#"{"data":{"page_visits_synced":3,"tab_aggregates_synced":1}}"#,
            "confirm [2] refuse [] short [0,1]",
        ),
        (
            200,
            r#"{"data":{"page_visits_synced":"2","tab_aggregates_synced":1}}"#,
            "confirm [2] refuse [] short [0,1]",
        ),
        (
            200,
            r#"{"data":{"page_visits_synced":2.5,"tab_aggregates_synced":-1}}"#,
            "confirm [] refuse [] short [0,1,2]",
        ),
        // More rejected than missing: it contradicts itself.
        (
            200,
            r#"{"data":{"page_visits_synced":2,"tab_aggregates_synced":1,"rejected_records_count":1}}"#,
            "confirm [] refuse [] short [0,1,2]",
        ),
        // One rejected, nobody named: its kind is the short one.
        (
            200,
            r#"{"data":{"page_visits_synced":1,"tab_aggregates_synced":1,"rejected_records_count":1}}"#,
            "confirm [2] refuse [] short [0,1]",
        ),
        // S0's shape, but it says that one was refused.
        (
            200,
            r#"{"success":true,"data":{"rejected_records_count":1}}"#,
            "confirm [] refuse [] short [0,1,2]",
        ),
    ]);
}

#[test]
fn records_named_in_a_200_are_refused_and_the_others_confirmed_if_the_counts_add_up() {
    table(&[
        (
            200,
            r#"{"success":true,"data":{"page_visits_synced":1,"tab_aggregates_synced":1,"rejected_records_count":1,
               "validation_errors":[{"record_id":"v2","record_type":"page_visit","field":"url","message":"is invalid"}]}}"#,
            "confirm [0,2] refuse [1] short []",
        ),
        // Named, yet counted as saved: the one is refused, of the other nothing is known.
        (
            200,
            r#"{"data":{"page_visits_synced":2,"tab_aggregates_synced":1,"rejected_records_count":1,
               "validation_errors":[{"record_id":"v2","record_type":"PageVisit","message":"x"}]}}"#,
            "confirm [2] refuse [1] short [0]",
        ),
        // Named twice is one record.
        (
            200,
            r#"{"data":{"page_visits_synced":1,"tab_aggregates_synced":1,
               "validation_errors":[{"record_id":"v2","message":"x"},{"record_id":"v2","message":"y"}]}}"#,
            "confirm [0,2] refuse [1] short []",
        ),
        // A name that was not sent changes nothing.
        (
            200,
            r#"{"data":{"page_visits_synced":2,"tab_aggregates_synced":1,"validation_errors":[{"record_id":"zz"}]}}"#,
            "confirm [] refuse [] short [0,1,2]",
        ),
    ]);
}

#[test]
fn a_200_that_is_not_a_proof_deletes_nothing() {
    table(&[
        (200, "", "later: not_proof Empty"),
        (200, " \n", "later: not_proof Empty"),
        (200, "<!DOCTYPE html><html>Welcome to our hotel", "later: portal"),
        (200, "\n<html>", "later: portal"),
        (200, "OK", "later: not_proof NotJson"),
        (200, r#"{"success":true,"data":{"page_visi"#, "later: not_proof NotJson"),
        (200, "[]", "later: not_proof NotAnObject"),
        (200, "null", "later: not_proof NotAnObject"),
        (200, "true", "later: not_proof NotAnObject"),
        (200, r#"{"success":false}"#, "later: not_proof SaysNo, its own fault"),
        (200, r#"{"success":"yes"}"#, "later: not_proof SaysNo, its own fault"),
        (
            200,
            r#"{"error":"busy","data":{"page_visits_synced":2,"tab_aggregates_synced":1}}"#,
            "later: not_proof SaysNo, its own fault",
        ),
        (200, r#"{"success":true,"batchId":"another"}"#, "later: not_proof OtherBatch"),
        (200, r#"{"status":"error"}"#, "later: not_proof SaysNo, its own fault"),
        (200, r#"{"success":true,"status":"queued"}"#, "later: not_proof SaysNo, its own fault"),
        (200, r#"{"success":true,"code":"MAINTENANCE"}"#, "later: not_proof SaysNo, its own fault"),
        (200, r#"{"code":17}"#, "later: not_proof SaysNo, its own fault"),
        (201, r#"{"success":true}"#, "later: not_proof OtherStatus(201)"),
        (202, r#"{"success":true}"#, "later: not_proof OtherStatus(202)"),
        (204, "", "later: not_proof OtherStatus(204)"),
    ]);
}

#[test]
fn a_refusal_names_records_or_is_judged_by_its_shape() {
    table(&[
        (
            400,
            r#"{"success":false,"code":"VALIDATION_ERROR","error":"x","failed_records":[
               {"kind":"pageVisit","index":1,"id":"v2","field":"url","error":"bad"},
               {"kind":"tabAggregate","index":0,"id":null,"field":"tabId","error":"bad"}]}"#,
            "named [1,2]",
        ),
        // S0: no code, no success, only the id.
        (
            400,
            r#"{"error":"Validation failed","failed_records":[{"id":"v1","error":"Invalid URL"}]}"#,
            "named [0]",
        ),
        (422, r#"{"failed_records":[{"id":"v1"}]}"#, "named [0]"),
        // Names that fit nothing are no names.
        (
            400,
            r#"{"failed_records":[{"id":"zz"},{"index":0},{"kind":"pageVisit","index":9},5,null]}"#,
            "invalid 400",
        ),
        (400, r#"{"success":false,"code":"VALIDATION_ERROR","error":"x"}"#, "invalid 400"),
        // HeyHo: all were refused, nobody is named.
        (400, r#"{"success":false,"message":"All records were rejected","errors":[]}"#, "invalid 400"),
        (400, r#"{"success":false,"message":"no"}"#, "refused 400"),
        (400, r#"{"status":400,"error":"Bad Request"}"#, "refused 400"),
        (400, "<html><h1>400 Bad Request</h1></html>", "refused 400"),
        (400, "", "refused 400"),
        (422, "{}", "refused 422"),
        (400, r#"{"code":"BATCH_TOO_LARGE"}"#, "too many"),
        (413, r#"{"code":"PAYLOAD_TOO_LARGE","max_bytes":500}"#, "too large, limit 500"),
        (413, r#"{"code":"PAYLOAD_TOO_LARGE","max_bytes":5000}"#, "too large"),
        (413, r#"{"max_bytes":0}"#, "too large"),
        (413, "<html>Request Entity Too Large</html>", "too large"),
        (422, r#"{"success":false,"code":"IDEMPOTENCY_KEY_REUSED","error":"x"}"#, "new key"),
    ]);
}

#[test]
fn the_code_decides_before_the_status() {
    table(&[
        (500, r#"{"code":"VALIDATION_ERROR","failed_records":[{"id":"v1"}]}"#, "named [0]"),
        (200, r#"{"success":true,"code":"VALIDATION_ERROR"}"#, "invalid 200"),
        (400, r#"{"code":"RATE_LIMITED","retry_after":7}"#, "later: rate_limited after 7 s"),
        (403, r#"{"code":"UNAUTHORIZED"}"#, "signed out"),
        (500, r#"{"code":"PAYLOAD_TOO_LARGE"}"#, "too large"),
        (400, r#"{"code":"IDEMPOTENCY_IN_PROGRESS"}"#, "later: still_working"),
        (400, r#"{"code":"IDEMPOTENCY_KEY_REUSED"}"#, "new key"),
        (200, r#"{"success":false,"code":"SYNC_FAILED"}"#, "later: server_error, its own fault"),
        (404, r#"{"code":"SOMETHING_NEW"}"#, "stop: not_found"),
        (500, r#"{"code":42}"#, "later: server_error, its own fault"),
    ]);
}

#[test]
fn every_other_status_has_one_action() {
    table(&[
        (401, r#"{"success":false,"message":"Unauthorized"}"#, "signed out"),
        (401, "", "signed out"),
        (401, "<html>", "later: portal"),
        (403, "{}", "stop: forbidden"),
        (404, "<html>", "stop: not_found"),
        (410, "", "stop: not_found"),
        (405, "", "stop: method_not_allowed"),
        (501, "", "stop: method_not_allowed"),
        (407, "", "stop: proxy_sign_in"),
        (426, "", "stop: upgrade_required"),
        (402, "", "stop: unexpected_status"),
        (418, "", "stop: unexpected_status"),
        (451, "", "stop: unexpected_status"),
        (408, "", "later: no_answer"),
        (425, "", "later: no_answer"),
        (409, "{}", "later: still_working"),
        (429, "", "later: rate_limited"),
        (429, r#"{"retry_after":3}"#, "later: rate_limited after 3 s"),
        (429, r#"{"data":{"retry_after":"9"}}"#, "later: rate_limited after 9 s"),
        (500, r#"{"success":false,"message":"Data sync failed"}"#, "later: server_error, its own fault"),
        (502, "<html>", "later: server_error, its own fault"),
        (503, r#"{"retry_after":60}"#, "later: server_error after 60 s, its own fault"),
        (511, "<html>", "later: portal"),
        (599, "", "later: server_error, its own fault"),
        (600, "", "stop: unexpected_status"),
        (100, "", "later: not_proof OtherStatus(100)"),
    ]);
}

#[test]
fn no_status_and_no_body_ever_confirms_but_a_200_with_an_object() {
    let bodies =
        ["", "{}", "[]", "OK", "<html>", r#"{"success":true}"#, r#"{"success":false}"#, "\u{0}", "{"];
    for status in 0..=1_000 {
        for body in bodies {
            let confirms =
                matches!(judge(answer(status, body)), Verdict::Accounted(it) if !it.confirmed.is_empty());
            assert_eq!(
                confirms,
                status == 200 && matches!(body, "{}" | r#"{"success":true}"#),
                "{status} {body}"
            );
        }
    }
}

#[test]
fn retry_after_is_read_from_header_or_body_and_capped_at_an_hour() {
    let date = Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
    for (header, date, body, expected) in [
        (Some("120"), None, "", Some(120)),
        (Some(" 1.5 "), None, "", Some(1)),
        (Some("0"), None, "", Some(0)),
        (Some("999999999999"), None, "", Some(3_600)),
        (Some("-5"), None, "", Some(0)),
        (Some("Sun, 06 Nov 1994 08:51:37 GMT"), date.clone(), "", Some(120)),
        (Some("Sun, 06 Nov 1994 08:00:00 GMT"), date.clone(), "", Some(0)),
        (Some("Sat, 06 Nov 2094 08:49:37 GMT"), date.clone(), "", Some(3_600)),
        // Without the backend's own clock, or unreadable: one interval.
        (Some("Sun, 06 Nov 1994 08:51:37 GMT"), None, "", Some(300)),
        (Some("soon"), date.clone(), "", Some(300)),
        (Some("NaN"), None, "", Some(300)),
        (Some("inf"), None, "", Some(300)),
        // The header wins over the body.
        (Some("5"), None, r#"{"retry_after":60}"#, Some(5)),
        (None, None, r#"{"retry_after":1e300}"#, Some(3_600)),
        (None, None, r#"{"retry_after":"x"}"#, None),
        (None, None, "", None),
    ] {
        let answer = Answer {
            status: 429,
            retry_after: header.map(str::to_owned),
            date,
            body: body.into(),
            ..Answer::default()
        };
        let Verdict::Later { floor, .. } = judge(answer) else { panic!("a 429 is for later") };
        assert_eq!(floor.map(|it| it.as_secs()), expected, "{header:?} {body}");
    }
}

#[test]
fn redirects_are_never_followed() {
    let other = || Redirect::OtherOrigin("https://elsewhere.example".into());
    for (status, redirect, expected) in [
        (302, Some(other()), "later: portal"),
        (307, Some(other()), "later: portal"),
        (301, Some(other()), "stop: moved"),
        (308, Some(other()), "stop: moved"),
        (302, Some(Redirect::SameOrigin), "stop: moved"),
        (301, Some(Redirect::Unreadable), "stop: moved"),
        (304, None, "stop: moved"),
    ] {
        let verdict = judge(Answer { status, redirect, ..Answer::default() });
        assert_eq!(words(&verdict), expected, "{status}");
    }
}

#[test]
fn without_an_answer_it_is_tried_later_and_no_record_is_to_blame() {
    for error in [
        TransportError::Dns,
        TransportError::Refused,
        TransportError::ConnectionLost,
        TransportError::AnswerTimeout,
        TransportError::BodyTooLarge,
        TransportError::Tls { problem: TlsProblem::Expired },
    ] {
        let verdict = classify(&Err(error), Sent { batch_id: "b", items: &items(), bytes: 1 });
        assert_eq!(words(&verdict), "later: no_answer");
    }
}

#[test]
fn an_anchor_is_expected_in_the_counts_and_never_confirmed() {
    let mut items = items();
    items[0].role = Role::Anchor;
    let body = r#"{"data":{"page_visits_synced":2,"tab_aggregates_synced":1}}"#;
    assert_eq!(words(&judge_items(&items, answer(200, body))), "confirm [1,2] refuse [] short []");
    let body = r#"{"data":{"page_visits_synced":1,"tab_aggregates_synced":1}}"#;
    assert_eq!(words(&judge_items(&items, answer(200, body))), "confirm [2] refuse [] short [1]");
}

#[test]
fn an_id_of_two_records_is_told_apart_by_kind_or_place_or_not_at_all() {
    let mut items = items();
    items[1].id = "v1".into();
    items[2].id = "v1".into();
    for (entry, expected) in [
        (r#"{"id":"v1"}"#, "invalid 400"),
        (r#"{"id":"v1","kind":"pageVisit"}"#, "invalid 400"),
        (r#"{"id":"v1","kind":"pageVisit","index":1}"#, "named [1]"),
        (r#"{"id":"v1","kind":"pageVisit","index":7}"#, "invalid 400"),
        (r#"{"id":"v1","record_type":"TabAggregate"}"#, "named [2]"),
        (r#"{"id":"other","kind":"pageVisit","index":1}"#, "invalid 400"),
    ] {
        let body = format!(r#"{{"failed_records":[{entry}]}}"#);
        assert_eq!(words(&judge_items(&items, answer(400, &body))), expected, "{entry}");
    }
}

#[test]
fn what_the_backend_says_is_kept_short_and_printable() {
    let long = "x".repeat(5_000);
    let body =
        format!(r#"{{"failed_records":[{{"id":"v1","field":"url\n","error":["a\u0007b","{long}"]}}]}}"#);
    let Verdict::Named(named) = judge(answer(400, &body)) else { panic!("named") };
    assert_eq!(named[0].field.as_deref(), Some("url"));
    assert!(named[0].message.starts_with("a b; x"));
    assert_eq!(named[0].message.chars().count(), policy::MESSAGE_CHARS);
}

#[test]
fn a_check_is_good_only_when_a_known_shape_names_the_user() {
    for (status, body, good) in [
        (200, r#"{"success":true,"data":{"user":{"id":"7","email":"a@b"}}}"#, true),
        (200, r#"{"success":true,"data":{"id":7,"email":"a@b"}}"#, true),
        (200, r#"{"user":{"email":"a@b"}}"#, true),
        (200, r#"{"id":7}"#, true),
        (200, r#"{"success":false,"data":{"user":{"id":"7"}}}"#, false),
        (200, r#"{"success":true}"#, false),
        (200, "{}", false),
        (200, "<html>", false),
        (200, "", false),
        (204, "", false),
        (500, r#"{"user":{"id":"7"}}"#, false),
    ] {
        let verdict = classify_check(&Ok(answer(status, body)));
        assert_eq!(verdict == CheckVerdict::Good, good, "{status} {body}: {verdict:?}");
    }
    assert_eq!(classify_check(&Ok(answer(401, ""))), CheckVerdict::SignedOut);
    assert_eq!(classify_check(&Ok(answer(404, ""))), CheckVerdict::Configuration(Why::NotFound));
}

#[test]
fn every_reason_has_its_own_word_and_a_sentence() {
    let whys = [
        Why::Emptied,
        Why::SessionExpired,
        Why::NoAnswer { error: TransportError::Dns },
        Why::ServerError { status: 500 },
        Why::Portal,
        Why::NotProof { answer: NotProof::Empty },
        Why::Moved { origin: None },
        Why::RefusesEverything { status: 400, kind: None },
        Why::RefusesEverything { status: 400, kind: Some(Kind::PageVisit) },
    ];
    for why in whys {
        let sentence = why.sentence();
        assert!(sentence.ends_with(['.', ')']) && sentence.len() > 20, "{sentence}");
        let stored = serde_json::to_value(&why).unwrap();
        assert_eq!(stored["why"], why.code());
        assert_eq!(serde_json::from_value::<Why>(stored).unwrap(), why);
    }
}
