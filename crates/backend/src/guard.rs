//! What surrounds every request: its id, the log line, the counters, the security headers ([`guard`], outermost); then,
//! inside of CORS, so that a page may read these answers too, its client's bucket and what panics ([`admit`]).
//!
//! The log holds the route's pattern, the status and the time; no address, no query, no e-mail, no record.

use crate::app::{App, Shared};
use crate::clock;
use crate::drain::Rest;
use crate::error::ApiError;
use crate::limits::DRAIN_BYTES;
use crate::sync::routes::BATCHES;
use axum::Extension;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use heyho_records::fault::planted;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tracing::Instrument as _;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID: usize = 64;

/// Where the request comes from, for the buckets of sign-in.
#[derive(Debug, Clone, Copy)]
pub struct ClientIp(pub IpAddr);

pub async fn guard(
    State(app): State<Shared>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    route: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let _under_way = app.metrics.begun();
    let method = method_label(request.method());
    let route = route.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    let id = request_id(request.headers());
    let ip = client_ip(&app, request.headers(), peer);
    request.extensions_mut().insert(ClientIp(ip));

    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
    // Who asks whether to send the body at all is told by the answer; and what is too long is not waited for.
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    let waits = request.headers().contains_key(header::EXPECT);
    let drains = !waits && declared.is_none_or(|length: usize| length <= DRAIN_BYTES);
    let (parts, body) = request.into_parts();
    let (body, rest) = Rest::of(body);
    let mut response = next.run(Request::from_parts(parts, body)).instrument(span.clone()).await;

    let status = response.status();
    if !status.is_success() && drains && !planted("closes-on-senders") {
        rest.drain().await;
    }
    let seconds = started.elapsed().as_secs_f64();
    app.metrics.answered(method, &route, status.as_u16(), seconds);
    let ms = (seconds * 1_000.0) as u64;
    let status_number = status.as_u16();
    if status.is_client_error() || status.is_server_error() {
        tracing::info!(parent: &span, method, route, status = status_number, ms, "refused");
    } else {
        tracing::debug!(parent: &span, method, route, status = status_number, ms, "served");
    }

    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if app.behind_tls {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    response
}

/// HTTP lets a client make methods up: each would be a series of its own, and a text of its own in the log.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The client's own id where it is a plain one, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |v: &&HeaderValue| {
        (1..=MAX_REQUEST_ID).contains(&v.len())
            && v.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    headers.get(REQUEST_ID).filter(plain).cloned().unwrap_or_else(|| {
        clock::random_bytes::<16>()
            .ok()
            .and_then(|bytes| uuid::Uuid::from_bytes(bytes).simple().to_string().parse().ok())
            .unwrap_or(HeaderValue::from_static("none"))
    })
}

/// Behind a proxy that is trusted, what the proxy itself appended last: an address, some write its port too. None if
/// that is none.
fn named_by_proxy(headers: &HeaderMap, name: &HeaderName) -> Option<IpAddr> {
    let value = headers.get_all(name).iter().next_back()?;
    let last = value.to_str().ok()?.rsplit(',').next()?.trim();
    let with_port = || last.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || last.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    last.parse().ok().or_else(with_port).or_else(in_brackets)
}

/// The peer, or whom the proxy names.
fn client_ip(app: &App, headers: &HeaderMap, peer: SocketAddr) -> IpAddr {
    let Some(name) = &app.client_ip_header else { return peer.ip() };
    named_by_proxy(headers, name).unwrap_or_else(|| {
        // signs of life are asked without a proxy; whoever else is not named shares one network with all
        if !app.said_that_no_client_is_named.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                header = name.as_str(),
                "a request came without an address in the header that client_ip_header names; those that do count as \
                 one network. This is said once"
            );
        }
        peer.ip()
    })
}

/// Lets a request in if its network's bucket does. Of a handler that panicked the client hears of a failure, the log the
/// rest.
pub async fn admit(
    State(app): State<Shared>,
    Extension(ClientIp(ip)): Extension<ClientIp>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(limited) = app.rates.network(ip) {
        return limited.into_response();
    }
    let served = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    served.unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a text");
        let error = ApiError::Internal(anyhow::anyhow!("panic: {what}"));
        if !route.is_some_and(|route| BATCHES.contains(&route.as_str())) {
            return error.into_response();
        }
        app.metrics.batch("failed");
        error.of_a_batch().into_response()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_trusted_proxys_own_entry_counts() {
        let name = HeaderName::from_static("x-forwarded-for");
        let mut headers = HeaderMap::new();
        headers.append(&name, "203.0.113.9".parse().unwrap());
        headers.append(&name, "forged, 198.51.100.7".parse().unwrap());
        assert_eq!(named_by_proxy(&headers, &name).unwrap().to_string(), "198.51.100.7");
        for (text, address) in [
            ("198.51.100.7:5678", Some("198.51.100.7")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]:5678", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("nonsense", None),
            ("for=198.51.100.7", None),
        ] {
            headers.insert(&name, text.parse().unwrap());
            assert_eq!(named_by_proxy(&headers, &name).map(|ip| ip.to_string()).as_deref(), address);
        }
    }

    /// Over the real layers: what panics on a route of batches is what any other failure of a batch is.
    #[tokio::test]
    async fn a_panic_is_a_failure_like_any_other() {
        use crate::store::sqlite::SqliteStore;
        use crate::{Config, Database, secret::Secret};
        use axum::routing::post;
        use axum::{Router, middleware};
        use tower::ServiceExt as _;
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("x.db")).await.unwrap();
        let config = Config::new(Database::Sqlite("unused".into()));
        let app =
            crate::app::App::new(std::sync::Arc::new(store), &Secret::from_bytes([1; 32]), &config).unwrap();
        async fn panics() -> Response {
            panic!("a secret detail")
        }
        let routes = BATCHES.iter().fold(Router::new(), |router, path| router.route(path, post(panics)));
        let router =
            routes.route("/other", post(panics)).layer(middleware::from_fn_with_state(app.clone(), admit));
        let router = router.layer(middleware::from_fn_with_state(app.clone(), guard)).with_state(app);
        for path in BATCHES.into_iter().chain(["/other"]) {
            let peer: SocketAddr = "192.0.2.1:5".parse().unwrap();
            let request =
                Request::post(path).extension(ConnectInfo(peer)).body(axum::body::Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), 500);
            assert!(response.headers().contains_key(REQUEST_ID));
            let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let code = if path == "/other" { "INTERNAL_ERROR" } else { "SYNC_FAILED" };
            assert_eq!((&body["success"], body["code"].as_str()), (&serde_json::json!(false), Some(code)));
            assert!(!body.to_string().contains("secret detail"));
        }
    }

    #[test]
    fn a_request_id_that_is_not_plain_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, "abc-1.2_x".parse().unwrap());
        assert_eq!(request_id(&headers), "abc-1.2_x");
        headers.insert(REQUEST_ID, "a b\"c".parse().unwrap());
        assert_eq!(request_id(&headers).len(), 32);
    }
}
