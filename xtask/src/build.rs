//! Building. The web parts come first: the window's files are compiled into the app.
//!
//! Cargo is asked in one way only: the whole workspace, one set of features. Another set of packages or
//! features would resolve the features of shared dependencies differently and build them a second time.
//! For the same reason `run` asks for a test target too: with one, cargo resolves the features of
//! development dependencies as `test` will.

use crate::shell::{self, command, root, say};
use crate::stamp;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::Command;

/// `custom-protocol`: the window's files come from the program and not from a development server.
/// `automation`: WebDriver may drive the window. `ts`: the test that writes the TypeScript types.
const FEATURES: &str = "heyho-companion/custom-protocol,heyho-companion/automation,\
                        heyho-companion/ts,heyho-records/ts,heyho-local/ts";

/// A cargo command over the whole workspace in the shape all of them share.
pub fn cargo(subcommand: &str) -> Command {
    command(&["cargo", subcommand, "--locked", "--workspace", "--features", FEATURES])
}

/// `ui/dist` and `extension/dist`.
pub fn web() -> Result<()> {
    for folder in ["ui", "extension"] {
        let dist = root().join(folder).join("dist");
        stamp::current(&format!("dist-{folder}"), &[folder], &dist, || {
            say(&format!("building {folder}/"));
            // What a command comes to is on standard output, and nothing else.
            let mut build = command(&["npm", "run", "--silent", "build"]);
            shell::run(build.current_dir(root().join(folder)).stdout(std::io::stderr()))
        })?;
    }
    Ok(())
}

/// The programs a person runs, and the scripted session.
pub fn programs() -> Result<()> {
    say("building the programs");
    shell::run(cargo("build").args(["--bins", "--test", "end_to_end"]))
}

/// One test program that cargo built.
#[derive(Debug, PartialEq, Eq)]
pub struct TestProgram {
    /// The folder of the crate, `companion` for the root package.
    pub suite: String,
    /// The name of the library, program or test it was made from.
    pub target: String,
    pub path: PathBuf,
    /// Where cargo would run it.
    pub directory: PathBuf,
}

/// Everything: programs, and the tests of all crates.
pub fn tests() -> Result<Vec<TestProgram>> {
    say("building the programs and their tests");
    let mut found = Vec::new();
    let built = shell::each_line(
        cargo("build").args(["--all-targets", "--message-format=json-render-diagnostics"]),
        |line| found.extend(test_program(line)),
    )?;
    ensure!(built, "the build failed: see above");
    ensure!(!found.is_empty(), "cargo named no test program");
    found.sort_by(|a, b| (&a.suite, &a.target).cmp(&(&b.suite, &b.target)));
    Ok(found)
}

/// Reads one of cargo's JSON lines, of which only a few strings are wanted.
fn test_program(line: &str) -> Option<TestProgram> {
    let (_, profile) = line.split_once("\"profile\":{")?;
    if !profile.split_once('}')?.0.contains("\"test\":true") {
        return None;
    }
    let path = PathBuf::from(string(line, "executable")?);
    let directory = PathBuf::from(string(line, "manifest_path")?).parent()?.to_owned();
    let target = string(line.split_once("\"target\":")?.1, "name")?.to_owned();
    let folder = directory.file_name()?.to_str()?;
    let suite = match folder {
        _ if directory == root() => "companion",
        "tests" => "end-to-end",
        other => other,
    };
    Some(TestProgram { suite: suite.to_owned(), target, path, directory })
}

fn string<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{name}\":\""))?;
    Some(rest.split_once('"')?.0)
}

/// A program built by [`programs`] or [`tests`].
pub fn program(name: &str) -> Result<Command> {
    let path = shell::target().join("debug").join(name);
    ensure!(path.is_file(), "{} was not built", path.display());
    let mut command = Command::new(path);
    command.current_dir(std::env::current_dir().context("the current directory")?);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(profile_test: bool, executable: &str) -> String {
        format!(
            "{{\"reason\":\"compiler-artifact\",\"manifest_path\":\"{}/crates/buffer/Cargo.toml\",\
             \"target\":{{\"kind\":[\"lib\"],\"name\":\"heyho_buffer\",\"test\":true}},\
             \"profile\":{{\"opt_level\":\"0\",\"test\":{profile_test}}},\"executable\":{executable},\"fresh\":true}}",
            root().display()
        )
    }

    #[test]
    fn a_test_program_is_known_by_its_profile() {
        let found = test_program(&line(true, "\"/target/heyho_buffer-1\"")).unwrap();
        assert_eq!((found.suite.as_str(), found.target.as_str()), ("buffer", "heyho_buffer"));
        assert_eq!(found.path, PathBuf::from("/target/heyho_buffer-1"));
        assert_eq!(found.directory, root().join("crates/buffer"));
    }

    #[test]
    fn programs_libraries_and_messages_are_none() {
        assert_eq!(test_program(&line(false, "\"/target/heyho\"")), None);
        assert_eq!(test_program(&line(true, "null")), None);
        assert_eq!(test_program("{\"reason\":\"build-finished\",\"success\":true}"), None);
    }
}
