//! Every session by its access key id, and the one way to it: a request whose token and signature are right.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_lc_rs::rand::SystemRandom;
use moka::{policy::EvictionPolicy, sync::Cache};

use super::{
    contents::Contents,
    error::{AuthenticationError, TokenProblem},
    keyring::Keyring,
    limiters::Limiters,
    mint::{MintError, TemporaryCredentials, access_key_id},
    principals::Principals,
    revocation::{ChangeError, Revocations},
    seal::{self, OpenError, TokenHash},
    session::{Authority, Grant, Key, Origin, Session, SessionTags},
};
use crate::{
    clock::Timestamp,
    iam::{Denial, EffectivePolicies, PolicySet, Principal},
    identity::{Identity, Way, ldap::Ldap},
    rate::SessionLimits,
    secret::AccessKeyId,
    sigv4::{Claim, Rules, VerifiedSignature},
    telemetry::metrics::SessionCache,
};

/// How long a session stays in the cache that nobody uses. Whether it is over is decided by its own time alone, so this bounds
/// for how long one that is over takes memory.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// Mints sessions and finds them again.
#[derive(Debug)]
pub struct SessionStore {
    keyring: Keyring,
    principals: Arc<Principals>,
    /// The long-term keys as sessions of their own.
    long_term: HashMap<AccessKeyId, Arc<Session>>,
    kept: Cache<AccessKeyId, Arc<Session>>,
    random: SystemRandom,
    ldap: Option<Arc<Ldap>>,
    cache_seen: Arc<SessionCache>,
    revocations: Arc<Revocations>,
    limiters: Option<Arc<Limiters>>,
}

/// Proof that this request was signed with the keys of this session, which is alive. The only constructor is
/// [`SessionStore::authenticate_s3`] and its sibling for STS.
#[derive(Debug)]
pub struct Authenticated {
    session: Arc<Session>,
    policies: EffectivePolicies,
    /// Where a directory knows better than the session.
    identity_now: Option<Box<Identity>>,
    signature: VerifiedSignature,
    principal: Arc<Principal>,
}

impl Authenticated {
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Who was proven, as is known now, if it was not a key of ours.
    pub fn identity(&self) -> Option<&Identity> {
        match (&self.identity_now, &self.session.origin) {
            (Some(now), _) => Some(now),
            (None, Origin::Identity(identity)) => Some(identity),
            (None, Origin::User(_)) => None,
        }
    }

    /// What it may do, as the configuration says now.
    pub fn policies(&self) -> &EffectivePolicies {
        &self.policies
    }

    /// What bounds the bodies of this session; `None`: nothing does.
    pub fn limits(&self) -> Option<&Arc<SessionLimits>> {
        self.session.limits(|| None)
    }

    pub fn signature(&self) -> &VerifiedSignature {
        &self.signature
    }

    /// The session and who it is, for whoever keeps them longer than the request.
    pub fn shared(&self) -> (Arc<Session>, Arc<Principal>) {
        (self.session.clone(), self.principal.clone())
    }

    /// Who this is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

impl SessionStore {
    /// `capacity`: of the cache, in bytes, about.
    pub fn new(keyring: Keyring, principals: Arc<Principals>, capacity: u64) -> Self {
        let long_term = principals.directory.users().map(|user| {
            let grant = Grant {
                origin: Origin::User(user.name.as_str().into()),
                authority: Authority::Own,
                session_policy: None,
                tags: SessionTags::default(),
                expires_at: Timestamp::from_unix(i64::MAX),
            };
            let epoch = Timestamp::from_unix(0);
            let key = Key::LongTerm(user.secret.clone());
            let session = Session::new(user.access_key_id.clone(), key, grant, epoch);
            (user.access_key_id.clone(), Arc::new(session))
        });
        Self {
            keyring,
            long_term: long_term.collect(),
            principals,
            kept: Cache::builder()
                .max_capacity(capacity)
                .weigher(|_, session: &Arc<Session>| session.weight())
                // A time of its own for each would take a node of a timer for each.
                .time_to_idle(IDLE)
                // The default policy may refuse to admit a new entry to a full cache; a new session is the one most
                // likely used next.
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            random: SystemRandom::new(),
            ldap: None,
            cache_seen: Arc::default(),
            revocations: Revocations::nowhere(),
            limiters: None,
        }
    }

