//! What the host says when it is asked for a sync or for the window: the agent's word, whatever that is, and what it
//! does where there is no window to bring up. The agent is a stand-in that answers as it is told.

use super::Host;
use heyho_buffer::Buffer;
use heyho_local::lock::AgentLock;
use heyho_local::socket;
use heyho_local::vocabulary::{Answering, Attached, Companion, Event, Fault, FaultCode, Request};
use heyho_records::status::Status;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{broadcast, watch};

struct StandIn {
    /// What it answers to everything but pleasantries.
    answer: Mutex<Result<(), FaultCode>>,
    asked: Mutex<Vec<&'static str>>,
    status: watch::Sender<Option<Status>>,
    events: broadcast::Sender<Event>,
    /// What its host has said of sites it was told to forget; how many hosts are attached.
    told: watch::Sender<Vec<String>>,
    attached: watch::Sender<usize>,
}

impl Companion for StandIn {
    fn call(&self, request: Request) -> Answering<'_> {
        Box::pin(async move {
            match request {
                Request::Sync { .. } | Request::Open => {
                    self.asked.lock().unwrap().push(request.word());
                    let answer = *self.answer.lock().unwrap();
                    answer.map(|()| Value::Null).map_err(|code| Fault::new(code, "why not"))
                }
                Request::Told { domain } => {
                    self.told.send_modify(|told| told.push(domain));
                    Ok(Value::Null)
                }
                _ => Ok(Value::Null),
            }
        })
    }

    fn events(&self) -> Option<broadcast::Receiver<Event>> {
        Some(self.events.subscribe())
    }

    fn attach(&self, _source: &str) -> Option<Attached> {
        self.attached.send_modify(|hosts| *hosts += 1);
        None
    }

    fn watch(&self) -> watch::Receiver<Option<Status>> {
        self.status.subscribe()
    }
}

/// Until the test ends.
fn agent(world: &Path) -> (tokio::runtime::Runtime, Arc<StandIn>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let agent = Arc::new(StandIn {
        answer: Mutex::new(Ok(())),
        asked: Mutex::default(),
        status: watch::Sender::new(Some(Status::broken("a stand-in", true))),
        events: broadcast::channel(8).0,
        told: watch::Sender::default(),
        attached: watch::Sender::default(),
    });
    let listener = {
        let _inside = runtime.enter();
        socket::bind(&world.join("run/agent.sock")).unwrap()
    };
    runtime.spawn(socket::serve(listener, agent.clone()));
    (runtime, agent)
}

/// The host in a folder of its own, with an app beside it where there is a script for one.
fn installed(world: &Path, app: Option<&str>) -> std::path::PathBuf {
    let folder = world.join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let host = folder.join("heyho-host");
    if !host.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_heyho-host"), &host).unwrap();
    }
    if let Some(script) = app {
        let path = folder.join("heyho-companion");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    host
}

#[test]
fn a_sync_is_accepted_or_refused_as_the_agent_says() {
    let world = tempfile::tempdir().unwrap();
    let (_running, agent) = agent(world.path());
    let mut host = Host::start(world.path());
    for (answer, accepted, reason) in [
        (Ok(()), true, Value::Null),
        (Err(FaultCode::SignInNeeded), false, json!("signed_out")),
        (Err(FaultCode::TryLater), false, json!("paused")),
    ] {
        *agent.answer.lock().unwrap() = answer;
        assert_eq!(
            host.ask(&json!({ "type": "sync", "id": "s" })),
            json!({ "type": "syncRequested", "id": "s", "accepted": accepted, "reason": reason })
        );
    }
    assert_eq!(*agent.asked.lock().unwrap(), ["sync"; 3]);
    assert_eq!(host.end().0, 0);
}

#[test]
fn open_brings_up_the_window_of_the_app_that_runs() {
    let world = tempfile::tempdir().unwrap();
    let (_running, agent) = agent(world.path());
    let mut host = Host::start(world.path());
    let opened = |accepted: bool, reason: Value| json!({ "type": "opened", "id": 7, "accepted": accepted, "reason": reason });
    assert_eq!(host.ask(&json!({ "type": "open", "id": 7 })), opened(true, Value::Null));
    *agent.answer.lock().unwrap() = Err(FaultCode::Failed);
    assert_eq!(host.ask(&json!({ "type": "open", "id": 7 })), opened(false, json!("why not")));
    assert_eq!(*agent.asked.lock().unwrap(), ["open"; 2]);
    assert_eq!(host.end().0, 0);
}

