//! Browser profiles go when nothing is kept of them any more: an extension that makes a new number at each start must not
//! make every status longer for ever.
//!
//! One that was here lately stays, so that it can be said how long nothing has come from it; of those with nothing kept
//! the latest.

use crate::TAB_VISIT_FOR_MS;
use crate::error::Result;
use crate::open::Buffer;

/// With nothing kept of them.
const MOST_EMPTY: i64 = 200;
const AT_ONCE: i64 = 500;

/// Of a source `s`.
pub(crate) const EMPTY: &str = "NOT EXISTS (SELECT 1 FROM record r WHERE r.source = s.source) \
     AND NOT EXISTS (SELECT 1 FROM delivered d WHERE d.source = s.source) \
     AND NOT EXISTS (SELECT 1 FROM tab_visit v WHERE v.source = s.source) \
     AND NOT EXISTS (SELECT 1 FROM tab_life l WHERE l.source = s.source) \
     AND NOT EXISTS (SELECT 1 FROM anchor a WHERE a.source = s.source)";

impl Buffer {
    pub(crate) async fn forget_sources(&self, now: i64) -> Result<()> {
        let latest = format!("SELECT source FROM source s WHERE {EMPTY} ORDER BY seen_at DESC LIMIT ?");
        let delete = format!(
            "DELETE FROM source WHERE source IN (SELECT source FROM source s WHERE {EMPTY} \
             AND (seen_at < ? OR source NOT IN ({latest})) LIMIT ?)"
        );
        loop {
            let mut tx = self.write().await?;
            let gone = sqlx::query(sqlx::AssertSqlSafe(delete.clone()))
                .bind(now.saturating_sub(TAB_VISIT_FOR_MS))
                .bind(MOST_EMPTY)
                .bind(AT_ONCE)
                .execute(&mut *tx)
                .await?
                .rows_affected();
            tx.commit().await?;
            if gone == 0 {
                return Ok(());
            }
        }
    }
}
