//! The account as a whole: its export and its end.

use crate::app::{App, Shared};
use crate::auth::Caller;
use crate::clock::iso;
use crate::error::ApiError;
use crate::limits::MAX_PAGE;
use crate::openapi::{Common, SignedInOnly};
use crate::store::{PageQuery, Place, UserId};
use crate::taken::held;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use heyho_records::Kind;
use serde_json::json;
use std::sync::Arc;

/// Deletes the account with everything stored. Its tokens are dead at once.
#[utoipa::path(delete, path = "/api/v1/users/me", tag = "account", security(("bearer" = [])),
    responses((status = 204, description = "everything is gone"), SignedInOnly, Common))]
pub async fn delete(State(app): State<Shared>, caller: Caller) -> Result<StatusCode, ApiError> {
    let _turn = app.turn(caller.user.id).await?;
    app.store.delete_user(caller.user.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Everything stored, one JSON object a line: first the account, then records, then what was deleted.
#[utoipa::path(get, path = "/api/v1/users/me/export", tag = "account", security(("bearer" = [])),
    responses((status = 200, body = String, content_type = "application/x-ndjson"), SignedInOnly, Common))]
pub async fn export(State(app): State<Shared>, caller: Caller) -> Result<Response, ApiError> {
    let user = caller.user.id;
    let turn = app.answer(user).await?;
    // a failure ends the answer unfinished: the client sees that it broke off
    let lines = stream::try_unfold(Part::Account, move |part| {
        let (app, turn) = (app.clone(), turn.clone());
        async move {
            let piece = next(app, user, part).await?;
            Ok::<_, ApiError>(piece.map(|(lines, following)| (held(lines.into_bytes(), turn), following)))
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// Where the export stands.
enum Part {
    Account,
    Records(Place),
    Tombstones(Place),
    Done,
}

async fn next(app: Arc<App>, user: UserId, part: Part) -> Result<Option<(String, Part)>, ApiError> {
    let _turn = app.turn(user).await?;
    // what is read of an account that ends meanwhile is less and less, and must not look whole
    let gone = || ApiError::Unauthorized("the account no longer exists");
    let query = |after| PageQuery { user, kind: None, after, limit: MAX_PAGE };
    let mut lines = String::new();
    let following = match part {
        Part::Account => {
            let account = app.store.account(user).await?.ok_or_else(gone)?;
            lines.push_str(&json!({ "kind": "account", "account": account }).to_string());
            lines.push('\n');
            Part::Records(Place::start())
        }
        Part::Records(after) => {
            let page = app.store.page(query(after)).await?;
            page.epoch.ok_or_else(gone)?;
            for stored in &page.records {
                let Place { version, id, source, .. } = &stored.place;
                lines.push_str(&format!(
                    r#"{{"kind":"{}","id":{},"source":{},"version":{version},"updated_at":"{}","record":{}}}"#,
                    stored.kind,
                    json!(id),
                    json!(source),
                    iso(stored.updated_at),
                    one_line(&stored.record),
                ));
                lines.push('\n');
            }
            let next = page.records.last().filter(|_| page.more);
            next.map_or(Part::Tombstones(Place::start()), |last| Part::Records(last.place.clone()))
        }
        Part::Tombstones(after) => {
            let page = app.store.tombstones(query(after)).await?;
            for deleted in &page {
                let Place { version, id, source, kind } = &deleted.place;
                let kind = Kind::from_number(*kind).map(Kind::name);
                let at = iso(deleted.deleted_at);
                let line =
                    json!({ "kind": kind, "id": id, "source": source, "version": version, "deleted_at": at });
                lines.push_str(&line.to_string());
                lines.push('\n');
            }
            match page.last() {
                Some(last) => Part::Tombstones(last.place.clone()),
                None => app.store.account(user).await?.map(|_| Part::Done).ok_or_else(gone)?,
            }
        }
        Part::Done => return Ok(None),
    };
    Ok(Some((lines, following)))
}

/// A record may have been sent over several lines. In JSON, line ends stand only between tokens.
fn one_line(record: &str) -> String {
    record.replace(['\n', '\r'], " ")
}
