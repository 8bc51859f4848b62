//! `AssumeRole`: by a long-term key, or by a session whose policies allow it.

use std::sync::Arc;

use super::{
    Call, LONGEST_CHAINED, Service,
    authorize::Needs,
    error::{ErrorCode, StsError},
    parameters::Parameters,
    session_policy::packed_size,
    session_tags::RequestTags,
};
use crate::{
    arn::RoleArn,
    clock::Timestamp,
    credentials::{
        Authenticated, Authority, Grant, MintError, Origin, SessionPolicy, SessionTags, TemporaryCredentials,
        role_id,
    },
    identity::{Proven, Role, User},
};

/// What the answer says.
#[derive(Debug)]
pub(super) struct Assumed {
    pub(super) credentials: TemporaryCredentials,
    /// `None`: no role was asked for.
    pub(super) assumed_role: Option<AssumedRole>,
    /// How much of the room for a session policy is used, in percent.
    pub(super) packed_policy_size: Option<usize>,
}

#[derive(Debug)]
pub(super) struct AssumedRole {
    pub(super) arn: String,
    pub(super) id: String,
}

const PARAMETERS: &[&str] = &[
    "RoleArn",
    "RoleSessionName",
    "DurationSeconds",
    "Policy",
    "PolicyArns.member.N.arn",
    "ExternalId",
    "Tags.member.N.Key",
    "Tags.member.N.Value",
    "TransitiveTagKeys.member.N",
    // MinIO's, a label for a later mass revocation.
    "TokenRevokeType",
];

impl Service {
    pub(super) fn assume_role(&self, call: Call<'_>) -> Result<Assumed, StsError> {
        call.parameters.only(PARAMETERS)?;
        let session_name = read_session_name(call.parameters, "daypass")?;
        let session_policy = self.session_policy(call.parameters)?;
        let packed_policy_size = packed_size(session_policy.as_ref());
        let tags = RequestTags::read(call.parameters)?;
        let Some(role) =
            self.asked_role(call.parameters, |arn| not_authorized(&call.caller.principal().arn, arn))?
        else {
            let credentials = self.as_oneself(call, session_policy, &tags)?;
            return Ok(Assumed { credentials, assumed_role: None, packed_policy_size });
        };
        let tags = self.let_in(call, &role, tags)?;
        let (via, most) = match &call.caller.session().authority {
            Authority::Role { role: by, via, .. } => {
                let via = via.iter().cloned().chain([by.clone()]).collect();
                (via, role.max_duration.min(LONGEST_CHAINED))
            }
            // Whoever was proven by another has temporary credentials already, and those of a role are made from them.
            Authority::Own if call.caller.session().is_temporary() => {
                (Vec::new(), role.max_duration.min(LONGEST_CHAINED))
            }
            Authority::Own | Authority::Federated { .. } => (Vec::new(), role.max_duration),
        };
        let authority = Authority::Role {
            role: role.name.as_str().into(),
            session_name: session_name.as_str().into(),
            via,
        };
        let asked_for = call.now.plus(self.duration(call.parameters, most)?);
        let identity = call.caller.identity();
        let valid_until = identity.and_then(|identity| identity.valid_until);
        let expires_at = valid_until.map_or(asked_for, |end| end.min(asked_for));
        let origin = match identity {
            Some(identity) => Origin::Identity(Box::new(identity.clone())),
            None => call.caller.session().origin.clone(),
        };
        let credentials =
            self.mint(Grant { origin, authority, session_policy, tags, expires_at }, call.now)?;
        let arn = self.sessions.principals().account.assumed_role(&role.name, &session_name);
        let assumed_role = Some(AssumedRole { arn, id: format!("{}:{session_name}", role_id(&role.name)) });
        Ok(Assumed { credentials, assumed_role, packed_policy_size })
    }

    /// Without a role, as MinIO's clients ask: the user's own rights.
    fn as_oneself(
        &self,
        call: Call<'_>,
        session_policy: Option<SessionPolicy>,
        tags: &RequestTags,
    ) -> Result<TemporaryCredentials, StsError> {
        let user = self.long_term_user(call.caller)?;
        if !tags.is_empty() {
            return Err(StsError::sender(
                ErrorCode::ValidationError,
                "Tags can be set with a RoleArn alone: the role's trust says which.",
            ));
        }
        let arn = self.sessions.principals().account.user(&user.name);
        call.asking().authorize("sts:AssumeRole", &arn, Needs::NoDeny, tags)?;
        let expires_at = call.now.plus(self.duration(call.parameters, self.settings.max_duration)?);
        let tags = SessionTags::default();
        let grant = Grant {
            origin: Origin::User(user.name.as_str().into()),
            authority: Authority::Own,
            session_policy,
            tags,
            expires_at,
        };
        self.mint(grant, call.now)
    }

