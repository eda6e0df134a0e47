//! Reading the feed, in SQL that both databases read.

use super::{This, Tx, page_of};
use crate::store::columns::Table;
use crate::store::feed::{Found, Gathering, merge};
use crate::store::rows::{AggregateColumns, VisitColumns};
use crate::store::{Feed, Page, PageQuery, Result, Tombstone};
use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use heyho_records::Kind;
use heyho_records::fault::planted;
use sqlx::AssertSqlSafe;

#[async_trait]
impl Feed for This {
    async fn page(&self, query: PageQuery) -> Result<Page> {
        // one snapshot over both tables
        let mut tx = self.snapshot().await?;
        let mut kinds = Vec::new();
        let wanted = |kind| query.kind.is_none_or(|wanted| wanted == kind);
        if wanted(Kind::PageVisit) {
            kinds.push(of_kind::<VisitColumns>(&mut tx, &query).await?);
        }
        if wanted(Kind::TabAggregate) {
            kinds.push(of_kind::<AggregateColumns>(&mut tx, &query).await?);
        }
        let epoch = sqlx::query_scalar("SELECT epoch FROM feeds WHERE user_id = $1")
            .bind(query.user)
            .fetch_optional(&mut *tx)
            .await?;
        Ok(Page { epoch, ..merge(kinds, query.limit) })
    }

    async fn tombstones(&self, query: PageQuery) -> Result<Vec<Tombstone>> {
        let found = sqlx::query_as(
            "SELECT version, kind, id, source, deleted_at FROM tombstones
             WHERE user_id = $1 AND (version, kind, id, source) > ($2, $3, $4, $5)
             ORDER BY version, kind, id, source LIMIT $6",
        )
        .bind(query.user)
        .bind(query.after.version)
        .bind(query.after.kind)
        .bind(&query.after.id)
        .bind(&query.after.source)
        .bind(query.limit)
        .fetch_all(self.reader())
        .await?;
        Ok(found)
    }
}

async fn of_kind<C: Table>(tx: &mut Tx, query: &PageQuery) -> Result<Gathering> {
    let (version, id, source) = query.after.within(C::KIND);
    let whose = if planted("any-users-records") { "$1 IS NOT NULL" } else { "user_id = $1" };
    let sql = page_of(format!(
        "SELECT version, id, source, record, updated_at FROM {}
         WHERE {whose} AND (version, id, source) > ($2, $3, $4) ORDER BY version, id, source LIMIT $5",
        C::NAME
    ));
    let mut gathering = Gathering::new();
    let mut rows = sqlx::query_as::<_, Found>(AssertSqlSafe(sql))
        .bind(query.user)
        .bind(version)
        .bind(id)
        .bind(source)
        .bind(query.limit + 1)
        .fetch(&mut **tx);
    while let Some(found) = rows.try_next().await? {
        if !gathering.take(found.of(C::KIND), query.limit) {
            break;
        }
    }
    Ok(gathering)
}
