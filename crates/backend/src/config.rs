//! Where the backend listens and what it stores in.

use crate::clock::Clock;
use crate::limits::Limits;
use crate::mail::MailSetting;
use crate::secret::Secret;
use anyhow::{Context as _, bail};
use axum::http::{HeaderName, HeaderValue};
use std::path::PathBuf;

pub const DEFAULT_LISTEN: &str = "127.0.0.1:3001";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    Sqlite(PathBuf),
    /// The URL may hold a password.
    Postgres(Url),
}

/// The address of a PostgreSQL database. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(pub String);

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Url")
    }
}

#[derive(Debug, Clone)]
pub struct Config {
    pub database: Database,
    /// None: made once and kept beside a SQLite database.
    pub secret: Option<Secret>,
    pub limits: Limits,
    pub clock: Clock,
    /// The header in which a trusted proxy says who its client is. None: there is no proxy.
    pub client_ip_header: Option<HeaderName>,
    /// Origins whose pages may call from a browser.
    pub cors_origins: Vec<HeaderValue>,
    /// None: addresses are not confirmed, and nobody can ask for a new password.
    pub mail: Option<MailSetting>,
    /// None: plain HTTP, for this machine or behind a proxy.
    pub tls: Option<Tls>,
}

#[derive(Debug, Clone)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Config {
    pub fn new(database: Database) -> Config {
        Config {
            database,
            secret: None,
            limits: Limits::default(),
            clock: Clock::default(),
            client_ip_header: None,
            cors_origins: Vec::new(),
            mail: None,
            tls: None,
        }
    }
}

impl Database {
    /// Reads `sqlite://PATH` or `postgres://…`.
    pub fn parse(url: &str) -> anyhow::Result<Database> {
        match url.split_once("://") {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Database::Sqlite(PathBuf::from(path))),
            Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => {
                Ok(Database::Postgres(Url(url.to_owned())))
            }
            _ => {
                // the rest may hold a password
                let scheme: String = url.chars().take_while(|c| *c != ':').take(20).collect();
                bail!(
                    "the database {scheme:?}… is not known; sqlite://PATH and postgres://USER@HOST/NAME are accepted"
                )
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
        assert!(matches!(Database::parse("postgres://u@h/d").unwrap(), Database::Postgres(_)));
        for bad in ["sqlite://", "postgres://", "b.db", "mysql://u:hunter2@h/d"] {
            let error = Database::parse(bad).unwrap_err().to_string();
            assert!(error.contains("sqlite://PATH") && !error.contains("hunter2"), "{error}");
        }
    }
}
