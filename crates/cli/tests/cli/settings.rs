//! `config`: shown, changed, named when mistaken; comments stay, and a running agent hears of it.

use crate::same;
use crate::world::{Backend, World};
use std::time::{Duration, Instant};

#[test]
fn settings_are_shown_and_changed() {
    let world = World::with("# mine\n[tokens] # here\nstore = 'file' # no keyring\n");
    let said: Vec<String> = [
        &["config", "path"][..],
        &["config", "get", "sync.interval"],
        &["config", "get", "buffer.max_bytes"],
        &["--json", "config", "get", "sync.interval"],
        &["config", "set", "sync.interval", "90s"],
        &["config", "set", "sync.batch_page_visits", "5"],
        &["config", "set", "sync.pause_on_battery", "true"],
        &["config", "set", "extensions.firefox", "me@example.org"],
        &["config", "set", "extensions.chromium", "abc"],
        &["config", "set", "browsers.skip", "[\"brave\", \"edge\"]"],
        &["config", "set", "backend.ca_file", "5"],
        &["--json", "config", "set", "window.language", "de"],
        &["config", "set", "log.level", "debug"],
        &["config", "get"],
        &["config", "unset", "sync.interval"],
        &["config", "get", "sync.interval"],
    ]
    .into_iter()
    .map(|arguments| world.said(arguments))
    .collect();
    let file = std::fs::read_to_string(world.path("config/config.toml")).unwrap();
    same!(format!("{}\n{file}", said.join("\n")));
}

#[test]
fn a_mistake_in_the_file_is_said_beside_the_rest_and_mended() {
    let world = World::with("[sync]\nhold = 5\ninterval = \"2m\"\n[spurious]\n");
    let said: Vec<String> = [
        &["config", "get", "sync.interval"][..],
        &["config", "set", "sync.hold", "10m"],
        &["config", "get", "sync.hold"],
    ]
    .into_iter()
    .map(|arguments| world.said(arguments))
    .collect();
    same!(said.join("\n"));
}

#[test]
fn a_file_that_cannot_be_read_shows_no_defaults_and_accuses_no_browser() {
    let world = World::with("[sync]\ninterval = \"2m\"\n[sync\n");
    let got = world.said(&["config", "get"]);
    assert!(got.contains("line 3") && got.ends_with("= 78\n") && !got.contains("(default)"), "{got}");
    let browsers = |world: &World| {
        let output = world.heyho(&["--json", "doctor"]);
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let of = found.as_array().unwrap().iter().filter(|finding| finding["part"] == "browsers");
        of.map(|finding| finding["text"].as_str().unwrap().to_owned()).collect::<String>()
    };
    assert!(browsers(&world).contains("not looked at"));
    world.configure("[sync]\ninterval = \"often\"\n");
    let got = world.said(&["config", "get"]);
    assert!(got.contains("(default: what is set is not accepted)"), "{got}");
    assert!(!browsers(&world).contains("not looked at"));
}

#[test]
fn privacy_rules_are_shown_and_where_they_are_made_is_said() {
    let rule = |id: &str, action: &str| {
        format!(
            "[[privacy.rules]]\nid = '{id}'\nmatch = 'host'\npattern = '*.{id}.example'\naction = '{action}'\n"
        )
    };
    let world = World::with(&rule("bank", "drop"));
    let mut said = vec![
        world.said(&["config", "get", "privacy.rules"]),
        world.said(&["--json", "config", "get", "privacy.rules"]),
        world.said(&["config", "set", "privacy.rules", "[]"]),
    ];
    // One that is mistaken hides none of the others.
    world.configure(&format!("{}{}", rule("bank", "drop"), rule("clinic", "drp")));
    said.push(world.said(&["config", "get", "privacy.rules"]));
    same!(said.join("\n"));
}

/// Its session counts for nothing there, which nobody should have to find out.
#[test]
fn another_backend_is_said_to_be_one_without_a_session() {
    let backend = Backend::start();
    let world = World::with("[tokens]\nstore = 'file'\n");
    assert!(world.sign_in(&backend).status.success());
    let said = world.said(&["config", "set", "backend.url", "http://127.0.0.1:9"]);
    assert!(said.contains("is signed in at") && said.contains("heyho login"), "{said}");
    let status = world.json(&["status"]);
    assert_eq!(
        (&status["state"], &status["reasonCode"]),
        (&"session_expired".into(), &"other_backend".into())
    );
    let said = world.said(&["config", "set", "backend.url", &backend.url]);
    assert!(!said.contains("is signed in at"), "{said}");
    assert_ne!(world.json(&["status"])["state"], "session_expired");
}

/// Bounded: a change is acted on at once.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_running_agent_acts_on_a_change_at_once() {
    let backend = Backend::start();
    let world = World::with("[tokens]\nstore = 'file'\n");
    assert!(world.sign_in(&backend).status.success());
    let _agent = world.agent();
    world.json(&["config", "set", "backend.url", "http://127.0.0.1:9"]);
    let other = state_becomes(&world, "session_expired");
    assert_eq!(other["reasonCode"], "other_backend");
    world.json(&["config", "set", "backend.url", &backend.url]);
    state_becomes(&world, "up_to_date");
    let refused = world.heyho(&["config", "set", "sync.interval", "1s"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(world.path("data/tokens.json").exists());
}

fn state_becomes(world: &World, state: &str) -> serde_json::Value {
    let begun = Instant::now();
    loop {
        let status = world.json(&["status"]);
        if status["state"] == state {
            return status;
        }
        assert!(begun.elapsed() < SOON, "it is {status}");
    }
}
