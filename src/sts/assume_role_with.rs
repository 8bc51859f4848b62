//! `AssumeRoleWithWebIdentity`, `…ClientGrants`, `…LDAPIdentity`, `…Certificate`, `…CustomToken`: for those who have no key
//! here. Each proves somebody in its own way; from the proof on they are one.

use std::{sync::Arc, time::Duration};

use super::{
    Record, Request, Service,
    action::ProvenBy,
    assume_role::read_session_name,
    authorize::{Asking, Needs},
    error::{ErrorCode, StsError},
    identity_errors::login_refused,
    parameters::Parameters,
    session_policy::packed_size,
    session_tags::RequestTags,
    xml,
};
use crate::{
    clock::Timestamp,
    credentials::{Authority, Grant, Origin, SessionPolicy, SessionTags, TemporaryCredentials},
    iam::EffectivePolicies,
    identity::{Identity, Proof, Proven, Role, certificate, oidc},
};

/// What the answer says.
#[derive(Debug)]
pub(super) struct AssumedWith {
    pub(super) credentials: TemporaryCredentials,
    pub(super) arn: String,
    pub(super) id: String,
    pub(super) packed_policy_size: Option<usize>,
    /// What the token said, of the ways that have one.
    pub(super) subject: Option<Subject>,
}

/// Whose the token is, in the words of each action.
#[derive(Debug)]
pub(super) enum Subject {
    OfToken { subject: String, audience: String, provider: String },
    OfWebhook { user: String },
}

/// A proof with what the answer tells of it.
struct Shown {
    proof: Proof,
    subject: Option<Subject>,
}

const COMMON: &[&str] = &[
    "RoleArn",
    "RoleSessionName",
    "DurationSeconds",
    "Policy",
    "PolicyArns.member.N.arn",
    // MinIO's, a label for a later mass revocation.
    "TokenRevokeType",
];

impl ProvenBy {
    /// The parameters of its own.
    fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Certificate => &[],
            // MinIO takes either name with either action, and minio-go sends the refresh token along.
            Self::ClientGrants | Self::WebIdentity => &[
                "Token",
                "WebIdentityToken",
                "WebIdentityAccessToken",
                "WebIdentityRefreshToken",
                "ProviderId",
            ],
            Self::CustomToken => &["Token"],
            // The name of one of several directories, which minio-go can send.
            Self::LdapIdentity => &["LDAPUsername", "LDAPPassword", "ConfigName"],
        }
    }
}

impl Service {
    pub(super) async fn assume_role_with(
        &self,
        by: ProvenBy,
        parameters: &Parameters,
        request: &Request<'_>,
        now: Timestamp,
        request_id: &str,
        record: &mut Record,
    ) -> Result<String, StsError> {
        parameters.only(&[COMMON, by.parameters()].concat())?;
        let Shown { proof, subject } = self.prove(by, parameters, request, now).await?;
        // Only now: it tells which policies there are.
        let session_policy = self.session_policy(parameters)?;
        let asked = match &session_policy {
            None => self.sessions.principals().asked.clone(),
            Some(policy) => self.sessions.principals().asked.and(policy.claims()),
        };
        let identity = proof.identity(&asked, now)?;
        if record.details.wanted {
            record.details.identity = Some(Box::new(identity.clone()));
        }
        let asking = Claimed { by, parameters, request, now };
        let answer = self.let_in_identity(asking, Shown { proof, subject }, identity, session_policy)?;
        record.details.makes(&answer.credentials, Some((&answer.arn, &answer.id)));
        answer.arn.clone_into(&mut record.principal);
        answer.credentials.access_key_id.as_str().clone_into(&mut record.access_key_id);
        Ok(xml::assume_role_with(by, &answer, request_id))
    }