#[test]
fn open_starts_the_app_where_none_runs_and_where_an_agent_has_no_window() {
    let world = tempfile::tempdir().unwrap();
    let headless = tempfile::tempdir().unwrap();
    let (_running, agent) = agent(headless.path());
    *agent.answer.lock().unwrap() = Err(FaultCode::NoWindow);
    for place in [world.path(), headless.path()] {
        let mut host = Host::start_program(&installed(place, None), place, &["chrome-extension://abcdef/"]);
        let answer = host.ask(&json!({ "type": "open", "id": 1 }));
        assert_eq!((&answer["type"], &answer["accepted"]), (&json!("opened"), &json!(false)));
        assert_eq!(answer["reason"], "not_installed");

        installed(place, Some("exit 3"));
        let answer = host.ask(&json!({ "type": "open", "id": 2 }));
        assert_eq!((&answer["id"], &answer["accepted"]), (&json!(2), &json!(false)));
        assert_eq!(answer["reason"], "ended_at_once");

        // A pipe, so that it is seen to run, and its end is the test's.
        let (tells, lives) = (place.join("tells"), place.join("lives"));
        for pipe in [&tells, &lives] {
            assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
        installed(place, Some(&format!("echo runs > '{}'; read x < '{}'", tells.display(), lives.display())));
        let heard = std::thread::spawn(move || std::fs::read_to_string(tells).unwrap());
        let answer = host.ask(&json!({ "type": "open", "id": 3 }));
        assert_eq!((&answer["id"], &answer["accepted"]), (&json!(3), &json!(true)), "{answer}");
        assert_eq!(answer["reason"], Value::Null);
        assert_eq!(heard.join().unwrap(), "runs\n");
        // It outlives the host.
        assert_eq!(host.end().0, 0);
        std::fs::write(lives, "end\n").unwrap();
    }
}

#[test]
fn a_damaged_file_is_left_to_the_agent_that_has_it_open() {
    let world = tempfile::tempdir().unwrap();
    let data = world.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    // It is starting, or its socket is elsewhere.
    let lock = AgentLock::take(&data.join("agent.lock")).unwrap();
    std::fs::write(data.join("buffer.db"), "this is no database at all, is it?".repeat(200)).unwrap();
    let mut host = Host::start(world.path());
    let answer = host.ask(&json!({ "type": "records", "id": 1, "pageVisits": [super::visit("a")] }));
    assert_eq!((&answer["type"], &answer["code"]), (&json!("nack"), &json!("buffer_unavailable")));
    assert!(!data.join("set-aside").exists());
    // Whoever opens it next checks it whole.
    assert!(data.join("buffer.db.suspect").exists());
    drop(lock);
    let answer = host.ask(&json!({ "type": "records", "id": 2, "pageVisits": [super::visit("a")] }));
    assert_eq!((&answer["type"], &answer["stored"]), (&json!("ack"), &json!(1)));
    assert!(data.join("set-aside").exists());
}

/// While somebody else writes, frames are on their way; then a site is forgotten that each of them names. More follow,
/// from a browser that has not heard of it yet.
#[test]
fn what_is_on_its_way_when_a_site_is_forgotten_is_stored_nowhere() {
    const FRAMES: usize = 40;
    let world = tempfile::tempdir().unwrap();
    let (running, agent) = agent(world.path());
    let file = world.path().join("data/buffer.db");
    let mut host = Host::start(world.path());
    let client = json!({ "name": "t", "version": "1", "browser": "Chromium", "profileId": "p" });
    host.ask(&json!({ "type": "hello", "protocol": 1, "client": client }));
    const SOON: Duration = Duration::from_secs(20);
    running.block_on(async {
        let mut attached = agent.attached.subscribe();
        tokio::time::timeout(SOON, attached.wait_for(|hosts| *hosts == 1)).await.unwrap().map(drop).unwrap();
    });

    let visit = |id: String, site: &str, at: i64| json!({ "id": id, "url": format!("https://www.{site}/{id}"), "startedAt": at });
    let mut writer = running.block_on(async {
        let mut other = SqliteConnection::connect(file.to_str().unwrap()).await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        other
    });
    let frame = |n: usize| {
        let of_tab = json!({ "startTime": 1, "tabId": n, "lastActiveTime": 2,
            "domainDurations": { "www.gone.example": 1, "stays.example": 2 } });
        json!({ "type": "records", "id": n, "tabAggregates": [of_tab],
            "pageVisits": [visit(format!("g{n}"), "gone.example", 1), visit(format!("s{n}"), "stays.example", 1)] })
    };
    (0..FRAMES / 2).for_each(|n| host.send(&frame(n)));
    agent.events.send(Event::Forget { domain: "gone.example".into() }).unwrap();
    running.block_on(async {
        sqlx::raw_sql("COMMIT").execute(&mut writer).await.unwrap();
        // The agent erases when the host lets nothing older pass any more.
        let mut told = agent.told.subscribe();
        let told = tokio::time::timeout(SOON, told.wait_for(|told| !told.is_empty())).await.unwrap();
        assert_eq!(*told.unwrap(), ["gone.example"]);
        let buffer = Buffer::open(&file).await.unwrap();
        buffer.forget("gone.example").await.unwrap();
        buffer.close().await;
    });
    (FRAMES / 2..FRAMES).for_each(|n| host.send(&frame(n)));
    let (mut acknowledged, mut heard) = (0, 0);
    while acknowledged < FRAMES {
        let answer = host.answer();
        match answer["type"].as_str() {
            Some("ack") => acknowledged += 1,
            Some("forget") => heard += 1,
            _ => panic!("{answer}"),
        }
    }
    assert_eq!(heard, 1, "the browser is told");
    // A visit that begins now is new.
    let again = visit("again".into(), "gone.example", heyho_local::clock::system().now_ms() + 1_000);
    assert_eq!(host.ask(&json!({ "type": "records", "id": "n", "pageVisits": [again] }))["stored"], 1);
    assert_eq!(host.end().0, 0);
    let kept: Vec<String> = running.block_on(async {
        let mut reader = SqliteConnection::connect(file.to_str().unwrap()).await.unwrap();
        sqlx::query_scalar("SELECT CAST(text AS TEXT) FROM record").fetch_all(&mut reader).await.unwrap()
    });
    let of_it: Vec<&String> = kept.iter().filter(|text| text.contains("gone.example")).collect();
    assert_eq!(of_it.len(), 1, "{of_it:?}");
    assert!(of_it[0].contains("again"));
    assert_eq!(kept.iter().filter(|text| text.contains("stays.example/s")).count(), FRAMES);
}
