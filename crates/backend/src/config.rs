//! Where the backend listens and what it stores in.

use crate::clock::Clock;
use crate::limits::Limits;
use crate::mail::MailSetting;
use crate::secret::Secret;
use crate::tls::Tls;
use anyhow::{Context as _, bail};
use axum::http::{HeaderName, HeaderValue};
use sqlx::postgres::PgConnectOptions;
use std::path::PathBuf;
use std::str::FromStr as _;

pub const DEFAULT_LISTEN: &str = "127.0.0.1:3001";

/// With PostgreSQL no node makes one: another would make another, and neither would know the other's tokens.
pub const SECRET_NEEDED: &str = "there is no key for access tokens: with PostgreSQL HEYHO_JWT_SECRET or jwt_secret_file is needed, \
                                 the same for every node";

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

/// Whether anybody may make an account, or only who runs the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    Open,
    Closed,
}

impl Registration {
    pub fn parse(text: &str) -> anyhow::Result<Registration> {
        match text {
            "open" => Ok(Registration::Open),
            "closed" => Ok(Registration::Closed),
            _ => bail!("registration is {text:?}; \"open\" and \"closed\" are accepted"),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Config {
    pub database: Database,
    /// None: made once and kept beside a SQLite database.
    pub secret: Option<Secret>,
    pub registration: Registration,
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

impl Config {
    pub fn new(database: Database) -> Config {
        Config {
            database,
            secret: None,
            registration: Registration::Open,
            limits: Limits::default(),
            clock: Clock::default(),
            client_ip_header: None,
            cors_origins: Vec::new(),
            mail: None,
            tls: None,
        }
    }
}

/// An address and a port: what is none can never be listened on, whatever the network looks like.
pub fn listen_address(text: &str) -> anyhow::Result<String> {
    let named = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && url::Host::parse(host).is_ok() && port.parse::<u16>().is_ok()
    });
    if !named {
        bail!("the address to listen on is {text:?}; ADDRESS:PORT is accepted, such as {DEFAULT_LISTEN}");
    }
    Ok(text.to_owned())
}

const ACCEPTED: &str = "sqlite://PATH and postgres://USER@HOST/NAME are accepted";

impl Database {
    /// Reads `sqlite://PATH` or `postgres://…`.
    pub fn parse(url: &str) -> anyhow::Result<Database> {
        match url.split_once("://") {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Database::Sqlite(PathBuf::from(path))),
            Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => {
                // what is wrong with it may be its password, so nothing of it is repeated
                PgConnectOptions::from_str(url).ok().context(
                    "the URL of the PostgreSQL database cannot be read; postgres://USER:PASSWORD@HOST:PORT/NAME is \
                     accepted, user and password percent-encoded, options such as ?sslmode=require behind it",
                )?;
                Ok(Database::Postgres(Url(url.to_owned())))
            }
            // the rest may hold a password
            Some((scheme, rest)) => {
                let scheme: String = scheme.chars().take(20).collect();
                let what = if rest.is_empty() { "says nothing behind" } else { "begins with" };
                bail!("the database's URL {what} {scheme}://; {ACCEPTED}")
            }
            None => {
                bail!("the database is not named by a URL; {ACCEPTED}, such as sqlite:///var/lib/heyho.db")
            }
        }
    }

    /// As it is said to who runs it: without a password.
    pub fn name(&self) -> String {
        match self {
            Database::Sqlite(path) => format!("sqlite://{}", path.display()),
            Database::Postgres(_) => "the PostgreSQL database".to_owned(),
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
    fn what_is_listened_on_has_a_host_and_a_port() {
        for good in
            [DEFAULT_LISTEN, "0.0.0.0:0", "[::1]:443", "[::]:65535", "localhost:3001", "backend.example.:80"]
        {
            assert_eq!(listen_address(good).unwrap(), good);
        }
        for bad in ["", "nonsense", "127.0.0.1", ":3001", "127.0.0.1:", "127.0.0.1:65536", "::1", "a b:1"] {
            let error = listen_address(bad).unwrap_err().to_string();
            assert!(error.contains(DEFAULT_LISTEN), "{error}");
        }
    }

    #[test]
    fn databases_are_named_by_url() {
        assert_eq!(Database::parse("sqlite:///a/b.db").unwrap(), Database::Sqlite("/a/b.db".into()));
        assert_eq!(Database::parse("sqlite://b.db").unwrap(), Database::Sqlite("b.db".into()));
        assert!(matches!(Database::parse("postgres://u@h/d").unwrap(), Database::Postgres(_)));
        for (bad, what) in [
            ("sqlite://", "says nothing behind sqlite://;"),
            ("postgres://", "says nothing behind postgres://;"),
            ("/x.db", "is not named by a URL;"),
            ("u:hunter2@h/d", "is not named by a URL;"),
            ("mysql://u:hunter2@h/d", "begins with mysql://;"),
        ] {
            let error = Database::parse(bad).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("sqlite://PATH"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for bad in ["postgres://u:hunter2@h:port/d", "postgres://u:hunter2@h/d?sslmode=nonsense"] {
            let error = format!("{:#}", Database::parse(bad).unwrap_err());
            assert!(error.contains("postgres://USER") && !error.contains("hunter2"), "{error}");
        }
    }
}
