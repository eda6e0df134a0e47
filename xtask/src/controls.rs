//! The broken controls: a one-line fault, in the same harness with the same seeds. A suite that stays green
//! with its fault in place proves nothing, so here red is what passes.
//!
//! A fault is `heyho_records::fault::planted("name")` in the line that would be wrong; the feature
//! `heyho-records/broken-control` compiles them all in, and `HEYHO_FAULT` chooses one. They are built in a
//! target directory of their own: a program with a fault must never lie where the end-to-end tests, or a
//! person, would start it.

mod table;

use crate::shell::{command, say, target};
use crate::tally::Tally;
use anyhow::{Context, Result, ensure};
use std::time::Instant;
use table::{CONTROLS, Control, PROGRAMS, WITH_PROGRAMS};

const FEATURE: &str = "heyho-records/broken-control";

/// All of them, or those whose name contains the filter.
pub fn run(filter: Option<&str>) -> Result<Tally> {
    let mut tally = Tally::default();
    let named = |control: &&Control| filter.is_none_or(|part| control.fault.contains(part));
    for control in CONTROLS.iter().filter(named) {
        one(control, &["--features", FEATURE], &mut tally)?;
    }
    if filter.is_some() {
        for control in WITH_PROGRAMS.iter().filter(named) {
            programs()?;
            one(control, &[], &mut tally)?;
        }
    }
    Ok(tally)
}

/// Those that an end-to-end test starts, with the faults compiled in.
fn programs() -> Result<()> {
    let mut cargo = command(&["cargo", "build", "--locked", "--bins", "--features", FEATURE]);
    cargo.args(PROGRAMS.iter().flat_map(|package| ["-p", package]));
    cargo.arg("--target-dir").arg(target().join("controls"));
    ensure!(cargo.status().context("cargo could not be started")?.success(), "the programs do not build");
    Ok(())
}

fn one(control: &Control, features: &[&str], tally: &mut Tally) -> Result<()> {
    let Control { package, fault, wrong, tests, env } = control;
    say(&format!("broken control of {package}, {fault}: {wrong}"));
    let mut cargo = command(&["cargo", "test", "--locked", "-p", package]);
    cargo.args(features).args(*tests);
    cargo.arg("--target-dir").arg(target().join("controls"));
    cargo.env("HEYHO_FAULT", fault).envs(env.iter().copied());
    let start = Instant::now();
    let output = cargo.output().context("cargo could not be started")?;
    let seconds = start.elapsed().as_secs();
    let text = String::from_utf8_lossy(&output.stdout);
    // A build that fails is red too, and proves as little; so does a filter that names no test.
    let red = text.lines().any(|line| line.starts_with("test ") && line.ends_with("FAILED"));
    if red && !output.status.success() {
        tally.passed += 1;
        eprintln!("   red, as it must be ({seconds} s)");
    } else {
        tally.failed += 1;
        eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
        eprintln!("   the suite did not notice the fault ({seconds} s)");
    }
    Ok(())
}
