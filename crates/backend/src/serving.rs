//! The listener: connections with deadlines, TLS when there is a certificate, an end that finishes what is under way.

use crate::config::Tls;
use crate::limits::Limits;
use anyhow::Context as _;
use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<&Tls>,
    limits: &Limits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let listener = listener.into_std().context("the listener")?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let handle = Handle::new();
    let stopping = tokio::spawn({
        let (handle, deadline) = (handle.clone(), limits.stop_deadline);
        async move {
            stop.await;
            handle.graceful_shutdown(Some(deadline));
        }
    });
    let served = match tls {
        None => {
            let mut server = axum_server::from_tcp(listener)?.handle(handle);
            deadlines(server.http_builder(), limits);
            server.serve(service).await
        }
        Some(tls) => {
            let mut server = axum_server::from_tcp_rustls(listener, rustls_config(tls)?)?.handle(handle);
            deadlines(server.http_builder(), limits);
            server.serve(service).await
        }
    };
    stopping.abort();
    served.context("serving")
}

fn deadlines(builder: &mut Builder<TokioExecutor>, limits: &Limits) {
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_deadline);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.header_deadline)
        .keep_alive_timeout(limits.header_deadline)
        .max_concurrent_streams(100);
}

fn rustls_config(tls: &Tls) -> anyhow::Result<RustlsConfig> {
    let certificates = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("reading the certificate {}", tls.certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .with_context(|| format!("reading the private key {}", tls.key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .context("the certificate and its key")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(config)))
}
