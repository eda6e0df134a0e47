//! A scratch home for one test: every program started in it sees only these directories, never the person's
//! own home, keyring, display or D-Bus session.
//!
//! ```text
//! <dir>/home      HOME, with .config .local/share .local/state .cache below it (XDG_*)
//! <dir>/logs      one file for each process: what it printed
//! <run>           XDG_RUNTIME_DIR: sockets, so a short path of its own (a socket's path ends at 107 bytes)
//! ```
//!
//! Every process started here, and every one those start, carries `HEYHO_E2E_WORLD` in its environment. That
//! is how all of them are ended with the world, also browsers' helpers and hosts that no handle of ours knows.
//! A world that is dropped without [`World::done`] belongs to a failed test: it stays on disk, with its place
//! and the end of each log printed.

use crate::process::{self, Process};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

pub const MARK: &str = "HEYHO_E2E_WORLD";

#[derive(Debug)]
pub struct World {
    dir: PathBuf,
    runtime: TempDir,
    environment: BTreeMap<OsString, OsString>,
    outcome: Outcome,
}

/// What becomes of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The test has not come to its end.
    Unfinished,
    /// It has: nothing is worth keeping.
    Done,
    /// It has, and somebody wants to look at what is in it.
    Kept,
}

impl World {
    pub fn new() -> Result<World> {
        World::at(tempfile::Builder::new().prefix("hh").tempdir()?.keep())
    }

    /// A world in a directory of the caller's choice, emptied first.
    pub fn at(dir: PathBuf) -> Result<World> {
        let dir = std::path::absolute(dir)?;
        process::end_leftovers(None)?;
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        private_dir(&dir)?;
        let runtime = tempfile::Builder::new().prefix("hh").tempdir()?;
        let mut world = World { dir, runtime, environment: BTreeMap::new(), outcome: Outcome::Unfinished };
        let home = world.home();
        for (name, path) in [
            ("HOME", home.clone()),
            ("XDG_CONFIG_HOME", world.config_home()),
            ("XDG_DATA_HOME", world.data_home()),
            ("XDG_STATE_HOME", home.join(".local/state")),
            ("XDG_CACHE_HOME", home.join(".cache")),
            ("XDG_RUNTIME_DIR", world.runtime()),
            ("TMPDIR", world.dir.join("tmp")),
        ] {
            private_dir(&path)?;
            world.set(name, path);
        }
        private_dir(&world.logs())?;
        world.set("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        world.set("LC_ALL", "C.UTF-8");
        world.set("RUST_BACKTRACE", "1");
        world.set("NO_COLOR", "1");
        // Programs with a fault in them are built only for the broken controls (xtask); others do not look.
        if let Some(fault) = std::env::var_os("HEYHO_FAULT") {
            world.set("HEYHO_FAULT", fault);
        }
        world.set(MARK, format!("{}:{}", std::process::id(), world.dir.display()));
        Ok(world)
    }

    /// For every program started from now on.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.insert(name.into(), value.into());
    }

    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    pub fn config_home(&self) -> PathBuf {
        self.home().join(".config")
    }

    pub fn data_home(&self) -> PathBuf {
        self.home().join(".local/share")
    }

    pub fn runtime(&self) -> PathBuf {
        self.runtime.path().to_owned()
    }

    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// A command that sees this world and nothing of the one outside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.environment).current_dir(self.home()).kill_on_drop(true);
        command
    }

    /// One of our own programs, as built beside this one.
    pub fn program(&self, name: &str) -> Result<Command> {
        Ok(self.command(built(name)?))
    }

    /// Starts a program that goes on beside the test. `name` also names its log.
    pub fn start(&self, name: &str, command: Command) -> Result<Process> {
        Process::start(name, &self.logs(), command, b"")
    }

    /// The same for a program that reads something, such as a password, from its standard input first.
    pub fn start_with_input(&self, name: &str, command: Command, input: &[u8]) -> Result<Process> {
        Process::start(name, &self.logs(), command, input)
    }

    /// The test has seen all it wanted to see.
    pub fn done(mut self) {
        self.outcome = Outcome::Done;
    }

    /// The same, and the directory stays for people to look into.
    pub fn done_and_kept(mut self) {
        self.outcome = Outcome::Kept;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Err(e) = process::end_leftovers(Some(&self.dir)) {
            eprintln!("processes of {} may be left: {e:#}", self.dir.display());
        }
        match self.outcome {
            Outcome::Done => drop(std::fs::remove_dir_all(&self.dir)),
            Outcome::Kept => {}
            Outcome::Unfinished => {
                eprintln!("what happened is in {}", self.dir.display());
                process::print_ends_of_logs(&self.logs());
            }
        }
    }
}

/// The path of one of our programs: beside this test's own program in the target directory.
pub fn built(name: &str) -> Result<PathBuf> {
    let me = std::env::current_exe()?;
    let mut dir = me.parent().context("a program lies in a directory")?;
    if dir.ends_with("deps") {
        dir = dir.parent().context("deps lies in the profile's directory")?;
    }
    let path = dir.join(name);
    anyhow::ensure!(
        path.is_file(),
        "{} is not built: `cargo xtask test` builds everything that the tests start",
        path.display()
    );
    Ok(path)
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn private_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    Ok(())
}
