//! A damaged file is set aside and read out by a host, on a disk that writes down what it does. Then, for each of its
//! operations, the folder is laid down as it is when the host is killed right after it, and as a power cut may leave it;
//! whoever comes next finishes what was begun: every record is there, the file is sound, and it is said that it was damaged.
//!
//! Besides, each of them fails as on a full or a broken disk, for once or until it is mended.
//!
//! `HEYHO_RECOVERY_STEPS` sets at how many operations (0: at every one).

use crate::disk::{Cut, Disk, Fault, kind};
use crate::host::{Host, PATIENCE, frame, hello};
use crate::ledger::{Ledger, verify};
use crate::profile::Profile;
use crate::world::{Dice, World, number, seed};
use heyho_buffer::Buffer;
use std::path::Path;

const FRAMES: u64 = 12;

#[test]
fn a_salvage_that_is_cut_short_at_any_step_is_finished_and_loses_nothing() {
    let steps = number("HEYHO_RECOVERY_STEPS").unwrap_or(60);
    let mut dice = Dice(seed());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path());
    let ledger = Ledger::default();
    let acked = damaged(&world, dice.another(), &ledger);

    let (world, disk) = Disk::under(world, 0);
    mended_by_a_host(&world).leave();
    let lay = |dice: &mut Dice, operations: u64, power: bool| -> (tempfile::TempDir, Cut) {
        let left = tempfile::tempdir().unwrap();
        let data = World::new(left.path()).data();
        let cut = match power {
            true => disk.cut_at(operations, dice, &data),
            false => Cut { operations: disk.killed_at(operations, &data), ..Cut::default() },
        };
        (left, cut)
    };
    let operations = lay(&mut dice, u64::MAX, false).1.operations;
    let chosen: Vec<u64> = match steps {
        0 => (0..=operations).collect(),
        _ => (0..steps).map(|n| n * operations / steps).chain([operations]).collect(),
    };
    let (mut taken_up, mut dropped) = (0, 0);
    for at in &chosen {
        for power in [false, true] {
            let (left, cut) = lay(&mut dice, *at, power);
            let world = World::new(left.path());
            taken_up += u64::from(world.data().join("buffer.db.owed").exists());
            dropped += cut.dropped;
            let what = format!("operation {at} of {operations}, power cut: {power}");
            runtime.block_on(finished(&world.buffer(), &what));
            verify(&world.buffer(), &ledger, &Ledger::default());
        }
    }
    println!(
        "figures: {} salvages of {operations} operations cut short, half of them with the power ({dropped} bytes dropped); \
         {taken_up} taken up in the middle; {} records acknowledged before; 0 lost",
        chosen.len() * 2,
        acked
    );
    assert!(taken_up > 0);
}

#[test]
fn a_salvage_that_the_disk_fails_is_tried_again_when_it_works() {
    const EIO: i32 = 5;
    const ENOSPC: i32 = 28;
    const KINDS: &[u64] =
        &[kind::OPEN, kind::WRITE, kind::TRUNCATE, kind::SYNC_END, kind::UNLINK, kind::RENAME];
    let steps = number("HEYHO_RECOVERY_STEPS").unwrap_or(12).min(60);
    let mut dice = Dice(seed());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let template = World::new(folder.path());
    let ledger = Ledger::default();
    damaged(&template, dice.another(), &ledger);
    let (mut points, mut failed, mut owed, mut at) = (0, 0, 0, 1);
    loop {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(folder.path());
        for name in ["buffer.db", "buffer.db-wal"] {
            std::fs::copy(template.data().join(name), world.data().join(name)).unwrap();
        }
        let (world, disk) = Disk::under(world, 0);
        let errno = if dice.roll(3) == 0 { EIO } else { ENOSPC };
        let ever = dice.roll(2) == 0;
        disk.fail(Fault { at, errno, ever, kinds: KINDS });
        mended_by_a_host(&world).kill();
        let (operations, these) = disk.counted();
        failed += these;
        owed += u64::from(world.data().join("buffer.db.owed").exists());
        disk.mend();
        runtime.block_on(finished(&world.buffer(), &format!("operation {at}, {errno}, ever: {ever}")));
        verify(&world.buffer(), &ledger, &Ledger::default());
        points += 1;
        if at > operations {
            break;
        }
        at += 1 + dice.roll(800_u64.checked_div(steps).unwrap_or(0));
    }
    println!(
        "figures: {points} salvages on a disk of which {failed} operations failed; {owed} left for later; 0 lost"
    );
    assert!(owed > 0);
}

/// A buffer as a kill leaves it, some of it in the file and some in the log, and then a page of it is damaged. How many
/// records were acknowledged.
fn damaged(world: &World, dice: Dice, ledger: &Ledger) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut profile = Profile::new("p".to_owned(), dice, ledger);
    store(world, &mut profile);
    runtime.block_on(async { Buffer::open(&world.buffer()).await.unwrap().close().await });
    store(world, &mut profile);
    damage(&world.buffer());
    profile.acked
}

/// It opens the buffer for what it is asked; whether that goes well is not its affair.
fn mended_by_a_host(world: &World) -> Host {
    let mut host = Host::start(world);
    assert!(host.raw(&hello("p")) && host.raw(&frame(r#"{"type":"status","id":1}"#)));
    assert_eq!(host.answer()["type"], "welcome");
    assert_eq!(host.answer()["type"], "status");
    host
}

/// Frames that are all acknowledged; then the host is killed.
fn store(world: &World, profile: &mut Profile) {
    let mut host = Host::start(world);
    assert!(host.raw(&hello(&profile.name)));
    for _ in 0..FRAMES {
        let (id, bytes, promise) = profile.frame();
        profile.open.insert(id, promise);
        assert!(host.raw(&bytes));
    }
    while !profile.open.is_empty() {
        profile.answered(&host.answer_within(PATIENCE).unwrap());
    }
    host.kill();
}

/// Flips a bit in the name of a table that no record needs.
fn damage(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let made = b"CREATE TABLE tab_life";
    let at = bytes.windows(made.len()).position(|w| w == made).unwrap();
    bytes[at + 13] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

async fn finished(path: &Path, what: &str) {
    let (buffer, _) = Buffer::open_or_recover(path, 1).await.unwrap();
    let recovery = buffer.recovery().await.unwrap();
    let recovery = recovery.unwrap_or_else(|| panic!("{what}: nothing is said of the damage"));
    assert_eq!((recovery.lost(), recovery.damaged), (Some(0), 0), "{what}: {recovery:?}");
    assert!(!path.with_extension("db.owed").exists(), "{what}");
    buffer.close().await;
}
