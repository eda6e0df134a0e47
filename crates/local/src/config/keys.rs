//! Every key of `config.toml`, once: what it accepts, where it goes, and how it is shown. Reading, listing and
//! changing settings all ask this table.

use super::{Appearance, Config, Language, LogLevel, MIN_BATCH_BYTES, TokenStore};
use heyho_records::base_url::BaseUrl;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use toml_edit::Item;
use url::Url;

/// One key, such as `sync.interval`.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    /// In words: what a value has to be.
    pub accepted: &'static str,
    /// It holds only after the next start of the companion.
    pub restart: bool,
    /// Where it goes; otherwise what would have been accepted.
    pub(super) put: fn(&mut Config, &Item) -> Result<(), String>,
    pub(super) get: fn(&Config) -> Value,
}

impl Key {
    pub fn find(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }
}

/// Makes one row: the place in [`Config`], how it is read, how it is shown.
macro_rules! key {
    ($name:literal, $accepted:literal, |$config:ident| $place:expr, $read:expr, $show:expr) => {
        Key {
            name: $name,
            accepted: $accepted,
            restart: false,
            put: |$config, item| {
                $place = $read(item).ok_or($accepted)?;
                Ok(())
            },
            get: |$config| $show(&$place),
        }
    };
}

const STORES: [(&str, TokenStore); 2] = [("keyring", TokenStore::Keyring), ("file", TokenStore::File)];
const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
const APPEARANCES: [(&str, Appearance); 3] =
    [("system", Appearance::System), ("light", Appearance::Light), ("dark", Appearance::Dark)];
const LANGUAGES: [(&str, Language); 3] =
    [("system", Language::System), ("en", Language::En), ("de", Language::De)];

/// In the order in which they are read: what `backend.url` may be depends on `backend.allow_http`.
pub static KEYS: [Key; 21] = [
    key!("backend.allow_http", "true or false", |c| c.backend.allow_http, Item::as_bool, plain),
    Key {
        name: "backend.url",
        accepted: "an https:// address, or http:// on this computer; others with backend.allow_http = true",
        restart: false,
        put: |config, item| {
            let text = item.as_str().ok_or("an address in quotes")?;
            config.backend.url =
                BaseUrl::parse(text, config.backend.allow_http).map_err(|e| e.to_string())?;
            Ok(())
        },
        get: |config| config.backend.url.as_str().into(),
    },
    key!(
        "backend.ca_file",
        "a path in quotes",
        |c| c.backend.ca_file,
        |item: &Item| item.as_str().map(|text| Some(PathBuf::from(text))),
        plain
    ),
    key!("backend.proxy", "a URL such as \"http://proxy:8080\"", |c| c.backend.proxy, proxy, plain),
    key!(
        "sync.interval",
        "a duration in quotes from 10s to 1d, such as \"90s\" or \"5m\"",
        |c| c.sync.interval,
        |item| length(item, 10, 86_400),
        spoken
    ),
    key!(
        "sync.batch_page_visits",
        "a whole number from 1 to 1000",
        |c| c.sync.batch_page_visits,
        |item| integer(item, 1, 1_000).map(|n| n as u32),
        plain
    ),
    key!(
        "sync.batch_tab_aggregates",
        "a whole number from 1 to 1000",
        |c| c.sync.batch_tab_aggregates,
        |item| integer(item, 1, 1_000).map(|n| n as u32),
        plain
    ),
    key!(
        "sync.batch_bytes",
        "a whole number of bytes from 307200 to 67108864",
        |c| c.sync.batch_bytes,
        |item| integer(item, MIN_BATCH_BYTES, 64 << 20),
        plain
    ),
    key!(
        "sync.hold",
        "a duration in quotes from 0s to 30d, such as \"10m\" or \"1h\"",
        |c| c.sync.hold,
        |item| length(item, 0, 30 * 86_400),
        spoken
    ),
    key!("sync.pause_on_metered", "true or false", |c| c.sync.pause_on_metered, Item::as_bool, plain),
    key!("sync.pause_on_battery", "true or false", |c| c.sync.pause_on_battery, Item::as_bool, plain),
    key!(
        "tokens.store",
        "\"keyring\" or \"file\"",
        |c| c.tokens,
        |item| word(item, &STORES),
        |value: &TokenStore| name(*value, &STORES)
    ),
    key!(
        "extensions.chromium",
        "an array of extension ids, each of 32 letters from a to p, such as [\"abcdefghijklmnopabcdefghijklmnop\"]",
        |c| c.extensions.chromium,
        |item| strings(item).filter(|ids| ids.iter().all(|id| is_chromium(id))),
        plain
    ),
    key!(
        "extensions.firefox",
        "an array of extension ids as in the manifest's browser_specific_settings.gecko.id, such as [\"me@example.org\"]",
        |c| c.extensions.firefox,
        |item| strings(item).filter(|ids| ids.iter().all(|id| is_firefox(id))),
        plain
    ),
    key!("browsers.register", "true or false", |c| c.register_browsers, Item::as_bool, plain),
    key!("browsers.skip", "an array of strings", |c| c.skipped_browsers, strings, plain),
    key!(
        "window.appearance",
        "\"system\", \"light\" or \"dark\"",
        |c| c.window.appearance,
        |item| word(item, &APPEARANCES),
        |value: &Appearance| name(*value, &APPEARANCES)
    ),
    key!(
        "window.language",
        "\"system\", \"en\" or \"de\"",
        |c| c.window.language,
        |item| word(item, &LANGUAGES),
        |value: &Language| name(*value, &LANGUAGES)
    ),
    key!("window.notifications", "true or false", |c| c.window.notifications, Item::as_bool, plain),
    key!(
        "buffer.max_bytes",
        "a whole number of bytes from 1048576 to 1125899906842624",
        |c| c.buffer_max_bytes,
        |item| integer(item, 1 << 20, 1 << 50).map(Some),
        plain
    ),
    Key {
        restart: true,
        ..key!(
            "log.level",
            "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
            |c| c.log_level,
            |item| word(item, &LEVELS),
            |value: &LogLevel| name(*value, &LEVELS)
        )
    },
];

