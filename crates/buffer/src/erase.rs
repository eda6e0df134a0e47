//! Erasing for good: chosen records, an account, everything; a site in `forget`.
//!
//! What is erased is nowhere afterwards: not among the waiting or the failed, not in the bytes of a batch in
//! flight (every batch is abandoned; what still waits goes into a new one under a new key), not among
//! digests, links and anchors, not in backups and set-aside files (which are deleted whole: they cannot be
//! read record by record with certainty), not in free pages (`secure_delete`) and not in the log, which is
//! emptied. What cannot be told apart is erased too: a digest does not say which site it is of.
//!
//! It is done page by page: others write in between, and it needs little room on a full disk. A site, an account and
//! everything are noted from before the first page until the last, and finished whatever cuts them short (`unfinished`);
//! of chosen records some may be left, and are there to be chosen again. The copies go first. What is then left of the
//! rows, in pages and in the log, is owed (`traces`): it is removed at once, but for chosen records, of which people
//! delete one after the other: of those within a quarter of an hour.

use crate::accounts::{BLAMED, WHEN_ASKED};
use crate::error::Result;
use crate::open::{Buffer, WriteTx};
use crate::remembered::forget_traces;
use crate::sources::EMPTY;
use crate::traces;
use crate::unfinished::{self, Erasure};
use heyho_records::fault::planted;
use sqlx::{AssertSqlSafe, QueryBuilder, Sqlite, SqliteConnection};

const CHUNK: usize = 500;
/// What is erased page by page: so many rows in one transaction, and no more once they have so many bytes. What is
/// overwritten goes through the log, and all of that has to fit into what the ballast took (`growth`).
pub(crate) const PAGE: i64 = 500;
pub(crate) const PAGE_BYTES: i64 = 1 << 20;

/// Asked anew by each statement: there are few accounts.
const THEIRS: &str = "account IN (SELECT account FROM account WHERE email = ?1 OR ref = ?1)";
/// Who is signed in stays signed in, with nothing kept; what arrived since somebody asked is still theirs. Each `EXISTS`
/// by an index.
const GONE: &str = "(email = ?1 OR ref = ?1) AND account NOT IN \
     (SELECT CAST(value AS INTEGER) FROM meta WHERE key IN ('signed_in', 'last_signed_in')) \
     AND NOT EXISTS (SELECT 1 FROM record r WHERE r.state = 1 AND r.account = account.account) \
     AND NOT EXISTS (SELECT 1 FROM record r WHERE r.state > 1 AND r.account = account.account)";
/// Nobody's, and for those of these refs (a list in JSON) without being asked.
const FOR_THEM: &str = "account IS NULL AND claim_ref IN (SELECT value FROM json_each(?1))";

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
    /// False: another program was in the way, or the disk had no room, and traces are left in the log or in pages; they
    /// go by themselves later.
    pub log_emptied: bool,
}

impl Erased {
    /// Records deleted.
    pub fn records(&self) -> u64 {
        self.waiting + self.failed
    }
}

impl Buffer {
    /// Everything that is kept for whoever has this address, on whichever backend, or for the account of this
    /// ref.
    pub async fn discard_account(&self, email_or_ref: &str) -> Result<Erased> {
        let _alone = self.erasing.lock().await;
        let mut tx = self.write().await?;
        let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM account WHERE email = ?1 OR ref = ?1")
            .bind(email_or_ref)
            .fetch_optional(&mut *tx)
            .await?;
        if known.is_none() {
            return self.nothing_to_erase(tx).await;
        }
        let last = last_number(&mut tx).await?;
        tx.commit().await?;
        self.carry_out(&Erasure::Account { who: email_or_ref.to_owned(), last }).await
    }

    /// All records, of everybody, and all that was known of them. The sign-in and the settings stay.
    pub async fn erase_everything(&self) -> Result<Erased> {
        let _alone = self.erasing.lock().await;
        let mut tx = self.write().await?;
        let last = last_number(&mut tx).await?;
        tx.commit().await?;
        self.carry_out(&Erasure::Everything { last }).await
    }

    pub(crate) async fn discard_by_pages(&self, erasure: &Erasure, erased: &mut Erased) -> Result<()> {
        let Erasure::Account { who, .. } = erasure else { return Ok(()) };
        self.delete_by_pages(THEIRS, who, erasure, erased).await?;
        self.delete_anchors_by_pages(THEIRS, who).await?;
        self.unbind_by_pages(who).await?;
        self.forget_remembered(false).await?;
        let mut tx = self.write().await?;
        if !unfinished::stands(&mut tx, erasure).await? {
            return tx.commit().await;
        }
        let runs = format!("DELETE FROM run WHERE {THEIRS}");
        sqlx::query(AssertSqlSafe(runs)).bind(who).execute(&mut *tx).await?;
        forget_traces(&mut tx).await?;
        forget_blamed(&mut tx, who).await?;
        let refs = gone(&mut tx, who).await?;
        // What came since the pages.
        for state in ["state = 1", "state > 1"] {
            let unbind = format!("UPDATE record SET claim_ref = ?2 WHERE {state} AND {FOR_THEM}");
            let unbind = sqlx::query(AssertSqlSafe(unbind)).bind(&refs).bind(WHEN_ASKED);
            unbind.execute(&mut *tx).await?;
        }
        let delete = "DELETE FROM account WHERE ref IN (SELECT value FROM json_each(?))";
        sqlx::query(delete).bind(&refs).execute(&mut *tx).await?;
        unfinished::strike(&mut tx, erasure).await?;
        *erased = self.commit_erasure(tx, *erased).await?;
        Ok(())
    }

