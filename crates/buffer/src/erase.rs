//! Erasing for good: chosen records, a site, an account, everything.
//!
//! What is erased is nowhere afterwards: not among the waiting or the failed, not in the bytes of a batch in
//! flight (every batch is abandoned; what still waits goes into a new one under a new key), not among
//! digests, links and anchors, not in backups and set-aside files (which are deleted whole: they cannot be
//! read record by record with certainty), not in free pages (`secure_delete`) and not in the log, which is
//! emptied. What cannot be told apart is erased too: a digest does not say which site it is of.
//!
//! The copies go first, under the lock of the transaction that deletes the rows: an erasure that dies or fails after
//! that is repeated by asking again, which still finds the rows. A site is forgotten page by page, and is noted in `meta`
//! meanwhile: whoever opens the buffer to mend it (the agent, before anything is sent) goes on where it was cut short.
//!
//! What is then left of the rows, in pages and in the log, goes last (`traces`).

use crate::accounts::WHEN_ASKED;
use crate::error::Result;
use crate::open::{Buffer, WriteTx};
use crate::rows::{checksum, kind, lossy};
use crate::state;
use crate::traces;
use heyho_records::fault::planted;
use heyho_records::glance::host_name;
use heyho_records::record::digest;
use heyho_records::rules::{self, Action, Dropped, Match, Rule};
use heyho_records::{Kind, Record};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use std::borrow::Cow;

const PAGE: i64 = 500;
/// Begins a key in `meta`: the site that follows is being forgotten.
const FORGETTING: &str = "forgetting:";
const CHUNK: usize = 500;

/// What was erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Records deleted that waited.
    pub waiting: u64,
    /// Records deleted that had failed.
    pub failed: u64,
    /// Records that lost a part: a tab's aggregate that was on other sites too.
    pub changed: u64,
    /// Backups and set-aside files.
    pub copies: u64,
    /// False: another program was in the way, and traces are left in the log or in pages; they go when it ends.
    pub log_emptied: bool,
}

impl Erased {
    /// Records deleted.
    pub fn records(&self) -> u64 {
        self.waiting + self.failed
    }
}

