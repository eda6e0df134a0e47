//! A store that another program is busy with, because it brings the schema up to date or reads a damaged file out: a
//! start waits for it and says so, and the doctor says to wait. One that was found damaged is mended without being asked.

use crate::world::World;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

fn world() -> World {
    let world = World::with("[tokens]\nstore = 'file'\n");
    world.json(&["status"]);
    world
}

#[test]
fn an_agent_waits_for_a_store_that_others_are_busy_with_and_says_so() {
    let world = world();
    // As whoever migrates it holds it.
    let lock = std::fs::File::options().write(true).open(world.path("data/buffer.db.lock")).unwrap();
    lock.lock().unwrap();
    let spawn = |arguments: &[&str]| {
        world
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut agent = spawn(&["agent"]);
    let found = spawn(&["--json", "doctor"]).wait_with_output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    let said = found.as_array().unwrap().iter().find(|f| f["part"] == "database").unwrap().to_string();
    assert!(said.contains("is busy") && said.contains("wait a minute"), "{said}");
    let mut lines = BufReader::new(agent.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("waiting for it")), "it ended instead");
    lock.unlock().unwrap();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("the agent is running")), "it ended instead");
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn an_agent_without_a_window_mends_a_store_that_was_found_damaged_and_goes_on() {
    let world = world();
    let _agent = world.agent();
    let suspect = world.path("data/buffer.db.suspect");
    std::fs::write(&suspect, "").unwrap();
    let begun = Instant::now();
    loop {
        let status = world.json(&["status"]);
        if !suspect.exists() && status["agentRunning"] == true && status["state"] == "signed_out" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it stays {status}");
    }
}
