//! Sessions: minted, sealed into tokens, cached, and the one way from a signed request to its session.

mod keyring;
mod mint;
mod seal;
mod session;
mod store;
#[cfg(test)]
mod tests;

pub use self::{
    keyring::{Keyring, KeyringError},
    mint::{TemporaryCredentials, generate_user_keys},
    seal::OpenError,
    session::{Authority, Grant, Session},
    store::{Authenticated, AuthenticationError, Principals, SessionStore, TokenProblem},
};
