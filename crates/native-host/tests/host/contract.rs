//! What contract section 2 says of hello, of refusals and of large answers, sentence by sentence.

use super::{Host, visit};
use heyho_buffer::{Buffer, SignedIn};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use std::path::Path;
use std::time::Duration;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn settings(world: &Path, text: &str) {
    std::fs::create_dir_all(world.join("config")).unwrap();
    std::fs::write(world.join("config/config.toml"), text).unwrap();
}

/// Whoever is signed in, as the agent writes it.
fn sign_in(world: &Path, user: &str) -> String {
    let who = SignedIn {
        backend: "http://b".into(),
        user_id: user.into(),
        email: format!("{user}@x"),
        claim_others: false,
    };
    runtime().block_on(async {
        let buffer = Buffer::open(&world.join("data/buffer.db")).await.unwrap();
        let account = buffer.sign_in(&who, 1).await.unwrap().0;
        buffer.close().await;
        account.r#ref
    })
}

/// (id, source, whose) of everything that is kept.
fn kept(world: &Path) -> Vec<(String, String, Option<String>)> {
    runtime().block_on(async {
        let buffer = Buffer::open(&world.join("data/buffer.db")).await.unwrap();
        let lines = buffer.export(None, false).next().await.unwrap();
        lines.into_iter().map(|line| (line.id, line.source, line.account.map(|a| a.email))).collect()
    })
}

fn connect(world: &Path) -> SqliteConnection {
    let path = world.join("data/buffer.db");
    runtime().block_on(SqliteConnection::connect(&format!("sqlite://{}", path.display()))).unwrap()
}

#[test]
fn rules_that_cannot_be_read_are_not_said_as_none_and_those_that_were_said_hold() {
    let world = tempfile::tempdir().unwrap();
    let rule = |pattern: &str, action: &str| {
        let rule = format!("id = 'b'\nmatch = 'host'\npattern = '{pattern}'\naction = '{action}'\n");
        settings(world.path(), &format!("[[privacy.rules]]\n{rule}"));
    };
    let hello = json!({ "type": "hello", "protocol": 1, "client": { "profileId": "p" } });
    rule("*.bank.example", "dorp");
    sign_in(world.path(), "ada");
    let mut host = Host::start(world.path());
    let welcome = host.ask(&hello);
    assert!(welcome["type"] == "welcome" && welcome.get("rules").is_none(), "{welcome}");
    // Mended before the subscription: it was not told yet, so it is pushed.
    rule("*.bank.example", "drop");
    assert_eq!(host.ask(&json!({ "type": "subscribe" }))["type"], "status");
    let pushed = host.answer();
    assert_eq!((&pushed["type"], &pushed["rules"][0]["action"]), (&json!("rules"), &json!("drop")));
    // A slip while it is connected. Rules go before the status in each look: a status means that nothing was said of them.
    rule("*.bank.example, shop.example", "dorp");
    sign_in(world.path(), "bob");
    let pushed = host.answer();
    assert_eq!((&pushed["type"], &pushed["account"]["email"]), (&json!("status"), &json!("bob@x")));
    rule("*.shop.example", "strip");
    let pushed = host.answer();
    assert_eq!(
        (&pushed["type"], &pushed["rules"][0]["pattern"]),
        (&json!("rules"), &json!("*.shop.example"))
    );
    assert_eq!(host.end().0, 0);
}

