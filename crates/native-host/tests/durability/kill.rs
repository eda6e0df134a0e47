//! Kills at random among hosts that write to one buffer, beside an agent that takes out of it and is killed
//! too: whatever was acknowledged is in the buffer, or was at the backend, in that version or a later one.
//!
//! `HEYHO_KILLS` sets how many kills there are. Each round begins without a file, so that the first kills
//! fall into its making.

use crate::agent::Agent;
use crate::host::{Host, hello};
use crate::ledger::{Ledger, verify};
use crate::profile::Profile;
use crate::world::{Dice, World, number, seed};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// Where a kill landed, seen from the last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Landed {
    BeforeItsFirstByte,
    WithinItsBytes,
    BeforeItsAck,
    AfterItsAck,
}

type Histogram = Arc<Mutex<BTreeMap<Landed, u64>>>;

/// One host from its start to its kill.
fn life(profile: &mut Profile, world: &World, histogram: &Histogram) {
    let mut host = Host::start(world);
    profile.open.clear();
    assert!(host.raw(&hello(&profile.name)));
    if profile.dice.roll(3) > 0 {
        assert_eq!(host.answer()["type"], "welcome");
    }
    // A few frames that live to see their acks, one at a time or glued together.
    for _ in 0..profile.dice.roll(3) {
        let mut glued = Vec::new();
        for _ in 0..=profile.dice.roll(3) {
            let (id, bytes, safe) = profile.frame();
            glued.extend(bytes);
            profile.open.insert(id, safe);
        }
        assert!(host.raw(&glued));
        while !profile.open.is_empty() {
            let answer = host.answer();
            profile.answered(&answer);
        }
    }
    let (last, bytes, safe) = profile.frame();
    let mut landed = Landed::BeforeItsFirstByte;
    match profile.dice.roll(10) {
        0 => {}
        1..4 => {
            let cut = 1 + profile.dice.roll(bytes.len() as u64 - 1) as usize;
            host.raw(&bytes[..cut]);
            landed = Landed::WithinItsBytes;
            profile.wait(&host, 6_000);
        }
        _ => {
            let cut = profile.dice.roll(bytes.len() as u64) as usize;
            host.raw(&bytes[..cut]);
            if profile.dice.roll(3) == 0 {
                profile.wait(&host, 6_000);
            }
            host.raw(&bytes[cut..]);
            profile.open.insert(last, safe);
            landed = Landed::BeforeItsAck;
            profile.wait(&host, 6_000);
        }
    }
    host.kill();
    for answer in host.last_words() {
        profile.answered(&answer);
    }
    if landed == Landed::BeforeItsAck && !profile.open.contains_key(&last) {
        landed = Landed::AfterItsAck;
    }
    *histogram.lock().unwrap().entry(landed).or_default() += 1;
}

#[test]
fn nothing_acknowledged_is_lost_whenever_hosts_and_the_agent_are_killed() {
    let kills = number("HEYHO_KILLS").unwrap_or(300) as i64;
    let mut dice = Dice(seed());
    let histogram = Histogram::default();
    let (mut left, mut acked, mut agents, mut delivered, mut rounds) = (kills, 0, 0, 0, 0);
    while left > 0 {
        let share = left.min(40);
        left -= share;
        rounds += 1;
        let counts = round(&mut dice, share, &histogram);
        acked += counts.0;
        agents += counts.1;
        delivered += counts.2;
        if rounds % 25 == 0 {
            println!("{} of {kills} kills", kills - left);
        }
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
fn round(dice: &mut Dice, kills: i64, histogram: &Histogram) -> (u64, u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path());
    let (acked, backend) = (Ledger::default(), Ledger::default());
    let left = Arc::new(AtomicI64::new(kills));
    let profiles: Vec<_> = (0..2 + dice.roll(7))
        .map(|n| {
            let mut profile = Profile::new(format!("p{n}"), dice.another(), &acked);
            let (world, left, histogram) = (world.clone(), left.clone(), histogram.clone());
            std::thread::spawn(move || {
                while left.fetch_sub(1, Ordering::Relaxed) > 0 {
                    life(&mut profile, &world, &histogram);
                }
                profile.acked
            })
        })
        .collect();
    let (mut agents, mut delivered) = (0, 0);
    while left.load(Ordering::Relaxed) > 0 {
        let mut agent = Agent::start(&world, &backend);
        let deliveries = 1 + dice.roll(40);
        while agent.delivered < deliveries && agent.listen() {}
        // It dies somewhere behind that.
        agent.kill();
        delivered += agent.delivered;
        agents += 1;
    }
    let count = profiles.into_iter().map(|thread| thread.join().unwrap()).sum();
    verify(&world.buffer(), &acked, &backend);
    (count, agents, delivered)
}
