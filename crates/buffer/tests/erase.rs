//! What is erased is in no file afterwards: every byte of every file of the data directory is looked through,
//! for the word, and for the digest of what was erased. Controls: `digests-kept`, `log-kept`,
//! `insecure-delete`, `pages-as-they-were`, `copies-stay`, `sends-what-was-read` (`xtask/src/controls/`).

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

mod support;

use heyho_buffer::*;
use heyho_records::reason::Reason;
use heyho_records::{Kind, Record};
use sqlx::Connection;
use std::path::{Path, PathBuf};
use support::*;

fn holds(folder: &Path, word: impl AsRef<[u8]> + Copy) -> Vec<PathBuf> {
    let bytes = word.as_ref();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holds(&path, word));
        } else if std::fs::read(&path).unwrap().windows(bytes.len()).any(|w| w == bytes) {
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
    // A reason quotes what it is about.
    let message = "canary.example is not to our liking".to_owned();
    let reason = Reason::RejectedByBackend { field: None, message, status: Some(400) };
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
    let names = |found: Vec<PathBuf>| -> Vec<String> {
        found.iter().map(|path| path.strip_prefix(dir).unwrap().display().to_string()).collect()
    };
    let mut found = names(holds(dir, "canary"));
    found.sort();
    assert_eq!(found, ["backups/before-schema-2.db", "buffer.db-wal", "set-aside/2026/buffer.db"]);
    assert!(!holds(dir, delivered()).is_empty(), "the search finds a digest");
    // Some of it lies in the file itself, as after hours of work.
    assert!(buffer.checkpoint().await.unwrap());
    append(&buffer, &[on("later-canary", "canary.example")]).await.unwrap();
    let mut found = names(holds(dir, "canary"));
    found.sort();
    assert_eq!(found[1..3], ["buffer.db", "buffer.db-wal"]);
    (buffer, account)
}

/// The digest of the visit that was delivered.
fn delivered() -> [u8; 32] {
    Record::read(Kind::PageVisit, &on("a-canary", "www.canary.example")).unwrap().digest
}

fn nothing_is_left(dir: &Path) {
    assert_eq!(holds(dir, "canary"), Vec::<PathBuf>::new());
    assert_eq!(holds(dir, delivered()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_forgotten_site_is_in_no_file_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, account) = full(dir.path()).await;
    let before = oldest(&buffer, &account).await;
    let erased = buffer.forget("Canary.example").await.unwrap();
    assert_eq!(erased, Erased { waiting: 3, failed: 2, changed: 1, copies: 2, log_emptied: true });
    nothing_is_left(dir.path());
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
    assert_eq!((erased.records(), erased.log_emptied), (7, true));
    nothing_is_left(dir.path());
    assert_eq!(oldest(&buffer, &other).await.len(), 1);
    assert!(buffer.totals(Some(other.id), NOW).await.unwrap().others.is_empty());
}

#[tokio::test]
async fn everything_erased_is_everything_but_the_sign_in() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, account) = full(dir.path()).await;
    // What a death in the middle of forgetting leaves.
    buffer.set_meta("forgetting:canary.example", "").await.unwrap();
    let erased = buffer.erase_everything().await.unwrap();
    assert_eq!((erased.records(), erased.copies, erased.log_emptied), (7, 2, true));
    nothing_is_left(dir.path());
    assert!(export(&buffer).await.is_empty());
    assert!(buffer.timeline(0, NOW).await.unwrap().is_empty());
    let file = format!("sqlite://{}", buffer.path().display());
    let mut other = sqlx::SqliteConnection::connect(&file).await.unwrap();
    for table in ["tab_visit", "tab_life", "anchor", "delivered", "source"] {
        let count = format!("SELECT count(*) FROM {table}");
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut other).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
    other.close().await.unwrap();
    assert_eq!(buffer.signed_in().await.unwrap().unwrap(), account);
    append(&buffer, &[visit("new", "")]).await.unwrap();
    assert_eq!(oldest(&buffer, &account).await.len(), 1);
}

