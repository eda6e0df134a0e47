//! What the controller needs of a desktop. The real one is `desktop`; tests record.

use crate::tray::{Action, Tray};
use heyho_records::status::Status;

/// What happens outside and is told to the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A second start, the agent on behalf of a browser or the command line, or the dock icon.
    Open,
    /// An entry of the tray's menu.
    Menu(Action),
    /// From the menu, the window, `--quit` or a signal.
    Quit,
}

/// None of these may block: they only hand over to the desktop's own thread.
pub trait Shell: Send + 'static {
    /// Brings the window up, making it when there is none.
    fn open_window(&self);
    /// Shows the tray as described, changing only what differs.
    fn show_tray(&self, tray: &Tray);
    /// Tells the window, when there is one. None: the connection to the agent has ended.
    fn tell_window(&self, status: Option<&Status>);
}
