//! Forgetting a site, page by page (`unfinished`).
//!
//! Three rounds, because other records point to visits: all are looked at, and which visits will go is kept in mind; then
//! whatever names the site or points to one of them loses that; then the visits go. So wherever it is cut short, those that
//! somebody still points to are still there to be known.

use crate::anchor;
use crate::erase::{Erased, PAGE, PAGE_BYTES};
use crate::error::Result;
use crate::open::Buffer;
use crate::remembered::forget_traces;
use crate::rows::{checksum, kind, lossy};
use crate::site::{Fate, Site};
use crate::state;
use crate::unfinished::{self, Erasure};
use heyho_records::record::digest;
use heyho_records::rules::Dropped;
use heyho_records::{Kind, Record};
use serde_json::{Map, Value};
use sqlx::{Row, SqliteConnection};

/// Looked at, with their texts, at once.
const ANCHORS: i64 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Look,
    Change,
    Delete,
}

impl Buffer {
    /// A site and everything under it.
    pub async fn forget(&self, domain: &str) -> Result<Erased> {
        let _alone = self.erasing.lock().await;
        self.carry_out(&Erasure::Site(Site::of(domain).domain)).await
    }

    pub(crate) async fn forget_by_pages(&self, erasure: &Erasure, erased: &mut Erased) -> Result<()> {
        let Erasure::Site(domain) = erasure else { return Ok(()) };
        let (site, mut dropped) = (&Site::of(domain), Dropped::default());
        for round in [Round::Look, Round::Change, Round::Delete] {
            let mut after = 0;
            loop {
                let mut with_page = *erased;
                if round == Round::Look {
                    // Others write meanwhile.
                    let mut reading = self.pool.acquire().await?;
                    let looked = forget_page(&mut reading, site, after, round, &mut dropped, &mut with_page);
                    let Some(last) = looked.await? else { break };
                    after = last;
                    continue;
                }
                let mut tx = self.write().await?;
                let page = forget_page(&mut tx, site, after, round, &mut dropped, &mut with_page).await?;
                let Some(last) = page else { break };
                tx.commit().await?;
                (after, *erased) = (last, with_page);
            }
        }
        self.forget_anchors(site).await?;
        self.forget_remembered(false).await?;
        let mut tx = self.write().await?;
        forget_traces(&mut tx).await?;
        unfinished::strike(&mut tx, erasure).await?;
        *erased = self.commit_erasure(tx, *erased).await?;
        Ok(())
    }

    async fn forget_anchors(&self, site: &Site) -> Result<()> {
        let mut after = 0;
        loop {
            const NEXT: &str =
                "SELECT anchor, CAST(text AS BLOB) FROM anchor WHERE anchor > ? ORDER BY anchor LIMIT ?";
            let rows = sqlx::query(NEXT).bind(after).bind(ANCHORS).fetch_all(&self.pool).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.try_get(0)?;
            let (mut page, mut bytes) = (Vec::new(), 0);
            for row in &rows {
                let text = lossy(row, 1)?;
                if matches!(site.judge(Kind::PageVisit, &text, &mut Dropped::default()), Fate::Kept) {
                    continue;
                }
                if bytes >= PAGE_BYTES {
                    self.delete_anchors(&std::mem::take(&mut page)).await?;
                    bytes = 0;
                }
                page.push(row.try_get(0)?);
                bytes += text.len() as i64;
            }
            self.delete_anchors(&page).await?;
        }
    }

    async fn delete_anchors(&self, numbers: &[i64]) -> Result<()> {
        if numbers.is_empty() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        anchor::forget(&mut tx, numbers).await?;
        tx.commit().await
    }
}

/// The number of the last row looked at; none: there are no more.
async fn forget_page(
    tx: &mut SqliteConnection,
    site: &Site,
    after: i64,
    round: Round,
    dropped: &mut Dropped,
    erased: &mut Erased,
) -> Result<Option<i64>> {
    let last: Option<i64> = sqlx::query_scalar(
        "SELECT max(seq) FROM (SELECT seq, total(bytes) OVER \
           (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before \
         FROM (SELECT seq, bytes FROM record WHERE seq > ? ORDER BY seq LIMIT ?)) WHERE before < ?",
    )
    .bind(after)
    .bind(PAGE)
    .bind(PAGE_BYTES)
    .fetch_one(&mut *tx)
    .await?;
    let Some(last) = last else { return Ok(None) };
    let rows = sqlx::query(
        "SELECT r.seq, r.kind, CAST(r.text AS BLOB), r.state, CAST(f.reason AS BLOB) FROM record r \
         LEFT JOIN failure f ON f.queue = 1 AND f.seq = r.seq WHERE r.seq > ? AND r.seq <= ? ORDER BY r.seq",
    )
    .bind(after)
    .bind(last)
    .fetch_all(&mut *tx)
    .await?;
    for row in &rows {
        let (seq, number, text): (i64, i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        // A flipped bit may leave no text at all.
        let text = String::from_utf8_lossy(&text);
        let fate = match Kind::from_number(number) {
            Some(kind) => site.judge(kind, &text, dropped),
            // How a later version's records are read is not known here.
            None if site.is_named_in(&text) => Fate::Gone,
            None => Fate::Kept,
        };
        if round == Round::Look {
            continue;
        }
        if row.try_get::<Option<Vec<u8>>, _>(4)?.is_some() && !matches!(fate, Fate::Gone) {
            forget_in_reason(tx, site, seq, &lossy(row, 4)?).await?;
        }
        match fate {
            Fate::Kept => {}
            Fate::Gone if round != Round::Delete => {}
            Fate::Gone => {
                match row.try_get(3)? {
                    state::WAITING => erased.waiting += 1,
                    _ => erased.failed += 1,
                }
                sqlx::query("DELETE FROM record WHERE seq = ?").bind(seq).execute(&mut *tx).await?;
            }
            Fate::Changed(text) => {
                erased.changed += 1;
                // Another revision: a confirmation of the old text is not one of this.
                let read = kind(number).map(|kind| Record::read(kind, &text).map(|r| digest(&r.tree)));
                let digest = read?.unwrap_or_default();
                sqlx::query(
                    "UPDATE record SET text = ?, bytes = ?, checksum = ?, digest = ?, revision = revision + 1 \
                     WHERE seq = ?",
                )
                .bind(&*text)
                .bind(text.len() as i64)
                .bind(checksum(text.as_bytes()))
                .bind(&digest[..])
                .bind(seq)
                .execute(&mut *tx)
                .await?;
            }
        }
    }
    Ok(Some(last))
}

/// A backend quotes what it is about.
async fn forget_in_reason(tx: &mut SqliteConnection, site: &Site, seq: i64, reason: &str) -> Result<()> {
    if !site.is_named_in(reason) {
        return Ok(());
    }
    const FORGOTTEN: &str = "what was said of it is forgotten";
    let mut typed: Map<String, Value> = serde_json::from_str(reason).unwrap_or_default();
    for said in typed.values_mut() {
        if said.as_str().is_some_and(|said| site.is_named_in(said)) {
            *said = FORGOTTEN.into();
        }
    }
    let mut left = Value::from(typed).to_string();
    // A later version's, or damaged: it is shown as it stands.
    if left == "{}" || site.is_named_in(&left) {
        left = FORGOTTEN.to_owned();
    }
    sqlx::query("UPDATE failure SET reason = ? WHERE queue = 1 AND seq = ?")
        .bind(left)
        .bind(seq)
        .execute(tx)
        .await?;
    Ok(())
}
