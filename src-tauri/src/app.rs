//! Putting it together: settings, log, one instance, agent, tray, window; and the way out.
//!
//! The order matters: a second start is recognised before anything is opened; the agent runs before the tray
//! shows; at the end the agent finishes the batch in flight before the process goes.

use crate::args::{Args, of_second_start};
use crate::controller::{Agent, Controller};
use crate::desktop::{Desktop, send};
use crate::shell::{Event, Shell};
use crate::words::Lang;
use crate::{commands, logging, panel};
use anyhow::Context;
use heyho_agent::{StartOptions, start_and_stay};
use heyho_local::clock;
use heyho_local::config::{Config, ConfigError};
use heyho_local::paths::{NoHome, Paths};
use heyho_local::vocabulary::Fault;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::ExitCode;
use tauri::{Manager, RunEvent};
use tokio::sync::mpsc;

const ID: &str = "app.heyho.companion";
/// More orders than this at once are nobody's.
const QUEUE: usize = 32;

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let paths = Paths::of_user()?;
    let config = Config::load(&paths.config_file())?;
    platform::display()?;
    let (orders, events) = mpsc::channel(QUEUE);

    let from_second_start = orders.clone();
    let app = tauri::Builder::default()
        .plugin(
            tauri_plugin_single_instance::Builder::new()
                .dbus_id(instance(&paths.data, std::env::var_os("HEYHO_DATA_DIR").is_some()))
                .callback(move |_, argv, _| {
                    let args = of_second_start(&argv);
                    if args.quit {
                        send(&from_second_start, Event::Quit);
                    } else if !args.hidden {
                        send(&from_second_start, Event::Open);
                    }
                })
                .build(),
        )
        .plugin(logging::plugin(&paths, config.log_level))
        .invoke_handler(tauri::generate_handler![
            commands::about,
            commands::status,
            commands::sync,
            commands::stop,
            commands::pause,
            commands::resume,
            commands::login,
            commands::logout,
            commands::failed_list,
            commands::failed_show,
            commands::failed_retry,
            commands::failed_discard,
            commands::failed_keep,
            commands::history,
            commands::quit,
        ])
        .build(tauri::generate_context!())
        .context("the desktop could not be reached")?;
    // Only the first instance comes this far: another one took the order and ended this process.
    if args.quit {
        eprintln!("heyho-companion: it is not running");
        return Ok(ExitCode::SUCCESS);
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }

    let (open, opens) = mpsc::channel(QUEUE);
    let options = StartOptions {
        paths: paths.clone(),
        config,
        clock: clock::system(),
        open: Some(open),
        first_run: true,
    };
    let started = tauri::async_runtime::block_on(start_and_stay(options))?;
    app.manage(paths);
    app.manage(Agent(started.companion.clone()));
    app.manage(orders.clone());

    let mut parts = Some((events, opens, started));
    let code = app.run_return(move |app, event| match event {
        RunEvent::Ready => {
            let Some((events, opens, started)) = parts.take() else { return };
            let desktop = Desktop::new(app.clone(), orders.clone());
            if !args.hidden {
                desktop.open_window();
            }
            let app = app.clone();
            let orders = orders.clone();
            tauri::async_runtime::spawn(async move {
                let outside = tokio::spawn(listen(opens, orders));
                let panel = desktop.clone();
                let theme = tokio::spawn(panel::follow(move |strokes| panel.draw_with(strokes)));
                let controller = Controller {
                    shell: desktop,
                    companion: Agent(started.companion.clone()),
                    clock: clock::system(),
                    lang: Lang::of_user(),
                    zone: jiff::tz::TimeZone::system(),
                };
                controller.run(events).await;
                outside.abort();
                theme.abort();
                started.shutdown().await;
                app.exit(0);
            });
        }
        // The last window was closed: the app stays in the tray.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => send(&orders, Event::Open),
        _ => {}
    });
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

/// The name under which the one instance is known on the session bus: one a data directory, so that a companion
/// with a data directory of its own (a test's, a portable one's) is not taken for the user's.
fn instance(data: &Path, own: bool) -> String {
    if !own {
        return ID.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    format!("{ID}.d{:016x}", hasher.finish())
}

/// The statuses of the contract, section 4.
pub fn exit_status(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() || error.is::<NoHome>() {
        crate::CONFIGURATION
    } else if let Some(fault) = error.downcast_ref::<Fault>() {
        fault.code.exit_status()
    } else {
        1
    }
}

#[cfg(target_os = "linux")]
mod platform {
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
mod platform {
    pub fn display() -> anyhow::Result<()> {
        Ok(())
    }

    pub use super::unix::asked_to_end;
}

#[cfg(windows)]
mod platform {
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
    fn the_user_s_companion_has_the_plain_name_and_each_other_its_own() {
        let name = |data: &str, own| instance(Path::new(data), own);
        assert_eq!(name("/home/a/.local/share/heyho-companion", false), ID);
        assert_ne!(name("/x", true), name("/y", true));
        assert_eq!(name("/x", true), name("/x", true));
    }

    #[test]
    fn a_setting_that_is_not_accepted_ends_it_with_78() {
        let error = Config::parse("[log]\nlevel = 1", "config.toml").unwrap_err();
        assert_eq!(exit_status(&error.into()), 78);
        assert_eq!(exit_status(&anyhow::anyhow!("anything")), 1);
    }
}
