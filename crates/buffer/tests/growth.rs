//! The file stays small, has a limit, and a full disk does not stop draining. Control: `vacuum-one-step`.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

mod support;

use heyho_buffer::*;
use sqlx::Connection;
use std::path::{Path, PathBuf};
use support::*;

fn many(from: usize, bytes: usize) -> Vec<String> {
    let padding = "x".repeat(bytes);
    (from..from + 100).map(|n| visit(&format!("v{n}"), &format!(r#","p":"{padding}""#))).collect()
}

#[tokio::test]
async fn beyond_the_cap_nothing_new_is_taken_nothing_is_dropped_and_draining_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap().with_cap(Some(1 << 20));
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    assert_eq!(buffer.problem().await.unwrap(), None);
    let mut stored = 0;
    loop {
        match append(&buffer, &many(stored, 1_000)).await {
            Ok(_) => stored += 100,
            Err(BufferError::Full { used, cap }) => {
                assert!(used >= cap && cap == 1 << 20);
                break;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!((500..1_500).contains(&stored), "{stored}");
    assert_eq!(buffer.totals(Some(account.id), NOW).await.unwrap().waiting(), stored as u64);
    assert_eq!(export(&buffer).await.len(), stored);
    let status = buffer.offline_status(std::time::Duration::from_secs(300), NOW).await.unwrap();
    assert_eq!(status.state, heyho_records::status::State::BufferProblem);
    assert!(status.reason.unwrap().contains("max_bytes"));
    let rows = oldest(&buffer, &account).await;
    buffer.settle(None, &confirm(&rows[..200]), NOW).await.unwrap();
    assert_eq!(buffer.problem().await.unwrap(), None);
    append(&buffer, &many(stored, 1_000)).await.unwrap();
}

#[tokio::test]
async fn without_an_agent_too_there_is_room_again_when_the_disk_has_some() {
    let dir = tempfile::tempdir().unwrap();
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    buffer.make_ballast().unwrap();
    assert!(buffer.release_ballast().unwrap());
    assert!(buffer.problem().await.unwrap().is_some());
    append(&buffer, &many(0, 10)).await.unwrap();
    assert_eq!(buffer.problem().await.unwrap(), None);
}

#[tokio::test]
async fn after_draining_the_file_has_shrunk_and_the_log_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    for n in 0..50 {
        append(&buffer, &many(n * 100, 1_000)).await.unwrap();
    }
    assert!(buffer.checkpoint().await.unwrap());
    let full = std::fs::metadata(&path).unwrap().len();
    loop {
        let rows = oldest(&buffer, &account).await;
        if rows.is_empty() {
            break;
        }
        buffer.settle(None, &confirm(&rows), NOW).await.unwrap();
    }
    // Digests of what was delivered stay for a week.
    buffer.settle(None, &Settlement::default(), NOW + DELIVERED_FOR_MS + 1).await.unwrap();
    let tidied = buffer.tidy().await.unwrap();
    let empty = std::fs::metadata(&path).unwrap().len();
    assert!(full > 5_000_000 && empty < full / 5, "{full} bytes became {empty}");
    assert!(tidied.pages > 1_000 && tidied.log_bytes == 0 && !tidied.log_alarm, "{tidied:?}");
}

#[tokio::test]
async fn a_log_that_a_reader_keeps_from_shrinking_raises_the_alarm() {
    use sqlx::Connection;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    let mut reader = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    let _: i64 = sqlx::query_scalar("SELECT count(*) FROM record").fetch_one(&mut *reading).await.unwrap();
    for n in 0..4 {
        append(&buffer, &many(n * 100, 200_000)).await.unwrap();
    }
    assert!(buffer.log_bytes() > LOG_ALARM);
    let tidied = buffer.tidy().await.unwrap();
    assert!(tidied.log_alarm && tidied.log_bytes > LOG_ALARM, "{tidied:?}");
    reading.rollback().await.unwrap();
    let tidied = buffer.tidy().await.unwrap();
    assert!(!tidied.log_alarm && tidied.log_bytes == 0, "{tidied:?}");
}

/// A small file system in memory; unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not mount.
    fn new(at: &Path, bytes: u64) -> Option<SmallDisk> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={bytes}");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "heyho-test"])
            .arg(at)
            .status()
            .is_ok_and(|status| status.success());
        mounted.then(|| SmallDisk(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "why nothing was tested")]
async fn on_a_full_disk_the_ballast_lets_draining_go_on_and_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::new(&dir.path().join("disk"), 40 << 20) else {
        eprintln!("skipped: a small disk cannot be mounted here");
        return;
    };
    let path = disk.0.join("buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    buffer.tidy().await.unwrap();
    let ballast = disk.0.join("ballast");
    assert_eq!(std::fs::metadata(&ballast).unwrap().len(), 8 << 20);
    let mut stored = 0;
    let full = loop {
        match append(&buffer, &many(stored, 10_000)).await {
            Ok(_) => stored += 100,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, BufferError::DiskFull), "{full}");
    // Somebody else takes what is left, to the last byte.
    let filler = disk.0.join("filler");
    let _ = std::fs::write(&filler, vec![1u8; 40 << 20]);
    assert!(
        buffer.problem().await.unwrap().unwrap().text.contains("disk is full"),
        "before anything of ours fails"
    );
    // As many as a batch has of this size; overwriting what is deleted needs as much room again.
    let mut rows = oldest(&buffer, &account).await;
    rows.truncate(50);
    let settled = buffer.settle(None, &confirm(&rows), NOW).await;
    assert!(matches!(settled, Err(BufferError::DiskFull)), "{settled:?}");

    assert!(buffer.release_ballast().unwrap());
    assert!(buffer.problem().await.unwrap().unwrap().text.contains("disk is full"));
    // What was let go is for draining: nothing new comes in.
    let refused = append(&buffer, &many(stored, 10)).await;
    assert!(matches!(refused, Err(BufferError::DiskFull)), "{refused:?}");
    buffer.settle(None, &confirm(&rows), NOW).await.unwrap();
    let left = buffer.totals(Some(account.id), NOW).await.unwrap().waiting();
    assert_eq!(left, (stored - rows.len()) as u64, "nothing was lost and nothing is sent twice");

    std::fs::remove_file(&filler).unwrap();
    while let rows = oldest(&buffer, &account).await
        && !rows.is_empty()
    {
        buffer.settle(None, &confirm(&rows), NOW).await.unwrap();
    }
    buffer.tidy().await.unwrap();
    assert_eq!(std::fs::metadata(&ballast).unwrap().len(), 8 << 20);
    assert_eq!(buffer.problem().await.unwrap(), None);
    append(&buffer, &many(stored, 10)).await.unwrap();
}

/// What the note took was the last room there was.
#[tokio::test]
#[expect(clippy::print_stderr, reason = "why nothing was tested")]
async fn on_a_full_disk_nothing_of_a_site_that_is_half_forgotten_is_sent() {
    const SITE: &str = "a.example";
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::new(&dir.path().join("disk"), 40 << 20) else {
        eprintln!("skipped: a small disk cannot be mounted here");
        return;
    };
    let buffer = Buffer::open(&disk.0.join("buffer.db")).await.unwrap();
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    for n in 0..10 {
        append(&buffer, &many(n * 100, 5_000)).await.unwrap();
    }
    append(&buffer, &[r#"{"id":"other","url":"http://b.example/","startedAt":5}"#.to_owned()]).await.unwrap();
    buffer.tidy().await.unwrap();
    let rows = oldest(&buffer, &account).await;
    let batch = NewBatch { key: "k".into(), body: vec![1], items: confirm(&rows[..2]).confirm };
    // Room for a note, and not for what overwrites a page of records; what the ballast took is in use as well.
    std::fs::remove_file(disk.0.join("ballast")).unwrap();
    let room = buffer.free_bytes().unwrap();
    let filler = disk.0.join("filler");
    std::fs::write(&filler, vec![1u8; (room - (256 << 10)) as usize]).unwrap();
    let failed = buffer.forget(SITE).await;
    assert!(matches!(failed, Err(BufferError::DiskFull)), "{failed:?}");
    let noted = format!("forgetting:{SITE}");
    assert!(buffer.meta(&noted).await.unwrap().is_some(), "it was cut short behind its note");
    assert!(oldest(&buffer, &account).await.len() > 500);

    let begun = buffer.begin_batch(account.id, &batch, NOW).await;
    assert!(matches!(begun, Err(BufferError::Changed)), "{begun:?}");
    std::fs::remove_file(&filler).unwrap();
    let (buffer, _) = Buffer::open_or_recover(buffer.path(), NOW).await.unwrap();
    assert!(buffer.meta(&noted).await.unwrap().is_none());
    let left = oldest(&buffer, &account).await;
    assert_eq!(left.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["other"]);
    let batch = NewBatch { items: confirm(&left).confirm, ..batch };
    buffer.begin_batch(account.id, &batch, NOW).await.unwrap();
}

#[tokio::test]
async fn on_a_full_disk_a_site_is_forgotten_and_what_waits_is_discarded_by_what_the_ballast_took() {
    const SITE: &str = "a.example";
    let dir = tempfile::tempdir().unwrap();
    let Some((_disk, buffer, account)) = more_than_the_ballast(dir.path()).await else { return };
    let erased = buffer.forget(SITE).await.unwrap();
    assert_eq!((erased.waiting, erased.log_emptied), (300, false), "to write the file anew there is no room");
    assert_eq!(buffer.meta(&format!("forgetting:{SITE}")).await.unwrap(), None);
    assert_eq!(oldest(&buffer, &account).await.len(), 300);
    assert_eq!(buffer.discard_all_waiting().await.unwrap(), 300);
    assert!(oldest(&buffer, &account).await.is_empty());
}

/// A week after a large drain.
#[tokio::test]
async fn on_a_full_disk_what_was_delivered_long_ago_stops_no_settlement() {
    let dir = tempfile::tempdir().unwrap();
    let Some((_disk, buffer, account)) = more_than_the_ballast(dir.path()).await else { return };
    assert!(buffer.release_ballast().unwrap());
    let rows = oldest(&buffer, &account).await;
    buffer.settle(None, &confirm(&rows[..10]), NOW + 8 * 86_400_000).await.unwrap();
    buffer.forget_expired(NOW + 8 * 86_400_000).await.unwrap();
}

#[tokio::test]
async fn on_a_full_disk_an_account_and_everything_are_erased_by_what_the_ballast_took() {
    for everything in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let Some((_disk, buffer, account)) = more_than_the_ballast(dir.path()).await else { return };
        let erased = match everything {
            false => buffer.discard_account(&account.email).await.unwrap(),
            true => buffer.erase_everything().await.unwrap(),
        };
        assert_eq!((erased.waiting, everything), (600, everything));
        assert!(oldest(&buffer, &account).await.is_empty());
    }
}

/// An account's visits, each with its tab, and what is kept beside them: all of it many times what the ballast took.
#[tokio::test]
#[expect(clippy::print_stderr, reason = "why nothing was tested")]
async fn on_a_full_disk_an_account_with_many_tabs_visits_is_discarded_by_what_the_ballast_took() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::new(&dir.path().join("disk"), 200 << 20) else {
        eprintln!("skipped: a small disk cannot be mounted here");
        return;
    };
    let buffer = Buffer::open(&disk.0.join("buffer.db")).await.unwrap();
    let gone = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    append(&buffer, &many(0, 10)).await.unwrap();
    buffer.sign_in(&who("2"), NOW).await.unwrap();
    buffer.tidy().await.unwrap();
    let mut writer =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}", buffer.path().display())).await.unwrap();
    const N: &str = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ";
    const RECORD: &str = "INSERT INTO record (kind, source, id, id_derived, account, claim_ref, revision, text, bytes, \
         checksum, digest, tab, state, captured_at)";
    let reference = &gone.r#ref;
    for fill in [
        format!(
            "{N} 45000) {RECORD} SELECT 1, 1, lower(hex(randomblob(16))), 0, 1, NULL, 1, '{{}}', 2, 0, zeroblob(32), \
             CAST(abs(random()) % 5000 AS TEXT), 1, 0 FROM n"
        ),
        "INSERT INTO tab_visit SELECT source, tab, abs(random()) % 1000000, id, 0 FROM record WHERE text = '{}'".into(),
        // Captured after its sign-out: nobody's, and to be unbound.
        format!(
            "{N} 15000) {RECORD} SELECT 1, 1, lower(hex(randomblob(16))), 0, NULL, '{reference}', 1, \
             hex(zeroblob(300)), 600, 0, zeroblob(32), NULL, 1, 0 FROM n"
        ),
        format!(
            "{N} 4000) INSERT INTO anchor (account, source, tab, visited_at, id, text, kept_at) \
             SELECT 1, 1, '7', n, hex(randomblob(16)), hex(zeroblob(1500)), 0 FROM n"
        ),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(fill)).execute(&mut writer).await.unwrap();
    }
    buffer.checkpoint().await.unwrap();
    let _ = std::fs::write(disk.0.join("filler"), vec![1u8; 200 << 20]);
    assert!(buffer.free_bytes().unwrap() < 64 << 10);
    assert_eq!(buffer.discard_account(&gone.email).await.unwrap().waiting, 45_100);
    let mut count = async |of: &str| -> i64 {
        let count = format!("SELECT count(*) FROM {of}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut writer).await.unwrap()
    };
    for of in ["tab_visit", "anchor", "account WHERE account = 1", "meta WHERE key GLOB 'discarding:*'"] {
        assert_eq!(count(of).await, 0, "{of}");
    }
    assert_eq!(count("record WHERE account IS NULL AND claim_ref = 'imported'").await, 15_000);
}

/// A week after one large drain, and a month after another.
#[tokio::test]
async fn a_settlement_forgets_so_many_rows_and_no_more_of_however_many_tables() {
    let dir = tempfile::tempdir().unwrap();
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    buffer.sign_in(&who("1"), NOW).await.unwrap();
    append(&buffer, &many(0, 10)[..1]).await.unwrap();
    let mut writer =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}", buffer.path().display())).await.unwrap();
    const N: &str = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 600)";
    for fill in [
        "INSERT INTO delivered SELECT 1, 1, n, zeroblob(32), 1, 1, 0 FROM n",
        "INSERT INTO tab_visit SELECT 1, '7', n, n, 0 FROM n",
        "INSERT INTO tab_life SELECT 1, '7', n, 0 FROM n",
    ] {
        let fill = fill.replacen("SELECT", &format!("{N} SELECT"), 1);
        sqlx::query(sqlx::AssertSqlSafe(fill)).execute(&mut writer).await.unwrap();
    }
    let mut left = async || -> i64 {
        const LEFT: &str = "SELECT (SELECT count(*) FROM delivered) + (SELECT count(*) FROM tab_visit WHERE noted_at = 0) \
             + (SELECT count(*) FROM tab_life)";
        sqlx::query_scalar(LEFT).fetch_one(&mut writer).await.unwrap()
    };
    for expected in [1_300, 800, 300, 0] {
        buffer.settle(None, &Settlement::default(), NOW).await.unwrap();
        assert_eq!(left().await, expected);
    }
}

/// Large records, more of them than the ballast has room for: nobody else lets it go, and the disk stays full.
#[expect(clippy::print_stderr, reason = "why nothing was tested")]
async fn more_than_the_ballast(dir: &Path) -> Option<(SmallDisk, Buffer, Account)> {
    let Some(disk) = SmallDisk::new(&dir.join("disk"), 90 << 20) else {
        eprintln!("skipped: a small disk cannot be mounted here");
        return None;
    };
    let buffer = Buffer::open(&disk.0.join("buffer.db")).await.unwrap();
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    let other = |n: usize| {
        let padding = "x".repeat(50_000);
        format!(r#"{{"id":"o{n}","url":"http://b.example/","startedAt":5,"p":"{padding}"}}"#)
    };
    for n in 0..3 {
        append(&buffer, &many(n * 100, 50_000)).await.unwrap();
        append(&buffer, &(n * 100..(n + 1) * 100).map(other).collect::<Vec<_>>()).await.unwrap();
        buffer.checkpoint().await.unwrap();
    }
    buffer.tidy().await.unwrap();
    // And of deliveries more than it has room for.
    let mut writer =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}", buffer.path().display())).await.unwrap();
    const DELIVERED: &str = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 60000) \
         INSERT INTO delivered SELECT 1, 1, hex(randomblob(18)), zeroblob(32), 1, 1, abs(random() % 1000000) FROM n";
    sqlx::query(DELIVERED).execute(&mut writer).await.unwrap();
    writer.close().await.unwrap();
    buffer.checkpoint().await.unwrap();
    let filler = disk.0.join("filler");
    let _ = std::fs::write(&filler, vec![1u8; 90 << 20]);
    assert!(buffer.free_bytes().unwrap() < 64 << 10);
    Some((disk, buffer, account))
}

