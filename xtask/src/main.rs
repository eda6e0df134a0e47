//! The repository's commands: `cargo xtask run` does the whole job once on this machine, `cargo xtask test`
//! proves all of it, `cargo xtask torture` proves it at length. All first see to what the machine lacks, and
//! are quick the second time: what was made is marked in `target/xtask/` with the state of what it was made
//! from.
//!
//! - [`machine`]: Debian packages, Node, npm packages, crates, cargo-deny;
//! - [`stamp`]: is this newer than what was made from it;
//! - [`bench`]: what it costs, measured by `bench/`;
//! - [`build`]: the web parts, and the one way in which cargo is asked to build;
//! - [`checks`]: what is judged without running it;
//! - [`dist`]: what people install;
//! - [`controls`]: faults the suites must notice;
//! - [`suites`]: the test suites, their order, their time;
//! - [`torture`]: the suites that have a size, at their largest;
//! - [`tally`]: passed and failed, from the runners' own closing lines;
//! - [`schemathesis`]: the asker of the backend's tests;
//! - [`session`]: `cargo xtask run`;
//! - [`screenshots`]: pictures of the window in every state;
//! - [`shell`]: starting other programs.

#![expect(clippy::print_stdout, reason = "what the test runners print, and the closing line, is the output")]

mod bench;
mod build;
mod checks;
mod controls;
mod dist;
mod machine;
mod schemathesis;
mod screenshots;
mod session;
mod shell;
mod stamp;
mod suites;
mod tally;
mod torture;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask run                   build everything and do the whole job once: with a display, the app on it;
                                  without one, a scripted browsing session with a summary
cargo xtask test [SUITE [FILTER]] every check and every test, or one suite, or its tests whose name contains FILTER

cargo xtask bench [FIGURE…]       what it costs, each figure beside its limit, into docs/performance (half an hour);
                                  with --quick only whether every figure can be taken
cargo xtask torture [SUITE]       the suites that have a size at their largest, for hours
cargo xtask dist                  what people install (deb; the extension as zip and xpi), into target/dist
cargo xtask screenshots [LOOK]    pictures of the real window in every state, into docs/screenshots
cargo xtask icons                 every picture of the app, the tray and the extension, from the drawings in
                                  src-tauri/icons

Suites of test: checks, ui, extension, a crate by the name of its folder, companion (the desktop app),
end-to-end, controls";

/// As in sysexits.h: wrong use of the command, and something needed that cannot be had.
const EX_USAGE: u8 = 64;
const EX_UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match words.as_slice() {
        ["run"] => session::run(),
        ["test"] => suites::test(None, None),
        ["test", suite] => suites::test(Some(suite), None),
        ["test", suite, filter] => suites::test(Some(suite), Some(filter)),
        ["screenshots"] => screenshots::run(None),
        ["screenshots", look] => screenshots::run(Some(look)),
        ["bench", figures @ ..] => bench::run(figures),
        ["dist"] => dist::run(),
        ["icons"] => {
            shell::run(&mut shell::command(&["cargo", "run", "--locked", "-p", "heyho-icons"])).map(|()| true)
        }
        ["torture"] => torture::run(None),
        ["torture", suite] => torture::run(Some(suite)),
        _ => {
            eprintln!("{USAGE}\nSuites of torture: {}", torture::names());
            return ExitCode::from(EX_USAGE);
        }
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            match e.is::<machine::Lacking>() {
                true => ExitCode::from(EX_UNAVAILABLE),
                false => ExitCode::FAILURE,
            }
        }
    }
}
