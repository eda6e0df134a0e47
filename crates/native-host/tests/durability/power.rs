//! The power cut. Hosts, and an agent that takes out and tidies up, work on a disk that writes down what they
//! do; after a random operation all of them stand still and are killed, and what was not synced is dropped or torn (see `disk`).
//! What is left is opened by the real code: it is sound, everything acknowledged is there or was at the
//! backend, and a batch that was sent is still in flight under its key, or settled. Then the next processes
//! go on from it. Meanwhile hosts are killed also while the power is on, and what had no answer is sent again.
//!
//! `HEYHO_CUTS` sets how many cuts there are.

use crate::agent::{Agent, Sent};
use crate::disk::{Cut, Disk};
use crate::host::{Host, PATIENCE, hello};
use crate::ledger::{Ledger, verify};
use crate::profile::{Profile, Promise};
use crate::world::{Dice, World, number, seed};
use heyho_buffer::Buffer;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Cuts of one buffer: then another is made from nothing.
const CUTS_OF_ONE: u64 = 10;
/// Operations on the disk until a cut, at most; the making of the buffer takes about 150.
const OPERATIONS: u64 = 800;
/// The longest that a sync takes.
const SYNC_US: u64 = 2_000;

/// All that is killed when the power goes.
#[derive(Clone, Default)]
struct Power {
    off: Arc<AtomicBool>,
    running: Arc<Mutex<Vec<Arc<Mutex<Child>>>>>,
}

impl Power {
    fn is_on(&self) -> bool {
        !self.off.load(Ordering::SeqCst)
    }

    fn plug(&self, child: Arc<Mutex<Child>>) {
        self.running.lock().unwrap().push(child.clone());
        // Started at the very moment of the cut: it is too late.
        if !self.is_on() {
            let _ = child.lock().unwrap().kill();
        }
    }

    fn cut(&self) {
        self.off.store(true, Ordering::SeqCst);
        for child in self.running.lock().unwrap().iter() {
            let _ = child.lock().unwrap().kill();
        }
    }
}

/// A browser with its outbox: what had no ack is sent again.
struct Browser {
    profile: Profile,
    outbox: Vec<(i64, Vec<u8>, Promise)>,
}

