//! What one set of temporary credentials stands for.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use super::seal::TokenHash;
use crate::{
    clock::Timestamp,
    iam::{Policy, PolicyRegistry, PolicySet, Principal},
    identity::Identity,
    rate::SessionLimits,
    secret::{AccessKeyId, SecretAccessKey, SessionSecret},
    sigv4::SigningKey,
};

/// Whose rights a session has. Policies are named, never copied, so that an edit of the configuration reaches live
/// sessions at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Authority {
    /// `AssumeRole` with a role; `via`: the roles by whose sessions it was assumed, the first one first.
    #[serde(rename = "r")]
    Role {
        #[serde(rename = "r")]
        role: SmolStr,
        #[serde(rename = "n")]
        session_name: SmolStr,
        #[serde(rename = "v", default, skip_serializing_if = "Vec::is_empty")]
        via: Vec<SmolStr>,
    },
    /// `GetFederationToken`: the user's own policies, and never more than the session policy.
    #[serde(rename = "f")]
    Federated {
        #[serde(rename = "n")]
        name: SmolStr,
    },
    /// The own policies of whoever is behind it: `GetSessionToken`, or a role left out as MinIO's clients do it.
    #[serde(rename = "o")]
    Own,
}

/// Who is behind a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The user whose long-term key asked.
    #[serde(rename = "u")]
    User(SmolStr),
    /// Somebody who was proven by another: a name of its own kind, which no user can have.
    #[serde(rename = "i")]
    Identity(Box<Identity>),
}

impl Origin {
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::User(name) => Some(name),
            Self::Identity(_) => None,
        }
    }
}

/// What was granted: the step between a proven identity and its credentials.
#[derive(Debug, Clone)]
pub struct Grant {
    pub origin: Origin,
    pub authority: Authority,
    pub session_policy: Option<SessionPolicy>,
    pub tags: SessionTags,
    pub expires_at: Timestamp,
}

/// What narrows a session: an inline policy, policies of the configuration by name, or both together.
#[derive(Debug, Clone, Default)]
pub struct SessionPolicy {
    /// As given, and compiled.
    pub inline: Option<(String, Arc<Policy>)>,
    pub names: Vec<String>,
}

impl SessionPolicy {
    /// The condition keys of claims that the inline policy asks for.
    pub fn claims(&self) -> Vec<String> {
        self.inline.as_ref().map(|(_, policy)| policy.claims()).unwrap_or_default()
    }
}

/// The tags that `AssumeRole` set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionTags {
    pub tags: Vec<(String, String)>,
    /// The keys, in lower case, of those that go on to sessions made by this one.
    pub transitive: Vec<String>,
}

impl SessionTags {
    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Roughly what they take in memory: in the session and in the principal made of it.
    fn size(&self) -> usize {
        self.tags.iter().map(|(key, value)| 2 * (key.len() + value.len() + 48)).sum()
    }
}

/// An unexpired set of temporary credentials, or the long-term key of a user who may use it on S3.
///
/// There may be a million, each used as rarely as any other: what a request reads lies close together, and what most sessions
/// lack takes no room in them.
#[derive(Debug)]
pub struct Session {
    pub access_key_id: AccessKeyId,
    pub(super) key: Key,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    pub origin: Origin,
    pub authority: Authority,
    rest: Option<Box<Rest>>,
    /// Of whoever is behind it, found when it is first used, and kept; `None`: nobody is, or nobody trusts them.
    policies: OnceLock<Option<Arc<PolicySet>>>,
    /// What bounds its requests and bytes, found when it is first used, and kept; `None`: nothing does.
    limits: OnceLock<Option<Arc<SessionLimits>>>,
    /// The signing key of the day, region and service last used.
    signing_key: Mutex<Option<DerivedKey>>,
}

/// What its requests are signed with.
#[derive(Debug)]
pub(super) enum Key {
    LongTerm(SecretAccessKey),
    Temporary { secret: SessionSecret, token: TokenHash },
}

/// What sessions of a user without tags and a session policy do not have.
#[derive(Debug)]
struct Rest {
    session_policy: Option<SessionPolicy>,
    tags: SessionTags,
    /// Resolved from names when it is first used, and kept.
    session_set: OnceLock<Arc<PolicySet>>,
    principal: OnceLock<Arc<Principal>>,
}

#[derive(Debug)]
struct DerivedKey {
    day: i64,
    /// `us-east-1/s3`
    place: SmolStr,
    key: SigningKey,
}

