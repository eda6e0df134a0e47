//! `config.toml` (contract, section 5): read, checked, and changed in place.
//!
//! A bad value names its key, itself and what is accepted; programs then end with status 78. Unknown keys
//! are kept and reported as warnings. Writing keeps comments and order, and is whole or not at all.

use crate::paths::write_private;
use heyho_records::base_url::BaseUrl;
use heyho_records::rules::{Action, Match, Rule};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml_edit::{DocumentMut, Item, TableLike};
use url::Url;

/// Below this one record of the largest accepted size could not be sent with its envelope.
pub const MIN_BATCH_BYTES: u64 = 307_200;

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub backend: Backend,
    pub sync: Sync,
    pub tokens: TokenStore,
    pub extensions: Extensions,
    pub rules: Vec<Rule>,
    pub buffer_max_bytes: Option<u64>,
    pub log_level: LogLevel,
    /// Keys that mean nothing here: probably misspelt.
    pub warnings: Vec<String>,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    pub const NAMES: [(&'static str, LogLevel); 5] = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];

    pub fn name(self) -> &'static str {
        LogLevel::NAMES.iter().find(|(_, level)| *level == self).map_or("info", |(name, _)| name)
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
            },
            tokens: TokenStore::Keyring,
            extensions: Extensions::default(),
            rules: Vec::new(),
            buffer_max_bytes: None,
            log_level: LogLevel::Info,
            warnings: Vec::new(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{file}: {key} = {value} is not accepted: {accepted}")]
    BadValue { file: String, key: String, value: String, accepted: String },
    #[error("{file} is not valid TOML: {error}")]
    Syntax { file: String, error: String },
    #[error("{file} cannot be read: {error}")]
    Unreadable { file: String, error: std::io::Error },
    #[error("{file} cannot be written: {error}")]
    Unwritable { file: String, error: std::io::Error },
}

impl Config {
    /// A file that is not there means the defaults.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Config::parse(&read(path)?, &path.display().to_string())
    }

    pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
        let document = document(text, file)?;
        let mut reader = Reader { file, document: &document, warnings: Vec::new() };
        reader.check_sections()?;
        reader.warn_of_unknown_keys();
        let mut config = Config::default();
        reader.read(&mut config)?;
        config.warnings = reader.warnings;
        Ok(config)
    }
}

/// The privacy rules alone, also where other settings are mistaken: rules must not stop for a typing error
/// somewhere else. An error here means that nothing may be stored.
pub fn rules(path: &Path) -> Result<Vec<Rule>, ConfigError> {
    let file = path.display().to_string();
    let document = document(&read(path)?, &file)?;
    let reader = Reader { file: &file, document: &document, warnings: Vec::new() };
    reader.check_section("privacy", &["rules"])?;
    reader.rules()
}

/// Sets one key such as `backend.url`, after checking that the file stays valid with it.
pub fn set(path: &Path, key: &str, value: toml_edit::Value) -> Result<(), ConfigError> {
    let file = path.display().to_string();
    let mut document = document(&read(path)?, &file)?;
    let (table, name) = key.split_once('.').unwrap_or(("", key));
    let section = match table {
        "" => Some(document.as_table_mut() as &mut dyn TableLike),
        table => document.entry(table).or_insert_with(toml_edit::table).as_table_like_mut(),
    };
    let Some(section) = section else {
        let (key, accepted) = (table.to_owned(), format!("a section, [{table}] and its keys below it"));
        return Err(ConfigError::BadValue { file, key, value: "(no section)".to_owned(), accepted });
    };
    section.insert(name, Item::Value(value));
    let text = document.to_string();
    Config::parse(&text, &file)?;
    write_private(path, text.as_bytes()).map_err(|error| ConfigError::Unwritable { file, error })
}

