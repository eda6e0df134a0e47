//! What a batch says of where its records come from, where all of them come from one browser profile: HeyHo's
//! service logs it (`extensionVersion`, `browserName`, `browserVersion`, `anonymousClientId`).

use heyho_buffer::{SourceSeen, Waiting};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The one source of all these rows.
pub fn one_source(rows: &[Waiting]) -> Option<&str> {
    let first = &rows.first()?.source;
    rows.iter().all(|row| row.source == *first).then_some(first)
}

pub fn extras(rows: &[Waiting], sources: &[SourceSeen]) -> BTreeMap<String, String> {
    let Some(source) = one_source(rows) else { return BTreeMap::new() };
    let seen = sources.iter().find(|seen| seen.name == source);
    let mut client = seen.map(|seen| seen.client.split('\u{1f}')).into_iter().flatten().skip(1);
    let of = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let (version, browser_version) = (of(client.next()), of(client.next()));
    [
        ("anonymousClientId", anonymous(rows)),
        ("browserName", of(seen.map(|seen| seen.browser.as_str()))),
        ("browserVersion", browser_version),
        ("extensionVersion", version),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

/// The one that all records name; those of a time before it existed name none.
fn anonymous(rows: &[Waiting]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        anonymous_client_id: Option<String>,
    }
    let of = |row: &Waiting| serde_json::from_str::<Named>(&row.text).ok()?.anonymous_client_id;
    // Most batches name none at all: not worth reading them twice.
    let first = of(rows.first()?)?;
    rows.iter().all(|row| of(row).as_ref() == Some(&first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use heyho_records::Kind;

    fn row(source: &str, text: &str) -> Waiting {
        Waiting {
            seq: 1,
            revision: 1,
            kind: Kind::PageVisit,
            id: "a".into(),
            id_derived: false,
            source: source.into(),
            text: text.into(),
            page_visit_id: None,
            attempts: 0,
            captured_at: 0,
            tab: None,
            life: None,
            anchor: None,
            intact: true,
        }
    }

    fn seen(client: &str) -> SourceSeen {
        SourceSeen {
            name: "ext#p".into(),
            browser: "Firefox".into(),
            profile_id: "p".into(),
            client: client.into(),
            seen_at: 0,
        }
    }

    #[test]
    fn a_batch_of_one_source_says_what_is_known_of_it_and_any_other_says_nothing() {
        let text = r#"{"id":"a","anonymousClientId":"anon"}"#;
        let one = [row("ext#p", text), row("ext#p", text)];
        let known = [seen("heyho\u{1f}1.4\u{1f}153")];
        let of = |rows: &[Waiting], known: &[SourceSeen]| {
            extras(rows, known).into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(
            of(&one, &known),
            ["anonymousClientId=anon", "browserName=Firefox", "browserVersion=153", "extensionVersion=1.4"]
        );
        // What a host of an earlier version wrote, and records that do not agree.
        let other = [row("ext#p", text), row("ext#p", r#"{"id":"b"}"#)];
        assert_eq!(of(&other, &[seen("heyho 1.4")]), ["browserName=Firefox"]);
        assert_eq!(of(&one, &[]), ["anonymousClientId=anon"]);
        assert!(of(&[row("ext#p", text), row("ext#q", text)], &known).is_empty());
        assert!(of(&[], &known).is_empty());
    }
}
