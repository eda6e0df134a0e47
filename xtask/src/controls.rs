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
use anyhow::{Context, Result};
use std::time::Instant;
use table::{CONTROLS, Control};

/// All of them, or those whose name contains the filter.
pub fn run(filter: Option<&str>) -> Result<Tally> {
    let mut tally = Tally::default();
    for control in CONTROLS.iter().filter(|c| filter.is_none_or(|part| c.fault.contains(part))) {
        let Control { package, fault, wrong, tests, env } = control;
        say(&format!("broken control of {package}, {fault}: {wrong}"));
        let mut cargo = command(&["cargo", "test", "--locked", "-p", package]);
        cargo.args(["--features", "heyho-records/broken-control"]).args(*tests);
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
    }
    Ok(tally)
}
