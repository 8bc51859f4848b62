//! TLS towards the storage, providers, the directory and webhooks: whose certificates are believed.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject};

/// Why a CA file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("the CA file is not a PEM file of certificates: {0}")]
    Pem(#[source] rustls_pki_types::pem::Error),
    #[error("the CA file holds a certificate that cannot be used: {0}")]
    Certificate(#[source] rustls::Error),
    #[error("the CA file cannot be used: no certificate is in it")]
    Empty,
    #[error("TLS cannot be set up: {0}")]
    Unusable(#[source] rustls::Error),
}

/// The given authorities and no others, or the system's.
pub fn client_config(ca_pem: Option<&[u8]>) -> Result<ClientConfig, TrustError> {
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
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