    pub(crate) async fn erase_by_pages(&self, erasure: &Erasure, erased: &mut Erased) -> Result<()> {
        let Erasure::Everything { .. } = erasure else { return Ok(()) };
        self.delete_by_pages("?1 = ''", "", erasure, erased).await?;
        self.delete_anchors_by_pages("?1 = ''", "").await?;
        self.forget_remembered(true).await?;
        let mut tx = self.write().await?;
        if !unfinished::stands(&mut tx, erasure).await? {
            return tx.commit().await;
        }
        forget_traces(&mut tx).await?;
        // What arrived since somebody asked stays, with its tabs, and whose it is.
        let sources = format!("DELETE FROM source AS s WHERE {EMPTY}");
        for statement in [
            "DELETE FROM run",
            "DELETE FROM series",
            &sources,
            // Of files that are deleted along with it
            "DELETE FROM meta WHERE key = 'recovery'",
            "DELETE FROM account WHERE account NOT IN \
             (SELECT CAST(value AS INTEGER) FROM meta WHERE key IN ('signed_in', 'last_signed_in')) \
             AND NOT EXISTS (SELECT 1 FROM record r WHERE r.account = account.account)",
        ] {
            sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await?;
        }
        sqlx::query("DELETE FROM meta WHERE key = ?").bind(BLAMED).execute(&mut *tx).await?;
        unfinished::strike_all(&mut tx).await?;
        *erased = self.commit_erasure(tx, *erased).await?;
        Ok(())
    }

    /// The records of which `whose` is true (`?1` in it is `who`), up to the erasure's number.
    async fn delete_by_pages(
        &self,
        whose: &str,
        who: &str,
        erasure: &Erasure,
        erased: &mut Erased,
    ) -> Result<()> {
        let (mut after, last) = (0, erasure.last());
        while let Some((end, meant)) = self.page(whose, who, after, last).await? {
            if meant {
                let (mut tx, mut with_page) = (self.write().await?, *erased);
                if !unfinished::stands(&mut tx, erasure).await? {
                    return tx.commit().await;
                }
                // `+`: by their numbers, not by all that waits for the account.
                for (state, deleted) in
                    [("+state = 1", &mut with_page.waiting), ("+state > 1", &mut with_page.failed)]
                {
                    let delete =
                        format!("DELETE FROM record WHERE {state} AND {whose} AND seq > ?2 AND seq <= ?3");
                    let delete = sqlx::query(AssertSqlSafe(delete)).bind(who).bind(after).bind(end);
                    *deleted += delete.execute(&mut *tx).await?.rows_affected();
                }
                tx.commit().await?;
                *erased = with_page;
            }
            after = end;
        }
        Ok(())
    }

    /// The next records that are looked at, so many or, of those that are meant, so many bytes: the number of the last, and
    /// whether any is meant. None: there are no more. Others write meanwhile.
    async fn page(&self, whose: &str, who: &str, after: i64, last: i64) -> Result<Option<(i64, bool)>> {
        let page = format!(
            "SELECT max(seq), total(meant) > 0 FROM (SELECT seq, meant, total(size) OVER \
               (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before \
             FROM (SELECT seq, ifnull({whose}, 0) AS meant, iif({whose}, bytes, 0) AS size FROM record \
                   WHERE seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT {PAGE})) WHERE before < {PAGE_BYTES}"
        );
        let page = sqlx::query_as(AssertSqlSafe(page)).bind(who).bind(after).bind(last);
        let (end, meant): (Option<i64>, bool) = page.fetch_one(&self.pool).await?;
        Ok(end.map(|end| (end, meant)))
    }

    /// The anchors of which `whose` is true (`?1` in it is `who`); of all there are few.
    async fn delete_anchors_by_pages(&self, whose: &str, who: &str) -> Result<()> {
        let delete = format!(
            "DELETE FROM anchor WHERE anchor IN (SELECT anchor FROM (SELECT anchor, total(size) OVER \
               (ORDER BY anchor ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before \
             FROM (SELECT anchor, octet_length(text) AS size FROM anchor WHERE {whose} \
                   ORDER BY anchor LIMIT {PAGE})) WHERE before < {PAGE_BYTES})"
        );
        loop {
            let mut tx = self.write().await?;
            let deleted = sqlx::query(AssertSqlSafe(delete.clone())).bind(who).execute(&mut *tx).await?;
            tx.commit().await?;
            if deleted.rows_affected() == 0 {
                return Ok(());
            }
        }
    }

