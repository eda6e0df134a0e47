//! What the backend says of itself: what it can do, whether it lives, whether its database answers.

use crate::app::Shared;
use crate::config::Registration;
use crate::error::ApiError;
use crate::limits::MAX_RECORDS;
use crate::openapi::{Common, ErrorBody};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// What a client may rely on. A word is added when the feature is whole.
const FEATURES: &[&str] =
    &["data.sync", "idempotency", "gzip", "browsing_data.delete", "account.export", "account.delete"];
/// Where anybody may register.
const OPEN_FEATURES: &[&str] = &["registration"];
/// Where there is an SMTP server.
const MAIL_FEATURES: &[&str] = &["email.verification", "password.reset"];

#[derive(Serialize, ToSchema)]
pub struct Capabilities {
    protocol: u32,
    features: Vec<&'static str>,
    limits: CapabilityLimits,
}

#[derive(Serialize, ToSchema)]
struct CapabilityLimits {
    max_page_visits: usize,
    max_tab_aggregates: usize,
    max_body_bytes: usize,
}

#[derive(Serialize, ToSchema)]
pub struct Health {
    success: bool,
    status: &'static str,
}

/// What this backend can do, without a sign-in.
#[utoipa::path(get, path = "/api/v1/capabilities", tag = "operation",
    responses((status = 200, body = Capabilities), Common))]
pub async fn capabilities(State(app): State<Shared>) -> Json<Capabilities> {
    let mail = if app.mail.is_some() { MAIL_FEATURES } else { &[] };
    let open = if app.registration == Registration::Open { OPEN_FEATURES } else { &[] };
    Json(Capabilities {
        protocol: 1,
        features: FEATURES.iter().chain(open).chain(mail).copied().collect(),
        limits: CapabilityLimits {
            max_page_visits: MAX_RECORDS,
            max_tab_aggregates: MAX_RECORDS,
            max_body_bytes: app.limits.max_body_bytes,
        },
    })
}

/// The process lives.
#[utoipa::path(get, path = "/health", tag = "operation", responses((status = 200, body = Health), Common))]
pub async fn health() -> Json<Health> {
    Json(Health { success: true, status: "ok" })
}

/// The database answers.
#[utoipa::path(get, path = "/ready", tag = "operation",
    responses((status = 200, body = Health), (status = 503, body = ErrorBody), Common))]
pub async fn ready(State(app): State<Shared>) -> Response {
    match app.store.ping().await {
        Ok(()) => Json(Health { success: true, status: "ready" }).into_response(),
        Err(error) => {
            tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "not ready");
            let body =
                json!({ "success": false, "code": "NOT_READY", "error": "the database does not answer" });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

impl From<axum::extract::rejection::QueryRejection> for ApiError {
    fn from(rejection: axum::extract::rejection::QueryRejection) -> ApiError {
        ApiError::invalid("query", rejection.body_text())
    }
}
