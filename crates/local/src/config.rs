//! `config.toml` (contract, section 5): what is in it, and what holds where it says nothing.
//!
//! A bad value names its key, itself and what is accepted; programs then end with status 78. Unknown keys
//! are kept and reported. Writing keeps comments and order, and is whole or not at all.
//!
//! - [`keys`]: every key, what it accepts and where it goes;
//! - [`file`]: the file, read as far as it can be;
//! - [`rules`](mod@rules): the privacy rules in it;
//! - [`change`]: the file, changed in place.

mod change;
mod file;
mod keys;
mod rules;

pub use change::set;
pub use file::{ConfigError, Reading, read, settings, told};
pub use keys::{duration, typed};
pub use rules::{add_rule, remove_rule, rules};

use crate::browsers::OptOut;
use heyho_records::base_url::BaseUrl;
use heyho_records::rules::Rule;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Below this one record of the largest accepted size could not be sent with its envelope.
pub const MIN_BATCH_BYTES: u64 = 307_200;

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub backend: Backend,
    pub sync: Sync,
    pub tokens: TokenStore,
    pub extensions: Extensions,
    pub window: Window,
    /// Make the host known to installed browsers without being asked each time; false: leave them alone.
    pub register_browsers: bool,
    /// Browsers to leave alone all the same, by their names.
    pub skipped_browsers: Vec<String>,
    pub rules: Vec<Rule>,
    pub buffer_max_bytes: Option<u64>,
    pub log_level: LogLevel,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    pub url: BaseUrl,
    pub allow_http: bool,
    pub ca_file: Option<PathBuf>,
    /// None: the system's.
    pub proxy: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sync {
    pub interval: Duration,
    pub batch_page_visits: u32,
    pub batch_tab_aggregates: u32,
    pub batch_bytes: u64,
    pub hold: Duration,
    /// Wait while the network is metered, or the machine runs on its battery.
    pub pause_on_metered: bool,
    pub pause_on_battery: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStore {
    Keyring,
    File,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    pub chromium: Vec<String>,
    pub firefox: Vec<String>,
}

/// How the app looks and speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub appearance: Appearance,
    pub language: Language,
    pub notifications: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appearance {
    System,
    Light,
    Dark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    System,
    En,
    De,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            backend: Backend { url: BaseUrl::default(), allow_http: false, ca_file: None, proxy: None },
            sync: Sync {
                interval: Duration::from_secs(300),
                batch_page_visits: 100,
                batch_tab_aggregates: 100,
                batch_bytes: 524_288,
                hold: Duration::ZERO,
                pause_on_metered: false,
                pause_on_battery: false,
            },
            tokens: TokenStore::Keyring,
            extensions: Extensions::default(),
            window: Window {
                appearance: Appearance::System,
                language: Language::System,
                notifications: true,
            },
            register_browsers: true,
            skipped_browsers: Vec::new(),
            rules: Vec::new(),
            buffer_max_bytes: None,
            log_level: LogLevel::Info,
        }
    }
}

impl Config {
    /// Which browsers the user wants left alone.
    pub fn opt_out(&self) -> OptOut {
        OptOut { all: !self.register_browsers, some: self.skipped_browsers.clone() }
    }

    /// A file that is not there means the defaults.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        read(path).whole()
    }

    pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
        Reading::of(text, file).whole()
    }
}
