//! Tokens of OpenID Connect providers: JWTs by the provider's keys, others by its introspection endpoint.
//!
//! RFC 7519, RFC 8725 (how JWTs are misused), OpenID Connect Core 3.1.3.7 and Discovery 1.0, RFC 7662, RFC 9068.

mod access_token;
mod claims;
mod keys;
mod source;
mod token;

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use self::{
    source::KeySource,
    token::{Header, UnverifiedToken},
};
use super::{HttpSettings, Proof, Way};
use crate::clock::Timestamp;

/// The longest token that is looked at.
const MAX_TOKEN: usize = 16 * 1024;
/// How far a provider's clock may be from ours. A token is good until this long after its `exp`, and no session gets time
/// added for it.
const LEEWAY: Duration = Duration::from_secs(60);

/// A provider of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    pub name: String,
    /// Compared byte by byte with `iss`.
    pub issuer: String,
    /// One of them must be in `aud`.
    pub client_ids: Vec<String>,
    /// When given, `azp` must be one of them.
    pub authorized_parties: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    /// The claim that names policies, as MinIO has it: a name, or a JSON pointer.
    pub policy_claim: Option<String>,
    /// Stands before what the claim says.
    pub policy_prefix: String,
    /// Keys from here, without discovery.
    pub jwks_url: Option<http::Uri>,
    /// A file whose content is sent as bearer token for the keys, read anew each time.
    pub bearer_token_file: Option<std::path::PathBuf>,
    pub http: HttpSettings,
    /// Claims that are missing in the token are taken from the userinfo endpoint.
    pub userinfo: bool,
    pub introspection: Option<Introspection>,
    /// Sessions end with the token at the latest.
    pub sessions_end_with_token: bool,
    /// After an unknown key id the keys are fetched again, but not more often than this.
    pub refresh_cooldown: Duration,
    /// Keys are fetched again after this time; when that fails they are good for `max_stale`.
    pub refresh_interval: Duration,
    pub max_stale: Duration,
}

/// RFC 7662, for access tokens that are no JWTs.
#[derive(Debug, Clone)]
pub struct Introspection {
    /// `None`: as discovery says.
    pub url: Option<http::Uri>,
    pub client_id: String,
    pub client_secret: secrecy::SecretString,
}

/// A signature algorithm (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    pub const ALL: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// As `alg` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Why a token proves nobody. The causes are for the log alone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{cause}")]
    Refused { cause: String },
    /// Its signature and everything else is good.
    #[error("the token has expired")]
    Expired,
    #[error("{cause}")]
    Unavailable { cause: String },
}

#[derive(Debug, thiserror::Error)]
#[error("oidc.{name}: {problem}")]
pub struct SettingsError {
    pub name: String,
    pub problem: String,
}

/// What a verified token says beyond the proof.
#[derive(Debug)]
pub struct Verified {
    pub proof: Proof,
    pub subject: String,
    /// The value of `aud` that is ours.
    pub audience: String,
    pub issuer: String,
}

/// All providers.
#[derive(Debug, Default)]
pub struct Providers(Vec<Arc<Provider>>);

/// How a provider was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub name: String,
    /// Whether the last try to fetch its keys gave keys; `None`: there was none.
    pub is_up: Option<bool>,
    pub keys_age: Option<Duration>,
}

/// One provider: its settings, its keys as they were fetched last.
#[derive(Debug)]
struct Provider {
    settings: Settings,
    keys: KeySource,
}