#[tokio::test]
async fn a_discarded_record_is_nowhere_either_whether_it_waited_or_had_failed() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, account) = full(dir.path()).await;
    assert_eq!(buffer.discard_failed(&FailedQuery::All).await.unwrap(), 2);
    assert!(buffer.in_flight(account.id).await.unwrap().is_none(), "made anew under a new key");
    let numbers: Vec<i64> =
        oldest(&buffer, &account).await.iter().filter(|r| r.text.contains("canary")).map(|r| r.seq).collect();
    assert_eq!(buffer.discard_waiting(&numbers).await.unwrap(), 4);
    // What was delivered is the backend's; its traces here are those of the account or the site.
    assert_eq!(oldest(&buffer, &account).await.len(), 1);
    // Of chosen records they go later: whoever deletes one after the other waits for none.
    assert!(buffer.owes_erasing().await.unwrap());
    assert!(buffer.finish_erasing().await.unwrap());
    assert!(!buffer.owes_erasing().await.unwrap());
    let canaries = ["b-canary", "c-canary", "d-canary", "later-canary"];
    assert!(canaries.iter().all(|id| holds(dir.path(), id).is_empty()));
    buffer.forget("canary.example").await.unwrap();
    nothing_is_left(dir.path());
}

#[tokio::test]
async fn a_reader_that_is_in_the_way_is_said_and_the_log_is_emptied_when_it_ends() {
    use sqlx::Connection;
    let dir = tempfile::tempdir().unwrap();
    let (buffer, _) = full(dir.path()).await;
    let url = format!("sqlite://{}", dir.path().join("buffer.db").display());
    let mut reader = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    let _: i64 = sqlx::query_scalar("SELECT count(*) FROM record").fetch_one(&mut *reading).await.unwrap();
    let erased = buffer.forget("canary.example").await.unwrap();
    assert!(!erased.log_emptied);
    assert!(!holds(dir.path(), "canary").is_empty());
    reading.rollback().await.unwrap();
    buffer.tidy().await.unwrap();
    nothing_is_left(dir.path());
}

#[tokio::test]
async fn a_site_is_forgotten_also_under_its_other_spelling_and_in_a_text_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    append(&buffer, &[on("a", "www.xn--bcher-kva.example"), on("b", "other.example")]).await.unwrap();
    let url = format!("sqlite://{}", path.display());
    let other = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query("UPDATE record SET text = CAST(x'ff' || text AS TEXT) WHERE id = 'b'")
        .execute(&other)
        .await
        .unwrap();
    assert_eq!(buffer.forget("Bücher.example").await.unwrap().waiting, 1);
    assert_eq!(buffer.forget("other.example").await.unwrap().waiting, 1);
}

#[tokio::test]
async fn a_site_whose_forgetting_was_cut_short_is_forgotten_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, _) = full(dir.path()).await;
    // As a kill leaves it before the first page.
    buffer.set_meta("forgetting:canary.example", "").await.unwrap();
    buffer.close().await;
    let (buffer, _) = Buffer::open_or_recover(&dir.path().join("buffer.db"), NOW).await.unwrap();
    nothing_is_left(dir.path());
    assert_eq!(export(&buffer).await.iter().filter(|line| line.id == "kept").count(), 1);
    assert_eq!(buffer.meta("forgetting:canary.example").await.unwrap(), None);
}

#[tokio::test]
async fn a_damaged_anchor_keeps_no_site_from_being_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, _) = full(dir.path()).await;
    let file = format!("sqlite://{}", dir.path().join("buffer.db").display());
    let mut other = sqlx::SqliteConnection::connect(&file).await.unwrap();
    sqlx::query("UPDATE anchor SET text = CAST(x'ff' || CAST(text AS BLOB) AS TEXT)")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    buffer.forget("canary.example").await.unwrap();
    nothing_is_left(dir.path());
}