/// An extension that says another number at each start, for months.
#[tokio::test]
async fn of_browser_profiles_with_nothing_kept_only_the_latest_stay() {
    const DAY: i64 = 24 * 3_600_000;
    let dir = tempfile::tempdir().unwrap();
    let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    let arrive = async |n: usize, at: i64| {
        let source = Source { name: format!("ext#p{n}"), profile_id: format!("p{n}"), ..source("p") };
        // Of no tab: which visit a tab was on is kept for longer.
        let visit = format!(r#"{{"id":"v{n}","url":"http://a.example/","startedAt":5}}"#);
        buffer.append(&source, &[Arrival::read(None, &[&visit], &[])], 0, at).await.unwrap();
    };
    for n in 0..300 {
        arrive(n, NOW + n as i64).await;
    }
    while let rows @ [_, ..] = &oldest(&buffer, &account).await[..] {
        buffer.settle(None, &confirm(rows), NOW).await.unwrap();
    }
    // One that has something waiting, as old as the oldest.
    arrive(1_000, NOW).await;
    let names = async || -> Vec<String> {
        buffer.sources().await.unwrap().into_iter().map(|seen| seen.profile_id).collect()
    };
    buffer.forget_expired(NOW + DAY).await.unwrap();
    assert_eq!(names().await.len(), 301, "digests are kept of all");
    buffer.forget_expired(NOW + 8 * DAY).await.unwrap();
    let left = names().await;
    assert_eq!(left.len(), 201);
    assert!(left.contains(&"p1000".to_owned()) && left.contains(&"p299".to_owned()), "{left:?}");
    buffer.forget_expired(NOW + 31 * DAY).await.unwrap();
    assert_eq!(names().await, ["p1000"]);
}
