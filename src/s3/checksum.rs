//! The checksums of S3: over a body, against a value given in a header or in a trailer.

use std::fmt;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crc_fast::{CrcAlgorithm, Digest as Crc};
use http::HeaderName;
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq;

/// A kind of checksum (S3 user guide, "Checking object integrity").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
    /// The `Content-MD5` header.
    Md5,
}

impl Algorithm {
    /// Those that have a header `x-amz-checksum-…`.
    pub const FLEXIBLE: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    pub fn header(self) -> HeaderName {
        match self {
            Self::Crc32 => HeaderName::from_static("x-amz-checksum-crc32"),
            Self::Crc32c => HeaderName::from_static("x-amz-checksum-crc32c"),
            Self::Crc64Nvme => HeaderName::from_static("x-amz-checksum-crc64nvme"),
            Self::Sha1 => HeaderName::from_static("x-amz-checksum-sha1"),
            Self::Sha256 => HeaderName::from_static("x-amz-checksum-sha256"),
            Self::Md5 => HeaderName::from_static("content-md5"),
        }
    }

    /// By the name of its header.
    pub fn of_header(name: &str) -> Option<Self> {
        Self::FLEXIBLE.into_iter().find(|algorithm| algorithm.header().as_str().eq_ignore_ascii_case(name))
    }

    fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The length of its base64 form.
    pub fn encoded_length(self) -> usize {
        self.length().div_ceil(3) * 4
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Md5 => "Content-MD5",
        })
    }
}

/// A value that is not the base64 of as many bytes as its algorithm gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value is not a {0} in base64")]
pub struct Malformed(pub Algorithm);

/// What a body's checksum must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    algorithm: Algorithm,
    value: Vec<u8>,
}

impl Expected {
    pub fn parse(algorithm: Algorithm, text: &str) -> Result<Self, Malformed> {
        let value = STANDARD.decode(text).map_err(|_| Malformed(algorithm))?;
        if value.len() == algorithm.length() {
            Ok(Self { algorithm, value })
        } else {
            Err(Malformed(algorithm))
        }
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether it is this SHA-256.
    pub fn is_sha256(&self, hash: &[u8; 32]) -> bool {
        self.algorithm == Algorithm::Sha256 && self.value == hash
    }

    /// Whether what was hashed is what was given.
    pub fn matches(&self, hasher: Hasher) -> bool {
        hasher.finish().ct_eq(&self.value).into()
    }
}

/// A checksum that grows with the body.
pub struct Hasher(State);

enum State {
    Crc(Box<Crc>, usize),
    Digest(digest::Context),
    Md5(Box<Md5>),
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Self {
        let crc = |kind| State::Crc(Box::new(Crc::new(kind)), algorithm.length());
        Self(match algorithm {
            Algorithm::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => crc(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            Algorithm::Sha1 => State::Digest(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            Algorithm::Sha256 => State::Digest(digest::Context::new(&digest::SHA256)),
            Algorithm::Md5 => State::Md5(Box::new(Md5::new())),
        })
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Crc(crc, _) => crc.update(bytes),
            State::Digest(context) => context.update(bytes),
            State::Md5(md5) => md5.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self.0 {
            State::Crc(crc, length) => {
                let whole = crc.finalize().to_be_bytes();
                whole.get(whole.len() - length..).unwrap_or_default().to_vec()
            }
            State::Digest(context) => context.finish().as_ref().to_vec(),
            State::Md5(md5) => md5.finalize().to_vec(),
        }
    }

    /// The header value that the bytes so far have.
    pub fn encode(self) -> String {
        STANDARD.encode(self.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: Algorithm, pieces: &[&[u8]]) -> String {
        let mut hasher = Hasher::new(algorithm);
        for piece in pieces {
            hasher.update(piece);
        }
        hasher.encode()
    }

    #[test]
    fn checksums_are_the_known_ones_in_base64() {
        // The check values of the CRC catalogue and of Python's hashlib, over "123456789".
        for (algorithm, value) in [
            (Algorithm::Crc32, "y/Q5Jg=="),
            (Algorithm::Crc32c, "4waSgw=="),
            (Algorithm::Crc64Nvme, "rosUhgp5mIg="),
            (Algorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
            (Algorithm::Sha256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
            (Algorithm::Md5, "JfnnlDI7RTiF9RgfG2JNCw=="),
        ] {
            assert_eq!(of(algorithm, &[b"1234", b"", b"56789"]), value, "{algorithm}");
            assert_eq!(algorithm.encoded_length(), value.len(), "{algorithm}");
        }
    }

    #[test]
    fn a_value_of_another_length_or_alphabet_is_malformed() {
        for text in ["", "AAAA", "y/Q5Jg", "y_Q5Jg==", "y/Q5Jg== ", "y/Q5JgAA"] {
            assert_eq!(Expected::parse(Algorithm::Crc32, text), Err(Malformed(Algorithm::Crc32)), "{text}");
        }
    }

    #[test]
    fn one_other_byte_does_not_match() {
        for algorithm in Algorithm::FLEXIBLE.into_iter().chain([Algorithm::Md5]) {
            let expected = Expected::parse(algorithm, &of(algorithm, &[b"body"])).unwrap();
            let hash = |bytes: &[u8]| {
                let mut hasher = Hasher::new(algorithm);
                hasher.update(bytes);
                hasher
            };
            assert!(expected.matches(hash(b"body")));
            assert!(!expected.matches(hash(b"bodz")));
        }
    }
}
