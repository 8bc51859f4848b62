//! Client certificates.
//!
//! The handshake proves that the client holds the key of the first certificate of its chain, and nothing about who signed it. So
//! that one, and no other, is the one that can prove somebody; the rest may only lead from it to an authority of
//! the configuration. The system's authorities have no say.
//!
//! Lists of revoked certificates are read strictly, as nginx and OpenSSL read them: once there are any, every certificate between
//! the client's own and the authority of the configuration must be covered by a list that its issuer signed and that has not run
//! out. A list for the wrong authority, or one that nobody renews, then lets nobody in instead of everybody.

mod names;

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime, pem::PemObject};
use x509_parser::{
    certificate::{Validity, X509Certificate},
    oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT,
    prelude::FromDer,
    revocation_list::CertificateRevocationList,
};

use self::names::Names;
use super::{Proof, Way};
use crate::clock::Timestamp;

/// How many certificates of authorities a client may send, as in MinIO.
const MAX_INTERMEDIATES: usize = 10;

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
    authorities: Arc<[Authority]>,
    revoked: Arc<[CertificateRevocationListDer<'static>]>,
    /// By all authorities.
    verifier: Arc<dyn ClientCertVerifier>,
    policy_from_cn: bool,
}

/// A certificate of the CA file. The library does not ask when it ends, so we do.
#[derive(Debug, Clone)]
struct Authority {
    certificate: CertificateDer<'static>,
    validity: Validity,
}

impl Certificates {
    /// Fails when there is no authority, when something in the files is not what it should be, and when a list of revoked
    /// certificates would hide another.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let Settings { ca_pem, crl_pem, policy_from_cn } = settings;
        let authorities: Arc<[Authority]> = authorities(&ca_pem).map_err(SettingsError)?.into();
        let revoked = crl_pem.as_deref().map(revocation_lists).transpose();
        let revoked: Arc<[_]> = revoked.map_err(SettingsError)?.unwrap_or_default().into();
        let verifier = verifier(authorities.iter(), &revoked).map_err(SettingsError)?;
        Ok(Self { authorities, revoked, verifier, policy_from_cn })
    }

    /// Proves the holder of a chain that the TLS handshake showed to hold the key.
    ///
    /// The subject is the first of these that the certificate has, with its kind before it: `uri:spiffe://example.org/app`,
    /// `cn:app`, `dns:app.example.org`, `email:app@example.org`. So a common name can never pass for a URI.
    pub fn identify(&self, chain: &[CertificateDer<'static>], now: Timestamp) -> Result<Proof, Error> {
        let [first, others @ ..] = chain else { return Err(Error::Missing) };
        let leaf = read(first).map_err(|cause| invalid(format!("the certificate {cause}")))?;
        let mut intermediates = 0;
        let mut more_leaves = false;
        for other in others {
            let other =
                read(other).map_err(|cause| invalid(format!("a certificate of the chain {cause}")))?;
            if is_authority(&other).map_err(invalid)? {
                intermediates += 1;
            } else {
                more_leaves = true;
            }
        }
        let led_by_authority = is_authority(&leaf).map_err(invalid)?;
        if intermediates + usize::from(led_by_authority) > MAX_INTERMEDIATES {
            return Err(Error::TooManyIntermediates);
        }
        if led_by_authority {
            // A leaf that stands behind it may be anybody's: the client showed the key of this one.
            return Err(invalid("the first certificate is an authority's".to_owned()));
        }
        if more_leaves {
            return Err(Error::SeveralLeaves);
        }
        self.verify(first, others, now).map_err(invalid)?;
        may_prove_clients(&leaf).map_err(invalid)?;
        self.proof(&leaf).map_err(invalid)
    }

    /// The chain leads to an authority, within the dates of all of them, and nothing in it is revoked.
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), String> {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(now.unix().unsigned_abs()));
        let holds_now = |authority: &&Authority| authority.holds_at(now);
        let verified = if self.authorities.iter().all(|authority| authority.holds_at(now)) {
            self.verifier.verify_client_cert(leaf, intermediates, at)
        } else if self.authorities.iter().any(|authority| authority.holds_at(now)) {
            let current = verifier(self.authorities.iter().filter(holds_now), &self.revoked)?;
            current.verify_client_cert(leaf, intermediates, at)
        } else {
            return Err("no certificate of the CA file is valid now".to_owned());
        };
        verified.map(|_| ()).map_err(|cause| cause.to_string())
    }

    fn proof(&self, leaf: &X509Certificate<'_>) -> Result<Proof, String> {
        let names = Names::read(leaf)?;
        let policies = if self.policy_from_cn { vec![names.policy()?] } else { Vec::new() };
        Ok(Proof {
            way: Way::Certificate,
            subject: names.subject()?,
            said: names.said(),
            groups: Vec::new(),
            policies,
            valid_until: Some(Timestamp::from_unix(leaf.validity().not_after.timestamp())),
        })
    }
}

