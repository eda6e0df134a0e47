//! HeyHo Companion's desktop shell: the tray, the window, and the agent running behind them.
//!
//! - [`args`]: the command line; [`app`]: putting it together; [`parts`]: plugins and commands; [`logging`]: where the
//!   log goes; [`no_start`]: what is left when the settings do not let it start; [`again`]: beginning anew;
//! - [`controller`]: what happens when, against the trait [`shell::Shell`], so that it is tested without a desktop;
//! - [`tray`]: the tray as a value computed from the status; [`words`]: its wording;
//! - [`desktop`]: that trait on Tauri: the only part that touches windows, menus and icons; [`panel`]: light or dark;
//! - [`commands`]: what the window may ask of the agent, each only forwards; [`own`]: and of the shell itself;
//!   [`browsers`]: which browsers there are;
//! - [`look`]: language, light or dark; [`memory`]: what was answered or said before.
//!
//! The shell decides nothing about records or syncing and holds no token. The window exists while it is open:
//! closing it destroys the web view, and the app stays in the tray.
//!
//! **Under WebDriver.** Build with `--features automation` and let WebKitWebDriver start the binary with the
//! window shown (no `--hidden`): the driver sets `TAURI_WEBVIEW_AUTOMATION` itself when it is given
//! `{"webkitgtk:browserOptions":{"binary":"…/heyho-companion"}}` and no `browserName`. It attaches to the first web
//! view only, so a test that closes the window starts the app again. Scratch `HEYHO_*_DIR`s keep it apart from the
//! user's own companion, also on a shared session bus. A build without the feature refuses the variable: with it
//! any process of the user could read and press what is in the window.

#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod again;
mod app;
mod args;
mod browsers;
mod commands;
mod controller;
mod desktop;
mod logging;
mod look;
mod memory;
mod no_start;
mod own;
mod panel;
mod parts;
mod shell;
mod tray;
mod words;

use std::process::ExitCode;

/// The statuses of the contract, section 4.
const USAGE: u8 = 64;
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let args = match args::read() {
        Ok(args) => args,
        Err(ended) => return ended,
    };
    if let Err(refusal) = args::automation(std::env::var_os(args::AUTOMATION).as_deref()) {
        eprintln!("heyho-companion: {refusal}");
        return ExitCode::from(CONFIGURATION);
    }
    match app::run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("heyho-companion: {error:#}");
            ExitCode::from(app::exit_status(&error))
        }
    }
}
