//! What was exported can be taken in, here or elsewhere, once or twice.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

mod support;

use heyho_buffer::*;
use heyho_records::reason::Reason;
use std::path::Path;
use support::*;

async fn lines(buffer: &Buffer) -> Vec<String> {
    export(buffer).await.iter().map(|line| serde_json::to_string(line).unwrap()).collect()
}

fn read(lines: &[String]) -> Vec<ImportLine> {
    lines.iter().map(|line| ImportLine::read(line).unwrap()).collect()
}

async fn filled(dir: &Path) -> Buffer {
    let buffer = Buffer::open(&dir.join("from/buffer.db")).await.unwrap();
    append(&buffer, &[visit("before", "")]).await.unwrap();
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    append(&buffer, &[visit("a", ""), visit("b", ""), visit("c", "")]).await.unwrap();
    append(&buffer, &[visit("a", r#","endedAt":9"#)]).await.unwrap();
    let rows = oldest(&buffer, &account).await;
    let reason =
        Reason::RejectedByBackend { field: Some("url".into()), message: "no".into(), status: Some(400) };
    let items = confirm(&rows[3..]).confirm;
    let failed = Settlement { set_aside: vec![(items[0], reason)], ..Settlement::default() };
    buffer.settle(None, &failed, NOW).await.unwrap();
    append(&buffer, &["{no json".to_owned(), r#""a string""#.to_owned(), r#"{"id":"x"}"#.to_owned()])
        .await
        .unwrap();
    buffer.sign_out().await.unwrap();
    append(&buffer, &[visit("after", "")]).await.unwrap();
    buffer
}

#[tokio::test]
async fn an_export_taken_in_elsewhere_exports_as_the_same_lines_and_a_second_time_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let from = filled(dir.path()).await;
    let quiet = from.failed(0, 1, None).await.unwrap()[0].seq;
    assert_eq!(from.keep_failed(&FailedQuery::Numbers(vec![quiet])).await.unwrap(), 1);
    let exported = lines(&from).await;
    assert_eq!(exported.len(), 8);
    assert_eq!(exported.iter().filter(|line| line.contains(r#""kept":true"#)).count(), 1);
    let to = Buffer::open(&dir.path().join("to/buffer.db")).await.unwrap();
    // Who is signed in there gets nothing of it.
    let other = to.sign_in(&who("2"), NOW).await.unwrap().0;
    let imported = to.import(&read(&exported), NOW).await.unwrap();
    assert_eq!(imported, Imported { stored: 8, updated: 0, unchanged: 0 });
    assert_eq!(lines(&to).await, exported);
    assert!(oldest(&to, &other).await.is_empty());
    let again = to.import(&read(&exported), NOW + 1).await.unwrap();
    assert_eq!(again, Imported { stored: 0, updated: 0, unchanged: 8 });
    let here = from.import(&read(&exported), NOW).await.unwrap();
    assert_eq!(here, Imported { stored: 0, updated: 0, unchanged: 8 });
    // Its own account finds it all there.
    let own = to.sign_in(&who("1"), NOW).await.unwrap().0;
    assert_eq!(oldest(&to, &own).await.iter().filter(|row| row.intact).count(), 3);
}

#[test]
fn a_line_that_is_none_is_named() {
    for (line, word) in [
        ("{", "heyho export"),
        (r#"{"kind":"pageVisit"}"#, "missing field"),
        (
            r#"{"kind":"pageVisit","id":"a","source":"s","account":null,"revision":1,"state":"waiting","reason":null,"capturedAt":"2026-01-01T00:00:00Z","record":{"id":"a"}}"#,
            "record:",
        ),
        (
            r#"{"kind":"pageVisit","id":"a","source":"s","account":null,"revision":0,"state":"waiting","reason":null,"capturedAt":"2026-01-01T00:00:00Z","record":{"id":"a"}}"#,
            "revision 0",
        ),
        (
            r#"{"kind":"pageVisit","id":"a","source":"s","account":null,"revision":9007199254740992,"state":"waiting","reason":null,"capturedAt":"2026-01-01T00:00:00Z","record":{"id":"a"}}"#,
            "9007199254740991 are accepted",
        ),
    ] {
        let error = ImportLine::read(line).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test]
async fn the_highest_revision_that_is_taken_in_leaves_room_for_the_next_version() {
    let dir = tempfile::tempdir().unwrap();
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    append(&buffer, &[visit("a", "")]).await.unwrap();
    let line = lines(&buffer).await.remove(0);
    let highest = line.replace(r#""revision":1,"#, r#""revision":9007199254740991,"#);
    assert_ne!(line, highest);
    buffer.discard_account("1@x").await.unwrap();
    buffer.import(&read(&[highest]), NOW).await.unwrap();
    assert_eq!(append(&buffer, &[visit("a", r#","endedAt":9"#)]).await.unwrap().counts.updated, 1);
    assert_eq!(oldest(&buffer, &account).await[0].revision, 9_007_199_254_740_992);
}

#[tokio::test]
async fn what_is_brought_back_while_everything_is_half_erased_stays() {
    let dir = tempfile::tempdir().unwrap();
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    buffer.sign_in(&who("1"), NOW).await.unwrap();
    append(&buffer, &[visit("a", "")]).await.unwrap();
    let exported = lines(&buffer).await;
    buffer.set_meta("erasing-everything", "1").await.unwrap();
    let imported = buffer.import(&read(&exported), NOW).await.unwrap();
    assert_eq!(imported, Imported { stored: 1, updated: 0, unchanged: 0 });
    buffer.finish_erasures().await.unwrap();
    assert_eq!(lines(&buffer).await, exported);
}
