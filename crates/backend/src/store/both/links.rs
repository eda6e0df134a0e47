//! Tying aggregates to a visit that came after them, in SQL that both databases read.
//!
//! The batch that brings a visit ties as many as a slice has. For each visit that more wait for it leaves a debt, in its
//! own transaction. Whoever forgets what is past its time pays: slice by slice, each a transaction, so that others write
//! in between; one that broke off goes on with the next. What goes with a visit is found by its link, so a deletion pays
//! first. A link is no content: it takes no version.

use super::{AMONG, This, ids, lock_user, slice};
use crate::store::{Result, UserId};
use sqlx::AssertSqlSafe;

const NEXT: &str = "SELECT page_visit_row, user_id FROM link_debts WHERE page_visit_row > $1
    ORDER BY page_visit_row LIMIT 1";
const NEXT_OF_ONE: &str =
    "SELECT page_visit_row, user_id FROM link_debts WHERE page_visit_row > $1 AND user_id = $2
    ORDER BY page_visit_row LIMIT 1";
pub(super) const OWED: &str = "SELECT page_visit_row FROM link_debts WHERE user_id = $1 LIMIT 1";

impl This {
    /// Ties all that wait for visits that are here: of one user; or of everybody, where one that fails keeps none from theirs.
    pub(super) async fn tie_the_rest(&self, of: Option<UserId>) -> Result<()> {
        let mut after = i64::MIN;
        loop {
            let next = match of {
                None => sqlx::query_as(NEXT).bind(after),
                Some(user) => sqlx::query_as(NEXT_OF_ONE).bind(after).bind(user),
            };
            let next: Option<(i64, UserId)> = next.fetch_optional(self.reader()).await?;
            let Some((visit, user)) = next else { return Ok(()) };
            match self.tie(user, visit).await {
                Err(error) if of.is_some() => return Err(error),
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "what waits for a visit could not be tied to it"
                    );
                }
                Ok(()) => {}
            }
            after = visit;
        }
    }

    async fn tie(&self, user: UserId, visit: i64) -> Result<()> {
        while self.tie_a_slice(user, visit).await? {}
        Ok(())
    }

    /// Whether there may be more.
    async fn tie_a_slice(&self, user: UserId, visit: i64) -> Result<bool> {
        let mut tx = self.begin().await?;
        lock_user(&mut tx, user).await?;
        // if the visit is gone, or its user, the debt goes with it
        let named: Option<(String, String)> = sqlx::query_as(
            "SELECT source, id FROM page_visits
             WHERE row_id = $1 AND user_id = $2 AND EXISTS (SELECT 1 FROM feeds WHERE user_id = $2)",
        )
        .bind(visit)
        .bind(user)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((source, id)) = named else { return Ok(false) };
        let waiting: Vec<i64> = sqlx::query_scalar(
            "SELECT row_id FROM tab_aggregates WHERE user_id = $1 AND source = $2 AND page_visit_id = $3
             AND page_visit_row IS NULL AND page_visit_id IS NOT NULL LIMIT $4",
        )
        .bind(user)
        .bind(source)
        .bind(id)
        .bind(slice())
        .fetch_all(&mut *tx)
        .await?;
        let more = waiting.len() as i64 == slice();
        sqlx::query(AssertSqlSafe(format!(
            "UPDATE tab_aggregates SET page_visit_row = $2 WHERE row_id {AMONG}"
        )))
        .bind(ids(waiting))
        .bind(visit)
        .execute(&mut *tx)
        .await?;
        if !more {
            sqlx::query("DELETE FROM link_debts WHERE page_visit_row = $1")
                .bind(visit)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(more)
    }
}
