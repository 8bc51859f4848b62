//! The sealing keys: the newest seals, all of them open.

use std::fmt;

use aws_lc_rs::{
    error::Unspecified,
    hkdf::{self, HKDF_SHA256, KeyType, Prk},
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Names a key within a token.
pub(super) type KeyId = [u8; 4];

/// One sealing key.
pub(super) struct SealingKey {
    pub(super) id: KeyId,
    secret: Zeroizing<[u8; 32]>,
    /// Made of it once, so that a token costs no more than an expansion.
    root: Prk,
}

impl SealingKey {
    fn new(id: KeyId, secret: Zeroizing<[u8; 32]>) -> Result<Self, Unspecified> {
        let extracted = hkdf::Salt::new(HKDF_SHA256, b"daypass sealing key").extract(secret.as_slice());
        let root = extracted.expand(&[b"root"], HKDF_SHA256)?.into();
        Ok(Self { id, secret, root })
    }

    /// A key of its own for each label and salt; no salt is longer than another.
    pub(super) fn derive<const N: usize>(
        &self,
        label: &[u8],
        salt: &[u8],
    ) -> Result<Zeroizing<[u8; N]>, Unspecified> {
        let mut bytes = Zeroizing::new([0; N]);
        self.root.expand(&[label, salt], Length(N))?.fill(bytes.as_mut_slice())?;
        Ok(bytes)
    }
}

/// How many bytes are derived.
#[derive(Debug, Clone, Copy)]
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// At least one sealing key, newest first.
pub struct Keyring {
    newest: SealingKey,
    older: Vec<SealingKey>,
}

/// Why a text is no keyring. It never repeats key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    #[error("there is no sealing key; make one with `daypass keygen`")]
    Empty,
    #[error(
        "line {line} is not `<8 hexadecimal digits>:<base64 of 32 bytes>`; make one with `daypass keygen`"
    )]
    Malformed { line: usize },
    #[error("line {line} repeats a key id or a key of a line before")]
    Repeated { line: usize },
    #[error("line {line} is a key of equal bytes, which is nobody's secret; make one with `daypass keygen`")]
    Weak { line: usize },
}

impl Keyring {
    /// Reads one key a line, newest first; empty lines and lines that begin with `#` are skipped.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let mut keys: Vec<SealingKey> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let content = line.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let line = index + 1;
            let key = parse_line(content).ok_or(KeyringError::Malformed { line })?;
            if key.secret.iter().all(|byte| *byte == key.secret[0]) {
                return Err(KeyringError::Weak { line });
            }
            if keys.iter().any(|other| {
                other.id == key.id || bool::from(other.secret.as_slice().ct_eq(key.secret.as_slice()))
            }) {
                return Err(KeyringError::Repeated { line });
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let newest = keys.next().ok_or(KeyringError::Empty)?;
        Ok(Self { newest, older: keys.collect() })
    }

    /// A new key as a line of a keyring.
    pub fn generate_line() -> Result<String, Unspecified> {
        let mut bytes = Zeroizing::new([0; 36]);
        SystemRandom::new().fill(bytes.as_mut_slice())?;
        let (id, secret) = bytes.split_at(4);
        Ok(format!("{}:{}", hex::encode(id), STANDARD.encode(secret)))
    }

    pub(super) fn newest(&self) -> &SealingKey {
        &self.newest
    }

    pub(super) fn find(&self, id: KeyId) -> Option<&SealingKey> {
        std::iter::once(&self.newest).chain(&self.older).find(|key| key.id == id)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys, [redacted])", self.older.len() + 1)
    }
}

fn parse_line(line: &str) -> Option<SealingKey> {
    let (id_text, secret_text) = line.split_once(':')?;
    let mut id = [0; 4];
    hex::decode_to_slice(id_text, &mut id).ok()?;
    let decoded = Zeroizing::new(STANDARD.decode(secret_text).ok()?);
    let secret = Zeroizing::new(<[u8; 32]>::try_from(decoded.as_slice()).ok()?);
    SealingKey::new(id, secret).ok()
}
