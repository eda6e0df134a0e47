//! `cargo xtask torture [SUITE]`: the suites of `cargo xtask test` that have a size, at the size that is meant
//! to find what happens once in thousands of times. Hours, not minutes: it is no part of the ordinary tests.
//!
//! A suite takes its size from its own variables; one that is set already is left as it is, so that
//! `HEYHO_KILLS=500 cargo xtask torture kills` is a part of it. Every one sees `HEYHO_TORTURE=1` besides. What it prints
//! as `figures: …` (or `skipped: …`) stands in the closing table. One that ends badly makes the whole end
//! badly, after all the others have run.

use crate::shell::{self, command, say};
use crate::tally::Tally;
use crate::{build, machine};
use anyhow::{Result, bail};
use std::time::Instant;

struct Suite {
    name: &'static str,
    package: &'static str,
    /// Arguments of `cargo test` that choose the test program.
    target: &'static [&'static str],
    /// The tests of it that run: those whose name contains this.
    filter: &'static str,
    /// The size.
    env: &'static [(&'static str, &'static str)],
}

const SUITES: &[Suite] = &[
    Suite {
        name: "kills",
        package: "heyho-host",
        target: &["--test", "durability"],
        filter: "kill::",
        env: &[("HEYHO_KILLS", "10000")],
    },
    Suite {
        name: "migration",
        package: "heyho-host",
        target: &["--test", "durability"],
        filter: "migration::",
        env: &[("HEYHO_MIGRATIONS", "500")],
    },
    Suite {
        name: "commands",
        package: "heyho-host",
        target: &["--test", "durability"],
        filter: "command_line::",
        env: &[("HEYHO_COMMANDS", "3000")],
    },
    Suite {
        name: "power",
        package: "heyho-host",
        target: &["--test", "durability"],
        filter: "power::",
        env: &[("HEYHO_CUTS", "2000")],
    },
    Suite {
        name: "writes",
        package: "heyho-host",
        target: &["--test", "durability"],
        filter: "writes::",
        env: &[("HEYHO_POINTS", "0")],
    },
    Suite {
        name: "recovery",
        package: "heyho-host",
        target: &["--test", "durability"],
        filter: "recovery::",
        env: &[("HEYHO_RECOVERY_STEPS", "0")],
    },
    Suite {
        name: "erasure",
        package: "heyho-host",
        target: &["--test", "durability"],
        filter: "erasing::",
        env: &[("HEYHO_ERASURE_STEPS", "0")],
    },
    Suite {
        name: "model",
        package: "heyho-buffer",
        target: &["--test", "model"],
        filter: "",
        env: &[("HEYHO_MODEL_CASES", "100000")],
    },
    Suite {
        name: "damage",
        package: "heyho-buffer",
        target: &["--test", "damage"],
        filter: "",
        env: &[("HEYHO_DAMAGES", "5000")],
    },
    Suite { name: "scale", package: "heyho-buffer", target: &["--test", "scale"], filter: "", env: &[] },
    Suite {
        name: "fuzz-frame",
        package: "heyho-records",
        target: &["--test", "fuzz"],
        filter: "any_frame",
        env: &[("HEYHO_FUZZ_SECONDS", "1800")],
    },
    Suite {
        name: "fuzz-record",
        package: "heyho-records",
        target: &["--test", "fuzz"],
        filter: "any_record",
        env: &[("HEYHO_FUZZ_SECONDS", "1800")],
    },
    Suite {
        name: "fuzz-rules",
        package: "heyho-records",
        target: &["--test", "fuzz"],
        filter: "rules_leave",
        env: &[("HEYHO_FUZZ_SECONDS", "1800")],
    },
    Suite {
        name: "fuzz-pipe",
        package: "heyho-records",
        target: &["--test", "fuzz"],
        filter: "any_bytes",
        env: &[("HEYHO_FUZZ_SECONDS", "1800")],
    },
    Suite {
        name: "backend-feed",
        package: "heyho-backend",
        target: &["--test", "http"],
        filter: "order::a_reader",
        env: &[],
    },
    Suite {
        name: "backend-order",
        package: "heyho-backend",
        target: &["--test", "store"],
        filter: "order::",
        env: &[("HEYHO_MODEL_CASES", "3000")],
    },
    Suite {
        name: "backend-kills",
        package: "heyho-backend",
        target: &["--test", "crash"],
        filter: "kill::",
        env: &[("HEYHO_KILLS", "300")],
    },
    Suite {
        name: "backend-document",
        package: "heyho-backend",
        target: &["--test", "crash"],
        filter: "document::",
        env: &[("HEYHO_EXAMPLES", "300")],
    },
    Suite {
        name: "sync-poison",
        package: "heyho-sync",
        target: &["--lib"],
        filter: "core::tests",
        env: &[("PROPTEST_CASES", "1000")],
    },
    Suite {
        name: "sync-crashes",
        package: "heyho-agent",
        target: &["--lib"],
        filter: "crash_tests",
        env: &[("HEYHO_SEEDS", "200")],
    },
    Suite {
        name: "sync-switches",
        package: "heyho-agent",
        target: &["--test", "agent"],
        filter: "switching::",
        env: &[("HEYHO_SWITCHES", "10000")],
    },
    Suite {
        name: "sync-heyho",
        package: "heyho-agent",
        target: &["--lib"],
        filter: "heyho_tests",
        env: &[("HEYHO_TABS", "700")],
    },
    Suite {
        name: "browser-sessions",
        package: "e2e",
        target: &["--test", "end_to_end"],
        filter: "browsing::random_sessions",
        env: &[("HEYHO_SESSIONS", "100"), ("HEYHO_STEPS", "100")],
    },
    Suite {
        name: "browser-kills",
        package: "e2e",
        target: &["--test", "end_to_end"],
        filter: "killed_at_random",
        env: &[("HEYHO_KILLS", "1000")],
    },
    Suite {
        name: "agent-kills",
        package: "e2e",
        target: &["--test", "end_to_end"],
        filter: "draining::",
        env: &[("HEYHO_AGENT_KILLS", "1000")],
    },
];

