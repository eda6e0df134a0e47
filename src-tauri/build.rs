//! Declares the window's commands, so that a web view may call those its capability lists and no others, and
//! builds again when what is embedded changes.

use tauri_build::{AppManifest, Attributes};

const COMMANDS: &[&str] = &[
    "about",
    "welcome",
    "start_at_login",
    "open_folder",
    "export_records",
    "show_export",
    "restart",
    "quit",
    "browsers",
    "register_browser",
    "status",
    "sync",
    "stop",
    "pause",
    "resume",
    "login",
    "logout",
    "claim",
    "verify",
    "resend_code",
    "forgot_password",
    "set_password",
    "waiting_list",
    "waiting_discard",
    "delivered",
    "failed_list",
    "failed_show",
    "failed_retry",
    "failed_discard",
    "failed_keep",
    "history",
    "timeline",
    "settings",
    "set_setting",
    "add_rule",
    "remove_rule",
    "test_backend",
    "forget",
    "erase",
    "discard_account",
    "diagnostics",
    "recovery_seen",
];

fn main() {
    for watched in ["ui/dist", "src-tauri/capabilities", "src-tauri/icons"] {
        println!("cargo:rerun-if-changed={watched}");
    }
    let attributes = Attributes::new()
        .capabilities_path_pattern("./src-tauri/capabilities/**/*")
        .app_manifest(AppManifest::new().commands(COMMANDS));
    if let Err(error) = tauri_build::try_build(attributes) {
        println!("cargo:error={error:#}");
        std::process::exit(1);
    }
}
