//! A user's folders, and what every process in them is started with.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Clone)]
pub struct World {
    pub root: PathBuf,
    env: Vec<(OsString, OsString)>,
}

impl World {
    pub fn new(root: &Path) -> World {
        // As the processes see it: SQLite resolves links, and the disk goes by names.
        let root = root.canonicalize().unwrap();
        std::fs::create_dir_all(root.join("data")).unwrap();
        World { root, env: Vec::new() }
    }

    pub fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> World {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub fn buffer(&self) -> PathBuf {
        self.data().join("buffer.db")
    }

    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear();
        if let Some(fault) = std::env::var_os("HEYHO_FAULT") {
            command.env("HEYHO_FAULT", fault);
        }
        for (name, folder) in [
            ("HEYHO_DATA_DIR", "data"),
            ("HEYHO_CONFIG_DIR", "config"),
            ("HEYHO_STATE_DIR", "state"),
            ("HEYHO_RUNTIME_DIR", "run"),
        ] {
            command.env(name, self.root.join(folder));
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A size or a seed from outside.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The seed of a run, said so that it can be repeated.
pub fn seed() -> u64 {
    let seed = number("HEYHO_SEED").unwrap_or_else(|| heyho_local::clock::new_id().as_u64_pair().1) | 1;
    println!("seed {seed}");
    seed
}

/// xorshift: the same seed, the same rolls.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides.max(1)
    }

    pub fn another(&mut self) -> Dice {
        Dice(self.roll(u64::MAX) | 1)
    }
}
