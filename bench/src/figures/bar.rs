//! Whether the remaining time that is shown is so: everything through the real agent to the reference backend, each
//! remaining time compared with what it took from then on.

use super::Taken;
use super::drain::{Running, template};
use crate::figure::Row;
use crate::lab::{Lab, Place};
use crate::plot::{Plot, Series};
use crate::records::BYTES;
use anyhow::{Context, Result, ensure};
use e2e::backend::Backend;
use e2e::{BOOT, World, eventually};
use heyho_local::paths::Paths;
use heyho_local::socket::Client;
use heyho_local::vocabulary::{Companion, Request};
use std::time::{Duration, Instant};

/// It is said in whole seconds.
const RESOLUTION: f64 = 1.0;
const PATIENCE: Duration = Duration::from_secs(1_200);

pub async fn take(lab: Lab) -> Result<Taken> {
    let records = lab.size(100_000, 2_000);
    let mut row = Row::new(
        "draining 100,000 to the reference backend: share of the remaining times said after the first fifth that were within 30 %",
        "of 1",
    )
    .at_least(0.95);
    let mut course = Vec::new();
    // Each begins with an empty backend and lays out its records: three rounds are some minutes.
    for round in 0..lab.rounds().min(3) {
        let world = World::new()?;
        let backend = Backend::start(&world).await?;
        let template = template(&world, &backend.url(), "draining", records, BYTES).await?;
        lab.settle_disk();
        let said = drained(&world, &template.place).await?;
        let after = said.points.iter().filter(|point| point.done >= 0.2);
        let right: Vec<bool> = after.map(|point| point.is_within(0.3, said.took)).collect();
        if !right.is_empty() {
            row.value(right.iter().filter(|right| **right).count() as f64 / right.len() as f64);
        }
        course.push(said);
        backend.kill().await?;
        world.done();
        lab.progress("bar", round);
    }
    if row.ours.is_empty() {
        row.note = "it was over before anything could be said".to_owned();
    }
    let series = course.iter().enumerate().flat_map(|(n, said)| {
        let so = |point: &Said| (point.at, (said.took - point.at).max(0.0));
        [
            Series::of(
                &format!("said, round {}", n + 1),
                said.points.iter().map(|p| (p.at, p.left)).collect(),
            ),
            Series::of(&format!("so, round {}", n + 1), said.points.iter().map(so).collect()),
        ]
    });
    let plot = Plot::new("bar", "The remaining time that is shown", "seconds", "seconds left").with(series);
    Ok(Taken { rows: vec![row], plots: vec![plot] })
}

/// A remaining time that was shown; in seconds, since the first sign of the run.
struct Said {
    at: f64,
    /// Of one.
    done: f64,
    left: f64,
}

impl Said {
    fn is_within(&self, part: f64, took: f64) -> bool {
        let so = took - self.at;
        (self.left - so).abs() <= (part * so).max(RESOLUTION)
    }
}

struct Drained {
    points: Vec<Said>,
    took: f64,
}

/// As the window and `heyho sync --wait` see it: every status that is published.
async fn drained(world: &World, place: &Place) -> Result<Drained> {
    let mut agent = Running::agent(world, place)?;
    let run = place.data.join("run");
    let paths = Paths { data: place.data.clone(), config: run.clone(), state: run.clone(), runtime: run };
    let client = eventually(BOOT, "the agent answers", async || {
        Client::connect(&paths.socket()).await.context("its socket")
    })
    .await?;
    client.call(Request::Subscribe).await.map_err(|fault| anyhow::anyhow!(fault.text))?;
    let (mut watch, begun) = (client.watch(), Instant::now());
    let (mut start, mut points) = (None, Vec::new());
    loop {
        let status = watch.borrow_and_update().clone();
        let waiting = status.as_ref().map(|status| status.backlog.records());
        match status.and_then(|status| status.progress) {
            Some(progress) => {
                let start = *start.get_or_insert_with(Instant::now);
                if let Some(left) = progress.eta_seconds {
                    let done = progress.done as f64 / progress.total.max(1) as f64;
                    points.push(Said { at: start.elapsed().as_secs_f64(), done, left: left as f64 });
                }
            }
            None if waiting == Some(0) => break,
            None => {}
        }
        agent.alive()?;
        ensure!(begun.elapsed() < PATIENCE, "{waiting:?} still wait");
        if let Ok(changed) = tokio::time::timeout(Duration::from_secs(1), watch.changed()).await {
            changed.context("the agent went away")?;
        }
    }
    Ok(Drained { points, took: start.map_or(0.0, |start| start.elapsed().as_secs_f64()) })
}
