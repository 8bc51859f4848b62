//! One revocation: which sessions it ends, and until when it must be kept.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, digest::sha256};

/// The longest life of a session, whatever `sts.max_duration` was when it was made, and the most that clocks may differ: an
/// entry is kept for as long as a session that it ends can be alive.
pub const KEPT: Duration = Duration::from_secs((12 * 60 + 15) * 60);

/// How far ahead `issued_before` may lie, for clocks that differ.
const FURTHEST_AHEAD: Duration = Duration::from_secs(15 * 60);

/// Longer than any name and any identity that is read.
const LONGEST_VALUE: usize = 2048;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One session, by its access key id.
    Session,
    /// Whoever was proven by another: `oidc/keycloak/SUBJECT`.
    Identity,
    /// The sessions of a user, by name.
    User,
    /// A user's long-term key, by its id. It is refused until the entry is lifted.
    UserKey,
    /// The sessions of a role and of those roles that were reached through it, by name.
    Role,
    /// Everybody whom an OpenID provider proved, by its name; `ldap`, `certificate` or `webhook`.
    Provider,
    /// Every session.
    Everything,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Identity => "identity",
            Self::User => "user",
            Self::UserKey => "user_key",
            Self::Role => "role",
            Self::Provider => "provider",
            Self::Everything => "everything",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Follows from kind and value, so that what is revoked twice is one entry, on every replica the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryId(u64);

impl EntryId {
    fn of(kind: Kind, value: &str) -> Self {
        let hash = sha256(format!("{kind}/{value}").as_bytes());
        let first = hash.iter().take(8);
        Self(first.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EntryId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fine = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u64::from_str_radix(text, 16).ok().filter(|_| fine);
        number.map(Self).ok_or("an id is 16 hexadecimal digits")
    }
}

impl TryFrom<String> for EntryId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EntryId> for String {
    fn from(id: EntryId) -> Self {
        id.to_string()
    }
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub id: EntryId,
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// A session that was issued before it is dead.
    #[serde(with = "rfc3339")]
    pub issued_before: Timestamp,
    /// When no session that it ends can be alive any more; `None`: it holds until it is lifted.
    #[serde(with = "rfc3339_or_never", default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What somebody wants revoked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    pub kind: Kind,
    #[serde(default)]
    pub value: String,
    /// RFC 3339; absent: now.
    #[serde(default)]
    pub issued_before: Option<String>,
}

/// Why something cannot be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("`value` is missing: a name, an access key id, or an identity as oidc/keycloak/SUBJECT")]
    NoValue,
    #[error("`everything` has no `value`")]
    Value,
    #[error("`value` is longer than 2,048 bytes, or holds a control character")]
    Malformed,
    #[error(
        "`value` is no identity: oidc/PROVIDER/SUBJECT, ldap/DN, certificate/NAME or webhook/USER, escaped as ARNs show it"
    )]
    Identity,
    #[error("`issued_before` is no time of RFC 3339, as 2026-11-27T18:00:00Z")]
    Time,
    #[error("`issued_before` lies more than 15 minutes ahead")]
    Ahead,
    #[error("`issued_before` says nothing of one session or key: it is dead, or it is not")]
    OfOne,
}

impl Wanted {
    /// `settling`: how long after now a session may still be issued that was under way, or by a replica that does not know yet.
    pub(super) fn entry(self, now: Timestamp, settling: Duration) -> Result<Entry, Unfit> {
        let Self { kind, value, issued_before } = self;
        match (kind, value.is_empty()) {
            (Kind::Everything, false) => return Err(Unfit::Value),
            (Kind::Everything, true) => {}
            (_, true) => return Err(Unfit::NoValue),
            (_, false) => {}
        }
        if value.len() > LONGEST_VALUE || value.chars().any(char::is_control) {
            return Err(Unfit::Malformed);
        }
        if kind == Kind::Identity && Subject::parse(&value).is_none() {
            return Err(Unfit::Identity);
        }
        let issued_before = match issued_before {
            None => now.plus(settling),
            Some(_) if matches!(kind, Kind::Session | Kind::UserKey) => return Err(Unfit::OfOne),
            Some(text) => Timestamp::parse_rfc3339(&text).ok_or(Unfit::Time)?,
        };
        if issued_before > now.plus(FURTHEST_AHEAD) {
            return Err(Unfit::Ahead);
        }
        let expires_at = (kind != Kind::UserKey).then(|| issued_before.plus(KEPT));
        Ok(Entry { id: EntryId::of(kind, &value), kind, value, issued_before, expires_at })
    }
}

impl Entry {
    /// One session until its own end.
    pub(super) fn of_session(access_key_id: &str, now: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            id: EntryId::of(Kind::Session, access_key_id),
            kind: Kind::Session,
            value: access_key_id.to_owned(),
            issued_before: now,
            expires_at: Some(expires_at.plus(FURTHEST_AHEAD)),
        }
    }

    /// Whether no session that it ends can be alive.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }

    /// Of two of one id, the one that ends more.
    pub(super) fn or_stricter(self, other: &Self) -> Self {
        let end = |entry: &Self| entry.expires_at.map_or(i64::MAX, Timestamp::unix);
        if (other.issued_before, end(other)) > (self.issued_before, end(&self)) {
            other.clone()
        } else {
            self
        }
    }
}

/// An identity's path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    /// `oidc/keycloak`, `ldap`.
    pub(super) way: String,
    pub(super) subject: String,
}

impl Subject {
    pub(super) fn parse(path: &str) -> Option<Self> {
        let (way, subject) = path.rsplit_once('/')?;
        let known = matches!(way, "ldap" | "certificate" | "webhook")
            || way.strip_prefix("oidc/").is_some_and(|name| !name.is_empty() && !name.contains('/'));
        let subject = percent_encoding::percent_decode_str(subject).decode_utf8().ok()?;
        (known && !subject.is_empty()).then(|| Self { way: way.to_owned(), subject: subject.into_owned() })
    }
}

mod rfc3339 {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::clock::Timestamp;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.rfc3339())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse_rfc3339(&text).ok_or_else(|| D::Error::custom("no time of RFC 3339"))
    }
}

mod rfc3339_or_never {
    use serde::{Deserializer, Serializer};

    use crate::clock::Timestamp;

    #[expect(clippy::ref_option, reason = "serde asks for it")]
    pub(super) fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => super::rfc3339::serialize(at, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        super::rfc3339::deserialize(deserializer).map(Some)
    }
}
