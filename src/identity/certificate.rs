//! Client certificates.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::Proof;
use crate::clock::Timestamp;

/// What certificates are checked by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Those who may sign them (`listen.tls.client_ca_file`).
    pub ca_pem: Vec<u8>,
    /// Lists of revoked ones, PEM.
    pub crl_pem: Option<Vec<u8>>,
    /// The common name names a policy, as MinIO has it.
    pub policy_from_cn: bool,
}

/// Why a certificate proves nobody.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection is not TLS, or a proxy ended it.
    #[error("the connection is not secured by TLS")]
    InsecureConnection,
    #[error("no client certificate was sent")]
    Missing,
    #[error("more than one client certificate that is not an authority's was sent")]
    SeveralLeaves,
    #[error("more than 10 certificates of authorities were sent")]
    TooManyIntermediates,
    /// The cause is for the log alone.
    #[error("{cause}")]
    Invalid { cause: String },
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub String);

/// Checks chains.
#[derive(Debug, Clone)]
pub struct Certificates {
    settings: Arc<Settings>,
}

impl Certificates {
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        Ok(Self { settings: Arc::new(settings) })
    }

    /// Proves the holder of a chain that the TLS handshake showed to hold the key.
    pub fn identify(&self, chain: &[CertificateDer<'static>], now: Timestamp) -> Result<Proof, Error> {
        let _ = (chain, now, &self.settings);
        Err(Error::Missing)
    }
}
