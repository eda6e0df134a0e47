//! `export`, `import`, `waiting list`, `discard` and `forget`, typed as a user types them.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn heyho(world: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_heyho"))
        .args(arguments)
        .env_clear()
        .env("HEYHO_DATA_DIR", world.join("data"))
        .env("HEYHO_CONFIG_DIR", world.join("config"))
        .env("HEYHO_STATE_DIR", world.join("state"))
        .env("HEYHO_RUNTIME_DIR", world.join("run"))
        .output()
        .unwrap()
}

fn json(world: &Path, arguments: &[&str]) -> Value {
    let output = heyho(world, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn line(id: &str, host: &str, email: &str) -> String {
    format!(
        r#"{{"kind":"pageVisit","id":"{id}","source":"chrome-extension://x/#p","account":{{"backend":"http://b","user":"{email}","email":"{email}"}},"revision":3,"state":"waiting","reason":null,"capturedAt":"2026-01-02T03:04:05Z","record":{{"id":"{id}","url":"http://{host}/","startedAt":5}}}}"#
    )
}

#[test]
fn what_was_exported_comes_in_once_and_goes_by_site_and_by_account() {
    let world = tempfile::tempdir().unwrap();
    let world = world.path();
    let file = world.join("in.ndjson");
    let lines = [
        line("a", "www.bank.example", "a@x"),
        line("b", "news.example", "a@x"),
        line("c", "news.example", "b@x"),
        "nonsense".to_owned(),
    ];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let name = file.to_str().unwrap();
    let output = heyho(world, &["import", name]);
    assert_eq!(output.status.code(), Some(65), "one line is none");
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 4"));
    std::fs::write(&file, lines[..3].join("\n")).unwrap();
    let again = json(world, &["--json", "import", name]);
    assert_eq!((&again["stored"], &again["unchanged"]), (&Value::from(0), &Value::from(3)));

    let out = world.join("out.ndjson");
    assert!(heyho(world, &["export", out.to_str().unwrap()]).status.success());
    assert_eq!(std::fs::read_to_string(&out).unwrap().trim_end(), lines[..3].join("\n"));

    let ids = || -> Vec<String> {
        let listed = json(world, &["--json", "waiting", "list"]);
        listed.as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(), ["a", "b", "c"]);
    assert_eq!(json(world, &["--json", "forget", "bank.example"])["waiting"], 1);
    assert_eq!(ids(), ["b", "c"]);
    assert_eq!(json(world, &["--json", "discard", "--account", "a@x"])["count"], 1);
    assert_eq!(ids(), ["c"]);
    assert_eq!(heyho(world, &["forget", "http://a/b"]).status.code(), Some(64));
    assert_eq!(heyho(world, &["discard"]).status.code(), Some(64));
}
