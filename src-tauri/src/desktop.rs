//! The desktop, by Tauri: one window on demand, one tray icon. Whatever touches either runs on the main thread.
//!
//! - The window is shown once its page is there, so that it never flashes in the wrong colour; closing destroys it.
//! - The tray changes by what differs: a new first line is set in place, so that an open menu stays open.
//! - Where there is no tray (no library, no session bus), that is logged once and everything else goes on.

use crate::look::Look;
use crate::own::Ending;
use crate::panel::Strokes;
use crate::shell::{After, Event, Notification, Shell};
use crate::tray::{Action, Icon, Item, Tray};
use crate::words::tag_of_user;
use heyho_local::config::Appearance;
use heyho_local::paths::{Paths, private_dir};
use heyho_records::status::Status;
use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tauri::image::Image;
use tauri::menu::{IsMenuItem, Menu, MenuItem, PredefinedMenuItem};
use tauri::tray::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent};
use tauri::webview::PageLoadEvent;
use tauri::{
    AppHandle, Emitter, EventTarget, Manager, Theme, WebviewUrl, WebviewWindowBuilder, WindowEvent, Wry,
};
use tauri_plugin_notification::NotificationExt;
use tauri_plugin_window_state::{AppHandleExt, StateFlags};
use tokio::sync::mpsc;

const WINDOW: &str = "main";
const STATUS: &str = "status";
const GONE: &str = "gone";
const SETTINGS: &str = "settings";
const ENDING: &str = "ending";
const TRAY: &str = "heyho";
const LINE: &str = "line";
/// Of the window's state: whether it is shown, and its frame, are ours to say.
pub const KEPT: StateFlags = StateFlags::SIZE.union(StateFlags::POSITION).union(StateFlags::MAXIMIZED);

#[derive(Clone)]
pub struct Desktop {
    app: AppHandle,
    events: mpsc::Sender<Event>,
    shown: Arc<Mutex<Shown>>,
    strokes: Arc<Mutex<Strokes>>,
    look: Arc<Mutex<Look>>,
}

/// What the tray shows now.
#[derive(Default)]
enum Shown {
    #[default]
    Nothing,
    /// It could not be made, which is not tried again.
    Impossible,
    Tray(Box<Made>),
}

struct Made {
    icon: TrayIcon,
    line: MenuItem<Wry>,
    tray: Tray,
}

impl Desktop {
    pub fn new(app: AppHandle, events: mpsc::Sender<Event>, look: Look) -> Desktop {
        let desktop = Desktop {
            app,
            events,
            shown: Arc::default(),
            strokes: Arc::new(Mutex::new(Strokes::Light)),
            look: Arc::new(Mutex::new(look)),
        };
        if let Some(theme) = theme(look.appearance) {
            desktop.app.set_theme(Some(theme));
        }
        desktop
    }

    /// The panel is dark or light, from now on.
    pub fn draw_with(&self, strokes: Strokes) {
        self.on_main("the tray's icon could not be changed", move |desktop| {
            *lock(&desktop.strokes) = strokes;
            match &*lock(&desktop.shown) {
                Shown::Tray(made) => made.icon.set_icon(Some(image(made.tray.icon, strokes))),
                Shown::Nothing | Shown::Impossible => Ok(()),
            }
        });
    }

