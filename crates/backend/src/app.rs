//! What every handler shares, and the table of routes.

use crate::auth::access::AccessTokens;
use crate::auth::password::Passwords;
use crate::auth::refresh::Families;
use crate::body::Bodies;
use crate::clock::Clock;
use crate::config::{Config, Registration};
use crate::error::ApiError;
use crate::guard::{admit, guard};
use crate::limits::{Limits, TURN_WAIT, USER_ANSWERS, USER_AT_ONCE, USER_BODIES};
use crate::mail::Mailer;
use crate::metrics::{self, Metrics};
use crate::rates::Rates;
use crate::secret::Secret;
use crate::store::{IdempotencyKey, Store, UserId};
use crate::taken::Turn;
use crate::turns::Turns;
use crate::{account, auth, browse, meta, openapi, sync};
use anyhow::Context as _;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::{Extension, Router, middleware};
use heyho_records::fault::planted;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::OwnedSemaphorePermit;
use tower_http::cors::{AllowOrigin, CorsLayer};
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
    /// Requests with one key.
    pub twins: Turns<IdempotencyKey>,
    /// Requests of one user that need the database for more than a lookup.
    pub users: Turns<UserId>,
    /// Batches of one user that are here.
    pub batches: Turns<UserId>,
    /// Answers with records of one user, until they are taken.
    pub answers: Turns<UserId>,
    pub families: Families,
    pub bodies: Bodies,
    pub rates: Rates,
    pub metrics: Metrics,
    /// None: there is no SMTP server.
    pub mail: Option<Mailer>,
    pub registration: Registration,
    pub client_ip_header: Option<HeaderName>,
    /// Whether it was said that the proxy names its clients in no way that is read.
    pub said_that_no_client_is_named: AtomicBool,
    pub behind_tls: bool,
}

pub type Shared = Arc<App>;

impl App {
    pub fn new(store: Arc<dyn Store>, secret: &Secret, config: &Config) -> anyhow::Result<Shared> {
        let Config { limits, clock, .. } = config;
        Ok(Arc::new(App {
            store,
            clock: clock.clone(),
            access: AccessTokens::new(secret),
            passwords: Passwords::new()?,
            twins: Turns::new(1),
            users: Turns::new(if planted("one-user-takes-all") { 1_000 } else { USER_AT_ONCE }),
            batches: Turns::new(if planted("endless-room") { 1_000_000 } else { USER_BODIES }),
            answers: Turns::new(USER_ANSWERS),
            families: Families::new(secret),
            bodies: Bodies::new(limits),
            rates: Rates::new(limits, clock),
            metrics: Metrics::default(),
            mail: config.mail.as_ref().map(Mailer::new).transpose()?,
            limits: limits.clone(),
            registration: config.registration,
            said_that_no_client_is_named: AtomicBool::new(false),
            client_ip_header: config.client_ip_header.clone(),
            behind_tls: config.tls.is_some(),
        }))
    }

    /// Kept while a request of this user is at work in the database.
    pub async fn turn(&self, user: UserId) -> Result<OwnedSemaphorePermit, ApiError> {
        self.users.turn(&user, TURN_WAIT).await.ok_or(ApiError::RateLimited { retry_after: 1 })
    }

    /// Kept until an answer with this user's records was taken.
    pub async fn answer(&self, user: UserId) -> Result<Turn, ApiError> {
        let turn = self.answers.turn(&user, self.limits.place_wait).await;
        turn.map(Arc::new).ok_or(ApiError::RateLimited { retry_after: 1 })
    }
}

pub fn router(app: Shared, cors_origins: &[HeaderValue]) -> anyhow::Result<Router> {
    let (router, document) = routes().split_for_parts();
    let document = openapi::Text::of(&document).context("the OpenAPI document")?;
    let router = router
        .layer(Extension(document))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed);
    let router = router.layer(middleware::from_fn_with_state(app.clone(), admit));
    let router = if cors_origins.is_empty() { router } else { router.layer(cors(cors_origins)) };
    Ok(router.layer(middleware::from_fn_with_state(app.clone(), guard)).with_state(app))
}

/// The handlers, and the document their annotations make.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(openapi::Document::openapi())
        .nest("/api/v1/auth", accounts())
        .nest("/api/auth", accounts())
        .nest("/api/v1", codes())
        .routes(routes!(account::delete))
        .routes(routes!(account::export))
        .routes(routes!(sync::routes::data))
        .routes(routes!(sync::routes::page_visits))
        .routes(routes!(sync::routes::tab_aggregates))
        .routes(routes!(browse::list, browse::delete))
        .routes(routes!(meta::capabilities))
        .routes(routes!(metrics::serve))
        .routes(routes!(openapi::serve))
        .merge(signs_of_life())
        .nest("/api/v1", signs_of_life())
}

fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let name = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            name("idempotency-key"),
            name("x-idempotency-key"),
            name("x-request-id"),
            name("x-device-id"),
        ])
        .expose_headers([header::RETRY_AFTER, name("x-idempotent-replay"), name("x-request-id")])
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

/// Where HeyHo's published service has them.
fn codes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(auth::codes::verify_email))
        .routes(routes!(auth::codes::resend_verification))
        .routes(routes!(auth::codes::reset_password_request))
        .routes(routes!(auth::codes::reset_password))
}

fn signs_of_life() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(meta::health)).routes(routes!(meta::ready))
}