pub fn names() -> String {
    SUITES.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ")
}

/// All of them, or one; true when nothing failed.
pub fn run(only: Option<&str>) -> Result<bool> {
    let chosen: Vec<&Suite> = SUITES.iter().filter(|s| only.is_none_or(|name| name == s.name)).collect();
    if chosen.is_empty() {
        bail!("{:?} is no suite of torture; there are {}", only.unwrap_or_default(), names());
    }
    machine::prepare()?;
    build::web()?;
    if chosen.iter().any(|suite| suite.package == "e2e") {
        // The programs that those start.
        build::tests()?;
    }
    let mut rows = Vec::new();
    let mut sound = true;
    for suite in chosen {
        say(&format!("torture: {}", suite.name));
        let start = Instant::now();
        let (passed, figures) = one(suite)?;
        sound &= passed;
        rows.push((suite.name, passed, start.elapsed().as_secs(), figures));
    }
    println!("\n suite            minutes  figures");
    for (name, passed, seconds, figures) in rows {
        let minutes = seconds as f64 / 60.0;
        let mark = if passed { ' ' } else { '!' };
        println!("{mark}{name:16} {minutes:7.1}  {}", figures.join("; "));
    }
    println!("\n{}", if sound { "all hold" } else { "those marked ! do not hold: see above" });
    Ok(sound)
}

/// Whether it holds, and what it said of itself.
fn one(suite: &Suite) -> Result<(bool, Vec<String>)> {
    let mut cargo = command(&["cargo", "test", "--locked", "-p", suite.package]);
    cargo.args(suite.target).args(["--", "--nocapture"]);
    if !suite.filter.is_empty() {
        cargo.arg(suite.filter);
    }
    cargo.env("HEYHO_TORTURE", "1").env("RUST_LIB_BACKTRACE", "0");
    cargo.envs(suite.env.iter().copied().filter(|(name, _)| std::env::var_os(name).is_none()));
    let (mut figures, mut tally) = (Vec::new(), Tally::default());
    let succeeded = shell::each_line(&mut cargo, |line| {
        println!("{line}");
        tally.read(line);
        // The test's name may stand before it on the same line.
        for (mark, shown) in [("figures: ", ""), ("skipped: ", "skipped: ")] {
            if let Some((_, said)) = line.split_once(mark) {
                figures.push(format!("{shown}{said}"));
            }
        }
    })?;
    if tally.passed + tally.failed == 0 {
        figures.push("no test ran".to_owned());
    }
    Ok((succeeded && tally.passed > 0, figures))
}
