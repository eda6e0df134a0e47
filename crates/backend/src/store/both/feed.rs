//! Reading the feed, in SQL that both databases read.

use super::{This, Tx};
use crate::store::feed::{Found, Gathering, merge};
use crate::store::{Feed, Page, PageQuery, Result, Tombstone};
use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use heyho_records::Kind;

const VISITS: &str = "SELECT version, id, source, record, updated_at FROM page_visits
    WHERE user_id = $1 AND (version, id, source) > ($2, $3, $4) ORDER BY version, id, source LIMIT $5";
const AGGREGATES: &str = "SELECT version, id, source, record, updated_at FROM tab_aggregates
    WHERE user_id = $1 AND (version, id, source) > ($2, $3, $4) ORDER BY version, id, source LIMIT $5";

#[async_trait]
impl Feed for This {
    async fn page(&self, query: PageQuery) -> Result<Page> {
        // one snapshot over both tables
        let mut tx = self.snapshot().await?;
        let mut kinds = Vec::new();
        for (kind, sql) in [(Kind::PageVisit, VISITS), (Kind::TabAggregate, AGGREGATES)] {
            if query.kind.is_none_or(|wanted| wanted == kind) {
                kinds.push(of_kind(&mut tx, kind, sql, &query).await?);
            }
        }
        Ok(merge(kinds, query.limit))
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

async fn of_kind(tx: &mut Tx, kind: Kind, sql: &'static str, query: &PageQuery) -> Result<Gathering> {
    let (version, id, source) = query.after.within(kind);
    let mut gathering = Gathering::new();
    let mut rows = sqlx::query_as::<_, Found>(sql)
        .bind(query.user)
        .bind(version)
        .bind(id)
        .bind(source)
        .bind(query.limit + 1)
        .fetch(&mut **tx);
    while let Some(found) = rows.try_next().await? {
        if !gathering.take(found.of(kind), query.limit) {
            break;
        }
    }
    Ok(gathering)
}
