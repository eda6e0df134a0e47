//! What every handler shares, and the table of routes.

use crate::auth::access::AccessTokens;
use crate::auth::password::Passwords;
use crate::body::Bodies;
use crate::clock::Clock;
use crate::error::ApiError;
use crate::limits::Limits;
use crate::secret::Secret;
use crate::store::Store;
use crate::sync::twins::Twins;
use crate::{account, auth, browse, meta, openapi, sync};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(Debug)]
pub struct App {
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    pub limits: Limits,
    pub access: AccessTokens,
    pub passwords: Passwords,
    pub twins: Twins,
    pub bodies: Bodies,
}

pub type Shared = Arc<App>;

impl App {
    pub fn new(
        store: Arc<dyn Store>,
        secret: &Secret,
        clock: Clock,
        limits: Limits,
    ) -> anyhow::Result<Shared> {
        Ok(Arc::new(App {
            store,
            clock,
            access: AccessTokens::new(secret),
            passwords: Passwords::new()?,
            twins: Twins::default(),
            bodies: Bodies::new(&limits),
            limits,
        }))
    }
}

pub fn router(app: Shared) -> Router {
    let (router, document) = OpenApiRouter::with_openapi(openapi::Document::openapi())
        .nest("/api/v1/auth", accounts())
        .nest("/api/auth", accounts())
        .routes(routes!(account::delete))
        .routes(routes!(account::export))
        .routes(routes!(sync::routes::data))
        .routes(routes!(sync::routes::page_visits))
        .routes(routes!(sync::routes::tab_aggregates))
        .routes(routes!(browse::list, browse::delete))
        .routes(routes!(meta::capabilities))
        .merge(signs_of_life())
        .nest("/api/v1", signs_of_life())
        .split_for_parts();
    router
        .route("/api/v1/openapi.json", get(async move || Json(document)))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .with_state(app)
}

fn accounts() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(auth::routes::register))
        .routes(routes!(auth::routes::login))
        .routes(routes!(auth::routes::refresh))
        .routes(routes!(auth::routes::logout))
        .routes(routes!(auth::routes::logout_all))
        .routes(routes!(auth::routes::change_password))
        .routes(routes!(auth::routes::me))
}

fn signs_of_life() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(meta::health)).routes(routes!(meta::ready))
}