/// What was typed, as the value its key wants: `5` is a number for one and text for another, quotes may be there or
/// not, and one word is a list of one.
pub fn typed(key: &str, text: &str) -> Value {
    let plain = Value::String(text.to_owned());
    let read: Value = serde_json::from_str(text).unwrap_or_else(|_| plain.clone());
    let accepted = |value: &Value| {
        let item = super::file::item(value);
        let put = Key::find(key).map(|key| key.put);
        put.zip(item).is_some_and(|(put, item)| put(&mut Config::default(), &item).is_ok())
    };
    let list = json!([text]);
    [&read, &plain, &list].into_iter().find(|value| accepted(value)).unwrap_or(&read).clone()
}

/// `90s`, `5m`, `1h`, `2d`, or several of them.
pub fn duration(text: &str) -> Option<Duration> {
    Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok()
}

fn length(item: &Item, min_s: u64, max_s: u64) -> Option<Duration> {
    let length = duration(item.as_str()?)?;
    (min_s..=max_s).contains(&length.as_secs()).then_some(length)
}

fn integer(item: &Item, min: u64, max: u64) -> Option<u64> {
    item.as_integer().and_then(|n| u64::try_from(n).ok()).filter(|n| (min..=max).contains(n))
}

fn strings(item: &Item) -> Option<Vec<String>> {
    item.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

/// A browser refuses a manifest with any other in it as a whole.
fn is_chromium(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| (b'a'..=b'p').contains(&byte))
}

/// `name@place`, or a number in braces.
fn is_firefox(id: &str) -> bool {
    let part =
        |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    match id.strip_prefix('{').and_then(|id| id.strip_suffix('}')) {
        Some(number) => uuid::Uuid::try_parse(number).is_ok() && number.len() == 36,
        None => {
            id.split_once('@').is_some_and(|(name, place)| !place.is_empty() && part(name) && part(place))
        }
    }
}

fn proxy(item: &Item) -> Option<Option<String>> {
    let text = item.as_str()?;
    Url::parse(text).ok().map(|_| Some(text.to_owned()))
}

fn word<T: Copy>(item: &Item, words: &[(&str, T)]) -> Option<T> {
    let given = item.as_str()?;
    words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value)
}

fn name<T: Copy + PartialEq>(value: T, words: &[(&str, T)]) -> Value {
    words.iter().find(|(_, it)| *it == value).map_or(Value::Null, |(word, _)| json!(word))
}

fn plain<T: serde::Serialize>(value: &T) -> Value {
    json!(value)
}

/// As a file would say it.
fn spoken(length: &Duration) -> Value {
    json!(match length.as_secs() {
        s if s % 86_400 == 0 && s > 0 => format!("{}d", s / 86_400),
        s if s % 3_600 == 0 && s > 0 => format!("{}h", s / 3_600),
        s if s % 60 == 0 && s > 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    })
}
