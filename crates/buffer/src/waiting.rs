//! The records that wait, as people look at them: page by page, searched, deleted before they are sent.
//!
//! A page is read by number, so its cost does not grow with the backlog. A search looks at so many records and
//! then says where to go on: nobody waits for a search through a million.

use crate::accounts::own;
use crate::erase;
use crate::error::Result;
use crate::open::Buffer;
use crate::rows::{kind, lossy};
use crate::state;
use heyho_records::Kind;
use heyho_records::glance::Glance;
use sqlx::Row;

/// Looked at by one search.
const SEARCHED: usize = 20_000;
const PAGE: usize = 500;

/// A record that waits, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRow {
    pub number: i64,
    pub kind: Kind,
    pub id: String,
    pub source: String,
    pub glance: Glance,
    pub bytes: u64,
    pub captured_at: i64,
    /// Held back until then; none: it may be sent.
    pub held_until: Option<i64>,
    /// Whose it is; none: nobody's yet.
    pub email: Option<String>,
    /// Of the account that is signed in: an e-mail address may be known at two backends.
    pub own: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitingPage {
    pub rows: Vec<WaitingRow>,
    /// After which number to go on; none: that was all. A page of a search may hold less than was asked for,
    /// and still not be the last.
    pub next: Option<i64>,
    /// Of everything that waits, whoever's it is.
    pub total: u64,
}

impl Buffer {
    /// A page of everything that waits, the oldest first; with a search, of what has all its words in title or
    /// address.
    pub async fn waiting_page(
        &self,
        after: i64,
        limit: u32,
        search: Option<&str>,
        now: i64,
    ) -> Result<WaitingPage> {
        let words: Vec<String> =
            search.unwrap_or_default().split_whitespace().map(str::to_lowercase).collect();
        let limit = limit.max(1) as usize;
        let total: i64 =
            sqlx::query_scalar("SELECT ifnull(sum(n), 0) FROM counter WHERE state = 1 AND kind IN (1, 2)")
                .fetch_one(&self.pool)
                .await?;
        let mut page = WaitingPage { total: total.max(0) as u64, ..WaitingPage::default() };
        let (mut after, mut looked_at) = (after, 0);
        while looked_at < SEARCHED {
            let want = if words.is_empty() { limit - page.rows.len() } else { PAGE };
            let rows = sqlx::query(concat!(
                "SELECT r.seq, r.kind, CAST(r.id AS BLOB), s.name, CAST(r.text AS BLOB), r.bytes, r.captured_at, \
                 r.held_until, a.email, ",
                own!(),
                " FROM record r JOIN source s USING (source) LEFT JOIN account a ON a.account = r.account \
                 WHERE r.state = 1 AND r.seq > ? AND r.kind IN (1, 2) ORDER BY r.seq LIMIT ?",
            ))
            .bind(after)
            .bind(want as i64)
            .fetch_all(&self.pool)
            .await?;
            for row in &rows {
                after = row.try_get(0)?;
                let text: Vec<u8> = row.try_get(4)?;
                let glance = Glance::of(&String::from_utf8_lossy(&text));
                if !glance.names(&words) {
                    continue;
                }
                page.rows.push(WaitingRow {
                    number: after,
                    kind: kind(row.try_get(1)?)?,
                    id: lossy(row, 2)?,
                    source: row.try_get(3)?,
                    glance,
                    bytes: row.try_get::<i64, _>(5)?.max(0) as u64,
                    captured_at: row.try_get(6)?,
                    held_until: Some(row.try_get(7)?).filter(|until| *until > now),
                    email: row.try_get(8)?,
                    own: row.try_get::<i64, _>(9)? != 0,
                });
                if page.rows.len() == limit {
                    page.next = Some(after);
                    return Ok(page);
                }
            }
            if rows.len() < want {
                return Ok(page);
            }
            looked_at += rows.len();
        }
        page.next = Some(after);
        Ok(page)
    }

    /// Gone for good, before they were sent: the caller has asked the user. A batch in flight is abandoned; what
    /// of it still waits goes into a new one. What is left of them in pages and in the log is owed.
    pub async fn discard_waiting(&self, numbers: &[i64]) -> Result<u64> {
        self.erase_chosen(numbers, &[state::WAITING]).await
    }

    /// All that wait now. In several transactions, so that hosts store in between; traces are removed once, at the end.
    pub async fn discard_all_waiting(&self) -> Result<u64> {
        const NEXT: &str = "SELECT seq FROM record WHERE state = 1 AND kind IN (1, 2) AND seq > ? AND seq <= ? \
             ORDER BY seq LIMIT ?";
        let last: Option<i64> =
            sqlx::query_scalar("SELECT max(seq) FROM record").fetch_one(&self.pool).await?;
        let (mut waiting, mut after) = (0, 0);
        loop {
            let next = sqlx::query_scalar(NEXT).bind(after).bind(last).bind(erase::PAGE);
            let numbers: Vec<i64> = next.fetch_all(&self.pool).await?;
            let Some(end) = numbers.last() else { break };
            let page = self.erase_chosen(&numbers, &[state::WAITING]).await;
            waiting += page.map_err(|error| error.after(waiting))?;
            after = *end;
        }
        self.traces_removed().await;
        Ok(waiting)
    }
}
