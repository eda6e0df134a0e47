//! The day in quarter hours: what came, what went, what waited at the end of each. Kept for 48 hours; numbers
//! only, nothing that says whose or of where.

use crate::error::Result;
use crate::open::Buffer;
use sqlx::{Row, SqliteConnection};

const BUCKET_MS: i64 = 15 * 60_000;
const KEPT_MS: i64 = 48 * 3_600_000;

/// One quarter of an hour of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Its end; of the one that is going on: now.
    pub at: i64,
    /// What waited then, of all accounts.
    pub waiting: u64,
    /// What was confirmed in it.
    pub sent: u64,
}

/// What one transaction adds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flow {
    pub stored: i64,
    pub confirmed: i64,
    pub failed: i64,
}

pub(crate) async fn add(tx: &mut SqliteConnection, now: i64, flow: Flow) -> Result<()> {
    sqlx::query(
        "INSERT INTO series (bucket, stored, confirmed, failed, waiting) \
         VALUES (?1, ?2, ?3, ?4, (SELECT ifnull(sum(n), 0) FROM counter WHERE state = 1)) \
         ON CONFLICT DO UPDATE SET stored = stored + excluded.stored, \
         confirmed = confirmed + excluded.confirmed, failed = failed + excluded.failed, \
         waiting = excluded.waiting",
    )
    .bind(now.div_euclid(BUCKET_MS))
    .bind(flow.stored)
    .bind(flow.confirmed)
    .bind(flow.failed)
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM series WHERE bucket < ?")
        .bind((now - KEPT_MS).div_euclid(BUCKET_MS))
        .execute(tx)
        .await?;
    Ok(())
}

impl Buffer {
    /// Notes what waits now. What came and went is noted as it happens; this is for what users delete or take
    /// in, and for the hours in which nothing happens.
    pub async fn sample(&self, now: i64) -> Result<()> {
        let mut tx = self.write().await?;
        add(&mut tx, now, Flow::default()).await?;
        tx.commit().await
    }

    /// Every quarter hour from `since` to `now`, from the first that is known. One in which nothing was noted
    /// has what waited before it.
    pub async fn timeline(&self, since: i64, now: i64) -> Result<Vec<Point>> {
        let (first, last) = (since.div_euclid(BUCKET_MS), now.div_euclid(BUCKET_MS));
        let rows = sqlx::query(
            "SELECT bucket, waiting, confirmed FROM series WHERE bucket <= ?2 AND bucket >= \
             ifnull((SELECT max(bucket) FROM series WHERE bucket <= ?1), ?1) ORDER BY bucket",
        )
        .bind(first)
        .bind(last)
        .fetch_all(&self.pool)
        .await?;
        let mut points: Vec<Point> = Vec::new();
        let at = |bucket: i64| ((bucket + 1) * BUCKET_MS).min(now);
        let mut next: Option<i64> = None;
        let mut before = 0;
        for row in &rows {
            let (bucket, waiting, sent): (i64, i64, i64) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let quiet = next.unwrap_or(bucket).max(first)..bucket;
            points.extend(quiet.map(|bucket| Point { at: at(bucket), waiting: before, sent: 0 }));
            before = waiting.max(0) as u64;
            if bucket >= first {
                points.push(Point { at: at(bucket), waiting: before, sent: sent.max(0) as u64 });
            }
            next = Some(bucket + 1);
        }
        let quiet = next.map(|next| next.max(first)..last + 1).unwrap_or(0..0);
        points.extend(quiet.map(|bucket| Point { at: at(bucket), waiting: before, sent: 0 }));
        Ok(points)
    }
}
