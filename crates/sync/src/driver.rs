//! The HTTP requests of the sync loop: does what the core asks, judges nothing.
//!
//! - Redirects are never followed; an answer is read up to a limit; everything has a timeout.
//! - Bodies, tokens and addresses of pages are never logged: only routes, statuses and sizes.
//! - Each request gives a [`Reply`]: an answer, or the reason there is none, in plain words.

use crate::answer::{Answer, Redirect, Reply, TransportError};
use crate::base_url::BaseUrl;
use crate::policy;
use crate::secret::Secret;
use crate::transport;
use heyho_records::fault::planted;
use reqwest::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Client, Method, RequestBuilder, Response};
use std::path::PathBuf;
use std::time::Duration;

const SYNC: &str = "/api/v1/data/sync";
const CAPABILITIES: &str = "/api/v1/capabilities";
const BROWSING_DATA: &str = "/api/v1/browsing_data";
const ME: &str = "/api/v1/auth/me";
/// HeyHo's published service has no `/auth/me`.
const ME_HEYHO: &str = "/api/v1/users/me";

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const DEVICE_ID: HeaderName = HeaderName::from_static("x-device-id");

/// What the requests of one backend have in common.
#[derive(Debug, Clone)]
pub struct DriverConfig {
    pub base_url: BaseUrl,
    /// Certificates (PEM) trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    pub proxy: ProxySetting,
    /// Made once per installation.
    pub device_id: String,
    /// `heyho-companion/0.1.0`
    pub user_agent: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ProxySetting {
    /// What the system says; never for this machine itself.
    #[default]
    System,
    /// No proxy, whatever the system says.
    Off,
    Url(String),
}

/// How long anything may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub connect: Duration,
    /// Silence while an answer is read.
    pub read: Duration,
    /// One exchange of a batch, whole.
    pub request: Duration,
    /// One small exchange, whole.
    pub small: Duration,
    /// One attempt to renew a session, whole.
    pub refresh: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: policy::CONNECT_TIMEOUT,
            read: policy::READ_TIMEOUT,
            request: policy::REQUEST_TIMEOUT,
            small: policy::SMALL_REQUEST_TIMEOUT,
            refresh: policy::REFRESH_TIMEOUT,
        }
    }
}

/// Why no driver can be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("backend.ca_file `{}` cannot be read: {error}", path.display())]
    CaFileUnreadable { path: PathBuf, error: std::io::Error },
    #[error("backend.ca_file `{}` holds no certificate; accepted: a PEM file with one or more", path.display())]
    CaFileEmpty { path: PathBuf },
    #[error("backend.proxy is not the address of a proxy; accepted: http://host:port or https://host:port")]
    Proxy,
    #[error("the device id has characters that cannot stand in a header")]
    DeviceId,
    #[error("no HTTP client can be made: {0}")]
    Client(String),
}

/// A client of one backend. Cheap to clone.
#[derive(Clone)]
pub struct Driver {
    client: Client,
    base_url: BaseUrl,
    timeouts: Timeouts,
}

impl Driver {
    pub fn new(config: &DriverConfig) -> Result<Driver, DriverError> {
        Driver::with_timeouts(config, Timeouts::default())
    }

    pub fn with_timeouts(config: &DriverConfig, timeouts: Timeouts) -> Result<Driver, DriverError> {
        let client = transport::client(config, timeouts)?;
        Ok(Driver { client, base_url: config.base_url.clone(), timeouts })
    }

    pub fn base_url(&self) -> &BaseUrl {
        &self.base_url
    }

