//! The OpenAPI document, generated from the handlers' own annotations and served at `/api/v1/openapi.json`.

use axum::Extension;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "HeyHo sync API",
        description = "The reference backend of HeyHo: takes browsing records, keeps them, gives them back."
    ),
    modifiers(&Bearer)
)]
pub struct Document;

/// The document as it is served.
#[derive(Clone)]
pub struct Text(Bytes);

impl Text {
    pub fn of(document: &utoipa::openapi::OpenApi) -> serde_json::Result<Text> {
        Ok(Text(serde_json::to_vec(document)?.into()))
    }
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "operation", responses((status = 200, body = Object), Common))]
pub async fn serve(Extension(Text(document)): Extension<Text>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document)
}

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}

/// Every error has these three; some have more.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what error.rs writes")]
pub struct ErrorBody {
    #[schema(example = false)]
    success: bool,
    #[schema(example = "VALIDATION_ERROR")]
    code: String,
    error: String,
    /// The field that is wrong, where it is one.
    field: Option<String>,
    failed_records: Option<Vec<FailedRecordBody>>,
    max_bytes: Option<u64>,
    max_records: Option<u64>,
    /// Seconds.
    retry_after: Option<u64>,
}

#[derive(ToSchema)]
#[schema(as = FailedRecord)]
#[expect(dead_code, reason = "describes what error.rs writes")]
pub struct FailedRecordBody {
    #[schema(example = "pageVisit")]
    kind: String,
    index: u64,
    id: Option<String>,
    field: Option<String>,
    #[schema(example = "invalid_url")]
    code: String,
    error: String,
}

/// What any route may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only the annotations count")]
pub enum Common {
    /// Too many requests: `RATE_LIMITED`, with the header `Retry-After`.
    #[response(status = 429)]
    RateLimited(ErrorBody),
    /// The request could not be served. Nothing is said of why.
    #[response(status = 500)]
    Internal(ErrorBody),
}

/// What a route that needs a sign-in may answer besides.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only the annotations count")]
pub enum SignedInOnly {
    /// No valid access token.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
}

/// What a route that takes a body may answer besides.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only the annotations count")]
pub enum Bodies {
    /// The body is not what is expected; nothing was changed.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// The body did not come in time.
    #[response(status = 408)]
    Timeout(ErrorBody),
    /// The body is too large, as sent or as inflated.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The content encoding is not accepted.
    #[response(status = 415)]
    Encoding(ErrorBody),
}