    fn picture(&self, icon: Icon) -> Image<'static> {
        image(icon, *lock(&self.strokes))
    }

    /// Runs on the main thread, soon.
    fn on_main(&self, what: &'static str, act: impl FnOnce(&Desktop) -> tauri::Result<()> + Send + 'static) {
        let desktop = self.clone();
        let handed_over = self.app.run_on_main_thread(move || {
            if let Err(error) = act(&desktop) {
                tracing::error!("{what}: {error}");
            }
        });
        if let Err(error) = handed_over {
            tracing::error!("{what}: {error}");
        }
    }

    fn tell(&self, what: &str, of: impl Serialize + Clone) {
        if let Err(error) = self.app.emit_to(EventTarget::webview_window(WINDOW), what, of) {
            tracing::error!("the window could not be told: {error}");
        }
    }

    fn open(&self) -> tauri::Result<()> {
        if let Some(window) = self.app.get_webview_window(WINDOW) {
            window.show()?;
            window.unminimize()?;
            return window.set_focus();
        }
        // The page reads its first language from here: the chosen one, then the system's.
        let chosen = lock(&self.look).lang.map_or("", |lang| lang.tag());
        let page = format!("index.html#{chosen};{}", tag_of_user().unwrap_or_default());
        let mut builder = WebviewWindowBuilder::new(&self.app, WINDOW, WebviewUrl::App(page.into()))
            .title("HeyHo Companion")
            .inner_size(440.0, 640.0)
            .min_inner_size(360.0, 480.0)
            .visible(false)
            .zoom_hotkeys_enabled(true)
            .disable_drag_drop_handler()
            .on_navigation(|to| to.scheme() == "tauri" || to.host_str() == Some("tauri.localhost"))
            .on_page_load(|window, page| {
                if page.event() == PageLoadEvent::Finished {
                    let _ = window.show();
                    let _ = window.set_focus();
                }
            });
        // The web view keeps its own files with the state, not in a place of its own.
        if let Some(paths) = self.app.try_state::<Paths>() {
            let folder = paths.state.join("webview");
            match private_dir(&folder) {
                Ok(()) => builder = builder.data_directory(folder),
                Err(error) => tracing::warn!("{} cannot be made: {error}", folder.display()),
            }
        }
        let window = builder.build()?;
        let (app, events) = (self.app.clone(), self.events.clone());
        window.on_window_event(move |event| {
            if matches!(event, WindowEvent::Destroyed) {
                if let Err(error) = app.save_window_state(KEPT) {
                    tracing::warn!("where the window was cannot be remembered: {error}");
                }
                send(&events, Event::Closed);
            }
        });
        Ok(())
    }

    fn show(&self, tray: &Tray) -> tauri::Result<()> {
        let mut shown = lock(&self.shown);
        match &mut *shown {
            Shown::Impossible => Ok(()),
            Shown::Nothing => {
                // Without the indicator library its loader panics.
                *shown = match catch_unwind(AssertUnwindSafe(|| self.make(tray))) {
                    Ok(Ok((icon, line))) => Shown::Tray(Box::new(Made { icon, line, tray: tray.clone() })),
                    Ok(Err(error)) => {
                        tracing::warn!("there is no tray icon: {error}");
                        Shown::Impossible
                    }
                    Err(_) => {
                        tracing::warn!("there is no tray icon: the indicator library is missing");
                        Shown::Impossible
                    }
                };
                Ok(())
            }
            Shown::Tray(made) => {
                let Made { icon, line, tray: before } = &mut **made;
                if before.icon != tray.icon {
                    icon.set_icon(Some(self.picture(tray.icon)))?;
                }
                if before.line != tray.line {
                    icon.set_tooltip(Some(&tray.line))?;
                }
                if same_entries(&before.menu, &tray.menu) {
                    line.set_text(&tray.line)?;
                } else {
                    let (menu, new_line) = self.menu(tray)?;
                    icon.set_menu(Some(menu))?;
                    *line = new_line;
                }
                *before = tray.clone();
                Ok(())
            }
        }
    }

    fn make(&self, tray: &Tray) -> tauri::Result<(TrayIcon, MenuItem<Wry>)> {
        let (menu, line) = self.menu(tray)?;
        let (chosen, clicked) = (self.events.clone(), self.events.clone());
        let icon = TrayIconBuilder::with_id(TRAY)
            .icon(self.picture(tray.icon))
            .icon_as_template(true)
            .tooltip(&tray.line)
            .menu(&menu)
            .show_menu_on_left_click(cfg!(target_os = "macos"))
            .on_menu_event(move |_, event| {
                if let Some(action) = Action::of(event.id().as_ref()) {
                    send(&chosen, Event::Menu(action));
                }
            })
            .on_tray_icon_event(move |_, event| {
                // Linux reports no clicks: there "Open" is in the menu.
                if let TrayIconEvent::Click {
                    button: MouseButton::Left,
                    button_state: MouseButtonState::Up,
                    ..
                } = event
                {
                    send(&clicked, Event::Open);
                }
            })
            .build(&self.app)?;
        Ok((icon, line))
    }

    fn menu(&self, tray: &Tray) -> tauri::Result<(Menu<Wry>, MenuItem<Wry>)> {
        let line = MenuItem::with_id(&self.app, LINE, &tray.line, false, None::<&str>)?;
        let menu = Menu::new(&self.app)?;
        for item in &tray.menu {
            let item: Box<dyn IsMenuItem<Wry>> = match item {
                Item::Line(_) => Box::new(line.clone()),
                Item::Separator => Box::new(PredefinedMenuItem::separator(&self.app)?),
                Item::Entry { action, label, enabled } => {
                    Box::new(MenuItem::with_id(&self.app, action.id(), label, *enabled, None::<&str>)?)
                }
            };
            menu.append(&*item)?;
        }
        Ok((menu, line))
    }
}