#[tokio::test]
async fn with_everything_goes_what_is_said_of_a_damaged_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    std::fs::write(&path, "no database at all, is it? ".repeat(100)).unwrap();
    let (buffer, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
    assert!(recovery.is_some());
    assert_eq!(buffer.erase_everything().await.unwrap().copies, 1);
    assert_eq!(buffer.recovery().await.unwrap(), None);
}

/// More than SQLite takes as values of a statement.
#[tokio::test]
async fn however_many_are_chosen_it_is_one_statement() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, _) = full(dir.path()).await;
    let many = || FailedQuery::Numbers((1..=40_000).collect());
    assert_eq!(buffer.keep_failed(&many()).await.unwrap(), 2);
    assert_eq!(buffer.retry_failed(&many()).await.unwrap(), 1);
    assert_eq!(buffer.discard_failed(&many()).await.unwrap(), 1);
    assert_eq!(buffer.discard_failed(&many()).await.unwrap(), 0);
}

/// What a salvage left that nobody goes on with, because what said so was lost.
#[tokio::test]
async fn what_is_left_of_a_salvage_goes_with_the_copies() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, _) = full(dir.path()).await;
    std::fs::write(dir.path().join("buffer.db.new"), "canary.example").unwrap();
    std::fs::write(dir.path().join("buffer.db.new-wal"), "canary.example").unwrap();
    buffer.forget("canary.example").await.unwrap();
    nothing_is_left(dir.path());
}

/// Not erased by anybody, only confirmed.
#[tokio::test]
async fn what_was_delivered_is_overwritten_where_it_stood() {
    let dir = tempfile::tempdir().unwrap();
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    append(&buffer, &[visit("a", r#","title":"canary""#), visit("b", "")]).await.unwrap();
    assert!(buffer.checkpoint().await.unwrap());
    assert_eq!(holds(dir.path(), "canary").len(), 1);
    let rows = oldest(&buffer, &account).await;
    buffer.settle(None, &confirm(&rows[..1]), NOW).await.unwrap();
    assert!(buffer.checkpoint().await.unwrap());
    assert_eq!(holds(dir.path(), "canary"), Vec::<PathBuf>::new());
}

/// Rows of a site among others, of all sizes, that grow and leave: pages are split, merged and filled anew, and what
/// was moved to another page is not left behind on the first.
#[tokio::test]
async fn a_site_among_much_else_is_left_on_no_page_that_was_rearranged() {
    let dir = tempfile::tempdir().unwrap();
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    let mut dice = 20_261_121u64;
    let mut roll = move |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % sides
    };
    for round in 0..30 {
        let visits: Vec<String> = (0..100)
            .map(|_| {
                let id = roll(1_500);
                let site = if id % 3 == 0 { "canary" } else { "other" };
                let padding = "x".repeat(roll(1_200) as usize);
                format!(
                    r#"{{"id":"{site}-{id}","url":"http://{site}.example/","startedAt":5,"endedAt":{round},"tabId":{},"p":"{padding}"}}"#,
                    id % 40
                )
            })
            .collect();
        append(&buffer, &visits).await.unwrap();
        let mut rows = oldest(&buffer, &account).await;
        rows.retain(|_| roll(20) == 0);
        let done = Settlement { keep_anchors: true, ..confirm(&rows) };
        buffer.settle(None, &done, NOW).await.unwrap();
        if round % 7 == 0 {
            buffer.tidy().await.unwrap();
        }
    }
    let others = export(&buffer).await.iter().filter(|line| line.id.contains("other")).count();
    assert!(others > 500);
    assert!(buffer.forget("canary.example").await.unwrap().log_emptied);
    std::fs::remove_file(dir.path().join("ballast")).unwrap();
    assert_eq!(holds(dir.path(), "canary"), Vec::<PathBuf>::new());
    assert_eq!(export(&buffer).await.len(), others);
}

fn batch_of(rows: &[Waiting]) -> NewBatch {
    let body = rows.iter().flat_map(|row| row.text.bytes()).collect();
    NewBatch { key: "another".into(), body, items: confirm(rows).confirm }
}

#[tokio::test]
async fn while_a_site_is_half_forgotten_no_batch_is_made_and_afterwards_none_of_what_was_read_before() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, account) = full(dir.path()).await;
    let rows = oldest(&buffer, &account).await;
    assert!(buffer.forget("nowhere.example").await.unwrap().records() == 0, "the batch in flight has ended");
    let begin = async |rows: &[Waiting]| buffer.begin_batch(account.id, &batch_of(rows), NOW).await;
    let refused = |begun: Result<i64>| {
        assert!(matches!(begun, Err(BufferError::Changed)), "{begun:?}");
    };
    // As a kill leaves it before the first page, or a disk that is full.
    buffer.set_meta("forgetting:canary.example", "").await.unwrap();
    refused(begin(&rows).await);
    assert!(buffer.in_flight(account.id).await.unwrap().is_none());
    buffer.finish_erasures().await.unwrap();
    // Read before, and not noticed to have been erased.
    refused(begin(&rows).await);
    nothing_is_left(dir.path());
    // A version that came meanwhile is read first, too.
    let rows = oldest(&buffer, &account).await;
    append(&buffer, &[on("kept", "later.example")]).await.unwrap();
    refused(begin(&rows).await);
    let rows = oldest(&buffer, &account).await;
    assert_eq!(rows.len(), 2);
    begin(&rows).await.unwrap();
}

