//! Visits that are kept after their confirmation, because a backend in baseline mode ties the aggregate of
//! their tab to them. Bounded: a few for each tab, none for longer than a month, and none of a tab whose
//! closed aggregate was confirmed. An anchor is its account's: it never goes along with what another one sends.

use crate::accounts::AccountId;
use crate::batch::BatchItem;
use crate::error::Result;
use crate::open::Buffer;
use crate::rows::intact;
use heyho_records::Kind;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

/// Of one tab and account: the life that is going on, and those before a restart whose aggregates are still to come.
const OF_ONE_TAB: i64 = 4;
/// Of all tabs.
const AT_MOST: i64 = 5_000;

/// A visit that goes along with its tab's aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    pub anchor: i64,
    pub source: String,
    pub id: String,
    pub text: String,
}

impl Buffer {
    /// Those of these numbers that are this account's, and what was stored. A damaged one is forgotten: the visit is at the backend, and
    /// what is no longer that visit must not be written over it.
    pub async fn anchors(&self, account: AccountId, numbers: &[i64]) -> Result<Vec<Anchor>> {
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        for chunk in numbers.chunks(200) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "SELECT a.anchor, s.name, a.id, CAST(a.text AS BLOB), a.checksum FROM anchor a JOIN source s USING (source) \
                 WHERE a.account = ",
            );
            query.push_bind(account.0).push(" AND a.anchor IN (");
            let mut list = query.separated(", ");
            for number in chunk {
                list.push_bind(*number);
            }
            query.push(")");
            for row in query.build().fetch_all(&self.writer).await? {
                let (number, bytes): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(3)?);
                let whole = row.try_get::<Option<i64>, _>(4)?.is_none_or(|stored| intact(&bytes, stored));
                match String::from_utf8(bytes).ok().filter(|_| whole) {
                    Some(text) => found.push(Anchor {
                        anchor: number,
                        source: row.try_get(1)?,
                        id: row.try_get(2)?,
                        text,
                    }),
                    None => damaged.push(number),
                }
            }
        }
        if !damaged.is_empty() {
            tracing::error!(
                anchors = damaged.len(),
                "kept visits are not what was stored: they are forgotten"
            );
            let mut tx = self.write().await?;
            forget(&mut tx, &damaged).await?;
            tx.commit().await?;
        }
        Ok(found)
    }
}

/// Before these rows are deleted as confirmed: keeps the visits, and lets go of those whose tab is closed.
pub(crate) async fn keep(tx: &mut SqliteConnection, confirmed: &[BatchItem], now: i64) -> Result<()> {
    let of = |kind: Kind| confirmed.iter().filter(move |item| item.kind == kind).collect::<Vec<_>>();
    let visits = of(Kind::PageVisit);
    if !visits.is_empty() {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT OR REPLACE INTO anchor (account, source, tab, visited_at, id, text, checksum, kept_at) \
             SELECT r.account, r.source, r.tab, v.visited_at, r.id, r.text, r.checksum, ",
        );
        query.push_bind(now).push(
            " FROM record r JOIN tab_visit v ON v.source = r.source AND +v.tab = r.tab AND v.id = r.id \
             WHERE r.account IS NOT NULL AND (r.seq, r.revision) IN ",
        );
        query.push_tuples(&visits, |mut tuple, item| {
            tuple.push_bind(item.seq).push_bind(item.revision);
        });
        query.build().execute(&mut *tx).await?;
        // Of these tabs, and of each account by itself: a tab lives on when somebody else signs in.
        let mut query = QueryBuilder::<Sqlite>::new(
            "DELETE FROM anchor WHERE anchor IN (SELECT a.anchor FROM anchor a WHERE (SELECT 1 FROM anchor o \
             WHERE o.source = a.source AND o.tab = a.tab AND o.account = a.account \
             AND (o.visited_at, o.anchor) > (a.visited_at, a.anchor) LIMIT 1 OFFSET ",
        );
        query.push_bind(OF_ONE_TAB - 1).push(
            ") IS NOT NULL AND (a.source, a.tab) IN (SELECT source, tab FROM record WHERE (seq, revision) IN ",
        );
        query.push_tuples(&visits, |mut tuple, item| {
            tuple.push_bind(item.seq).push_bind(item.revision);
        });
        query.push("))");
        query.build().execute(&mut *tx).await?;
    }
    let aggregates = of(Kind::TabAggregate);
    if !aggregates.is_empty() {
        let mut query = QueryBuilder::<Sqlite>::new(
            "DELETE FROM anchor WHERE anchor IN (SELECT a.anchor FROM record r JOIN anchor a \
             ON a.source = r.source AND a.tab = r.tab AND a.account = r.account AND a.visited_at BETWEEN r.start_time AND r.last_time \
             WHERE (json_extract(r.text, '$.isOpen') = 0 OR json_extract(r.text, '$.closed_at') IS NOT NULL) \
             AND (r.seq, r.revision) IN ",
        );
        query.push_tuples(&aggregates, |mut tuple, item| {
            tuple.push_bind(item.seq).push_bind(item.revision);
        });
        query.push(")");
        query.build().execute(&mut *tx).await?;
    }
    sqlx::query("DELETE FROM anchor WHERE anchor <= (SELECT max(anchor) FROM anchor) - ?")
        .bind(AT_MOST)
        .execute(tx)
        .await?;
    Ok(())
}

