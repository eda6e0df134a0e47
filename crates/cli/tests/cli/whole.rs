//! The whole of it: sign in, deliver, look, delete, pause, sign out, with an agent and a backend that run.

use crate::same;
use crate::world::{Backend, EMAIL, PASSWORD, World, failed, line};
use heyho_backend::Registration;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

fn until(world: &World, what: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let begun = Instant::now();
    loop {
        let status = world.json(&["status"]);
        if what(&status) {
            return status;
        }
        assert!(begun.elapsed() < SOON, "it stays {status}");
    }
}

#[test]
fn records_are_delivered_and_what_happened_is_said() {
    let backend = Backend::start();
    let world = World::with("[tokens]\nstore = 'file'\n");
    let mut said = vec![world.shown(&["login", "…"], &world.sign_in(&backend))];
    let own = world.json(&["status"])["account"]["ref"].as_str().unwrap().to_owned();
    assert_eq!(own.len(), 24);
    let export = world.said(&["--json", "status"]);
    assert!(export.contains("\"agentRunning\":false"));
    let user = user(&world, &backend);
    let account = Some((backend.url.as_str(), user.as_str()));
    world.import(&[line("a", "news.example", account), line("b", "www.bank.example", account)]);
    let agent = world.agent();
    until(&world, |status| status["state"] == "up_to_date");
    said.push(world.said(&["status"]));
    said.push(world.said(&["--json", "status"]));
    said.push(world.said(&["sync", "--wait"]));
    said.push(world.said(&["--json", "sync", "--wait"]));
    said.push(world.said(&["sync"]));
    said.push(world.said(&["forget", "bank.example", "--backend"]));
    said.push(world.said(&["--json", "forget", "bank.example", "--backend"]));
    // What the plain sync began is over: a pause would stop it, and the last run would be another.
    world.heyho(&["sync", "--wait"]);
    said.push(world.said(&["pause", "1h"]));
    said.push(world.said(&["sync"]));
    said.push(world.said(&["status"]));
    said.push(world.said(&["resume"]));
    said.push(world.said(&["claim"]));
    said.push(world.said(&["agent"]));
    said.push(world.said(&["logout"]));
    said.push(world.said(&["status"]));
    said.push(world.said(&["claim"]));
    said.push(world.said(&["sync"]));
    drop(agent);
    same!(said.join("\n"));
}

/// What the backend calls the account: an export has it, once a record is bound to it.
fn user(world: &World, backend: &Backend) -> String {
    world.import(&[line("first", "first.example", None)]);
    world.json(&["claim"]);
    let output = world.heyho(&["export", "-"]);
    let first: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(first["account"]["backend"], backend.url.as_str());
    first["account"]["user"].as_str().unwrap().to_owned()
}

#[test]
fn who_cannot_sign_in_is_told_why() {
    let backend = Backend::start();
    let world = World::with("[tokens]\nstore = 'file'\n");
    assert!(world.sign_in(&backend).status.success());
    let login = |more: &[&str], password: &str| {
        let arguments = [&["login", "--email", EMAIL, "--password-stdin"], more].concat();
        let shown = world.shown(more, &world.heyho_reading(&arguments, password));
        assert!(!shown.contains(PASSWORD));
        shown
    };
    let said = [
        login(&[], "another password"),
        login(&["--register"], PASSWORD),
        login(&[], ""),
        login(&["--backend", "http://127.0.0.1:9"], PASSWORD),
        login(&["--backend", "ftp://x"], PASSWORD),
        login(&["--backend", "http://example.com"], PASSWORD),
    ];
    same!(said.join("\n"));
}

#[test]
fn where_registration_is_closed_that_is_said() {
    let backend = Backend::start_with(|config| config.registration = Registration::Closed);
    let world = World::with("[tokens]\nstore = 'file'\n");
    let login = ["login", "--email", EMAIL, "--password-stdin", "--register", "--backend", &backend.url];
    let shown = world.shown(&["login", "…"], &world.heyho_reading(&login, PASSWORD));
    assert!(shown.contains("makes no new accounts by itself") && shown.ends_with("= 77\n"), "{shown}");
}

