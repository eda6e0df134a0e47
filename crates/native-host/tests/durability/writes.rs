//! The n-th operation on the disk fails: a write (half of it is done), a truncation, a sync, a file that is
//! made, renamed or taken away; with EIO or ENOSPC (which SQLite calls SQLITE_FULL), once or until it is
//! mended; for every n of a session of two hosts and the agent's side. Every frame gets an answer and the
//! answer is true; nobody panics and nothing is taken for damaged; once it is mended, the same host takes what
//! it had refused, everything is delivered, and a power cut then still finds what was promised.
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

const FAULTS: [(&str, Fault); 4] = [
    ("EIO once", Fault { at: 0, errno: EIO, ever: false, kinds: ALL }),
    ("EIO until mended", Fault { at: 0, errno: EIO, ever: true, kinds: ALL }),
    ("ENOSPC once", Fault { at: 0, errno: ENOSPC, ever: false, kinds: GROWING }),
    ("ENOSPC until mended", Fault { at: 0, errno: ENOSPC, ever: true, kinds: GROWING }),
];

#[test]
fn whichever_operation_on_the_disk_fails_every_answer_is_true_and_everything_goes_on() {
    let points = number("HEYHO_POINTS").unwrap_or(10);
    let only = std::env::var("HEYHO_FAILURE").ok();
    let mut dice = Dice(seed());
    let (mut tried, mut failed, mut acked, mut refused, mut troubles) = (0, 0, 0, 0, 0);
    for (name, fault) in FAULTS {
        let script = dice.roll(u64::MAX) | 1;
        let operations = Session::run(script, fault).operations;
        assert!(operations > 50, "{operations} operations are no session");
        let step = if points == 0 { 1 } else { operations.div_ceil(points) };
        let first = 1 + dice.roll(step);
        for at in (first..=operations).step_by(step as usize) {
            let point = format!("{name}, operation {at}");
            if only.as_ref().is_some_and(|only| !point.starts_with(only.as_str())) {
                continue;
            }
            println!("{point} of {operations}");
            let outcome = Session::run(script, Fault { at, ..fault });
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
    backend: Ledger,
    troubles: u64,
}

impl Session {
    /// The same script asks for the same records.
    fn run(script: u64, fault: Fault) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        // Few rounds: the agent's side gives up soon.
        let world = World::new(folder.path()).with("HEYHO_TEST_ROUNDS", "3");
        let (world, disk) = Disk::under(world, 0);
        let ledger = Ledger::default();
        let mut session = Session {
            world,
            disk,
            profile: Profile::new("p".to_owned(), Dice(script), &ledger),
            outbox: Vec::new(),
            backend: Ledger::default(),
            troubles: 0,
        };
        session.profile.may_refuse = &["buffer_busy", "buffer_full", "buffer_unavailable"];
        session.disk.fail(fault);
        let mut first = session.host();
        session.frames(&mut first, 3);
        session.carry();
        session.frames(&mut first, 2);
        let mut second = session.host();
        session.frames(&mut second, 2);
        session.carry();
        let (operations, failed) = session.disk.counted();
        let refused = session.profile.refused;

        session.disk.mend();
        session.everything_goes_on(&mut first);
        second.assert_it_did_not_panic();
        second.leave();
        first.assert_it_did_not_panic();
        first.kill();
        let after = tempfile::tempdir().unwrap();
        let left = World::new(after.path());
        session.disk.cut(&mut Dice(script ^ fault.at | 1), &left.data());
        verify(&left.buffer(), &ledger, &session.backend);
        Outcome {
            operations,
            failed: failed > 0,
            acked: session.profile.acked,
            refused,
            troubles: session.troubles,
        }
    }

    fn host(&mut self) -> Host {
        let mut host = Host::start(&self.world);
        assert!(host.raw(&hello("p")));
        assert_eq!(host.answer()["type"], "welcome");
        host
    }

    /// One at a time; those that are refused wait in the outbox.
    fn frames(&mut self, host: &mut Host, count: usize) {
        for _ in 0..count {
            let (id, bytes, promise) = self.profile.frame();
            self.outbox.push((id, bytes, promise));
            self.send(host, self.outbox.len() - 1);
        }
    }

    /// Whether it was acknowledged, and so left the outbox.
    fn send(&mut self, host: &mut Host, place: usize) -> bool {
        let (id, bytes, promise) = &self.outbox[place];
        self.profile.open.insert(*id, promise.clone());
        assert!(host.raw(bytes), "the host is gone");
        let answer = host.answer();
        self.profile.answered(&answer);
        let acked = answer["type"] == "ack";
        if acked {
            self.outbox.remove(place);
        }
        acked
    }

    /// The agent's side takes out what there is, or gives up.
    fn carry(&mut self) {
        let mut agent = Agent::start(&self.world, &self.backend);
        while agent.listen() {}
        self.troubles += agent.troubles.len() as u64;
    }

    fn everything_goes_on(&mut self, host: &mut Host) {
        let since = Instant::now();
        while !self.outbox.is_empty() {
            assert!(since.elapsed() < PATIENCE, "refused although it is mended");
            // After a full disk the agent's side has to find room again before anything is taken.
            if !self.send(host, 0) {
                self.carry();
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        let before = self.troubles;
        self.carry();
        assert_eq!(self.troubles, before, "the agent's side has trouble although it is mended");
    }
}
