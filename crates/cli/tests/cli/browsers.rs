//! `heyho browsers`: listed, registered, taken away, named wrongly. Of the browsers that this machine has, only the two
//! that lie in the scratch home are looked at.

use crate::same;
use crate::world::{World, line};
use std::process::{Command, Output};

const OURS: [(&str, &str); 2] = [("Brave", "brave"), ("Vivaldi", "vivaldi")];

/// The host lies beside the program, in a folder of this test.
fn world() -> World {
    let world = World::with("[tokens]\nstore = 'file'\n");
    let bin = world.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let (built, own) = (env!("CARGO_BIN_EXE_heyho"), bin.join("heyho"));
    std::fs::hard_link(built, &own).or_else(|_| std::fs::copy(built, &own).map(drop)).unwrap();
    std::fs::write(bin.join("heyho-host"), "").unwrap();
    for folder in ["BraveSoftware/Brave-Browser", "vivaldi"] {
        let folder = world.path("home/.config").join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        // A folder that is empty after a manifest was taken away goes too: a browser's never is.
        std::fs::write(folder.join("Local State"), "{}").unwrap();
    }
    world
}

fn run(world: &World, arguments: &[&str]) -> Output {
    let like = world.command(arguments);
    let mut command = Command::new(world.path("bin/heyho"));
    command.args(arguments).env_clear();
    command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.output().unwrap()
}

fn said(world: &World, arguments: &[&str]) -> String {
    let mut output = run(world, arguments);
    if let Ok(rows) = serde_json::from_slice::<Vec<serde_json::Value>>(&output.stdout) {
        let ours = rows.into_iter().filter(|row| OURS.iter().any(|(_, browser)| row["browser"] == *browser));
        output.stdout = serde_json::to_vec(&ours.collect::<Vec<_>>()).unwrap();
        output.stdout.push(b'\n');
    }
    let mut ours = true;
    let shown = world.shown(arguments, &output);
    let lines = shown.lines().filter(|line| {
        // What belongs to a row is set in.
        if !line.starts_with(' ') {
            ours = ["$", "!", "=", "["].iter().any(|mark| line.starts_with(mark))
                || OURS.iter().any(|(name, _)| line.split_whitespace().next() == Some(name));
        }
        ours
    });
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn browsers_are_listed_registered_and_taken_away() {
    let world = world();
    let manifest = world.path("home/.config/vivaldi/NativeMessagingHosts/com.heyho.companion.json");
    let mut all = vec![said(&world, &["browsers", "list"]), said(&world, &["--json", "browsers", "list"])];
    assert!(!manifest.exists());
    all.push(said(&world, &["browsers", "register", "vivaldi"]));
    assert!(manifest.is_file());
    all.push(said(&world, &["--json", "browsers", "register", "Brave"]));
    all.push(said(&world, &["browsers", "unregister", "vivaldi"]));
    assert!(!manifest.exists());
    all.push(said(&world, &["--json", "browsers", "unregister", "brave"]));
    all.push(said(&world, &["browsers", "register"]));
    assert!(manifest.is_file());
    for wrong in [
        &["browsers", "connect"][..],
        &["browsers", "list", "vivaldi"],
        &["browsers", "register", "netscape"],
        &["browsers", "unregister", "netscape"],
        &["--json", "browsers", "register", "netscape"],
    ] {
        all.push(said(&world, wrong));
    }
    std::fs::remove_file(world.path("bin/heyho-host")).unwrap();
    all.push(said(&world, &["browsers", "list"]));
    same!(all.join("\n"));
}

/// Registered is not yet connected: until one has handed a record over, something is left to do.
#[test]
fn the_doctor_says_when_no_browser_has_handed_over_anything() {
    let world = world();
    run(&world, &["browsers", "register"]);
    let doctor = || String::from_utf8(run(&world, &["doctor"]).stdout).unwrap();
    let said = doctor();
    assert!(
        said.contains("no browser has handed over a record yet") && said.contains("→ load the extension"),
        "{said}"
    );
    world.import(&[line("a", "news.example", None)]);
    let said = doctor();
    assert!(!said.contains("no browser has handed over"), "{said}");
}