#[test]
fn an_outage_is_said_beside_the_failed_and_over_when_it_is_over() {
    let world = World::with("[tokens]\nstore = 'file'\n");
    {
        let backend = Backend::start();
        assert!(world.sign_in(&backend).status.success());
        world.import(&[line("a", "news.example", None), failed("f", "bank.example")]);
        world.json(&["claim"]);
        // The sign-in may or may not have found the time to reach the backend: this run has.
        let run = world.heyho(&["sync", "--wait"]);
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        world.import(&[line("b", "news.example", None)]);
        world.json(&["claim"]);
    }
    let _agent = world.agent();
    until(&world, |status| status["lastSync"]["outcome"] == "no_answer");
    let status = until(&world, |status| status["state"] == "needs_attention");
    assert_eq!(status["reasonCode"], "failed_records");
    assert_eq!(status["reasonArgs"]["count"], 1);
    assert_eq!(status["also"][0]["code"], "no_answer");
    assert_eq!(status["also"][0]["args"]["fault"], "refused");
    same!(format!("{}\n{}", world.said(&["status"]), world.said(&["sync", "--wait"])));
}

#[test]
fn the_doctor_says_how_each_part_stands() {
    let backend = Backend::start();
    let world = World::with("[tokens]\nstore = 'file'\n[synk]\n");
    assert!(world.sign_in(&backend).status.success());
    let part = |findings: &serde_json::Value, part: &str| -> Vec<serde_json::Value> {
        findings.as_array().unwrap().iter().filter(|f| f["part"] == part).cloned().collect()
    };
    let look = || -> serde_json::Value {
        let output = world.heyho(&["--json", "doctor"]);
        assert_eq!(output.status.code(), Some(1), "something is always missing here");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let found = look();
    assert_eq!(part(&found, "companion")[0]["good"], false);
    assert_eq!(part(&found, "settings")[0]["text"], "[synk] means nothing here");
    for good in ["database", "disk", "tokens", "backend", "clock"] {
        assert_eq!(part(&found, good)[0]["good"], true, "{found}");
    }
    for finding in found.as_array().unwrap().iter().filter(|f| f["good"] == false) {
        assert!(finding["advice"].is_string(), "{finding}");
    }
    let agent = world.agent();
    let found = look();
    assert_eq!(part(&found, "companion")[0]["good"], true);
    assert_eq!(part(&found, "tokens")[0]["good"], true);
    drop((agent, backend));
    assert_eq!(part(&look(), "backend")[0]["good"], false);
    world.configure("[tokens]\nstore = 'keyring'\n");
    let tokens = part(&look(), "tokens");
    assert_eq!(tokens[0]["good"], false, "no keyring here: {tokens:?}");
    std::fs::write(world.path("data/buffer.db"), "no database").unwrap();
    assert_eq!(part(&look(), "database")[0]["good"], false);
    // What the agent saves at its start is said until somebody has looked.
    world.configure("[tokens]\nstore = 'file'\n");
    let agent = world.agent();
    let said = |status: &serde_json::Value| status.to_string().contains("\"recovered\"");
    assert!(said(&world.json(&["status"])));
    let found = part(&look(), "recovery");
    assert_eq!(found[0]["good"], false, "{found:?}");
    assert!(!said(&world.json(&["status"])));
    drop(agent);
    assert_eq!(part(&look(), "recovery")[0]["good"], true);
}

/// Each with the advice for it, and for nothing else.
#[test]
fn the_doctor_says_what_to_do_for_each_fault_of_the_store() {
    let world = World::with("[tokens]\nstore = 'file'\n");
    let file = world.path("data/buffer.db");
    let fault = |part: &str| -> String {
        let output = world.heyho(&["--json", "doctor"]);
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let faults = found.as_array().unwrap().iter().filter(|f| f["part"] == part && f["good"] == false);
        faults.map(|f| format!("{} → {}\n", f["text"], f["advice"])).collect()
    };
    // Something else has its name.
    std::fs::create_dir_all(&file).unwrap();
    let said = fault("database");
    assert!(said.contains("yours to write to"), "{said}");
    std::fs::remove_dir(&file).unwrap();
    assert_eq!(fault("database"), "");
    // As large as the settings allow, with no agent to say so.
    world.configure("[tokens]\nstore = 'file'\n[buffer]\nmax_bytes = 1048576\n");
    let padding = "x".repeat(100_000);
    let large: Vec<String> = (0..20)
        .map(|n| {
            line(&format!("l{n}"), "news.example", None).replace(":5}", &format!(r#":5,"p":"{padding}"}}"#))
        })
        .collect();
    world.configure("[tokens]\nstore = 'file'\n");
    world.import(&large);
    world.configure("[tokens]\nstore = 'file'\n[buffer]\nmax_bytes = 1048576\n");
    let said = fault("database");
    assert!(said.contains("The buffer is full") && said.contains("max_bytes"), "{said}");
    assert_eq!(world.json(&["status"])["reasonCode"], "buffer_full");
    world.configure("[tokens]\nstore = 'file'\n");
    // A full disk: what was laid by is let go, and there is no room for another.
    std::fs::write(world.path("data/ballast"), "").unwrap();
    let said = fault("database");
    assert!(said.contains("The disk is full") && said.contains("free some space on its disk"), "{said}");
    assert!(!said.contains("max_bytes"), "{said}");
    assert_eq!(world.json(&["status"])["reasonCode"], "disk_full");
    std::fs::remove_file(world.path("data/ballast")).unwrap();
    // Damage that somebody met in use.
    std::fs::write(world.path("data/buffer.db.suspect"), "").unwrap();
    let said = fault("database");
    assert!(said.contains("sets the file aside"), "{said}");
    std::fs::remove_file(world.path("data/buffer.db.suspect")).unwrap();
    // A socket that nobody listens on.
    std::fs::create_dir_all(world.path("run")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(world.path("run/agent.sock")).unwrap());
    let said = fault("companion");
    assert!(said.contains("does not answer on its socket") && said.contains("heyho agent"), "{said}");
    // A reader that never ends: only the length of the log is looked at.
    let reader = {
        let _ = world.json(&["status"]);
        let log = std::fs::File::create(world.path("data/buffer.db-wal")).unwrap();
        log.set_len(65 << 20).unwrap();
        fault("database")
    };
    assert!(reader.contains("its log has grown") && reader.contains("backups"), "{reader}");
    let _ = std::fs::remove_file(world.path("data/buffer.db-wal"));
    // A newer program has used it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let buffer = heyho_buffer::Buffer::open(&file).await.unwrap();
        buffer.set_meta("oldest_writer", "9999").await.unwrap();
        buffer.close().await;
    });
    let said = fault("database");
    assert!(said.contains("newer version") && said.contains("update this program"), "{said}");
    assert!(!said.contains("aside"), "{said}");
}

#[test]
fn a_session_that_cannot_be_kept_is_no_silent_success() {
    let backend = Backend::start();
    let world = World::with("[tokens]\nstore = 'keyring'\n");
    let output = world.sign_in(&backend);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78));
    assert!(text.contains("could not be kept") && text.contains("tokens.store file"), "{text}");
}

