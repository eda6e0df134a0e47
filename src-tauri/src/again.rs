//! The program begins anew: after a start that the settings prevented, and for whoever starts it while it is ending.

use crate::args::Args;
use std::process::ExitCode;

/// How the event loop ends then.
pub const AGAIN: i32 = 75;

/// This process becomes the new one, where the system can do that: never two at once.
#[cfg(unix)]
pub fn start(args: Args) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(command(args)?.exec().into())
}

#[cfg(not(unix))]
pub fn start(args: Args) -> anyhow::Result<ExitCode> {
    command(args)?.spawn()?;
    Ok(ExitCode::SUCCESS)
}

fn command(args: Args) -> anyhow::Result<std::process::Command> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    if args.hidden {
        command.arg("--hidden");
    }
    Ok(command)
}
