//! The real host process, spoken to as a browser does.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing")]

mod agent;
mod contract;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

struct Host {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

impl Host {
    fn start(world: &Path) -> Host {
        Host::start_as(world, &["chrome-extension://abcdef/"])
    }

    /// With the arguments a browser gives.
    fn start_as(world: &Path, caller: &[&str]) -> Host {
        Host::start_program(Path::new(env!("CARGO_BIN_EXE_heyho-host")), world, caller)
    }

    fn start_program(program: &Path, world: &Path, caller: &[&str]) -> Host {
        let mut child = Command::new(program)
            .args(caller)
            .env_clear()
            .env("HEYHO_DATA_DIR", world.join("data"))
            .env("HEYHO_CONFIG_DIR", world.join("config"))
            .env("HEYHO_STATE_DIR", world.join("state"))
            .env("HEYHO_RUNTIME_DIR", world.join("run"))
            .envs(std::env::var_os("HEYHO_FAULT").map(|fault| ("HEYHO_FAULT", fault)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        Host { child, stdin, stdout }
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    fn send_text(&mut self, text: &str) {
        self.raw(&(text.len() as u32).to_ne_bytes());
        self.raw(text.as_bytes());
    }

    fn answer(&mut self) -> Value {
        serde_json::from_str(&self.answer_text()).unwrap()
    }

    fn answer_text(&mut self) -> String {
        let mut length = [0u8; 4];
        self.stdout.read_exact(&mut length).unwrap();
        let mut body = vec![0; u32::from_ne_bytes(length) as usize];
        self.stdout.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    }

    fn ask(&mut self, message: &Value) -> Value {
        self.send(message);
        self.answer()
    }

    fn end(mut self) -> (i32, Vec<u8>) {
        drop(self.stdin.take());
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).unwrap();
        (self.child.wait().unwrap().code().unwrap(), rest)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn visit(id: &str) -> Value {
    json!({ "id": id, "url": format!("https://example.com/{id}"), "startedAt": 1_700_000_000_000i64 })
}

#[test]
fn hello_records_status_and_a_clean_end() {
    let world = tempfile::tempdir().unwrap();
    let mut host = Host::start(world.path());
    let welcome = host.ask(&json!({ "type": "hello", "protocol": 1, "id": "h",
        "client": { "name": "test", "version": "1", "browser": "Chromium", "profileId": "p" } }));
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(welcome["id"], "h");
    assert_eq!(welcome["limits"], json!({ "maxRecords": 1000, "maxMessageBytes": 33_554_432 }));
    assert_eq!(welcome["account"], Value::Null);
    let ack = host.ask(&json!({ "type": "records", "id": 1,
        "pageVisits": [visit("a"), visit("b"), visit("a")], "tabAggregates": [{ "startTime": 1, "tabId": 2 }] }));
    assert_eq!(
        ack,
        json!({ "type": "ack", "id": 1, "stored": 3, "updated": 0, "unchanged": 1, "filtered": 0,
            "rejected": [], "rejectedMore": 0 })
    );
    let status = host.ask(&json!({ "type": "status", "id": 2 }));
    assert_eq!((&status["type"], &status["id"]), (&json!("status"), &json!(2)));
    assert_eq!(status["state"], "signed_out");
    assert_eq!((&status["unclaimed"], &status["agentRunning"]), (&json!(3), &json!(false)));
    assert_eq!(status["browsers"][0]["name"], "Chromium");
    assert_eq!(
        host.ask(&json!({ "type": "sync", "id": 3 })),
        json!({ "type": "syncRequested", "id": 3, "accepted": false, "reason": "agent_not_running" })
    );
    assert_eq!(host.end(), (0, Vec::new()));
}

#[test]
fn bad_input_is_named_and_the_connection_goes_on() {
    let world = tempfile::tempdir().unwrap();
    let mut host = Host::start(world.path());
    for (text, code, words) in [
        ("{\"type\":", "bad_message", "not a JSON object"),
        ("{\"type\":\"teleport\",\"id\":4}", "bad_message", "teleport"),
        ("", "bad_message", "not a JSON object"),
        ("{\"type\":\"hello\",\"protocol\":2}", "unsupported_protocol", "protocol 2"),
    ] {
        host.send_text(text);
        let answer = host.answer();
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{text}");
        assert!(answer["error"].as_str().unwrap().contains(words), "{answer}");
    }
    let many: Vec<Value> = (0..1001).map(|n| visit(&format!("v{n}"))).collect();
    let answer = host.ask(&json!({ "type": "records", "id": 1, "pageVisits": many }));
    assert_eq!(answer["code"], "too_many_records");
    host.send_text(
        r#"{"type":"records","id":2,"pageVisits":[{"startedAt":1,"url":"http://a/"},
        {"id":"j","startedAt":1,"url":"javascript:alert(1)"},
        {"id":"cut","startedAt":1,"url":"http://a/","title":"half \ud83d"}]}"#,
    );
    let ack = host.answer();
    assert_eq!(ack["stored"], 1);
    let codes: Vec<_> = ack["rejected"].as_array().unwrap().iter().map(|r| r["code"].clone()).collect();
    assert_eq!(codes, ["missing_id", "invalid_url"]);
    assert_eq!(host.ask(&json!({ "type": "status" }))["failed"], 2);
    assert_eq!(host.end().0, 0);
}

#[test]
fn a_length_over_the_limit_ends_the_host_with_65_after_what_came_before_was_stored() {
    let world = tempfile::tempdir().unwrap();
    let mut host = Host::start(world.path());
    host.send(&json!({ "type": "records", "id": 1, "pageVisits": [visit("a")] }));
    host.raw(&(32u32 * 1024 * 1024 + 1).to_ne_bytes());
    assert_eq!(host.answer()["stored"], 1);
    assert_eq!(host.answer()["code"], "message_too_large");
    assert_eq!(host.end(), (65, Vec::new()));
}

#[test]
fn what_waits_in_the_pipe_is_answered_frame_by_frame_in_order() {
    let world = tempfile::tempdir().unwrap();
    let mut host = Host::start(world.path());
    for n in 0..100 {
        host.send(&json!({ "type": "records", "id": n, "pageVisits": [visit(&format!("v{n}"))] }));
        if n % 10 == 0 {
            host.send(&json!({ "type": "status", "id": format!("s{n}") }));
        }
    }
    for n in 0..100 {
        let ack = host.answer();
        assert_eq!((&ack["id"], &ack["stored"]), (&json!(n), &json!(1)));
        if n % 10 == 0 {
            let status = host.answer();
            assert_eq!(status["id"], format!("s{n}"));
            assert!(status["unclaimed"].as_u64().unwrap() > n);
        }
    }
    assert_eq!(host.end().0, 0);
}

#[test]
fn a_frame_cut_short_stores_nothing_and_ends_cleanly() {
    let world = tempfile::tempdir().unwrap();
    let frame = json!({ "type": "records", "id": 1, "pageVisits": [visit("a")] }).to_string();
    for cut in [0, 2, 4, 10, frame.len() + 3] {
        let mut host = Host::start(world.path());
        let mut bytes = (frame.len() as u32).to_ne_bytes().to_vec();
        bytes.extend_from_slice(frame.as_bytes());
        host.raw(&bytes[..cut]);
        assert_eq!(host.end(), (0, Vec::new()), "cut at {cut}");
    }
    let mut host = Host::start(world.path());
    assert_eq!(host.ask(&json!({ "type": "status" }))["unclaimed"], 0);
}

#[test]
fn a_buffer_that_cannot_be_used_is_said_and_nothing_is_acknowledged() {
    let world = tempfile::tempdir().unwrap();
    // No file can be made where a folder is, and none is to be set aside.
    std::fs::create_dir_all(world.path().join("data/buffer.db")).unwrap();
    let mut host = Host::start(world.path());
    let answer = host.ask(&json!({ "type": "records", "id": 9, "pageVisits": [visit("a")] }));
    assert_eq!((&answer["type"], &answer["id"]), (&json!("nack"), &json!(9)));
    assert_eq!(answer["code"], "buffer_unavailable");
    assert!(answer["retryAfterMs"].as_u64().unwrap() > 0);
    // put right, the same connection goes on
    std::fs::remove_dir(world.path().join("data/buffer.db")).unwrap();
    let answer = host.ask(&json!({ "type": "records", "id": 10, "pageVisits": [visit("a")] }));
    assert_eq!((&answer["type"], &answer["stored"]), (&json!("ack"), &json!(1)));
}

#[test]
fn a_damaged_file_is_set_aside_by_the_host_too_and_what_can_be_read_is_saved() {
    let world = tempfile::tempdir().unwrap();
    let file = world.path().join("data/buffer.db");
    let mut host = Host::start(world.path());
    for n in 0..20 {
        let frame = json!({ "type": "records", "pageVisits": [visit(&format!("v{n}"))] });
        assert_eq!(host.ask(&frame)["stored"], 1);
    }
    // In the file and not in the log: as the last to leave does it.
    drop(host);
    settle(&file);
    let mut bytes = std::fs::read(&file).unwrap();
    // The name of a table, as one flipped bit leaves it.
    let made = b"CREATE TABLE source";
    let at = bytes.windows(made.len()).position(|w| w == made).unwrap();
    bytes[at + 13] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let mut first = Host::start(world.path());
    let mut second = Host::start(world.path());
    let records = |id: &str| json!({ "type": "records", "pageVisits": [visit(id)] });
    // Both at once; then there is another file.
    first.send(&records("a"));
    second.send(&records("b"));
    assert_eq!((first.answer()["stored"].clone(), second.answer()["stored"].clone()), (json!(1), json!(1)));
    assert_eq!(first.ask(&records("c"))["stored"], 1);
    assert_eq!(first.ask(&json!({ "type": "status" }))["unclaimed"], 23);
    assert_eq!(std::fs::read_dir(world.path().join("data/set-aside")).unwrap().count(), 1);
    // Nothing can be read of this one.
    drop((first, second));
    std::fs::write(&file, "this is no database at all, is it?".repeat(200)).unwrap();
    std::fs::write(file.with_extension("db-wal"), "").unwrap();
    assert_eq!(Host::start(world.path()).ask(&records("d"))["stored"], 1);
    assert_eq!(std::fs::read_dir(world.path().join("data/set-aside")).unwrap().count(), 2);
}

/// Opened and closed, so that the log is in the file.
fn settle(file: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { heyho_buffer::Buffer::open(file).await.unwrap().close().await });
}

/// What one client says of itself is told to all others at each change.
#[test]
fn a_client_that_says_much_of_itself_is_cut_short_and_its_profile_is_known_again() {
    let world = tempfile::tempdir().unwrap();
    let hello = |profile: &str| {
        let long = "B".repeat(2_000_000);
        json!({ "type": "hello", "protocol": 1, "client": { "name": long, "version": long, "browser": long,
            "browserVersion": long, "profileId": profile } })
    };
    let mut host = Host::start(world.path());
    // However long it is, a profile is one of its own, and the same each time.
    for (profile, counted) in
        [("p", "stored"), ("", "stored"), (&"p".repeat(257), "stored"), (&"p".repeat(257), "unchanged")]
    {
        assert_eq!(host.ask(&hello(profile))["type"], "welcome");
        let answer = host.ask(&json!({ "type": "records", "pageVisits": [visit("a")] }));
        assert_eq!(answer[counted], 1, "{answer}");
    }
    let status = host.ask(&json!({ "type": "status" }));
    let browsers = status["browsers"].as_array().unwrap();
    assert!(browsers.iter().all(|browser| browser["name"] == "B".repeat(128)), "{browsers:?}");
    assert_eq!(browsers.len(), 3, "{browsers:?}");
    assert!(status.to_string().len() < 5_000);
    assert_eq!(host.end().0, 0);
}

#[test]
fn a_mistake_in_the_settings_costs_no_records() {
    let world = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(world.path().join("config")).unwrap();
    std::fs::write(world.path().join("config/config.toml"), "[sync]\ninterval = 5\n").unwrap();
    let mut host = Host::start(world.path());
    let answer = host.ask(&json!({ "type": "records", "pageVisits": [visit("a")] }));
    assert_eq!(answer["stored"], 1);
}

#[test]
fn a_cap_that_is_changed_holds_for_a_host_that_runs() {
    let world = tempfile::tempdir().unwrap();
    let config = world.path().join("config/config.toml");
    std::fs::create_dir_all(world.path().join("config")).unwrap();
    std::fs::write(&config, "[buffer]\nmax_bytes = 1048576\n").unwrap();
    let mut host = Host::start(world.path());
    let padding = "x".repeat(100_000);
    let mut n = 0;
    let mut frame = || {
        n += 1;
        let visit = json!({ "id": format!("v{n}"), "url": "http://a/", "startedAt": 1, "p": padding });
        json!({ "type": "records", "pageVisits": [visit] })
    };
    for _ in 0..20 {
        host.ask(&frame());
    }
    let full = host.ask(&frame());
    assert_eq!((&full["type"], &full["code"]), (&json!("nack"), &json!("buffer_full")));
    assert_eq!(host.ask(&json!({ "type": "status" }))["reasonCode"], "buffer_full");
    std::fs::write(&config, "[buffer]\nmax_bytes = 20000000\n").unwrap();
    assert_eq!(host.ask(&json!({ "type": "status" }))["state"], "signed_out");
    assert_eq!(host.ask(&frame())["stored"], 1);
    std::fs::write(&config, "[buffer]\nmax_bytes = 1048577\n").unwrap();
    assert_eq!(host.ask(&frame())["code"], "buffer_full");
}

#[test]
fn a_subscriber_is_told_of_a_buffer_that_cannot_be_used_and_of_its_being_mended_or_replaced() {
    let world = tempfile::tempdir().unwrap();
    let file = world.path().join("data/buffer.db");
    std::fs::create_dir_all(&file).unwrap();
    let mut host = Host::start(world.path());
    let first = host.ask(&json!({ "type": "subscribe", "id": "s" }));
    assert_eq!((&first["id"], &first["state"]), (&json!("s"), &json!("buffer_problem")));
    std::fs::remove_dir(&file).unwrap();
    let pushed = host.answer();
    assert_eq!((&pushed["id"], &pushed["state"]), (&json!("s"), &json!("signed_out")));
    // Another file takes its place, with a record in it.
    std::fs::write(&file, "this is no database at all, is it?".repeat(200)).unwrap();
    std::fs::write(file.with_extension("db-wal"), "").unwrap();
    let mut other = Host::start(world.path());
    assert_eq!(other.ask(&json!({ "type": "records", "pageVisits": [visit("a")] }))["stored"], 1);
    while host.answer()["unclaimed"] != 1 {}
}

/// Its answers fill the pipe; what it hands over is stored all the same, and others are not held up.
#[test]
fn a_browser_that_never_reads_keeps_nobody_from_storing() {
    const FRAMES: u64 = 10;
    let world = tempfile::tempdir().unwrap();
    let mut stuck = Host::start(world.path());
    // Each is named in the answer: a hundred kilobytes a frame.
    let bad = |n: u64| -> Vec<Value> {
        (0..1_000).map(|k| json!({ "id": format!("b{n}-{k}"), "url": "no address" })).collect()
    };
    let frames: Vec<Value> = (0..FRAMES)
        .map(|n| {
            let good = json!({ "startTime": n, "tabId": 2 });
            json!({ "type": "records", "id": n, "pageVisits": bad(n).split_off(1), "tabAggregates": [good] })
        })
        .collect();
    let mut stdin = stuck.stdin.take().unwrap();
    let sending = std::thread::spawn(move || {
        for frame in frames {
            let text = frame.to_string();
            stdin.write_all(&(text.len() as u32).to_ne_bytes()).unwrap();
            stdin.write_all(text.as_bytes()).unwrap();
        }
        stdin
    });
    let mut other = Host::start(world.path());
    let since = std::time::Instant::now();
    for n in 0.. {
        let ack = other.ask(&json!({ "type": "records", "id": n, "pageVisits": [visit(&format!("o{n}"))] }));
        assert_eq!((&ack["type"], &ack["stored"]), (&json!("ack"), &json!(1)));
        let status = other.ask(&json!({ "type": "status" }));
        // Each of its frames has one good record.
        if status["unclaimed"].as_u64().unwrap() == FRAMES + n + 1 {
            break;
        }
        assert!(since.elapsed().as_secs() < 30, "what the stuck one hands over is not stored: {status}");
    }
    drop(sending.join().unwrap());
}

#[test]
fn privacy_rules_hold_before_anything_is_written_also_when_they_are_new() {
    let world = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(world.path().join("config")).unwrap();
    let config = world.path().join("config/config.toml");
    let mut host = Host::start(world.path());
    let secret =
        |n: u32| json!({ "id": format!("s{n}"), "url": "https://www.canary-bank.example/x", "startedAt": 1 });
    std::fs::write(
        &config,
        "[sync]\ninterval = 5\n[[privacy.rules]]\nid = 'b'\nmatch = 'host'\npattern = '*.canary-bank.example'\naction = 'drop'\n",
    )
    .unwrap();
    let ack = host.ask(&json!({ "type": "records", "pageVisits": [secret(1), visit("a")] }));
    assert_eq!((&ack["filtered"], &ack["stored"]), (&json!(1), &json!(1)));
    // rules that are not understood: nothing is stored until they are
    std::fs::write(&config, "[[privacy.rules]]\nid = 'b'\nmatch = 'hsot'\npattern = 'x'\naction = 'drop'\n")
        .unwrap();
    let nack = host.ask(&json!({ "type": "records", "pageVisits": [secret(2)] }));
    assert_eq!((&nack["type"], &nack["code"]), (&json!("nack"), &json!("buffer_unavailable")));
    assert!(nack["error"].as_str().unwrap().contains("privacy.rules"), "{nack}");
    drop(host);
    for file in std::fs::read_dir(world.path().join("data")).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(11).any(|w| w == b"canary-bank"), "{}", path.display());
        }
    }
}

#[test]
fn a_subscriber_hears_of_records_and_of_rules_also_without_an_agent() {
    let world = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(world.path().join("config")).unwrap();
    let mut host = Host::start(world.path());
    let first = host.ask(&json!({ "type": "subscribe", "id": "s" }));
    assert_eq!((&first["id"], &first["unclaimed"]), (&json!("s"), &json!(0)));
    let ack = host.ask(&json!({ "type": "records", "id": 1, "pageVisits": [visit("a")] }));
    assert_eq!(ack["stored"], 1);
    let pushed = host.answer();
    assert_eq!(
        (&pushed["type"], &pushed["id"], &pushed["unclaimed"]),
        (&json!("status"), &json!("s"), &json!(1))
    );
    let rule = "[[privacy.rules]]\nid = 'b'\nmatch = 'host'\npattern = 'x.example'\naction = 'drop'\n";
    std::fs::write(world.path().join("config/config.toml"), rule).unwrap();
    let pushed = host.answer();
    assert_eq!(pushed["type"], "rules");
    assert_eq!(pushed["rules"][0]["pattern"], "x.example");
    assert_eq!(host.end().0, 0);
}
