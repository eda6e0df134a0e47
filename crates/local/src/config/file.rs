//! The file, read as far as it can be.

use super::Config;
use super::keys::{KEYS, Key};
use super::rules::read_rules;
use crate::paths::by_name;
use crate::vocabulary::{Fault, FaultCode, Setting, SettingProblem, Settings};
use serde_json::Value;
use std::path::Path;
use toml_edit::{DocumentMut, Item, Table, TableLike, TomlError};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{file}: {key} = {value} is not accepted: {accepted}")]
    BadValue { file: String, key: String, value: String, accepted: String },
    #[error("{key} is no setting; there are: {}", KEYS.iter().map(|k| k.name).collect::<Vec<_>>().join(", "))]
    UnknownKey { key: String },
    #[error("{file} is not valid TOML: {error}")]
    Syntax { file: String, error: String },
    #[error("{file} cannot be read: {error}")]
    Unreadable { file: String, error: std::io::Error },
    #[error("{file} cannot be written: {error}")]
    Unwritable { file: String, error: std::io::Error },
    #[error("{pattern:?} fits no page; what is accepted: {accepted}")]
    FitsNothing { pattern: String, accepted: &'static str },
    #[error("the rule for {pattern} is not in {file} any more as it was shown; nothing was changed")]
    RuleChanged { file: String, pattern: String },
}

impl ConfigError {
    /// As it is said to whoever is not told where the file lies.
    pub fn problem(self) -> SettingProblem {
        let text = match &self {
            ConfigError::UnknownKey { .. } | ConfigError::FitsNothing { .. } => self.to_string(),
            ConfigError::BadValue { file, .. }
            | ConfigError::Syntax { file, .. }
            | ConfigError::Unreadable { file, .. }
            | ConfigError::Unwritable { file, .. }
            | ConfigError::RuleChanged { file, .. } => by_name(&self.to_string(), Path::new(file)),
        };
        match self {
            ConfigError::BadValue { key, value, accepted, .. } => {
                SettingProblem { key: Some(key), value: Some(value), accepted: Some(accepted), text }
            }
            _ => SettingProblem { key: None, value: None, accepted: None, text },
        }
    }

    /// A key that is unknown was typed; a value that is not accepted is a mistake in the settings.
    pub fn code(&self) -> FaultCode {
        match self {
            ConfigError::UnknownKey { .. } => FaultCode::Usage,
            ConfigError::FitsNothing { .. } => FaultCode::BadData,
            ConfigError::Unwritable { .. } => FaultCode::Failed,
            ConfigError::RuleChanged { .. } => FaultCode::NotFound,
            _ => FaultCode::Configuration,
        }
    }
}

impl From<ConfigError> for Fault {
    fn from(error: ConfigError) -> Fault {
        Fault::new(error.code(), error.problem().text)
    }
}

/// What the file says, as far as it can be understood: where a value is not accepted, its default stands in.
#[derive(Debug)]
pub struct Reading {
    pub config: Config,
    /// The first mistake. A program that acts on settings does not go on with it.
    pub problem: Option<ConfigError>,
    /// Keys that mean nothing here: probably misspelt.
    pub unknown: Vec<String>,
    set: Vec<&'static str>,
    mistaken: Mistaken,
}

/// What a default stands in for.
#[derive(Debug, Default)]
struct Mistaken {
    keys: Vec<&'static Key>,
    rules: bool,
}

/// A file that is not there means the defaults.
pub fn read(path: &Path) -> Reading {
    match text(path) {
        Ok(text) => Reading::of(&text, &path.display().to_string()),
        Err(problem) => Reading::none(problem),
    }
}

/// Every setting, as it is shown; of the rules those that can be read, also beside one that cannot.
pub fn settings(path: &Path) -> Settings {
    let Reading { config, problem, unknown, set, .. } = read(path);
    let default = Config::default();
    let settings = KEYS.iter().map(|key| Setting {
        key: key.name.to_owned(),
        value: (key.get)(&config),
        default: (key.get)(&default),
        set: set.contains(&key.name),
        accepted: key.accepted.to_owned(),
        restart: key.restart,
    });
    let problem = problem.map(ConfigError::problem);
    Settings { settings: settings.collect(), rules: config.rules, problem, unknown }
}

/// The settings as somebody was told them. What was left out, or comes from a later version, has its default.
pub fn told(settings: &Settings) -> Config {
    let mut config = Config { rules: settings.rules.clone(), ..Config::default() };
    for setting in &settings.settings {
        if let (Some(key), Some(item)) = (Key::find(&setting.key), item(&setting.value)) {
            let _ = (key.put)(&mut config, &item);
        }
    }
    config
}

impl Reading {
    pub fn of(text: &str, file: &str) -> Reading {
        let document = match document(text, file) {
            Ok(document) => document,
            Err(problem) => return Reading::none(problem),
        };
        let mut reading = Reading {
            config: Config::default(),
            problem: sections(&document, file).err(),
            unknown: unknown(&document),
            set: Vec::new(),
            mistaken: Mistaken::default(),
        };
        for key in &KEYS {
            let Some(item) = find(&document, key.name) else {
                if no_section(&document, key.name) {
                    reading.mistaken.keys.push(key);
                }
                continue;
            };
            reading.set.push(key.name);
            if let Err(accepted) = (key.put)(&mut reading.config, item) {
                let value = shown(item.to_string().trim());
                reading.mistaken.keys.push(key);
                let (file, key) = (file.to_owned(), key.name.to_owned());
                let bad = ConfigError::BadValue { file, key, value, accepted };
                reading.problem.get_or_insert(bad);
            }
        }
        let (rules, mistake) = read_rules(&document, file);
        reading.config.rules = rules;
        if let Some(mistake) = mistake {
            reading.problem.get_or_insert(mistake);
            reading.mistaken.rules = true;
        }
        reading
    }

