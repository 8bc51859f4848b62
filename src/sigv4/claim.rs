//! What every kind of signature claims, whatever carries it.

use super::{
    error::Error,
    key::{CredentialScope, SigningKey},
    request::{Rules, VerifiedSignature},
};
use crate::clock::Timestamp;

/// Something that says who signed it, where, when and for how long.
pub trait Claim {
    fn access_key_id(&self) -> &str;

    /// The token as sent.
    fn session_token(&self) -> Option<&str>;

    fn scope(&self) -> CredentialScope<'_>;

    fn signed_at(&self) -> Timestamp;

    /// Whether it is meant for this place and for now: what is asked before any key is derived for it.
    fn check_place_and_time(&self, rules: &Rules, now: Timestamp) -> Result<(), Error>;

    /// The one way to a [`VerifiedSignature`]: the right place, the right time, the right signature.
    fn verify(&self, key: &SigningKey, rules: &Rules, now: Timestamp) -> Result<VerifiedSignature, Error>;

    /// The work of [`Self::verify`] with a key that is nobody's, so that an unknown access key takes as long to refuse as a
    /// wrong signature.
    fn verify_against_nobody(&self, rules: &Rules, now: Timestamp) -> Error {
        match self.verify(&SigningKey::of_nobody(), rules, now) {
            Err(refused) => refused,
            Ok(_) => Error::MissingCredentials,
        }
    }
}
