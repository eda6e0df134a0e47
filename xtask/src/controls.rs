//! The broken controls: a one-line fault behind a feature, in the same harness with the same seeds. A suite
//! that stays green with its fault in place proves nothing, so here red is what passes.
//!
//! They are built in a target directory of their own: a program with a fault must never lie where the
//! end-to-end tests, or a person, would start it.

use crate::shell::{command, say, target};
use crate::tally::Tally;
use anyhow::{Context, Result};

/// Package, what is wrong in it, and the tests that must notice.
const CONTROLS: [(&str, &str, &[&str]); 3] = [
    ("heyho-buffer", "a confirmation deletes whatever the revision", &["--test", "model"]),
    ("heyho-host", "an acknowledgement comes before the commit", &["--test", "kill"]),
    ("heyho-sync", "an answer confirms without its counts", &["--lib"]),
];

pub fn run() -> Result<Tally> {
    let mut tally = Tally::default();
    for (package, fault, tests) in CONTROLS {
        say(&format!("broken control of {package}: {fault}"));
        let mut cargo =
            command(&["cargo", "test", "--locked", "-p", package, "--features", "broken-control"]);
        cargo.args(tests).arg("--target-dir").arg(target().join("controls"));
        let output = cargo.output().context("cargo could not be started")?;
        let text = String::from_utf8_lossy(&output.stdout);
        // A build that fails is red too, and proves as little.
        let red = text.lines().any(|line| line.starts_with("test ") && line.ends_with("FAILED"));
        if red && !output.status.success() {
            tally.passed += 1;
            eprintln!("   red, as it must be");
        } else {
            tally.failed += 1;
            eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
            eprintln!("   the suite did not notice the fault");
        }
    }
    Ok(tally)
}
