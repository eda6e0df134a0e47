//! The PostgreSQL store: any number of stateless nodes over one database.
//!
//! - READ COMMITTED. What one transaction decided by is confirmed under the lock of the user's row in `feeds`, taken
//!   late; if another changed the user's records meanwhile, the work is done again with the lock taken first.
//! - That lock is held from the version to the commit, so versions become visible in the order they were given.
//! - Twins of one idempotency key wait for each other on an advisory lock, at most [`Limits::twin_wait`].
//! - sqlx migrates under a lock of its own, so nodes may start together.
//!
//! [`Limits::twin_wait`]: crate::limits::Limits

mod account;
mod delete;
mod page;
mod save;
mod users;

use super::*;
use crate::limits::IDEMPOTENCY_LIFE;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::str::FromStr as _;
use std::time::Duration;

type Tx = sqlx::Transaction<'static, sqlx::Postgres>;

#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: PgPool,
    twin_wait: Duration,
}

impl PostgresStore {
    pub async fn open(url: &str, connections: u32, twin_wait: Duration) -> Result<PostgresStore> {
        let options = PgConnectOptions::from_str(url)?.application_name("heyho-backend").options([
            // ours take milliseconds; one that hangs must not hold the user's lock for ever
            ("statement_timeout", "30s"),
            ("idle_in_transaction_session_timeout", "30s"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await?;
        sqlx::migrate!("migrations/postgres").run(&pool).await?;
        Ok(PostgresStore { pool, twin_wait })
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT version FROM feeds LIMIT 1").fetch_optional(&self.pool).await?;
        Ok(())
    }

    async fn create_user(&self, user: NewUser) -> Result<Created> {
        self.create_user(user).await
    }

    async fn credentials(&self, email: &str) -> Result<Option<Credentials>> {
        self.credentials(email).await
    }

    async fn open_session(&self, session: NewSession) -> Result<()> {
        self.open_session(session).await
    }

    async fn session_user(&self, session: SessionId, now: Millis) -> Result<Option<User>> {
        self.session_user(session, now).await
    }

    async fn rotate(&self, presented: Presented) -> Result<Rotation> {
        self.rotate(presented).await
    }

    async fn end_session(&self, session: SessionId, why: SessionEnd, now: Millis) -> Result<()> {
        self.end_session(session, why, now).await
    }

    async fn end_all_sessions(&self, user: UserId, now: Millis) -> Result<()> {
        self.end_all_sessions(user, now).await
    }

    async fn change_password(
        &self,
        user: UserId,
        new: PasswordHash,
        keep: SessionId,
        now: Millis,
    ) -> Result<()> {
        self.change_password(user, new, keep, now).await
    }

    async fn delete_user(&self, user: UserId) -> Result<()> {
        self.delete_user(user).await
    }

    async fn answered(&self, key: &IdempotencyKey, now: Millis) -> Result<Option<Answered>> {
        let mut connection = self.pool.acquire().await?;
        save::answered(&mut connection, key, now).await
    }

    async fn save(&self, batch: Batch) -> Result<Saved> {
        self.save(batch).await
    }

    async fn page(&self, query: PageQuery) -> Result<Page> {
        self.page(query).await
    }

    async fn delete_records(&self, deletion: Deletion) -> Result<u64> {
        self.delete_records(deletion).await
    }

    async fn account(&self, user: UserId) -> Result<Option<AccountData>> {
        self.account(user).await
    }

    async fn tombstones(&self, query: PageQuery) -> Result<Vec<Tombstone>> {
        self.tombstones(query).await
    }

    async fn purge(&self, now: Millis) -> Result<u64> {
        let answers = sqlx::query("DELETE FROM idempotency_keys WHERE answered_at <= $1")
            .bind(now - IDEMPOTENCY_LIFE)
            .execute(&self.pool)
            .await?;
        let sessions = sqlx::query("DELETE FROM sessions WHERE expires_at <= $1 OR ended_at <= $1")
            .bind(now)
            .execute(&self.pool)
            .await?;
        Ok(answers.rows_affected() + sessions.rows_affected())
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