    /// With counters that outlive this store.
    #[must_use]
    pub fn counted_by(mut self, cache_seen: Arc<SessionCache>) -> Self {
        self.cache_seen = cache_seen;
        self
    }

    /// With the directory that is asked again who its users are.
    #[must_use]
    pub fn with_directory(mut self, ldap: Option<Arc<Ldap>>) -> Self {
        self.ldap = ldap;
        self
    }

    /// With what is revoked, which outlives this configuration.
    #[must_use]
    pub fn with_revocations(mut self, revocations: Arc<Revocations>) -> Self {
        self.revocations = revocations;
        self
    }

    /// With the rates of sessions, roles and users.
    #[must_use]
    pub fn limited_by(mut self, limiters: Arc<Limiters>) -> Self {
        self.limiters = Some(limiters);
        self
    }

    /// Ends a session that asks for it.
    pub async fn revoke(&self, session: &Session, now: Timestamp) -> Result<(), ChangeError> {
        self.revocations.revoke_session(session, now).await.map(drop)
    }

    pub fn principals(&self) -> &Principals {
        &self.principals
    }

    /// Makes the credentials that a grant stands for.
    pub fn mint(&self, grant: Grant, now: Timestamp) -> Result<TemporaryCredentials, MintError> {
        let access_key_id = access_key_id("ASIA", &self.random)?;
        let contents = Contents::of(&access_key_id, &grant, now);
        let (session_token, secret) = seal::seal(&contents, &self.keyring, &self.random)?;
        if session_token.expose().len() > seal::MAX_TOKEN {
            return Err(MintError::TooLarge);
        }
        let (secret_access_key, expiration) = (secret.text(), grant.expires_at);
        let key = Key::Temporary { secret, token: TokenHash::of(session_token.expose()) };
        self.keep(Arc::new(Session::new(access_key_id.clone(), key, grant, now)), now);
        Ok(TemporaryCredentials { access_key_id, secret_access_key, session_token, expiration })
    }

