//! The certificate and its key. A [`Tls`] that exists can be served: what cannot be used is found before listening.

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads both, in PEM.
    pub fn read(certificate: &Path, key: &Path) -> anyhow::Result<Tls> {
        let certificates = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| {
                format!("tls.certificate: a file in PEM is needed at {}", certificate.display())
            })?;
        let key = PrivateKeyDer::from_pem_file(key)
            .with_context(|| format!("tls.key: a private key in PEM is needed at {}", key.display()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .with_context(|| {
                format!("tls: the key does not go with the certificate {}", certificate.display())
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(Arc::new(config)))
    }

    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.clone()
    }
}
