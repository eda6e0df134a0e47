//! Reading the feed: (version, kind, id, source), by keyset.

use super::*;
use futures_util::TryStreamExt as _;
use sqlx::Row as _;

impl SqliteStore {
    pub(super) async fn page(&self, query: PageQuery) -> Result<Page> {
        // one snapshot over both tables
        let mut tx = self.read.begin().await?;
        let mut kinds = Vec::new();
        for kind in Kind::ALL {
            if query.kind.is_none_or(|wanted| wanted == kind) {
                kinds.push(of_kind(&mut tx, kind, &query).await?);
            }
        }
        Ok(merge(kinds, query.limit))
    }
}

impl SqliteStore {
    pub(super) async fn tombstones(&self, query: PageQuery) -> Result<Vec<Tombstone>> {
        let rows = sqlx::query(
            "SELECT version, kind, id, source, deleted_at FROM tombstones
             WHERE user_id = ? AND (version, kind, id, source) > (?, ?, ?, ?)
             ORDER BY version, kind, id, source LIMIT ?",
        )
        .bind(query.user.0)
        .bind(query.after.version)
        .bind(query.after.kind)
        .bind(&query.after.id)
        .bind(&query.after.source)
        .bind(query.limit)
        .fetch_all(&self.read)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Tombstone {
                    place: Place {
                        version: row.try_get("version")?,
                        kind: row.try_get("kind")?,
                        id: row.try_get("id")?,
                        source: row.try_get("source")?,
                    },
                    deleted_at: row.try_get("deleted_at")?,
                })
            })
            .collect()
    }
}

async fn of_kind(
    tx: &mut sqlx::Transaction<'static, sqlx::Sqlite>,
    kind: Kind,
    query: &PageQuery,
) -> Result<Gathering> {
    let sql = match kind {
        Kind::PageVisit => {
            "SELECT version, id, source, record, updated_at FROM page_visits
             WHERE user_id = ? AND (version, id, source) > (?, ?, ?) ORDER BY version, id, source LIMIT ?"
        }
        Kind::TabAggregate => {
            "SELECT version, id, source, record, updated_at FROM tab_aggregates
             WHERE user_id = ? AND (version, id, source) > (?, ?, ?) ORDER BY version, id, source LIMIT ?"
        }
    };
    let (version, id, source) = query.after.within(kind);
    let mut gathering = Gathering::new();
    let mut rows = sqlx::query(sql)
        .bind(query.user.0)
        .bind(version)
        .bind(id)
        .bind(source)
        .bind(query.limit + 1)
        .fetch(&mut **tx);
    while let Some(row) = rows.try_next().await? {
        let place = Place {
            version: row.try_get("version")?,
            kind: kind.number(),
            id: row.try_get("id")?,
            source: row.try_get("source")?,
        };
        let record = StoredRecord {
            place,
            kind,
            record: row.try_get("record")?,
            updated_at: row.try_get("updated_at")?,
        };
        if !gathering.take(record, query.limit) {
            break;
        }
    }
    Ok(gathering)
}