    /// Whether the role trusts the caller, the caller's policies agree, and the tags may be set.
    fn let_in(&self, call: Call<'_>, role: &Role, tags: RequestTags) -> Result<SessionTags, StsError> {
        let principals = self.sessions.principals();
        let session = call.caller.session();
        let arn = principals.account.role(&role.name);
        let refused = || not_authorized(&call.caller.principal().arn, &arn);
        let proven = match (&session.authority, &session.origin) {
            (Authority::Own, Origin::User(name)) => {
                Proven::User(principals.directory.user(name).ok_or_else(refused)?)
            }
            (Authority::Own, Origin::Identity(_)) => {
                Proven::Identity(call.caller.identity().ok_or_else(refused)?)
            }
            (Authority::Role { role, .. }, _) => Proven::Role(role),
            // AWS: no role can be assumed with the credentials of GetFederationToken.
            (Authority::Federated { .. }, _) => return Err(refused()),
        };
        // The same answer whether the role is not there or may not be had: nobody learns which roles there are.
        let external_id = call.parameters.value("ExternalId");
        let trust = principals.directory.assume(role, proven, external_id).ok_or_else(refused)?;
        let needs = if session.is_temporary() { Needs::Allow } else { Needs::NoDeny };
        call.asking().authorize("sts:AssumeRole", &arn, needs, &tags).map_err(|_| refused())?;
        if let Some(key) = tags.iter_keys().find(|key| !trust.allows_tag(key)) {
            return Err(StsError::sender(
                ErrorCode::AccessDenied,
                format!(
                    "User: {} is not authorized to perform: sts:TagSession on resource: {arn} with the tag key {key}",
                    call.caller.principal().arn
                ),
            ));
        }
        if !tags.is_empty() {
            call.asking().authorize("sts:TagSession", &arn, Needs::NoDeny, &tags)?;
        }
        tags.with_inherited(session.tags())
    }

    /// The user of a long-term key.
    pub(super) fn long_term_user(&self, caller: &Authenticated) -> Result<Arc<User>, StsError> {
        if caller.session().is_temporary() {
            return Err(StsError::sender(
                ErrorCode::AccessDenied,
                "Cannot call this action with temporary credentials; sign it with a long-term key.",
            ));
        }
        let directory = &self.sessions.principals().directory;
        caller
            .session()
            .origin
            .user()
            .and_then(|name| directory.user(name))
            .cloned()
            .ok_or_else(access_denied)
    }

    pub(super) fn mint(&self, grant: Grant, now: Timestamp) -> Result<TemporaryCredentials, StsError> {
        self.sessions.mint(grant, now).map_err(|cause| match cause {
            MintError::TooLarge => StsError::sender(
                ErrorCode::PackedPolicyTooLarge,
                "The session policy, tags and claims are together more than fits into a session token.",
            ),
            MintError::Unspecified(_) => {
                StsError::receiver(ErrorCode::InternalFailure, "The credentials could not be made.")
                    .caused_by(cause)
            }
        })
    }

    /// The role that was asked for; `None` when none was. `refused` is the answer for one that is not there.
    pub(super) fn asked_role(
        &self,
        parameters: &Parameters,
        refused: impl FnOnce(&str) -> StsError,
    ) -> Result<Option<Arc<Role>>, StsError> {
        let Some(text) = parameters.value("RoleArn") else { return Ok(None) };
        let principals = self.sessions.principals();
        if let Some(role) = principals.directory.role_by_alias(text) {
            return Ok(Some(role.clone()));
        }
        let known = match RoleArn::parse(text) {
            None => {
                return Err(StsError::sender(
                    ErrorCode::ValidationError,
                    "1 validation error detected: RoleArn is no valid ARN.",
                ));
            }
            Some(RoleArn::Role { account, name }) if account == principals.account.as_str() => {
                principals.directory.role(name)
            }
            Some(RoleArn::Role { .. } | RoleArn::Foreign) => None,
        };
        match known {
            Some(role) => Ok(Some(role.clone())),
            None if self.settings.ignore_unknown_role_arn => Ok(None),
            None => Err(refused(text)),
        }
    }
}

fn not_authorized(user: &str, role: &str) -> StsError {
    StsError::sender(
        ErrorCode::AccessDenied,
        format!("User: {user} is not authorized to perform: sts:AssumeRole on resource: {role}"),
    )
}

fn access_denied() -> StsError {
    StsError::sender(ErrorCode::AccessDenied, "Access denied.")
}

/// 2 to 64 characters of `[\w+=,.@-]` (AWS). MinIO's clients may leave it out.
pub(super) fn read_session_name(parameters: &Parameters, default: &str) -> Result<String, StsError> {
    let Some(name) = parameters.value("RoleSessionName") else { return Ok(default.to_owned()) };
    let good = (2..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
    if good {
        return Ok(name.to_owned());
    }
    Err(StsError::sender(
        ErrorCode::ValidationError,
        "1 validation error detected: RoleSessionName must satisfy regular expression pattern: [\\w+=,.@-]{2,64}",
    ))
}
