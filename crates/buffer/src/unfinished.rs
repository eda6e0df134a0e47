//! Erasures that are done page by page, and may be cut short: of a site, of an account, of everything.
//!
//! One is noted in `meta` from before the first page until the last has gone. As long as a note stands:
//! 1. no batch is made ([`Buffer::begin_batch`] refuses), and the one that was in flight has ended with the note;
//! 2. whoever means to make one finishes it first, and so do the agent's start and each quarter of an hour, whatever it was
//!    that cut it short: a death, a full disk, another program that was writing.
//!
//! What arrives of a site meanwhile is forgotten along with it. Of an account, and of everything, only those go that were
//! there when somebody asked, which is known by the greatest number of then. So as long as such a note stands
//! 3. a newer version of a record that waits gets a number of its own, as any record that arrives;
//! 4. whoever gives records another number (they are retried), an account (a sign-in, a claim), or back what was exported
//!    finishes the erasure first.
//!
//! Several programs may finish one. So who finishes never writes the note, and each transaction that goes by it looks whether it
//! still stands: behind the one that struck it records may have come to the account again.

use crate::erase::Erased;
use crate::error::{BufferError, Result};
use crate::open::{Buffer, WriteTx};
use crate::site::Site;
use heyho_records::fault::planted;
use sqlx::SqliteConnection;

/// Begins a key in `meta`: the site that follows is being forgotten.
const FORGETTING: &str = "forgetting:";
/// The same of an account, by its address or ref; the value is the number of the last record there was.
const DISCARDING: &str = "discarding:";
/// A key in `meta`: everything is being erased, up to the record whose number is the value.
const ERASING: &str = "erasing-everything";
const BY_NUMBER: &str = "(key GLOB 'discarding:*' OR key = 'erasing-everything')";
const IS_NOTE: &str = "(key GLOB 'forgetting:*' OR key GLOB 'discarding:*' OR key = 'erasing-everything')";

/// What somebody asks to be erased for good.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    Site(&'a str),
    /// By its address or ref.
    Account(&'a str),
    Everything,
}

#[derive(Debug)]
pub(crate) enum Erasure {
    Site(String),
    Account { who: String, last: i64 },
    Everything { last: i64 },
}

impl Erasure {
    fn key(&self) -> String {
        match self {
            Erasure::Site(domain) => format!("{FORGETTING}{domain}"),
            Erasure::Account { who, .. } => format!("{DISCARDING}{who}"),
            Erasure::Everything { .. } => ERASING.to_owned(),
        }
    }

    pub(crate) fn last(&self) -> i64 {
        match self {
            Erasure::Site(_) => 0,
            Erasure::Account { last, .. } | Erasure::Everything { last } => *last,
        }
    }

    fn read(key: &str, value: &str) -> Erasure {
        // One that cannot be read deletes nothing that somebody may not have meant.
        let last = value.parse().unwrap_or(0);
        if let Some(domain) = key.strip_prefix(FORGETTING) {
            Erasure::Site(domain.to_owned())
        } else if let Some(who) = key.strip_prefix(DISCARDING) {
            Erasure::Account { who: who.to_owned(), last }
        } else {
            Erasure::Everything { last }
        }
    }
}

impl Buffer {
    /// A transaction that writes, while no erasure goes by the numbers and accounts of records.
    pub(crate) async fn write_unowed(&self) -> Result<WriteTx> {
        // Another program may note one in between.
        for _ in 0..3 {
            let mut tx = self.write().await?;
            if !goes_by_number(&mut tx).await? {
                return Ok(tx);
            }
            tx.commit().await?;
            self.finish_erasures().await?;
        }
        Err(BufferError::Busy)
    }

    /// Whether this has begun and is not finished: then it is carried out to its end, whatever came of an attempt.
    pub async fn has_begun(&self, asked: Asked<'_>) -> Result<bool> {
        let erasure = match asked {
            Asked::Site(domain) => Erasure::Site(Site::of(domain).domain),
            Asked::Account(who) => Erasure::Account { who: who.to_owned(), last: 0 },
            Asked::Everything => Erasure::Everything { last: 0 },
        };
        Ok(self.meta(&erasure.key()).await?.is_some())
    }

    /// What was begun and not finished. One that is under way comes to its end.
    pub async fn finish_erasures(&self) -> Result<()> {
        if self.unfinished().await?.is_empty() {
            return Ok(());
        }
        let _alone = self.erasing.lock().await;
        for (key, value) in self.unfinished().await? {
            tracing::warn!("an erasure was not carried out to its end: it is now");
            self.by_both_attempts(&Erasure::read(&key, &value), false).await?;
        }
        Ok(())
    }

