//! TLS towards the storage, providers, the directory and webhooks: whose certificates are believed, and which one is shown.

use std::{fmt, sync::Arc};

use rustls::{ClientConfig, ConfigBuilder, RootCertStore, client::WantsClientCert, crypto::aws_lc_rs};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

/// Why a CA file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("the CA file is not a PEM file of certificates: {0}")]
    Pem(#[source] pem::Error),
    #[error("the CA file holds a certificate that cannot be used: {0}")]
    Certificate(#[source] rustls::Error),
    #[error("the CA file cannot be used: no certificate is in it")]
    Empty,
    #[error("TLS cannot be set up: {0}")]
    Unusable(#[source] rustls::Error),
}

/// A certificate of ours, and the key to it.
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate([redacted])")
    }
}

impl Clone for ClientCertificate {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl ClientCertificate {
    /// Of PEM texts; `chain`: ours first.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, pem::Error> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>()?;
        if chain.is_empty() {
            return Err(pem::Error::NoItemsFound);
        }
        Ok(Self { chain, key: PrivateKeyDer::from_pem_slice(key)? })
    }
}

/// The given authorities and no others, or the system's.
pub fn client_config(ca_pem: Option<&[u8]>) -> Result<ClientConfig, TrustError> {
    Ok(believing(ca_pem)?.with_no_client_auth())
}

/// The same for somebody who shows a certificate.
pub fn client_config_showing(
    ca_pem: Option<&[u8]>,
    shown: ClientCertificate,
) -> Result<ClientConfig, TrustError> {
    believing(ca_pem)?.with_client_auth_cert(shown.chain, shown.key).map_err(TrustError::Unusable)
}

fn believing(ca_pem: Option<&[u8]>) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TrustError> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = ca_pem {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(TrustError::Pem)?).map_err(TrustError::Certificate)?;
        }
        if roots.is_empty() {
            return Err(TrustError::Empty);
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TrustError::Unusable)?;
    Ok(builder.with_root_certificates(roots))
}
