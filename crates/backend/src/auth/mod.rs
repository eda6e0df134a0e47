//! Who is asking: registration, sign-in, sessions.

pub mod access;
pub mod address;
pub mod codes;
pub mod password;
pub mod refresh;
pub mod routes;

use crate::app::Shared;
use crate::error::ApiError;
use crate::store::{SessionId, User};
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

/// The signed-in user of a request: the token verifies and its session is alive.
#[derive(Debug)]
pub struct Caller {
    pub user: User,
    pub session: SessionId,
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Caller, ApiError> {
        let value = parts
            .headers
            .get(header::AUTHORIZATION)
            .ok_or(ApiError::Unauthorized("the request has no Authorization header"))?;
        let token = value
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or(ApiError::Unauthorized("the Authorization header is not of the form `Bearer <token>`"))?;
        let refused = ApiError::Unauthorized("the access token is not valid, or its time is over");
        let now = app.clock.now();
        let Some((user, session)) = app.access.read(token, now) else { return Err(refused) };
        match app.store.session_user(session, now).await? {
            Some(found) if found.id == user => {
                app.rates.user(user)?;
                Ok(Caller { user: found, session })
            }
            _ => Err(refused),
        }
    }
}
