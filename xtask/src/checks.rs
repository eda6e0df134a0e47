//! What is judged without running it. All of them run, also after one has failed: a person mends them together.

use crate::build::{self, TestProgram};
use crate::machine;
use crate::shell::{self, command, root, say, target};
use anyhow::{Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

type Check = (&'static str, fn() -> Result<()>);

/// In the order of what they cost.
const CHECKS: &[Check] = &[
    ("format", format),
    ("committed files name no package registry and no place on this machine", committed),
    ("window: types and markup", || npm("ui", "check")),
    ("extension: types", || npm("extension", "check")),
    ("extension: lint", || npm("extension", "lint")),
    ("extension: what add-on stores ask of it", || npm("extension", "lint:package")),
    ("bans, licences and sources of all dependencies", deny),
    ("clippy", clippy),
];

/// Runs them all; how many failed.
pub fn run() -> u64 {
    let mut failed = 0;
    for (name, check) in CHECKS {
        failed += u64::from(!passes(name, check));
    }
    failed
}

/// The check that needs the tests built: they write the types.
pub fn types(programs: &[TestProgram]) -> u64 {
    u64::from(!passes("the window's TypeScript types are those of the Rust code", || compare_types(programs)))
}

fn passes(name: &str, check: impl FnOnce() -> Result<()>) -> bool {
    say(&format!("check: {name}"));
    match check() {
        Ok(()) => true,
        Err(e) => {
            eprintln!("check failed: {name}: {e:#}");
            false
        }
    }
}

fn format() -> Result<()> {
    shell::run(&mut command(&["cargo", "fmt", "--all", "--check"]))
}

fn npm(folder: &str, script: &str) -> Result<()> {
    shell::run(command(&["npm", "run", "--silent", script]).current_dir(root().join(folder)))
}

fn deny() -> Result<()> {
    shell::run(machine::cargo_deny()?.args(["--locked", "check", "bans", "licenses", "sources"]))
}

fn clippy() -> Result<()> {
    shell::run(build::cargo("clippy").args(["--all-targets", "--", "-D", "warnings"]))
}

/// Lock files and sources are the same on every machine: what they are fetched from is its own business.
fn committed() -> Result<()> {
    // Put together here, or this line would be found.
    let mut wanted = vec![["\"resolved\": ", "\"http"].concat(), format!("{}/", root().display())];
    let registry = shell::output(&mut command(&["npm", "config", "get", "registry", "--loglevel=error"]))?;
    if let Some((_, host)) = registry.split_once("//") {
        wanted.push(host.trim_end_matches('/').to_owned());
    }
    if let Some(home) = std::env::var_os("HOME").filter(|h| h.len() > 1) {
        wanted.push(format!("{}/", home.display()));
    }
    let mut grep = command(&["git", "grep", "-n", "-I", "-F"]);
    for text in &wanted {
        grep.args(["-e", text]);
    }
    let found = grep.output()?;
    match found.status.code() {
        Some(1) => Ok(()),
        Some(0) => bail!("they do:\n{}", String::from_utf8_lossy(&found.stdout)),
        _ => bail!("git grep: {}", String::from_utf8_lossy(&found.stderr)),
    }
}

fn compare_types(programs: &[TestProgram]) -> Result<()> {
    let written = target().join("xtask/types");
    if written.exists() {
        fs::remove_dir_all(&written)?;
    }
    for program in programs.iter().filter(|p| matches!(p.suite.as_str(), "records" | "local" | "companion")) {
        let mut command = std::process::Command::new(&program.path);
        command.args(["--quiet", "export_bindings"]).current_dir(&program.directory);
        shell::run(command.env("TS_RS_EXPORT_DIR", &written).stdout(std::process::Stdio::null()))?;
    }
    let (now, then) = (texts(&written)?, texts(&root().join("ui/src/generated"))?);
    let differ = now.keys().chain(then.keys()).filter(|name| now.get(*name) != then.get(*name));
    let differ: Vec<&str> = differ.map(String::as_str).collect();
    ensure!(
        differ.is_empty(),
        "not current in ui/src/generated: {}. Copy them from {}",
        differ.join(", "),
        written.display()
    );
    Ok(())
}

/// Every file of a folder, by name.
fn texts(dir: &Path) -> Result<BTreeMap<String, String>> {
    let entries = fs::read_dir(dir)?;
    let read = entries.map(|entry| {
        let entry = entry?;
        Ok((entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?))
    });
    read.collect()
}
