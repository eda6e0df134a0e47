//! The bodies and answers of the three routes, as the OpenAPI document shows them. Records stay open objects, because
//! unknown fields are kept; of those that are known it says what `strict` accepts, so that whoever follows the document
//! is never refused.

#![expect(
    dead_code,
    reason = "types for the document; requests are split raw, answers are built in the store"
)]

use super::strict::{self, Shape};
use crate::limits::MAX_SOURCE_CHARS;
use crate::openapi::ErrorBody;
use heyho_records::Kind;
use heyho_records::record::{MAX_ID, MAX_URL};
use serde_json::json;
use std::borrow::Cow;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, AnyOfBuilder, ArrayBuilder, ArrayItems, KnownFormat, ObjectBuilder,
    Schema, SchemaFormat, Type,
};
use utoipa::{IntoParams, IntoResponses, PartialSchema, ToSchema};

#[derive(ToSchema)]
#[schema(as = Batch)]
pub struct BatchBody {
    #[serde(rename = "batchId")]
    #[schema(max_length = 128)]
    batch_id: Option<String>,
    #[serde(rename = "deviceId")]
    #[schema(max_length = 128)]
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

/// A record of one kind, as far as it is looked at. What the rules of `strict` say is asked of them: a value that fits
/// here is accepted.
struct Described {
    kind: Kind,
    description: &'static str,
    /// Beside what `strict` knows: what identifies a record and places it in time.
    needed: Vec<(&'static str, RefOr<Schema>)>,
    always: &'static [&'static str],
    /// Of each list, one entry must be there whole.
    either: &'static [&'static [&'static [&'static str]]],
    example: serde_json::Value,
}

impl Described {
    fn schema(self) -> RefOr<Schema> {
        let mut object = ObjectBuilder::new().schema_type(Type::Object).description(Some(self.description));
        for (name, schema) in self.needed {
            object = object.property(name, schema);
        }
        for (name, shape) in strict::fields(self.kind) {
            object = object.property(name, any_of(schemas(shape).into_iter().chain([plain(Type::Null)])));
        }
        for name in self.always {
            object = object.required(*name);
        }
        let mut all = AllOfBuilder::new().item(object).examples([self.example]);
        for alternatives in self.either {
            all = all.item(any_of(alternatives.iter().map(|names| {
                let start = ObjectBuilder::new().schema_type(Type::Object);
                names.iter().fold(start, |object, name| object.required(*name)).into()
            })));
        }
        all.into()
    }
}

fn any_of(schemas: impl IntoIterator<Item = RefOr<Schema>>) -> RefOr<Schema> {
    schemas.into_iter().fold(AnyOfBuilder::new(), AnyOfBuilder::item).into()
}

fn plain(kind: Type) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(kind).into()
}

fn text(min: usize, max: usize) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(min)).max_length(Some(max)).into()
}

fn amount() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0))
}

/// Milliseconds since the epoch that are a moment of a calendar with four digits for a year.
fn time() -> [RefOr<Schema>; 2] {
    let millis = ObjectBuilder::new().schema_type(Type::Integer);
    let millis = millis.minimum(Some(-62_135_596_800_000_i64)).maximum(Some(253_402_200_000_000_i64));
    let iso = ObjectBuilder::new().schema_type(Type::String);
    [millis.into(), iso.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).into()]
}

/// What a field of this shape may hold beside null: one or several.
fn schemas(shape: Shape) -> Vec<RefOr<Schema>> {
    match shape {
        Shape::Text => vec![plain(Type::String)],
        Shape::Source => vec![text(0, MAX_SOURCE_CHARS)],
        Shape::Bool => vec![plain(Type::Boolean)],
        Shape::Number => vec![plain(Type::Number)],
        Shape::Amount => vec![amount().into()],
        Shape::Share => vec![amount().maximum(Some(1)).into()],
        Shape::Time => time().into(),
        Shape::Object => vec![plain(Type::Object)],
        Shape::Amounts => {
            let amounts = ObjectBuilder::new().schema_type(Type::Object);
            let each = AdditionalProperties::RefOr(any_of([amount().into(), plain(Type::Null)]));
            vec![amounts.additional_properties(Some(each)).into()]
        }
        Shape::Array => vec![ArrayBuilder::new().items(ArrayItems::from(plain(Type::Object))).into()],
        // part of an id that is made of it
        Shape::Tab => vec![plain(Type::Number), text(1, 64)],
    }
}

/// A visit of a page.
pub struct PageVisit;

impl PartialSchema for PageVisit {
    fn schema() -> RefOr<Schema> {
        let url = ObjectBuilder::new().schema_type(Type::String).max_length(Some(MAX_URL));
        let url = url.format(Some(SchemaFormat::Custom("uri".to_owned()))).pattern(Some("^https?://"));
        let times = ["visited_at", "visitedAt", "startedAt", "timestamp"];
        let ids = ["id", "visitId"].map(|name| (name, text(1, MAX_ID)));
        Described {
            kind: Kind::PageVisit,
            description: "A visit of a page. Where a value has several names, the first that is there and not null \
                          counts. Unknown fields are kept.",
            needed: [("url", url.into())]
                .into_iter()
                .chain(ids)
                .chain(times.map(|name| (name, any_of(time()))))
                .collect(),
            always: &["url"],
            either: &[&[&["id"], &["visitId"]], &[&["visited_at"], &["visitedAt"], &["startedAt"], &["timestamp"]]],
            example: json!({"id": "v1", "url": "https://example.com/", "visited_at": "2026-01-15T10:30:00Z"}),
        }
        .schema()
    }
}

impl ToSchema for PageVisit {
    fn name() -> Cow<'static, str> {
        "PageVisit".into()
    }
}

/// The life of a tab.
pub struct TabAggregate;

impl PartialSchema for TabAggregate {
    fn schema() -> RefOr<Schema> {
        Described {
            kind: Kind::TabAggregate,
            description: "The life of a tab. Without an id it is known by startTime and tabId. Unknown fields are kept.",
            needed: ["startTime", "start_time"]
                .map(|name| (name, any_of(time())))
                .into_iter()
                .chain([("id", text(1, MAX_ID))])
                .collect(),
            always: &[],
            either: &[&[&["startTime", "tabId"], &["start_time", "tabId"], &["id", "page_visit_id"]]],
            example: json!({"tabId": 5, "startTime": 1_768_472_000_000_i64, "totalActiveDuration": 1200}),
        }
        .schema()
    }
}

impl ToSchema for TabAggregate {
    fn name() -> Cow<'static, str> {
        "TabAggregate".into()
    }
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
    /// One effect per key; the answer is replayed for 24 hours.
    #[param(rename = "Idempotency-Key", required = false)]
    idempotency_key: Option<String>,
    /// The same; `Idempotency-Key` wins over it.
    #[param(rename = "X-Idempotency-Key", required = false)]
    x_idempotency_key: Option<String>,
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