fn read(path: &Path) -> Result<String, ConfigError> {
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

const KNOWN: [(&str, &[&str]); 7] = [
    ("backend", &["url", "allow_http", "ca_file", "proxy"]),
    ("sync", &["interval", "batch_page_visits", "batch_tab_aggregates", "batch_bytes", "hold"]),
    ("tokens", &["store"]),
    ("extensions", &["chromium", "firefox"]),
    ("privacy", &["rules"]),
    ("buffer", &["max_bytes"]),
    ("log", &["level"]),
];

struct Reader<'a> {
    file: &'a str,
    document: &'a DocumentMut,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn read(&self, config: &mut Config) -> Result<(), ConfigError> {
        let backend = &mut config.backend;
        if let Some(allow) = self.boolean("backend.allow_http")? {
            backend.allow_http = allow;
        }
        if let Some(text) = self.string("backend.url")? {
            backend.url = BaseUrl::parse(&text, backend.allow_http)
                .map_err(|error| self.bad("backend.url", &shown(&text), &error.to_string()))?;
        }
        backend.ca_file = self.string("backend.ca_file")?.map(PathBuf::from);
        backend.proxy = self.string("backend.proxy")?;
        if let Some(proxy) = &backend.proxy {
            let accepted = "a URL such as \"http://proxy:8080\"";
            Url::parse(proxy).map_err(|_| self.bad("backend.proxy", &shown(proxy), accepted))?;
        }
        let sync = &mut config.sync;
        if let Some(interval) = self.duration("sync.interval", 10, 86_400)? {
            sync.interval = interval;
        }
        if let Some(n) = self.integer("sync.batch_page_visits", 1, 1_000)? {
            sync.batch_page_visits = n as u32;
        }
        if let Some(n) = self.integer("sync.batch_tab_aggregates", 1, 1_000)? {
            sync.batch_tab_aggregates = n as u32;
        }
        if let Some(n) = self.integer("sync.batch_bytes", MIN_BATCH_BYTES, 64 << 20)? {
            sync.batch_bytes = n;
        }
        if let Some(hold) = self.duration("sync.hold", 0, 30 * 86_400)? {
            sync.hold = hold;
        }
        if let Some(store) =
            self.word("tokens.store", &[("keyring", TokenStore::Keyring), ("file", TokenStore::File)])?
        {
            config.tokens = store;
        }
        config.extensions.chromium = self.strings("extensions.chromium")?;
        config.extensions.firefox = self.strings("extensions.firefox")?;
        config.rules = self.rules()?;
        config.buffer_max_bytes = self.integer("buffer.max_bytes", 1 << 20, 1 << 50)?;
        if let Some(level) = self.word("log.level", &LogLevel::NAMES)? {
            config.log_level = level;
        }
        Ok(())
    }

    /// A section that is no table would be passed over in silence, and a rule under a wrong name would protect
    /// nobody.
    fn check_sections(&self) -> Result<(), ConfigError> {
        KNOWN.iter().try_for_each(|(name, keys)| self.check_section(name, keys))
    }

    fn check_section(&self, name: &str, keys: &[&str]) -> Result<(), ConfigError> {
        let Some(item) = self.document.get(name) else { return Ok(()) };
        let Some(table) = item.as_table_like() else {
            let accepted = format!("a section, [{name}] and its keys below it");
            return Err(self.bad(name, &format!("({})", item.type_name()), &accepted));
        };
        if name == "privacy"
            && let Some((key, _)) = table.iter().find(|(key, _)| !keys.contains(key))
        {
            return Err(self.bad(&format!("privacy.{key}"), "(unknown)", "[[privacy.rules]] tables"));
        }
        Ok(())
    }

    fn warn_of_unknown_keys(&mut self) {
        let mut warnings = Vec::new();
        for (name, item) in self.document.iter() {
            let Some((_, keys)) = KNOWN.iter().find(|(known, _)| *known == name) else {
                warnings.push(format!("{}: [{name}] is not known", self.file));
                continue;
            };
            let entries = item.as_table_like().into_iter().flat_map(TableLike::iter);
            for (key, _) in entries.filter(|(key, _)| !keys.contains(key)) {
                warnings.push(format!("{}: {name}.{key} is not known", self.file));
            }
        }
        self.warnings = warnings;
    }

    fn item(&self, key: &str) -> Option<&Item> {
        let (table, name) = key.split_once('.')?;
        self.document.get(table)?.get(name)
    }

    fn bad(&self, key: &str, value: &str, accepted: &str) -> ConfigError {
        ConfigError::BadValue {
            file: self.file.to_owned(),
            key: key.to_owned(),
            value: value.trim().to_owned(),
            accepted: accepted.to_owned(),
        }
    }

    fn typed<T>(
        &self,
        key: &str,
        read: impl Fn(&Item) -> Option<T>,
        accepted: &str,
    ) -> Result<Option<T>, ConfigError> {
        let Some(item) = self.item(key) else { return Ok(None) };
        read(item).map(Some).ok_or_else(|| self.bad(key, &item.to_string(), accepted))
    }

    fn string(&self, key: &str) -> Result<Option<String>, ConfigError> {
        self.typed(key, |item| item.as_str().map(str::to_owned), "a string in quotes")
    }

    fn boolean(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.typed(key, Item::as_bool, "true or false")
    }

    fn integer(&self, key: &str, min: u64, max: u64) -> Result<Option<u64>, ConfigError> {
        let read = |item: &Item| {
            item.as_integer().and_then(|n| u64::try_from(n).ok()).filter(|n| (min..=max).contains(n))
        };
        self.typed(key, read, &format!("a whole number from {min} to {max}"))
    }

    fn duration(&self, key: &str, min_s: u64, max_s: u64) -> Result<Option<Duration>, ConfigError> {
        let read = |item: &Item| {
            let length = duration(item.as_str()?)?;
            (min_s..=max_s).contains(&length.as_secs()).then_some(length)
        };
        let (min, max) = (spoken(min_s), spoken(max_s));
        self.typed(key, read, &format!("a duration in quotes from {min} to {max}, such as \"90s\" or \"5m\""))
    }

    fn strings(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        let read = |item: &Item| {
            let array = item.as_array()?;
            array.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        };
        Ok(self.typed(key, read, "an array of strings")?.unwrap_or_default())
    }

    fn rules(&self) -> Result<Vec<Rule>, ConfigError> {
        let Some(item) = self.item("privacy.rules") else { return Ok(Vec::new()) };
        let accepted = "[[privacy.rules]] tables, each with id, match = \"host\" or \"url\", pattern, and action = \"drop\" or \"strip\"";
        let bad = |item: &Item| self.bad("privacy.rules", &item.to_string(), accepted);
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

    fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Option<T>, ConfigError> {
        let read = |item: &Item| {
            let given = item.as_str()?;
            words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value)
        };
        let accepted = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        self.typed(key, read, &accepted)
    }
}

