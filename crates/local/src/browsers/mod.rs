//! The browsers of this user: making the host known to them, and saying how each stands.
//!
//! ```text
//! places (pure: system, roots → where) ─▶ manifest (pure: what it says) ─▶ register (writes) ─▶ survey (says)
//! ```
//!
//! Invariants:
//! 1. Nothing is written for a browser that is not there, and nothing over what somebody else has written or
//!    changed: a manifest of ours carries a digest of itself, and only while that is right is it ours.
//! 2. What [`repair`] does at each start it does in silence and again: it writes only what is missing or
//!    points to another place, and honours [`OptOut`].
//! 3. [`unregister`] takes away the files, and the folders that are empty then; what another browser that is wanted
//!    reads as well stays, and the row says so.
//! 4. What cannot be written for one browser is said, and costs the others nothing.

mod manifest;
mod places;
mod register;
#[cfg(any(windows, test))]
mod registry;
mod removal;
mod survey;
mod wish;

use crate::config::Config;
use std::path::{Path, PathBuf};

pub use places::{Form, Registration, Roots, System, by_program, for_all_users, registrations};
pub use register::{Held, Standing, held, register, repair, standing, unregister};
pub use survey::{BrowserProfile, BrowserRow, BrowserState, survey};
pub use wish::ask;

/// What the user does not want (`[browsers]` in config.toml).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OptOut {
    /// Nothing is registered by itself.
    pub all: bool,
    /// These are not, by the names of [`Registration::browser`].
    pub some: Vec<String>,
}

impl OptOut {
    pub fn holds_for(&self, browser: &str) -> bool {
        self.all || self.some.iter().any(|name| name.eq_ignore_ascii_case(browser))
    }
}

/// At the start of whatever stays: browsers that were installed since, a program that has moved. Not before the
/// user has registered the first one: until then nothing is written beside a browser. A failure is said.
pub fn keep_registered(config: &Config) {
    if in_a_mount() {
        return;
    }
    let (Some(roots), Ok(host)) = (Roots::of_user(), host()) else { return };
    match repair(&registrations(System::here(), &roots, &host, &config.extensions), &config.opt_out()) {
        Ok(written) if written.is_empty() => {}
        Ok(written) => tracing::info!("registered with {}", written.join(", ")),
        Err(error) => tracing::warn!("a browser could not be told where the host is: {error}"),
    }
}

/// Where an AppImage is mounted, its programs are gone with it: no path of it is ever written down.
fn in_a_mount() -> bool {
    let here = std::env::current_exe().and_then(|program| program.canonicalize());
    let mount = std::env::var_os("APPDIR").map(PathBuf::from);
    let mount = mount.map(|folder| folder.canonicalize().unwrap_or(folder));
    std::env::var_os("APPIMAGE").is_some() && here.is_ok_and(|here| is_mounted(&here, mount.as_deref()))
}

/// What is started from an AppImage's terminal inherits its variables and is not in it.
fn is_mounted(program: &Path, mount: Option<&Path>) -> bool {
    mount.is_none_or(|mount| program.starts_with(mount))
}

/// The host lies beside the program that runs, and its path is written down as an absolute one.
pub fn host() -> std::io::Result<PathBuf> {
    let here = std::env::current_exe()?.canonicalize()?;
    let host = here.with_file_name(format!("heyho-host{}", std::env::consts::EXE_SUFFIX));
    if !host.is_file() {
        let text = "heyho-host is not beside this program";
        return Err(std::io::Error::new(std::io::ErrorKind::NotFound, text));
    }
    Ok(host)
}

#[cfg(test)]
mod tests;
