//! The program that started this host: the browser, unless a sandbox stands between.

use std::path::PathBuf;

/// Nothing where the system does not say.
pub fn program() -> Option<PathBuf> {
    platform::program()
}

#[cfg(target_os = "linux")]
mod platform {
    use std::path::PathBuf;

    pub fn program() -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/exe", std::os::unix::process::parent_id())).ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::path::PathBuf;

    pub fn program() -> Option<PathBuf> {
        None
    }
}
