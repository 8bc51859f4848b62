//! Values that must not be printed, and the names that may.

use std::{borrow::Borrow, fmt, sync::Arc};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret, SecretString};

/// An access key id: public, printed in logs and answers, the name of a key pair.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessKeyId(Arc<str>);

impl AccessKeyId {
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for AccessKeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
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

/// A session token as the client holds it: whoever has it and the secret is the session, so it prints as little as the secret.
#[derive(Clone)]
pub struct SessionToken(SecretString);

impl SessionToken {
    pub fn new(token: impl Into<String>) -> Self {
        Self(SecretString::from(token.into()))
    }

    /// The one way to the text: for opening, comparing, and the STS answer.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether `presented` is this token, in time that does not depend on where they differ.
    pub fn is(&self, presented: &str) -> bool {
        same(self.expose(), presented)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken([redacted])")
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
        let printed = format!("{secret:?} {token:?} {:#?}", (&secret, &token));
        assert!(!printed.contains("wJalr") && !printed.contains("FwoG"), "{printed}");
        assert!(printed.contains("[redacted]"));
    }

    #[test]
    fn a_token_is_only_itself() {
        let token = SessionToken::new("abc");
        assert!(token.is("abc"));
        assert!(!token.is("abd") && !token.is("ab") && !token.is(""));
    }
}
