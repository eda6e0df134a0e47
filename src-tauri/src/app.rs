//! Putting it together: settings, log, one instance, agent, tray, window; and the way out.
//!
//! The order matters: a second start is recognised before anything is opened; tray and window are there while the
//! agent starts, which may take minutes or not work at all (`heyho_agent::start_and_stay`); at the end the agent
//! finishes the batch in flight before the process goes.

use crate::args::Args;
use crate::controller::{Agent, Controller};
use crate::desktop::{Desktop, send};
use crate::look::Look;
use crate::memory::Memory;
use crate::own::{Ending, LastExport, Retry};
use crate::shell::{After, Event, Shell};
use crate::{again, no_start, panel, parts};
use heyho_agent::{StartOptions, start_and_stay};
use heyho_local::clock;
use heyho_local::config::{Config, ConfigError};
use heyho_local::paths::{NoHome, Paths};
use std::process::ExitCode;
use tauri::{Manager, RunEvent};
use tauri_plugin_notification::NotificationExt;
use tokio::sync::mpsc;

/// More orders than this at once are nobody's.
pub const QUEUE: usize = 32;

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let paths = Paths::of_user()?;
    let config = match Config::load(&paths.config_file()) {
        Ok(config) => config,
        Err(error) => return no_start::run(args, &paths, error),
    };
    platform::display()?;
    let look = Look::of(&config);
    let (orders, events) = mpsc::channel(QUEUE);

    let app = parts::build(&paths, config.log_level, &orders)?;
    // Only the first instance comes this far: another one took the order and ended this process.
    if args.quit {
        eprintln!("heyho-companion: it is not running");
        return Ok(ExitCode::SUCCESS);
    }
    let (open, opens) = mpsc::channel(QUEUE);
    let options = StartOptions {
        paths: paths.clone(),
        config,
        clock: clock::system(),
        open: Some(open),
        surroundings: None,
        first_run: true,
    };
    let started = tauri::async_runtime::block_on(async { start_and_stay(options) });
    let pushes = started.companion.events();
    let memory = Memory::read(&paths.state);
    app.manage(paths);
    app.manage(memory.clone());
    app.manage(LastExport::default());
    app.manage(Ending::default());
    app.manage(Agent(started.companion.clone()));
    app.manage(Retry(started.again.clone()));
    app.manage(orders.clone());

    let mut parts = Some((events, opens, pushes, started));
    let code = app.run_return(move |app, event| match event {
        RunEvent::Ready => {
            let Some((events, opens, pushes, started)) = parts.take() else { return };
            let desktop = Desktop::new(app.clone(), orders.clone(), look);
            let clicked = orders.clone();
            // A click on a notification leads to what it is about.
            let _ = app.notification().on_action(move |_| send(&clicked, Event::Open));
            if !args.hidden {
                desktop.open_window();
            }
            let app = app.clone();
            let orders = orders.clone();
            let memory = memory.clone();
            tauri::async_runtime::spawn(async move {
                let outside = tokio::spawn(listen(opens, orders));
                let panel = desktop.clone();
                let theme = tokio::spawn(panel::follow(move |strokes| panel.draw_with(strokes)));
                let controller = Controller {
                    shell: desktop,
                    companion: Agent(started.companion.clone()),
                    pushes,
                    clock: clock::system(),
                    look,
                    memory,
                    zone: jiff::tz::TimeZone::system(),
                };
                let after = controller.run(events, || started.shutdown()).await;
                outside.abort();
                theme.abort();
                app.exit(if after == After::Again { again::AGAIN } else { 0 });
            });
        }
        // The last window was closed: the app stays in the tray.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => send(&orders, Event::Open),
        _ => {}
    });
    if code == again::AGAIN {
        return again::start(Args::default());
    }
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What comes from outside the desktop: the agent's wishes for a window, and the signals to end.
async fn listen(mut opens: mpsc::Receiver<()>, orders: mpsc::Sender<Event>) {
    let mut ended = std::pin::pin!(platform::asked_to_end());
    loop {
        tokio::select! {
            Some(()) = opens.recv() => send(&orders, Event::Open),
            () = &mut ended => {
                send(&orders, Event::Quit);
                return;
            }
        }
    }
}

/// The statuses of the contract, section 4.
pub fn exit_status(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() || error.is::<NoHome>() { crate::CONFIGURATION } else { 1 }
}

#[cfg(target_os = "linux")]
pub mod platform {
    /// GTK ends the process without a display; it is said here, with what to do.
    pub fn display() -> anyhow::Result<()> {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        anyhow::ensure!(
            set("DISPLAY") || set("WAYLAND_DISPLAY"),
            "there is no display (DISPLAY and WAYLAND_DISPLAY are not set); `heyho agent` runs without one"
        );
        Ok(())
    }

    pub use super::unix::asked_to_end;
}

#[cfg(target_os = "macos")]
pub mod platform {
    pub fn display() -> anyhow::Result<()> {
        Ok(())
    }

    pub use super::unix::asked_to_end;
}

#[cfg(windows)]
pub mod platform {
    pub fn display() -> anyhow::Result<()> {
        Ok(())
    }

    pub async fn asked_to_end() {
        let _ = tokio::signal::ctrl_c().await;
    }
}

#[cfg(unix)]
mod unix {
    use tokio::signal::unix::{SignalKind, signal};

    pub async fn asked_to_end() {
        let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_not_accepted_ends_it_with_78() {
        let error = Config::parse("[log]\nlevel = 1", "config.toml").unwrap_err();
        assert_eq!(exit_status(&error.into()), 78);
        assert_eq!(exit_status(&anyhow::anyhow!("anything")), 1);
    }
}