#[test]
fn welcome_says_whose_records_are_captured_and_which_rules_hold_and_the_ref_is_obeyed() {
    let world = tempfile::tempdir().unwrap();
    let (ada, bob) = (sign_in(world.path(), "ada"), sign_in(world.path(), "bob"));
    settings(
        world.path(),
        "[[privacy.rules]]\nid = 'b'\nmatch = 'host'\npattern = '*.bank.example'\naction = 'drop'\n",
    );
    let mut host = Host::start(world.path());
    let welcome = host.ask(&json!({ "type": "hello", "protocol": 1, "client": { "profileId": "p" } }));
    assert_eq!(welcome["account"], json!({ "ref": bob, "email": "bob@x" }));
    assert_eq!(
        welcome["rules"],
        json!([{ "id": "b", "match": "host", "pattern": "*.bank.example", "action": "drop" }])
    );
    assert_eq!(welcome["features"], json!(["records", "status", "subscribe", "sync", "open"]));
    assert!(welcome.get("id").is_none(), "a request without an id is answered without one");
    for (id, account) in [("hers", json!(ada)), ("his", Value::Null), ("nobodys", json!("unknown"))] {
        let mut frame = json!({ "type": "records", "pageVisits": [visit(id)] });
        if !account.is_null() {
            frame["accountRef"] = account;
        }
        assert_eq!(host.ask(&frame)["stored"], 1);
    }
    assert_eq!(host.end().0, 0);
    let whose: Vec<_> = kept(world.path()).into_iter().map(|(id, _, whose)| (id, whose)).collect();
    let expected = [("hers", Some("ada@x")), ("his", Some("bob@x")), ("nobodys", None)];
    assert_eq!(whose, expected.map(|(id, whose)| (id.to_owned(), whose.map(str::to_owned))));
}

#[test]
fn a_source_is_the_caller_and_the_profile_in_chromium_and_in_firefox() {
    let world = tempfile::tempdir().unwrap();
    let callers: [&[&str]; 3] = [
        &["chrome-extension://abcdef/"],
        &["/home/x/.mozilla/native-messaging-hosts/com.heyho.companion.json", "companion@heyho.app"],
        &["chrome-extension://abcdef/"],
    ];
    for (caller, profile) in callers.into_iter().zip(["p", "p", "q"]) {
        let mut host = Host::start_as(world.path(), caller);
        host.ask(&json!({ "type": "hello", "protocol": 1, "client": { "profileId": profile } }));
        // The same id from each of them is a record of each.
        assert_eq!(host.ask(&json!({ "type": "records", "pageVisits": [visit("v")] }))["stored"], 1);
        assert_eq!(host.end().0, 0);
    }
    let sources: Vec<String> = kept(world.path()).into_iter().map(|(_, source, _)| source).collect();
    assert_eq!(
        sources,
        ["chrome-extension://abcdef/#p", "companion@heyho.app#p", "chrome-extension://abcdef/#q"]
    );
}

#[test]
fn an_unknown_protocol_is_told_what_is_spoken_and_the_connection_goes_on() {
    let world = tempfile::tempdir().unwrap();
    let mut host = Host::start(world.path());
    for protocol in [json!(0), json!(2), json!("1"), Value::Null] {
        let answer = host.ask(&json!({ "type": "hello", "id": 1, "protocol": protocol, "client": {} }));
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("unsupported_protocol")));
        assert_eq!((&answer["id"], &answer["supported"]), (&json!(1), &json!([1])));
    }
    assert_eq!(host.ask(&json!({ "type": "hello", "protocol": 1 }))["type"], "welcome");
}