    async fn prove(
        &self,
        by: ProvenBy,
        parameters: &Parameters,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Shown, StsError> {
        let ways = &self.ways;
        match by {
            ProvenBy::WebIdentity | ProvenBy::ClientGrants => {
                if ways.oidc.is_empty() {
                    return Err(not_offered(by));
                }
                let token = one_of(parameters, ["Token", "WebIdentityToken"], by)?;
                let access_token = parameters.value("WebIdentityAccessToken");
                let verified =
                    ways.oidc.identify(token, parameters.value("ProviderId"), access_token, now).await?;
                let oidc::Verified { proof, subject, audience, issuer } = verified;
                Ok(Shown { proof, subject: Some(Subject::OfToken { subject, audience, provider: issuer }) })
            }
            ProvenBy::LdapIdentity => {
                let ldap = ways.ldap.as_ref().ok_or_else(|| not_offered(by))?;
                let value = |name| parameters.value(name).unwrap_or_default();
                let proof =
                    ldap.identify(value("LDAPUsername"), value("LDAPPassword"), request.address).await?;
                Ok(Shown { proof, subject: None })
            }
            ProvenBy::Certificate => {
                let certificates = ways.certificate.as_ref().ok_or_else(|| not_offered(by))?;
                if !request.tls {
                    return Err(certificate::Error::InsecureConnection.into());
                }
                let proof = certificates.identify(request.certificates.unwrap_or_default(), now)?;
                Ok(Shown { proof, subject: None })
            }
            ProvenBy::CustomToken => {
                let webhook = ways.webhook.as_ref().ok_or_else(|| not_offered(by))?;
                let token = parameters.value("Token").filter(|token| !token.is_empty());
                let proof = webhook.identify(token.ok_or_else(|| missing("Token"))?, now).await?;
                let subject = Some(Subject::OfWebhook { user: proof.subject.clone() });
                Ok(Shown { proof, subject })
            }
        }
    }

    /// From a proof to credentials.
    fn let_in_identity(
        &self,
        claimed: Claimed<'_>,
        Shown { proof, subject }: Shown,
        identity: Identity,
        session_policy: Option<SessionPolicy>,
    ) -> Result<AssumedWith, StsError> {
        let principals = self.sessions.principals();
        let role = self.role_of(claimed)?;
        let (authority, most) = match &role {
            Some(role) => {
                let trusted = principals.directory.assume(role, Proven::Identity(&identity), None);
                trusted.ok_or_else(|| claimed.refused())?;
                let session_name = read_session_name(claimed.parameters, &identity.session_name())?;
                (
                    Authority::Role {
                        role: role.name.as_str().into(),
                        session_name: session_name.into(),
                        via: Vec::new(),
                    },
                    role.max_duration,
                )
            }
            None => (Authority::Own, self.settings.max_duration),
        };
        let identity = self.with_known_policies(identity);
        let base = match &role {
            Some(role) => principals.of_role(&role.name).cloned(),
            None => self.policies_without_a_role(&identity),
        };
        let base = base.ok_or_else(|| claimed.refused())?;
        let packed_policy_size = packed_size(session_policy.as_ref());
        let origin = Origin::Identity(Box::new(identity));
        let tags = SessionTags::default();
        let principal = principals.principal(&origin, &authority, &tags, None);
        let policies = EffectivePolicies { identity: base, session: None };
        let resource =
            role.as_ref().map_or_else(|| "*".to_owned(), |role| principals.account.role(&role.name));
        let asking = Asking {
            principal: &principal,
            policies: &policies,
            parameters: claimed.parameters,
            request: claimed.request,
            now: claimed.now,
        };
        asking.authorize(claimed.by.iam_action(), &resource, Needs::NoDeny, &RequestTags::default())?;
        let asked_for = claimed.now.plus(self.duration_of(claimed, most)?);
        let expires_at = proof.valid_until.map_or(asked_for, |end| end.min(asked_for));
        if expires_at <= claimed.now {
            // Good for a moment more by the leeway between clocks, but not for a session.
            return Err(oidc::Error::Expired.into());
        }
        let credentials =
            self.mint(Grant { origin, authority, session_policy, tags, expires_at }, claimed.now)?;
        let (arn, id) = (principal.arn, principal.user_id);
        Ok(AssumedWith { credentials, arn, id, packed_policy_size, subject })
    }

    fn role_of(&self, claimed: Claimed<'_>) -> Result<Option<Arc<Role>>, StsError> {
        // minio-go always sends one with a custom token, be it empty.
        let none = claimed.by == ProvenBy::CustomToken && claimed.parameters.value("RoleArn") == Some("");
        if none { Ok(None) } else { self.asked_role(claimed.parameters, |_| claimed.refused()) }
    }

    /// Of the names that a proof brings, those that name a policy: the claims of MinIO's users are often lists of groups of
    /// which some are policies.
    fn with_known_policies(&self, mut identity: Identity) -> Identity {
        identity.policies.retain(|name| self.sessions.principals().policies.contains(name));
        identity.policies.sort_unstable();
        identity.policies.dedup();
        identity
    }

    fn policies_without_a_role(&self, identity: &Identity) -> Option<Arc<crate::iam::PolicySet>> {
        let principals = self.sessions.principals();
        let names = principals.own_policies(identity);
        if names.is_empty() {
            return None;
        }
        principals.policies.resolve(&names).map(Arc::new)
    }

    /// `DurationSeconds`. MinIO's clients send the lifetime of their token, which may be shorter than any session here: it
    /// then counts as the shortest. In client grants, where nobody chose it, it may also be too long.
    fn duration_of(&self, claimed: Claimed<'_>, most: Duration) -> Result<Duration, StsError> {
        let of_token = matches!(claimed.by, ProvenBy::WebIdentity | ProvenBy::ClientGrants);
        let seconds = claimed.parameters.value("DurationSeconds").filter(|_| of_token);
        let asked = seconds
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs);
        let most = most.min(self.settings.max_duration);
        match asked {
            Some(asked) if !asked.is_zero() && asked < self.settings.min_duration => {
                Ok(self.settings.min_duration)
            }
            Some(asked) if asked > most && claimed.by == ProvenBy::ClientGrants => Ok(most),
            _ => self.duration(claimed.parameters, most),
        }
    }
}