impl Browser {
    fn run(&mut self, world: &World, power: &Power) {
        while power.is_on() {
            let mut host = Host::start(world);
            power.plug(host.child());
            let frames = 1 + self.profile.dice.roll(12);
            let mut sent = host.raw(&hello(&self.profile.name));
            self.profile.open.clear();
            for (id, bytes, promise) in &self.outbox {
                self.profile.open.insert(*id, promise.clone());
                sent = sent && host.raw(bytes);
            }
            for _ in 0..frames {
                if !sent || !power.is_on() {
                    break;
                }
                let (id, bytes, promise) = self.profile.frame();
                self.profile.open.insert(id, promise.clone());
                self.outbox.push((id, bytes.clone(), promise));
                sent = host.raw(&bytes);
                if self.profile.dice.roll(3) > 0 {
                    self.profile.wait(&host, 20_000);
                }
            }
            // On a slow machine too some hosts get as far as an answer before that.
            let patient = self.profile.dice.roll(2) == 0;
            while patient && power.is_on() && self.profile.open.len() == self.outbox.len() {
                self.profile.wait(&host, 10_000);
            }
            // Killed while the power is on; what is written and not synced is seen by the next host.
            let moment = Duration::from_micros(self.profile.dice.roll(10_000));
            while let Ok(answer) = host.answer_within(moment) {
                self.profile.answered(&answer);
            }
            host.kill();
            for answer in host.last_words() {
                self.profile.answered(&answer);
            }
            host.assert_it_did_not_panic();
            let open = &self.profile.open;
            self.outbox.retain(|(id, ..)| open.contains_key(id));
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_is_cut() {
    let cuts = number("HEYHO_CUTS").unwrap_or(50);
    let mut dice = Dice(seed());
    let (mut done, mut total, mut acked, mut delivered) = (0, Cut::default(), 0, 0);
    while done < cuts {
        let (ledger, backend) = (Ledger::default(), Ledger::default());
        let mut browsers: Vec<Browser> = (0..2 + dice.roll(4))
            .map(|n| Browser {
                profile: Profile::new(format!("p{n}"), dice.another(), &ledger),
                outbox: Vec::new(),
            })
            .collect();
        let mut folder = tempfile::tempdir().unwrap();
        for _ in 0..CUTS_OF_ONE.min(cuts - done) {
            let (world, disk) = Disk::under(World::new(folder.path()), SYNC_US);
            let (agents, sent) = until_the_cut(&mut dice, &world, &disk, &mut browsers, &backend);
            let next = tempfile::tempdir().unwrap();
            let left = World::new(next.path());
            let cut = disk.cut(&mut dice, &left.data());
            total.operations += cut.operations;
            total.open_writes += cut.open_writes;
            total.dropped += cut.dropped;
            verify(&left.buffer(), &ledger, &backend);
            if let Some(sent) = sent {
                assert_in_flight_or_settled(&left.buffer(), &sent);
            }
            delivered += agents;
            done += 1;
            if done % 100 == 0 {
                println!("{done} of {cuts} cuts");
            }
            folder = next;
        }
        acked += browsers.iter().map(|browser| browser.profile.acked).sum::<u64>();
    }
    println!(
        "figures: {done} cuts; {acked} records acknowledged, {delivered} delivered; {} operations, {} writes \
         not synced, {} bytes of them dropped; 0 lost",
        total.operations, total.open_writes, total.dropped
    );
}

/// Everything runs until the power goes. How much was delivered, and what was sent last without being settled.
fn until_the_cut(
    dice: &mut Dice,
    world: &World,
    disk: &Disk,
    browsers: &mut [Browser],
    backend: &Ledger,
) -> (u64, Option<Sent>) {
    let power = Power::default();
    disk.cut_after(1 + dice.roll(OPERATIONS));
    std::thread::scope(|scope| {
        for browser in browsers.iter_mut() {
            let power = power.clone();
            scope.spawn(move || browser.run(world, &power));
        }
        let agents = scope.spawn({
            let power = power.clone();
            move || {
                let (mut delivered, mut sent) = (0, None);
                while power.is_on() {
                    let mut agent = Agent::start(world, backend);
                    power.plug(agent.child());
                    while agent.listen() {}
                    assert!(!power.is_on() || agent.troubles.is_empty(), "{:?}", agent.troubles);
                    delivered += agent.delivered;
                    sent = agent.sent.take();
                }
                (delivered, sent)
            }
        });
        let (since, mut stands_still) = (Instant::now(), false);
        while !disk.is_off() && !stands_still {
            stands_still = since.elapsed() > PATIENCE * 5;
            std::thread::park_timeout(Duration::from_millis(1));
        }
        // In any case: the others go on as long as it is on.
        power.cut();
        assert!(!stands_still, "nobody writes any more");
        agents.join().unwrap()
    })
}

/// A batch that may be at the backend is sent again as it was, or it is over: it is never made anew.
fn assert_in_flight_or_settled(path: &Path, sent: &Sent) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let buffer = Buffer::open(path).await.unwrap();
        let account = buffer.signed_in().await.unwrap().unwrap().id;
        let flight = buffer.in_flight(account).await.unwrap();
        if flight.is_some_and(|batch| batch.key == sent.key) {
            return;
        }
        let mut reader = buffer.export(None, false);
        loop {
            let lines = reader.next().await.unwrap();
            if lines.is_empty() {
                break;
            }
            for line in lines {
                let version = crate::ledger::version_of(line.record.get());
                let waits = sent.records.contains(&(line.source.clone(), line.id.clone(), version));
                assert!(!waits, "{} of {sent:?} was sent, is not in flight, and waits", line.id);
            }
        }
        buffer.close().await;
    });
}
