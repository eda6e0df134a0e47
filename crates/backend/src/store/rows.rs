//! Records in the shape of the tables: identity, what decides between versions, the text, the typed columns.

use super::decide::Held;
use super::{Result, fixed};
use crate::clock::Millis;
use heyho_records::complete::Completeness;

/// `checksum_algorithms`: SHA-256 of the record's canonical JSON.
pub const SHA256_CANONICAL: i64 = 1;

/// One record, ready to be stored.
#[derive(Debug, Clone)]
pub struct Row<C> {
    pub source: String,
    pub id: String,
    pub rank: Rank,
    pub captured_at: Option<Millis>,
    pub record: String,
    pub columns: C,
}

/// What decides which of two versions of one record stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    pub completeness: Completeness,
    /// The companion's revision; 0 where a client sends none.
    pub revision: i64,
    /// Equal for equal content.
    pub checksum: [u8; 32],
}

/// An identity that is held, with what decides; a tombstone has none of it.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct HeldRow {
    source: String,
    id: String,
    checksum: Option<Vec<u8>>,
    revision: Option<i64>,
    complete_1: Option<f64>,
    complete_2: Option<f64>,
    complete_3: Option<f64>,
}

impl HeldRow {
    pub fn read(self) -> Result<((String, String), Held)> {
        let (Some(checksum), Some(revision)) = (self.checksum, self.revision) else {
            return Ok(((self.source, self.id), Held::Tombstone));
        };
        let columns = [self.complete_1, self.complete_2, self.complete_3];
        let rank = Rank {
            completeness: Completeness::from_columns(columns),
            revision,
            checksum: fixed(checksum, "a checksum")?,
        };
        Ok(((self.source, self.id), Held::Row(rank)))
    }
}

/// What can be asked of visits. Null where the record says nothing, or what it says does not fit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VisitColumns {
    pub url: Option<String>,
    pub host: Option<String>,
    pub visited_at: Option<Millis>,
    pub title: Option<String>,
    pub domain: Option<String>,
    pub tab_id: Option<i64>,
    pub ended_at: Option<Millis>,
    pub duration_ms: Option<i64>,
    pub active_duration_ms: Option<i64>,
    pub is_active: Option<bool>,
    pub engagement_rate: Option<f64>,
    pub last_heartbeat: Option<Millis>,
    pub source_page_visit_id: Option<String>,
    pub category: Option<String>,
    pub category_confidence: Option<f64>,
    pub category_method: Option<String>,
    pub anonymous_client_id: Option<String>,
}

/// What can be asked of tab aggregates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AggregateColumns {
    pub page_visit_id: Option<String>,
    pub tab_id: Option<i64>,
    pub started_at: Option<Millis>,
    pub last_active_at: Option<Millis>,
    pub total_active_ms: Option<i64>,
    pub page_count: Option<i64>,
    pub current_url: Option<String>,
    pub current_host: Option<String>,
    pub current_domain: Option<String>,
    /// The object as JSON text.
    pub domain_durations: Option<String>,
    /// JSON array of every domain the record mentions, in lower case: what deletion by domain looks at.
    pub domains: String,
    pub total_time_seconds: Option<f64>,
    pub active_time_seconds: Option<f64>,
    pub scroll_depth_percent: Option<f64>,
    pub closed_at: Option<Millis>,
    pub is_open: Option<bool>,
    pub anonymous_client_id: Option<String>,
}
