//! Random histories of the buffer against a model of it that was written from the contract alone: lists and
//! maps, no SQL, no revision arithmetic shared with the program.
//!
//! After every step the whole buffer is compared: each record with its place in the queue, revision, content,
//! state and owner, the batch in flight, and the counters. A crash is what a kill leaves behind: the files
//! are copied while they are open, and the copy is opened. What users do is among the steps: retry, discard,
//! keep, claim, forget a site, discard an account, erase everything, take an export in.
//!
//! `HEYHO_MODEL_CASES` sets how many histories there are, `HEYHO_SEED` repeats a run. With the fault `same-revision` this suite must fail
//! (`xtask/src/controls.rs`).

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

mod bench;
mod model;
mod steps;

use bench::{Bench, scratch};
use heyho_buffer::Buffer;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::path::Path;
use steps::step;

#[test]
#[expect(clippy::print_stdout, reason = "the figures of a run")]
fn the_buffer_does_what_the_model_says() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let cases = number("HEYHO_MODEL_CASES").unwrap_or(2_000);
    let seed = number("HEYHO_SEED").unwrap_or(20_261_121);
    println!("{cases} histories, seed {seed}");
    let home = scratch();
    let template = home.path().join("template.db");
    runtime().block_on(async {
        let buffer = Buffer::open(&template).await.unwrap();
        assert!(buffer.checkpoint().await.unwrap());
        buffer.close().await;
    });
    // Each a share, from a seed of its own. Twice as many as there are processors: each waits half of the time for the
    // thread that SQLite is on.
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let threads = (2 * processors).min(cases.max(1));
    let steps: u64 = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..threads)
            .map(|share| {
                let template = &template;
                let of_share = cases / threads + u64::from(share < cases % threads);
                scope.spawn(move || histories(of_share, seed + share, template))
            })
            .collect();
        shares.into_iter().map(|share| share.join().unwrap()).sum()
    });
    println!("figures: {cases} histories, {steps} steps, each compared");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Says how many steps there were.
fn histories(cases: u64, seed: u64, template: &Path) -> u64 {
    let runtime = runtime();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases: cases as u32, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let taken = std::cell::Cell::new(0);
    let result = runner.run(&prop::collection::vec(step(), 1..40), |steps| {
        runtime.block_on(async {
            let mut bench = Bench::new(template).await;
            for step in &steps {
                bench.step(step).await;
                bench.compare().await;
                taken.set(taken.get() + 1);
            }
        });
        Ok(())
    });
    if let Err(error) = result {
        unreachable!("{error}");
    }
    taken.get()
}
