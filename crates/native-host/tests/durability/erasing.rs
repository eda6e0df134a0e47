//! Something is erased (a site, chosen records, an account, everything) on a disk that writes down what is done to it.
//! Then, for each of its operations, the folder is laid down as it is when the program is killed right after it, and as a
//! power cut may leave it. Whoever comes next finds the erasure not begun, or goes on with it, or it is done: no half of it
//! stays. Then, or when it is asked for again, and upkeep has done what is owed, what was erased is in no byte of any
//! file, and nothing else is gone.
//!
//! `HEYHO_ERASURE_STEPS` sets at how many operations of each erasure (0: at every one).

use crate::disk::{Cut, Disk};
use crate::world::{Dice, World, number, seed};
use heyho_buffer::{
    Account, Arrival, BatchItem, Buffer, FailedQuery, Fate, Limits, NewBatch, Result, Settlement, SignedIn,
    Source, Waiting,
};
use heyho_records::reason::Reason;
use heyho_records::{Kind, Record};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What is erased, and the word that then is in no file. What keeps the word may lose a part: an aggregate that was on
/// other sites too.
const ERASURES: [(&str, &str); 5] = [
    ("site", "canary"),
    ("failed", "rec-ada-failed-canary"),
    ("waiting", "rec-ada-waiting-canary"),
    ("account", "rec-ada"),
    ("everything", "rec-"),
];
const SITE: &str = "canary.example";
const CHANGED: &str = "rec-ada-waiting-mixed";
const ADA: &str = "ada@x";

/// id and text.
type Texts = BTreeMap<String, String>;

#[test]
fn an_erasure_that_is_cut_short_at_any_step_leaves_no_half_and_asked_again_leaves_nothing() {
    let steps = number("HEYHO_ERASURE_STEPS").unwrap_or(8);
    let mut dice = Dice(seed());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let home = tempfile::tempdir().unwrap();
    let template = home.path().join("killed");
    let texts = runtime.block_on(filled(home.path(), &template));
    let (mut points, mut not_begun, mut done, mut dropped) = (0, 0, 0, 0);
    for (what, word) in ERASURES {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(folder.path());
        copy_all(&template, &world.data());
        let numbers = runtime.block_on(numbers(&template, word));
        let (world, disk) = Disk::under(world, 0);
        erased_by_a_program(&world, what, &numbers);
        let operations = disk.killed_at(u64::MAX, tempfile::tempdir().unwrap().path());
        let chosen: Vec<u64> = match steps {
            0 => (0..=operations).collect(),
            _ => {
                let first = 1 + dice.roll(operations / steps);
                [0].into_iter()
                    .chain((0..steps).map(|n| first + n * operations / steps))
                    .chain([operations])
                    .collect()
            }
        };
        let mut these = [0, 0];
        for at in chosen {
            for power in [false, true] {
                let left = tempfile::tempdir().unwrap();
                let data = World::new(left.path()).data();
                let cut = match power {
                    true => disk.cut_at(at, &mut dice, &data),
                    false => Cut { operations: disk.killed_at(at, &data), ..Cut::default() },
                };
                dropped += cut.dropped;
                points += 1;
                let point = format!("{what}, operation {at} of {operations}, power cut: {power}");
                let case = Case { what, word, numbers: &numbers, texts: &texts, point: &point };
                let ask_again = dice.roll(2) == 0;
                let finished = runtime.block_on(case.judge(&data, ask_again));
                assert!(finished || at < operations, "{point}: it was answered, and is not done");
                assert!(!finished || at > 0, "{point}: it had not begun");
                these[usize::from(finished)] += 1;
            }
        }
        assert!(these.iter().all(|n| *n > 0), "{what}: {these:?}");
        not_begun += these[0];
        done += these[1];
    }
    println!(
        "figures: {points} erasures cut short, half of them with the power ({dropped} bytes dropped); {not_begun} \
         not begun, {done} finished; nothing erased was left, nothing else was lost"
    );
}

struct Case<'a> {
    what: &'a str,
    word: &'a str,
    numbers: &'a [i64],
    texts: &'a Texts,
    point: &'a str,
}

