//! What every handler shares, and the table of routes.

use crate::auth::access::AccessTokens;
use crate::auth::password::Passwords;
use crate::clock::Clock;
use crate::error::ApiError;
use crate::limits::Limits;
use crate::secret::Secret;
use crate::store::Store;
use crate::sync::twins::Twins;
use crate::{auth, browse, meta, sync};
use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;

#[derive(Debug)]
pub struct App {
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    pub limits: Limits,
    pub access: AccessTokens,
    pub passwords: Passwords,
    pub twins: Twins,
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
            limits,
            access: AccessTokens::new(secret),
            passwords: Passwords::new()?,
            twins: Twins::default(),
        }))
    }
}

pub fn router(app: Shared) -> Router {
    let accounts = Router::new()
        .route("/register", post(auth::routes::register))
        .route("/login", post(auth::routes::login))
        .route("/refresh", post(auth::routes::refresh))
        .route("/logout", post(auth::routes::logout))
        .route("/me", get(auth::routes::me));
    Router::new()
        .nest("/api/v1/auth", accounts.clone())
        .nest("/api/auth", accounts)
        .route("/api/v1/data/sync", post(sync::routes::data))
        .route("/api/sync/page-visits", post(sync::routes::page_visits))
        .route("/api/sync/tab-aggregates", post(sync::routes::tab_aggregates))
        .route("/api/v1/browsing_data", get(browse::list))
        .route("/api/v1/capabilities", get(meta::capabilities))
        .route("/health", get(meta::health))
        .route("/api/v1/health", get(meta::health))
        .route("/ready", get(meta::ready))
        .route("/api/v1/ready", get(meta::ready))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .with_state(app)
}
