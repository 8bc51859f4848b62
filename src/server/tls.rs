//! TLS of the listener: 1.2 and 1.3, by rustls with aws-lc-rs.

use std::sync::Arc;

use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// Why the certificate files make no TLS listener.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{file} is not a PEM file of what it should hold: {cause}")]
    Pem {
        file: &'static str,
        #[source]
        cause: rustls_pki_types::pem::Error,
    },
    #[error("the certificate file holds no certificate")]
    NoCertificate,
    #[error("the certificate and the private key cannot be used together: {0}")]
    Unusable(#[source] rustls::Error),
    #[error("the client CA file cannot be used: {0}")]
    ClientCa(#[source] rustls::server::VerifierBuilderError),
}

/// A configuration for the listener. With `client_ca_pem` certificates of clients are asked for, never required; one
/// that is sent must come from there.
pub fn tls_config(
    certificate_pem: &[u8],
    private_key_pem: &[u8],
    client_ca_pem: Option<&[u8]>,
) -> Result<ServerConfig, TlsError> {
    let chain = certificates("the certificate file", certificate_pem)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(private_key_pem)
        .map_err(|cause| TlsError::Pem { file: "the private key file", cause })?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Unusable)?;
    let builder = match client_ca_pem {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("the client CA file", pem)? {
                roots.add(certificate).map_err(TlsError::Unusable)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(TlsError::ClientCa)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(file: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|cause| TlsError::Pem { file, cause })
}