impl Session {
    pub(super) fn new(access_key_id: AccessKeyId, key: Key, grant: Grant, issued_at: Timestamp) -> Self {
        let Grant { origin, authority, session_policy, tags, expires_at } = grant;
        let is_plain = session_policy.is_none() && tags.is_empty() && matches!(origin, Origin::User(_));
        let (session_set, principal) = (OnceLock::new(), OnceLock::new());
        let rest = (!is_plain).then(|| Box::new(Rest { session_policy, tags, session_set, principal }));
        Self {
            access_key_id,
            key,
            issued_at,
            expires_at,
            origin,
            authority,
            rest,
            policies: OnceLock::new(),
            limits: OnceLock::new(),
            signing_key: Mutex::default(),
        }
    }

    /// Dead at the second it ends.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }

    pub fn is_temporary(&self) -> bool {
        matches!(self.key, Key::Temporary { .. })
    }

    /// Whether this is its token; a long-term key has none.
    pub(super) fn is_of(&self, presented: &str) -> bool {
        matches!(&self.key, Key::Temporary { token, .. } if token.is_of(presented))
    }

    pub fn tags(&self) -> &SessionTags {
        const NONE: &SessionTags = &SessionTags { tags: Vec::new(), transitive: Vec::new() };
        self.rest.as_ref().map_or(NONE, |rest| &rest.tags)
    }

    pub(super) fn session_policy(&self) -> Option<&SessionPolicy> {
        self.rest.as_ref()?.session_policy.as_ref()
    }

    /// What narrows it, if anything does. A name without a policy narrows to nothing.
    pub(super) fn session_set(&self, registry: &PolicyRegistry) -> Option<Arc<PolicySet>> {
        let narrowed = self.rest.as_ref().zip(self.session_policy());
        let (rest, policy) = match (narrowed, &self.authority) {
            (Some(narrowed), _) => narrowed,
            // A federated user has no rights but those of its session policy.
            (None, Authority::Federated { .. }) => return Some(Arc::default()),
            (None, _) => return None,
        };
        let resolve = || match registry.resolve(&policy.names) {
            None => Arc::default(),
            Some(named) => {
                let inline =
                    policy.inline.iter().map(|(_, policy)| (Arc::from("session policy"), policy.clone()));
                Arc::new(PolicySet::new(inline.chain(named.policies().iter().cloned()).collect()))
            }
        };
        Some(rest.session_set.get_or_init(resolve).clone())
    }

    /// The policies of whoever is behind it, found once.
    pub(super) fn policies(&self, find: impl FnOnce() -> Option<Arc<PolicySet>>) -> Option<Arc<PolicySet>> {
        self.policies.get_or_init(find).clone()
    }

    /// What bounds it, found once.
    pub(super) fn limits(
        &self,
        find: impl FnOnce() -> Option<Arc<SessionLimits>>,
    ) -> Option<&Arc<SessionLimits>> {
        self.limits.get_or_init(find).as_ref()
    }

    /// Who this is. Where it is two names it is made each time, which costs less than to fetch it from far memory, and no room.
    pub(super) fn principal(&self, make: impl FnOnce() -> Principal) -> Arc<Principal> {
        match &self.rest {
            None => Arc::new(make()),
            Some(rest) => rest.principal.get_or_init(|| Arc::new(make())).clone(),
        }
    }

    /// The key for a date, region and service; derived once and kept.
    pub(super) fn signing_key(&self, on: Timestamp, region: &str, service: &str) -> SigningKey {
        let day = on.day();
        let mut kept = self.signing_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &*kept
            && kept.day == day
            && kept.place.strip_prefix(region).and_then(|rest| rest.strip_prefix('/')) == Some(service)
        {
            return kept.key.clone();
        }
        let key = match &self.key {
            Key::LongTerm(secret) => SigningKey::derive(secret, on, region, service),
            Key::Temporary { secret, .. } => SigningKey::derive(&secret.text(), on, region, service),
        };
        *kept = Some(DerivedKey { day, place: format_smolstr!("{region}/{service}"), key: key.clone() });
        key
    }

    /// What the session takes in memory with its place in the cache and what its first use leaves, for the cache's bound.
    pub(super) fn weight(&self) -> u32 {
        let inline = self.session_policy().and_then(|policy| policy.inline.as_ref());
        let policy = inline.map_or(0, |(text, _)| text.len() * 8);
        let rest = self.rest.as_ref().map_or(0, |rest| 500 + policy + rest.tags.size());
        // Claims stand in the session and in the principal made of it.
        let claims = match &self.origin {
            Origin::User(_) => 0,
            Origin::Identity(identity) => 2 * identity.size(),
        };
        u32::try_from(600 + rest + claims).unwrap_or(u32::MAX)
    }
}
