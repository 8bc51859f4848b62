//! Who was proven, and by what: a long-term key, a token of an OpenID provider, a directory's password, a client
//! certificate, a webhook's word. Whatever the proof was, what follows it sees an [`Identity`].

pub mod certificate;
mod claims;
mod http;
pub mod ldap;
pub mod oidc;
mod people;
mod trust;
pub mod webhook;

use serde::{Deserialize, Serialize};

pub(crate) use self::http::{HttpClient, without_query};
pub use self::{
    claims::{AskedClaims, Claim, Claims, TooManyClaims},
    http::{ClientError, HttpSettings},
    people::{Directory, Proven, Role, Trust, User},
    trust::{ClaimRule, IdentityRule, TrustRule, Unmet},
};
use crate::clock::Timestamp;

/// How somebody was proven who has no key pair here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// By a token of the OpenID provider of this name.
    Oidc(String),
    Ldap,
    Certificate,
    Webhook,
}

impl Way {
    /// What the condition keys of its claims begin with.
    pub fn namespace(&self) -> &'static str {
        match self {
            Self::Oidc(_) => "jwt",
            Self::Ldap => "ldap",
            Self::Certificate => "certificate",
            Self::Webhook => "webhook",
        }
    }
}

/// Somebody who was proven by another than this gateway. It is sealed into the session: whoever opens the token knows as much
/// as the replica that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub way: Way,
    /// Unique within its way: the `sub` of the provider's token, the canonical DN, what names the certificate, the webhook's
    /// user.
    pub subject: String,
    /// Sessions that are made from one another are all of one proof.
    pub proven_at: Timestamp,
    /// No session outlives this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// What the configuration or a session policy may ask of it, and no more.
    pub claims: Claims,
    /// The canonical DNs of the directory's groups that the configuration names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Policies that the proof itself names, as MinIO does it: a claim, a common name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
}

impl Identity {
    /// A name within the account that no user, role or identity of another way can have: `oidc/keycloak/…`, `ldap/…`.
    /// Characters that mean something in an ARN or a pattern are escaped.
    pub fn path(&self) -> String {
        let subject = escape(&self.subject);
        match &self.way {
            Way::Oidc(provider) => format!("oidc/{provider}/{subject}"),
            way => format!("{}/{subject}", way.namespace()),
        }
    }

    /// The groups as the proof had them, or those of them that were kept.
    pub fn known_groups(&self) -> &[String] {
        self.claims.get(LDAP_GROUPS).map_or(&self.groups, Claim::values)
    }

    /// In all of these groups instead; `None`: nothing changes.
    #[must_use]
    pub fn in_groups(&self, all: &[String], asked: &AskedClaims) -> Option<Self> {
        let groups = asked.groups(all);
        let is_claim = self.claims.get(LDAP_GROUPS).is_some();
        if groups == self.groups && (!is_claim || self.known_groups() == all) {
            return None;
        }
        let mut now = Self { groups, ..self.clone() };
        if is_claim {
            now.claims.replace(LDAP_GROUPS, Claim::Many(all.to_vec()));
        }
        Some(now)
    }

    /// Roughly what it takes in memory.
    pub fn size(&self) -> usize {
        let lists = self.groups.iter().chain(&self.policies).map(|text| text.len() + 24).sum::<usize>();
        self.subject.len() + lists + self.claims.size()
    }

    /// A `RoleSessionName` for clients that give none: what of the subject may stand in one.
    pub fn session_name(&self) -> String {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        let name: String = self
            .subject
            .bytes()
            .map(|byte| if allowed(byte) { char::from(byte) } else { '-' })
            .take(64)
            .collect();
        if name.len() < 2 { format!("{}-{name}", self.way.namespace()) } else { name }
    }
}

/// The claim that changes while a session lives.
const LDAP_GROUPS: &str = "ldap:groups";

/// Percent-escapes everything but letters, digits and a few harmless marks.
fn escape(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~')
        .remove(b'=')
        .remove(b',')
        .remove(b'@')
        .remove(b'+');
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// A proof that held: everything that it said, before it is cut down to what may be asked.
#[derive(Debug, Clone)]
pub struct Proof {
    pub way: Way,
    pub subject: String,
    /// As the proof had it.
    pub said: serde_json::Map<String, serde_json::Value>,
    /// Canonical DNs, all of them.
    pub groups: Vec<String>,
    pub policies: Vec<String>,
    /// No session outlives this.
    pub valid_until: Option<Timestamp>,
}

impl Proof {
    /// The identity, with the claims that may be asked and no others.
    pub fn identity(&self, asked: &AskedClaims, now: Timestamp) -> Result<Identity, TooManyClaims> {
        Ok(Identity {
            way: self.way.clone(),
            subject: self.subject.clone(),
            proven_at: now,
            valid_until: self.valid_until,
            claims: asked.select(&self.way, &self.said)?,
            groups: asked.groups(&self.groups),
            policies: self.policies.clone(),
        })
    }
}

/// Every way that a configuration opens.
#[derive(Debug, Default)]
pub struct Ways {
    pub oidc: oidc::Providers,
    pub ldap: Option<std::sync::Arc<ldap::Ldap>>,
    pub certificate: Option<certificate::Certificates>,
    pub webhook: Option<webhook::Webhook>,
}
