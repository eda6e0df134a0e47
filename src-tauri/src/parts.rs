//! The app before it runs: its plugins, and the commands its window may call.

use crate::args::of_second_start;
use crate::desktop::{KEPT, send};
use crate::shell::Event;
use crate::{browsers, commands, logging, own};
use anyhow::Context;
use heyho_local::config::LogLevel;
use heyho_local::paths::Paths;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use tauri::App;
use tokio::sync::mpsc;

const ID: &str = "app.heyho.companion";

/// A second start ends here: it leaves its order to the first, and its process is over.
pub fn build(paths: &Paths, level: LogLevel, orders: &mpsc::Sender<Event>) -> anyhow::Result<App> {
    let from_second_start = orders.clone();
    tauri::Builder::default()
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
        .plugin(logging::plugin(paths, level))
        .plugin(
            tauri_plugin_window_state::Builder::new()
                .with_state_flags(KEPT)
                .with_filename(paths.state.join("place.json").to_string_lossy())
                .build(),
        )
        .plugin(tauri_plugin_autostart::Builder::new().arg("--hidden").app_name(ID).build())
        .plugin(tauri_plugin_notification::init())
        .invoke_handler(tauri::generate_handler![
            own::about,
            own::welcome,
            own::start_at_login,
            own::open_folder,
            own::export_records,
            own::show_export,
            own::restart,
            own::quit,
            browsers::browsers,
            browsers::register_browser,
            commands::status,
            commands::sync,
            commands::stop,
            commands::pause,
            commands::resume,
            commands::login,
            commands::logout,
            commands::claim,
            commands::verify,
            commands::resend_code,
            commands::forgot_password,
            commands::set_password,
            commands::waiting_list,
            commands::waiting_discard,
            commands::delivered,
            commands::failed_list,
            commands::failed_show,
            commands::failed_retry,
            commands::failed_discard,
            commands::failed_keep,
            commands::history,
            commands::timeline,
            commands::settings,
            commands::set_setting,
            commands::add_rule,
            commands::remove_rule,
            commands::test_backend,
            commands::forget,
            commands::erase,
            commands::discard_account,
            commands::diagnostics,
            commands::recovery_seen,
        ])
        .build(tauri::generate_context!())
        .context("the desktop could not be reached")
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
}
