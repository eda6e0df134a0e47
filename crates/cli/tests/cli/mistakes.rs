//! What is mistyped, missing or not possible is named, with what would be accepted, and the contract's status.

use crate::same;
use crate::world::{World, failed, line};

#[test]
fn each_mistake_is_named_and_has_its_status() {
    let world = World::with("[tokens]\nstore = 'file'\n");
    world.import(&[line("w", "news.example", Some(("http://b", "b@x"))), failed("f", "bank.example")]);
    let full = world.path("full.ndjson");
    std::fs::write(&full, "mine").unwrap();
    let full = full.to_str().unwrap();
    let missing = world.path("none/out.ndjson");
    let folder = world.path("data");
    let said: Vec<String> = [
        &["teleport"][..],
        &["sync", "--wait", "now"],
        &["pause", "soon"],
        &["pause", "0s"],
        &["login", "--email", "a@x", "--claim", "maybe", "--password-stdin"],
        &["login", "--email", "a@x"],
        &["waiting", "discard"],
        &["waiting", "discard", "99"],
        &["waiting", "discard", "1", "1"],
        &["waiting", "list", "--search", "nowhere at all"],
        &["failed", "show", "99"],
        &["failed", "show", "no-such-record"],
        &["failed", "retry"],
        &["failed", "retry", "--all", "1"],
        &["failed", "retry", "99"],
        &["failed", "list", "--reason", "too_large"],
        &["failed", "discard", "--reason", "too_large"],
        &["export", full],
        &["export", missing.to_str().unwrap()],
        &["export", folder.to_str().unwrap(), "--force"],
        &["export", "-", "--account", "nobody@x"],
        &["import", "none.ndjson"],
        &["import", folder.to_str().unwrap()],
        &["discard", "--account", "nobody@x"],
        &["forget", "http://a/b"],
        &["forget", ""],
        &["erase"],
        &["claim"],
        &["sync"],
        &["config", "get", "sync.intervall"],
        &["config", "set", "sync.intervall", "5m"],
        &["config", "set", "sync.interval", "1s"],
        &["config", "set", "sync.batch_bytes", "5"],
        &["config", "set", "window.language", "fr"],
        &["config", "set", "backend.url", "http://example.com"],
        &["config", "unset", "nonsense"],
        &["--json", "failed", "show", "99"],
        &["--json", "config", "set", "log.level", "loud"],
    ]
    .into_iter()
    .map(|arguments| world.said(arguments))
    .collect();
    assert_eq!(std::fs::read_to_string(full).unwrap(), "mine", "never written over unasked");
    same!(said.join("\n"));
}

#[test]
fn a_password_is_never_repeated() {
    let world = World::with("[backend]\nproxy = 'http://me:geheim@:99999'\n");
    for arguments in [
        &["status"][..],
        &["doctor"],
        &["config", "get"],
        &["config", "set", "backend.proxy", "http://you:geheim@:99999"],
        &["sync"],
    ] {
        let said = world.said(arguments).replace("you:geheim@:99999\n", "\n");
        assert!(!said.contains("geheim"), "{said}");
    }
}

#[test]
fn who_stops_reading_is_told_nothing() {
    let world = World::with("[tokens]\nstore = 'file'\n");
    let lines: Vec<String> = (0..2_000).map(|i| line(&format!("v{i}"), "news.example", None)).collect();
    world.import(&lines);
    for arguments in [&["waiting", "list"][..], &["export", "-"], &["--json", "waiting", "list"]] {
        let mut command = world.command(arguments);
        let (read, write) = std::io::pipe().unwrap();
        drop(read);
        let output = command.stdout(write).stderr(std::process::Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}