/// Those that arrived since somebody asked are not among those that are meant.
#[tokio::test]
async fn what_was_cut_short_of_an_account_and_of_everything_is_finished_and_what_came_since_stays() {
    for note in ["discarding:1@x", "erasing-everything"] {
        let dir = tempfile::tempdir().unwrap();
        let (buffer, account) = full(dir.path()).await;
        let rows = oldest(&buffer, &account).await;
        let last = rows.iter().map(|row| row.seq).max().unwrap();
        append(&buffer, &[on("since", "other.example")]).await.unwrap();
        buffer.sign_in(&who("2"), NOW).await.unwrap();
        // As a kill leaves it, before the first page and after it.
        buffer.set_meta(note, &last.to_string()).await.unwrap();
        buffer.discard_waiting(&[rows[0].seq]).await.unwrap();
        let begun = buffer.begin_batch(account.id, &batch_of(&rows), NOW).await;
        assert!(matches!(begun, Err(BufferError::Changed)), "{note}: {begun:?}");
        let (buffer, _) = Buffer::open_or_recover(buffer.path(), NOW).await.unwrap();
        assert_eq!(buffer.meta(note).await.unwrap(), None);
        nothing_is_left(dir.path());
        let left = oldest(&buffer, &account).await;
        assert_eq!(left.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["since"], "{note}");
        // Its account with it, although nobody of it is signed in.
        let begun = buffer.begin_batch(account.id, &batch_of(&left), NOW).await;
        begun.unwrap();
    }
}

async fn last_number(buffer: &Buffer) -> i64 {
    let file = format!("sqlite://{}", buffer.path().display());
    let mut other = sqlx::SqliteConnection::connect(&file).await.unwrap();
    sqlx::query_scalar("SELECT max(seq) FROM record").fetch_one(&mut other).await.unwrap()
}

async fn finished_by_a_start(buffer: &Buffer) -> Buffer {
    let (buffer, _) = Buffer::open_or_recover(buffer.path(), NOW).await.unwrap();
    buffer
}