/// An address that may hold a password is not repeated.
fn shown(address: &str) -> String {
    if address.contains('@') { "…".to_owned() } else { format!("{address:?}") }
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

/// `90s`, `5m`, `1h`, `2d`, or several of them.
pub fn duration(text: &str) -> Option<Duration> {
    Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok()
}

fn spoken(seconds: u64) -> String {
    match seconds {
        s if s % 86_400 == 0 && s > 0 => format!("{}d", s / 86_400),
        s if s % 3_600 == 0 && s > 0 => format!("{}h", s / 3_600),
        s if s % 60 == 0 && s > 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_means_the_defaults() {
        let config = Config::parse("", "config.toml").unwrap();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn all_is_read() {
        let config = Config::parse(
            r#"
            [backend]
            url = "https://sync.example/prefix/api/v1/"
            ca_file = "ca.pem"
            [sync]
            interval = "90s"
            batch_page_visits = 5
            batch_bytes = 307200
            hold = "10m"
            [tokens]
            store = "file"
            [extensions]
            chromium = ["abc"]
            [buffer]
            max_bytes = 10000000
            [log]
            level = "debug"
            [sink]
            [[privacy.rules]]
            id = "r"
            match = "host"
            pattern = "*.bank.example"
            action = "drop"
            "#,
            "config.toml",
        )
        .unwrap();
        assert_eq!(config.backend.url.as_str(), "https://sync.example/prefix");
        assert_eq!(config.sync.interval, Duration::from_secs(90));
        assert_eq!(config.sync.hold, Duration::from_secs(600));
        assert_eq!(config.tokens, TokenStore::File);
        assert_eq!(config.extensions.chromium, ["abc"]);
        assert_eq!((config.rules.len(), config.rules[0].action), (1, Action::Drop));
        assert_eq!(config.warnings, ["config.toml: [sink] is not known"]);
    }

    #[test]
    fn a_bad_value_names_key_value_and_what_is_accepted() {
        for (text, words) in [
            ("[backend]\nurl = \"ftp://x\"", ["backend.url", "ftp://x", "https://"]),
            ("[backend]\nurl = \"http://example.com\"", ["backend.url", "example.com", "allow_http"]),
            ("[sync]\ninterval = 5", ["sync.interval", "5", "duration in quotes"]),
            ("[sync]\ninterval = \"1s\"", ["sync.interval", "1s", "from 10s to 1d"]),
            ("[sync]\nbatch_bytes = 1000", ["sync.batch_bytes", "1000", "from 307200"]),
            ("[tokens]\nstore = \"disk\"", ["tokens.store", "disk", "\"keyring\", \"file\""]),
            ("[log]\nlevel = \"loud\"", ["log.level", "loud", "\"trace\""]),
            ("[[privacy.rules]]\nid = \"r\"\nmatch = \"host\"\n", ["privacy.rules", "id = ", "pattern"]),
            ("backend = 5", ["backend", "integer", "[backend]"]),
            ("[[privacy]]\nid = 'r'", ["privacy", "array", "[privacy]"]),
            ("[[privacy.rule]]\nid = 'r'", ["privacy.rule", "unknown", "privacy.rules"]),
            ("[backend]\nproxy = 'http://me:geheim@:99999'", ["backend.proxy", "…", "http://proxy"]),
            ("[log\n", ["config.toml", "TOML", "line 1"]),
        ] {
            let error = Config::parse(text, "config.toml").unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "{error} lacks {word}");
            }
            assert!(!error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn rules_are_read_also_beside_a_mistake_and_never_guessed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        assert_eq!(rules(&path).unwrap(), []);
        let rule = "privacy.rules = [{ id = 'r', match = 'url', pattern = '*x*', action = 'strip' }]\n";
        std::fs::write(&path, format!("{rule}[sync]\ninterval = 5\n")).unwrap();
        assert!(Config::load(&path).is_err());
        assert_eq!(rules(&path).unwrap().len(), 1);
        for broken in [rule.replace("'url'", "'everything'"), rule.replace("'*x*'", "''"), "[privacy".into()]
        {
            std::fs::write(&path, broken).unwrap();
            assert!(rules(&path).is_err());
        }
    }

    #[test]
    fn setting_keeps_comments_and_refuses_what_is_not_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "# mine\n[sync] # often\ninterval = \"1m\"\n").unwrap();
        set(&path, "backend.url", "http://127.0.0.1:9".into()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("# mine") && text.contains("# often"), "{text}");
        assert_eq!(Config::load(&path).unwrap().backend.url.as_str(), "http://127.0.0.1:9");
        assert!(set(&path, "backend.url", "nonsense".into()).is_err());
        let flat = dir.path().join("flat.toml");
        std::fs::write(&flat, "backend = 5\n").unwrap();
        assert!(set(&flat, "backend.url", "http://127.0.0.1:9".into()).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
