//! A start that `config.toml` prevents (what the store prevents is said by the controller): the mistake is named in the terminal, and in the window where there is a
//! display, for whoever started the app with a click. Either way the program ends with 78, unless the file was
//! mended meanwhile and "Try again" begins anew.

use crate::app::platform;
use crate::args::Args;
use crate::desktop::Desktop;
use crate::look::Look;
use crate::memory::Memory;
use crate::own::{Ending, LastExport};
use crate::shell::{Event, Shell};
use crate::{CONFIGURATION, again, parts};
use heyho_local::config::{self, ConfigError, LogLevel};
use heyho_local::paths::Paths;
use std::process::ExitCode;
use tauri::{Manager, RunEvent};
use tokio::sync::mpsc;

pub fn run(args: Args, paths: &Paths, error: ConfigError) -> anyhow::Result<ExitCode> {
    if args.quit || platform::display().is_err() {
        return Err(error.into());
    }
    eprintln!("heyho-companion: {error}");
    // What else stands in the file holds: the language of these very words.
    let look = Look::of(&config::read(&paths.config_file()).config);
    let (orders, mut events) = mpsc::channel(crate::app::QUEUE);
    let app = parts::build(paths, LogLevel::Info, &orders)?;
    app.manage(paths.clone());
    app.manage(Memory::read(&paths.state));
    app.manage(LastExport::default());
    app.manage(Ending::default());
    app.manage(orders.clone());
    let code = app.run_return(move |app, event| match event {
        RunEvent::Ready => {
            let desktop = Desktop::new(app.clone(), orders.clone(), look);
            desktop.open_window();
            let app = app.clone();
            let mut events = std::mem::replace(&mut events, mpsc::channel(1).1);
            tauri::async_runtime::spawn(async move {
                while let Some(event) = events.recv().await {
                    match event {
                        Event::Open => desktop.open_window(),
                        Event::Closed | Event::Quit => break,
                        Event::Menu(_) => {}
                    }
                }
                app.exit(i32::from(CONFIGURATION));
            });
        }
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        _ => {}
    });
    if code == again::AGAIN {
        return again::start(args);
    }
    Ok(ExitCode::from(CONFIGURATION))
}
