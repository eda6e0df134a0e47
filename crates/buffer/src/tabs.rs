//! Which visit each tab was on, for aggregates that come later, and when each life of a tab began.

use crate::error::Result;
use crate::rows::CHUNK;
use heyho_records::{Kind, Record};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

pub(crate) async fn note<'a>(
    tx: &mut SqliteConnection,
    source: i64,
    records: impl Iterator<Item = &'a Record> + Clone,
    now: i64,
) -> Result<()> {
    let of = |kind: Kind| records.clone().filter(move |record| record.kind == kind);
    let visits: Vec<(&str, i64, &str)> = of(Kind::PageVisit)
        .filter_map(|r| Some((r.facts.tab.as_deref()?, r.facts.visited_at?, r.id.as_str())))
        .collect();
    for chunk in visits.chunks(CHUNK) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT OR IGNORE INTO tab_visit (source, tab, visited_at, id, noted_at) ",
        );
        query.push_values(chunk, |mut values, (tab, visited_at, id)| {
            values.push_bind(source).push_bind(*tab).push_bind(*visited_at).push_bind(*id).push_bind(now);
        });
        query.build().execute(&mut *tx).await?;
    }
    let lives: Vec<(&str, i64)> =
        of(Kind::TabAggregate).filter_map(|r| Some((r.facts.tab.as_deref()?, r.facts.start_time?))).collect();
    for chunk in lives.chunks(CHUNK) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT OR IGNORE INTO tab_life (source, tab, start_time, noted_at) ",
        );
        query.push_values(chunk, |mut values, (tab, start_time)| {
            values.push_bind(source).push_bind(*tab).push_bind(*start_time).push_bind(now);
        });
        query.build().execute(&mut *tx).await?;
    }
    Ok(())
}
