//! `GetFederationToken`: temporary credentials for somebody that the caller vouches for, with a part of the caller's rights.

use std::time::Duration;

use super::{
    Call, Service,
    authorize::Needs,
    error::{ErrorCode, StsError},
    session_policy::packed_size,
    session_tags::RequestTags,
};
use crate::credentials::{Authority, Grant, Origin, SessionTags, TemporaryCredentials};

/// AWS: 12 hours when nothing is asked for.
const DEFAULT: Duration = Duration::from_secs(12 * 60 * 60);

/// What the answer says.
#[derive(Debug)]
pub(super) struct Federated {
    pub(super) credentials: TemporaryCredentials,
    pub(super) arn: String,
    pub(super) id: String,
    pub(super) packed_policy_size: Option<usize>,
}

impl Service {
    pub(super) fn get_federation_token(&self, call: Call<'_>) -> Result<Federated, StsError> {
        call.parameters.only(&["Name", "DurationSeconds", "Policy", "PolicyArns.member.N.arn"])?;
        let user = self.long_term_user(call.caller)?;
        let name = read_name(call.parameters.value("Name"))?;
        let account = &self.sessions.principals().account;
        let arn = account.federated_user(&name);
        call.asking().authorize("sts:GetFederationToken", &arn, Needs::Allow, &RequestTags::default())?;
        let session_policy = self.session_policy(call.parameters)?;
        let packed_policy_size = packed_size(session_policy.as_ref());
        let duration = match call.parameters.value("DurationSeconds") {
            None => DEFAULT.min(self.settings.max_duration),
            Some(_) => self.duration(call.parameters, self.settings.max_duration)?,
        };
        let grant = Grant {
            origin: Origin::User(user.name.as_str().into()),
            authority: Authority::Federated { name: name.as_str().into() },
            session_policy,
            tags: SessionTags::default(),
            expires_at: call.now.plus(duration),
        };
        let credentials = self.mint(grant, call.now)?;
        Ok(Federated { credentials, arn, id: format!("{account}:{name}"), packed_policy_size })
    }
}

/// 2 to 32 characters of `[\w+=,.@-]` (AWS).
fn read_name(name: Option<&str>) -> Result<String, StsError> {
    let Some(name) = name else {
        return Err(StsError::sender(
            ErrorCode::MissingParameter,
            "The request must contain the parameter Name.",
        ));
    };
    let good = (2..=32).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
    if good {
        return Ok(name.to_owned());
    }
    Err(StsError::sender(
        ErrorCode::ValidationError,
        "1 validation error detected: Name must satisfy regular expression pattern: [\\w+=,.@-]{2,32}",
    ))
}
