//! New key pairs.

use aws_lc_rs::{
    error::Unspecified,
    rand::{SecureRandom, SystemRandom},
};
use smol_str::SmolStr;
use zeroize::Zeroizing;

use crate::{
    clock::Timestamp,
    secret::{AccessKeyId, SecretAccessKey, SessionSecret, SessionToken},
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

/// Four characters that say what kind it is, and 16 of 80 random bits.
pub(super) fn access_key_id(prefix: &str, random: &SystemRandom) -> Result<AccessKeyId, Unspecified> {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes)?;
    // 256 is a multiple of 32, so every character is as likely as any other.
    let random = bytes.iter().map(|byte| char::from(BASE32[usize::from(byte % 32)]));
    Ok(AccessKeyId::new(prefix.chars().chain(random).collect::<SmolStr>()))
}

/// A long-term key pair for a `[[user]]`; the secret is of the form of temporary ones, 240 random bits.
pub fn generate_user_keys() -> Result<(AccessKeyId, SecretAccessKey), Unspecified> {
    let random = SystemRandom::new();
    let mut bytes = Zeroizing::new([0; SessionSecret::LENGTH]);
    random.fill(bytes.as_mut_slice())?;
    Ok((access_key_id("AKIA", &random)?, SessionSecret::new(bytes).text()))
}
