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
mod error;
pub mod limits;
mod meta;
mod openapi;
pub mod secret;
pub mod store;
mod sync;

pub use config::{Config, Database};

use crate::secret::Secret;
use crate::store::Store;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use anyhow::Context as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How often expired answers, tokens and sessions are forgotten.
const PURGE_EVERY: Duration = Duration::from_secs(600);

/// A server whose database is open and whose listener is bound: what connects to it is served once it runs.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: app::Shared,
}

impl Server {
    pub async fn open(listener: TcpListener, config: Config) -> anyhow::Result<Server> {
        let address = listener.local_addr().context("the listener has no address")?;
        let (store, secret) = open(&config).await?;
        let app = app::App::new(store, &secret, config.clock, config.limits)?;
        Ok(Server { listener, address, app })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready, then finishes the requests under way.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let purging = tokio::spawn(purge(self.app.clone()));
        tracing::info!("listening on http://{}", self.address);
        let served =
            axum::serve(self.listener, app::router(self.app.clone())).with_graceful_shutdown(stop).await;
        purging.abort();
        self.app.store.close().await;
        served.context("serving")
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
    match &config.database {
        Database::Sqlite(path) => {
            let store = SqliteStore::open(path)
                .await
                .with_context(|| format!("opening the database {}", path.display()))?;
            let secret = match &config.secret {
                Some(secret) => secret.clone(),
                None => Secret::kept_in(&path.with_file_name("jwt-secret"))?,
            };
            Ok((Arc::new(store), secret))
        }
        Database::Postgres(url) => {
            let secret = config.secret.clone().context(
                "HEYHO_JWT_SECRET is not set; with PostgreSQL it is needed, the same for every node",
            )?;
            let limits = &config.limits;
            let store = PostgresStore::open(&url.0, limits.postgres_connections, limits.twin_wait)
                .await
                .context("opening the PostgreSQL database")?;
            Ok((Arc::new(store), secret))
        }
    }
}

async fn purge(app: app::Shared) {
    let mut due = tokio::time::interval(PURGE_EVERY);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        match app.store.purge(app.clock.now()).await {
            Ok(rows) => tracing::debug!(rows, "forgot what was past its time"),
            Err(error) => {
                tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "could not purge")
            }
        }
    }
}
