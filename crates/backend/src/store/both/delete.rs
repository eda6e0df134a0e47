//! Deletion of records and of accounts, in SQL that both databases read: never more than a slice in one transaction, so
//! that however much goes, others write in between and no statement takes long.
//!
//! Records: what goes is marked first, in one snapshot; then rows go out and tombstones in, slice by slice, each slice
//! under a version of its own. A row that was written again since it was marked is left alone and looked at anew; but
//! an aggregate goes with its visit, also one that was written since: afterwards it would no longer say whose it was.
//!
//! An account: first, at once, all that makes it one: its sessions, its address, its feed. From then on nobody signs in
//! and no batch finds it. Then its rows. If that breaks off, [`delete_the_rest`] goes on, at the latest the next time
//! that what is past its time is forgotten.

use super::links::OWED;
use super::{AMONG, Db, This, Tx, ids, lock_user, mark, may_take_long, new_version, slice};
use crate::store::columns::Table;
use crate::store::rows::{AggregateColumns, VisitColumns};
use crate::store::{Deletion, Result, UserId};
use heyho_records::Kind;
use heyho_records::fault::planted;
use sqlx::AssertSqlSafe;

/// A row that goes.
pub(super) type Marked = (Kind, i64);

const ROWS_OF_AN_ACCOUNT: [&str; 4] = [
    "DELETE FROM tab_aggregates WHERE row_id IN (SELECT row_id FROM tab_aggregates WHERE user_id = $1 LIMIT $2)",
    "DELETE FROM page_visits WHERE row_id IN (SELECT row_id FROM page_visits WHERE user_id = $1 LIMIT $2)",
    "DELETE FROM tombstones WHERE (user_id, kind, source, id) IN (
         SELECT user_id, kind, source, id FROM tombstones WHERE user_id = $1 LIMIT $2)",
    "DELETE FROM idempotency_keys WHERE (user_id, method, path, key) IN (
         SELECT user_id, method, path, key FROM idempotency_keys WHERE user_id = $1 LIMIT $2)",
];

impl This {
    pub(super) async fn delete(&self, deletion: &Deletion) -> Result<u64> {
        let mut deleted = 0;
        loop {
            self.tie_the_rest(Some(deletion.user)).await?;
            let mut snapshot = self.snapshot().await?;
            may_take_long(&mut snapshot).await?;
            let seen: Option<i64> = sqlx::query_scalar("SELECT version FROM feeds WHERE user_id = $1")
                .bind(deletion.user)
                .fetch_optional(&mut *snapshot)
                .await?;
            let Some(seen) = seen else { return Ok(deleted) };
            // What is owed for a visit came with it, or with a version of it that is newer than what was seen.
            let owed: Option<i64> =
                sqlx::query_scalar(OWED).bind(deletion.user).fetch_optional(&mut *snapshot).await?;
            if owed.is_some() {
                continue;
            }
            let marked = mark(&mut snapshot, deletion).await?;
            drop(snapshot);
            if marked.is_empty() {
                return Ok(deleted);
            }
            for slice in marked.chunks(usize::try_from(slice()).unwrap_or(usize::MAX)) {
                deleted += self.delete_slice(deletion, seen, slice).await?;
            }
        }
    }

