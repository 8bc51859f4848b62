//! SHA-256, and how its digests are written.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// The digest of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// The digest of what a context of SHA-256 was given.
pub(crate) fn finish(sha256: Context) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(sha256.finish().as_ref());
    hash
}

/// The digest as 64 lower-case hexadecimal digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    lower_hex(&sha256(bytes))
}

/// Lower-case hexadecimal digits. `hex::encode` goes character by character, which shows in a profile.
pub(crate) fn lower_hex(bytes: &[u8; 32]) -> String {
    let mut digits = [0; 64];
    // Twice 32 is 64.
    let _ = hex::encode_to_slice(bytes, &mut digits);
    std::str::from_utf8(&digits).unwrap_or_default().to_owned()
}

/// The digest of no bytes.
pub(crate) const EMPTY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The same in digits.
pub(crate) const EMPTY_HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_no_bytes_is_right() {
        assert_eq!(sha256(&[]), EMPTY);
        assert_eq!(sha256_hex(&[]), EMPTY_HEX);
        assert_eq!(EMPTY_HEX, hex::encode(EMPTY));
    }
}
