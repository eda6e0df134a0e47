//! The whole job once, with its summary: what `cargo xtask run` starts where there is no display. The argument
//! is the directory of the scratch home. Ends 0 only if every count agrees and nothing waits.

#![expect(clippy::print_stdout, reason = "the summary is this program's output")]

use anyhow::{Context, Result};
use e2e::{World, session};
use std::path::PathBuf;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let dir = std::env::args_os().nth(1).context("usage: scripted-session DIRECTORY")?;
    let mut world = World::at(PathBuf::from(dir))?;
    let summary = session::run(&mut world, |step| eprintln!("   {step}")).await?;
    println!("\n{summary}");
    let agrees = summary.agrees();
    if agrees {
        world.done_and_kept();
    }
    Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
