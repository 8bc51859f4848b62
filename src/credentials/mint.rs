//! New key pairs.

use aws_lc_rs::{
    error::Unspecified,
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use zeroize::Zeroizing;

use crate::{
    clock::Timestamp,
    secret::{AccessKeyId, SecretAccessKey, SessionToken},
};

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error("the session token could not be made")]
    Unspecified(#[from] Unspecified),
    /// A token that no replica would open, or that fits into no request.
    #[error("what the session says does not fit into its token")]
    TooLarge,
}

/// What STS gives out.
#[derive(Debug)]
pub struct TemporaryCredentials {
    pub access_key_id: AccessKeyId,
    pub secret_access_key: SecretAccessKey,
    pub session_token: SessionToken,
    pub expiration: Timestamp,
}

/// The characters of AWS's access key ids after their prefix.
pub(super) const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// An access key id of `prefix` and 16 characters, and a secret of 40: 80 and 240 random bits. The secret has no character
/// that a shell, a URL or `MC_HOST_x` would take for its own.
pub(super) fn key_pair(
    prefix: &str,
    random: &SystemRandom,
) -> Result<(AccessKeyId, SecretAccessKey), Unspecified> {
    let mut bytes = Zeroizing::new([0_u8; 16 + 30]);
    random.fill(bytes.as_mut_slice())?;
    let (id, secret) = bytes.split_at(16);
    // 256 is a multiple of 32, so every character is as likely as any other.
    let id: String = id.iter().map(|byte| char::from(BASE32[usize::from(byte % 32)])).collect();
    Ok((AccessKeyId::new(format!("{prefix}{id}")), SecretAccessKey::new(URL_SAFE.encode(secret))))
}

/// A long-term key pair for a `[[user]]`.
pub fn generate_user_keys() -> Result<(AccessKeyId, SecretAccessKey), Unspecified> {
    key_pair("AKIA", &SystemRandom::new())
}