/// Who signs out is told what is not delivered, and how to take it along.
#[test]
fn signing_out_names_what_was_not_sent() {
    let backend = Backend::start();
    let world = World::with("[tokens]\nstore = 'file'\n");
    // Nothing goes out by itself meanwhile.
    world.json(&["pause"]);
    let mut said = Vec::new();
    for records in [&[][..], &[line("w", "news.example", None)], &[failed("f", "bank.example")]] {
        let arguments =
            ["login", "--email", EMAIL, "--password-stdin", "--backend", &backend.url, "--register"];
        let arguments = &arguments[..arguments.len() - usize::from(!said.is_empty())];
        assert!(world.heyho_reading(arguments, PASSWORD).status.success());
        if !records.is_empty() {
            world.import(records);
            world.json(&["claim"]);
        }
        said.push(world.said(&["logout"]));
    }
    said.push(world.said(&["logout"]));
    same!(said.join("\n"));
}

/// One that was stopped has its socket still.
#[cfg(unix)]
#[test]
fn an_agent_that_hangs_is_not_waited_for_without_end() {
    let world = World::with("[tokens]\nstore = 'file'\n");
    let agent = world.agent();
    agent.hang();
    let said = world.said(&["--json", "pause"]);
    assert!(said.contains("does not answer") && said.ends_with("= 75\n"), "{said}");
}

#[test]
fn signing_out_leaves_no_tokens_behind() {
    let backend = Backend::start();
    let world = World::with("[tokens]\nstore = 'file'\n");
    assert!(world.sign_in(&backend).status.success());
    let tokens = world.path("data/tokens.json");
    assert!(tokens.exists());
    assert!(world.said(&["logout"]).ends_with("= 0\n"));
    assert!(!tokens.exists());
}
