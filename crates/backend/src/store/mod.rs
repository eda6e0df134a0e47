//! What the backend keeps: one trait, [`Store`], in five parts with one idea each.
//!
//! Invariants every implementation keeps, and `tests/store` checks on both:
//!
//! - a batch is saved whole or not at all, with its idempotency answer in the same transaction;
//! - identity is (user, source, kind, id); which of two versions stays is decided by [`decide`], never in SQL, so
//!   that every store ends in the same rows whatever the order of arrival;
//! - a batch that changed something takes exactly one version from the user's counter, and versions become visible
//!   in the order they were given: who has read up to version n misses nothing at or below n;
//! - what was deleted stays deleted: its tombstone answers for it;
//! - every query names the user.
//!
//! What both databases do with the same SQL stands once, in `both/`, and is compiled into each store beside its own
//! types: each store names its `Db`, `Tx` and `This`, and how it begins a transaction. What differs (keys in one JSON
//! text or in arrays, locks) is in `sqlite/` and `postgres/`.

mod codes;
mod columns;
pub mod decide;
mod feed;
pub mod postgres;
mod records;
pub mod rows;
mod sessions;
pub mod sqlite;
mod users;

pub use codes::{Code, Codes, Purpose, Tried};
pub use feed::{Feed, Page, PageQuery, Place, StoredRecord, Tombstone};
pub use records::{Answered, Batch, Counts, Deletion, IdempotencyKey, Records, Saved, Selection, answer};
pub use sessions::{NewSession, Presented, Rotation, SessionEnd, SessionId, Sessions, TokenHash};
pub use users::{
    AccountData, Created, Credentials, Device, NewUser, PasswordHash, SessionData, User, UserId, Users,
};

use crate::clock::Millis;
use crate::limits::SLICE;
use async_trait::async_trait;
use heyho_records::fault::planted;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database did not do it")]
    Database(#[from] sqlx::Error),
    #[error("the database's schema could not be brought up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("{what}: {path}")]
    File { what: &'static str, path: String, source: std::io::Error },
    #[error("a stored value is not what was stored: {0}")]
    Damaged(String),
    #[error(
        "SQLite {0} is too old: 3.51.3 or later is needed, because earlier ones can corrupt a shared database"
    )]
    SqliteTooOld(String),
    #[error(
        "the database is in {0}, which cannot hold every text; make it in UTF8 (createdb --encoding UTF8)"
    )]
    Encoding(String),
}

pub type Result<T> = std::result::Result<T, StoreError>;

#[async_trait]
pub trait Store: Users + Sessions + Codes + Records + Feed + Send + Sync + std::fmt::Debug {
    /// The database answers.
    async fn ping(&self) -> Result<()>;

    /// Forgets answers, codes, tokens and sessions that are past their time, and goes on with what is owed: the rest of
    /// accounts that ended, links of aggregates to visits that came after them. Returns how many rows were forgotten.
    async fn purge(&self, now: Millis) -> Result<u64>;

    /// Finishes what is open. Afterwards the files are whole without a log beside them.
    async fn close(&self);
}

/// Rows of a slice, as databases count.
fn slice() -> i64 {
    if planted("all-at-once") { i64::MAX } else { SLICE as i64 }
}

/// Bytes of a length the schema promises.
fn fixed(bytes: Vec<u8>, what: &str) -> Result<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|b: Vec<u8>| StoreError::Damaged(format!("{what} has {} bytes instead of 32", b.len())))
}
