//! Starting the app when the extension asks for its window and no agent runs.

use std::path::Path;
use std::process::{Command, Stdio};

/// An app that still runs after this is taken to have started.
const SETTLED: std::time::Duration = std::time::Duration::from_millis(300);

/// Why it does not run, by the names under which the extension has words for them; the rest is for the log.
pub const NOT_INSTALLED: &str = "not_installed";
pub const NOT_STARTED: &str = "not_started";
/// One that cannot reach a display does that.
pub const ENDED_AT_ONCE: &str = "ended_at_once";

/// The app lies beside the host in every form of installation.
pub async fn app() -> Result<(), &'static str> {
    let here = std::env::current_exe().map_err(|e| {
        tracing::error!("the app was not found: {e}");
        NOT_STARTED
    })?;
    let name = format!("heyho-companion{}", std::env::consts::EXE_SUFFIX);
    let app = here.parent().unwrap_or(Path::new(".")).join(name);
    if !app.exists() {
        return Err(NOT_INSTALLED);
    }
    // Its own group, and no pipe of ours: it must outlive this host, and stdout carries frames only.
    let mut command = Command::new(app);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    platform::detach(&mut command);
    let mut app = command.spawn().map_err(|e| {
        tracing::error!("the app could not be started: {e}");
        NOT_STARTED
    })?;
    // One that passed the order on to another ends well.
    tokio::time::sleep(SETTLED).await;
    match app.try_wait() {
        Ok(Some(status)) if !status.success() => {
            tracing::error!("the app ended at once ({status})");
            Err(ENDED_AT_ONCE)
        }
        _ => Ok(()),
    }
}

#[cfg(unix)]
mod platform {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    pub fn detach(command: &mut Command) {
        command.process_group(0);
    }
}

#[cfg(not(unix))]
mod platform {
    use std::process::Command;

    pub fn detach(_command: &mut Command) {}
}
