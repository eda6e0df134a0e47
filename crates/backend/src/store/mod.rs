//! What the backend keeps, as one trait with one idea per method.
//!
//! Invariants every implementation keeps, and `tests/http` checks over both:
//!
//! - a batch is saved whole or not at all, with its idempotency answer in the same transaction;
//! - identity is (user, source, kind, id); which of two versions stays is decided by [`decide`], never in SQL, so
//!   that every store ends in the same rows whatever the order of arrival;
//! - a batch that changed something takes exactly one version from the user's counter, and versions become visible
//!   in the order they were given: who has read up to version n misses nothing at or below n;
//! - what was deleted stays deleted: its tombstone answers for it;
//! - every query names the user.

pub mod decide;
pub mod postgres;
pub mod rows;
pub mod sqlite;

use crate::clock::Millis;
use crate::limits::PAGE_BYTES;
use async_trait::async_trait;
use heyho_records::Kind;
use rows::{AggregateColumns, Row, VisitColumns};
use serde::Serialize;
use uuid::Uuid;

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
}

pub type Result<T> = std::result::Result<T, StoreError>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserId(pub Uuid);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub Uuid);

/// SHA-256 of a refresh token.
pub type TokenHash = [u8; 32];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub email: String,
}

/// An Argon2 hash as text. Not for logs.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash")
    }
}

#[derive(Debug, Clone)]
pub struct NewUser {
    pub id: UserId,
    /// Already in its one spelling: see `auth::address`.
    pub email: String,
    pub password_hash: PasswordHash,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub feed_epoch: String,
    pub now: Millis,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Created {
    Created,
    EmailTaken,
}

#[derive(Debug)]
pub struct Credentials {
    pub user: User,
    pub password_hash: PasswordHash,
}

#[derive(Debug, Clone)]
pub struct NewSession {
    pub id: SessionId,
    pub user: UserId,
    pub token: TokenHash,
    pub now: Millis,
    pub expires_at: Millis,
}

/// Why a session ended: the numbers of the table `session_ends`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    SignedOut = 1,
    SignedOutEverywhere = 2,
    PasswordChanged = 3,
    RefreshTokenReused = 4,
}

/// A refresh token is presented, with the successor it would get.
#[derive(Debug, Clone)]
pub struct Presented {
    pub token: TokenHash,
    pub successor: TokenHash,
    /// The successor itself, readable only with the presented token.
    pub successor_sealed: [u8; 32],
    pub now: Millis,
    pub expires_at: Millis,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The token is spent and the successor is current.
    Rotated { user: User, session: SessionId },
    /// The token was spent a moment ago and its successor is unused: the same successor again.
    Again { user: User, session: SessionId, successor_sealed: [u8; 32] },
    /// A spent token: the whole family has ended.
    Reused,
    /// Nobody's token, or one whose session is over.
    Unknown,
}

/// Under which name an answer is kept for replay.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    pub user: UserId,
    pub method: &'static str,
    pub path: &'static str,
    pub key: String,
}

/// An answer that was given.
#[derive(Debug, PartialEq, Eq)]
pub struct Answered {
    pub body_hash: [u8; 32],
    pub answer: String,
}

/// A validated request: each identity once, in its most complete version.
#[derive(Debug)]
pub struct Batch {
    pub user: UserId,
    pub device: Option<String>,
    pub now: Millis,
    pub visits: Vec<Row<VisitColumns>>,
    pub aggregates: Vec<Row<AggregateColumns>>,
    /// The key, and the hash of the body it came with.
    pub idempotency: Option<(IdempotencyKey, [u8; 32])>,
    pub batch_id: Option<String>,
    /// Records of the request, identities that stood twice counted twice.
    pub counts: Counts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub page_visits: usize,
    pub tab_aggregates: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Saved {
    /// Committed; the body of the 200.
    Now(String),
    /// This key was answered before; that answer.
    Before(String),
    /// This key was answered before, for another body.
    KeyReused,
    /// Another node is at work on this key and did not finish in time.
    InProgress,
    /// The account was deleted in the meantime.
    NoSuchUser,
}

/// The body of the 200, made where the version is known: inside the transaction.
pub fn answer(batch: &Batch, version: i64, feed_epoch: &str) -> String {
    let Counts { page_visits, tab_aggregates } = batch.counts;
    serde_json::json!({
        "success": true,
        "batchId": batch.batch_id,
        "message": format!("{page_visits} page visits and {tab_aggregates} tab aggregates are saved"),
        "version": version,
        "feed_epoch": feed_epoch,
        "data": {
            "page_visits_synced": page_visits,
            "tab_aggregates_synced": tab_aggregates,
            "rejected_records_count": 0,
            "validation_errors": [],
        },
    })
    .to_string()
}

/// Bytes of a length the schema promises.
fn fixed(bytes: Vec<u8>, what: &str) -> Result<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|b: Vec<u8>| StoreError::Damaged(format!("{what} has {} bytes instead of 32", b.len())))
}

/// Which records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Of this host and those below it. A tab aggregate goes when it mentions one, or when its visit goes.
    Domain(String),
    /// Begun at `from` or later and before `to`. A tab aggregate goes when its life touches that time, or when its
    /// visit goes.
    Between { from: Millis, to: Millis },
}

#[derive(Debug, Clone)]
pub struct Deletion {
    pub user: UserId,
    pub device: Option<String>,
    pub selection: Selection,
    pub now: Millis,
}

