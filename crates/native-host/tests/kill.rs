//! Kills at random among hosts that write to one buffer, beside an agent that takes out of it and is killed
//! too. The oracle is a ledger outside: whatever was acknowledged is in the buffer, or was at the backend, in
//! that version or a later one.
//!
//! `HEYHO_KILLS` sets how many kills there are, `HEYHO_SEED` repeats a run. Each round begins without a file,
//! so that the first kills fall into its making.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it needs by failing")]
#![expect(clippy::print_stdout, reason = "the figures of a run")]

use heyho_buffer::{BatchItem, Buffer, Limits, NewBatch, Settlement, SignedIn};
use heyho_local::clock::{Clock, SystemClock};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Far longer than anything here takes: a host that is slower hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// xorshift: the same seed, the same run (but for the machine's own timing).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides.max(1)
    }
}

struct Host {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<Value>,
}

impl Host {
    fn start(world: &Path) -> Host {
        let mut child = Command::new(env!("CARGO_BIN_EXE_heyho-host"))
            .arg("chrome-extension://abcdef/")
            .env_clear()
            .env("HEYHO_DATA_DIR", world.join("data"))
            .env("HEYHO_CONFIG_DIR", world.join("config"))
            .env("HEYHO_STATE_DIR", world.join("state"))
            .env("HEYHO_RUNTIME_DIR", world.join("run"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (stdin, mut stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        let (give, answers) = channel();
        std::thread::spawn(move || {
            let mut length = [0u8; 4];
            while stdout.read_exact(&mut length).is_ok() {
                let mut body = vec![0; u32::from_ne_bytes(length) as usize];
                if stdout.read_exact(&mut body).is_err()
                    || give.send(serde_json::from_slice(&body).unwrap()).is_err()
                {
                    return;
                }
            }
        });
        Host { child, stdin, answers }
    }

    /// False: the pipe is broken, for the host is dead.
    fn raw(&mut self, bytes: &[u8]) -> bool {
        self.stdin.as_mut().unwrap().write_all(bytes).is_ok()
    }

    fn answer(&self) -> Value {
        self.answers.recv_timeout(PATIENCE).unwrap()
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

fn frame(json: &str) -> Vec<u8> {
    let mut bytes = (json.len() as u32).to_ne_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

/// (profile, id) and the version that is safe at least.
type Ledger = Arc<Mutex<BTreeMap<(String, String), i64>>>;

fn note(ledger: &Ledger, profile: &str, what: &[(String, i64)]) {
    let mut ledger = ledger.lock().unwrap();
    for (id, version) in what {
        let safe = ledger.entry((profile.to_owned(), id.clone())).or_default();
        *safe = (*safe).max(*version);
    }
}

/// Where a kill landed, seen from the last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Landed {
    BeforeItsFirstByte,
    WithinItsBytes,
    BeforeItsAck,
    AfterItsAck,
}

/// One browser profile: starts hosts, writes frames, kills them.
struct Profile {
    name: String,
    dice: Dice,
    /// Rises with every record: the versions of one id rise.
    version: i64,
    frames: i64,
    ledger: Ledger,
    histogram: Arc<Mutex<BTreeMap<Landed, u64>>>,
    acked: u64,
}

impl Profile {
    /// A frame of random records, and what an ack of it makes safe.
    fn frame(&mut self) -> (i64, Vec<u8>, Vec<(String, i64)>) {
        let (mut visits, mut aggregates, mut safe) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..=self.dice.roll(12) {
            self.version += 1;
            let version = self.version;
            let padding = "x".repeat(self.dice.roll(1_500) as usize);
            match self.dice.roll(20) {
                0 => {
                    let id = format!("bad{version}");
                    visits.push(format!(r#"{{"id":"{id}","endedAt":{version}}}"#));
                    safe.push((id, version));
                }
                1..6 => {
                    let id = format!("t{}", self.dice.roll(8));
                    aggregates.push(format!(
                        r#"{{"id":"{id}","tabId":1,"startTime":1,"lastActiveTime":{version},"p":"{padding}"}}"#
                    ));
                    safe.push((id, version));
                }
                _ => {
                    let id = format!("v{}", self.dice.roll(40));
                    visits.push(format!(
                        r#"{{"id":"{id}","url":"http://a/","startedAt":1,"endedAt":{version},"p":"{padding}"}}"#
                    ));
                    safe.push((id, version));
                }
            }
        }
        self.frames += 1;
        let json = format!(
            r#"{{"type":"records","id":{},"pageVisits":[{}],"tabAggregates":[{}]}}"#,
            self.frames,
            visits.join(","),
            aggregates.join(",")
        );
        (self.frames, frame(&json), safe)
    }

    fn life(&mut self, world: &Path) {
        let mut host = Host::start(world);
        let hello = format!(r#"{{"type":"hello","protocol":1,"client":{{"profileId":"{}"}}}}"#, self.name);
        assert!(host.raw(&frame(&hello)));
        if self.dice.roll(3) > 0 {
            assert_eq!(host.answer()["type"], "welcome");
        }
        let mut open: BTreeMap<i64, Vec<(String, i64)>> = BTreeMap::new();
        // A few frames that live to see their acks, one at a time or glued together.
        for _ in 0..self.dice.roll(3) {
            let mut glued = Vec::new();
            for _ in 0..=self.dice.roll(3) {
                let (id, bytes, safe) = self.frame();
                glued.extend(bytes);
                open.insert(id, safe);
            }
            assert!(host.raw(&glued));
            while !open.is_empty() {
                let answer = host.answer();
                self.answered(&answer, &mut open);
            }
        }
        let (last, bytes, safe) = self.frame();
        let mut landed = Landed::BeforeItsFirstByte;
        match self.dice.roll(10) {
            0 => {}
            1..4 => {
                let cut = 1 + self.dice.roll(bytes.len() as u64 - 1) as usize;
                host.raw(&bytes[..cut]);
                landed = Landed::WithinItsBytes;
                self.wait(&host, &mut open);
            }
            _ => {
                let cut = self.dice.roll(bytes.len() as u64) as usize;
                host.raw(&bytes[..cut]);
                if self.dice.roll(3) == 0 {
                    self.wait(&host, &mut open);
                }
                host.raw(&bytes[cut..]);
                open.insert(last, safe);
                landed = Landed::BeforeItsAck;
                self.wait(&host, &mut open);
            }
        }
        host.kill();
        // What is in the pipe has been said: the browser reads it after the host is dead.
        while let Ok(answer) = host.answers.recv_timeout(PATIENCE) {
            self.answered(&answer, &mut open);
        }
        if landed == Landed::BeforeItsAck && !open.contains_key(&last) {
            landed = Landed::AfterItsAck;
        }
        *self.histogram.lock().unwrap().entry(landed).or_default() += 1;
    }

    /// A random moment, over before that when an answer comes.
    fn wait(&mut self, host: &Host, open: &mut BTreeMap<i64, Vec<(String, i64)>>) {
        let moment = Duration::from_micros(self.dice.roll(6_000));
        if let Ok(answer) = host.answers.recv_timeout(moment) {
            self.answered(&answer, open);
        }
    }

    fn answered(&mut self, answer: &Value, open: &mut BTreeMap<i64, Vec<(String, i64)>>) {
        match answer["type"].as_str() {
            Some("ack") => {
                let safe = open.remove(&answer["id"].as_i64().unwrap()).unwrap();
                let counts = ["stored", "updated", "unchanged"].map(|name| answer[name].as_u64().unwrap());
                let rejected = answer["rejected"].as_array().unwrap().len();
                assert_eq!(counts.iter().sum::<u64>() + rejected as u64, safe.len() as u64, "{answer}");
                self.acked += safe.len() as u64;
                note(&self.ledger, &self.name, &safe);
            }
            Some("welcome") => {}
            // Nothing was stored, and nothing is promised.
            Some("nack") => {
                assert_eq!(answer["code"], "buffer_busy", "{answer}");
                open.remove(&answer["id"].as_i64().unwrap());
            }
            _ => panic!("{answer}"),
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_acknowledged_is_lost_whenever_hosts_and_the_agent_are_killed() {
    let kills = number("HEYHO_KILLS").unwrap_or(300) as i64;
    let seed = number("HEYHO_SEED").unwrap_or_else(|| heyho_local::clock::new_id().as_u64_pair().1) | 1;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let histogram = Arc::new(Mutex::new(BTreeMap::new()));
    let (mut left, mut acked, mut agents, mut delivered, mut rounds) = (kills, 0, 0, 0, 0);
    while left > 0 {
        let share = left.min(40);
        left -= share;
        rounds += 1;
        let counts = round(&mut dice, share, &histogram);
        acked += counts.0;
        agents += counts.1;
        delivered += counts.2;
    }
    let histogram = histogram.lock().unwrap();
    let total: u64 = histogram.values().sum();
    println!(
        "figures: {total} hosts and {agents} agents killed in {rounds} rounds; {acked} records acknowledged, \
         {delivered} delivered, 0 lost"
    );
    for (landed, n) in histogram.iter() {
        println!("{n:>6}  {landed:?}  {}", "#".repeat((n * 60 / total) as usize));
    }
    let between: u64 =
        [Landed::WithinItsBytes, Landed::BeforeItsAck].iter().filter_map(|l| histogram.get(l)).sum();
    assert!(between * 2 >= total, "only {between} of {total} kills landed between a first byte and its ack");
}

/// Some hosts and an agent on one buffer, until so many hosts were killed.
fn round(dice: &mut Dice, kills: i64, histogram: &Arc<Mutex<BTreeMap<Landed, u64>>>) -> (u64, u64, u64) {
    let world = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let left = Arc::new(AtomicI64::new(kills));
    let backend = Ledger::default();
    let profiles: Vec<_> = (0..2 + dice.roll(7))
        .map(|n| {
            let mut profile = Profile {
                name: format!("p{n}"),
                dice: Dice(dice.roll(u64::MAX) | 1),
                version: 0,
                frames: 0,
                ledger: ledger.clone(),
                histogram: histogram.clone(),
                acked: 0,
            };
            let (world, left) = (world.path().to_owned(), left.clone());
            std::thread::spawn(move || {
                while left.fetch_sub(1, Ordering::Relaxed) > 0 {
                    profile.life(&world);
                }
                profile.acked
            })
        })
        .collect();
    let (mut agents, mut delivered) = (0, 0);
    while left.load(Ordering::Relaxed) > 0 {
        delivered += agent(world.path(), dice, &backend);
        agents += 1;
    }
    let acked = profiles.into_iter().map(|thread| thread.join().unwrap()).sum();
    verify(&world.path().join("data/buffer.db"), &ledger.lock().unwrap(), &backend.lock().unwrap());
    (acked, agents, delivered)
}

/// A process that takes out of the buffer until it is killed.
fn agent(world: &Path, dice: &mut Dice, backend: &Ledger) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "an_agent_that_will_be_killed", "--ignored", "--nocapture"])
        .env("HEYHO_TEST_BUFFER", world.join("data/buffer.db"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (deliveries, mut seen) = (1 + dice.roll(40), 0);
    for line in lines.map_while(Result::ok) {
        // The test runner's own words may stand before the first.
        let Some((_, said)) = line.split_once("at the backend\t") else { continue };
        let mut parts = said.split('\t');
        let (source, id, version) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let profile = source.rsplit('#').next().unwrap();
        note(backend, profile, &[(id.to_owned(), version.parse().unwrap())]);
        seen += 1;
        if seen == deliveries {
            // What it had said by then is read on below; it dies somewhere behind that.
            child.kill().unwrap();
        }
    }
    let _ = child.kill();
    child.wait().unwrap();
    seen
}

#[test]
#[ignore = "the other tests start it, and kill it"]
fn an_agent_that_will_be_killed() {
    let Some(path) = std::env::var_os("HEYHO_TEST_BUFFER").map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let buffer = Buffer::open(&path).await.unwrap();
        let now = || SystemClock.now_ms();
        let who = SignedIn {
            backend: "http://b".to_owned(),
            user_id: "1".to_owned(),
            email: "1@x".to_owned(),
            claim_others: true,
        };
        let account = buffer.sign_in(&who, now()).await.unwrap().0.id;
        let mut out = std::io::stdout();
        let mut idle = 0;
        while idle < 200 {
            let Some(batch) = buffer.in_flight(account).await.unwrap() else {
                let limits = Limits { page_visits: 20, tab_aggregates: 20, bytes: 1 << 20 };
                let rows = buffer.oldest(account, limits, &[], now()).await.unwrap();
                if rows.is_empty() {
                    idle += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
                let mut new = NewBatch {
                    key: heyho_local::clock::new_id().to_string(),
                    body: Vec::new(),
                    items: Vec::new(),
                };
                for row in &rows {
                    assert!(row.intact);
                    let version = version_of(&row.text);
                    new.body.extend(
                        format!("at the backend\t{}\t{}\t{version}\n", row.source, row.id).into_bytes(),
                    );
                    new.items.push(BatchItem { seq: row.seq, revision: row.revision, kind: row.kind });
                }
                buffer.begin_batch(account, &new, now()).await.unwrap();
                continue;
            };
            idle = 0;
            out.write_all(&batch.body).unwrap();
            out.flush().unwrap();
            let done = Settlement { confirm: batch.items, ..Settlement::default() };
            buffer.settle(Some(batch.batch), &done, now()).await.unwrap();
        }
    });
}

fn version_of(text: &str) -> i64 {
    let record: Value = serde_json::from_str(text).unwrap();
    record["endedAt"].as_i64().or(record["lastActiveTime"].as_i64()).unwrap()
}

/// Every acknowledged (identity, version) is here or was at the backend, in that version or a later one.
fn verify(path: &Path, acked: &BTreeMap<(String, String), i64>, backend: &BTreeMap<(String, String), i64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut found = backend.clone();
    runtime.block_on(async {
        let buffer = Buffer::open(path).await.unwrap();
        let mut reader = buffer.export(None, false);
        loop {
            let lines = reader.next().await.unwrap();
            if lines.is_empty() {
                break;
            }
            for line in lines {
                let profile = line.source.rsplit('#').next().unwrap().to_owned();
                let here = found.entry((profile, line.id)).or_default();
                *here = (*here).max(version_of(line.record.get()));
            }
        }
        buffer.close().await;
    });
    let lost: Vec<_> =
        acked.iter().filter(|(what, version)| found.get(*what).is_none_or(|here| here < version)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

#[test]
fn a_host_killed_at_every_byte_of_a_frame_stores_the_frame_or_nothing() {
    let world = tempfile::tempdir().unwrap();
    let bytes = frame(
        r#"{"type":"records","id":1,"pageVisits":[{"id":"a","url":"http://a/","startedAt":1}],"tabAggregates":[]}"#,
    );
    // The schema is there, so that what the kill meets is the frame.
    let mut first = Host::start(world.path());
    first.raw(&frame(r#"{"type":"hello","protocol":1}"#));
    first.answer();
    drop(first);
    for cut in 0..bytes.len() {
        let mut host = Host::start(world.path());
        host.raw(&bytes[..cut]);
        host.kill();
        assert!(host.answers.recv_timeout(PATIENCE).is_err(), "an answer to {cut} bytes of {}", bytes.len());
    }
    let mut host = Host::start(world.path());
    host.raw(&frame(r#"{"type":"status"}"#));
    assert_eq!(host.answer()["unclaimed"], 0);
    host.raw(&bytes);
    assert_eq!(host.answer()["stored"], 1);
}

#[test]
fn slow_split_and_glued_frames_are_frames() {
    let world = tempfile::tempdir().unwrap();
    let mut host = Host::start(world.path());
    let records = |id: usize| {
        frame(&format!(
            r#"{{"type":"records","id":{id},"pageVisits":[{{"id":"v{id}","url":"http://a/","startedAt":1}}]}}"#
        ))
    };
    for byte in records(0) {
        assert!(host.raw(&[byte]));
    }
    assert_eq!(host.answer()["id"], 0);
    let glued: Vec<u8> = (1..200).flat_map(records).collect();
    for part in glued.chunks(777) {
        assert!(host.raw(part));
    }
    for id in 1..200 {
        let answer = host.answer();
        assert_eq!((&answer["id"], &answer["stored"]), (&Value::from(id), &Value::from(1)));
    }
}
