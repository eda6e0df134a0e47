//! However much waits, the status, the next batch and what comes of it cost the same: counted in pages read,
//! by the kernel, of a process that does one of these things and nothing else. Then everything is drained: the
//! process that does it grows no larger for a longer queue, and the file shrinks.
//!
//! 10^3 and 10^5 records in the ordinary tests; 10^7 with `HEYHO_TORTURE`, where there are 25 GB of free disk.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it needs by failing")]
#![expect(clippy::print_stdout, reason = "the figures of a run")]

#[expect(dead_code, reason = "what other suites need besides")]
mod support;

use heyho_buffer::*;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::{NOW, confirm, source, visit, who};

const FREE_DISK: u64 = 25_000_000_000;
const PAGE: u64 = 4_096;
/// Of each kind, in one batch: as the agent does.
const BATCH: usize = 100;

/// What one process is asked to do, and how many pages it may read more at any size than at 10^3: an index
/// that is deeper by two levels, for each row where it looks rows up one by one.
const TASKS: [(&str, u64); 5] = [
    ("status", 20),
    ("next batch", 3 * 2 * BATCH as u64),
    ("by their numbers", 40),
    ("settle", 8 * 2 * BATCH as u64),
    ("arrival", 100),
];

#[test]
fn what_is_done_all_the_time_costs_the_same_however_much_waits() {
    let mut sizes = vec![1_000, 100_000];
    if std::env::var_os("HEYHO_TORTURE").is_some() {
        let free = rustix::fs::statvfs(std::env::temp_dir()).unwrap();
        let free = free.f_bavail * free.f_frsize;
        if free >= FREE_DISK {
            sizes.push(10_000_000);
        } else {
            println!("skipped: 10^7 waiting needs {FREE_DISK} bytes of free disk, and there are {free}");
        }
    }
    let mut smallest: BTreeMap<&str, u64> = BTreeMap::new();
    let mut before: Option<(u64, u64)> = None;
    for size in sizes {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("buffer.db");
        tokio::runtime::Runtime::new().unwrap().block_on(fill(&path, size));
        let full = std::fs::metadata(&path).unwrap().len();
        let mut said = Vec::new();
        for (task, more) in TASKS {
            let pages = number(&ask(&path, task), "pages");
            let least = *smallest.entry(task).or_insert(pages);
            said.push(format!("{task} {pages}"));
            assert!(pages <= least + more, "{task}: {pages} pages with {size} waiting, {least} with 1,000");
        }
        println!("figures: {size} waiting: pages read: {}", said.join(", "));
        let drained = ask(&path, "drain");
        let memory = number(&drained, "kilobytes");
        // A thousand fit into what SQLite keeps of a file in memory; from a hundred thousand on all of that is in use. What is
        // more then is the allocator's: 8 MB after a quarter of 10^7, and 0.6 MB in the rest. A byte kept for each record
        // would be 10 MB more.
        let more = if before.is_none_or(|(size, _)| size == 1_000) { 16 } else { 12 };
        if let Some((of, least)) = before {
            assert!(memory < least + more * 1024, "{memory} kB for {size} waiting, {least} kB for {of}");
        }
        before = Some((size, memory));
        let left = std::fs::metadata(&path).unwrap().len();
        // What was confirmed is remembered for a week by its digest, and tabs by their visits.
        assert!(left < full * 3 / 4 || size == 1_000, "{left} of {full} bytes after draining");
        println!("figures: {size} waiting: drained with {memory} kB at most; file {full} then {left}");
    }
}

fn number(said: &str, name: &str) -> u64 {
    let found = said.lines().find_map(|line| line.split_once(&format!("{name} "))?.1.parse().ok());
    found.unwrap_or_else(|| panic!("no {name} in {said}"))
}