pub(crate) async fn forget(tx: &mut SqliteConnection, numbers: &[i64]) -> Result<()> {
    for number in numbers {
        sqlx::query("DELETE FROM anchor WHERE anchor = ?").bind(number).execute(&mut *tx).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Account, Arrival, Limits, Settlement, SignedIn, Source};

    async fn sign_in(buffer: &Buffer, user: &str) -> Account {
        let (user_id, email) = (user.to_owned(), format!("{user}@x"));
        let who = SignedIn { backend: "http://b".into(), user_id, email, claim_others: false };
        buffer.sign_in(&who, 1).await.unwrap().0
    }

    /// What the account saw in one tab, at these times, and the tab's life so far.
    async fn browses(buffer: &Buffer, account: &Account, times: std::ops::Range<i64>) {
        let source = Source {
            name: "ext#p".into(),
            profile_id: "p".into(),
            browser: String::new(),
            client: String::new(),
        };
        let visit =
            |at| format!(r#"{{"id":"{}-{at}","url":"http://a/","startedAt":{at},"tabId":7}}"#, account.email);
        let visits: Vec<String> = times.map(visit).collect();
        let visits: Vec<&str> = visits.iter().map(String::as_str).collect();
        let tab = r#"{"startTime":90,"tabId":7,"lastActiveTime":900}"#;
        buffer.append(&source, &[Arrival::read(None, &visits, &[tab])], 0, 1).await.unwrap();
    }

    async fn delivers_visits(buffer: &Buffer, account: &Account) {
        let limits = Limits { page_visits: 100, tab_aggregates: 0, bytes: 1 << 20 };
        let rows = buffer.oldest(account.id, limits, &[], 1).await.unwrap();
        let item = |row: &crate::Waiting| BatchItem { seq: row.seq, revision: row.revision, kind: row.kind };
        let confirm = rows.iter().map(item).collect();
        let done = Settlement { confirm, keep_anchors: true, ..Settlement::default() };
        buffer.settle(None, &done, 1).await.unwrap();
    }

    #[tokio::test]
    async fn what_one_account_sees_in_a_tab_takes_no_anchor_of_another_that_was_there_before() {
        let dir = tempfile::tempdir().unwrap();
        let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
        let first = sign_in(&buffer, "1").await;
        browses(&buffer, &first, 100..110).await;
        delivers_visits(&buffer, &first).await;
        let of = async |account: &Account| {
            let numbers: Vec<i64> = (1..100).collect();
            let anchors = buffer.anchors(account.id, &numbers).await.unwrap();
            let mut ids: Vec<String> = anchors.into_iter().map(|anchor| anchor.id).collect();
            ids.sort();
            ids
        };
        let kept = ["1@x-106", "1@x-107", "1@x-108", "1@x-109"];
        assert_eq!(of(&first).await, kept, "so many of one tab");
        let second = sign_in(&buffer, "2").await;
        browses(&buffer, &second, 200..210).await;
        delivers_visits(&buffer, &second).await;
        assert_eq!(of(&second).await.len(), kept.len());
        assert_eq!(of(&first).await, kept);
        // What the first one's aggregate of the tab goes along with is there.
        let limits = Limits { page_visits: 0, tab_aggregates: 9, bytes: 1 << 20 };
        let rows = buffer.oldest(first.id, limits, &[], 1).await.unwrap();
        assert!(rows.len() == 1 && rows[0].anchor.is_some(), "{rows:?}");
    }
}
