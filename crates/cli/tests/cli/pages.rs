//! Completions and the manual page, made from the command line itself.

use crate::world::World;

#[test]
fn every_shell_has_completions_that_know_the_commands() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = world.heyho(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("doctor") && script.contains("retry"), "{shell}");
    }
    assert_eq!(world.heyho(&["completions", "tcsh"]).status.code(), Some(64));
}

#[test]
fn the_manual_page_names_every_command_and_its_options() {
    let output = World::new().heyho(&["man"]);
    let page = String::from_utf8(output.stdout).unwrap();
    for words in ["HEYHO FAILED RETRY", "HEYHO CONFIG SET", "password\\-stdin", "Exit status", ".TH heyho 1"]
    {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn help_is_an_answer_and_names_each_exit_status() {
    let output = World::new().heyho(&["--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for status in ["64", "65", "69", "75", "77", "78"] {
        assert!(help.contains(status), "{help}");
    }
    assert_eq!(World::new().heyho(&[]).status.code(), Some(64));
}

/// The unit names a command that exists, and ends as the contract's statuses ask.
#[test]
fn the_systemd_unit_runs_a_command_of_this_program() {
    let unit = include_str!("../../systemd/heyho-agent.service");
    assert!(unit.contains("\nExecStart=heyho agent\n"));
    assert!(unit.contains("\nRestartPreventExitStatus=78\n"));
    assert!(World::new().heyho(&["agent", "--help"]).status.success());
}