/// What is kept of a user beside records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountData {
    pub id: Uuid,
    pub email: String,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub created_at: Millis,
    pub version: i64,
    pub feed_epoch: String,
    pub devices: Vec<Device>,
    pub sessions: Vec<SessionData>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    pub id: String,
    pub first_seen_at: Millis,
    pub last_seen_at: Millis,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionData {
    pub created_at: Millis,
    pub expires_at: Millis,
    pub ended_at: Option<Millis>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    pub place: Place,
    pub deleted_at: Millis,
}

/// A place in the feed: everything up to and including it has been read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub version: i64,
    pub kind: i64,
    pub id: String,
    pub source: String,
}

impl Place {
    pub const fn start() -> Place {
        Place { version: 0, kind: 0, id: String::new(), source: String::new() }
    }

    /// The same place as seen in the rows of one kind: (version, id, source), exclusive. Ids are never empty.
    pub fn within(&self, kind: Kind) -> (i64, &str, &str) {
        match kind.number().cmp(&self.kind) {
            std::cmp::Ordering::Equal => (self.version, &self.id, &self.source),
            std::cmp::Ordering::Greater => (self.version, "", ""),
            std::cmp::Ordering::Less => (self.version.saturating_add(1), "", ""),
        }
    }
}

#[derive(Debug, Clone)]
pub struct PageQuery {
    pub user: UserId,
    /// None: both kinds.
    pub kind: Option<Kind>,
    pub after: Place,
    pub limit: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    pub place: Place,
    pub kind: Kind,
    pub record: String,
    pub updated_at: Millis,
}

/// Records in feed order, and whether there are more after them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub records: Vec<StoredRecord>,
    pub more: bool,
}

/// The rows of one kind, as they come: until one beyond the limit, or until the bytes of a page are full.
struct Gathering {
    records: Vec<StoredRecord>,
    bytes: usize,
    full: bool,
}

impl Gathering {
    fn new() -> Gathering {
        Gathering { records: Vec::new(), bytes: 0, full: false }
    }

    /// False: no more is wanted.
    fn take(&mut self, record: StoredRecord, limit: i64) -> bool {
        self.bytes += record.record.len();
        self.records.push(record);
        self.full = self.bytes > PAGE_BYTES || self.records.len() as i64 > limit;
        !self.full
    }
}

/// One page of several kinds. Of a kind that was cut short, more may follow its last record; nothing beyond that one
/// is shown yet.
fn merge(kinds: Vec<Gathering>, limit: i64) -> Page {
    let end = kinds.iter().filter(|k| k.full).filter_map(|k| k.records.last()).map(|r| r.place.clone()).min();
    let mut records: Vec<StoredRecord> = kinds.into_iter().flat_map(|k| k.records).collect();
    records.sort_by(|a, b| a.place.cmp(&b.place));
    let all = records.len();
    if let Some(end) = &end {
        records.retain(|r| r.place <= *end);
    }
    records.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let mut bytes = 0;
    let fitting = records.iter().take_while(|r| {
        let fits = bytes <= PAGE_BYTES;
        bytes += r.record.len();
        fits
    });
    let fitting = fitting.count();
    records.truncate(fitting);
    // a kind whose bytes were full exactly at its end costs one empty page
    let more = end.is_some() || records.len() < all;
    Page { records, more }
}

#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The database answers.
    async fn ping(&self) -> Result<()>;

    async fn create_user(&self, user: NewUser) -> Result<Created>;
    async fn credentials(&self, email: &str) -> Result<Option<Credentials>>;

    async fn open_session(&self, session: NewSession) -> Result<()>;
    /// Whose session this is, if it has not ended.
    async fn session_user(&self, session: SessionId, now: Millis) -> Result<Option<User>>;
    async fn rotate(&self, presented: Presented) -> Result<Rotation>;
    async fn end_session(&self, session: SessionId, why: SessionEnd, now: Millis) -> Result<()>;
    async fn end_all_sessions(&self, user: UserId, now: Millis) -> Result<()>;
    /// A new password; all sessions but `keep` end with it.
    async fn change_password(
        &self,
        user: UserId,
        new: PasswordHash,
        keep: SessionId,
        now: Millis,
    ) -> Result<()>;
    /// Every row of the user is gone, sessions first.
    async fn delete_user(&self, user: UserId) -> Result<()>;

    /// The answer kept under this key, if it is younger than the life of such answers.
    async fn answered(&self, key: &IdempotencyKey, now: Millis) -> Result<Option<Answered>>;
    async fn save(&self, batch: Batch) -> Result<Saved>;

    /// Stored records after a place, in feed order.
    async fn page(&self, query: PageQuery) -> Result<Page>;

    /// Deletes what is selected, leaving tombstones under one new version. Returns how many records went.
    async fn delete_records(&self, deletion: Deletion) -> Result<u64>;
    /// The account without its records, for an export.
    async fn account(&self, user: UserId) -> Result<Option<AccountData>>;
    /// Tombstones after a place, in feed order.
    async fn tombstones(&self, query: PageQuery) -> Result<Vec<Tombstone>>;

    /// Forgets answers, tokens and sessions that are past their time. Returns how many rows went.
    async fn purge(&self, now: Millis) -> Result<u64>;

    /// Finishes what is open. Afterwards the files are whole without a log beside them.
    async fn close(&self);
}