/// Nobody asked for what was captured after the sign-out to go, and nobody's it was.
#[tokio::test]
async fn whoever_signs_in_again_or_claims_while_the_account_is_half_discarded_loses_nothing_of_what_that_gives_them()
 {
    for by_claiming in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (buffer, _) = full(dir.path()).await;
        buffer.sign_out().await.unwrap();
        append(&buffer, &[on("after", "other.example"), on("after-2", "other.example")]).await.unwrap();
        if by_claiming {
            // Another account of the same address.
            let other = SignedIn { backend: "http://c".into(), ..who("1") };
            buffer.sign_in(&other, NOW).await.unwrap();
        }
        let last = last_number(&buffer).await;
        buffer.set_meta("discarding:1@x", &last.to_string()).await.unwrap();
        let account = match by_claiming {
            false => {
                let (account, claimed) = buffer.sign_in(&who("1"), NOW).await.unwrap();
                assert_eq!(claimed, 2);
                account
            }
            true => {
                let account = buffer.signed_in().await.unwrap().unwrap();
                assert_eq!(buffer.claim(account.id).await.unwrap(), 2);
                account
            }
        };
        let buffer = finished_by_a_start(&buffer).await;
        nothing_is_left(dir.path());
        let left: Vec<String> = oldest(&buffer, &account).await.into_iter().map(|row| row.id).collect();
        assert_eq!(left, ["after", "after-2"], "claiming: {by_claiming}");
    }
}

/// Hosts go on for days where no agent is started that finishes it.
#[tokio::test]
async fn what_arrives_while_everything_is_half_erased_stays_with_its_tabs_also_in_the_place_of_what_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, account) = full(dir.path()).await;
    let last = last_number(&buffer).await;
    buffer.set_meta("erasing-everything", &last.to_string()).await.unwrap();
    let since = r#"{"id":"since","url":"http://other.example/","startedAt":50,"tabId":7}"#;
    append(&buffer, &[since.to_owned()]).await.unwrap();
    // A version of the tab that waits, more complete.
    let newer =
        r#"{"id":"t","tabId":7,"startTime":1,"lastActiveTime":90,"domainDurations":{"other.example":60}}"#;
    let appended = buffer.append(&source("p1"), &[Arrival::read(None, &[], &[newer])], 0, NOW).await.unwrap();
    assert_eq!(appended[0].counts.updated, 1);
    // The failed ones are among those that were asked about.
    buffer.retry_failed(&FailedQuery::All).await.unwrap();
    let buffer = finished_by_a_start(&buffer).await;
    nothing_is_left(dir.path());
    let left = oldest(&buffer, &account).await;
    let ids: Vec<&str> = left.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["since", "t"]);
    assert_eq!((left[1].text.as_str(), left[1].page_visit_id.as_deref()), (newer, Some("since")));
    assert_eq!((left[0].life, left[1].life), (Some(1), Some(1)));
    assert_eq!(export(&buffer).await.len(), 2);
}

/// What the agent counts of an account names it.
#[tokio::test]
async fn with_an_account_goes_what_is_counted_of_its_backend() {
    for everything in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (buffer, account) = full(dir.path()).await;
        let other = buffer.sign_in(&who("2"), NOW).await.unwrap().0;
        let of = |account: &Account| format!(r#""{}":[1,2]"#, account.r#ref);
        buffer.set_meta("blamed", &format!("{{{},{}}}", of(&account), of(&other))).await.unwrap();
        match everything {
            false => drop(buffer.discard_account("1@x").await.unwrap()),
            true => drop(buffer.erase_everything().await.unwrap()),
        }
        let expected = (!everything).then(|| format!("{{{}}}", of(&other)));
        assert_eq!(buffer.meta("blamed").await.unwrap(), expected);
        assert_eq!(holds(dir.path(), account.r#ref.as_bytes()), Vec::<PathBuf>::new());
    }
}

/// It fails between its note and its last page.
#[tokio::test]
async fn a_site_that_could_not_be_forgotten_to_its_end_has_no_batch_left_and_is_forgotten_when_it_can_be() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, account) = full(dir.path()).await;
    let file = format!("sqlite://{}", dir.path().join("buffer.db").display());
    let mut other = sqlx::SqliteConnection::connect(&file).await.unwrap();
    let fails = "CREATE TRIGGER fails BEFORE DELETE ON record BEGIN SELECT RAISE(ABORT, 'no'); END";
    sqlx::query(fails).execute(&mut other).await.unwrap();
    assert!(buffer.in_flight(account.id).await.unwrap().is_some());
    buffer.forget("canary.example").await.unwrap_err();
    assert!(buffer.in_flight(account.id).await.unwrap().is_none(), "what was in it is not sent any more");
    buffer.finish_erasures().await.unwrap_err();
    sqlx::query("DROP TRIGGER fails").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    buffer.finish_erasures().await.unwrap();
    nothing_is_left(dir.path());
}