impl Authority {
    fn holds_at(&self, now: Timestamp) -> bool {
        (self.validity.not_before.timestamp()..=self.validity.not_after.timestamp()).contains(&now.unix())
    }
}

fn invalid(cause: String) -> Error {
    Error::Invalid { cause }
}

fn read<'c>(certificate: &'c CertificateDer<'_>) -> Result<X509Certificate<'c>, &'static str> {
    match X509Certificate::from_der(certificate) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err("cannot be read"),
    }
}

/// What RFC 5280, 4.2.1.9 calls a CA: the basic constraints say so.
fn is_authority(certificate: &X509Certificate<'_>) -> Result<bool, String> {
    let constraints = certificate.basic_constraints();
    let constraints = constraints.map_err(|_| "a certificate has basic constraints twice".to_owned())?;
    Ok(constraints.is_some_and(|constraints| constraints.value.ca))
}

/// The library takes a certificate without extended key usage for one of every use; we want the use named.
fn may_prove_clients(leaf: &X509Certificate<'_>) -> Result<(), String> {
    match leaf.extended_key_usage() {
        Ok(Some(usage)) if usage.value.client_auth => Ok(()),
        _ => {
            Err("the certificate is not for client authentication (extended key usage clientAuth)".to_owned())
        }
    }
}

fn authorities(pem: &[u8]) -> Result<Vec<Authority>, String> {
    let mut found = Vec::new();
    for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
        let wrong = |what: &dyn fmt::Display| format!("certificate {number} of the client CA file {what}");
        let certificate = certificate.map_err(|cause| wrong(&format_args!("is not PEM: {cause}")))?;
        let parsed = read(&certificate).map_err(|cause| wrong(&cause))?;
        // Whoever holds the key of a plain certificate could sign others with it.
        if !is_authority(&parsed)? {
            return Err(wrong(&"is not an authority's (basic constraints without CA:TRUE)"));
        }
        let validity = parsed.validity().clone();
        found.push(Authority { certificate, validity });
    }
    if found.is_empty() {
        return Err("the client CA file holds no certificate".to_owned());
    }
    Ok(found)
}

fn revocation_lists(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let mut lists = Vec::new();
    let mut covered = HashSet::new();
    for (number, list) in (1..).zip(CertificateRevocationListDer::pem_slice_iter(pem)) {
        let wrong = |what: &dyn fmt::Display| format!("list {number} of the CRL file {what}");
        let list = list.map_err(|cause| wrong(&format_args!("is not PEM: {cause}")))?;
        let (rest, parsed) =
            CertificateRevocationList::from_der(&list).map_err(|_| wrong(&"cannot be read"))?;
        if !rest.is_empty() {
            return Err(wrong(&"cannot be read"));
        }
        let part = parsed
            .extensions()
            .iter()
            .find(|extension| extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT);
        // The library asks the first that fits: a second would never be read.
        if !covered.insert((parsed.issuer().as_raw().to_vec(), part.map(|part| part.value.to_vec()))) {
            return Err(wrong(&format_args!("is the second one of {}", parsed.issuer())));
        }
        lists.push(list);
    }
    if lists.is_empty() {
        return Err("the CRL file holds no list of revoked certificates".to_owned());
    }
    Ok(lists)
}

fn verifier<'a>(
    authorities: impl Iterator<Item = &'a Authority>,
    revoked: &[CertificateRevocationListDer<'static>],
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        let added = roots.add(authority.certificate.clone());
        added.map_err(|cause| format!("the client CA file cannot be used: {cause}"))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls(revoked.iter().cloned())
        .enforce_revocation_expiration()
        .build()
        .map_err(|cause| format!("the client CA file or the CRL file cannot be used: {cause}"))
}

#[cfg(test)]
mod tests;
