//! The n-th operation on the disk fails: a write (half of it is done), a truncation, a sync, a file that is
//! made, renamed or taken away; with EIO or ENOSPC (which SQLite calls SQLITE_FULL), once or until it is
//! mended; for every n of a session of two hosts and the agent's side. Every frame gets an answer and the
//! answer is true; nobody panics and nothing is taken for damaged; once it is mended, the same host takes what
//! it had refused, everything is delivered, and a power cut then still finds what was promised. Where only syncs
//! fail, everybody is killed as soon as a frame is refused, and begins anew: nobody is left who knows of it.
//!
//! `HEYHO_POINTS` sets how many n of each kind of failure are tried; 0: all. With its seed one of them is tried
//! again by the beginning of its name, such as `HEYHO_FAILURE="EIO once, operation 12"`.

use crate::agent::Agent;
use crate::disk::{Disk, Fault, kind};
use crate::host::{Host, PATIENCE, hello};
use crate::ledger::{Ledger, verify};
use crate::profile::{Profile, Promise};
use crate::world::{Dice, World, number, seed};
use std::time::{Duration, Instant};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const ALL: &[u64] = &[kind::OPEN, kind::WRITE, kind::TRUNCATE, kind::SYNC_END, kind::UNLINK, kind::RENAME];
/// A full disk still takes syncs, and gives back.
const GROWING: &[u64] = &[kind::OPEN, kind::WRITE];

const SYNCS: &[u64] = &[kind::SYNC_END];

struct Failure {
    name: &'static str,
    fault: Fault,
    /// Whoever is refused is killed, and all others with it.
    all_begin_anew: bool,
}

const fn failure(name: &'static str, errno: i32, ever: bool, kinds: &'static [u64]) -> Failure {
    Failure { name, fault: Fault { at: 0, errno, ever, kinds }, all_begin_anew: false }
}

const FAILURES: [Failure; 6] = [
    failure("EIO once", EIO, false, ALL),
    failure("EIO until mended", EIO, true, ALL),
    failure("ENOSPC once", ENOSPC, false, GROWING),
    failure("ENOSPC until mended", ENOSPC, true, GROWING),
    Failure { all_begin_anew: true, ..failure("a sync fails and all begin anew", EIO, false, SYNCS) },
    Failure { all_begin_anew: true, ..failure("syncs fail and all begin anew", EIO, true, SYNCS) },
];

#[test]
fn whichever_operation_on_the_disk_fails_every_answer_is_true_and_everything_goes_on() {
    let points = number("HEYHO_POINTS").unwrap_or(10);
    let only = std::env::var("HEYHO_FAILURE").ok();
    let mut dice = Dice(seed());
    let (mut tried, mut failed, mut acked, mut refused, mut troubles) = (0, 0, 0, 0, 0);
    for failure in FAILURES {
        let name = failure.name;
        let script = dice.roll(u64::MAX) | 1;
        let operations = Session::run(script, &failure, 0).operations;
        assert!(operations > 20, "{operations} operations are no session");
        let step = if points == 0 { 1 } else { operations.div_ceil(points) };
        let first = 1 + dice.roll(step);
        for at in (first..=operations).step_by(step as usize) {
            let point = format!("{name}, operation {at}");
            if only.as_ref().is_some_and(|only| !point.starts_with(only.as_str())) {
                continue;
            }
            println!("{point} of {operations}");
            let outcome = Session::run(script, &failure, at);
            tried += 1;
            failed += u64::from(outcome.failed);
            acked += outcome.acked;
            refused += outcome.refused;
            troubles += outcome.troubles;
        }
    }
    assert!(failed * 10 >= tried * 9, "only {failed} of {tried} failures happened");
    println!(
        "figures: {failed} failures; {refused} frames refused, {acked} records acknowledged, {troubles} \
         troubles of the agent's side; 0 lost"
    );
}

struct Outcome {
    operations: u64,
    /// Whether the operation came that was to fail: timing makes sessions a little longer or shorter.
    failed: bool,
    acked: u64,
    refused: u64,
    troubles: u64,
}