impl Case<'_> {
    /// What the next start of the agent makes of it, and what is left then. Whether it was done without being asked for.
    async fn judge(&self, data: &Path, ask_again: bool) -> bool {
        let point = self.point;
        let (buffer, recovery) = Buffer::open_or_recover(&data.join("buffer.db"), 1).await.unwrap();
        assert!(recovery.is_none(), "{point}: {recovery:?}");
        buffer.check_whole().await.unwrap();
        let found = self.all_else_is_there(&buffer).await;
        let left = found.iter().filter(|(id, text)| self.names(id, text)).count();
        let were = self.texts.iter().filter(|(id, text)| self.names(id, text)).count();
        assert!(left == 0 || left == were, "{point}: {left} of {were} are left");
        if left > 0 || ask_again {
            erase(&buffer, self.what, self.numbers).await.unwrap();
        }
        // The agent sees to it as soon as it has started, and each quarter of an hour.
        assert!(buffer.finish_erasing().await.unwrap());
        let mut needles = vec![self.word.as_bytes().to_vec()];
        if !matches!(self.what, "failed" | "waiting") {
            needles.push(delivered().to_vec());
        }
        for needle in needles {
            let files = holds(data, &needle);
            assert!(files.is_empty(), "{point}, asked again: {ask_again}: it is still in {files:?}");
        }
        let found = self.all_else_is_there(&buffer).await;
        if self.what == "site" {
            assert!(found[CHANGED].contains("other.example"), "{point}: {}", found[CHANGED]);
        }
        assert_eq!(buffer.signed_in().await.unwrap().map(|who| who.email).as_deref(), Some(ADA), "{point}");
        buffer.close().await;
        left == 0
    }

    fn names(&self, id: &str, text: &str) -> bool {
        id.contains(self.word) || text.contains(self.word)
    }

    async fn all_else_is_there(&self, buffer: &Buffer) -> Texts {
        let found = all(buffer).await;
        for (id, text) in self.texts.iter().filter(|(id, text)| !self.names(id, text)) {
            assert_eq!(found.get(id), Some(text), "{}", self.point);
        }
        found
    }
}

async fn erase(buffer: &Buffer, what: &str, numbers: &[i64]) -> Result<()> {
    match what {
        "site" => drop(buffer.forget(SITE).await?),
        "failed" => drop(buffer.discard_failed(&FailedQuery::Numbers(numbers.to_vec())).await?),
        "waiting" => drop(buffer.discard_waiting(numbers).await?),
        "account" => drop(buffer.discard_account(ADA).await?),
        "everything" => drop(buffer.erase_everything().await?),
        other => panic!("{other}"),
    }
    Ok(())
}

/// Killed as soon as it has answered.
fn erased_by_a_program(world: &World, what: &str, numbers: &[i64]) {
    let mut child = world
        .command(std::env::current_exe().unwrap())
        .args(["--exact", "erasing::a_program_that_erases", "--ignored", "--nocapture"])
        .env("HEYHO_TEST_BUFFER", world.buffer())
        .env("HEYHO_TEST_ERASE", what)
        .env("HEYHO_TEST_NUMBERS", serde_json::to_string(numbers).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said =
        BufReader::new(child.stdout.take().unwrap()).lines().any(|line| line.unwrap().contains("=erased="));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said, "{what}: it ended without an answer");
}

#[test]
#[ignore = "the other test starts it, and kills it"]
fn a_program_that_erases() {
    let Some(path) = std::env::var_os("HEYHO_TEST_BUFFER").map(PathBuf::from) else { return };
    let what = std::env::var("HEYHO_TEST_ERASE").unwrap();
    let numbers: Vec<i64> = serde_json::from_str(&std::env::var("HEYHO_TEST_NUMBERS").unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (buffer, _) = Buffer::open_or_recover(&path, 1).await.unwrap();
        erase(&buffer, &what, &numbers).await.unwrap();
        // Of chosen records what is left goes later: as upkeep does.
        buffer.finish_erasing().await.unwrap();
        println!("=erased=");
        std::future::pending::<()>().await;
    });
}