/// A newer program takes the file over in the very moment between the rows and what is left of them.
#[tokio::test]
async fn an_erasure_whose_traces_could_not_be_removed_is_done_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, _) = full(dir.path()).await;
    let file = format!("sqlite://{}", dir.path().join("buffer.db").display());
    let mut other = sqlx::SqliteConnection::connect(&file).await.unwrap();
    let newer = "CREATE TRIGGER newer AFTER INSERT ON meta WHEN new.key = 'erased' \
         BEGIN UPDATE meta SET value = '9999' WHERE key = 'oldest_writer'; END";
    sqlx::query(newer).execute(&mut other).await.unwrap();
    let erased = buffer.forget("canary.example").await.unwrap();
    assert_eq!((erased.records(), erased.log_emptied), (5, false));
    assert!(buffer.owes_erasing().await.unwrap());
    for mended in ["DROP TRIGGER newer", "UPDATE meta SET value = '1' WHERE key = 'oldest_writer'"] {
        sqlx::query(mended).execute(&mut other).await.unwrap();
    }
    other.close().await.unwrap();
    assert!(buffer.finish_erasing().await.unwrap());
    nothing_is_left(dir.path());
}

/// Of rows that were erased before it, whose bytes still stand in it; and what a power cut has brought back.
#[tokio::test]
async fn a_copy_that_is_made_before_the_traces_are_gone_goes_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let (buffer, account) = full(dir.path()).await;
    let numbers: Vec<i64> = oldest(&buffer, &account).await.iter().map(|row| row.seq).collect();
    buffer.discard_waiting(&numbers).await.unwrap();
    buffer.discard_failed(&FailedQuery::Reason("rejected_by_backend".into())).await.unwrap();
    assert!(buffer.owes_erasing().await.unwrap());
    // The file is damaged, and set aside whole.
    let mut other = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::query("DROP INDEX record_held").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    buffer.close().await;
    let (buffer, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
    let aside = recovery.unwrap().set_aside;
    assert!(aside.join("buffer.db").exists());
    std::fs::create_dir_all(dir.path().join("buffer.db.vacuum")).unwrap();
    std::fs::write(dir.path().join("buffer.db.vacuum/etilqs_1"), "canary.example").unwrap();
    assert!(buffer.finish_erasing().await.unwrap());
    assert!(!aside.exists());
    assert_eq!(holds(dir.path(), "d-canary"), Vec::<PathBuf>::new());
    assert_eq!(std::fs::read_dir(dir.path().join("buffer.db.vacuum")).unwrap().count(), 0);
}

/// Not in the system's folder, whose disk may be another, and which others look into.
#[tokio::test]
async fn the_file_is_written_anew_beside_itself() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    // More than SQLite does in memory.
    let padding = format!(r#","p":"{}""#, "x".repeat(60_000));
    let visits: Vec<String> = (0..100).map(|n| visit(&format!("v{n}"), &padding)).collect();
    append(&buffer, &visits).await.unwrap();
    let folder = dir.path().join("buffer.db.vacuum");
    assert!(buffer.forget("nowhere.example").await.unwrap().log_emptied);
    let made = std::fs::metadata(&folder).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o700);
    std::fs::File::open(&folder).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert!(buffer.forget("nowhere.example").await.unwrap().log_emptied);
    assert!(
        std::fs::metadata(&folder).unwrap().modified().unwrap() > std::time::UNIX_EPOCH,
        "a name came and went in it"
    );
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    assert_eq!(export(&buffer).await.len(), 100);
}