/// A request of somebody who is proven, or is about to be.
#[derive(Clone, Copy)]
struct Claimed<'r> {
    by: ProvenBy,
    parameters: &'r Parameters,
    request: &'r Request<'r>,
    now: Timestamp,
}

impl Claimed<'_> {
    /// The same answer whether the role is not there or does not trust this identity, or nothing is granted without a role.
    fn refused(self) -> StsError {
        if self.by == ProvenBy::LdapIdentity {
            return login_refused().caused_by("no role and no policy is granted to this user");
        }
        StsError::sender(
            ErrorCode::AccessDenied,
            format!("Not authorized to perform {}", self.by.iam_action()),
        )
    }
}

/// The value of the one of these that is given.
fn one_of<'p>(
    parameters: &'p Parameters,
    names: [&'static str; 2],
    by: ProvenBy,
) -> Result<&'p str, StsError> {
    let own = if by == ProvenBy::WebIdentity { names[1] } else { names[0] };
    match names.map(|name| parameters.value(name)) {
        [Some(_), Some(_)] => Err(StsError::sender(
            ErrorCode::InvalidParameterValue,
            "Give one of Token and WebIdentityToken, not both.",
        )),
        [Some(token), None] | [None, Some(token)] if !token.is_empty() => Ok(token),
        _ => Err(missing(own)),
    }
}

fn missing(name: &str) -> StsError {
    StsError::sender(ErrorCode::MissingParameter, format!("The request must contain the parameter {name}."))
}

fn not_offered(by: ProvenBy) -> StsError {
    StsError::sender(ErrorCode::STSNotInitialized, format!("{} is not offered here.", by.action()))
}
