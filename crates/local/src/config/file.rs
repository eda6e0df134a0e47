//! The file: read as far as it can be, and changed in place.

use super::Config;
use super::keys::{KEYS, Key};
use crate::paths::{by_name, write_private};
use crate::vocabulary::{Fault, FaultCode, Setting, SettingProblem, Settings};
use heyho_records::rules::{Action, Match, Rule};
use serde_json::Value;
use std::path::Path;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, TableLike};

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
}

impl ConfigError {
    /// As it is said to whoever is not told where the file lies.
    pub fn problem(self) -> SettingProblem {
        let text = match &self {
            ConfigError::UnknownKey { .. } => self.to_string(),
            ConfigError::BadValue { file, .. }
            | ConfigError::Syntax { file, .. }
            | ConfigError::Unreadable { file, .. }
            | ConfigError::Unwritable { file, .. } => by_name(&self.to_string(), Path::new(file)),
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
            ConfigError::Unwritable { .. } => FaultCode::Failed,
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

/// The privacy rules alone, also where other settings are mistaken: rules must not stop for a typing error
/// somewhere else. An error here means that nothing may be stored.
pub fn rules(path: &Path) -> Result<Vec<Rule>, ConfigError> {
    let file = path.display().to_string();
    let document = document(&text(path)?, &file)?;
    read_rules(&document, &file)
}

/// Every setting, as it is shown.
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

/// Sets one key such as `backend.url`; null takes it out. A value that is not accepted changes nothing. A mistake
/// elsewhere in the file does not stand in the way: it would be mended the same way, one key after the other.
pub fn set(path: &Path, key: &str, value: &Value) -> Result<Reading, ConfigError> {
    let known = Key::find(key).ok_or_else(|| ConfigError::UnknownKey { key: key.to_owned() })?;
    let bad = |accepted: String| ConfigError::BadValue {
        file: path.display().to_string(),
        key: key.to_owned(),
        value: shown(&value.to_string()),
        accepted,
    };
    let item = match value {
        Value::Null => None,
        value => Some(item(value).ok_or_else(|| bad(known.accepted.to_owned()))?),
    };
    change(path, |document, reading| {
        if let Some(item) = &item {
            (known.put)(&mut reading.config.clone(), item).map_err(&bad)?;
        }
        place(document, key, item, &path.display().to_string())
    })
}

/// All privacy rules anew.
pub fn set_rules(path: &Path, rules: &[Rule]) -> Result<Reading, ConfigError> {
    let bad = |value: &str, accepted: &str| ConfigError::BadValue {
        file: path.display().to_string(),
        key: "privacy.rules".to_owned(),
        value: value.to_owned(),
        accepted: accepted.to_owned(),
    };
    for (i, rule) in rules.iter().enumerate() {
        if rule.id.is_empty() || rule.pattern.trim().is_empty() {
            return Err(bad("a rule without id or pattern", "an id, and a pattern such as *.bank.example"));
        }
        if rules[..i].iter().any(|other| other.id == rule.id) {
            return Err(bad(&rule.id, "an id of its own for each rule"));
        }
    }
    change(path, |document, _| {
        let mut tables = ArrayOfTables::new();
        for rule in rules {
            tables.push(table(rule));
        }
        let tables = (!rules.is_empty()).then_some(Item::ArrayOfTables(tables));
        place(document, "privacy.rules", tables, &path.display().to_string())
    })
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
        match read_rules(&document, file) {
            Ok(rules) => reading.config.rules = rules,
            Err(bad) => {
                reading.problem.get_or_insert(bad);
                reading.mistaken.rules = true;
            }
        }
        reading
    }

    fn none(problem: ConfigError) -> Reading {
        Reading {
            config: Config::default(),
            problem: Some(problem),
            unknown: Vec::new(),
            set: Vec::new(),
            mistaken: Mistaken::default(),
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

fn text(path: &Path) -> Result<String, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(ConfigError::Unreadable { file: path.display().to_string(), error }),
    }
}

fn document(text: &str, file: &str) -> Result<DocumentMut, ConfigError> {
    text.parse::<DocumentMut>()
        .map_err(|e| ConfigError::Syntax { file: file.to_owned(), error: without_the_line(text, &e) })
}

/// What is wrong, and where; not the line itself, which may hold a password.
fn without_the_line(text: &str, error: &toml_edit::TomlError) -> String {
    let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", error.message().trim()),
        None => error.message().trim().to_owned(),
    }
}

/// An address that may hold a password is not repeated.
fn shown(value: &str) -> String {
    if value.contains('@') { "…".to_owned() } else { value.to_owned() }
}

fn find<'a>(document: &'a DocumentMut, key: &str) -> Option<&'a Item> {
    let (section, name) = key.split_once('.')?;
    document.get(section)?.as_table_like()?.get(name)
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

fn section(name: &str, item: &Item, file: &str) -> Result<(), ConfigError> {
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

fn read_rules(document: &DocumentMut, file: &str) -> Result<Vec<Rule>, ConfigError> {
    let Some(privacy) = document.get("privacy") else { return Ok(Vec::new()) };
    section("privacy", privacy, file)?;
    let Some(item) = find(document, "privacy.rules") else { return Ok(Vec::new()) };
    let bad = |item: &Item| {
        ConfigError::BadValue {
        file: file.to_owned(),
        key: "privacy.rules".to_owned(),
        value: item.to_string().trim().to_owned(),
        accepted: "[[privacy.rules]] tables, each with id, match = \"host\" or \"url\", pattern, and action = \"drop\" or \"strip\"".to_owned(),
    }
    };
    let tables: Vec<&dyn TableLike> = match item {
        Item::ArrayOfTables(tables) => tables.iter().map(|table| table as &dyn TableLike).collect(),
        Item::Value(toml_edit::Value::Array(array)) => array
            .iter()
            .map(|value| value.as_inline_table().map(|table| table as &dyn TableLike))
            .collect::<Option<_>>()
            .ok_or_else(|| bad(item))?,
        _ => return Err(bad(item)),
    };
    tables.into_iter().map(|table| read_rule(table).ok_or_else(|| bad(item))).collect()
}

fn read_rule(table: &dyn TableLike) -> Option<Rule> {
    let text = |key: &str| table.get(key).and_then(Item::as_str);
    Some(Rule {
        id: text("id")?.to_owned(),
        r#match: match text("match")? {
            "host" => Match::Host,
            "url" => Match::Url,
            _ => return None,
        },
        pattern: text("pattern").filter(|pattern| !pattern.is_empty())?.to_owned(),
        action: match text("action")? {
            "drop" => Action::Drop,
            "strip" => Action::Strip,
            _ => return None,
        },
    })
}

fn table(rule: &Rule) -> Table {
    let mut table = Table::new();
    table["id"] = toml_edit::value(&rule.id);
    table["match"] = toml_edit::value(match rule.r#match {
        Match::Host => "host",
        Match::Url => "url",
    });
    table["pattern"] = toml_edit::value(&rule.pattern);
    table["action"] = toml_edit::value(match rule.action {
        Action::Drop => "drop",
        Action::Strip => "strip",
    });
    table
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

fn place(document: &mut DocumentMut, key: &str, item: Option<Item>, file: &str) -> Result<(), ConfigError> {
    let (name, key) = key.split_once('.').unwrap_or(("", key));
    if item.is_none() && document.get(name).is_none() {
        return Ok(());
    }
    let entry = document.entry(name).or_insert_with(toml_edit::table);
    let kind = entry.type_name();
    let Some(section) = entry.as_table_like_mut() else {
        let accepted = format!("a section, [{name}] and its keys below it");
        let (key, value) = (name.to_owned(), format!("({kind})"));
        return Err(ConfigError::BadValue { file: file.to_owned(), key, value, accepted });
    };
    match (item, section.get_mut(key)) {
        (None, _) => {
            section.remove(key);
        }
        // What stands around the value, a comment at the end of its line, stays.
        (Some(Item::Value(mut new)), Some(Item::Value(old))) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        (Some(item), Some(old)) => *old = item,
        (Some(item), None) => {
            section.insert(key, item);
        }
    }
    Ok(())
}

fn change(
    path: &Path,
    how: impl FnOnce(&mut DocumentMut, &Reading) -> Result<(), ConfigError>,
) -> Result<Reading, ConfigError> {
    let file = path.display().to_string();
    let before = text(path)?;
    let mut document = document(&before, &file)?;
    let reading = Reading::of(&before, &file);
    how(&mut document, &reading)?;
    let after = document.to_string();
    let mut changed = Reading::of(&after, &file);
    // One mistake may be mended while another stands; none may come in.
    if reading.problem.is_none()
        && let Some(problem) = changed.problem.take()
    {
        return Err(problem);
    }
    if after != before {
        write_private(path, after.as_bytes()).map_err(|error| ConfigError::Unwritable { file, error })?;
    }
    Ok(changed)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