    /// Whose S3 request this is: temporary keys, or the long-term key of a user with `s3_access`.
    pub async fn authenticate_s3(
        &self,
        signed: &impl Claim,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Authenticated, AuthenticationError> {
        let authenticated = self.authenticate(signed, rules, now).await?;
        let session = &authenticated.session;
        let allowed = session.is_temporary()
            || session
                .origin
                .user()
                .and_then(|name| self.principals.directory.user(name))
                .is_some_and(|user| user.s3_access);
        if allowed { Ok(authenticated) } else { Err(AuthenticationError::LongTermKey) }
    }

    /// Whose STS request this is: temporary keys or any long-term key.
    pub async fn authenticate_sts(
        &self,
        signed: &impl Claim,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Authenticated, AuthenticationError> {
        self.authenticate(signed, rules, now).await
    }

    async fn authenticate(
        &self,
        signed: &impl Claim,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Authenticated, AuthenticationError> {
        signed.check_place_and_time(rules, now)?;
        let session = self.find(signed.access_key_id(), signed.session_token(), now).inspect_err(|_| {
            // An unknown key takes as long to refuse as a wrong signature.
            signed.verify_against_nobody(rules, now);
        })?;
        let key = session.signing_key(signed.signed_at(), signed.scope().region, rules.service);
        let signature = signed.verify(&key, rules, now)?;
        if session.is_expired(now) {
            return Err(AuthenticationError::Expired { ended: session.expires_at });
        }
        self.revocations.check(&session, now)?;
        let gone = AuthenticationError::InvalidToken { cause: TokenProblem::PrincipalGone };
        let (identity, identity_now) = self.policies_now(&session, now).await.ok_or(gone)?;
        // Here every signed request passes, of S3 and of STS, and nobody else's can use up what this session has.
        self.limiters.iter().try_for_each(|limiters| limiters.count(&session))?;
        let policies =
            EffectivePolicies { identity, session: session.session_set(&self.principals.policies) };
        let principal = match &identity_now {
            None => session.principal(|| self.principals.principal_of(&session, None)),
            Some(now) => Arc::new(self.principals.principal_of(&session, Some(now))),
        };
        Ok(Authenticated { session, policies, identity_now, signature, principal })
    }

    /// What the session may do now, and who is behind it if that is no longer as the session says. A directory that can be asked
    /// is asked from time to time who its user is.
    async fn policies_now(
        &self,
        session: &Session,
        now: Timestamp,
    ) -> Option<(Arc<PolicySet>, Option<Box<Identity>>)> {
        let as_it_says = || Some((self.principals.policies_of(session, None)?, None));
        let (Origin::Identity(identity), Some(ldap)) = (&session.origin, &self.ldap) else {
            return match &session.origin {
                // The directory that vouched is no longer in the configuration.
                Origin::Identity(identity) if identity.way == Way::Ldap => None,
                _ => as_it_says(),
            };
        };
        if identity.way != Way::Ldap {
            return as_it_says();
        }
        let username = identity.claims.get("ldap:username").and_then(|claim| claim.values().first())?;
        let (known, since) = (identity.known_groups(), identity.proven_at);
        let groups = ldap.groups_now(&identity.subject, username, known, since, now).await?;
        let Some(changed) = identity.in_groups(&groups, &self.principals.asked) else { return as_it_says() };
        Some((self.principals.policies_of(session, Some(&changed))?, Some(Box::new(changed))))
    }

    /// The session of an access key id and a token; whether it is alive is asked later.
    pub(super) fn find(
        &self,
        access_key_id: &str,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Session>, AuthenticationError> {
        let invalid = |cause| AuthenticationError::InvalidToken { cause };
        match (self.long_term.get(access_key_id), token) {
            (Some(session), None) => Ok(session.clone()),
            (Some(_), Some(_)) => Err(invalid(TokenProblem::WithLongTermKey)),
            // A temporary key without its token is a key that nobody knows.
            (None, None) => {
                Err(AuthenticationError::UnknownAccessKey { access_key_id: access_key_id.to_owned() })
            }
            (None, Some(presented)) => {
                if let Some(session) = self.kept.get(access_key_id)
                    && session.is_of(presented)
                {
                    self.cache_seen.hit();
                    return Ok(session);
                }
                let session = seal::open(presented, &self.keyring)
                    .map_err(|cause| invalid(TokenProblem::DoesNotOpen(cause)))?;
                if session.access_key_id.as_str() != access_key_id {
                    return Err(invalid(TokenProblem::OfAnotherKey));
                }
                let session = Arc::new(session);
                self.cache_seen.miss();
                self.keep(session.clone(), now);
                Ok(session)
            }
        }
    }

    fn keep(&self, session: Arc<Session>, now: Timestamp) {
        if !session.is_expired(now) {
            self.kept.insert(session.access_key_id.clone(), session);
        }
    }

    /// Seals a denial for those who may have it opened.
    pub fn seal_denial(&self, denial: &Denial) -> Option<String> {
        let plain = serde_json::to_vec(denial).ok()?;
        seal::seal_bytes(plain, seal::AUTHORIZATION_MESSAGE, &self.keyring, &self.random).ok()
    }

    /// The JSON of a sealed denial.
    pub fn open_denial(&self, message: &str) -> Result<String, OpenError> {
        let plain = seal::open_bytes(message, seal::AUTHORIZATION_MESSAGE, &self.keyring)?;
        String::from_utf8(plain).map_err(|_| OpenError::Malformed)
    }

    /// Whether a key is one of ours that is alive: a user's, or a temporary one that was seen here.
    pub fn knows(&self, access_key_id: &str) -> bool {
        self.long_term.contains_key(access_key_id) || self.kept.contains_key(access_key_id)
    }

    /// A claimed access key id as it may be kept: whole when it is one of ours or looks like one, else its first 4 characters.
    /// It may be the secret key, or a password, that somebody put in its place.
    pub fn shown_claim(&self, claimed: &str) -> String {
        let looks_so = claimed.len() == 20
            && (claimed.starts_with("AKIA") || claimed.starts_with("ASIA"))
            && claimed.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if claimed.is_empty() || looks_so || self.knows(claimed) {
            return claimed.to_owned();
        }
        claimed.chars().take(4).chain(['\u{2026}']).collect()
    }

    /// Empties the cache, which ends no session.
    pub fn forget(&self) {
        self.kept.invalidate_all();
        self.kept.run_pending_tasks();
    }

    /// How many sessions are in the cache, about.
    pub fn kept(&self) -> u64 {
        self.kept.run_pending_tasks();
        self.kept.entry_count()
    }
}
