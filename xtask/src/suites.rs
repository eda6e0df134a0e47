//! The test suites: fast ones first, the end-to-end suite last. At the end stand the minutes that each took
//! and one closing line.

use crate::build::{self, TestProgram};
use crate::shell::{self, command, root, say};
use crate::tally::Tally;
use crate::{bench, checks, controls, machine, schemathesis};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;

const END_TO_END: &str = "end-to-end";
const CONTROLS: &str = "controls";
const BACKEND: &str = "backend";
const BENCH: &str = "bench";
const WEB: [&str; 2] = ["ui", "extension"];

/// Runs all suites, or one; true when nothing failed.
pub fn test(only: Option<&str>, filter: Option<&str>) -> Result<bool> {
    let wanted = |suite: &str| only.is_none_or(|name| name == suite);
    let mut report = Report::default();

    report.time("machine", || Ok((machine::prepare()?, Tally::default())))?;
    if wanted("checks") {
        // The app's code cannot be compiled, not even by clippy, without the window's files.
        build::web()?;
        report.time("checks", || Ok(((), failures(checks::run()))))?;
    }
    for suite in WEB.into_iter().filter(|suite| wanted(suite)) {
        report.time(suite, || Ok(((), vitest(suite, filter)?)))?;
    }
    if only.is_none_or(|name| !["checks", CONTROLS].contains(&name) && !WEB.contains(&name)) {
        let programs = report.time("build", || {
            build::web()?;
            Ok((build::tests()?, Tally::default()))
        })?;
        if only.is_none() {
            report.time("types", || Ok(((), failures(checks::types(&programs)))))?;
        }
        let mut suites: BTreeMap<&str, Vec<&TestProgram>> = BTreeMap::new();
        for program in programs.iter().filter(|p| wanted(&p.suite)) {
            suites.entry(&program.suite).or_default().push(program);
        }
        let last = suites.remove_entry(END_TO_END);
        if last.is_some() {
            report.time("geckodriver", || Ok((machine::geckodriver()?, Tally::default())))?;
        }
        if suites.contains_key(BACKEND) {
            report.time("schemathesis", || Ok((schemathesis::install()?, Tally::default())))?;
        }
        for (suite, programs) in suites.into_iter().chain(last) {
            report.time(suite, || Ok(((), cargo_tests(suite, &programs, filter)?)))?;
        }
        if wanted(BENCH) && filter.is_none() {
            say("every figure once, as a smoke test");
            report.time("bench, quick", || Ok(((), run(&mut bench::quick()?)?)))?;
        }
    }

    if wanted(CONTROLS) {
        // one of them is a fault that only schemathesis finds
        report.time("schemathesis", || Ok((schemathesis::install()?, Tally::default())))?;
        report.time("controls of extension", || Ok(((), failures(u64::from(!extension_controls())))))?;
        report.time(CONTROLS, || Ok(((), controls::run(filter)?)))?;
    }

    if let Some(name) = only
        && report.total == Tally::default()
        && name != "checks"
    {
        bail!("no test ran: is {name:?} a suite, and does the filter match a test?");
    }
    report.print();
    Ok(report.total.failed == 0)
}

/// The faults of the client's tests (extension/faults.mjs): red is what passes, as for the crates.
fn extension_controls() -> bool {
    say("broken controls of extension/");
    let line = ["npm", "run", "--silent", "control"];
    shell::run(command(&line).current_dir(root().join("extension"))).is_ok()
}

/// Checks count only where they fail: what passed is counted by test runners alone.
fn failures(failed: u64) -> Tally {
    Tally { failed, ..Tally::default() }
}

fn vitest(folder: &str, filter: Option<&str>) -> Result<Tally> {
    say(&format!("tests of {folder}/"));
    let mut line = vec!["npm", "run", "--silent", "test", "--"];
    line.extend(filter.map(|_| "-t"));
    line.extend(filter);
    let mut runner = command(&line);
    // Plain text, so that the closing line can be read.
    run(runner.current_dir(root().join(folder)).env("NO_COLOR", "1").env_remove("FORCE_COLOR"))
}

fn cargo_tests(suite: &str, programs: &[&TestProgram], filter: Option<&str>) -> Result<Tally> {
    let mut tally = Tally::default();
    for program in programs {
        say(&format!("tests of {suite}: {}", program.target));
        let mut runner = Command::new(&program.path);
        runner.current_dir(&program.directory).env("CARGO_MANIFEST_DIR", &program.directory);
        // Tests that write the TypeScript types write them where the check of them looks.
        runner.env("TS_RS_EXPORT_DIR", shell::target().join("xtask/types"));
        // This program sees to what they need: a test that is left out for want of it would be a gap.
        if suite == BACKEND {
            for lacking in ["SCHEMATHESIS", "POSTGRES", "SMALL_DISK"] {
                runner.env(format!("HEYHO_REQUIRE_{lacking}"), "1");
            }
        }
        // An error says what happened; where it was made adds a hundred lines that nobody reads.
        tally += run(runner.args(filter).env("RUST_LIB_BACKTRACE", "0"))?;
    }
    Ok(tally)
}

/// Runs a runner, shows what it prints, and adds its closing lines up. A runner that ends badly without
/// naming a failed test is a failure itself.
fn run(runner: &mut Command) -> Result<Tally> {
    let mut tally = Tally::default();
    let succeeded = shell::each_line(runner, |line| {
        println!("{line}");
        tally.read(line);
    })?;
    if !succeeded && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

#[derive(Default)]
struct Report {
    rows: Vec<(String, f64, Tally)>,
    total: Tally,
}

impl Report {
    fn time<T>(&mut self, name: &str, work: impl FnOnce() -> Result<(T, Tally)>) -> Result<T> {
        let start = Instant::now();
        let (made, tally) = work()?;
        self.rows.push((name.to_owned(), start.elapsed().as_secs_f64() / 60.0, tally));
        self.total += tally;
        Ok(made)
    }

    fn print(&self) {
        println!("\nminutes  suite");
        for (name, minutes, tally) in &self.rows {
            match *tally == Tally::default() {
                true => println!("{minutes:7.1}  {name}"),
                false => println!("{minutes:7.1}  {name}: {tally}"),
            }
        }
        println!("{:7.1}  in all\n", self.rows.iter().map(|(_, minutes, _)| minutes).sum::<f64>());
        println!("{}", self.total);
    }
}
