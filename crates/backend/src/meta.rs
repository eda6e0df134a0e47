//! What the backend says of itself: what it can do, whether it lives, whether its database answers.

use crate::app::Shared;
use crate::error::ApiError;
use crate::limits::MAX_RECORDS;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

/// What a client may rely on. A word is added when the feature is whole.
const FEATURES: &[&str] = &["data.sync", "idempotency", "gzip"];

pub async fn capabilities(State(app): State<Shared>) -> Json<Value> {
    Json(json!({
        "protocol": 1,
        "features": FEATURES,
        "limits": {
            "max_page_visits": MAX_RECORDS,
            "max_tab_aggregates": MAX_RECORDS,
            "max_body_bytes": app.limits.max_body_bytes,
        },
    }))
}

pub async fn health() -> Json<Value> {
    Json(json!({ "success": true, "status": "ok" }))
}

pub async fn ready(State(app): State<Shared>) -> Response {
    match app.store.ping().await {
        Ok(()) => Json(json!({ "success": true, "status": "ready" })).into_response(),
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
