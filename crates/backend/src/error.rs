//! What goes wrong, mapped to a status and a code once, here.
//!
//! Every error body is `{"success":false,"code","error",…}`. The text of an internal error goes to the log under the
//! request's id; the answer never says more than that it happened.

use crate::store::StoreError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// One record of a request that was refused, as the 400 names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedRecord {
    pub kind: &'static str,
    pub index: usize,
    /// The record's id, where it has a readable one.
    pub id: Option<String>,
    pub field: Option<String>,
    pub code: String,
    pub error: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("sign in first: {0}")]
    Unauthorized(&'static str),
    /// One text, whichever of the two was wrong.
    #[error("the e-mail address or the password is wrong")]
    InvalidCredentials,
    #[error("this e-mail address already has an account")]
    EmailTaken,
    #[error(
        "this e-mail address is not confirmed yet: enter the code that was sent to it, or ask for another"
    )]
    EmailNotVerified,
    /// One text, whether it is wrong, spent, too old or tried too often, or there is no such account.
    #[error("the code is not valid, or no longer; ask for another")]
    InvalidCode,
    #[error("this backend takes no new accounts by itself; ask who runs it for one")]
    RegistrationClosed,
    #[error("this backend sends no e-mail; ask who runs it")]
    NoMail,
    #[error("{error}")]
    Invalid { field: &'static str, error: String },
    #[error("the body is not the JSON expected here: {0}")]
    InvalidJson(String),
    #[error("Validation failed for one or more records")]
    Records(Vec<FailedRecord>),
    #[error("{field} has {count} records; at most {max} are accepted in one request")]
    BatchTooLarge { field: &'static str, count: usize, max: usize },
    #[error("the body is larger than {max_bytes} bytes")]
    PayloadTooLarge { max_bytes: usize },
    #[error("the body did not come in time")]
    BodyTooSlow,
    #[error("too many requests; try again in {retry_after} s")]
    RateLimited { retry_after: u64 },
    #[error("the content encoding {0:?} is not accepted; send gzip or none")]
    UnsupportedEncoding(String),
    #[error("a request with this idempotency key is still at work")]
    IdempotencyInProgress,
    #[error("this idempotency key was used with another body")]
    IdempotencyKeyReused,
    #[error("there is nothing at this address")]
    NotFound,
    #[error("this address does not take that method")]
    MethodNotAllowed,
    // not "nothing of it is stored": of a commit whose answer was lost nobody knows
    #[error("the batch could not be saved; send it again")]
    SyncFailed(#[source] anyhow::Error),
    #[error("the request could not be served")]
    Internal(#[source] anyhow::Error),
}

impl ApiError {
    pub fn invalid(field: &'static str, error: impl Into<String>) -> ApiError {
        ApiError::Invalid { field, error: error.into() }
    }

    /// The same, on a route that takes records: what goes wrong inside has one code there, wherever it did.
    pub fn of_a_batch(self) -> ApiError {
        match self {
            ApiError::Internal(source) => ApiError::SyncFailed(source),
            other => other,
        }
    }

    pub fn status(&self) -> StatusCode {
        match self {
            ApiError::Unauthorized(_) | ApiError::InvalidCredentials => StatusCode::UNAUTHORIZED,
            ApiError::EmailTaken | ApiError::IdempotencyInProgress => StatusCode::CONFLICT,
            ApiError::EmailNotVerified | ApiError::RegistrationClosed => StatusCode::FORBIDDEN,
            ApiError::Invalid { .. }
            | ApiError::InvalidCode
            | ApiError::InvalidJson(_)
            | ApiError::Records(_)
            | ApiError::BatchTooLarge { .. } => StatusCode::BAD_REQUEST,
            ApiError::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            ApiError::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            ApiError::UnsupportedEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiError::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            ApiError::NotFound | ApiError::NoMail => StatusCode::NOT_FOUND,
            ApiError::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::SyncFailed(_) | ApiError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub fn code(&self) -> &'static str {
        match self {
            ApiError::Unauthorized(_) => "UNAUTHORIZED",
            ApiError::InvalidCredentials => "INVALID_CREDENTIALS",
            ApiError::EmailTaken => "EMAIL_TAKEN",
            ApiError::EmailNotVerified => "EMAIL_NOT_VERIFIED",
            ApiError::RegistrationClosed => "REGISTRATION_CLOSED",
            ApiError::InvalidCode => "INVALID_CODE",
            ApiError::NoMail => "NO_MAIL",
            ApiError::Invalid { .. } | ApiError::Records(_) => "VALIDATION_ERROR",
            ApiError::InvalidJson(_) => "INVALID_JSON",
            ApiError::BatchTooLarge { .. } => "BATCH_TOO_LARGE",
            ApiError::PayloadTooLarge { .. } => "PAYLOAD_TOO_LARGE",
            ApiError::BodyTooSlow => "REQUEST_TIMEOUT",
            ApiError::RateLimited { .. } => "RATE_LIMITED",
            ApiError::UnsupportedEncoding(_) => "UNSUPPORTED_ENCODING",
            ApiError::IdempotencyInProgress => "IDEMPOTENCY_IN_PROGRESS",
            ApiError::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            ApiError::NotFound => "NOT_FOUND",
            ApiError::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            ApiError::SyncFailed(_) => "SYNC_FAILED",
            ApiError::Internal(_) => "INTERNAL_ERROR",
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        ApiError::Internal(error.into())
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> ApiError {
        ApiError::Internal(error.into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let ApiError::SyncFailed(source) | ApiError::Internal(source) = &self {
            tracing::error!(error = format!("{source:#}"), "request failed");
        }
        let mut body = json!({ "success": false, "code": self.code(), "error": self.to_string() });
        match &self {
            ApiError::Invalid { field, .. } => body["field"] = json!(field),
            ApiError::Records(failed) => body["failed_records"] = json!(failed),
            ApiError::PayloadTooLarge { max_bytes } => body["max_bytes"] = json!(max_bytes),
            ApiError::BatchTooLarge { max, .. } => body["max_records"] = json!(max),
            ApiError::RateLimited { retry_after } => body["retry_after"] = json!(retry_after),
            _ => {}
        }
        let mut response = (self.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        match &self {
            ApiError::Unauthorized(_) | ApiError::InvalidCredentials => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            ApiError::RateLimited { retry_after } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after));
            }
            // what is left of the body is not read
            ApiError::BodyTooSlow | ApiError::PayloadTooLarge { .. } => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
