//! TLS of the listener: 1.2 and 1.3, by rustls with aws-lc-rs.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::aws_lc_rs,
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};

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

/// A configuration for the listener. With `client_ca_pem` certificates of clients are asked for, never required, and the
/// authorities in it are named to clients that have several. Who signed one is asked by those who are shown it
/// ([`super::Peer::certificates`]).
pub fn tls_config(
    certificate_pem: &[u8],
    private_key_pem: &[u8],
    client_ca_pem: Option<&[u8]>,
) -> Result<ServerConfig, TlsError> {
    config(certificate_pem, private_key_pem, client_ca_pem, |verifier| Arc::new(HolderOfKey(verifier)))
}

/// The same, but a certificate that the authorities did not sign, or that is over, ends the handshake: who is shown one may
/// believe it. Nothing is resumed, so each connection is looked at anew.
pub fn trusting_tls_config(
    certificate_pem: &[u8],
    private_key_pem: &[u8],
    client_ca_pem: Option<&[u8]>,
) -> Result<ServerConfig, TlsError> {
    let mut config = config(certificate_pem, private_key_pem, client_ca_pem, |verifier| verifier)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn config(
    certificate_pem: &[u8],
    private_key_pem: &[u8],
    client_ca_pem: Option<&[u8]>,
    judge: impl FnOnce(Arc<dyn ClientCertVerifier>) -> Arc<dyn ClientCertVerifier>,
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
            builder.with_client_cert_verifier(judge(verifier))
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes any certificate whose key the client shows to hold. A wrong one must not break the handshake: most requests ask for
/// none, and the one that does answers with words instead of an alert.
#[derive(Debug)]
struct HolderOfKey(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for HolderOfKey {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn certificates(file: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|cause| TlsError::Pem { file, cause })
}
