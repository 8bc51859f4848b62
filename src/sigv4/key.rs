//! Credential scopes and the keys derived for them.

use std::fmt;

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use zeroize::Zeroizing;

use super::payload::parse_lower_hex;
use crate::{clock::Timestamp, secret::SecretAccessKey};

/// `20130524/us-east-1/s3/aws4_request`, borrowed from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CredentialScope<'r> {
    /// `YYYYMMDD`
    pub date: &'r str,
    pub region: &'r str,
    pub service: &'r str,
}

impl fmt::Display for CredentialScope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

/// The key for one date, region and service; whoever has it signs for that day.
#[derive(Clone)]
pub struct SigningKey(Zeroizing<[u8; 32]>);

impl SigningKey {
    /// `HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service), "aws4_request")`.
    pub fn derive(secret: &SecretAccessKey, on: Timestamp, region: &str, service: &str) -> Self {
        let derived = generate_signing_key(secret.expose(), on.system_time(), region, service);
        let mut key = Zeroizing::new([0; 32]);
        // HMAC-SHA256 gives 32 bytes; a shorter slice would leave zeros and match nothing.
        for (to, from) in key.iter_mut().zip(derived.as_ref()) {
            *to = *from;
        }
        Self(key)
    }

    /// A key that belongs to nobody, to spend on unknown access keys the time that known ones take.
    pub fn of_nobody() -> Self {
        Self(Zeroizing::new([0x5a; 32]))
    }

    /// The signature of a string to sign, as lower-case hexadecimal digits.
    pub(super) fn sign_hex(&self, string_to_sign: &str) -> String {
        calculate_signature(self.0.as_slice(), string_to_sign.as_bytes())
    }

    pub(super) fn sign(&self, string_to_sign: &str) -> [u8; 32] {
        // Sixty-four hexadecimal digits by construction.
        parse_lower_hex(&self.sign_hex(string_to_sign)).unwrap_or([0; 32])
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}
