//! A start that `config.toml` prevents: the mistake is named in the terminal, and in the window where there is a
//! display, for whoever started the app with a click. Either way the program ends with 78, unless the file was
//! mended meanwhile and "Try again" begins anew.

use crate::app::platform;
use crate::args::Args;
use crate::desktop::Desktop;
use crate::look::Look;
use crate::memory::Memory;
use crate::own::LastExport;
use crate::shell::{Event, Shell};
use crate::{CONFIGURATION, parts};
use heyho_local::config::{ConfigError, LogLevel};
use heyho_local::paths::Paths;
use std::process::ExitCode;
use tauri::{Manager, RunEvent};
use tokio::sync::mpsc;

/// How the event loop ends when the program is to begin anew.
pub const AGAIN: i32 = 75;

pub fn run(args: Args, paths: &Paths, error: ConfigError) -> anyhow::Result<ExitCode> {
    if args.quit || platform::display().is_err() {
        return Err(error.into());
    }
    eprintln!("heyho-companion: {error}");
    let (orders, mut events) = mpsc::channel(crate::app::QUEUE);
    let app = parts::build(paths, LogLevel::Info, &orders)?;
    app.manage(paths.clone());
    app.manage(Memory::read(&paths.state));
    app.manage(LastExport::default());
    app.manage(orders.clone());
    let code = app.run_return(move |app, event| match event {
        RunEvent::Ready => {
            let desktop = Desktop::new(app.clone(), orders.clone(), Look::of_system());
            desktop.open_window();
            let app = app.clone();
            let mut events = std::mem::replace(&mut events, mpsc::channel(1).1);
            tauri::async_runtime::spawn(async move {
                while let Some(event) = events.recv().await {
                    match event {
                        Event::Open => desktop.open_window(),
                        Event::Closed | Event::Quit => break,
                        Event::Menu(_) | Event::Look(_) => {}
                    }
                }
                app.exit(i32::from(CONFIGURATION));
            });
        }
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        _ => {}
    });
    if code == AGAIN {
        return again(args);
    }
    Ok(ExitCode::from(CONFIGURATION))
}

/// This process becomes the new one, where the system can do that: never two at once.
#[cfg(unix)]
fn again(args: Args) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(command(args)?.exec().into())
}

#[cfg(not(unix))]
fn again(args: Args) -> anyhow::Result<ExitCode> {
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
