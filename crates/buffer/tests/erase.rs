//! What is erased is in no file afterwards: the bytes of all of them are looked through.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

mod support;

use heyho_buffer::*;
use heyho_records::reason::Reason;
use std::path::Path;
use support::*;

fn holds(folder: &Path, word: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holds(&path, word));
        } else if std::fs::read(&path).unwrap().windows(word.len()).any(|w| w == word.as_bytes()) {
            found.push(path);
        }
    }
    found
}

fn on(id: &str, host: &str) -> String {
    format!(r#"{{"id":"{id}","url":"http://{host}/x","startedAt":5,"tabId":7}}"#)
}

/// Waiting, failed, in flight, delivered, an anchor, a set-aside file and a backup, all with the canary.
async fn full(dir: &Path) -> (Buffer, Account) {
    let path = dir.join("buffer.db");
    std::fs::create_dir_all(dir.join("backups")).unwrap();
    std::fs::write(dir.join("backups/before-schema-2.db"), "canary.example").unwrap();
    std::fs::create_dir_all(dir.join("set-aside/2026")).unwrap();
    std::fs::write(dir.join("set-aside/2026/buffer.db"), "canary.example").unwrap();
    let buffer = Buffer::open(&path).await.unwrap();
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    let visits = ["a", "b", "c", "d"].map(|id| on(&format!("{id}-canary"), "www.canary.example"));
    append(&buffer, &visits).await.unwrap();
    let rows = oldest(&buffer, &account).await;
    let done = Settlement { keep_anchors: true, ..confirm(&rows[..1]) };
    buffer.settle(None, &done, NOW).await.unwrap();
    let reason = Reason::NotConfirmed { attempts: 3 };
    let items = confirm(&rows[1..3]).confirm;
    let failed = Settlement { set_aside: vec![(items[0], reason)], ..Settlement::default() };
    buffer.settle(None, &failed, NOW).await.unwrap();
    let batch = NewBatch { key: "k".into(), body: visits[2].clone().into_bytes(), items: vec![items[1]] };
    buffer.begin_batch(account.id, &batch, NOW).await.unwrap();
    append(&buffer, &[on("kept", "other.example"), r#"{"id":"bad","url":"canary.example"}"#.to_owned()])
        .await
        .unwrap();
    let aggregate = r#"{"id":"t","tabId":7,"startTime":1,"currentUrl":"http://canary.example/","domainDurations":{"canary.example":5,"other.example":6}}"#;
    let arrival = Arrival::read(None, &[], &[aggregate]);
    buffer.append(&source("p1"), &[arrival], 0, NOW).await.unwrap();
    assert!(!holds(dir, "canary").is_empty());
    (buffer, account)
}

#[tokio::test]
async fn a_forgotten_site_is_in_no_file_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, account) = full(dir.path()).await;
    let before = oldest(&buffer, &account).await;
    let erased = buffer.forget("Canary.example").await.unwrap();
    assert_eq!(erased, Erased { waiting: 2, failed: 2, changed: 1, copies: 2, log_emptied: true });
    assert_eq!(holds(dir.path(), "canary"), Vec::<std::path::PathBuf>::new());
    assert!(buffer.in_flight(account.id).await.unwrap().is_none(), "made anew under a new key");
    let left = oldest(&buffer, &account).await;
    assert_eq!(left.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["kept", "t"]);
    assert_eq!(left[1].text, r#"{"id":"t","tabId":7,"startTime":1,"domainDurations":{"other.example":6}}"#);
    assert!(left[1].intact);
    let was = before.iter().find(|row| row.id == "t").unwrap().revision;
    assert!(left[1].revision > was, "a confirmation of the old text is not one of this");
}

#[tokio::test]
async fn a_discarded_account_leaves_nothing_and_others_keep_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, _) = full(dir.path()).await;
    let other = buffer.sign_in(&who("2"), NOW).await.unwrap().0;
    append(&buffer, &[on("theirs", "a.example")]).await.unwrap();
    let erased = buffer.discard_account("1@x").await.unwrap();
    assert_eq!((erased.records(), erased.log_emptied), (6, true));
    assert_eq!(holds(dir.path(), "canary"), Vec::<std::path::PathBuf>::new());
    assert_eq!(oldest(&buffer, &other).await.len(), 1);
    assert!(buffer.totals(Some(other.id), NOW).await.unwrap().others.is_empty());
}

#[tokio::test]
async fn everything_erased_is_everything_but_the_sign_in() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, account) = full(dir.path()).await;
    let erased = buffer.erase_everything().await.unwrap();
    assert_eq!((erased.records(), erased.copies, erased.log_emptied), (6, 2, true));
    assert_eq!(holds(dir.path(), "canary"), Vec::<std::path::PathBuf>::new());
    assert!(export(&buffer).await.is_empty());
    assert_eq!(buffer.signed_in().await.unwrap().unwrap(), account);
    append(&buffer, &[visit("new", "")]).await.unwrap();
    assert_eq!(oldest(&buffer, &account).await.len(), 1);
}