impl Shell for Desktop {
    fn open_window(&self) {
        self.on_main("the window could not be opened", Desktop::open);
    }

    fn show_tray(&self, tray: &Tray) {
        let tray = tray.clone();
        self.on_main("the tray could not be changed", move |desktop| desktop.show(&tray));
    }

    fn tell_window(&self, status: Option<&Status>) {
        self.tell(STATUS, status);
    }

    fn tell_gone(&self) {
        self.tell(GONE, ());
    }

    fn tell_settings(&self) {
        self.tell(SETTINGS, ());
    }

    fn tell_ending(&self, after: After) {
        // First: a page that comes just now asks for it.
        if let Some(ending) = self.app.try_state::<Ending>() {
            ending.note(after);
        }
        self.tell(ENDING, after);
    }

    fn dress(&self, look: &Look) {
        let before = std::mem::replace(&mut *lock(&self.look), *look);
        if before.appearance != look.appearance {
            self.app.set_theme(theme(look.appearance));
        }
    }

    fn notify(&self, notice: Notification) {
        let shown = self
            .app
            .notification()
            .builder()
            .title(notice.title)
            .body(notice.text)
            .icon("heyho-companion")
            .show();
        if let Err(error) = shown {
            tracing::warn!("a notification could not be shown: {error}");
        }
    }
}

/// None: as the system has it.
fn theme(appearance: Appearance) -> Option<Theme> {
    match appearance {
        Appearance::System => None,
        Appearance::Light => Some(Theme::Light),
        Appearance::Dark => Some(Theme::Dark),
    }
}

/// A full queue means that the controller is ending: there is nothing left to order.
pub fn send(events: &mpsc::Sender<Event>, event: Event) {
    if let Err(error) = events.try_send(event) {
        tracing::debug!("{event:?} came too late: {error}");
    }
}

fn same_entries(a: &[Item], b: &[Item]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|pair| matches!(pair, (Item::Line(_), Item::Line(_))) || pair.0 == pair.1)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both variants have the same shapes. macOS takes the shape alone.
fn image(icon: Icon, strokes: Strokes) -> Image<'static> {
    use tauri::include_image;
    match (icon, strokes) {
        (Icon::Calm, Strokes::Light) => include_image!("src-tauri/icons/tray/calm-light.png"),
        (Icon::Calm, Strokes::Dark) => include_image!("src-tauri/icons/tray/calm-dark.png"),
        (Icon::Syncing, Strokes::Light) => include_image!("src-tauri/icons/tray/syncing-light.png"),
        (Icon::Syncing, Strokes::Dark) => include_image!("src-tauri/icons/tray/syncing-dark.png"),
        (Icon::Retrying, Strokes::Light) => include_image!("src-tauri/icons/tray/retrying-light.png"),
        (Icon::Retrying, Strokes::Dark) => include_image!("src-tauri/icons/tray/retrying-dark.png"),
        (Icon::Paused, Strokes::Light) => include_image!("src-tauri/icons/tray/paused-light.png"),
        (Icon::Paused, Strokes::Dark) => include_image!("src-tauri/icons/tray/paused-dark.png"),
        (Icon::Attention, Strokes::Light) => include_image!("src-tauri/icons/tray/attention-light.png"),
        (Icon::Attention, Strokes::Dark) => include_image!("src-tauri/icons/tray/attention-dark.png"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_icon_is_the_picture_of_its_name() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src-tauri/icons/tray");
        let icons = [Icon::Calm, Icon::Syncing, Icon::Retrying, Icon::Paused, Icon::Attention];
        for icon in icons {
            for strokes in [Strokes::Light, Strokes::Dark] {
                let name = format!("{icon:?}-{strokes:?}.png").to_lowercase();
                let file = Image::from_path(folder.join(&name)).unwrap();
                assert_eq!(image(icon, strokes).rgba(), file.rgba(), "{name}");
            }
        }
    }
}
