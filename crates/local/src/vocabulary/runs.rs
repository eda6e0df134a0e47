//! The runs of the sync loop, and the day's timeline.

use super::FaultCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One run of the sync loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
#[serde(rename_all = "camelCase")]
pub struct Run {
    #[cfg_attr(feature = "ts", ts(type = "string"))]
    pub started_at: Timestamp,
    #[cfg_attr(feature = "ts", ts(type = "string | null"))]
    pub ended_at: Option<Timestamp>,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub batches: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub sent: u64,
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub failed: u64,
    /// One word; see docs/sync.md.
    pub outcome: String,
    /// Why it stopped, as a sentence.
    pub why: Option<String>,
}

/// What one run came to: the answer to `sync` with `wait`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    pub sent: u64,
    /// Newly failed in this run.
    pub failed: u64,
    pub waiting: u64,
    pub outcome: String,
    pub why: Option<String>,
    /// How a command line ends that waited for it; null when all went well.
    pub fault: Option<FaultCode>,
}

/// The last 24 hours, oldest first, for the chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct Timeline {
    pub points: Vec<TimelinePoint>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(export))]
pub struct TimelinePoint {
    #[cfg_attr(feature = "ts", ts(type = "string"))]
    pub at: Timestamp,
    /// At that moment, of all accounts.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub waiting: u64,
    /// Since the point before.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub sent: u64,
}