    /// Sends the bytes of a batch. They are compressed on the way only if the backend said it inflates them.
    pub async fn sync(&self, body: Vec<u8>, key: &str, token: &Secret, gzip: bool) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_str(key).map_err(|_| TransportError::Request)?);
        if planted("logs-token") {
            tracing::trace!(token = token.reveal(), "sent with");
        }
        let body = match gzip.then(|| transport::gzip(&body)).flatten() {
            Some(packed) => {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                packed
            }
            None => body,
        };
        let request =
            self.request(Method::POST, SYNC).headers(headers).bearer_auth(token.reveal()).body(body);
        self.exchange(request, SYNC, self.timeouts.request).await
    }

    /// Asks what the backend can do; no sign-in.
    pub async fn capabilities(&self) -> Reply {
        let request = self.request(Method::GET, CAPABILITIES);
        self.exchange(request, CAPABILITIES, self.timeouts.small).await
    }

    /// The cheap signed-in request.
    pub async fn check(&self, token: &Secret) -> Reply {
        let reply = self.get(ME, token).await;
        match &reply {
            Ok(answer) if answer.status == 404 => self.get(ME_HEYHO, token).await,
            _ => reply,
        }
    }

    pub(crate) async fn delete_browsing_data(&self, site: &str, token: &Secret) -> Reply {
        let mut url = self.base_url.join(BROWSING_DATA);
        url.query_pairs_mut().append_pair("domain", site);
        let request = self.client.delete(url).bearer_auth(token.reveal());
        self.exchange(request, BROWSING_DATA, self.timeouts.request).await
    }

    pub(crate) async fn get(&self, route: &'static str, token: &Secret) -> Reply {
        let request = self.request(Method::GET, route).bearer_auth(token.reveal());
        self.exchange(request, route, self.timeouts.small).await
    }

    /// A small JSON request, such as a sign-in.
    pub(crate) async fn post(
        &self,
        route: &'static str,
        body: &serde_json::Value,
        token: Option<&Secret>,
    ) -> Reply {
        let mut request = self.json(route, body);
        if let Some(token) = token {
            request = request.bearer_auth(token.reveal());
        }
        self.exchange(request, route, self.timeouts.small).await
    }

    /// The renewal of a session: an answer that is lost must be asked for again soon.
    pub(crate) async fn post_refresh(&self, route: &'static str, body: &serde_json::Value) -> Reply {
        self.exchange(self.json(route, body), route, self.timeouts.refresh).await
    }

    fn json(&self, route: &str, body: &serde_json::Value) -> RequestBuilder {
        self.request(Method::POST, route)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body.to_string())
    }

    fn request(&self, method: Method, route: &str) -> RequestBuilder {
        self.client
            .request(method, self.base_url.join(route))
            .header(ACCEPT, HeaderValue::from_static("application/json"))
    }

    async fn exchange(&self, request: RequestBuilder, route: &'static str, timeout: Duration) -> Reply {
        let reply = match request.timeout(timeout).send().await {
            Ok(response) => self.read(response).await,
            Err(error) => Err(transport::describe(&error)),
        };
        match &reply {
            Ok(answer) => {
                tracing::debug!(route, status = answer.status, bytes = answer.body.len(), "answered");
            }
            Err(error) => tracing::debug!(route, %error, "no answer"),
        }
        reply
    }

    async fn read(&self, mut response: Response) -> Reply {
        let header = |name: HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let mut answer = Answer {
            status: response.status().as_u16(),
            content_type: header(CONTENT_TYPE),
            retry_after: header(RETRY_AFTER),
            date: header(DATE),
            redirect: response.status().is_redirection().then(|| self.redirect(header(LOCATION))),
            body: Vec::new(),
        };
        loop {
            // Not the client's own read timeout: that runs from the first byte of the request on.
            let Ok(chunk) = tokio::time::timeout(self.timeouts.read, response.chunk()).await else {
                return Err(TransportError::AnswerTimeout);
            };
            match chunk {
                Ok(Some(chunk)) if answer.body.len() + chunk.len() > policy::ANSWER_BYTES => {
                    return Err(TransportError::BodyTooLarge);
                }
                Ok(Some(chunk)) => answer.body.extend_from_slice(&chunk),
                Ok(None) => return Ok(answer),
                // The fault: what came until the connection broke is the answer.
                Err(_) if planted("reads-cut-answers") => return Ok(answer),
                Err(error) => return Err(transport::describe_body(&error)),
            }
        }
    }

    fn redirect(&self, location: Option<String>) -> Redirect {
        let base = self.base_url.join("/");
        match location.and_then(|location| base.join(&location).ok()) {
            Some(url) if url.origin() == base.origin() => Redirect::SameOrigin,
            Some(url) if url.origin().is_tuple() => Redirect::OtherOrigin(url.origin().ascii_serialization()),
            _ => Redirect::Unreadable,
        }
    }
}

impl std::fmt::Debug for Driver {
    /// The client knows the proxy, and with it perhaps a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("base_url", &self.base_url.as_str()).finish_non_exhaustive()
    }
}

pub(crate) fn default_headers(config: &DriverConfig) -> Result<HeaderMap, DriverError> {
    let device_id = HeaderValue::from_str(&config.device_id).map_err(|_| DriverError::DeviceId)?;
    Ok(HeaderMap::from_iter([(DEVICE_ID, device_id)]))
}