    /// What was captured after the sign-out of somebody who is gone is still for whoever the user says.
    async fn unbind_by_pages(&self, who: &str) -> Result<()> {
        let mut reading = self.pool.acquire().await?;
        let refs = gone(&mut reading, who).await?;
        drop(reading);
        if refs == "[]" {
            return Ok(());
        }
        let mut after = 0;
        while let Some((end, meant)) = self.page(FOR_THEM, &refs, after, i64::MAX).await? {
            if meant {
                let mut tx = self.write().await?;
                let unbind =
                    format!("UPDATE record SET claim_ref = ?4 WHERE {FOR_THEM} AND seq > ?2 AND seq <= ?3");
                let unbind = sqlx::query(AssertSqlSafe(unbind)).bind(&refs).bind(after).bind(end);
                unbind.bind(WHEN_ASKED).execute(&mut *tx).await?;
                tx.commit().await?;
            }
            after = end;
        }
        Ok(())
    }

    /// These, as far as they are in this state, page by page: whoever dies or fails in between has erased some of what was
    /// chosen. Says how many there were.
    pub(crate) async fn erase_chosen(&self, numbers: &[i64], states: &[i64]) -> Result<u64> {
        let mut erased = 0;
        let done = self.chosen_by_pages(numbers, states, &mut erased).await;
        done.map_err(|error| error.after(erased))?;
        Ok(erased)
    }

    async fn chosen_by_pages(&self, numbers: &[i64], states: &[i64], erased: &mut u64) -> Result<()> {
        for chunk in numbers.chunks(CHUNK) {
            let mut query = QueryBuilder::<Sqlite>::new("SELECT seq, bytes FROM record WHERE seq IN (");
            let mut list = query.separated(", ");
            for number in chunk {
                list.push_bind(*number);
            }
            query.push(") ORDER BY seq");
            let sizes: Vec<(i64, i64)> = query.build_query_as().fetch_all(&self.pool).await?;
            let mut rest = &sizes[..];
            while !rest.is_empty() {
                let mut bytes = 0;
                let fits = rest.iter().take_while(|(_, size)| {
                    let has_room = bytes < PAGE_BYTES;
                    bytes += size;
                    has_room
                });
                let (page, others) = rest.split_at(fits.count());
                let page: Vec<i64> = page.iter().map(|(number, _)| *number).collect();
                *erased += self.with_room(|| self.erase_these(&page, states)).await?;
                rest = others;
            }
        }
        Ok(())
    }

    async fn erase_these(&self, numbers: &[i64], states: &[i64]) -> Result<u64> {
        let mut tx = self.write().await?;
        let erased = rows(&mut tx, numbers, states).await?;
        match erased {
            0 => tx.commit().await?,
            _ => self.commit_rows_gone(tx).await?,
        }
        Ok(erased)
    }

    /// The rows are gone with this; what is left of them is owed.
    pub(crate) async fn commit_rows_gone(&self, mut tx: WriteTx) -> Result<()> {
        self.delete_all_copies()?;
        traces::owe(&mut tx).await?;
        tx.commit().await
    }

    pub(crate) async fn commit_erasure(&self, mut tx: WriteTx, mut erased: Erased) -> Result<Erased> {
        erased.copies += self.delete_all_copies()?;
        traces::owe(&mut tx).await?;
        tx.commit().await?;
        erased.log_emptied = planted("log-kept") || self.traces_removed().await;
        Ok(erased)
    }

    /// No row is left of it, perhaps because a program erased them and ended before it had done the rest.
    pub(crate) async fn nothing_to_erase(&self, tx: WriteTx) -> Result<Erased> {
        tx.commit().await?;
        Ok(Erased { log_emptied: self.traces_removed().await, ..Erased::default() })
    }

    /// The erasure stands whatever comes of this.
    pub async fn traces_removed(&self) -> bool {
        self.finish_erasing().await.unwrap_or_else(|error| {
            tracing::error!("what was erased has left traces, which are removed later: {error}");
            false
        })
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

/// The refs of those who are gone with it, as a list in JSON.
async fn gone(connection: &mut SqliteConnection, who: &str) -> Result<String> {
    let refs = format!("SELECT json_group_array(ref) FROM account WHERE {GONE}");
    Ok(sqlx::query_scalar(AssertSqlSafe(refs)).bind(who).fetch_one(connection).await?)
}

/// What the agent has counted of these accounts' backends.
async fn forget_blamed(tx: &mut SqliteConnection, who: &str) -> Result<()> {
    let refs: Vec<String> = sqlx::query_scalar("SELECT ref FROM account WHERE email = ?1 OR ref = ?1")
        .bind(who)
        .fetch_all(&mut *tx)
        .await?;
    for r#ref in refs {
        const FORGET: &str = "UPDATE meta SET value = json_remove(value, '$.\"' || ? || '\"') WHERE key = ? AND json_valid(value)";
        sqlx::query(FORGET).bind(r#ref).bind(BLAMED).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Of what is there to be erased; what arrives later has a higher one.
async fn last_number(tx: &mut SqliteConnection) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM record").fetch_one(tx).await?)
}
