//! The chain of chunk signatures: each covers the one before, the first of them the request's own.

use subtle::ConstantTimeEq;

use super::super::{key::SigningKey, payload::parse_lower_hex};
use crate::digest::{EMPTY_HEX, lower_hex, sha256_hex};

/// Signs, or verifies, one chunk after the other.
#[derive(Debug, Clone)]
pub struct ChunkSigner {
    key: SigningKey,
    amz_date: String,
    scope: String,
    previous: String,
}

impl ChunkSigner {
    /// `seed`: the signature of the request's head.
    pub(in super::super) fn new(key: SigningKey, amz_date: String, scope: String, seed: String) -> Self {
        Self { key, amz_date, scope, previous: seed }
    }

    /// The signature of the next chunk, which has this hash.
    pub(super) fn sign_chunk(&mut self, chunk: &[u8; 32]) -> &str {
        let to_sign = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{}\n{}",
            self.amz_date,
            self.scope,
            self.previous,
            EMPTY_HEX,
            lower_hex(chunk)
        );
        self.previous = self.key.sign_hex(&to_sign);
        &self.previous
    }

    /// The signature of the trailer, given as `name:value\n` lines.
    pub(super) fn sign_trailer(&mut self, lines: &[u8]) -> &str {
        let to_sign = format!(
            "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{}\n{}",
            self.amz_date,
            self.scope,
            self.previous,
            sha256_hex(lines)
        );
        self.previous = self.key.sign_hex(&to_sign);
        &self.previous
    }

    /// Whether `provided` signs the next chunk. In constant time.
    pub(super) fn accepts_chunk(&mut self, chunk: &[u8; 32], provided: &[u8; 32]) -> bool {
        is_signature(self.sign_chunk(chunk), provided)
    }

    /// Whether `provided` signs the trailer. In constant time.
    pub(super) fn accepts_trailer(&mut self, lines: &[u8], provided: &[u8; 32]) -> bool {
        is_signature(self.sign_trailer(lines), provided)
    }
}

fn is_signature(computed: &str, provided: &[u8; 32]) -> bool {
    parse_lower_hex(computed).is_some_and(|computed| computed.ct_eq(provided).into())
}
