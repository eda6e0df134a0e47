//! The log: `companion.log` in the state directory, and standard error. Everything our crates say through
//! `tracing` arrives as `log` records. It holds no record of the user, no address and no token.
//!
//! A file of 1 MB is set aside, five of those are kept. The directory is the user's alone, and so is the file.

use heyho_local::config::LogLevel;
use heyho_local::paths::{Paths, private_dir};
use std::io;
use std::path::Path;
use tauri::plugin::TauriPlugin;
use tauri_plugin_log::{Builder, RotationStrategy, Target, TargetKind, TimezoneStrategy};

const NAME: &str = "companion";
const FILE_BYTES: u128 = 1_000_000;
const FILES_KEPT: usize = 5;
/// Libraries that say much, or say things that are nobody's business, at their lower levels.
const QUIET: [&str; 10] =
    ["hyper", "hyper_util", "reqwest", "rustls", "h2", "sqlx", "zbus", "tao", "wry", "tracing::span"];

pub fn plugin<R: tauri::Runtime>(paths: &Paths, level: LogLevel) -> TauriPlugin<R> {
    let mut targets = vec![Target::new(TargetKind::Stderr)];
    match prepare(&paths.logs()) {
        Ok(()) => targets
            .push(Target::new(TargetKind::Folder { path: paths.logs(), file_name: Some(NAME.to_owned()) })),
        Err(error) => eprintln!(
            "heyho-companion: no log is kept, {} cannot be written: {error}",
            paths.logs().display()
        ),
    }
    let builder = Builder::new()
        .targets(targets)
        .timezone_strategy(TimezoneStrategy::UseUtc)
        .max_file_size(FILE_BYTES)
        .rotation_strategy(RotationStrategy::KeepSome(FILES_KEPT))
        .level(filter(level));
    QUIET
        .into_iter()
        .fold(builder, |builder, target| builder.level_for(target, log::LevelFilter::Warn))
        .build()
}

fn filter(level: LogLevel) -> log::LevelFilter {
    match level {
        LogLevel::Error => log::LevelFilter::Error,
        LogLevel::Warn => log::LevelFilter::Warn,
        LogLevel::Info => log::LevelFilter::Info,
        LogLevel::Debug => log::LevelFilter::Debug,
        LogLevel::Trace => log::LevelFilter::Trace,
    }
}

/// Makes the folder and the file before the plugin does, for the user alone.
fn prepare(folder: &Path) -> io::Result<()> {
    private_dir(folder)?;
    platform::touch(&folder.join(format!("{NAME}.log")))
}

#[cfg(unix)]
mod platform {
    use std::fs::{OpenOptions, Permissions};
    use std::io;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    use std::path::Path;

    pub fn touch(file: &Path) -> io::Result<()> {
        let open = OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
        // One that a rotation made has the mode of the process.
        open.set_permissions(Permissions::from_mode(0o600))
    }
}

#[cfg(not(unix))]
mod platform {
    use std::fs::OpenOptions;
    use std::io;
    use std::path::Path;

    pub fn touch(file: &Path) -> io::Result<()> {
        OpenOptions::new().append(true).create(true).open(file).map(drop)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_log_is_for_the_user_alone_and_goes_on_where_it_was() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("state");
        let file = folder.join("companion.log");
        prepare(&folder).unwrap();
        std::fs::write(&file, "before").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        prepare(&folder).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "before");
    }
}
