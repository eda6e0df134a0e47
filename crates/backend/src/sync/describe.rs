//! The bodies and answers of the three routes, as the OpenAPI document shows them. Records stay open objects: the
//! rules are the contract's, and unknown fields are kept.

#![expect(
    dead_code,
    reason = "types for the document; requests are split raw, answers are built in the store"
)]

use crate::openapi::ErrorBody;
use utoipa::{IntoParams, IntoResponses, ToSchema};

#[derive(ToSchema)]
#[schema(as = Batch)]
pub struct BatchBody {
    #[serde(rename = "batchId")]
    batch_id: Option<String>,
    #[serde(rename = "deviceId")]
    device_id: Option<String>,
    /// At most 1,000.
    #[serde(rename = "pageVisits")]
    #[schema(value_type = Option<Vec<PageVisit>>)]
    page_visits: Option<()>,
    /// At most 1,000.
    #[serde(rename = "tabAggregates")]
    #[schema(value_type = Option<Vec<TabAggregate>>)]
    tab_aggregates: Option<()>,
}

#[derive(ToSchema)]
#[schema(as = Visits)]
pub struct VisitsBody {
    #[schema(value_type = Vec<PageVisit>)]
    visits: (),
}

#[derive(ToSchema)]
#[schema(as = Aggregates)]
pub struct AggregatesBody {
    #[schema(value_type = Vec<TabAggregate>)]
    aggregates: (),
}

/// A visit of a page; unknown fields are kept.
#[derive(ToSchema)]
#[schema(example = json!({"id": "v1", "url": "https://example.com/", "visited_at": "2026-01-15T10:30:00Z"}))]
pub struct PageVisit {
    id: Option<String>,
    url: String,
    title: Option<String>,
}

/// The life of a tab; unknown fields are kept.
#[derive(ToSchema)]
#[schema(example = json!({"tabId": 5, "startTime": 1_768_472_000_000_i64, "totalActiveDuration": 1200}))]
pub struct TabAggregate {
    id: Option<String>,
    page_visit_id: Option<String>,
}

#[derive(ToSchema)]
pub struct SyncAnswer {
    success: bool,
    #[serde(rename = "batchId")]
    batch_id: Option<String>,
    message: String,
    /// The user's version after this batch.
    version: i64,
    feed_epoch: String,
    data: SyncCounts,
}

#[derive(ToSchema)]
pub struct SyncCounts {
    /// Records of the request now held, changed or not.
    page_visits_synced: u64,
    tab_aggregates_synced: u64,
    rejected_records_count: u64,
    #[schema(value_type = Vec<Object>)]
    validation_errors: Vec<()>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct SyncHeaders {
    /// One effect per key; the answer is replayed for 24 hours. Also read as `X-Idempotency-Key`.
    #[param(rename = "Idempotency-Key", required = false)]
    idempotency_key: Option<String>,
    /// The device; wins over the body's.
    #[param(rename = "X-Device-ID", required = false)]
    device_id: Option<String>,
}

#[derive(IntoResponses)]
pub enum SyncErrors {
    /// `IDEMPOTENCY_IN_PROGRESS`: a twin of this request is still at work.
    #[response(status = 409)]
    InProgress(ErrorBody),
    /// `IDEMPOTENCY_KEY_REUSED`: the key came with another body before.
    #[response(status = 422)]
    KeyReused(ErrorBody),
}
