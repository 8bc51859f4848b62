//! Values that must not be printed, and the names that may.

use std::{borrow::Borrow, fmt};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use secrecy::{ExposeSecret, SecretString};
use smol_str::SmolStr;
use zeroize::Zeroizing;

/// An access key id: public, printed in logs and answers, the name of a key pair. Ids of the length of AWS's lie where they are
/// used, for there may be a million.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AccessKeyId(SmolStr);

impl AccessKeyId {
    pub fn new(id: impl Into<SmolStr>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for AccessKeyId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// In time that does not depend on where they differ, and by words: `subtle` goes byte by byte, which shows in a profile of tokens.
fn same(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// The secret half of a key pair. No `Display`; `Debug` is redacted; wiped on drop; compared in constant time.
#[derive(Clone)]
pub struct SecretAccessKey(SecretString);

impl SecretAccessKey {
    pub fn new(secret: impl Into<String>) -> Self {
        Self(SecretString::from(secret.into()))
    }

    /// The one way to the text, loud on purpose: for key derivation, sealing, and the STS answer.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for SecretAccessKey {
    fn eq(&self, other: &Self) -> bool {
        same(self.expose(), other.expose())
    }
}

impl Eq for SecretAccessKey {}

impl fmt::Debug for SecretAccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretAccessKey([redacted])")
    }
}

/// The secret of temporary credentials in its 30 bytes, of which its 40 characters are the base64. Wiped on drop.
pub struct SessionSecret(Zeroizing<[u8; Self::LENGTH]>);

impl SessionSecret {
    pub const LENGTH: usize = 30;

    pub fn new(bytes: Zeroizing<[u8; Self::LENGTH]>) -> Self {
        Self(bytes)
    }

    /// As the client holds it: no character that a shell, a URL or `MC_HOST_x` would take for its own.
    pub fn text(&self) -> SecretAccessKey {
        SecretAccessKey::new(URL_SAFE.encode(self.0.as_slice()))
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret([redacted])")
    }
}

/// A session token as the client holds it: whoever has it and the secret is the session, so it prints as little as the secret.
#[derive(Clone)]
pub struct SessionToken(SecretString);

impl SessionToken {
    pub fn new(token: impl Into<String>) -> Self {
        Self(SecretString::from(token.into()))
    }

    /// The one way to the text: for the STS answer.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// What shows somebody to the admin API.
#[derive(Clone)]
pub struct AdminToken(SecretString);

impl AdminToken {
    pub fn new(token: impl Into<String>) -> Self {
        Self(SecretString::from(token.into()))
    }

    /// For the header of a call, and nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// In constant time.
    pub fn is(&self, text: &str) -> bool {
        same(self.expose(), text)
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_a_secret_shows_nothing_of_it() {
        let secret = SecretAccessKey::new("wJalrXUtnFEMI");
        let token = SessionToken::new("FwoGZXIvYXdzEBY");
        let derived = SessionSecret::new(Zeroizing::new([0x5a; SessionSecret::LENGTH]));
        let printed = format!("{secret:?} {token:?} {derived:?} {:#?}", (&secret, &token, &derived));
        assert!(!printed.contains("wJalr") && !printed.contains("FwoG"), "{printed}");
        assert!(!printed.contains("90") && !printed.contains("WlpaWlpa"), "{printed}");
        assert!(printed.contains("[redacted]"));
    }
}
