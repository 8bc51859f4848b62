//! What a caller narrows a session to: `Policy` and `PolicyArns`.

use std::sync::Arc;

use super::{
    Service,
    error::{ErrorCode, StsError},
    parameters::Parameters,
};
use crate::{credentials::SessionPolicy, iam::Policy};

/// Of an inline session policy, in characters (AWS: `Policy`).
const MAX_INLINE: usize = 2048;
/// AWS: `PolicyArns`.
const MAX_ARNS: usize = 10;

impl Service {
    /// An empty policy is refused, it is not none.
    pub(super) fn session_policy(&self, parameters: &Parameters) -> Result<Option<SessionPolicy>, StsError> {
        let inline = parameters.value("Policy").map(read_inline).transpose()?;
        let names = self.policy_names(parameters)?;
        Ok((inline.is_some() || !names.is_empty()).then_some(SessionPolicy { inline, names }))
    }

    fn policy_names(&self, parameters: &Parameters) -> Result<Vec<String>, StsError> {
        let principals = self.sessions.principals();
        let members = parameters.members("PolicyArns", &["arn"])?;
        if members.len() > MAX_ARNS {
            return Err(invalid(format!("PolicyArns must have {MAX_ARNS} members at the most.")));
        }
        let prefix = principals.account.policy("");
        let mut names: Vec<String> = Vec::new();
        for member in members {
            let [arn] = member.as_slice() else { return Err(invalid("A member of PolicyArns has no arn.")) };
            let arn = arn.as_deref().unwrap_or_default();
            let known = arn.strip_prefix(&prefix).filter(|name| principals.policies.contains(name));
            let Some(name) = known else {
                return Err(invalid("PolicyArns names a policy that is not there."));
            };
            if names.iter().any(|other| other == name) {
                return Err(invalid("PolicyArns names a policy twice."));
            }
            names.push(name.to_owned());
        }
        Ok(names)
    }
}

/// How much of the room for an inline policy is used, in percent.
pub(super) fn packed_size(policy: Option<&SessionPolicy>) -> Option<usize> {
    let (document, _) = policy?.inline.as_ref()?;
    Some((document.chars().count() * 100).div_ceil(MAX_INLINE))
}

fn read_inline(document: &str) -> Result<(String, Arc<Policy>), StsError> {
    if document.chars().count() > MAX_INLINE {
        return Err(StsError::sender(
            ErrorCode::PackedPolicyTooLarge,
            format!("The session policy must not be longer than {MAX_INLINE} characters."),
        ));
    }
    let policy = Policy::parse(document).map_err(|error| {
        StsError::sender(
            ErrorCode::MalformedPolicyDocument,
            format!("The policy is not in the valid JSON format: {error}"),
        )
    })?;
    Ok((document.to_owned(), Arc::new(policy)))
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> StsError {
    StsError::sender(ErrorCode::ValidationError, message)
}
