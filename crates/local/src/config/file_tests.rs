use super::*;
use crate::config::{self, Language, TokenStore, rules, set};
use heyho_records::rules::Action;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn said(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn nothing_set_means_the_defaults() {
    let config = Config::parse("", "config.toml").unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn all_is_read() {
    let text = r#"
        [backend]
        url = "https://sync.example/prefix/api/v1/"
        ca_file = "ca.pem"
        [sync]
        interval = "90s"
        batch_page_visits = 5
        batch_bytes = 307200
        hold = "10m"
        pause_on_metered = true
        pause_on_battery = true
        [tokens]
        store = "file"
        [extensions]
        chromium = ["abcdefghijklmnopabcdefghijklmnop"]
        [browsers]
        register = false
        [window]
        appearance = "dark"
        language = "de"
        notifications = false
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
        "#;
    let reading = Reading::of(text, "config.toml");
    assert_eq!(reading.unknown, ["[sink]"]);
    let config = reading.whole().unwrap();
    assert_eq!(config.backend.url.as_str(), "https://sync.example/prefix");
    assert_eq!(config.sync.interval, Duration::from_secs(90));
    assert_eq!(config.sync.hold, Duration::from_secs(600));
    assert!(config.sync.pause_on_metered && config.sync.pause_on_battery && !config.register_browsers);
    assert_eq!((config.window.language, config.window.notifications), (Language::De, false));
    assert_eq!(config.tokens, TokenStore::File);
    assert_eq!(config.extensions.chromium, ["abcdefghijklmnopabcdefghijklmnop"]);
    assert_eq!((config.rules.len(), config.rules[0].action), (1, Action::Drop));
}

/// Nobody asked for the defaults: least of all for another backend, for the keyring, or for no rules.
#[test]
fn a_file_that_cannot_be_read_leaves_everything_as_it_was() {
    let running = Config::parse(
        r#"
        [backend]
        url = "http://10.0.0.5:7/prefix"
        allow_http = true
        ca_file = "ca.pem"
        proxy = "http://127.0.0.1:9"
        [sync]
        interval = "1h"
        hold = "10m"
        pause_on_metered = true
        pause_on_battery = true
        [tokens]
        store = "file"
        [extensions]
        firefox = ["mine@example"]
        [buffer]
        max_bytes = 10000000
        [[privacy.rules]]
        id = "r"
        match = "host"
        pattern = "*.bank.example"
        action = "drop"
        "#,
        "config.toml",
    )
    .unwrap();
    let (_dir, path) = written("[backend\n");
    assert_eq!(config::read(&path).over(&running), running);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(config::read(&path).over(&running), running);
}

#[test]
fn a_bad_value_names_key_value_and_what_is_accepted() {
    for (text, words) in [
        ("[backend]\nurl = \"ftp://x\"", ["backend.url", "ftp://x", "https://"]),
        ("[backend]\nurl = \"http://example.com\"", ["backend.url", "example.com", "allow_http"]),
        ("[sync]\ninterval = 5", ["sync.interval", "5", "duration in quotes"]),
        ("[sync]\ninterval = \"1s\"", ["sync.interval", "1s", "from 10s to 1d"]),
        ("[sync]\nbatch_bytes = 1000", ["sync.batch_bytes", "1000", "from 307200"]),
        ("[tokens]\nstore = \"disk\"", ["tokens.store", "disk", "\"keyring\" or \"file\""]),
        ("[window]\nlanguage = \"fr\"", ["window.language", "fr", "\"de\""]),
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
    let (_dir, path) = written("");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(rules(&path).unwrap(), []);
    let rule = "privacy.rules = [{ id = 'r', match = 'url', pattern = '*x*', action = 'strip' }]\n";
    std::fs::write(&path, format!("{rule}[sync]\ninterval = 5\n")).unwrap();
    assert!(Config::load(&path).is_err());
    assert_eq!(rules(&path).unwrap().len(), 1);
    for broken in [rule.replace("'url'", "'everything'"), rule.replace("'*x*'", "''"), "[privacy".into()] {
        std::fs::write(&path, broken).unwrap();
        assert!(rules(&path).is_err());
    }
}

#[test]
fn setting_keeps_comments_and_refuses_what_is_not_accepted() {
    let (dir, path) = written("# mine\n[sync] # often\ninterval = \"1m\" # or two\n");
    set(&path, "backend.url", &json!("http://127.0.0.1:9")).unwrap();
    let config = set(&path, "sync.interval", &json!("2m")).unwrap().config;
    assert_eq!(config.sync.interval, Duration::from_secs(120));
    let text = said(&path);
    for kept in ["# mine", "# often", "# or two", "\"2m\""] {
        assert!(text.contains(kept), "{text}");
    }
    assert_eq!(Config::load(&path).unwrap().backend.url.as_str(), "http://127.0.0.1:9");
    for (key, value, words) in [
        ("backend.url", json!("nonsense"), "nonsense"),
        ("sync.interval", json!(5), "duration in quotes"),
        ("sync.batch_bytes", json!(1.5), "whole number"),
        ("window.appearance", json!("pink"), "\"dark\""),
        ("extensions.chromium", json!([1]), "array of extension ids"),
        ("extensions.chromium", json!(["abc"]), "32 letters from a to p"),
        ("extensions.firefox", json!(["x y"]), "me@example.org"),
        ("backend.proxy", json!("http://me:geheim@"), "…"),
        ("sync.intervall", json!("5m"), "sync.interval"),
        ("nonsense", json!(1), "there are: "),
        ("privacy.rules", json!([]), "no setting"),
    ] {
        let error = set(&path, key, &value).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(key), "{error}");
        assert!(!error.contains("geheim"), "{error}");
    }
    assert_eq!(said(&path), text);
    let flat = dir.path().join("flat.toml");
    std::fs::write(&flat, "backend = 5\n").unwrap();
    assert!(set(&flat, "backend.url", &json!("http://127.0.0.1:9")).is_err());
}

#[test]
fn null_takes_a_key_out_and_the_default_holds_again() {
    let (_dir, path) = written("# mine\n[sync]\ninterval = \"1m\"\n");
    let config = set(&path, "sync.interval", &Value::Null).unwrap().config;
    assert_eq!(config.sync.interval, Config::default().sync.interval);
    assert!(said(&path).contains("# mine") && !said(&path).contains("interval"));
    set(&path, "window.language", &Value::Null).unwrap();
    assert!(!said(&path).contains("window"), "nothing is written for what was not there");
}

#[test]
fn a_mistake_is_shown_with_everything_else_and_mended_by_setting_it() {
    let (_dir, path) = written("[sync]\ninterval = 5\nhold = \"1h\"\n[log]\nlevel = \"loud\"\n[spurious]\n");
    let shown = settings(&path);
    let of = |key: &str| shown.settings.iter().find(|s| s.key == key).unwrap().clone();
    assert_eq!((of("sync.hold").value, of("sync.hold").set), (json!("1h"), true));
    assert_eq!((of("sync.interval").value, of("sync.interval").set), (json!("5m"), true));
    assert_eq!((of("sync.batch_bytes").value, of("sync.batch_bytes").set), (json!(524_288), false));
    let problem = shown.problem.unwrap();
    assert_eq!((problem.key.as_deref(), problem.value.as_deref()), (Some("sync.interval"), Some("5")));
    assert_eq!(shown.unknown, ["[spurious]"]);
    set(&path, "sync.interval", &json!("10m")).unwrap();
    assert_eq!(settings(&path).problem.unwrap().key.as_deref(), Some("log.level"), "the next one");
    set(&path, "log.level", &json!("warn")).unwrap();
    assert_eq!(settings(&path).problem, None);
    std::fs::write(&path, "[log\n").unwrap();
    let problem = settings(&path).problem.unwrap();
    assert!(problem.key.is_none() && problem.text.contains("line 1"), "{problem:?}");
}

#[test]
fn a_setting_that_only_another_allows_cannot_be_left_behind() {
    let (_dir, path) = written("[backend]\nallow_http = true\nurl = \"http://example.com\"\n");
    let error = set(&path, "backend.allow_http", &json!(false)).unwrap_err().to_string();
    assert!(error.contains("backend.url"), "{error}");
    assert!(Config::load(&path).is_ok());
}

#[test]
fn what_is_typed_becomes_what_the_key_wants() {
    use crate::config::typed;
    for (key, text, value) in [
        ("sync.batch_page_visits", "5", json!(5)),
        ("sync.interval", "90s", json!("90s")),
        ("sync.interval", "\"90s\"", json!("90s")),
        ("backend.ca_file", "5", json!("5")),
        ("sync.pause_on_battery", "true", json!(true)),
        ("browsers.skip", "[\"a\"]", json!(["a"])),
        ("browsers.skip", "brave", json!(["brave"])),
        ("extensions.firefox", "me@example.org", json!(["me@example.org"])),
        (
            "extensions.firefox",
            "{01234567-89ab-cdef-0123-456789abcdef}",
            json!(["{01234567-89ab-cdef-0123-456789abcdef}"]),
        ),
        ("extensions.chromium", "abc", json!("abc")),
        ("buffer.max_bytes", "2000000", json!(2_000_000)),
        ("sync.batch_bytes", "many", json!("many")),
        ("sync.batch_bytes", "5", json!(5)),
        ("unknown", "5", json!(5)),
    ] {
        assert_eq!(typed(key, text), value, "{key} {text}");
    }
}

#[test]
fn every_key_shows_what_it_reads() {
    let text = settings(Path::new("none.toml"));
    for setting in text.settings {
        let accepted = match &setting.default {
            Value::Null => continue,
            value => item(value).unwrap(),
        };
        let key = Key::find(&setting.key).unwrap();
        (key.put)(&mut Config::default(), &accepted).unwrap();
    }
}

#[test]
fn a_mistake_that_stands_keeps_what_held_before_it() {
    let (_dir, path) = written(
        "backend = 3\n[tokens]\nstore = \"disk\"\n[sync]\ninterval = \"often\"\nhold = \"10m\"\n[privacy]\nrulez = 1\n",
    );
    let running = Config::parse(
        "[backend]\nurl = \"http://lan.example\"\nallow_http = true\n[tokens]\nstore = \"file\"\n[sync]\ninterval = \"90s\"\nhold = \"5m\"\n[log]\nlevel = \"warn\"\n[[privacy.rules]]\nid = \"r\"\nmatch = \"host\"\npattern = \"*.bank.example\"\naction = \"drop\"",
        "config.toml",
    )
    .unwrap();
    let config = set(&path, "window.notifications", &json!(false)).unwrap().over(&running);
    assert!(!config.window.notifications);
    assert_eq!(config.backend, running.backend);
    assert_eq!((config.tokens, &config.rules), (TokenStore::File, &running.rules));
    assert_eq!((config.sync.interval, config.sync.hold), (Duration::from_secs(90), Duration::from_secs(600)));
    // What the file does not name has its default, whatever held.
    assert_eq!(config.log_level, Config::default().log_level);
}

#[test]
fn settings_that_are_told_are_understood_as_they_were_meant() {
    let text = "[backend]\nallow_http = true\nurl = \"http://lan.example\"\n[sync]\ninterval = \"90s\"\nhold = \"1h\"\n[window]\nlanguage = \"de\"\nappearance = \"dark\"\nnotifications = false\n[buffer]\nmax_bytes = 10000000\n[extensions]\nchromium = [\"abcdefghijklmnopabcdefghijklmnop\"]\n[log]\nlevel = \"warn\"\n[[privacy.rules]]\nid = \"r\"\nmatch = \"host\"\npattern = \"*.bank.example\"\naction = \"drop\"";
    let (_dir, path) = written(text);
    assert_eq!(told(&settings(&path)), read(&path).whole().unwrap());
    let (_dir, none) = written("");
    assert_eq!(told(&settings(&none)), Config::default());
}
