//! The settings the host needs, read again whenever the file has changed: a privacy rule that was just added
//! must hold for the next record.
//!
//! A mistake in other settings costs no records: the defaults hold for them. A mistake in the rules
//! themselves, or a file that cannot be read, stores nothing until it is mended: the extension keeps what
//! it has, and what a user wanted kept private is not written down by accident.

use heyho_local::config::{self, Config};
use heyho_records::rules::Rule;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

#[derive(Debug)]
pub struct Settings {
    file: PathBuf,
    seen: Option<(SystemTime, u64)>,
    config: Result<Config, String>,
}

impl Settings {
    pub fn new(file: PathBuf) -> Settings {
        let (seen, config) = (stamp(&file), load(&file));
        Settings { file, seen, config }
    }

    /// As they are now, or why nothing may be stored.
    pub fn current(&mut self) -> Result<&Config, &str> {
        let stamp = stamp(&self.file);
        if stamp != self.seen {
            self.seen = stamp;
            self.config = load(&self.file);
        }
        self.config.as_ref().map_err(String::as_str)
    }

    /// The privacy rules, for the extension to know what it need not even send. None while they cannot be read: that
    /// is not "no rules", and an extension keeps those it knows.
    pub fn rules(&mut self) -> Option<Vec<Rule>> {
        self.current().ok().map(|config| config.rules.clone())
    }

    /// What the status is judged by, also while the settings cannot be read.
    pub fn interval(&mut self) -> Duration {
        self.current().map_or_else(|_| Config::default().sync.interval, |config| config.sync.interval)
    }
}

fn stamp(file: &std::path::Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn load(file: &std::path::Path) -> Result<Config, String> {
    Config::load(file).or_else(|error| {
        let rules =
            config::rules(file).map_err(|e| format!("{e}; nothing is stored until this is mended"))?;
        tracing::warn!("{error}; records are stored all the same");
        Ok(Config { rules, ..Config::default() })
    })
}
