//! Damaged files: whatever was done to them, the buffer opens, nothing wrong is passed on as right, and what
//! was lost is said. `HEYHO_DAMAGES` sets how many, `HEYHO_SEED` repeats a run. Controls: `checksum-ignored`,
//! `range-given-up` (`xtask/src/controls.rs`).

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

mod support;

use heyho_buffer::*;
use sqlx::{Connection, SqliteConnection};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use support::*;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

fn log(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

/// A buffer as a kill leaves it: some of it in the file, some in the log.
async fn killed(dir: &Path) -> (PathBuf, BTreeMap<String, String>) {
    let path = dir.join("live/buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    let account = buffer.sign_in(&who("1"), NOW).await.unwrap().0;
    let visits: Vec<String> =
        (0..400).map(|n| visit(&format!("v{n}"), &format!(r#","title":"{}""#, "t".repeat(n)))).collect();
    append(&buffer, &visits[..300]).await.unwrap();
    let bad = vec![r#"{"id":"bad"}"#.to_owned()];
    append(&buffer, &bad).await.unwrap();
    buffer.settle(None, &confirm(&oldest(&buffer, &account).await[..50]), NOW).await.unwrap();
    assert!(buffer.checkpoint().await.unwrap());
    append(&buffer, &visits[300..]).await.unwrap();
    let killed = dir.join("buffer.db");
    std::fs::copy(&path, &killed).unwrap();
    std::fs::copy(log(&path), log(&killed)).unwrap();
    let texts = export(&buffer).await.into_iter().map(|l| (l.id, l.record.get().to_owned())).collect();
    (killed, texts)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    BitsInFile,
    BitsInLog,
    FileCut,
    LogCut,
    LogGone,
    PagesSwapped,
    PageOfNoise,
}

fn damage(path: &Path, dice: &mut Dice) -> Damage {
    use Damage::*;
    const PAGE: usize = 4096;
    let what = [BitsInFile, BitsInLog, FileCut, LogCut, LogGone, PagesSwapped, PageOfNoise][dice.roll(7)];
    let target = if matches!(what, BitsInLog | LogCut | LogGone) { log(path) } else { path.to_owned() };
    let mut bytes = std::fs::read(&target).unwrap();
    let length = bytes.len();
    match what {
        BitsInFile | BitsInLog => {
            for _ in 0..=dice.roll(40) {
                bytes[dice.roll(length)] ^= 1 << dice.roll(8);
            }
        }
        FileCut | LogCut => bytes.truncate(dice.roll(length)),
        LogGone => {
            std::fs::remove_file(&target).unwrap();
            return what;
        }
        PagesSwapped => {
            let (a, b) = (dice.roll(length / PAGE), dice.roll(length / PAGE));
            for n in 0..PAGE {
                bytes.swap(a * PAGE + n, b * PAGE + n);
            }
        }
        PageOfNoise => {
            let page = dice.roll(length / PAGE);
            for byte in &mut bytes[page * PAGE..(page + 1) * PAGE] {
                *byte = dice.roll(256) as u8;
            }
        }
    }
    std::fs::write(&target, bytes).unwrap();
    what
}

/// As a host and the agent do.
async fn used(buffer: &Buffer) -> Result<()> {
    append(buffer, &[visit("new", "")]).await?;
    if let Some(account) = buffer.signed_in().await? {
        let limits = Limits { page_visits: 1_000, tab_aggregates: 1_000, bytes: 1 << 30 };
        buffer.oldest(account.id, limits, &[], NOW).await?;
    }
    let mut reader = buffer.export(None, false);
    while !reader.next().await?.is_empty() {}
    Ok(())
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures of a run")]
fn whatever_is_damaged_the_buffer_opens_says_what_was_lost_and_passes_nothing_wrong_on() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let cases = number("HEYHO_DAMAGES").unwrap_or(200);
    let seed = number("HEYHO_SEED").unwrap_or(20_261_121);
    println!("seed {seed}");
    let mut dice = Dice(seed | 1);
    let home = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (template, texts) = runtime.block_on(killed(home.path()));
    let (mut recovered, mut untouched, mut saved, mut unreadable, mut wrong) = (0, 0, 0, 0, 0);
    let (mut shown_by_use, mut uncounted, mut with_the_log) = (0, 0, 0);
    for case in 0..cases {
        let dir = home.path().join(case.to_string());
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("buffer.db");
        std::fs::copy(&template, &path).unwrap();
        std::fs::copy(log(&template), log(&path)).unwrap();
        let what = damage(&path, &mut dice);
        let before = std::fs::read(&path).unwrap();
        runtime.block_on(async {
            let (mut buffer, mut recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
            // It can be used, and says nothing that was never stored. What only using it shows is mended then.
            let mut by_use = false;
            if let Err(shown) = used(&buffer).await {
                by_use = true;
                let shown = buffer.judged(shown).await;
                assert!(matches!(shown, BufferError::Damaged(_)), "case {case} {what:?}: {shown}");
                shown_by_use += 1;
                let aside = Buffer::open_and_mend(&path, NOW).await.unwrap();
                buffer.close().await;
                (buffer, recovery) = aside;
                used(&buffer).await.unwrap();
            }
            let lines = export(&buffer).await;
            for line in lines.iter().filter(|line| line.id != "new") {
                // By its text: a checksum covers that, not the columns beside it.
                if texts.values().any(|text| text == line.record.get()) {
                    continue;
                }
                wrong += 1;
                // A text that is not what was stored never looks sound.
                let account = buffer.signed_in().await.unwrap();
                let sound = match &account {
                    Some(account) => oldest(&buffer, account).await,
                    None => Vec::new(),
                };
                assert!(
                    !sound.iter().any(|row| row.intact && row.text == line.record.get()),
                    "case {case} {what:?}: {}",
                    line.record.get()
                );
            }
            // Rows that are gone, those with a wrong text not among them.
            let gone = texts.len() - lines.iter().filter(|line| line.id != "new").count().min(texts.len());
            let in_the_log = matches!(what, Damage::BitsInLog | Damage::LogCut | Damage::LogGone);
            // What the log alone had, nobody can miss; of all else it is said.
            match &recovery {
                _ if in_the_log => with_the_log += gone,
                None => assert_eq!(gone, 0, "case {case} {what:?}: lost without a word"),
                Some(recovery) => match recovery.expected {
                    // A bit may have flipped in the count itself.
                    Some(expected) if expected == texts.len() as u64 + u64::from(by_use) => {
                        let said = recovery.lost().unwrap() as usize;
                        assert!(
                            (gone..=gone + usize::from(by_use)).contains(&said),
                            "case {case} {what:?}: {gone}, {said}"
                        );
                    }
                    _ => uncounted += 1,
                },
            }
            if let Some(recovery) = recovery {
                recovered += 1;
                saved += recovery.saved;
                let aside = recovery.set_aside.join("buffer.db");
                untouched += u64::from(std::fs::read(aside).unwrap() == before);
                // In use, the new one may have been stored before the damage showed.
                let new = lines.len() as u64 - recovery.saved;
                assert!(new == 1 || (by_use && new == 0), "case {case} {what:?}: {new}");
                if let Some(said) = recovery.lost() {
                    unreadable += said;
                }
                // Also after a restart, and until somebody has read it.
                assert_eq!(buffer.recovery().await.unwrap(), Some(recovery));
                buffer.check_whole().await.unwrap();
            }
            buffer.close().await;
        });
        std::fs::remove_dir_all(&dir).unwrap();
    }
    // Where SQLite cannot even read the first page, its own attempt to open the file may move the log into it.
    assert!(untouched * 4 >= recovered * 3, "{untouched} of {recovered} set aside as they were found");
    assert!(uncounted * 2 <= recovered, "of {uncounted} of {recovered} it is not known how many there were");
    println!(
        "figures: {cases} damaged buffers: all opened, {recovered} set aside ({untouched} byte for byte, {shown_by_use} when they were used), {saved} records saved from those, \
         {unreadable} unreadable and said, of {uncounted} files it is not known how many; {wrong} texts that were not what was stored and said so; \
         {with_the_log} records gone with a log, unseen"
    );
}

/// The records that have a part of their title on this page: what may be lost with it, and no more.
fn on_page(page: &[u8], titles: &BTreeMap<String, String>) -> Vec<String> {
    let part = |title: &str| {
        let parts = (0..title.len() - 16).step_by(8).map(|at| &title.as_bytes()[at..at + 16]);
        parts.into_iter().any(|part| page.windows(16).any(|p| p == part))
    };
    titles.iter().filter(|(_, title)| part(title)).map(|(id, _)| id.clone()).collect()
}

#[tokio::test]
async fn a_bad_page_costs_the_records_on_it_and_no_others_and_that_is_said_until_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    // Titles that have nothing in common.
    let unlike =
        |n: u32| (0..40).map(|k| format!("{:08x}", (n * 40 + k).wrapping_mul(2_654_435_761))).collect();
    let titles: BTreeMap<String, String> = (0..600).map(|n| (format!("v{n}"), unlike(n))).collect();
    let visits: Vec<String> =
        titles.iter().map(|(id, title)| visit(id, &format!(r#","title":"{title}""#))).collect();
    append(&buffer, &visits).await.unwrap();
    assert!(buffer.checkpoint().await.unwrap());
    buffer.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let found = bytes.windows(16).position(|w| w == &titles["v300"].as_bytes()[..16]).unwrap();
    let page = found / 4096 * 4096..found / 4096 * 4096 + 4096;
    let mut may_be_lost = on_page(&bytes[page.clone()], &titles);
    assert!((3..20).contains(&may_be_lost.len()), "{may_be_lost:?}");
    let mut dice = Dice(7);
    bytes[page].fill_with(|| dice.roll(256) as u8);
    std::fs::write(&path, bytes).unwrap();

    let (buffer, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
    let saved: Vec<String> = export(&buffer).await.into_iter().map(|line| line.id).collect();
    let mut lost: Vec<String> = titles.keys().filter(|id| !saved.contains(id)).cloned().collect();
    lost.sort();
    may_be_lost.sort();
    assert_eq!(lost, may_be_lost);
    let recovery = recovery.unwrap();
    assert_eq!((recovery.lost(), recovery.damaged), (Some(lost.len() as u64), 0));
    buffer.close().await;

    let (buffer, again) = Buffer::open_or_recover(&path, NOW + 5).await.unwrap();
    assert!(again.is_none());
    assert_eq!(buffer.recovery().await.unwrap().unwrap(), recovery);
    buffer.recovery_seen().await.unwrap();
    assert!(buffer.recovery().await.unwrap().unwrap().seen);
}

/// An index that lacks a row: the quick check finds nothing wrong.
#[tokio::test]
async fn what_the_whole_check_found_is_set_aside_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    append(&buffer, &[visit("a", ""), visit("b", "")]).await.unwrap();
    buffer.close().await;
    let mut other = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for statement in [
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'state = 1', 'state = 7') WHERE name = 'record_waiting'",
        "PRAGMA writable_schema = RESET",
        "REINDEX record_waiting",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'state = 7', 'state = 1') WHERE name = 'record_waiting'",
    ] {
        sqlx::query(statement).execute(&mut other).await.unwrap();
    }
    other.close().await.unwrap();
    let (buffer, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
    assert!(recovery.is_none());
    assert!(matches!(buffer.check_whole().await, Err(BufferError::Damaged(_))));
    buffer.close().await;
    let (buffer, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
    assert_eq!(recovery.unwrap().saved, 2);
    buffer.check_whole().await.unwrap();
    buffer.close().await;
    assert!(Buffer::open_or_recover(&path, NOW).await.unwrap().1.is_none());
}

/// A row that is gone from the table and from each index of it: SQLite finds nothing wrong.
#[tokio::test]
async fn records_that_are_gone_are_missed_by_their_count_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    append(&buffer, &["a", "b", "c"].map(|id| visit(id, ""))).await.unwrap();
    buffer.check_whole().await.unwrap();
    buffer.close().await;
    let counted = "SELECT sql FROM sqlite_schema WHERE name = 'record_uncounted'";
    let mut other = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let trigger: String = sqlx::query_scalar(counted).fetch_one(&mut other).await.unwrap();
    for statement in ["DROP TRIGGER record_uncounted", "DELETE FROM record WHERE id = 'b'"] {
        sqlx::query(statement).execute(&mut other).await.unwrap();
    }
    sqlx::query(sqlx::AssertSqlSafe(trigger)).execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let (buffer, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
    let recovery = recovery.unwrap();
    assert_eq!((recovery.expected, recovery.saved, recovery.lost()), (Some(3), 2, Some(1)), "{recovery:?}");
    assert!(recovery.why.contains("2 records are in it, and it counts 3"), "{}", recovery.why);
    buffer.check_whole().await.unwrap();
    buffer.close().await;
    assert!(Buffer::open_or_recover(&path, NOW).await.unwrap().1.is_none());
}

/// How many there were is not believed where it cannot be: more than numbers were ever given.
#[tokio::test]
async fn a_count_that_cannot_be_is_not_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    append(&buffer, &["a", "b", "c"].map(|id| visit(id, ""))).await.unwrap();
    buffer.close().await;
    raw(&path, &["UPDATE counter SET n = n + 4294967296"]).await;
    let (buffer, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
    assert_eq!(recovery.map(|it| (it.expected, it.saved)), Some((None, 3)));
    assert_eq!(buffer.totals(None, NOW).await.unwrap().unclaimed, 3);
}

#[tokio::test]
async fn a_host_that_has_the_damaged_file_open_stores_in_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let host = Buffer::open(&path).await.unwrap();
    append(&host, &[visit("a", "")]).await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(100);
    // As a disk would: in place, the file stays the same one.
    std::fs::write(&path, bytes).unwrap();
    std::fs::write(log(&path), "").unwrap();
    let (agent, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
    assert!(recovery.is_some());
    let refused = append(&host, &[visit("b", "")]).await;
    assert!(matches!(refused, Err(BufferError::Replaced)), "{refused:?}");
    drop(host);
    let host = Buffer::open(&path).await.unwrap();
    append(&host, &[visit("b", "")]).await.unwrap();
    assert_eq!(export(&agent).await.len(), 1);
}

/// As a kill leaves it, right after the file was moved. Every other moment: heyho-host, `recovery::`.
#[tokio::test]
async fn a_salvage_that_was_cut_short_is_finished_by_whoever_comes_next() {
    let dir = tempfile::tempdir().unwrap();
    let (killed, texts) = killed(dir.path()).await;
    let aside = dir.path().join("set-aside/2026-01-01T00-00-00Z");
    std::fs::create_dir_all(&aside).unwrap();
    std::fs::rename(&killed, aside.join("buffer.db")).unwrap();
    let owed = dir.path().join("buffer.db.owed");
    std::fs::write(&owed, r#"{"folder":"2026-01-01T00-00-00Z","at":5,"why":"it was cut"}"#).unwrap();
    let buffer = Buffer::open(&killed).await.unwrap();
    assert!(aside.join("buffer.db-wal").exists(), "the old log went where its file is");
    assert_eq!(export(&buffer).await.len(), texts.len());
    let recovery = buffer.recovery().await.unwrap().unwrap();
    assert_eq!((recovery.at, recovery.saved, recovery.lost()), (5, texts.len() as u64, Some(0)));
    assert_eq!((recovery.why.as_str(), recovery.seen), ("it was cut", false));
    assert!(!owed.exists() && !dir.path().join("buffer.db.new").exists());
}

#[tokio::test]
async fn a_log_without_its_file_never_meets_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let (killed, _) = killed(dir.path()).await;
    std::fs::remove_file(&killed).unwrap();
    let buffer = Buffer::open(&killed).await.unwrap();
    assert!(dir.path().join("set-aside/log-without-file/buffer.db-wal").exists());
    assert!(export(&buffer).await.is_empty());
}

async fn raw(path: &Path, statements: &[&'static str]) {
    let mut other = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for statement in statements {
        sqlx::query(*statement).execute(&mut other).await.unwrap();
    }
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_text_is_found_once_and_keeps_nobody_from_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    append(&buffer, &[visit("a", ""), visit("b", ""), visit("c", "")]).await.unwrap();
    // Not even a string any more.
    raw(&path, &["UPDATE record SET text = CAST(x'7bff22' AS TEXT) WHERE id = 'b'"]).await;
    assert_eq!(export(&buffer).await.len(), 3);
    assert_eq!(buffer.set_damaged_texts_aside(NOW).await.unwrap(), 1);
    assert_eq!(buffer.failed(0, 10, None).await.unwrap().len(), 1);
    // As a bit that flips later would.
    raw(&path, &["UPDATE record SET text = CAST(x'7bff22' AS TEXT) WHERE id = 'b'"]).await;
    assert_eq!(buffer.failed(0, 10, None).await.unwrap()[0].id, "b");
    assert_eq!(export(&buffer).await.len(), 3);
    assert_eq!(buffer.set_damaged_texts_aside(NOW).await.unwrap(), 1);
    assert_eq!(buffer.keep_failed(&FailedQuery::All).await.unwrap(), 1);
    buffer.close().await;
    // It was said, and is kept quietly: not again at each start.
    for _ in 0..2 {
        let (buffer, _) = Buffer::open_or_recover(&path, NOW).await.unwrap();
        assert_eq!(buffer.set_damaged_texts_aside(NOW).await.unwrap(), 0);
        let failed = buffer.failed(0, 10, None).await.unwrap();
        assert_eq!((failed[0].kept, failed[0].attempts), (true, 2));
        buffer.close().await;
    }
}

/// One flipped bit in it makes it anything.
#[tokio::test]
async fn the_number_that_was_given_last_is_not_trusted_to_be_the_end() {
    for given in [0, 3, -7, i64::MAX] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("buffer.db");
        let buffer = Buffer::open(&path).await.unwrap();
        let visits: Vec<String> = (0..20).map(|n| visit(&format!("v{n}"), "")).collect();
        append(&buffer, &visits).await.unwrap();
        buffer.close().await;
        let mut other = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        for (statement, number) in [
            ("UPDATE record SET seq = seq + ? WHERE seq > 10", 50_000),
            ("UPDATE sqlite_sequence SET seq = ? WHERE name = 'record'", given),
        ] {
            sqlx::query(statement).bind(number).execute(&mut other).await.unwrap();
        }
        sqlx::query("DROP INDEX delivered_at").execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        let (buffer, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
        assert_eq!(recovery.unwrap().saved, 20, "{given}");
        let stored = append(&buffer, &[visit("later", "")]).await.unwrap();
        assert_eq!(stored.counts.stored, 1, "{given}");
        buffer.close().await;
    }
}

#[tokio::test]
async fn who_has_the_file_open_can_see_that_it_is_to_be_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    assert!(!buffer.is_doubted());
    Buffer::doubt(&path).unwrap();
    assert!(buffer.is_doubted());
    buffer.close().await;
    let (buffer, _) = Buffer::open_or_recover(&path, NOW).await.unwrap();
    assert!(!buffer.is_doubted());
    std::fs::rename(&path, dir.path().join("elsewhere.db")).unwrap();
    assert!(buffer.is_doubted());
}

#[tokio::test]
async fn what_cannot_be_mended_by_setting_aside_is_not_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    buffer.close().await;
    let other = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (9999, 'later', datetime(), 1, x'00', 0)")
        .execute(&other)
        .await
        .unwrap();
    sqlx::query("INSERT OR REPLACE INTO meta VALUES ('oldest_writer', '9999')")
        .execute(&other)
        .await
        .unwrap();
    let refused = Buffer::open_or_recover(&path, NOW).await;
    assert!(matches!(refused, Err(BufferError::SchemaNewer)), "{refused:?}");
    assert!(!dir.path().join("set-aside").exists());
}

#[tokio::test]
async fn copies_are_kept_for_thirty_days() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    std::fs::write(&path, "no database at all, is it? ".repeat(100)).unwrap();
    let (buffer, recovery) = Buffer::open_or_recover(&path, NOW).await.unwrap();
    let aside = recovery.unwrap().set_aside;
    let made = std::fs::metadata(&aside).unwrap().modified().unwrap();
    let made = made.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    const DAY: i64 = 86_400_000;
    assert_eq!(buffer.expire_copies(made + 29 * DAY).unwrap(), 0);
    assert!(aside.exists());
    assert_eq!(buffer.expire_copies(made + 31 * DAY).unwrap(), 1);
    assert!(!aside.exists());
}

#[tokio::test]
async fn before_a_migration_a_whole_copy_is_made_for_this_user_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    append(&buffer, &[visit("a", "")]).await.unwrap();
    buffer.close().await;
    // As the version before left it.
    let older = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for statement in [
        "DROP INDEX record_held",
        "DROP INDEX tab_visit_id",
        "ALTER TABLE batch DROP COLUMN checksum",
        "DROP TABLE anchor",
        "DROP TABLE tab_life",
        "DELETE FROM queue WHERE queue = 2",
        "DELETE FROM _sqlx_migrations WHERE version > 1",
    ] {
        sqlx::query(statement).execute(&older).await.unwrap();
    }
    older.close().await;
    let buffer = Buffer::open(&path).await.unwrap();
    assert_eq!(export(&buffer).await.len(), 1);
    let copies: Vec<_> =
        std::fs::read_dir(dir.path().join("backups")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(copies.len(), 1);
    let copy = sqlx::SqlitePool::connect(&format!("sqlite://{}", copies[0].display())).await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM record").fetch_one(&copy).await.unwrap();
    assert_eq!(count, 1);
    copy.close().await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&copies[0]).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