    /// Of a file that cannot be read a default stands in for everything.
    fn none(problem: ConfigError) -> Reading {
        Reading {
            config: Config::default(),
            problem: Some(problem),
            unknown: Vec::new(),
            set: Vec::new(),
            mistaken: Mistaken { keys: KEYS.iter().collect(), rules: true },
        }
    }

    /// What to go by from now on, where `running` held until now: a mistake that stands in the file puts no
    /// default in force.
    pub fn over(self, running: &Config) -> Config {
        let mut config = self.config;
        for key in self.mistaken.keys {
            let Some(item) = item(&(key.get)(running)) else { continue };
            // It held before, so it is accepted; what only another key allowed keeps to its default with that.
            let _ = (key.put)(&mut config, &item);
        }
        if self.mistaken.rules {
            config.rules.clone_from(&running.rules);
        }
        config
    }

    /// All of it, or what is wrong.
    pub fn whole(self) -> Result<Config, ConfigError> {
        match self.problem {
            None => Ok(self.config),
            Some(problem) => Err(problem),
        }
    }
}

pub(super) fn text(path: &Path) -> Result<String, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(ConfigError::Unreadable { file: path.display().to_string(), error }),
    }
}

pub(super) fn document(text: &str, file: &str) -> Result<DocumentMut, ConfigError> {
    text.parse::<DocumentMut>().map_err(|e| syntax(text, file, &e))
}

/// What is wrong, and where; not the line itself, which may hold a password. A name that stands there twice holds none.
pub(super) fn syntax(text: &str, file: &str, error: &TomlError) -> ConfigError {
    let message = error.message().trim();
    let span = error.span().filter(|span| span.end <= text.len());
    let error = match span {
        Some(span) => {
            let line = text[..span.start].matches('\n').count() + 1;
            let name = if message == "duplicate key" { text[span].trim() } else { "" };
            match name {
                "" => format!("line {line}: {message}"),
                name => {
                    format!("line {line}: {name} stands there for the second time; put both in one place")
                }
            }
        }
        None => message.to_owned(),
    };
    ConfigError::Syntax { file: file.to_owned(), error }
}

/// An address that may hold a password is not repeated.
pub(super) fn shown(value: &str) -> String {
    if value.contains('@') { "…".to_owned() } else { value.to_owned() }
}

pub(super) fn find<'a>(root: &'a Table, key: &str) -> Option<&'a Item> {
    let (section, name) = key.split_once('.')?;
    root.get(section)?.as_table_like()?.get(name)
}

/// Whether something else stands where the section of this key should be.
fn no_section(document: &DocumentMut, key: &str) -> bool {
    let section = key.split_once('.').and_then(|(section, _)| document.get(section));
    section.is_some_and(|item| item.as_table_like().is_none())
}

/// Whether this section, and this key in it, mean something.
fn is_section(section: &str) -> bool {
    section == "privacy" || KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(s, _)| s == section))
}

/// A section that is no table would be passed over in silence, and a rule under a wrong name would protect
/// nobody.
fn sections(document: &DocumentMut, file: &str) -> Result<(), ConfigError> {
    document
        .iter()
        .filter(|(name, _)| is_section(name))
        .try_for_each(|(name, item)| section(name, item, file))
}

pub(super) fn section(name: &str, item: &Item, file: &str) -> Result<(), ConfigError> {
    let bad = |key: String, value: String, accepted: String| {
        Err(ConfigError::BadValue { file: file.to_owned(), key, value, accepted })
    };
    let Some(table) = item.as_table_like() else {
        let accepted = format!("a section, [{name}] and its keys below it");
        return bad(name.to_owned(), format!("({})", item.type_name()), accepted);
    };
    match table.iter().find(|(key, _)| name == "privacy" && *key != "rules") {
        Some((key, _)) => {
            bad(format!("privacy.{key}"), "(unknown)".to_owned(), "[[privacy.rules]] tables".to_owned())
        }
        None => Ok(()),
    }
}

fn unknown(document: &DocumentMut) -> Vec<String> {
    let mut unknown = Vec::new();
    for (section, item) in document.iter() {
        if !is_section(section) {
            unknown.push(format!("[{section}]"));
        } else if section != "privacy" {
            let names = item.as_table_like().into_iter().flat_map(TableLike::iter);
            let keys = names.map(|(name, _)| format!("{section}.{name}"));
            unknown.extend(keys.filter(|key| Key::find(key).is_none()));
        }
    }
    unknown
}

/// A JSON value as TOML says it; there is none for objects and for numbers that are not whole.
pub(super) fn item(value: &Value) -> Option<Item> {
    Some(toml_edit::value(match value {
        Value::Bool(it) => toml_edit::Value::from(*it),
        Value::Number(it) => it.as_i64()?.into(),
        Value::String(it) => it.as_str().into(),
        Value::Array(it) => it
            .iter()
            .map(Value::as_str)
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .collect::<toml_edit::Array>()
            .into(),
        Value::Null | Value::Object(_) => return None,
    }))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