impl Buffer {
    /// A site and everything under it.
    pub async fn forget(&self, domain: &str) -> Result<Erased> {
        let site = Site::of(domain);
        let (mut erased, mut dropped, mut after) = (Erased::default(), Dropped::default(), 0);
        let noted = format!("{FORGETTING}{}", site.domain);
        let mut tx = self.write().await?;
        erased.copies = self.delete_all_copies()?;
        if !planted("forgets-forgetting") {
            sqlx::query("INSERT OR REPLACE INTO meta (key, value) VALUES (?, '')")
                .bind(&noted)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        // Twice: a visit that points to an erased one may stand before it.
        for _ in 0..2 {
            loop {
                let mut tx = self.write().await?;
                let Some(last) = forget_page(&mut tx, &site, after, &mut dropped, &mut erased).await? else {
                    break;
                };
                after = last;
                tx.commit().await?;
            }
            after = 0;
        }
        let mut tx = self.write().await?;
        forget_anchors(&mut tx, &site).await?;
        forget_traces(&mut tx).await?;
        sqlx::query("DELETE FROM meta WHERE key = ?").bind(&noted).execute(&mut *tx).await?;
        self.commit_erasure(tx, erased).await
    }

    /// What a program was forgetting when it ended.
    pub(crate) async fn go_on_forgetting(&self) -> Result<()> {
        let sites: Vec<String> =
            sqlx::query_scalar("SELECT substr(key, ?) FROM meta WHERE key GLOB ? || '*'")
                .bind(FORGETTING.len() as i64 + 1)
                .bind(FORGETTING)
                .fetch_all(&self.pool)
                .await?;
        for site in sites {
            self.forget(&site).await?;
        }
        if self.owes_erasing().await? {
            self.finish_erasing().await?;
        }
        Ok(())
    }

    /// Everything that is kept for whoever has this address, on whichever backend, or for the account of this
    /// ref.
    pub async fn discard_account(&self, email_or_ref: &str) -> Result<Erased> {
        let mut tx = self.write().await?;
        let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM account WHERE email = ?1 OR ref = ?1")
            .bind(email_or_ref)
            .fetch_optional(&mut *tx)
            .await?;
        if known.is_none() {
            return self.nothing_to_erase(tx).await;
        }
        let mut erased = Erased::default();
        // Asked anew by each statement: there are few accounts.
        const THEIRS: &str = "(SELECT account FROM account WHERE email = ?1 OR ref = ?1)";
        for (state, deleted) in [("state = 1", &mut erased.waiting), ("state > 1", &mut erased.failed)] {
            let delete = format!("DELETE FROM record WHERE {state} AND account IN {THEIRS}");
            let delete = sqlx::query(sqlx::AssertSqlSafe(delete)).bind(email_or_ref);
            *deleted = delete.execute(&mut *tx).await?.rows_affected();
        }
        for of_it in ["DELETE FROM anchor", "DELETE FROM run"] {
            let delete = format!("{of_it} WHERE account IN {THEIRS}");
            sqlx::query(sqlx::AssertSqlSafe(delete)).bind(email_or_ref).execute(&mut *tx).await?;
        }
        forget_traces(&mut tx).await?;
        // Who is signed in stays signed in, with nothing kept. What was captured after the sign-out of somebody
        // who is gone is still for whoever the user says.
        const GONE: &str = "(email = ?1 OR ref = ?1) AND account NOT IN \
             (SELECT CAST(value AS INTEGER) FROM meta WHERE key IN ('signed_in', 'last_signed_in'))";
        let unbind = format!(
            "UPDATE record SET claim_ref = ?2 WHERE account IS NULL \
             AND claim_ref IN (SELECT ref FROM account WHERE {GONE})"
        );
        let unbind = sqlx::query(sqlx::AssertSqlSafe(unbind)).bind(email_or_ref).bind(WHEN_ASKED);
        unbind.execute(&mut *tx).await?;
        let delete = format!("DELETE FROM account WHERE {GONE}");
        sqlx::query(sqlx::AssertSqlSafe(delete)).bind(email_or_ref).execute(&mut *tx).await?;
        self.commit_erasure(tx, erased).await
    }

    /// All records, of everybody, and all that was known of them. The sign-in and the settings stay.
    pub async fn erase_everything(&self) -> Result<Erased> {
        let mut tx = self.write().await?;
        let mut erased = Erased::default();
        for (delete, deleted) in [
            ("DELETE FROM record WHERE state = 1", &mut erased.waiting),
            ("DELETE FROM record WHERE state > 1", &mut erased.failed),
        ] {
            *deleted = sqlx::query(delete).execute(&mut *tx).await?.rows_affected();
        }
        for statement in [
            "DELETE FROM batch",
            "DELETE FROM delivered",
            "DELETE FROM tab_visit",
            "DELETE FROM tab_life",
            "DELETE FROM anchor",
            "DELETE FROM run",
            "DELETE FROM series",
            "DELETE FROM source",
            // Of files that are deleted along with it
            "DELETE FROM meta WHERE key = 'recovery'",
            "DELETE FROM account WHERE account NOT IN \
             (SELECT CAST(value AS INTEGER) FROM meta WHERE key IN ('signed_in', 'last_signed_in'))",
        ] {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        self.commit_erasure(tx, erased).await
    }

    /// More of the same erasure follows: what is left of the rows goes with its end.
    pub(crate) async fn commit_rows_gone(&self, mut tx: WriteTx) -> Result<()> {
        self.delete_all_copies()?;
        traces::owe(&mut tx).await?;
        tx.commit().await
    }

    pub(crate) async fn commit_erasure(&self, mut tx: WriteTx, mut erased: Erased) -> Result<Erased> {
        let late = planted("copies-last");
        if !late {
            erased.copies += self.delete_all_copies()?;
        }
        traces::owe(&mut tx).await?;
        tx.commit().await?;
        if late {
            erased.copies += self.delete_all_copies()?;
        }
        erased.log_emptied = planted("log-kept") || self.finish_erasing().await?;
        Ok(erased)
    }

    /// No row is left of it, perhaps because a program erased them and ended before it had done the rest.
    pub(crate) async fn nothing_to_erase(&self, tx: WriteTx) -> Result<Erased> {
        tx.commit().await?;
        Ok(Erased { log_emptied: self.finish_erasing().await?, ..Erased::default() })
    }
}

/// These rows, as far as they are in one of these states, and what else is known of their identities. Says how
/// many there were.
pub(crate) async fn rows(tx: &mut SqliteConnection, numbers: &[i64], states: &[i64]) -> Result<u64> {
    let mut deleted = 0;
    for chunk in numbers.chunks(CHUNK) {
        for of_them in [
            "DELETE FROM delivered WHERE (source, kind, id) IN (SELECT source, kind, id FROM record",
            "DELETE FROM tab_visit WHERE (source, id) IN (SELECT source, id FROM record",
            "DELETE FROM anchor WHERE (source, id) IN (SELECT source, id FROM record",
            "DELETE FROM record WHERE seq IN (SELECT seq FROM record",
        ] {
            let mut query = QueryBuilder::<Sqlite>::new(of_them);
            query.push(" WHERE state IN (");
            let mut list = query.separated(", ");
            for state in states {
                list.push_bind(*state);
            }
            query.push(") AND seq IN (");
            let mut list = query.separated(", ");
            for number in chunk {
                list.push_bind(*number);
            }
            query.push("))");
            let count = query.build().execute(&mut *tx).await?.rows_affected();
            if of_them.starts_with("DELETE FROM record") {
                deleted += count;
            }
        }
    }
    if deleted > 0 {
        // A version that was discarded may stand in any of them, under a number it had before.
        sqlx::query("DELETE FROM batch").execute(tx).await?;
    }
    Ok(deleted)
}

/// A host and everything under it.
#[derive(Debug)]
pub(crate) struct Site {
    domain: String,
    rules: [Rule; 1],
}

/// What becomes of one text.
pub(crate) enum Fate<'a> {
    Kept,
    Changed(Cow<'a, str>),
    Gone,
}

impl Site {
    pub(crate) fn of(domain: &str) -> Site {
        let plain = || domain.trim().trim_start_matches("*.").trim_end_matches('.').to_lowercase();
        let domain = host_name(domain).unwrap_or_else(plain);
        let rule = Rule {
            id: "forget".to_owned(),
            r#match: Match::Host,
            pattern: format!("*.{domain}"),
            action: Action::Drop,
        };
        Site { rules: [rule], domain }
    }

    pub(crate) fn judge<'a>(&self, kind: Kind, text: &'a str, dropped: &mut Dropped) -> Fate<'a> {
        match rules::apply(&self.rules, kind, text, dropped) {
            None => Fate::Gone,
            // What is no acceptable record has no certain address: the name in it is enough.
            Some(after) if Record::read(kind, &after).is_err() => {
                if text.to_lowercase().contains(&self.domain) { Fate::Gone } else { Fate::Kept }
            }
            Some(Cow::Borrowed(_)) => Fate::Kept,
            Some(Cow::Owned(after)) => Fate::Changed(Cow::Owned(after)),
        }
    }
}

