//! Reading in feed order: (version, kind, id, source), by keyset, in pages bounded by rows and by bytes.

use super::{Result, UserId};
use crate::clock::Millis;
use crate::limits::PAGE_BYTES;
use async_trait::async_trait;
use heyho_records::Kind;

/// A place in the feed: everything up to and including it has been read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
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

/// A row of one kind's table.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Found {
    version: i64,
    id: String,
    source: String,
    record: String,
    updated_at: Millis,
}

impl Found {
    pub fn of(self, kind: Kind) -> StoredRecord {
        let Found { version, id, source, record, updated_at } = self;
        StoredRecord { place: Place { version, kind: kind.number(), id, source }, kind, record, updated_at }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Tombstone {
    #[sqlx(flatten)]
    pub place: Place,
    pub deleted_at: Millis,
}

/// Records in feed order, and whether there are more after them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub records: Vec<StoredRecord>,
    pub more: bool,
    /// The life of the feed that the places belong to. None: there is no such user.
    pub epoch: Option<String>,
}

#[async_trait]
pub trait Feed {
    /// Stored records after a place, in feed order.
    async fn page(&self, query: PageQuery) -> Result<Page>;
    /// Tombstones after a place, in feed order.
    async fn tombstones(&self, query: PageQuery) -> Result<Vec<Tombstone>>;
}

/// The rows of one kind, as they come: until one beyond the limit, or until the bytes of a page are full.
pub(super) struct Gathering {
    records: Vec<StoredRecord>,
    bytes: usize,
    full: bool,
}

impl Gathering {
    pub fn new() -> Gathering {
        Gathering { records: Vec::new(), bytes: 0, full: false }
    }

    /// False: no more is wanted.
    pub fn take(&mut self, record: StoredRecord, limit: i64) -> bool {
        self.bytes += record.record.len();
        self.records.push(record);
        self.full = self.bytes > PAGE_BYTES || self.records.len() as i64 > limit;
        !self.full
    }
}

/// One page of several kinds. Of a kind that was cut short, more may follow its last record; nothing beyond that one
/// is shown yet.
pub(super) fn merge(kinds: Vec<Gathering>, limit: i64) -> Page {
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
    Page { records, more, epoch: None }
}
