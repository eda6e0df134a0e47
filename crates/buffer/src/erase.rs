//! Erasing for good: chosen records, an account, everything; a site in `forget`.
//!
//! What is erased is nowhere afterwards: not among the waiting or the failed, not in the bytes of a batch in
//! flight (every batch is abandoned; what still waits goes into a new one under a new key), not among
//! digests, links and anchors, not in backups and set-aside files (which are deleted whole: they cannot be
//! read record by record with certainty), not in free pages (`secure_delete`) and not in the log, which is
//! emptied. What cannot be told apart is erased too: a digest does not say which site it is of.
//!
//! The copies go first, under the lock of the transaction that deletes the rows: an erasure that dies or fails after
//! that is repeated by asking again, which still finds the rows. Once the rows are gone it is done. What is then left of
//! them, in pages and in the log, is owed (`traces`): it is removed at once, but for chosen records, of which people
//! delete one after the other: of those within a quarter of an hour.

use crate::accounts::WHEN_ASKED;
use crate::error::Result;
use crate::open::{Buffer, WriteTx};
use crate::traces;
use heyho_records::fault::planted;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

const CHUNK: usize = 500;
/// What is erased page by page: so many rows in one transaction, and no more once they have so many bytes. What is
/// overwritten goes through the log, and all of that has to fit into what the ballast took (`growth`).
pub(crate) const PAGE: i64 = 500;
pub(crate) const PAGE_BYTES: i64 = 1 << 20;

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
        self.with_room(|| self.erase_account(email_or_ref)).await
    }

    async fn erase_account(&self, email_or_ref: &str) -> Result<Erased> {
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
        self.with_room(|| self.erase_all()).await
    }

    async fn erase_all(&self) -> Result<Erased> {
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
            // Named is the site, and nothing of it is left to be forgotten.
            "DELETE FROM meta WHERE key GLOB 'forgetting:*'",
            "DELETE FROM account WHERE account NOT IN \
             (SELECT CAST(value AS INTEGER) FROM meta WHERE key IN ('signed_in', 'last_signed_in'))",
        ] {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        self.commit_erasure(tx, erased).await
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
    async fn traces_removed(&self) -> bool {
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

/// What does not say whose or of where it is: batches, digests, and links to visits that are not here.
pub(crate) async fn forget_traces(tx: &mut SqliteConnection) -> Result<()> {
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