/// The number of the last row looked at; none: there are no more.
async fn forget_page(
    tx: &mut SqliteConnection,
    site: &Site,
    after: i64,
    dropped: &mut Dropped,
    erased: &mut Erased,
) -> Result<Option<i64>> {
    let rows = sqlx::query(
        "SELECT seq, kind, CAST(text AS BLOB), state FROM record WHERE seq > ? ORDER BY seq LIMIT ?",
    )
    .bind(after)
    .bind(PAGE)
    .fetch_all(&mut *tx)
    .await?;
    let Some(last) = rows.last() else { return Ok(None) };
    for row in &rows {
        let (seq, kind, text): (i64, Kind, Vec<u8>) =
            (row.try_get(0)?, kind(row.try_get(1)?)?, row.try_get(2)?);
        // A flipped bit may leave no text at all.
        let text = String::from_utf8_lossy(&text);
        match site.judge(kind, &text, dropped) {
            Fate::Kept => {}
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
                let digest = Record::read(kind, &text).map(|r| digest(&r.tree)).unwrap_or_default();
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
    Ok(Some(last.try_get(0)?))
}

async fn forget_anchors(tx: &mut SqliteConnection, site: &Site) -> Result<()> {
    for row in sqlx::query("SELECT anchor, CAST(text AS BLOB) FROM anchor").fetch_all(&mut *tx).await? {
        let text = lossy(&row, 1)?;
        if !matches!(site.judge(Kind::PageVisit, &text, &mut Dropped::default()), Fate::Kept) {
            let anchor: i64 = row.try_get(0)?;
            sqlx::query("DELETE FROM anchor WHERE anchor = ?").bind(anchor).execute(&mut *tx).await?;
        }
    }
    Ok(())
}

/// What does not say whose or of where it is: batches, digests, and links to visits that are not here.
async fn forget_traces(tx: &mut SqliteConnection) -> Result<()> {
    for statement in [
        "DELETE FROM batch",
        "DELETE FROM tab_visit WHERE NOT EXISTS (SELECT 1 FROM record r WHERE r.source = tab_visit.source \
         AND r.kind = 1 AND r.id = tab_visit.id) AND NOT EXISTS (SELECT 1 FROM anchor a \
         WHERE a.source = tab_visit.source AND a.id = tab_visit.id)",
    ] {
        sqlx::query(statement).execute(&mut *tx).await?;
    }
    if !planted("digests-kept") {
        sqlx::query("DELETE FROM delivered").execute(tx).await?;
    }
    Ok(())
}
