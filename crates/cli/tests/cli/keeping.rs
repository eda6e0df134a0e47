//! What is exported comes in once, and goes by site and by account.

use crate::world::{World, line};
use serde_json::Value;

#[test]
fn what_was_exported_comes_in_once_and_goes_by_site_and_by_account() {
    let world = World::with("[tokens]\nstore = 'file'\n");
    let file = world.path("in.ndjson");
    let [a, b] = [Some(("http://b", "a@x")), Some(("http://b", "b@x"))];
    let lines = [
        line("a", "www.bank.example", a),
        line("b", "news.example", a),
        line("c", "news.example", b),
        "nonsense".to_owned(),
    ];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let name = file.to_str().unwrap();
    let output = world.heyho(&["import", name]);
    assert_eq!(output.status.code(), Some(65), "one line is none");
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 4"));
    std::fs::write(&file, lines[..3].join("\n")).unwrap();
    let again = world.json(&["import", name]);
    assert_eq!((&again["stored"], &again["unchanged"]), (&Value::from(0), &Value::from(3)));

    let out = world.path("out.ndjson");
    assert!(world.heyho(&["export", out.to_str().unwrap()]).status.success());
    assert_eq!(std::fs::read_to_string(&out).unwrap().trim_end(), lines[..3].join("\n"));

    let ids = || -> Vec<String> {
        let listed = world.json(&["waiting", "list"]);
        listed.as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(), ["a", "b", "c"]);
    assert_eq!(world.json(&["forget", "bank.example"])["waiting"], 1);
    assert_eq!(ids(), ["b", "c"]);
    assert_eq!(world.json(&["discard", "--account", "a@x"])["count"], 1);
    assert_eq!(ids(), ["c"]);
    assert_eq!(world.heyho(&["forget", "http://a/b"]).status.code(), Some(64));
    assert_eq!(world.heyho(&["discard"]).status.code(), Some(64));
}