/// A tab's aggregate that was on other sites too has failed, and the backend has said of which.
#[tokio::test]
async fn why_a_record_failed_that_stays_names_a_forgotten_site_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, account) = full(dir.path()).await;
    let rows = oldest(&buffer, &account).await;
    let message = "https://www.canary.example/x is blocked".to_owned();
    let reason = Reason::RejectedByBackend { field: Some("currentUrl".into()), message, status: Some(422) };
    let of_tab = rows.iter().find(|row| row.id == "t").unwrap();
    let item = BatchItem { seq: of_tab.seq, revision: of_tab.revision, kind: of_tab.kind };
    let aside = Settlement { set_aside: vec![(item, reason)], ..Settlement::default() };
    buffer.settle(None, &aside, NOW).await.unwrap();
    buffer.forget("canary.example").await.unwrap();
    nothing_is_left(dir.path());
    let failed = buffer.failed(0, 10, None).await.unwrap();
    assert_eq!(failed.len(), 1);
    let Reason::RejectedByBackend { field, message, status } = &failed[0].reason else { panic!() };
    assert_eq!((field.as_deref(), *status), (Some("currentUrl"), Some(422)));
    assert!(message.contains("forgotten"), "{message}");
}

/// Who deletes the copies cannot know what lies in a folder that cannot be read: nothing is said to be erased.
#[tokio::test]
async fn copies_that_cannot_be_looked_at_keep_an_erasure_from_being_called_done() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, _) = full(dir.path()).await;
    let folder = dir.path().join("set-aside");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "no folder").unwrap();
    buffer.forget("canary.example").await.unwrap_err();
    buffer.erase_everything().await.unwrap_err();
    assert_eq!(export(&buffer).await.iter().filter(|line| line.id.contains("canary")).count(), 4);
    std::fs::remove_file(&folder).unwrap();
    buffer.forget("canary.example").await.unwrap();
    nothing_is_left(dir.path());
}

/// Else who has written the file anew for the first could strike out a second that came meanwhile.
#[tokio::test]
async fn no_debt_of_traces_is_taken_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let (buffer, account) = full(dir.path()).await;
    let mut debts = std::collections::BTreeSet::new();
    let rows = oldest(&buffer, &account).await;
    for row in &rows[..3] {
        buffer.discard_waiting(&[row.seq]).await.unwrap();
        assert!(debts.insert(buffer.meta("erased").await.unwrap().unwrap()));
        if debts.len() == 2 {
            assert!(buffer.finish_erasing().await.unwrap());
        }
    }
}

/// The visits are deleted in two transactions, and the second of them fails.
#[tokio::test]
async fn nobody_points_to_a_forgotten_visit_however_often_the_forgetting_was_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    let visits: Vec<String> = (0..600).map(|n| on(&format!("v{n}"), "canary.example")).collect();
    append(&buffer, &visits).await.unwrap();
    let child = r#"{"id":"child","url":"http://other.example/","startedAt":5,"source_page_visit_id":"v0"}"#;
    append(&buffer, &[child.to_owned()]).await.unwrap();
    let file = format!("sqlite://{}", dir.path().join("buffer.db").display());
    let mut other = sqlx::SqliteConnection::connect(&file).await.unwrap();
    let fails = "CREATE TRIGGER fails BEFORE DELETE ON record WHEN old.id = 'v550' \
         BEGIN SELECT RAISE(ABORT, 'no'); END";
    sqlx::query(fails).execute(&mut other).await.unwrap();
    buffer.forget("canary.example").await.unwrap_err();
    assert!(export(&buffer).await.len() < 601, "it was cut short among the visits");
    sqlx::query("DROP TRIGGER fails").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    buffer.finish_erasures().await.unwrap();
    let left = export(&buffer).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].record.get(), r#"{"id":"child","url":"http://other.example/","startedAt":5}"#);
}
