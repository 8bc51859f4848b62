//! A directory: LDAP or Active Directory.
//!
//! A login is two questions on connections that are open already: the service account looks for the user, then the password is
//! tried on a connection of another pool. Where groups have to be searched, that comes third.

mod breaker;
mod check;
mod connection;
mod directory;
mod dn;
mod filter;
mod groups;
mod name;
mod pace;
mod pool;
mod recheck;
mod throttle;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

pub use self::dn::{Dn, DnError};
use self::{
    connection::{Bound, Entry, Failure, code},
    directory::{Directory, Who, random},
    name::LoginName,
    pace::Pace,
    recheck::{Recheck, Session},
    throttle::{Throttle, Throttled, Try},
};
use super::{Proof, Way};
use crate::clock::Timestamp;

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `ldaps://`
    Tls,
    /// `ldap://`, then `StartTLS` before anything else.
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

impl Error {
    fn refused(cause: impl Into<String>) -> Self {
        Self::Refused { cause: cause.into() }
    }
}

impl From<Throttled> for Error {
    fn from(throttled: Throttled) -> Self {
        Self::Throttled { retry_after: throttled.retry_after }
    }
}

/// The directory.
#[derive(Debug)]
pub struct Ldap {
    directory: Arc<Directory>,
    throttle: Throttle,
    pace: Pace,
    recheck: Arc<Recheck>,
}

impl Ldap {
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        if settings.max_failures == 0 {
            return Err(SettingsError("max_failures of 0 would let nobody in".to_owned()));
        }
        Ok(Self {
            throttle: Throttle::new(settings.max_failures, settings.failure_window),
            pace: Pace::default(),
            recheck: Arc::new(Recheck::new(settings.recheck_interval)),
            directory: Arc::new(Directory::new(settings)?),
        })
    }

    /// Proves somebody by a password.
    pub fn identify<'a>(
        &'a self,
        username: &'a str,
        password: &'a str,
        address: IpAddr,
    ) -> BoxFuture<'a, Result<Proof, Error>> {
        Box::pin(self.prove(username, password, address))
    }

    async fn prove(&self, username: &str, password: &str, address: IpAddr) -> Result<Proof, Error> {
        // Directories take a bind without a password for one without a name, and say yes (RFC 4513, 5.1.2); some end the
        // password at its first NUL.
        if password.trim().is_empty() || password.starts_with('\0') {
            return Err(Error::Missing);
        }
        let name = LoginName::read(username)?;
        let mut tried = self.throttle.begin(name.as_str(), address, Instant::now())?;
        let outcome = self.directory.ask(self.log_in(&name, password, &mut tried)).await;
        let outcome = outcome.unwrap_or_else(|failure| Err(failure.into()));
        match &outcome {
            Ok(_) => tried.succeeded(),
            Err(Error::Missing | Error::Refused { .. }) => {}
            Err(Error::Throttled { .. } | Error::Unavailable { .. }) => tried.give_back(),
        }
        outcome
    }

    /// The outer error is the directory's, the inner one the user's.
    async fn log_in(
        &self,
        name: &LoginName,
        password: &str,
        tried: &mut Try<'_>,
    ) -> Result<Result<Proof, Error>, Failure> {
        let user = match self.directory.who(name).await? {
            Who::One(user) => user,
            Who::Nobody => return self.pretend("nobody has this name").await,
            Who::Several => return self.pretend("several users have this name").await,
        };
        if let Err(throttled) = tried.is_of(user.canonical.as_str()) {
            return Ok(Err(throttled.into()));
        }
        let began = Instant::now();
        let bound = self.directory.try_password(&user.dn, password).await?;
        self.pace.took(began.elapsed());
        if let Bound::No(rc) = bound {
            return Ok(Err(Error::refused(format!("the directory says {}", code(rc)))));
        }
        // After the password: what a directory says of somebody is nothing to those who do not have it.
        let groups = self.directory.groups(&user, name).await?;
        Ok(Ok(self.proof(&user, name, groups)))
    }

    /// A name that is nobody's costs what a wrong password does: a bind that cannot succeed, as nobody, with nobody's password.
    async fn pretend<T>(&self, cause: &str) -> Result<Result<T, Error>, Failure> {
        let began = Instant::now();
        let password = random()?;
        self.directory.try_password(&self.directory.nobody()?, &hex::encode(password)).await?;
        if let Some(rest) = self.pace.rest(began.elapsed(), password[0]) {
            tokio::time::sleep(rest).await;
        }
        Ok(Err(Error::refused(cause)))
    }

    fn proof(&self, user: &Entry, name: &LoginName, groups: Vec<String>) -> Proof {
        let subject = user.canonical.as_str().to_owned();
        let mut said: Map<String, Value> = self.directory.claims(user).collect();
        said.insert("user".to_owned(), subject.clone().into());
        said.insert("username".to_owned(), name.as_str().into());
        said.insert("groups".to_owned(), groups.clone().into());
        Proof { way: Way::Ldap, subject, said, groups, policies: Vec::new(), valid_until: None }
    }

    /// The groups of somebody whose session is alive, asked again when `recheck_interval` has passed since it was last asked, or
    /// since the session was made; `None`: the directory no longer has this user (or the user no longer fits the filter).
    /// A directory that cannot be asked changes nothing: what was known last counts; `known` is what the session says.
    pub fn groups_now<'a>(
        &'a self,
        dn: &'a str,
        username: &'a str,
        known: &'a [String],
        since: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'a, Option<Arc<[String]>>> {
        // Boxed: what is rare does not make the future of every request larger.
        Box::pin(self.recheck.groups(&self.directory, Session { dn, username, known, since }, now))
    }

    /// Finds a user and the groups, for operators: no password is asked for.
    pub async fn look_up(&self, username: &str) -> Result<Proof, Error> {
        let name = LoginName::read(username)?;
        let looking = self.directory.ask(async {
            Ok(match self.directory.who(&name).await? {
                Who::One(user) => Ok(self.proof(&user, &name, self.directory.groups(&user, &name).await?)),
                Who::Nobody => Err(Error::refused("nobody has this name")),
                Who::Several => Err(Error::refused("several users have this name")),
            })
        });
        looking.await?
    }

    /// Whether the directory answered its last question; `None`: none was asked.
    pub fn is_up(&self) -> Option<bool> {
        self.directory.is_up()
    }

    /// Uses the settings and says what is wrong with them, in sentences for operators; none: all is well.
    pub async fn check(&self) -> Vec<String> {
        self.directory.check().await
    }
}
