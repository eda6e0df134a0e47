//! Records: saving a batch, answering it again, deleting.

use super::rows::{AggregateColumns, Row, VisitColumns};
use super::{Result, UserId, fixed};
use crate::clock::Millis;
use async_trait::async_trait;
use serde::Serialize;

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

impl TryFrom<(Vec<u8>, String)> for Answered {
    type Error = super::StoreError;

    fn try_from((hash, answer): (Vec<u8>, String)) -> Result<Answered> {
        Ok(Answered { body_hash: fixed(hash, "the hash of a request")?, answer })
    }
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

impl Saved {
    /// What a key that was answered before means for this body.
    pub(super) fn before(answered: Answered, body_hash: &[u8; 32]) -> Saved {
        if answered.body_hash == *body_hash { Saved::Before(answered.answer) } else { Saved::KeyReused }
    }
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

#[async_trait]
pub trait Records {
    /// The answer kept under this key, if it is younger than the life of such answers.
    async fn answered(&self, key: &IdempotencyKey, now: Millis) -> Result<Option<Answered>>;
    async fn save(&self, batch: Batch) -> Result<Saved>;
    /// Deletes what is selected, leaving tombstones under a new version for each slice. Returns how many records went.
    async fn delete_records(&self, deletion: Deletion) -> Result<u64>;
}
