//! A damaged buffer, until it takes records again.

use super::{Taken, scale};
use crate::figure::{By, Row, quantile};
use crate::fill;
use crate::lab::{Lab, Place};
use crate::plot::{Plot, Series};
use crate::records;
use anyhow::{Context, Result, ensure};
use e2e::World;
use heyho_buffer::Buffer;
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

/// Pages of noise, spread over the file.
const DAMAGED_PAGES: u64 = 8;
const PAGE: u64 = 4_096;

pub async fn take(lab: Lab) -> Result<Taken> {
    let world = World::new()?;
    let sizes: &[u64] = if lab.quick { &[1_000_000] } else { &[10_000_000, 100_000_000, 1_000_000_000] };
    let largest = sizes.last().copied().unwrap_or_default();
    let mut reading = Row::new("opening a damaged 1 GB buffer to a working one", "s")
        .beside("reading the file once", By::Ratio)
        .at_most(3.0);
    let mut copying =
        Row::new("the same", "s").beside("reading it and writing it anew, to the disk", By::Ratio);
    let mut plots = Vec::new();
    for &bytes in sizes {
        let place = Place::new(&world, "sound")?;
        scale::filled(&place, bytes / 2_000, records::BYTES).await?;
        let sound = place.buffer();
        let mut took = Vec::new();
        for round in 0..lab.rounds() {
            let damaged = Place::new(&world, "damaged")?;
            std::fs::copy(&sound, damaged.buffer())?;
            damage(&damaged.buffer(), round as u64)?;
            lab.settle_disk();
            let read = read_once(&damaged.buffer())?;
            let copied = copy_once(&damaged.buffer(), &damaged.data.join("copy"))?;
            lab.settle_disk();
            forget(&damaged.buffer())?;
            let start = Instant::now();
            let (buffer, recovery) = Buffer::open_or_recover(&damaged.buffer(), fill::now_ms()).await?;
            fill::append(&buffer, 1 << 24..(1 << 24) + 1, records::BYTES).await?;
            let seconds = start.elapsed().as_secs_f64();
            let recovery = recovery.context("it is damaged, and that is noticed")?;
            ensure!(recovery.saved > bytes / 2_000 / 2, "hardly anything was saved: {recovery:?}");
            buffer.close().await;
            took.push((read, seconds));
            if bytes == largest {
                reading.round(seconds, read);
                copying.round(seconds, copied);
                lab.progress("damage", round);
            }
            damaged.remove()?;
        }
        plots.push((bytes as f64, took));
    }
    world.done();
    let line = |name: &str, of: fn(&(f64, f64)) -> f64| {
        let points =
            plots.iter().map(|(n, took)| (*n / 1e6, quantile(&took.iter().map(of).collect::<Vec<_>>(), 0.5)));
        Series::of(name, points.collect())
    };
    let series = [line("opened and working", |(_, ours)| *ours), line("read once", |(read, _)| *read)];
    let plot = Plot::new("damage", "Opening a damaged buffer", "MB", "seconds").with(series).logarithmic();
    Ok(Taken { rows: vec![reading, copying], plots: vec![plot] })
}

fn damage(path: &Path, seed: u64) -> Result<()> {
    let file = File::options().write(true).open(path)?;
    let pages = file.metadata()?.len() / PAGE;
    for n in 0..DAMAGED_PAGES {
        // Not the first pages, with which the whole file would go.
        let page = 100 + records::scatter(seed * DAMAGED_PAGES + n) % (pages - 100);
        let noise: Vec<u8> = (0..PAGE).map(|byte| records::scatter(page ^ byte << 32) as u8).collect();
        file.write_all_at(&noise, page * PAGE)?;
    }
    Ok(file.sync_all()?)
}

/// From now on its pages come from the disk.
fn forget(path: &Path) -> Result<()> {
    Ok(fadvise(File::open(path)?, 0, None, Advice::DontNeed)?)
}

fn read_once(path: &Path) -> Result<f64> {
    forget(path)?;
    let start = Instant::now();
    let (mut file, mut block) = (File::open(path)?, vec![0; 1 << 20]);
    while file.read(&mut block)? > 0 {}
    Ok(start.elapsed().as_secs_f64())
}

fn copy_once(from: &Path, to: &Path) -> Result<f64> {
    forget(from)?;
    let start = Instant::now();
    let (mut file, mut block, mut copy) = (File::open(from)?, vec![0; 1 << 20], File::create(to)?);
    loop {
        match file.read(&mut block)? {
            0 => break,
            n => copy.write_all(&block[..n])?,
        }
    }
    copy.sync_all()?;
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_file(to)?;
    Ok(seconds)
}
