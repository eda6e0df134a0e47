//! `cargo xtask bench [FIGURE…] [--quick]`: builds what is shipped, and has `bench/` measure it.
//!
//! A full run measures release programs and writes docs/performance. `--quick` runs every figure once and small
//! on the programs that the tests use, judges nothing and writes nothing: it shows that the figures can be taken.

use crate::shell::{self, command, root, say};
use crate::{build, machine};
use anyhow::Result;
use std::process::Command;

/// What is shipped, the bench, and the empty app that ours is set beside. Without what tests need.
const BUILD: &[&str] = &[
    "cargo",
    "build",
    "--release",
    "--locked",
    "--package=heyho-host",
    "--package=heyho-cli",
    "--package=heyho-backend",
    "--package=heyho-companion",
    "--package=heyho-bench",
    "--bins",
    "--example=empty-tray",
    "--features=heyho-companion/custom-protocol,heyho-companion/empty-tray",
];

pub fn run(words: &[&str]) -> Result<bool> {
    machine::prepare()?;
    build::web()?;
    let mut bench = if words.contains(&"--quick") {
        build::programs()?;
        quick()?
    } else {
        say("building the release programs");
        shell::run(&mut command(BUILD))?;
        let commit = shell::output(&mut command(&["git", "describe", "--always", "--dirty"]))?;
        let mut bench = Command::new(shell::target().join("release/heyho-bench"));
        bench.arg("--commit").arg(commit).arg("--out").arg(root().join("docs/performance"));
        bench
    };
    bench.args(words.iter().filter(|word| **word != "--quick"));
    say("measuring");
    Ok(bench.status()?.success())
}

/// The smoke run, on programs that are built already.
pub fn quick() -> Result<Command> {
    let mut bench = build::program("heyho-bench")?;
    bench.arg("--quick");
    Ok(bench)
}
