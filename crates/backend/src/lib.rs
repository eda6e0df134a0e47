//! The reference backend of HeyHo: the sync API of `docs/` over an embedded SQLite database or
//! PostgreSQL.
//!
//! [`serve`] (or [`Server`]) takes a bound listener, a configuration and a signal to stop, so that a program and a test start the
//! very same server.
//!
//! A request goes: `app` (routes) → `auth` (who) → `body` (bytes) → `sync`, `browse` or `account` → [`store`].
//! Whatever fails on the way is an `error::ApiError`, which is mapped to a status in one place.

mod account;
mod app;
mod auth;
mod body;
mod browse;
pub mod clock;
pub mod config;
mod connections;
mod drain;
mod error;
mod guard;
pub mod limits;
pub mod mail;
mod meta;
mod metrics;
mod openapi;
pub mod operator;
mod pace;
mod rates;
mod room;
pub mod secret;
mod serving;
pub mod settings;
pub mod store;
mod sync;
mod taken;
pub mod tls;
mod turns;

pub use config::{Config, Database, Registration};

use crate::secret::Secret;
use crate::store::Store;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use anyhow::{Context as _, bail};
use heyho_records::fault::planted;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// The OpenAPI document, as `/api/v1/openapi.json` serves it.
pub fn openapi_document() -> anyhow::Result<serde_json::Value> {
    serde_json::to_value(app::routes().into_openapi()).context("the OpenAPI document")
}

/// How often expired answers, tokens and sessions are forgotten.
const PURGE_EVERY: Duration = Duration::from_secs(600);

/// A server whose database is open and whose listener is bound: what connects to it is served once it runs.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: app::Shared,
    config: Config,
}

impl Server {
    pub async fn open(listener: TcpListener, mut config: Config) -> anyhow::Result<Server> {
        if planted("no-deadlines") {
            config.limits.never_close();
        }
        let address = listener.local_addr().context("the listener has no address")?;
        let (store, secret) = open(&config).await?;
        let app = app::App::new(store, &secret, &config)?;
        Ok(Server { listener, address, app, config })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `stop` is ready, then finishes the requests under way.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let purging = tokio::spawn(purge(self.app.clone()));
        tracing::info!("listening on {}", self.url());
        let router = app::router(self.app.clone(), &self.config.cors_origins)?;
        let served = serving::serve(self.listener, router, &self.config, stop).await;
        purging.abort();
        if let Some(mailer) = &self.app.mail {
            mailer.finish(limits::MAIL_FINISH).await;
        }
        self.app.store.close().await;
        served
    }
}

/// Opens and runs a server.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    Server::open(listener, config).await?.run(stop).await
}

async fn open(config: &Config) -> anyhow::Result<(Arc<dyn Store>, Secret)> {
    let store = open_store(config).await?;
    let secret = match (&config.secret, &config.database) {
        (Some(secret), _) => secret.clone(),
        (None, Database::Sqlite(path)) => Secret::kept_in(&path.with_file_name("jwt-secret"))?,
        (None, Database::Postgres(_)) => bail!(config::SECRET_NEEDED),
    };
    Ok((store, secret))
}

async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    match &config.database {
        Database::Sqlite(path) => {
            let store = SqliteStore::open(path)
                .await
                .with_context(|| format!("opening the database {}", path.display()))?;
            Ok(Arc::new(store))
        }
        Database::Postgres(url) => {
            let store = PostgresStore::open(&url.0, &config.limits)
                .await
                .context("opening the PostgreSQL database")?;
            Ok(Arc::new(store))
        }
    }
}

async fn purge(app: app::Shared) {
    let mut due = tokio::time::interval(PURGE_EVERY);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        app.rates.forget_idle();
        match app.store.purge(app.clock.now()).await {
            Ok(rows) => tracing::debug!(rows, "forgot what was past its time"),
            Err(error) => {
                tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "could not purge")
            }
        }
    }
}
