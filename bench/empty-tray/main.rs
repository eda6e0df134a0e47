//! The least a Tauri app with a tray icon and a window can be: what the companion's app is set beside.
//! `--window` opens the window at once; closing it leaves the app in the tray.

use tauri::RunEvent;
use tauri::menu::{Menu, MenuItem};
use tauri::tray::TrayIconBuilder;

fn main() -> tauri::Result<()> {
    let window = std::env::args().any(|argument| argument == "--window");
    let app =
        tauri::Builder::default().build(tauri::generate_context!("bench/empty-tray/tauri.conf.json"))?;
    let line = MenuItem::with_id(&app, "line", "Nothing", true, None::<&str>)?;
    let mut tray = TrayIconBuilder::with_id("empty").menu(&Menu::with_items(&app, &[&line])?);
    if let Some(icon) = app.default_window_icon() {
        tray = tray.icon(icon.clone());
    }
    let _tray = tray.build(&app)?;
    if window {
        tauri::WebviewWindowBuilder::new(&app, "main", tauri::WebviewUrl::App("index.html".into()))
            .title("Nothing")
            .inner_size(440.0, 640.0)
            .build()?;
    }
    app.run(|_, event| {
        if let RunEvent::ExitRequested { code: None, api, .. } = event {
            api.prevent_exit();
        }
    });
    Ok(())
}