impl Providers {
    /// Contacts nobody.
    pub fn new(settings: Vec<Settings>) -> Result<Self, SettingsError> {
        let provider = |settings: Settings| {
            let wrong = |problem: String| SettingsError { name: settings.name.clone(), problem };
            let keys = KeySource::new(&settings).map_err(|problem| wrong(problem.to_string()))?;
            Ok(Arc::new(Provider { settings, keys }))
        };
        settings.into_iter().map(provider).collect::<Result<_, _>>().map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How each provider was last seen, without asking it.
    pub fn seen(&self, now: Timestamp) -> Vec<Seen> {
        self.0.iter().map(|provider| provider.keys.seen(&provider.settings.name, now)).collect()
    }

    /// Whose token this is. `provider`: the name of one, for tokens that do not say who made them; `access_token`: for the
    /// userinfo endpoint.
    pub async fn identify(
        &self,
        token: &str,
        provider: Option<&str>,
        access_token: Option<&str>,
        now: Timestamp,
    ) -> Result<Verified, Error> {
        if token.len() > MAX_TOKEN {
            return Err(refused("the token is longer than 16 KiB"));
        }
        if token.bytes().filter(|byte| *byte == b'.').count() != 2 {
            let provider = self.introspecting(provider)?;
            let (claims, audience) = access_token::introspect(provider, token, now).await?;
            return provider.verified(claims, audience);
        }
        let unverified = UnverifiedToken::read(token).map_err(|why| refused(why.to_owned()))?;
        let named = |candidate: &&Arc<Provider>| provider.is_none_or(|name| candidate.settings.name == name);
        let from =
            self.0.iter().filter(named).find(|provider| provider.settings.issuer == unverified.issuer());
        let provider = from.ok_or_else(|| {
            refused(format!("no provider has the issuer {:?}", claims::short(unverified.issuer())))
        })?;
        let (header, claims) = provider.signed(unverified, now).await?;
        let audience = claims::check(&claims, &header, &provider.settings, now)?;
        let claims = match &provider.settings {
            settings if settings.userinfo => {
                access_token::with_userinfo(provider, claims, access_token.unwrap_or(token), now).await?
            }
            _ => claims,
        };
        provider.verified(claims, audience)
    }

    /// The provider that is asked about tokens that are no JWTs.
    fn introspecting(&self, name: Option<&str>) -> Result<&Arc<Provider>, Error> {
        let mut fitting = self.0.iter().filter(|provider| {
            provider.settings.introspection.is_some()
                && name.is_none_or(|name| provider.settings.name == name)
        });
        match (fitting.next(), fitting.next()) {
            (Some(provider), None) => Ok(provider),
            (None, _) => Err(refused("the token is no JWT, and no provider is asked about such ones")),
            (Some(_), Some(_)) => {
                Err(refused("the token is no JWT, and ProviderId does not say which provider to ask"))
            }
        }
    }

    /// Whether each provider can be used, in words for operators.
    pub async fn check(&self, now: Timestamp) -> Vec<(String, Result<String, String>)> {
        let mut checked = Vec::new();
        for provider in &self.0 {
            let result = provider.keys.check(provider, now).await;
            checked.push((provider.settings.name.clone(), result));
        }
        checked
    }
}

impl Provider {
    /// The header and the claims of a token whose signature holds.
    async fn signed(
        self: &Arc<Self>,
        unverified: UnverifiedToken<'_>,
        now: Timestamp,
    ) -> Result<(Header, Map<String, Value>), Error> {
        if !self.settings.algorithms.contains(&unverified.algorithm()) {
            return Err(refused(format!("the algorithm {} is not allowed", unverified.algorithm().name())));
        }
        let keys = self.keys.for_token(self, unverified.key_id(), unverified.algorithm(), now).await?;
        unverified.verify(&keys).ok_or_else(|| refused("the signature is not that of the provider's key"))
    }

    fn verified(&self, claims: Map<String, Value>, audience: String) -> Result<Verified, Error> {
        let subject = claims::subject(&claims)?;
        let policies = claims::policies(&claims, &self.settings);
        let expires_at = claims::expiration(&claims)?;
        let proof = Proof {
            way: Way::Oidc(self.settings.name.clone()),
            subject: subject.clone(),
            said: claims,
            groups: Vec::new(),
            policies,
            valid_until: self.settings.sessions_end_with_token.then_some(expires_at),
        };
        Ok(Verified { proof, subject, audience, issuer: self.settings.issuer.clone() })
    }
}

fn refused(cause: impl Into<String>) -> Error {
    Error::Refused { cause: cause.into() }
}
