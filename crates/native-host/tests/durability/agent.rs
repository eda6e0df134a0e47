//! The side that takes out: what the agent does to the buffer, with a backend that is a line on stdout. It is
//! this test program started once more, so that it can be killed.

use crate::ledger::{Ledger, version_of};
use crate::world::{World, number};
use heyho_buffer::{AccountId, BatchItem, Buffer, BufferError, Limits, NewBatch, Settlement, SignedIn};
use heyho_local::clock::{self, Clock, SystemClock};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TRIES: usize = 3;

/// A batch that may be at the backend.
#[derive(Debug)]
pub struct Sent {
    pub key: String,
    /// Source, id, version.
    pub records: Vec<(String, String, i64)>,
}

/// The agent, with what it has said so far.
pub struct Agent {
    child: Arc<Mutex<Child>>,
    lines: Lines<BufReader<ChildStdout>>,
    backend: Ledger,
    pub delivered: u64,
    /// What it sent last, while no settlement of it was said.
    pub sent: Option<Sent>,
    pub troubles: Vec<String>,
}

impl Agent {
    pub fn start(world: &World, backend: &Ledger) -> Agent {
        let mut child = world
            .command(std::env::current_exe().unwrap())
            .args(["--exact", "agent::an_agent_that_will_be_killed", "--ignored", "--nocapture"])
            .env("HEYHO_TEST_BUFFER", world.buffer())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Agent {
            child: Arc::new(Mutex::new(child)),
            lines,
            backend: backend.clone(),
            delivered: 0,
            sent: None,
            troubles: Vec::new(),
        }
    }

    /// To kill it from elsewhere.
    pub fn child(&self) -> Arc<Mutex<Child>> {
        self.child.clone()
    }

    /// Reads one line that it said; false at its end.
    pub fn listen(&mut self) -> bool {
        let Some(Ok(line)) = self.lines.next() else { return false };
        // The test runner's own words may stand before the first.
        let Some((_, said)) = line.split_once("agent\t") else { return true };
        let mut parts = said.split('\t');
        let mut next = || parts.next().unwrap_or_default().to_owned();
        match next().as_str() {
            "delivered" => {
                let (source, id, version) = (next(), next(), next().parse().unwrap());
                let profile = source.rsplit('#').next().unwrap();
                self.backend.note(profile, &[(id.clone(), version)]);
                self.delivered += 1;
                if let Some(sent) = &mut self.sent {
                    sent.records.push((source, id, version));
                }
            }
            "sending" => self.sent = Some(Sent { key: next(), records: Vec::new() }),
            "settled" => self.sent = None,
            "trouble" => self.troubles.push(next()),
            "damaged" => panic!("the buffer was set aside: {said}"),
            other => panic!("{other}"),
        }
        true
    }

    /// Killed; what it had said is heard.
    pub fn kill(&mut self) {
        let _ = self.child.lock().unwrap().kill();
        while self.listen() {}
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[test]
#[ignore = "the other tests start it, and kill it"]
fn an_agent_that_will_be_killed() {
    let Some(path) = std::env::var_os("HEYHO_TEST_BUFFER").map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // It gives up when nothing was written for so long, or it has met trouble so often.
        let patience = Duration::from_millis(number("HEYHO_TEST_PATIENCE_MS").unwrap_or(1_000));
        for _ in 0..TRIES {
            let Err(trouble) = carry(&path, patience).await else { break };
            say(&format!("trouble\t{trouble}"));
        }
    });
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "agent\t{what}").unwrap();
    out.flush().unwrap();
}

fn now() -> i64 {
    SystemClock.now_ms()
}

/// Until there has been nothing to do for a while, or something goes wrong.
async fn carry(path: &std::path::Path, patience: Duration) -> Result<(), BufferError> {
    let (buffer, recovery) = Buffer::open_or_recover(path, now()).await?;
    if let Some(recovery) = recovery {
        say(&format!("damaged\t{recovery:?}"));
    }
    let who = SignedIn {
        backend: "http://b".to_owned(),
        user_id: "1".to_owned(),
        email: "1@x".to_owned(),
        claim_others: true,
    };
    let account = buffer.sign_in(&who, now()).await?.0.id;
    let mut watch = buffer.watch().await?;
    let (mut tidied, mut rounds) = (false, 0);
    loop {
        match one(&buffer, account).await {
            Err(BufferError::DiskFull) => {
                buffer.release_ballast()?;
                return Err(BufferError::DiskFull);
            }
            Err(error) => return Err(error),
            Ok(true) => tidied = false,
            Ok(false) => {
                if !std::mem::replace(&mut tidied, true) {
                    buffer.tidy().await?;
                }
                if tokio::time::timeout(patience, watch.written()).await.is_err() {
                    break;
                }
            }
        }
        rounds += 1;
        if rounds % 7 == 0 {
            buffer.checkpoint().await?;
        }
    }
    buffer.close().await;
    Ok(())
}

/// Makes a batch, or sends and settles the one that is there. False: nothing to do.
async fn one(buffer: &Buffer, account: AccountId) -> Result<bool, BufferError> {
    let Some(batch) = buffer.in_flight(account).await? else {
        let limits = Limits { page_visits: 20, tab_aggregates: 20, bytes: 1 << 20 };
        let rows = buffer.oldest(account, limits, &[], now()).await?;
        if rows.is_empty() {
            return Ok(false);
        }
        let mut new = NewBatch { key: clock::new_id().to_string(), body: Vec::new(), items: Vec::new() };
        for row in &rows {
            assert!(row.intact);
            let line = format!("agent\tdelivered\t{}\t{}\t{}\n", row.source, row.id, version_of(&row.text));
            new.body.extend(line.into_bytes());
            new.items.push(BatchItem { seq: row.seq, revision: row.revision, kind: row.kind });
        }
        return match buffer.begin_batch(account, &new, now()).await {
            // A host has stored a later version of one of them: read anew.
            Err(BufferError::Changed) => Ok(true),
            begun => begun.map(|_| true),
        };
    };
    say(&format!("sending\t{}", batch.key));
    let mut out = std::io::stdout();
    out.write_all(&batch.body).unwrap();
    out.flush().unwrap();
    let done = Settlement { confirm: batch.items, ..Settlement::default() };
    buffer.settle(Some(batch.batch), &done, now()).await?;
    say("settled");
    Ok(true)
}