struct Session {
    world: World,
    disk: Disk,
    profile: Profile,
    outbox: Vec<(i64, Vec<u8>, Promise)>,
    hosts: Vec<Host>,
    all_begin_anew: bool,
    backend: Ledger,
    troubles: u64,
}

impl Session {
    /// The same script asks for the same records.
    fn run(script: u64, failure: &Failure, at: u64) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        // The agent's side waits for nobody.
        let world = World::new(folder.path()).with("HEYHO_TEST_PATIENCE_MS", "0");
        let (world, disk) = Disk::under(world, 0);
        let ledger = Ledger::default();
        let mut session = Session {
            world,
            disk,
            profile: Profile::new("p".to_owned(), Dice(script), &ledger),
            outbox: Vec::new(),
            hosts: Vec::new(),
            all_begin_anew: failure.all_begin_anew,
            backend: Ledger::default(),
            troubles: 0,
        };
        session.profile.may_refuse = &["buffer_busy", "buffer_full", "buffer_unavailable"];
        session.disk.fail(Fault { at, ..failure.fault });
        session.start();
        session.frames(0, 3);
        session.carry();
        session.frames(0, 2);
        session.start();
        session.frames(1, 2);
        session.carry();
        let (operations, failed) = session.disk.counted();
        let refused = session.profile.refused;

        session.disk.mend();
        match failure.all_begin_anew {
            false => session.everything_goes_on(),
            true => session.everything_is_taken_and_nothing_carried(),
        }
        if let Some(second) = session.hosts.pop() {
            second.assert_it_did_not_panic();
            second.leave();
        }
        let first = session.hosts.pop();
        if let Some(mut first) = first {
            first.assert_it_did_not_panic();
            first.kill();
        }
        let after = tempfile::tempdir().unwrap();
        let left = World::new(after.path());
        session.disk.cut(&mut Dice(script ^ at | 1), &left.data());
        verify(&left.buffer(), &ledger, &session.backend);
        Outcome {
            operations,
            failed: failed > 0,
            acked: session.profile.acked,
            refused,
            troubles: session.troubles,
        }
    }

    fn start(&mut self) {
        let mut host = Host::start(&self.world);
        assert!(host.raw(&hello("p")));
        assert_eq!(host.answer()["type"], "welcome");
        self.hosts.push(host);
    }

    /// One at a time; those that are refused wait in the outbox.
    fn frames(&mut self, host: usize, count: usize) {
        for _ in 0..count {
            let (id, bytes, promise) = self.profile.frame();
            self.outbox.push((id, bytes, promise));
            self.send(host, self.outbox.len() - 1);
        }
    }

    /// Whether it was acknowledged, and so left the outbox.
    fn send(&mut self, host: usize, place: usize) -> bool {
        let (id, bytes, promise) = &self.outbox[place];
        self.profile.open.insert(*id, promise.clone());
        let host = &mut self.hosts[host];
        assert!(host.raw(bytes), "the host is gone");
        let answer = host.answer();
        self.profile.answered(&answer);
        let acked = answer["type"] == "ack";
        if acked {
            self.outbox.remove(place);
        } else if self.all_begin_anew {
            for mut host in std::mem::take(&mut self.hosts) {
                host.assert_it_did_not_panic();
                host.kill();
                self.start();
            }
        }
        acked
    }

    /// The agent's side takes out what there is, or gives up.
    fn carry(&mut self) {
        let mut agent = Agent::start(&self.world, &self.backend);
        while agent.listen() {}
        self.troubles += agent.troubles.len() as u64;
    }

    fn everything_goes_on(&mut self) {
        let since = Instant::now();
        while !self.outbox.is_empty() {
            assert!(since.elapsed() < PATIENCE, "refused although it is mended");
            // After a full disk the agent's side has to find room again before anything is taken.
            if !self.send(0, 0) {
                self.carry();
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        let before = self.troubles;
        self.carry();
        assert_eq!(self.troubles, before, "the agent's side has trouble although it is mended");
    }

    /// What is acknowledged now stands in the log alone.
    fn everything_is_taken_and_nothing_carried(&mut self) {
        while !self.outbox.is_empty() {
            assert!(self.send(0, 0), "refused although it is mended");
        }
        self.frames(0, 2);
        assert!(self.outbox.is_empty(), "refused although it is mended");
    }
}