    async fn delete_slice(&self, deletion: &Deletion, seen: i64, slice: &[Marked]) -> Result<u64> {
        let mut tx = self.begin().await?;
        // takes the user's lock
        let Some(version) = new_version(&mut tx, deletion.user).await? else { return Ok(0) };
        let of =
            |wanted| ids(slice.iter().filter(|(kind, _)| *kind == wanted).map(|(_, row)| *row).collect());
        // aggregates first: deleting a visit would rewrite those that point to it
        let mut deleted = 0;
        let (visits, aggregates) = (VisitColumns::NAME, AggregateColumns::NAME);
        let marked = format!("row_id {AMONG} AND version <= $2");
        let tied = format!("page_visit_row IN (SELECT row_id FROM {visits} WHERE {marked})");
        for (kind, table, which, rows) in [
            (Kind::TabAggregate, aggregates, &marked, Kind::TabAggregate),
            (Kind::TabAggregate, aggregates, &tied, Kind::PageVisit),
            (Kind::PageVisit, visits, &marked, Kind::PageVisit),
        ] {
            let leave = format!(
                "INSERT INTO tombstones (user_id, kind, source, id, version, device_id, captured_at, received_at,
                                         deleted_at, checksum, checksum_algorithm)
                 SELECT user_id, $3, source, id, $4, $5, captured_at, received_at, $6, checksum, checksum_algorithm
                 FROM {table} WHERE {which}"
            );
            sqlx::query(AssertSqlSafe(leave))
                .bind(of(rows))
                .bind(seen)
                .bind(kind.number())
                .bind(version)
                .bind(&deletion.device)
                .bind(deletion.now)
                .execute(&mut *tx)
                .await?;
            if planted("by-halves") {
                tx.commit().await?;
                tx = self.begin().await?;
            }
            let delete = format!("DELETE FROM {table} WHERE {which}");
            let gone = sqlx::query(AssertSqlSafe(delete)).bind(of(rows)).bind(seen).execute(&mut *tx).await?;
            deleted += gone.rows_affected();
        }
        // else the version was for nothing
        if deleted > 0 {
            tx.commit().await?;
        }
        Ok(deleted)
    }

    pub(super) async fn end_account(&self, user: UserId) -> Result<()> {
        let mut tx = self.begin().await?;
        may_take_long(&mut tx).await?;
        lock_user(&mut tx, user).await?;
        for sql in ["DELETE FROM sessions WHERE user_id = $1", "DELETE FROM feeds WHERE user_id = $1"] {
            sqlx::query(sql).bind(user).execute(&mut *tx).await?;
        }
        // no address: nobody can register or sign in as this
        sqlx::query(
            "UPDATE users SET email = $2, password_hash = '', first_name = NULL, last_name = NULL WHERE id = $1",
        )
        .bind(user)
        .bind(format!("deleted {}", user.0))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        self.delete_the_rest(user).await
    }

    async fn delete_the_rest(&self, user: UserId) -> Result<()> {
        for sql in ROWS_OF_AN_ACCOUNT {
            self.in_slices(sql, user).await?;
        }
        let mut tx = self.begin().await?;
        // the foreign keys take what is left: a few devices and codes
        sqlx::query("DELETE FROM users WHERE id = $1").bind(user).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Goes on with accounts whose end broke off.
    pub(super) async fn finish_ends(&self) -> Result<()> {
        let ended: Vec<UserId> = sqlx::query_scalar(
            "SELECT id FROM users WHERE NOT EXISTS (SELECT 1 FROM feeds WHERE feeds.user_id = users.id)",
        )
        .fetch_all(self.reader())
        .await?;
        for user in ended.into_iter().filter(|_| !planted("ends-forgotten")) {
            if let Err(error) = self.delete_the_rest(user).await {
                // what else is past its time is forgotten all the same
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the rest of an account that ended could not be deleted"
                );
            }
        }
        Ok(())
    }

    /// Runs a deletion that is bounded by `$2`, each time in a transaction of its own, until there is nothing more; how
    /// many rows went.
    pub(super) async fn in_slices<K>(&self, sql: &'static str, key: K) -> Result<u64>
    where
        K: for<'q> sqlx::Encode<'q, Db> + sqlx::Type<Db> + Copy + Send + 'static,
    {
        let mut deleted = 0;
        loop {
            let mut tx: Tx = self.begin().await?;
            let gone = sqlx::query(sql).bind(key).bind(slice()).execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
            deleted += gone;
            if gone < slice().unsigned_abs() {
                return Ok(deleted);
            }
        }
    }
}
