//! The PostgreSQL store: any number of stateless nodes over one database.
//!
//! - READ COMMITTED. What one transaction decided by is confirmed under the lock of the user's row in `feeds`, taken
//!   late; if another changed the user's records meanwhile, the work is done again with the lock taken first.
//! - That lock is held from the version to the commit, so versions become visible in the order they were given.
//! - A batch holds that row, if only shared, before any other of the user's rows: the end of
//!   an account, which takes it first, meets no batch half way.
//! - Twins of one idempotency key wait for each other on an advisory lock, at most [`Limits::twin_wait`].
//! - sqlx migrates under a lock of its own, so nodes may start together. A migration, and the wait for another node's,
//!   takes as long as it takes: it has a connection without a bound on statements.
//!
//! [`Limits::twin_wait`]: crate::limits::Limits

mod mark;
mod rows;
mod save;

#[path = "../both/answers.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod answers;
#[path = "../both/codes.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod codes;
#[path = "../both/delete.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod delete;
#[path = "../both/feed.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod feed;
#[path = "../both/links.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod links;
#[path = "../both/sessions.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod sessions;
#[path = "../both/users.rs"]
#[expect(clippy::duplicate_mod, reason = "the same SQL, compiled for each database")]
mod users;

use super::*;
use crate::limits::{Limits, PAGE_BYTES};
use heyho_records::fault::planted;
use mark::mark;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::str::FromStr as _;
use std::time::Duration;

use PostgresStore as This;
type Db = sqlx::Postgres;
type Connection = sqlx::PgConnection;
type Tx = sqlx::Transaction<'static, sqlx::Postgres>;

#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: PgPool,
    twin_wait: Duration,
}

impl PostgresStore {
    pub async fn open(url: &str, limits: &Limits) -> Result<PostgresStore> {
        let statement_timeout = format!("{}ms", limits.statement_timeout.as_millis());
        // that a table is there already is no news, and each start would say so
        let options = PgConnectOptions::from_str(url)?
            .application_name("heyho-backend")
            .options([("client_min_messages", "warning")]);
        let unbounded = options.clone().options([("statement_timeout", "0")]);
        let migrating = PgPoolOptions::new().max_connections(1).connect_with(unbounded).await?;
        let encoding: String = sqlx::query_scalar("SHOW server_encoding").fetch_one(&migrating).await?;
        if encoding != "UTF8" {
            return Err(StoreError::Encoding(encoding));
        }
        sqlx::migrate!("migrations/postgres").run(&migrating).await?;
        migrating.close().await;
        let options = options.options([
            ("statement_timeout", statement_timeout.as_str()),
            ("idle_in_transaction_session_timeout", "30s"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(limits.postgres_connections)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await?;
        Ok(PostgresStore { pool, twin_wait: limits.twin_wait })
    }

    /// A transaction that writes.
    async fn begin(&self) -> Result<Tx> {
        Ok(self.pool.begin().await?)
    }

    /// Reads of one moment.
    async fn snapshot(&self) -> Result<Tx> {
        Ok(self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    fn reader(&self) -> &PgPool {
        &self.pool
    }
}

/// In a statement of its own: what is read after it is what the last one wrote.
async fn lock_session(tx: &mut Tx, token: &TokenHash) -> Result<()> {
    sqlx::query(
        "SELECT 1 FROM sessions WHERE id = (SELECT session_id FROM refresh_tokens WHERE hash = $1) FOR UPDATE",
    )
    .bind(&token[..])
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Only for what is one statement by nature: marking what goes, the end of all sessions of an account.
async fn may_take_long(tx: &mut Tx) -> Result<()> {
    sqlx::query("SET LOCAL statement_timeout = '10min'").execute(&mut **tx).await?;
    Ok(())
}

/// It sends all rows of a statement, wanted or not: so those that begin beyond the bytes of a page are left out there. The
/// length of a text is known without reading it.
fn page_of(rows: String) -> String {
    if planted("whole-pages") {
        return rows;
    }
    format!(
        "SELECT version, id, source, record, updated_at FROM (
             SELECT *, sum(octet_length(record)) OVER (ORDER BY version, id, source) - octet_length(record) AS before
             FROM ({rows}) AS found) AS page
         WHERE before <= {PAGE_BYTES} ORDER BY version, id, source"
    )
}

const AMONG: &str = "= ANY($1)";

fn ids(ids: Vec<i64>) -> Vec<i64> {
    ids
}

/// A version for what is not a batch; holds the user's lock until the commit. None if the user is gone.
async fn new_version(tx: &mut Tx, user: UserId) -> Result<Option<i64>> {
    Ok(save::change(tx, user, true).await?.map(|feed| feed.version))
}

/// Waits for the batches of a user that are under way; those that come later wait, and find nobody.
async fn lock_user(tx: &mut Tx, user: UserId) -> Result<()> {
    save::lock(tx, user).await.map(drop)
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT version FROM feeds LIMIT 1").fetch_optional(&self.pool).await?;
        Ok(())
    }

    async fn purge(&self, now: Millis) -> Result<u64> {
        let gone = self.forget(now).await?;
        Ok(gone)
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
