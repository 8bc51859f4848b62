//! `AssumeRole` by a long-term key.

use std::sync::Arc;

use super::{
    MAX_SESSION_POLICY, Service,
    error::{ErrorCode, StsError},
    parameters::Parameters,
};
use crate::{
    arn::RoleArn,
    clock::Timestamp,
    credentials::{Authenticated, Authority, Grant, TemporaryCredentials},
    iam::Policy,
    identity::{Role, User},
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
    "ExternalId",
    // MinIO's, a label for a later mass revocation.
    "TokenRevokeType",
];

impl Service {
    pub(super) fn assume_role(
        &self,
        caller: &Authenticated,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<Assumed, StsError> {
        parameters.only(PARAMETERS)?;
        let user = self.long_term_user(caller)?;
        let role = self.asked_role(&user, parameters)?;
        let session_name = read_session_name(parameters)?;
        let most = role.as_ref().map_or(self.settings.max_duration, |role| role.max_duration);
        let expires_at = now.plus(self.duration(parameters, most)?);
        let session_policy = read_session_policy(parameters)?;
        let packed_policy_size =
            session_policy.as_ref().map(|(document, _)| (document.len() * 100).div_ceil(MAX_SESSION_POLICY));
        let account = &self.sessions.principals().account;
        let (authority, arn) = match role {
            Some(role) => {
                let arn = account.assumed_role(&role.name, &session_name);
                (Authority::Role { role: role.name.clone(), session_name: session_name.clone() }, Some(arn))
            }
            None => (Authority::User, None),
        };
        let grant = Grant { user: user.name.clone(), authority, session_policy, expires_at };
        let credentials = self.mint(grant, now)?;
        let assumed_role =
            arn.map(|arn| AssumedRole { arn, id: format!("{}:{session_name}", role_id(&user)) });
        Ok(Assumed { credentials, assumed_role, packed_policy_size })
    }

    /// The user of a long-term key. A session may not make another one: its limits would have to be handed on.
    pub(super) fn long_term_user(&self, caller: &Authenticated) -> Result<Arc<User>, StsError> {
        if caller.session().is_temporary() {
            return Err(StsError::sender(
                ErrorCode::AccessDenied,
                "Cannot call this action with temporary credentials; sign it with a long-term key.",
            ));
        }
        self.sessions.principals().directory.user(&caller.session().user).cloned().ok_or_else(access_denied)
    }

    pub(super) fn mint(&self, grant: Grant, now: Timestamp) -> Result<TemporaryCredentials, StsError> {
        self.sessions.mint(grant, now).map_err(|cause| {
            StsError::receiver(ErrorCode::InternalFailure, "The credentials could not be made.")
                .caused_by(cause)
        })
    }

    /// The role that was asked for and may be had; `None` when none was asked for.
    fn asked_role(&self, user: &User, parameters: &Parameters) -> Result<Option<Arc<Role>>, StsError> {
        let Some(text) = parameters.value("RoleArn") else { return Ok(None) };
        let principals = self.sessions.principals();
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
        let Some(role) = known else {
            if self.settings.ignore_unknown_role_arn {
                return Ok(None);
            }
            return Err(not_authorized(&principals.account.user(&user.name), text));
        };
        // The same answer whether the role is not there or may not be had: nobody learns which roles there are.
        let external_id_fits =
            role.external_id.as_deref().is_none_or(|wanted| parameters.value("ExternalId") == Some(wanted));
        if !user.roles.contains(&role.name) || !external_id_fits {
            return Err(not_authorized(&principals.account.user(&user.name), text));
        }
        Ok(Some(role.clone()))
    }
}

fn not_authorized(user: &str, role: &str) -> StsError {
    StsError::sender(
        ErrorCode::AccessDenied,
        format!("User: {user} is not authorized to perform: sts:AssumeRole on resource: {role}"),
    )
}

pub(super) fn access_denied() -> StsError {
    StsError::sender(ErrorCode::AccessDenied, "Access denied.")
}

/// Stands for AWS's unique id of a role.
fn role_id(user: &User) -> String {
    format!("AROA{}", user.access_key_id.as_str().trim_start_matches("AKIA"))
}

/// 2 to 64 characters of `[\w+=,.@-]` (AWS). MinIO's clients may leave it out.
fn read_session_name(parameters: &Parameters) -> Result<String, StsError> {
    let Some(name) = parameters.value("RoleSessionName") else { return Ok("daypass".to_owned()) };
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

/// An empty policy is refused, it is not none.
fn read_session_policy(parameters: &Parameters) -> Result<Option<(String, Arc<Policy>)>, StsError> {
    let Some(document) = parameters.value("Policy") else { return Ok(None) };
    if document.chars().count() > MAX_SESSION_POLICY {
        return Err(StsError::sender(
            ErrorCode::PackedPolicyTooLarge,
            format!("The session policy must not be longer than {MAX_SESSION_POLICY} characters."),
        ));
    }
    let policy = Policy::parse(document).map_err(|error| {
        StsError::sender(
            ErrorCode::MalformedPolicyDocument,
            format!("The policy is not in the valid JSON format: {error}"),
        )
    })?;
    Ok(Some((document.to_owned(), Arc::new(policy))))
}
