//! What the controller needs of a desktop. The real one is `desktop`; tests record.

use crate::look::Look;
use crate::tray::{Action, Tray};
use heyho_records::status::Status;
use serde::Serialize;

/// What happens outside and is told to the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A second start, the agent on behalf of a browser or the command line, a notification, or the dock icon.
    Open,
    /// The window was closed.
    Closed,
    /// An entry of the tray's menu.
    Menu(Action),
    /// From the menu, the window, `--quit` or a signal.
    Quit,
}

/// What comes after the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "lowercase")]
pub enum After {
    Nothing,
    /// The app was asked for while it was ending.
    Again,
}

/// Something said outside the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    pub title: String,
    pub text: String,
}

/// None of these may block: they only hand over to the desktop's own thread.
pub trait Shell: Send + 'static {
    /// Brings the window up, making it when there is none.
    fn open_window(&self);
    /// Shows the tray as described, changing only what differs.
    fn show_tray(&self, tray: &Tray);
    /// Tells the window, when there is one. None: there is no agent now, and one takes its place.
    fn tell_window(&self, status: Option<&Status>);
    /// Tells the window, when there is one, that no status will come any more.
    fn tell_gone(&self);
    /// Tells the window, when there is one, that a setting was changed.
    fn tell_settings(&self);
    /// Tells the window, when there is one, that the app is ending, and what comes then.
    fn tell_ending(&self, after: After);
    /// Light, dark or as the system, for windows that are open and those to come.
    fn dress(&self, look: &Look);
    fn notify(&self, notice: Notification);
}
