//! What the agent asks of the buffer, with a thousand, a hundred thousand and ten million records waiting.

use super::Taken;
use crate::figure::{By, Row, quantile};
use crate::fill;
use crate::lab::{Lab, Place, free_bytes, ms};
use crate::plot::{Plot, Series};
use anyhow::{Context, Result};
use e2e::World;
use heyho_buffer::{AccountId, BatchItem, Buffer, Limits, NewBatch, Settlement, SignedIn};
use std::time::{Duration, Instant};

/// Small records, the same at every size: what is asked for is how cost grows with their number.
pub const BYTES: usize = 700;
pub const MOST: u64 = 10_000_000;
const SPACE: u64 = 25_000_000_000;
const BATCH: Limits = Limits { page_visits: 100, tab_aggregates: 100, bytes: 524_288 };
const OPERATIONS: [&str; 4] = ["next batch", "status", "confirm", "arrival of 200"];

struct Sized {
    waiting: u64,
    buffer: Buffer,
    account: AccountId,
    next: u64,
    /// By operation: the times of this round, and the medians of the rounds.
    times: [Vec<f64>; 4],
    medians: [Vec<f64>; 4],
}

/// The sizes this disk has room for; the second says why one was left out.
pub fn sizes(lab: Lab, world: &World) -> Result<(Vec<u64>, Option<String>)> {
    if lab.quick {
        return Ok((vec![1_000, 3_000], None));
    }
    let free = free_bytes(world.dir())?;
    if free < SPACE {
        let why = format!("10^7 skipped: {} GB are free, 25 are needed", free / 1_000_000_000);
        eprintln!("  {why}");
        return Ok((vec![1_000, 100_000], Some(why)));
    }
    Ok((vec![1_000, 100_000, MOST], None))
}

/// A buffer somebody is signed in to, with so many waiting.
pub async fn filled(place: &Place, waiting: u64, bytes: usize) -> Result<()> {
    let buffer = Buffer::open(&place.buffer()).await?;
    let who = SignedIn {
        backend: "http://127.0.0.1:9".to_owned(),
        user_id: "bench".to_owned(),
        email: e2e::companion::EMAIL.to_owned(),
        claim_others: false,
    };
    buffer.sign_in(&who, fill::now_ms()).await?;
    buffer.close().await;
    fill::fill(&place.buffer(), 0..waiting, bytes).await
}

pub async fn take(lab: Lab) -> Result<Taken> {
    let world = World::new()?;
    let (sizes, skipped) = sizes(lab, &world)?;
    let mut all = Vec::new();
    for waiting in sizes {
        let place = Place::new(&world, &format!("{waiting}"))?;
        filled(&place, waiting, BYTES).await?;
        let buffer = Buffer::open(&place.buffer()).await?;
        let account = buffer.signed_in().await?.context("somebody is signed in")?.id;
        all.push(Sized {
            waiting,
            buffer,
            account,
            next: waiting,
            times: Default::default(),
            medians: Default::default(),
        });
    }
    lab.settle_disk();
    let repeats = lab.size(30, 2);
    for round in 0..lab.rounds() {
        for _ in 0..repeats {
            for size in &mut all {
                size.once().await?;
            }
        }
        for size in &mut all {
            for (times, medians) in size.times.iter_mut().zip(&mut size.medians) {
                medians.push(quantile(times, 0.5));
                times.clear();
            }
        }
        lab.progress("scale", round);
    }
    let mut rows = Vec::new();
    if let Some((small, larger)) = all.split_first() {
        for (n, operation) in OPERATIONS.iter().enumerate() {
            for size in larger {
                let power = (size.waiting as f64).log10().round();
                let row = Row::new(&format!("{operation} with 10^{power} waiting, p50"), "ms");
                let row = row.beside("with 10^3 waiting", By::Ratio);
                // An arrival is not of the list; shown, because it costs as well.
                let mut row = if n < 3 { row.at_most(1.5) } else { row };
                for (ours, other) in size.medians[n].iter().zip(&small.medians[n]) {
                    row.round(*ours, *other);
                }
                rows.push(row);
            }
        }
    }
    if let Some(why) = skipped {
        rows.push(Row::new("the same with 10^7 waiting", "ms").note(why));
    }
    let series = (0..OPERATIONS.len()).map(|n| {
        let points = all.iter().map(|s| (s.waiting as f64, quantile(&s.medians[n], 0.5))).collect();
        Series::of(OPERATIONS[n], points)
    });
    let plot = Plot::new("scale", "The buffer under the agent", "records waiting", "ms, p50")
        .with(series)
        .logarithmic();
    for size in &all {
        size.buffer.close().await;
    }
    world.done();
    Ok(Taken { rows, plots: vec![plot] })
}

impl Sized {
    /// The oldest batch is taken, the status is read, the batch is confirmed, and as many come anew.
    async fn once(&mut self) -> Result<()> {
        let now = fill::now_ms();
        let start = Instant::now();
        let batch = self.buffer.oldest(self.account, BATCH, &[], now).await?;
        self.times[0].push(ms(start));

        let start = Instant::now();
        let status = self.buffer.status(Duration::from_secs(300), now).await?.status;
        self.times[1].push(ms(start));
        anyhow::ensure!(
            status.backlog.page_visits + status.backlog.tab_aggregates == self.waiting,
            "{} should wait: {:?}",
            self.waiting,
            status.backlog
        );

        let items: Vec<BatchItem> = batch
            .iter()
            .map(|row| BatchItem { seq: row.seq, revision: row.revision, kind: row.kind })
            .collect();
        let key = format!("bench-{}", self.next);
        let new = NewBatch { key, body: vec![b' '; 300_000], items: items.clone() };
        let number = self.buffer.begin_batch(self.account, &new, now).await?;
        let settlement = Settlement { confirm: items.clone(), ..Settlement::default() };
        let start = Instant::now();
        self.buffer.settle(Some(number), &settlement, now).await?;
        self.times[2].push(ms(start));

        let (from, to) = (self.next, self.next + items.len() as u64);
        self.next = to;
        let start = Instant::now();
        fill::append(&self.buffer, from..to, BYTES).await?;
        self.times[3].push(ms(start));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records;

    #[test]
    fn small_records_are_records_too() {
        let text = records::record(2, BYTES);
        assert!(heyho_records::Record::read(records::kind(2), &text).is_ok());
    }
}