    async fn unfinished(&self) -> Result<Vec<(String, String)>> {
        let notes = format!("SELECT key, value FROM meta WHERE {IS_NOTE}");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(notes)).fetch_all(&self.writer).await?)
    }

    /// By whoever holds the lock `erasing`.
    pub(crate) async fn carry_out(&self, erasure: &Erasure) -> Result<Erased> {
        self.by_both_attempts(erasure, true).await
    }

    async fn by_both_attempts(&self, erasure: &Erasure, begins: bool) -> Result<Erased> {
        // Of both attempts.
        let mut erased = Erased::default();
        let mut done = self.by_pages(erasure, begins, &mut erased).await;
        if self.made_room(&done) {
            done = self.by_pages(erasure, begins, &mut erased).await;
        }
        done.map(|()| erased)
    }

    async fn by_pages(&self, erasure: &Erasure, begins: bool, erased: &mut Erased) -> Result<()> {
        let mut tx = self.write().await?;
        if !begins && !stands(&mut tx, erasure).await? {
            return tx.commit().await;
        }
        erased.copies += self.delete_all_copies()?;
        if begins && !planted("forgets-forgetting") {
            sqlx::query("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)")
                .bind(erasure.key())
                .bind(erasure.last().to_string())
                .execute(&mut *tx)
                .await?;
        }
        // What is in it is not sent any more, whatever comes of the rest.
        sqlx::query("DELETE FROM batch").execute(&mut *tx).await?;
        tx.commit().await?;
        match erasure {
            Erasure::Site(_) => self.forget_by_pages(erasure, erased).await,
            Erasure::Account { .. } => self.discard_by_pages(erasure, erased).await,
            Erasure::Everything { .. } => self.erase_by_pages(erasure, erased).await,
        }
    }
}

/// Whether nobody else has finished it.
pub(crate) async fn stands(tx: &mut SqliteConnection, erasure: &Erasure) -> Result<bool> {
    let key = erasure.key();
    let value: Option<String> =
        sqlx::query_scalar("SELECT value FROM meta WHERE key = ?").bind(&key).fetch_optional(tx).await?;
    let same = value.is_some_and(|value| Erasure::read(&key, &value).last() == erasure.last());
    Ok(same || planted("forgets-forgetting"))
}

/// In the transaction that ends it.
pub(crate) async fn strike(tx: &mut SqliteConnection, erasure: &Erasure) -> Result<()> {
    sqlx::query("DELETE FROM meta WHERE key = ?").bind(erasure.key()).execute(tx).await?;
    Ok(())
}

/// Named is who or what, and nothing of it is left.
pub(crate) async fn strike_all(tx: &mut SqliteConnection) -> Result<()> {
    let notes = format!("DELETE FROM meta WHERE {IS_NOTE}");
    sqlx::query(sqlx::AssertSqlSafe(notes)).execute(tx).await?;
    Ok(())
}

/// Whether one is unfinished that goes by the numbers of records.
pub(crate) async fn goes_by_number(tx: &mut SqliteConnection) -> Result<bool> {
    let owed = format!("SELECT EXISTS (SELECT 1 FROM meta WHERE {BY_NUMBER})");
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(owed)).fetch_one(tx).await?)
}

/// Whether one is unfinished, as this transaction sees it.
pub(crate) async fn is_owed(tx: &mut SqliteConnection) -> Result<bool> {
    let owed = format!("SELECT EXISTS (SELECT 1 FROM meta WHERE {IS_NOTE})");
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(owed)).fetch_one(tx).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arrival, SignedIn, Source};

    /// Another program came to its end in between, and somebody signed in again.
    #[tokio::test]
    async fn whoever_finishes_what_was_finished_meanwhile_erases_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let buffer = Buffer::open(&dir.path().join("buffer.db")).await.unwrap();
        let who = SignedIn {
            backend: "http://b".into(),
            user_id: "1".into(),
            email: "1@x".into(),
            claim_others: false,
        };
        let account = buffer.sign_in(&who, 1).await.unwrap().0.id;
        let source = Source {
            name: "e#p".into(),
            profile_id: "p".into(),
            browser: String::new(),
            client: String::new(),
        };
        let visit = r#"{"id":"a","url":"http://a/","startedAt":1,"tabId":7}"#;
        buffer.append(&source, &[Arrival::read(None, &[visit], &[])], 0, 1).await.unwrap();
        for erasure in [Erasure::Account { who: "1@x".to_owned(), last: 1 }, Erasure::Everything { last: 1 }]
        {
            // It was read, and struck since; or struck between two pages.
            assert_eq!(buffer.by_both_attempts(&erasure, false).await.unwrap().records(), 0);
            let mut erased = Erased::default();
            match &erasure {
                Erasure::Account { .. } => buffer.discard_by_pages(&erasure, &mut erased).await.unwrap(),
                _ => buffer.erase_by_pages(&erasure, &mut erased).await.unwrap(),
            }
            assert_eq!(erased.records(), 0);
            assert!(buffer.unfinished().await.unwrap().is_empty());
            assert_eq!(buffer.waiting(account, &[1]).await.unwrap().len(), 1);
        }
    }
}
