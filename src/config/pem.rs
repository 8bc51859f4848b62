//! Certificates and keys that the configuration names.

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use zeroize::Zeroizing;

use super::{
    Tls,
    reader::{Placed, Table},
};

/// The server's side of TLS.
pub(super) fn tls(table: &Table<'_>) -> Option<Tls> {
    let certificate = certificates(table, "certificate_file");
    let key = table.file("private_key_file", true);
    let client_ca = certificates(table, "client_ca_file");
    for name in ["certificate_file", "private_key_file"] {
        table.required(name);
    }
    let key = key?;
    if PrivateKeyDer::from_pem_slice(&key.value).is_err() {
        table.problem(key.line, "private_key_file", "is not a PEM file with a private key");
    }
    Some(Tls {
        certificate_pem: certificate?,
        private_key_pem: Zeroizing::new(key.value),
        client_ca_pem: client_ca,
    })
}

/// A PEM file of at least one certificate.
pub(super) fn certificates(table: &Table<'_>, name: &str) -> Option<Vec<u8>> {
    let Placed { value, line } = table.file(name, false)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&value).collect();
    match found {
        Ok(found) if !found.is_empty() => Some(value),
        _ => {
            table.problem(line, name, "is not a PEM file with a certificate");
            None
        }
    }
}

/// `ca_file`, and whether it is good or absent.
pub(super) fn authorities(table: &Table<'_>) -> (Option<Vec<u8>>, bool) {
    let wanted = table.string("ca_file").is_some();
    let pem = certificates(table, "ca_file");
    let is_good = !wanted || pem.is_some();
    (pem, is_good)
}
