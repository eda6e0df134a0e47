//! What must hold for any bytes whatever: one function a target, which panics where it does not hold. Fed by
//! `main.rs` beside this with the corpus and mutations of it, and by libFuzzer (`fuzz/`).

use heyho_records::json::Json;
use heyho_records::native::{Ask, Request};
use heyho_records::record::BOOKKEEPING;
use heyho_records::rules::{self, Action, Dropped, Match, Rule};
use heyho_records::{Kind, Record};

#[path = "../../../native-host/src/frames.rs"]
mod frames;

/// A frame's JSON: understood or refused, never more than that; and its records are parts of it.
pub fn frame(data: &[u8]) {
    let request = Request::read(data);
    let id = serde_json::to_string(&request.id).unwrap();
    assert!(id.len() <= 128 * 6 + 2, "an id is cut");
    match request.ask {
        Ask::Records { page_visits, tab_aggregates, .. } => {
            assert!(page_visits.len() <= 1_000 && tab_aggregates.len() <= 1_000);
            let whole = data.as_ptr_range();
            for (kind, raws) in [(Kind::PageVisit, page_visits), (Kind::TabAggregate, tab_aggregates)] {
                for raw in raws {
                    assert!(whole.contains(&raw.as_ptr()), "split, not copied");
                    one(kind, raw);
                }
            }
        }
        Ask::Refused { error, .. } => assert!(!error.is_empty()),
        _ => {}
    }
}

/// A record's JSON, of either kind.
pub fn record(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    one(Kind::PageVisit, &text);
    one(Kind::TabAggregate, &text);
}

fn one(kind: Kind, raw: &str) {
    let record = match Record::read(kind, raw) {
        Ok(record) => record,
        Err(rejection) => {
            assert!(!rejection.message.is_empty());
            assert!(rejection.record_id.is_none_or(|id| id.chars().count() <= 128));
            return;
        }
    };
    assert!((1..=128).contains(&record.id.chars().count()));
    assert!(!record.text.contains('\n') || raw.contains('\n'));
    // What is stored is read as the same record, and as the same text, for ever.
    let again = Record::read(kind, &record.text).unwrap();
    assert_eq!(again.text, record.text);
    assert_eq!((&again.id, again.digest), (&record.id, record.digest));
    assert_eq!(again.completeness.cmp(&record.completeness), std::cmp::Ordering::Equal);
    for key in BOOKKEEPING {
        assert!(record.tree.get(key).is_none());
    }
    // It can be stored by anything that stores text: whole characters, and none of them U+0000.
    no_nul(&record.tree);
    // Equal values are equal however often they are written.
    let canonical = record.tree.canonical();
    assert_eq!(Json::parse(&canonical).unwrap().canonical(), canonical);
}

fn no_nul(tree: &Json) {
    match tree {
        Json::String(text) => assert!(!text.contains('\0')),
        Json::Array(items) => items.iter().for_each(no_nul),
        Json::Object(entries) => {
            for (key, value) in entries {
                assert!(!key.contains('\0'));
                no_nul(value);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// Privacy rules: what they leave of a record they leave a second time, and the site is not in its addresses.
pub fn rules(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let rule = |r#match, pattern: &str, action| Rule {
        id: String::new(),
        r#match,
        pattern: pattern.to_owned(),
        action,
    };
    let rules = [
        rule(Match::Host, "*.bank.example", Action::Drop),
        rule(Match::Url, "https://*/private/*", Action::Drop),
        rule(Match::Host, "mail.example", Action::Strip),
    ];
    for kind in Kind::ALL {
        let mut dropped = Dropped::default();
        let Some(left) = rules::apply(&rules, kind, &text, &mut dropped) else { continue };
        let twice = rules::apply(&rules, kind, &left, &mut dropped);
        // Where nothing is changed it may be no JSON at all; where something is, it is an object.
        assert_eq!(twice.as_deref(), Some(&*left));
        let Ok(tree) = Json::parse(&heyho_records::json::repair(&left)) else { continue };
        for name in ["url", "currentUrl"] {
            let Some(address) = tree.get(name).and_then(Json::as_str) else { continue };
            assert!(!address.starts_with("https://bank.example/"), "{left}");
            if address.starts_with("https://mail.example/") {
                assert!(!address.contains(['?', '#']), "{left}");
            }
        }
    }
}

/// The pipe: any bytes come out as whole frames, the end, or a length that is refused.
pub fn pipe(data: &[u8]) {
    use frames::{FrameReader, Inbound};
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut reader, mut at) = (FrameReader::new(data), 0);
        while let Some(inbound) = reader.next().await.unwrap() {
            let length = u32::from_ne_bytes(data[at..at + 4].try_into().unwrap()) as usize;
            match inbound {
                Inbound::Frame { bytes, held } => {
                    assert_eq!(bytes, &data[at + 4..at + 4 + length]);
                    at += 4 + length;
                    frame(&bytes);
                    drop(held);
                    let mut written = Vec::new();
                    if bytes.len() <= heyho_records::native::MAX_TO_BROWSER {
                        frames::write(&mut written, &bytes).await.unwrap();
                        assert_eq!(written, &data[at - 4 - length..at]);
                    }
                }
                Inbound::TooLarge { length: said } => {
                    assert_eq!(said, length);
                    assert!(length > heyho_records::native::MAX_FROM_BROWSER);
                    return;
                }
            }
        }
    });
}