#[test]
fn nothing_of_a_frame_with_too_many_is_stored_and_an_id_is_echoed_as_it_came() {
    let world = tempfile::tempdir().unwrap();
    let mut host = Host::start(world.path());
    let many: Vec<Value> = (0..1_001).map(|n| json!({ "startTime": n, "tabId": n })).collect();
    let answer = host.ask(&json!({ "type": "records", "pageVisits": [visit("a")], "tabAggregates": many }));
    assert_eq!(answer["code"], "too_many_records");
    for (id, echoed) in [
        ("12345678901234567890123", "12345678901234567890123".to_owned()),
        ("-1.50", "-1.50".to_owned()),
        ("\"\\ud83d\"", "\"\u{fffd}\"".to_owned()),
        (&*format!("\"{}\"", "é".repeat(200)), format!("\"{}\"", "é".repeat(128))),
    ] {
        host.send_text(&format!(r#"{{"type":"status","id":{id}}}"#));
        let answer = host.answer_text();
        assert!(answer.contains(&format!("\"id\":{echoed}")), "{answer}");
        assert!(answer.contains("\"unclaimed\":0"));
    }
}

#[test]
fn two_thousand_rejected_are_answered_under_a_million_bytes_and_the_counts_add_up() {
    let world = tempfile::tempdir().unwrap();
    let mut host = Host::start(world.path());
    let bad = |n: usize| json!({ "id": format!("{}{n}", "\u{1}".repeat(120)), "url": "javascript:1" });
    let (visits, aggregates): (Vec<Value>, Vec<Value>) =
        ((0..1_000).map(bad).collect(), (0..1_000).map(bad).collect());
    host.send(&json!({ "type": "records", "id": 1, "pageVisits": visits, "tabAggregates": aggregates }));
    let text = host.answer_text();
    assert!(text.len() < 1_000_000, "{}", text.len());
    let ack: Value = serde_json::from_str(&text).unwrap();
    let listed = ack["rejected"].as_array().unwrap().len() as u64;
    assert_eq!(listed + ack["rejectedMore"].as_u64().unwrap(), 2_000);
    assert_eq!(host.ask(&json!({ "type": "status" }))["failed"], 2_000);
}

#[test]
fn a_full_buffer_a_newer_schema_and_a_lock_that_is_held_are_each_a_nack_and_nothing_hangs() {
    // Full: by the settings' cap.
    let full = tempfile::tempdir().unwrap();
    settings(full.path(), "[buffer]\nmax_bytes = 1048576\n");
    let mut host = Host::start(full.path());
    let padding = "x".repeat(200_000);
    let mut stored = 0u64;
    let nack = loop {
        let mut record = visit(&format!("v{stored}"));
        record["p"] = json!(padding);
        let answer = host.ask(&json!({ "type": "records", "id": "f", "pageVisits": [record] }));
        if answer["type"] == "nack" {
            break answer;
        }
        stored += 1;
        assert!(stored < 20);
    };
    assert_eq!((&nack["id"], &nack["code"]), (&json!("f"), &json!("buffer_full")));
    assert!(nack["retryAfterMs"].as_u64().unwrap() > 0);
    let status = host.ask(&json!({ "type": "status" }));
    assert_eq!((&status["state"], &status["unclaimed"]), (&json!("buffer_problem"), &json!(stored)));

    // Newer: nothing is touched.
    let newer = tempfile::tempdir().unwrap();
    sign_in(newer.path(), "ada");
    let mut other = connect(newer.path());
    runtime().block_on(async {
        for statement in [
            "INSERT INTO _sqlx_migrations VALUES (9999, 'later', datetime(), 1, x'00', 0)",
            "INSERT OR REPLACE INTO meta VALUES ('oldest_writer', '9999')",
        ] {
            sqlx::query(statement).execute(&mut other).await.unwrap();
        }
        other.close().await.unwrap();
    });
    let was = std::fs::read(newer.path().join("data/buffer.db")).unwrap();
    let mut host = Host::start(newer.path());
    let nack = host.ask(&json!({ "type": "records", "pageVisits": [visit("a")] }));
    assert_eq!(nack["code"], "schema_newer");
    assert_eq!(host.end().0, 0);
    assert!(std::fs::read(newer.path().join("data/buffer.db")).unwrap() == was);

    // Busy: after a bounded wait; and then it goes on.
    let busy = tempfile::tempdir().unwrap();
    sign_in(busy.path(), "ada");
    let mut other = connect(busy.path());
    let mut host = Host::start(busy.path());
    let lock = |other: &mut SqliteConnection, statement: &'static str| {
        runtime().block_on(sqlx::query(statement).execute(other)).unwrap();
    };
    lock(&mut other, "BEGIN IMMEDIATE");
    let start = std::time::Instant::now();
    let nack = host.ask(&json!({ "type": "records", "pageVisits": [visit("a")] }));
    assert_eq!(nack["code"], "buffer_busy", "{nack}");
    assert!(start.elapsed() < Duration::from_secs(60), "bounded");
    lock(&mut other, "ROLLBACK");
    assert_eq!(host.ask(&json!({ "type": "records", "pageVisits": [visit("a")] }))["stored"], 1);
}

#[test]
fn whoever_starts_it_by_hand_is_told_what_it_is() {
    for (argument, word) in [("--help", "heyho browsers register"), ("--version", env!("CARGO_PKG_VERSION"))]
    {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_heyho-host")).arg(argument).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains(word), "{said}");
    }
}
