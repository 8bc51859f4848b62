//! Sessions: minted, sealed into tokens, cached, and the one way from a signed request to its session.

mod contents;
mod error;
mod keyring;
mod limiters;
mod mint;
mod principals;
pub mod revocation;
mod seal;
mod session;
mod store;
#[cfg(test)]
mod tests;

pub use self::{
    error::{AuthenticationError, TokenProblem},
    keyring::{Keyring, KeyringError},
    limiters::Limiters,
    mint::{MintError, TemporaryCredentials, generate_user_keys},
    principals::{IdentityPolicies, Principals, role_id},
    revocation::Revocations,
    seal::OpenError,
    session::{Authority, Grant, Origin, Session, SessionPolicy, SessionTags},
    store::{Authenticated, SessionStore},
};
