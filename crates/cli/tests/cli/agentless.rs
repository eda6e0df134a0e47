//! Without an agent: what is kept here can be looked at and dealt with, and nothing is claimed that only an agent
//! can know.

use crate::same;
use crate::world::{Backend, World, failed, failed_of, line};

fn world() -> World {
    let world = World::with("[tokens]\nstore = 'file'\n");
    let (a, b) = (Some(("http://b", "a@x")), Some(("http://b", "b@x")));
    world.import(&[
        line("w1", "news.example", a),
        line("w2", "www.bank.example", b),
        line("w3", "news.example", None),
        failed("f1", "bank.example"),
        failed("f2", "news.example"),
    ]);
    world
}

#[test]
fn what_is_kept_is_shown() {
    let world = world();
    let said: Vec<String> = [
        &["status"][..],
        &["--json", "status"],
        &["waiting", "list"],
        &["waiting", "list", "--search", "BANK page"],
        &["--json", "waiting", "list", "--search", "w3"],
        &["failed", "list"],
        &["failed", "list", "--reason", "rejected_by_backend"],
        &["--json", "failed", "list"],
        &["failed", "show", "f1"],
        &["failed", "show", "5"],
        &["export", "-", "--account", "b@x"],
    ]
    .into_iter()
    .map(|arguments| world.said(arguments))
    .collect();
    same!(said.join("\n"));
}

#[test]
fn what_failed_is_dealt_with() {
    let world = world();
    let out = world.path("out.ndjson");
    let out = out.to_str().unwrap();
    let said: Vec<String> = [
        &["failed", "export", out][..],
        &["failed", "export", out],
        &["failed", "export", out, "--force"],
        &["failed", "keep", "f1"],
        &["failed", "keep", "f1"],
        &["status"],
        &["failed", "retry", "f2", "f1"],
        &["failed", "list"],
        &["failed", "discard", "--all"],
        &["waiting", "discard", "1", "2"],
        &["--json", "waiting", "discard", "3", "99"],
        &["export", out, "--force"],
        &["erase", "--yes"],
        &["--json", "erase", "--yes"],
        &["status"],
    ]
    .into_iter()
    .map(|arguments| world.said(arguments))
    .collect();
    same!(said.join("\n"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(out).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn an_account_is_discarded_whole_and_the_others_stay() {
    let world = world();
    let said = [
        world.said(&["discard", "--account", "a@x"]),
        world.said(&["discard", "--account", "a@x", "--yes"]),
        world.said(&["--json", "discard", "--account", "b@x"]),
        world.said(&["waiting", "list"]),
    ];
    same!(said.join("\n"));
}

#[test]
fn whose_what_failed_is_is_said_and_what_becomes_of_it() {
    let world = World::with("[tokens]\nstore = 'file'\n");
    let of = |id: &str, account: &str| failed_of(id, "news.example", Some(("http://b", account)));
    let rejected = failed("r", "news.example").replace(
        r#""code":"rejected_by_backend","field":"url","message":"not liked","status":400"#,
        r#""code":"rejected_at_capture","rule":"missing_url","message":"it has no address""#,
    );
    world.import(&[of("a1", "a@x"), of("b1", "b@x"), of("b2", "b@x"), failed("n", "news.example"), rejected]);
    let said: Vec<String> = [
        &["status"][..],
        &["failed"],
        &["failed", "retry", "r", "99"],
        &["failed", "retry", "r"],
        &["--json", "failed", "retry", "r"],
        &["failed", "keep", "b2"],
        &["failed", "keep", "b2"],
        &["failed", "retry", "--all"],
        &["failed", "discard", "--all"],
        &["waiting"],
    ]
    .into_iter()
    .map(|arguments| world.said(arguments))
    .collect();
    same!(said.join("\n"));
}

/// The command that resumes is the agent for its own length, and begins a run that its end cuts short.
#[test]
fn what_ends_with_a_command_was_not_stopped_by_anybody() {
    let backend = Backend::start();
    let world = World::with("[tokens]\nstore = 'file'\n");
    assert!(world.sign_in(&backend).status.success());
    let many: Vec<String> = (0..600).map(|n| line(&format!("v{n}"), "news.example", None)).collect();
    world.import(&many);
    world.json(&["claim"]);
    for _ in 0..4 {
        world.json(&["pause"]);
        world.json(&["resume"]);
        let said = world.said(&["status"]);
        assert!(!said.contains("Stopped as asked"), "{said}");
    }
}

#[test]
fn a_pause_has_its_end_also_without_an_agent() {
    let world = world();
    world.json(&["pause", "1h"]);
    assert!(world.json(&["status"])["pausedUntil"].is_string());
    world.json(&["pause"]);
    assert!(world.json(&["status"])["pausedUntil"].is_null());
}

#[test]
fn what_is_kept_quietly_stays_so_through_an_export() {
    let world = world();
    world.json(&["failed", "keep", "f1"]);
    let out = world.path("out.ndjson");
    let out = out.to_str().unwrap();
    world.json(&["export", out]);
    world.json(&["erase", "--yes"]);
    world.json(&["import", out]);
    let status = world.json(&["status"]);
    assert_eq!((&status["failed"], &status["failedKept"]), (&2.into(), &1.into()));
}

#[test]
fn a_mistake_in_the_settings_does_not_hide_the_status() {
    let world = world();
    world.configure("[sync]\ninterval = \"often\"\n[tokens]\nstore = 'file'\n[synk]\n");
    let said = [world.said(&["status"]), world.said(&["waiting", "list"]), world.said(&["sync"])];
    same!(said.join("\n"));
}

#[test]
fn diagnostics_are_the_facts_for_a_report_and_name_nobody() {
    let world = World::with("[tokens]\nstore = 'file'\n");
    world.import(&[line("canary", "canary.example", Some(("https://canary.example", "canary@example.org")))]);
    let said = world.said(&["diagnostics"]);
    assert!(!said.contains("canary"), "{said}");
    let json = world.said(&["--json", "diagnostics"]);
    assert!(!json.contains("canary"), "{json}");
    let release = concat!("Companion ", env!("CARGO_PKG_VERSION"));
    let system = format!("system: {} {}", std::env::consts::OS, std::env::consts::ARCH);
    same!(
        format!("{said}\n{json}")
            .replace(release, "Companion [RELEASE]")
            .replace(&system, "system: [SYSTEM]")
    );
}
