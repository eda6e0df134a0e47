//! `heyho export`, `import` and `failed retry` while hosts write, all of them killed at random: an import that
//! ended well is safe like an acknowledgement, an export that ended well holds everything that was safe when it
//! began, one that was killed leaves no half of a file, and nothing is lost.
//!
//! `HEYHO_COMMANDS` sets how many commands are run.

use crate::host::{Host, hello};
use crate::ledger::{Ledger, Versions, verify, version_of};
use crate::profile::Profile;
use crate::world::{Dice, World, number, seed};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Of each command: the longest it is left alone when it is to be killed.
const MOMENT_US: u64 = 120_000;

#[test]
fn commands_beside_hosts_lose_nothing_whoever_is_killed() {
    let commands = number("HEYHO_COMMANDS").unwrap_or(60);
    let mut dice = Dice(seed());
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path());
    let (ledger, backend) = (Ledger::default(), Ledger::default());
    let over = AtomicBool::new(false);
    let profiles: Vec<_> = (0..3).map(|n| Profile::new(format!("p{n}"), dice.another(), &ledger)).collect();
    let (mut ended, mut killed) = (0, 0);
    let acked: u64 = std::thread::scope(|scope| {
        let hosts: Vec<_> = profiles
            .into_iter()
            .map(|mut profile| {
                let (world, over) = (&world, &over);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        life(&mut profile, world);
                    }
                    profile.acked
                })
            })
            .collect();
        // A failure below must end the hosts too.
        let stop = Stop(&over);
        for n in 0..commands {
            match one(&mut dice, &world, &ledger, n) {
                true => ended += 1,
                false => killed += 1,
            }
        }
        drop(stop);
        hosts.into_iter().map(|host| host.join().unwrap()).sum()
    });
    verify(&world.buffer(), &ledger, &backend);
    println!(
        "figures: {ended} commands ended and {killed} were killed beside hosts that were; {acked} records \
         acknowledged, 0 lost"
    );
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn life(profile: &mut Profile, world: &World) {
    let mut host = Host::start(world);
    profile.open.clear();
    assert!(host.raw(&hello(&profile.name)));
    for _ in 0..=profile.dice.roll(6) {
        let (id, bytes, promise) = profile.frame();
        profile.open.insert(id, promise);
        assert!(host.raw(&bytes));
        profile.wait(&host, 40_000);
    }
    host.kill();
    for answer in host.last_words() {
        profile.answered(&answer);
    }
}

/// One command; false: it was killed.
fn one(dice: &mut Dice, world: &World, ledger: &Ledger, n: u64) -> bool {
    let before = ledger.versions();
    match dice.roll(3) {
        0 => {
            let file = world.root.join(format!("out-{n}.ndjson"));
            let ended = run(dice, world, &["export", file.to_str().unwrap()]);
            // Whole or not there, whether it was killed or not.
            if ended || file.exists() {
                assert_holds(&file, &before);
            }
            ended
        }
        1 => {
            let (lines, promise) = lines(n, dice.roll(600));
            let file = world.root.join(format!("in-{n}.ndjson"));
            std::fs::write(&file, lines).unwrap();
            let ended = run(dice, world, &["import", file.to_str().unwrap()]);
            if ended {
                ledger.note("imported", &promise);
            }
            ended
        }
        _ => run(dice, world, &["failed", "retry", "--all"]),
    }
}

/// To its end, or, one time in two, to a random moment. False: killed.
fn run(dice: &mut Dice, world: &World, arguments: &[&str]) -> bool {
    let mut command = world.command(heyho());
    let mut child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    if dice.roll(2) == 0 {
        std::thread::park_timeout(Duration::from_micros(dice.roll(MOMENT_US)));
        let _ = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_none_or(|code| code == 0), "{arguments:?}: {}: {said}", output.status);
    output.status.success()
}

/// Waiting records, and some that had failed at the backend, to be retried.
fn lines(n: u64, count: u64) -> (String, Vec<(String, i64)>) {
    let mut promise = Vec::new();
    let line = |place: u64| {
        let id = format!("i{n}-{place}");
        promise.push((id.clone(), 7));
        let (state, reason) = match place % 5 {
            0 => ("failed", r#"{"code":"rejected_by_backend","field":null,"message":"no"}"#),
            _ => ("waiting", "null"),
        };
        format!(
            r#"{{"kind":"pageVisit","id":"{id}","source":"chrome-extension://x/#imported","account":null,"revision":1,"state":"{state}","reason":{reason},"capturedAt":"2026-01-02T03:04:05Z","record":{{"id":"{id}","url":"http://a/","startedAt":5,"endedAt":7}}}}"#
        )
    };
    let lines: Vec<String> = (0..count).map(line).collect();
    (lines.join("\n"), promise)
}

fn assert_holds(file: &Path, safe: &Versions) {
    let mut found = Versions::new();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let profile = line["source"].as_str().unwrap().rsplit('#').next().unwrap().to_owned();
        found.insert(
            (profile, line["id"].as_str().unwrap().to_owned()),
            version_of(&line["record"].to_string()),
        );
    }
    let lacking: Vec<_> =
        safe.iter().filter(|(what, version)| found.get(*what).is_none_or(|here| here < version)).collect();
    assert!(lacking.is_empty(), "not in the export: {lacking:?}");
}

/// Beside the host, where a build of everything puts it; built where only the host was.
fn heyho() -> &'static Path {
    static HEYHO: OnceLock<PathBuf> = OnceLock::new();
    HEYHO.get_or_init(|| {
        let heyho = Path::new(env!("CARGO_BIN_EXE_heyho-host")).with_file_name("heyho");
        let control = std::env::var_os("HEYHO_FAULT").is_some();
        if control || !heyho.exists() {
            let target = heyho.parent().unwrap().parent().unwrap();
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--locked", "-p", "heyho-cli", "--target-dir"]).arg(target);
            if control {
                cargo.args(["--features", "heyho-records/broken-control"]);
            }
            assert!(cargo.status().unwrap().success(), "heyho could not be built");
        }
        heyho
    })
}
