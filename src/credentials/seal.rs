//! The session token: the session itself, sealed with AES-256-GCM, opaque to whoever holds it.
//!
//! `base64url( version | key id | salt | ciphertext and tag )`. Every token has a key of its own, derived by HKDF-SHA256
//! from the sealing key and a random salt, so that no nonce is ever used twice; version and key id are authenticated.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{
    keyring::{KeyId, Keyring},
    session::Session,
};
use crate::secret::SessionToken;

const VERSION: u8 = 1;
const KEY_ID: usize = 4;
const SALT: usize = 16;
const HEADER: usize = 1 + KEY_ID + SALT;
const TAG: usize = 16;
/// A token is well under 1 KiB; one with a session policy of 2,048 characters under 4 KiB. Tags, claims and groups may be more than
/// fits, and are refused when the token is made.
pub(super) const MAX_TOKEN: usize = 12 * 1024;
/// What a derived key is for: nothing else opens with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose(&'static [u8]);

const SESSION_TOKEN: Purpose = Purpose(b"daypass session token v1");
pub(super) const AUTHORIZATION_MESSAGE: Purpose = Purpose(b"daypass authorization message v1");

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

/// Seals a session under the newest key.
pub(super) fn seal(
    session: &Session,
    keyring: &Keyring,
    random: &SystemRandom,
) -> Result<SessionToken, aws_lc_rs::error::Unspecified> {
    let plain =
        Zeroizing::new(serde_json::to_vec(&session.to_sealed()).map_err(|_| aws_lc_rs::error::Unspecified)?);
    Ok(SessionToken::new(seal_bytes(plain, SESSION_TOKEN, keyring, random)?))
}

/// Opens a token that some replica sealed.
pub(super) fn open(token: &str, keyring: &Keyring) -> Result<Session, OpenError> {
    let plain = open_bytes(token, SESSION_TOKEN, keyring)?;
    let sealed = serde_json::from_slice(&plain).map_err(|_| OpenError::UnknownVersion)?;
    Session::from_sealed(sealed, SessionToken::new(token)).ok_or(OpenError::UnknownVersion)
}

/// Seals bytes for one purpose; what is sealed for another does not open.
pub(super) fn seal_bytes(
    mut plain: Zeroizing<Vec<u8>>,
    purpose: Purpose,
    keyring: &Keyring,
    random: &SystemRandom,
) -> Result<String, aws_lc_rs::error::Unspecified> {
    let key = keyring.newest();
    let mut token = Vec::with_capacity(HEADER + plain.len() + TAG);
    token.push(VERSION);
    token.extend_from_slice(&key.id);
    let mut salt = [0; SALT];
    random.fill(&mut salt)?;
    let (cipher, nonce) = token_key(&key.secret, &salt, purpose)?;
    let tag = cipher.seal_in_place_separate_tag(nonce, Aad::from(&token), &mut plain)?;
    token.extend_from_slice(&salt);
    token.extend_from_slice(&plain);
    token.extend_from_slice(tag.as_ref());
    Ok(URL_SAFE_NO_PAD.encode(token))
}

pub(super) fn open_bytes(
    token: &str,
    purpose: Purpose,
    keyring: &Keyring,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    if token.len() > MAX_TOKEN {
        return Err(OpenError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| OpenError::Malformed)?;
    let (header, sealed) = bytes.split_at_checked(HEADER).ok_or(OpenError::Malformed)?;
    let (head, salt) = header.split_at_checked(1 + KEY_ID).ok_or(OpenError::Malformed)?;
    if sealed.len() < TAG {
        return Err(OpenError::Malformed);
    }
    let (version, id) = head.split_first().ok_or(OpenError::Malformed)?;
    if *version != VERSION {
        return Err(OpenError::UnknownVersion);
    }
    let id = KeyId::try_from(id).map_err(|_| OpenError::Malformed)?;
    let key = keyring.find(id).ok_or(OpenError::UnknownKey)?;
    let (key, nonce) = token_key(&key.secret, salt, purpose).map_err(|_| OpenError::NotAuthentic)?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let length =
        key.open_in_place(nonce, Aad::from(head), &mut plain).map_err(|_| OpenError::NotAuthentic)?.len();
    plain.truncate(length);
    Ok(plain)
}

fn token_key(
    secret: &[u8; 32],
    salt: &[u8],
    Purpose(purpose): Purpose,
) -> Result<(LessSafeKey, Nonce), aws_lc_rs::error::Unspecified> {
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let mut bytes = Zeroizing::new([0; 44]);
    derived.expand(&[purpose], Length44)?.fill(bytes.as_mut_slice())?;
    let (key, nonce) = bytes.split_at(32);
    Ok((LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key)?), Nonce::try_assume_unique_for_key(nonce)?))
}

/// A key of 32 bytes and a nonce of 12.
#[derive(Debug, Clone, Copy)]
struct Length44;

impl hkdf::KeyType for Length44 {
    fn len(&self) -> usize {
        44
    }
}
