//! The session token: the session itself, sealed with AES-256-GCM, opaque to whoever holds it.
//!
//! `base64url( version | key id | salt | ciphertext and tag )`. Every token has a key of its own, derived by HKDF-SHA256
//! from the sealing key and a random salt of 128 bits, and seals one text with it, so that the nonce is always the same; version
//! and key id are authenticated, and the salt is by the key that follows from it.
//!
//! The secret access key is derived from the same salt under a label of its own and is in no token: whoever has a token learns
//! nothing of its secret, whoever has both learns nothing of the sealing key, and a replica knows the secret of every token that
//! opens.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    constant_time::verify_slices_are_equal,
    error::Unspecified,
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    contents::Contents,
    keyring::{KeyId, Keyring, SealingKey},
    session::{Key, Session},
};
use crate::{
    digest::sha256,
    secret::{SessionSecret, SessionToken},
};

const VERSION: u8 = 2;
const KEY_ID: usize = 4;
const SALT: usize = 16;
const HEAD: usize = 1 + KEY_ID;
const TAG: usize = 16;
/// A token is well under 1 KiB; one with a session policy of 2,048 characters under 4 KiB. Tags, claims and groups may be more than
/// fits, and are refused when the token is made.
pub(super) const MAX_TOKEN: usize = 12 * 1024;
/// What a derived key is for: nothing else opens with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose(pub(super) &'static [u8]);

pub(super) const SESSION_TOKEN: Purpose = Purpose(b"daypass session token v2");
pub(super) const SECRET_ACCESS_KEY: Purpose = Purpose(b"daypass secret access key v2");
pub(super) const AUTHORIZATION_MESSAGE: Purpose = Purpose(b"daypass authorization message v2");

/// Why a token does not open. The client learns no more than that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("it is not of the form of a token")]
    Malformed,
    #[error("it was sealed under a key that is not in the keyring")]
    UnknownKey,
    #[error("it was changed, or made by somebody else")]
    NotAuthentic,
    #[error("it is of a version that this one does not know")]
    UnknownVersion,
}

/// Seals a session under the newest key, and says what its secret is.
pub(super) fn seal(
    contents: &Contents<'_>,
    keyring: &Keyring,
    random: &SystemRandom,
) -> Result<(SessionToken, SessionSecret), Unspecified> {
    let plain = serde_json::to_vec(contents).map_err(|_| Unspecified)?;
    let (key, salt) = (keyring.newest(), salt(random)?);
    let token = seal_with(key, &salt, plain, SESSION_TOKEN)?;
    Ok((SessionToken::new(token), secret_of(key, &salt)?))
}

/// Opens a token that some replica sealed.
pub(super) fn open(token: &str, keyring: &Keyring) -> Result<Session, OpenError> {
    let mut bytes = decode(token)?;
    let (key, salt, plain) = open_in_place(&mut bytes, SESSION_TOKEN, keyring)?;
    let contents: Contents<'_> = serde_json::from_slice(plain).map_err(|_| OpenError::UnknownVersion)?;
    let (access_key_id, grant, issued_at) = contents.into_grant().ok_or(OpenError::UnknownVersion)?;
    let secret = secret_of(key, salt).map_err(|_| OpenError::NotAuthentic)?;
    let key = Key::Temporary { secret, token: TokenHash::of(token) };
    Ok(Session::new(access_key_id, key, grant, issued_at))
}

/// Seals bytes for one purpose; what is sealed for another does not open.
pub(super) fn seal_bytes(
    plain: Vec<u8>,
    purpose: Purpose,
    keyring: &Keyring,
    random: &SystemRandom,
) -> Result<String, Unspecified> {
    seal_with(keyring.newest(), &salt(random)?, plain, purpose)
}

pub(super) fn open_bytes(token: &str, purpose: Purpose, keyring: &Keyring) -> Result<Vec<u8>, OpenError> {
    let mut bytes = decode(token)?;
    open_in_place(&mut bytes, purpose, keyring).map(|(_, _, plain)| plain.to_vec())
}

fn seal_with(
    key: &SealingKey,
    salt: &[u8; SALT],
    mut plain: Vec<u8>,
    purpose: Purpose,
) -> Result<String, Unspecified> {
    let mut token = Vec::with_capacity(HEAD + SALT + plain.len() + TAG);
    token.push(VERSION);
    token.extend_from_slice(&key.id);
    let tag =
        cipher(key, salt, purpose)?.seal_in_place_separate_tag(nonce(), Aad::from(&token), &mut plain)?;
    token.extend_from_slice(salt);
    token.extend_from_slice(&plain);
    token.extend_from_slice(tag.as_ref());
    Ok(URL_SAFE_NO_PAD.encode(token))
}

fn decode(token: &str) -> Result<Vec<u8>, OpenError> {
    if token.len() > MAX_TOKEN {
        return Err(OpenError::Malformed);
    }
    URL_SAFE_NO_PAD.decode(token).map_err(|_| OpenError::Malformed)
}

/// The key that it was sealed under, its salt and what was sealed.
fn open_in_place<'t, 'k>(
    token: &'t mut [u8],
    purpose: Purpose,
    keyring: &'k Keyring,
) -> Result<(&'k SealingKey, &'t [u8], &'t [u8]), OpenError> {
    let (head, rest) = token.split_at_mut_checked(HEAD).ok_or(OpenError::Malformed)?;
    let (salt, sealed) = rest.split_at_mut_checked(SALT).ok_or(OpenError::Malformed)?;
    if sealed.len() < TAG {
        return Err(OpenError::Malformed);
    }
    let (version, id) = head.split_first().ok_or(OpenError::Malformed)?;
    if *version != VERSION {
        return Err(OpenError::UnknownVersion);
    }
    let id = KeyId::try_from(id).map_err(|_| OpenError::Malformed)?;
    let key = keyring.find(id).ok_or(OpenError::UnknownKey)?;
    let cipher = cipher(key, salt, purpose).map_err(|_| OpenError::NotAuthentic)?;
    let plain =
        cipher.open_in_place(nonce(), Aad::from(head), sealed).map_err(|_| OpenError::NotAuthentic)?;
    Ok((key, salt, plain))
}

/// What a token is known by again: 32 bytes in place of hundreds. Nothing can be opened or asked with it.
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        Self(sha256(token.as_bytes()))
    }

    /// Whether `presented` is that token, in time that does not depend on where they differ.
    pub(super) fn is_of(&self, presented: &str) -> bool {
        verify_slices_are_equal(&self.0, &sha256(presented.as_bytes())).is_ok()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash([redacted])")
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken([redacted])")
    }
}

fn salt(random: &SystemRandom) -> Result<[u8; SALT], Unspecified> {
    let mut salt = [0; SALT];
    random.fill(&mut salt)?;
    Ok(salt)
}

fn secret_of(key: &SealingKey, salt: &[u8]) -> Result<SessionSecret, Unspecified> {
    key.derive(SECRET_ACCESS_KEY.0, salt).map(SessionSecret::new)
}

fn cipher(key: &SealingKey, salt: &[u8], Purpose(purpose): Purpose) -> Result<LessSafeKey, Unspecified> {
    let key = key.derive::<32>(purpose, salt)?;
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice())?))
}

/// Of the one text that a key seals.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}
