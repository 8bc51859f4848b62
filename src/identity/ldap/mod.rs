//! A directory: LDAP or Active Directory.

mod dn;
mod name;

use std::{net::IpAddr, time::Duration};

pub use self::dn::{Dn, DnError};
use super::Proof;
use crate::clock::Timestamp;

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `ldaps://`
    Tls,
    /// `ldap://`, then StartTLS before anything else.
    StartTls,
    /// Only where the configuration says `allow_plaintext`.
    Plaintext,
}

/// The directory and how people are found in it.
#[derive(Debug, Clone)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub transport: Transport,
    pub ca_pem: Option<Vec<u8>>,
    pub bind_dn: String,
    pub bind_password: secrecy::SecretString,
    pub user_base: String,
    /// With `{username}`.
    pub user_filter: String,
    /// Attributes that become `ldap:` condition keys.
    pub user_attributes: Vec<String>,
    /// `None`: groups come from `memberOf` alone.
    pub group_base: Option<String>,
    /// With `{dn}` or `{username}`.
    pub group_filter: String,
    /// Groups of groups are followed, this many steps at the most; 0: they are not.
    pub nested_groups: u8,
    /// Take the groups that the user's own entry names in `memberOf` too.
    pub member_of: bool,
    pub connect_timeout: Duration,
    /// Of one login, all steps together.
    pub timeout: Duration,
    /// Failed passwords for one user, or 10 times as many from one address, within the window.
    pub max_failures: u32,
    pub failure_window: Duration,
    /// How often the groups of live sessions are asked for again.
    pub recheck_interval: Duration,
}

/// Why somebody was not proven. The causes are for the log alone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the user name or the password is empty")]
    Missing,
    /// One answer for an unknown user, a wrong password, a disabled user and two users of one name.
    #[error("{cause}")]
    Refused { cause: String },
    #[error("too many failed logins")]
    Throttled { retry_after: Duration },
    #[error("{cause}")]
    Unavailable { cause: String },
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub String);

/// The directory.
#[derive(Debug)]
pub struct Ldap {
    settings: Settings,
}

impl Ldap {
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        Ok(Self { settings })
    }

    /// Proves somebody by a password.
    pub async fn identify(&self, username: &str, password: &str, address: IpAddr) -> Result<Proof, Error> {
        let _ = (username, password, address, &self.settings);
        Err(Error::Unavailable { cause: String::new() })
    }

    /// The groups of somebody whose session is alive, asked again when `recheck_interval` has passed since it was last asked, or
    /// since the session was made; `Ok(None)`: the directory no longer has this user (or the user no longer fits the filter).
    /// A directory that cannot be asked changes nothing: what was known last counts; `known` is what the session says.
    pub async fn groups_now(
        &self,
        dn: &str,
        username: &str,
        known: &[String],
        since: Timestamp,
        now: Timestamp,
    ) -> Option<std::sync::Arc<[String]>> {
        let _ = (dn, username, since, now);
        Some(known.into())
    }
}
