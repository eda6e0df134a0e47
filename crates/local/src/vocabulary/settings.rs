//! The settings, as they are shown and changed. What is accepted is decided in `config` alone.

use heyho_records::rules::Rule;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Every key with its value. Where the file has a mistake, that key shows its default and `problem` says what is
/// wrong; the others show what is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct Settings {
    pub settings: Vec<Setting>,
    /// What is stored nowhere, or without its query.
    pub rules: Vec<Rule>,
    pub problem: Option<SettingProblem>,
    /// Keys in the file that mean nothing: probably misspelt.
    pub unknown: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct Setting {
    /// Such as `sync.interval`.
    pub key: String,
    #[cfg_attr(feature = "ts", ts(type = "string | number | boolean | string[] | null"))]
    pub value: Value,
    #[cfg_attr(feature = "ts", ts(type = "string | number | boolean | string[] | null"))]
    pub default: Value,
    /// Whether it stands in the file.
    pub set: bool,
    /// In words, as errors name it.
    pub accepted: String,
    /// It holds only after the next start of the companion; every other holds at once.
    pub restart: bool,
}

/// A value that is not accepted, or a file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct SettingProblem {
    /// Null: the file as a whole.
    pub key: Option<String>,
    pub value: Option<String>,
    pub accepted: Option<String>,
    /// All of it. The file is named, not where it lies.
    pub text: String,
}

/// What came of trying a backend's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct BackendTest {
    pub ok: bool,
    /// One plain sentence.
    pub text: String,
    /// What it says it can do; empty for a backend that names nothing.
    pub features: Vec<String>,
}
