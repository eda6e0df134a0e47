//! The world the end-to-end tests live in: real programs in a scratch home, and nothing of the real one.
//!
//! - [`world`]: a scratch home with every directory variable; all that ran in it ends with it;
//! - [`process`]: one program of that world, its log, its end;
//! - [`mod@eventually`]: the one place that waits: for an event, with a bound;
//! - [`backend`], [`companion`], [`host`]: our own programs;
//! - [`faulty`]: a backend that is wrong on purpose, down to the bytes on the wire; [`wire`]: what is sent to a real one;
//! - [`pages`]: the site that is browsed, with its access log;
//! - [`desk`]: what most tests of the window begin with;
//! - [`desktop`]: a private display, D-Bus session and Secret Service;
//! - [`browser`] ([`chromium`], [`firefox`]), [`window`], [`tray`], [`notices`], [`portal`]: what a person sees and clicks;
//! - [`stays`]: what a person did in a browser, written down beside it; [`mod@compare`]: the records held against it;
//! - [`tour`]: the window in every state, for tests and screenshots; [`popup`]: the same for the extension's popup;
//! - [`troubles`]: what goes wrong on the computer itself; [`judge`]: what is wrong with what is seen;
//! - [`x11`]: the close button of a window;
//! - [`rows`]: what the backend really stored, by plain SQL;
//! - [`secrets`]: is a token anywhere it must not be;
//! - [`session`]: the whole job once, as `cargo xtask run` shows it.

pub mod backend;
pub mod browser;
pub mod chromium;
pub mod companion;
pub mod compare;
pub mod desk;
pub mod desktop;
pub mod eventually;
pub mod faulty;
pub mod firefox;
pub mod host;
pub mod judge;
pub mod notices;
pub mod pages;
pub mod popup;
pub mod portal;
pub mod process;
pub mod rows;
pub mod secrets;
pub mod session;
pub mod stays;
pub mod tour;
pub mod tray;
pub mod troubles;
pub mod webdriver;
pub mod window;
pub mod wire;
pub mod world;
pub mod x11;
pub mod zip;

pub use eventually::{BOOT, SOON, eventually};
pub use world::World;
