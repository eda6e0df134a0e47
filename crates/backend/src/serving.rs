//! The listener: connections with deadlines, TLS when there is a certificate, an end that finishes what is under way.
//!
//! HTTP/1.1 only: one request at a time on a connection gives each its deadlines (head, body, answer). Over HTTP/2 a
//! client could hold a hundred answers back with flow control that no deadline sees; a proxy in front may speak it.

use crate::config::Config;
use crate::connections::Connections;
use crate::limits::HEAD_BYTES;
use crate::pace::Pace;
use anyhow::Context as _;
use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use std::net::SocketAddr;
use tokio::net::TcpListener;

pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &Config,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let limits = &config.limits;
    let listener = listener.into_std().context("the listener")?;
    platform::prepare(&listener);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let handle = Handle::new();
    let stopping = tokio::spawn({
        let (handle, deadline) = (handle.clone(), limits.stop_deadline);
        async move {
            stop.await;
            handle.graceful_shutdown(Some(deadline));
        }
    });
    let mut server = axum_server::from_tcp(listener)?.handle(handle);
    let mut http = server.http_builder().http1();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_deadline).max_buf_size(HEAD_BYTES);
    // `http1_only` comes last, a new acceptor undoes it; a server that finds the version out by itself waits for the
    // first bytes without end
    let connections = Connections::new(limits, config.client_ip_header.is_some());
    let pace = Pace::new(limits.answer_deadline, connections);
    let served = match &config.tls {
        None => server.acceptor(pace).http1_only().serve(service).await,
        Some(tls) => {
            let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(tls.config())).acceptor(pace);
            server.acceptor(acceptor).http1_only().serve(service).await
        }
    };
    stopping.abort();
    served.context("serving")
}

#[cfg(unix)]
mod platform {
    use crate::limits::{BACKLOG, SEND_BUFFER};
    use rustix::net::listen;
    use rustix::net::sockopt::set_socket_send_buffer_size;
    use rustix::process::{Resource, getrlimit, setrlimit};

    /// As many open files as this process may have, a longer queue, bounded buffers for answers; without them it serves
    /// too.
    pub fn prepare(listener: &std::net::TcpListener) {
        let mut files = getrlimit(Resource::Nofile);
        files.current = files.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, files) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
        if let Err(error) = listen(listener, BACKLOG) {
            tracing::warn!(%error, "the queue of connections stays as it is");
        }
        // connections inherit it
        if let Err(error) = set_socket_send_buffer_size(listener, SEND_BUFFER) {
            tracing::warn!(%error, "the buffers of connections stay as they are");
        }
    }
}

#[cfg(not(unix))]
mod platform {
    pub fn prepare(_listener: &std::net::TcpListener) {}
}