/// Everything that holds what people have: waiting, failed, in flight, delivered, anchors, copies, what a salvage left;
/// some of it in the file and some in the log, as a kill leaves it. What there is to lose.
async fn filled(home: &Path, killed: &Path) -> Texts {
    let path = home.join("live/buffer.db");
    let buffer = Buffer::open(&path).await.unwrap();
    let ada = sign_in(&buffer, ADA).await;
    for state in ["delivered", "failed", "waiting"] {
        let texts: Vec<String> = ["canary", "other"]
            .iter()
            .flat_map(|site| (0..5).map(move |n| visit(&format!("rec-ada-{state}-{site}-{n}"), site, n)))
            .collect();
        append(&buffer, &texts).await;
    }
    let rows = |state: &'static str| oldest(&buffer, &ada, state);
    let confirm = rows("delivered").await.iter().map(item).collect();
    let done = Settlement { confirm, keep_anchors: true, ..Settlement::default() };
    buffer.settle(None, &done, 1).await.unwrap();
    // The batch is still on its way, with the very bytes of what it was refused for.
    let (failed, waiting) = (rows("failed").await, rows("waiting").await);
    let batch = NewBatch {
        key: "key".to_owned(),
        body: failed.iter().chain(&waiting).flat_map(|row| row.text.bytes()).collect(),
        items: failed.iter().chain(&waiting).map(item).collect(),
    };
    let batch = buffer.begin_batch(ada.id, &batch, 1).await.unwrap();
    let refused = |row: &Waiting| {
        let message = format!("{} is not liked", row.id);
        (item(row), Reason::RejectedByBackend { field: None, message, status: Some(400) })
    };
    let set_aside = failed.iter().map(refused).collect();
    let kept = Settlement { set_aside, fate: Fate::Keep, ..Settlement::default() };
    buffer.settle(Some(batch), &kept, 1).await.unwrap();
    append(&buffer, &[r#"{"id":"rec-ada-failed-canary-bad","url":"canary.example"}"#.to_owned()]).await;
    let mixed = format!(
        r#"{{"id":"{CHANGED}","tabId":1,"startTime":1,"domainDurations":{{"www.canary.example":5,"other.example":6}}}}"#
    );
    buffer.append(&source(), &[Arrival::read(None, &[], &[&mixed])], 0, 1).await.unwrap();
    sign_in(&buffer, "bob@x").await;
    append(&buffer, &(0..3).map(|n| visit(&format!("rec-bob-waiting-{n}"), "other", n)).collect::<Vec<_>>())
        .await;
    sign_in(&buffer, ADA).await;
    assert!(buffer.checkpoint().await.unwrap());
    let later = ["canary", "other"].map(|site| visit(&format!("rec-ada-waiting-{site}-later"), site, 9));
    append(&buffer, &later).await;

    for name in ["buffer.db", "buffer.db-wal"] {
        std::fs::create_dir_all(killed.join("set-aside/2026")).unwrap();
        std::fs::copy(path.with_file_name(name), killed.join(name)).unwrap();
        std::fs::copy(path.with_file_name(name), killed.join("set-aside/2026").join(name)).unwrap();
    }
    std::fs::create_dir_all(killed.join("backups")).unwrap();
    for copy in ["backups/before-schema-2.db", "buffer.db.new"] {
        std::fs::copy(&path, killed.join(copy)).unwrap();
    }
    for needle in [&b"rec-ada-failed-canary-0 is not liked"[..], &delivered()] {
        assert!(!holds(killed, needle).is_empty(), "the search finds it");
    }
    let texts = all(&buffer).await;
    buffer.close().await;
    texts
}

async fn sign_in(buffer: &Buffer, email: &str) -> Account {
    let who = SignedIn {
        backend: "http://b".to_owned(),
        user_id: email.to_owned(),
        email: email.to_owned(),
        claim_others: false,
    };
    buffer.sign_in(&who, 1).await.unwrap().0
}

fn source() -> Source {
    Source {
        name: "chrome-extension://abcdef/#p".to_owned(),
        profile_id: "p".to_owned(),
        browser: String::new(),
        client: String::new(),
    }
}

fn visit(id: &str, site: &str, tab: u64) -> String {
    format!(r#"{{"id":"{id}","url":"http://www.{site}.example/{id}","startedAt":{},"tabId":{tab}}}"#, 5 + tab)
}

/// The digest of a visit that was delivered.
fn delivered() -> [u8; 32] {
    let text = visit("rec-ada-delivered-canary-0", "canary", 0);
    Record::read(Kind::PageVisit, &text).unwrap().digest
}

async fn append(buffer: &Buffer, texts: &[String]) {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    buffer.append(&source(), &[Arrival::read(None, &texts, &[])], 0, 1).await.unwrap();
}

async fn oldest(buffer: &Buffer, account: &Account, state: &str) -> Vec<Waiting> {
    let limits = Limits { page_visits: 1_000, tab_aggregates: 1_000, bytes: 1 << 30 };
    let mut rows = buffer.oldest(account.id, limits, &[], 1).await.unwrap();
    rows.retain(|row| row.id.contains(state));
    rows
}

fn item(row: &Waiting) -> BatchItem {
    BatchItem { seq: row.seq, revision: row.revision, kind: row.kind }
}

/// Of the records with this word in their ids, whether they wait or have failed.
async fn numbers(template: &Path, word: &str) -> Vec<i64> {
    let here = tempfile::tempdir().unwrap();
    copy_all(template, here.path());
    let buffer = Buffer::open(&here.path().join("buffer.db")).await.unwrap();
    let failed = buffer.failed(0, 1_000, None).await.unwrap().into_iter().map(|one| (one.seq, one.id));
    let waiting = buffer.waiting_page(0, 1_000, None, 1).await.unwrap().rows;
    let waiting = waiting.into_iter().map(|one| (one.number, one.id));
    let numbers =
        failed.chain(waiting).filter(|(_, id)| id.contains(word)).map(|(number, _)| number).collect();
    buffer.close().await;
    numbers
}

async fn all(buffer: &Buffer) -> Texts {
    let (mut reader, mut texts) = (buffer.export(None, false), Texts::new());
    loop {
        let lines = reader.next().await.unwrap();
        if lines.is_empty() {
            return texts;
        }
        texts.extend(lines.into_iter().map(|line| (line.id, line.record.get().to_owned())));
    }
}

fn holds(folder: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holds(&path, needle));
        } else if std::fs::read(&path).unwrap().windows(needle.len()).any(|w| w == needle) {
            found.push(path);
        }
    }
    found
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_all(&path, &to),
            false => drop(std::fs::copy(&path, to).unwrap()),
        }
    }
}
