//! What one set of temporary credentials stands for.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    iam::{Policy, PolicyRegistry, PolicySet, Principal},
    identity::Identity,
    rate::SessionLimits,
    secret::{AccessKeyId, SecretAccessKey, SessionToken},
    sigv4::SigningKey,
};

/// Whose rights a session has. Policies are named, never copied, so that an edit of the configuration reaches live
/// sessions at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Authority {
    /// `AssumeRole` with a role; `via`: the roles by whose sessions it was assumed, the first one first.
    Role {
        role: String,
        session_name: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        via: Vec<String>,
    },
    /// `GetFederationToken`: the user's own policies, and never more than the session policy.
    Federated { name: String },
    /// The own policies of whoever is behind it: `GetSessionToken`, or a role left out as MinIO's clients do it.
    Own,
}

/// Who is behind a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The user whose long-term key asked.
    User(String),
    /// Somebody who was proven by another: a name of its own kind, which no user can have.
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
    fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }
}

/// An unexpired set of temporary credentials, or the long-term key of a user who may use it on S3.
#[derive(Debug)]
pub struct Session {
    pub access_key_id: AccessKeyId,
    pub(super) secret: SecretAccessKey,
    /// `None`: a long-term key, which has none.
    pub(super) token: Option<SessionToken>,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    pub origin: Origin,
    pub authority: Authority,
    pub(super) session_policy: Option<SessionPolicy>,
    pub tags: SessionTags,
    /// Resolved from names when it is first used, and kept.
    session_set: OnceLock<Arc<PolicySet>>,
    principal: OnceLock<Arc<Principal>>,
    /// Of whoever is behind it, found when it is first used, and kept; `None`: nobody is, or nobody trusts them.
    policies: OnceLock<Option<Arc<PolicySet>>>,
    /// What bounds its requests and bytes, found when it is first used, and kept; `None`: nothing does.
    limits: OnceLock<Option<Arc<SessionLimits>>>,
    /// The signing key of the day, region and service last used.
    signing_key: ArcSwapOption<DerivedKey>,
}

#[derive(Debug)]
struct DerivedKey {
    day: i64,
    region: String,
    service: &'static str,
    key: SigningKey,
}

/// What is inside a token.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealedSession {
    access_key_id: String,
    secret: String,
    issued_at: i64,
    expires_at: i64,
    origin: Origin,
    authority: Authority,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    policy_names: Option<Vec<String>>,
    #[serde(skip_serializing_if = "SessionTags::is_empty", default)]
    tags: SessionTags,
}

impl Session {
    pub(super) fn new(
        access_key_id: AccessKeyId,
        secret: SecretAccessKey,
        grant: Grant,
        issued_at: Timestamp,
    ) -> Self {
        Self {
            access_key_id,
            secret,
            token: None,
            issued_at,
            expires_at: grant.expires_at,
            origin: grant.origin,
            authority: grant.authority,
            session_policy: grant.session_policy,
            tags: grant.tags,
            session_set: OnceLock::new(),
            principal: OnceLock::new(),
            policies: OnceLock::new(),
            limits: OnceLock::new(),
            signing_key: ArcSwapOption::empty(),
        }
    }

    pub(super) fn with_token(mut self, token: SessionToken) -> Self {
        self.token = Some(token);
        self
    }

    pub(super) fn to_sealed(&self) -> SealedSession {
        SealedSession {
            access_key_id: self.access_key_id.to_string(),
            secret: self.secret.expose().to_owned(),
            issued_at: self.issued_at.unix(),
            expires_at: self.expires_at.unix(),
            origin: self.origin.clone(),
            authority: self.authority.clone(),
            policy: self
                .session_policy
                .as_ref()
                .and_then(|policy| policy.inline.as_ref())
                .map(|(text, _)| text.clone()),
            policy_names: self
                .session_policy
                .as_ref()
                .map(|policy| policy.names.clone())
                .filter(|names| !names.is_empty()),
            tags: self.tags.clone(),
        }
    }

    /// `None`: a session policy that no longer compiles, which must not become none.
    pub(super) fn from_sealed(sealed: SealedSession, token: SessionToken) -> Option<Self> {
        let inline = match sealed.policy {
            None => None,
            Some(document) => {
                let compiled = Policy::parse(&document).ok()?;
                Some((document, Arc::new(compiled)))
            }
        };
        let names = sealed.policy_names;
        let narrowed = inline.is_some() || names.is_some();
        let session_policy = narrowed.then(|| SessionPolicy { inline, names: names.unwrap_or_default() });
        let grant = Grant {
            origin: sealed.origin,
            authority: sealed.authority,
            session_policy,
            tags: sealed.tags,
            expires_at: Timestamp::from_unix(sealed.expires_at),
        };
        let secret = SecretAccessKey::new(sealed.secret);
        let issued_at = Timestamp::from_unix(sealed.issued_at);
        Some(Self::new(AccessKeyId::new(sealed.access_key_id), secret, grant, issued_at).with_token(token))
    }

    /// Dead at the second it ends.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }

    pub fn is_temporary(&self) -> bool {
        self.token.is_some()
    }

    /// What narrows it, if anything does. A name without a policy narrows to nothing.
    pub(super) fn session_set(&self, registry: &PolicyRegistry) -> Option<Arc<PolicySet>> {
        let policy = match (&self.session_policy, &self.authority) {
            (Some(policy), _) => policy,
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
        Some(self.session_set.get_or_init(resolve).clone())
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

    /// Who this is, made once.
    pub(super) fn principal(&self, make: impl FnOnce() -> Principal) -> Arc<Principal> {
        self.principal.get_or_init(|| Arc::new(make())).clone()
    }

    /// The key for a date, region and service; derived once and kept.
    pub(super) fn signing_key(&self, on: Timestamp, region: &str, service: &'static str) -> SigningKey {
        let day = on.day();
        if let Some(kept) = &*self.signing_key.load()
            && kept.day == day
            && kept.region == region
            && kept.service == service
        {
            return kept.key.clone();
        }
        let key = SigningKey::derive(&self.secret, on, region, service);
        let derived = DerivedKey { day, region: region.to_owned(), service, key: key.clone() };
        self.signing_key.store(Some(Arc::new(derived)));
        key
    }

    /// Roughly what the session takes in memory, for the cache's bound.
    pub(super) fn weight(&self) -> u32 {
        let policy = self
            .session_policy
            .as_ref()
            .and_then(|policy| policy.inline.as_ref())
            .map_or(0, |(text, _)| text.len() * 8);
        let token = self.token.as_ref().map_or(0, |token| token.expose().len());
        // Claims stand in the session and in the principal made of it.
        let claims = match &self.origin {
            Origin::User(_) => 0,
            Origin::Identity(identity) => 2 * identity.size(),
        };
        u32::try_from(600 + token + policy + claims).unwrap_or(u32::MAX)
    }
}