/// Another process does it.
fn ask(path: &Path, task: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_task_in_a_process_of_its_own", "--ignored", "--nocapture"])
        .env("HEYHO_TEST_BUFFER", path)
        .env("HEYHO_TEST_TASK", task)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{task}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
#[ignore = "the other test starts it"]
fn one_task_in_a_process_of_its_own() {
    let Some(path) = std::env::var_os("HEYHO_TEST_BUFFER").map(PathBuf::from) else { return };
    let task = std::env::var("HEYHO_TEST_TASK").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let buffer = Buffer::open(&path).await.unwrap().with_cap(Some(u64::MAX));
        let account = buffer.signed_in().await.unwrap().unwrap();
        let before = bytes_read();
        match task.as_str() {
            "status" => {
                let known = buffer.status(Duration::from_secs(300), NOW).await.unwrap();
                assert!(format!("{known:?}").contains("1@x"));
                buffer.problem().await.unwrap();
            }
            "next batch" => assert_eq!(next(&buffer, &account, BATCH).await.len(), 2 * BATCH),
            "by their numbers" => {
                let numbers: Vec<i64> = (1..=20).collect();
                assert_eq!(buffer.waiting(account.id, &numbers).await.unwrap().len(), numbers.len());
            }
            "settle" => assert!(deliver(&buffer, &account, BATCH).await),
            "arrival" => {
                let visits: Vec<String> = (0..10).map(|n| visit(&format!("new{n}"), "")).collect();
                support::append(&buffer, &visits).await.unwrap();
            }
            "drain" => {
                while deliver(&buffer, &account, 5 * BATCH).await {}
                buffer.tidy().await.unwrap();
                println!("kilobytes {}", most_memory());
            }
            other => panic!("{other}"),
        }
        println!("pages {}", (bytes_read() - before).div_ceil(PAGE));
        buffer.close().await;
    });
}

async fn next(buffer: &Buffer, account: &Account, most: usize) -> Vec<Waiting> {
    let limits = Limits { page_visits: most, tab_aggregates: most, bytes: 1 << 20 };
    buffer.oldest(account.id, limits, &[], NOW).await.unwrap()
}

/// False: nothing waits.
async fn deliver(buffer: &Buffer, account: &Account, most: usize) -> bool {
    let rows = next(buffer, account, most).await;
    if rows.is_empty() {
        return false;
    }
    let done = confirm(&rows);
    let new = NewBatch { key: rows[0].seq.to_string(), body: vec![0; 1_000], items: done.confirm.clone() };
    let batch = buffer.begin_batch(account.id, &new, NOW).await.unwrap();
    buffer.settle(Some(batch), &done, NOW).await.unwrap();
    true
}

/// By this process, through read calls: SQLite reads a page at a time, and the log's index is mapped.
fn bytes_read() -> u64 {
    number(&std::fs::read_to_string("/proc/self/io").unwrap(), "rchar:")
}

fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A thousand records by the front door, and copies of them under ids of their own (in no order, as the ids
/// of real records). They share a few tabs, each with a hundred thousand records.
async fn fill(path: &Path, size: u64) {
    let buffer = Buffer::open(path).await.unwrap();
    buffer.sign_in(&who("1"), NOW).await.unwrap();
    let visits: Vec<String> = (0..500).map(|n| visit(&format!("v{n}"), "")).collect();
    let aggregates: Vec<String> = (0..500)
        .map(|n| format!(r#"{{"id":"t{n}","tabId":{n},"startTime":1,"lastActiveTime":{}}}"#, n + 9))
        .collect();
    let refs = |texts: &'_ [String]| texts.iter().map(|text| text.clone().leak() as &str).collect::<Vec<_>>();
    let arrival = Arrival::read(None, &refs(&visits), &refs(&aggregates));
    buffer.append(&source("p1"), &[arrival], 0, NOW).await.unwrap();
    buffer.close().await;
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for pragma in ["synchronous = OFF", "cache_size = -1000000"] {
        sqlx::query(AssertSqlSafe(format!("PRAGMA {pragma}"))).execute(&mut connection).await.unwrap();
    }
    const TAB: &str = "CAST(n.n / 100 AS TEXT)";
    for round in 1..size.div_ceil(100_000).max(1) + 1 {
        let times = size.min(100_000) / 1_000 - u64::from(round == 1);
        let copy = format!(
            "WITH RECURSIVE n (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM n WHERE n < {to}) \
             INSERT INTO record (kind, source, id, id_derived, account, claim_ref, revision, text, bytes, \
             checksum, digest, complete_1, complete_2, complete_3, tab, start_time, last_time, state, \
             held_until, captured_at) SELECT kind, source, lower(hex(randomblob(16))), id_derived, account, \
             claim_ref, revision, text, bytes, checksum, digest, complete_1, complete_2, complete_3, {TAB}, \
             start_time, last_time, state, held_until, captured_at FROM n, record r WHERE r.seq <= 1000",
            from = round * 1_000,
            to = round * 1_000 + times.max(1) - 1,
        );
        if times > 0 {
            sqlx::query(AssertSqlSafe(copy)).execute(&mut connection).await.unwrap();
        }
    }
    let tabs = "INSERT INTO tab_visit (source, tab, visited_at, id, noted_at) \
         SELECT source, tab, seq, id, captured_at FROM record WHERE kind = 1 AND seq > 1000";
    sqlx::query(tabs).execute(&mut connection).await.unwrap();
    let waiting: i64 = sqlx::query_scalar("SELECT sum(n) FROM counter WHERE state = 1")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(waiting as u64, size);
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
