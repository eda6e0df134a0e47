//! The HTTP client itself, and its errors in words a person can act on.

use crate::answer::{TlsProblem, TransportError};
use crate::driver::{DriverConfig, DriverError, ProxySetting, Timeouts, default_headers};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{Certificate, Client, Proxy, redirect};
use std::error::Error;
use std::io::Write;
use std::sync::Once;

/// A client for one configuration.
pub fn client(config: &DriverConfig, timeouts: Timeouts) -> Result<Client, DriverError> {
    install_provider();
    let certificates = certificates(config)?;
    let builder = || -> Result<reqwest::ClientBuilder, DriverError> {
        let builder = Client::builder()
            .user_agent(&config.user_agent)
            .default_headers(default_headers(config)?)
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(timeouts.connect);
        Ok(match &config.proxy {
            ProxySetting::Url(url) => builder.no_proxy().proxy(proxy(url).ok_or(DriverError::Proxy)?),
            ProxySetting::Off => builder.no_proxy(),
            ProxySetting::System if config.base_url.is_loopback() => builder.no_proxy(),
            ProxySetting::System => builder,
        })
    };
    match builder()?.tls_certs_merge(certificates.clone()).build() {
        Ok(client) => Ok(client),
        // A system without any certificate authorities: http to this machine still works, and https says that
        // the issuer is unknown, which is so.
        Err(error) => {
            tracing::warn!(error = %cause(&error), "the system's certificates cannot be used");
            let client = builder()?.tls_certs_only(certificates).build();
            client.map_err(|error| DriverError::Client(cause(&error)))
        }
    }
}

fn proxy(url: &str) -> Option<Proxy> {
    let url =
        url::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    Proxy::all(url).ok()
}

/// The cryptography of TLS is chosen once for the whole program.
fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that one is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn certificates(config: &DriverConfig) -> Result<Vec<Certificate>, DriverError> {
    let Some(path) = &config.ca_file else { return Ok(Vec::new()) };
    let pem =
        std::fs::read(path).map_err(|error| DriverError::CaFileUnreadable { path: path.clone(), error })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(DriverError::CaFileEmpty { path: path.clone() }),
    }
}

/// `None` where compressing fails: then the bytes go as they are.
pub fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// Why a request got no answer.
pub fn describe(error: &reqwest::Error) -> TransportError {
    if let Some(problem) = tls_problem(error) {
        return TransportError::Tls { problem };
    }
    if error.is_builder() {
        return TransportError::Request;
    }
    if error.is_dns() {
        return TransportError::Dns;
    }
    if error.is_timeout() {
        return if error.is_connect() {
            TransportError::ConnectTimeout
        } else {
            TransportError::AnswerTimeout
        };
    }
    if !error.is_connect() {
        return TransportError::ConnectionLost;
    }
    match io_error(error).map(|error| error.kind()) {
        Some(std::io::ErrorKind::ConnectionRefused) => TransportError::Refused,
        Some(std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof) => {
            TransportError::ConnectionLost
        }
        Some(_) => TransportError::Unreachable,
        None => TransportError::Proxy,
    }
}

/// Why an answer that had begun was not read to its end.
pub fn describe_body(error: &reqwest::Error) -> TransportError {
    if error.is_timeout() { TransportError::AnswerTimeout } else { TransportError::ConnectionLost }
}

/// The causes, outermost first. An `io::Error` shows the cause of what it wraps and not what it wraps, so it
/// is opened here.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |error| {
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => (*error).source(),
        }
    })
}

/// The innermost one: what the system said.
fn io_error(error: &reqwest::Error) -> Option<&std::io::Error> {
    chain(error).filter_map(|error| error.downcast_ref()).last()
}

fn tls_problem(error: &reqwest::Error) -> Option<TlsProblem> {
    chain(error).find_map(|error| error.downcast_ref::<rustls::Error>()).map(plain)
}

fn plain(error: &rustls::Error) -> TlsProblem {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => TlsProblem::Expired,
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => TlsProblem::NotYetValid,
            Bad::UnknownIssuer => TlsProblem::UnknownIssuer,
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => TlsProblem::WrongHost,
            Bad::Revoked => TlsProblem::Revoked,
            _ => TlsProblem::BadCertificate,
        },
        rustls::Error::InvalidMessage(_) => TlsProblem::NotTls,
        rustls::Error::PeerIncompatible(_) => TlsProblem::NoCommonVersion,
        rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion) => {
            TlsProblem::NoCommonVersion
        }
        _ => TlsProblem::Handshake,
    }
}

/// The innermost cause, without the address.
fn cause(error: &reqwest::Error) -> String {
    chain(error).last().map_or_else(|| "unknown".to_owned(), ToString::to_string)
}
