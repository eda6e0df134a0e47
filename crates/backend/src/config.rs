//! Where the backend listens and what it stores in.

use crate::clock::Clock;
use crate::limits::Limits;
use crate::secret::Secret;
use anyhow::{Context as _, bail};
use std::path::PathBuf;

pub const DEFAULT_LISTEN: &str = "127.0.0.1:3001";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    Sqlite(PathBuf),
}

#[derive(Debug, Clone)]
pub struct Config {
    pub database: Database,
    /// None: made once and kept beside a SQLite database.
    pub secret: Option<Secret>,
    pub limits: Limits,
    pub clock: Clock,
}

impl Config {
    pub fn new(database: Database) -> Config {
        Config { database, secret: None, limits: Limits::default(), clock: Clock::default() }
    }
}

impl Database {
    /// Reads `sqlite://PATH`.
    pub fn parse(url: &str) -> anyhow::Result<Database> {
        match url.split_once("://") {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Database::Sqlite(PathBuf::from(path))),
            _ => {
                // the rest may hold a password
                let scheme: String = url.chars().take_while(|c| *c != ':').take(20).collect();
                bail!("the database {scheme:?}… is not known; sqlite://PATH is accepted")
            }
        }
    }

    /// `heyho-backend/heyho.db` in the user's data directory.
    pub fn default_place() -> anyhow::Result<Database> {
        let dirs = directories::BaseDirs::new()
            .context("there is no home directory; say where the database is with --database sqlite://PATH")?;
        Ok(Database::Sqlite(dirs.data_dir().join("heyho-backend").join("heyho.db")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_named_by_url() {
        assert_eq!(Database::parse("sqlite:///a/b.db").unwrap(), Database::Sqlite("/a/b.db".into()));
        assert_eq!(Database::parse("sqlite://b.db").unwrap(), Database::Sqlite("b.db".into()));
        for bad in ["sqlite://", "b.db", "mysql://u:hunter2@h/d"] {
            let error = Database::parse(bad).unwrap_err().to_string();
            assert!(error.contains("sqlite://PATH") && !error.contains("hunter2"), "{error}");
        }
    }
}
