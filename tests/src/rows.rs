//! What the backend really stored, by plain SQL on its database file, read only: no code of ours between.

use crate::backend;
use crate::world::World;
use anyhow::{Context, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteLockingMode};
use sqlx::{Connection, Row};
use std::path::Path;

#[derive(Debug)]
pub struct Rows(SqliteConnection);

impl Rows {
    pub async fn open(world: &World) -> Result<Rows> {
        Ok(Rows(open(&backend::database(world)).await?))
    }

    /// Every visit's address, one for each row, sorted.
    pub async fn visited(&mut self) -> Result<Vec<String>> {
        self.strings("SELECT url FROM page_visits ORDER BY url").await
    }

    /// The addresses of one account's visits, sorted.
    pub async fn visited_by(&mut self, email: &str) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT v.url FROM page_visits v JOIN users u ON u.id = v.user_id WHERE u.email = ? ORDER BY v.url",
        )
        .bind(email)
        .fetch_all(&mut self.0)
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Every visit's id, one for each row, sorted.
    pub async fn visit_ids(&mut self) -> Result<Vec<String>> {
        self.strings("SELECT id FROM page_visits ORDER BY id").await
    }

    /// Every visit's record as it was sent, sorted by id.
    pub async fn visit_records(&mut self) -> Result<Vec<String>> {
        self.strings("SELECT record FROM page_visits ORDER BY id").await
    }

    /// The same of the aggregates.
    pub async fn aggregate_records(&mut self) -> Result<Vec<String>> {
        self.strings("SELECT record FROM tab_aggregates ORDER BY id").await
    }

    pub async fn visits(&mut self) -> Result<u64> {
        self.count("SELECT count(*) FROM page_visits").await
    }

    pub async fn aggregates(&mut self) -> Result<u64> {
        self.count("SELECT count(*) FROM tab_aggregates").await
    }

    /// Records that the backend has accounted for, over all keys: more than it holds if one came under two.
    pub async fn accounted_for(&mut self) -> Result<u64> {
        self.count(
            "SELECT coalesce(sum(json_extract(answer, '$.data.page_visits_synced')
                                 + json_extract(answer, '$.data.tab_aggregates_synced')), 0)
             FROM idempotency_keys WHERE path LIKE '%/data/sync'",
        )
        .await
    }

    async fn strings(&mut self, sql: &'static str) -> Result<Vec<String>> {
        let rows = sqlx::query(sql).fetch_all(&mut self.0).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn count(&mut self, sql: &'static str) -> Result<u64> {
        let n: i64 = sqlx::query(sql).fetch_one(&mut self.0).await?.try_get(0)?;
        Ok(n.try_into()?)
    }
}

/// What the host has acknowledged so far: every identity that the buffer holds or has delivered. By SQL too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    pub visits: u64,
    pub aggregates: u64,
}

impl Acknowledged {
    pub async fn read(world: &World) -> Result<Acknowledged> {
        let path = world.data_home().join("heyho-companion/buffer.db");
        let mut buffer = open(&path).await?;
        let row = sqlx::query(
            "SELECT count(*) FILTER (WHERE kind = 1), count(*) FILTER (WHERE kind = 2)
             FROM (SELECT source, kind, id FROM record UNION SELECT source, kind, id FROM delivered)",
        )
        .fetch_one(&mut buffer)
        .await?;
        let (visits, aggregates): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Acknowledged { visits: visits.try_into()?, aggregates: aggregates.try_into()? })
    }
}

/// Has the buffer for itself, as a program that brings its schema up to date, until the connection is closed.
pub async fn hold_buffer(world: &World) -> Result<SqliteConnection> {
    let path = world.data_home().join("heyho-companion/buffer.db");
    let options = SqliteConnectOptions::new().filename(&path).locking_mode(SqliteLockingMode::Exclusive);
    let mut buffer = SqliteConnection::connect_with(&options).await?;
    sqlx::raw_sql("BEGIN EXCLUSIVE; COMMIT").execute(&mut buffer).await?;
    Ok(buffer)
}

/// Writes into the buffer what the last day would have left in it: quarters of an hour in which records came and went.
pub async fn past_day(world: &World) -> Result<()> {
    let path = world.data_home().join("heyho-companion/buffer.db");
    let mut buffer = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await?;
    sqlx::query(
        "WITH RECURSIVE ago(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM ago WHERE n < 80)
         INSERT INTO series (bucket, stored, confirmed, waiting)
         SELECT unixepoch() / 900 - n, n * 7 % 23, n * 7 % 23, n * 13 % 41 FROM ago WHERE true
         ON CONFLICT DO NOTHING",
    )
    .execute(&mut buffer)
    .await?;
    Ok(())
}

async fn open(path: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    SqliteConnection::connect_with(&options).await.with_context(|| path.display().to_string())
}
