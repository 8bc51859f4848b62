//! What policies say of STS actions.

use super::{
    Call,
    error::{ErrorCode, StsError},
    session_tags::RequestTags,
};
use super::{Request, parameters::Parameters};
use crate::{
    clock::Timestamp,
    iam::{self, ConditionKey, Context, Decision, DeniedBy, EffectivePolicies, Plain, Principal, Values},
};

/// What an action needs of the caller's policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// A statement that allows it.
    Allow,
    /// No statement that denies it: a role's trust, or the user's own key, is enough.
    NoDeny,
}

/// Somebody who asks STS for something, with the policies that are asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) principal: &'a Principal,
    pub(super) policies: &'a EffectivePolicies,
    pub(super) parameters: &'a Parameters,
    pub(super) request: &'a Request<'a>,
    pub(super) now: Timestamp,
}

/// An STS request, as policies see it.
struct StsContext<'a> {
    asking: Asking<'a>,
    tags: &'a RequestTags,
}

impl Context for StsContext<'_> {
    fn values<'c>(&'c self, key: &ConditionKey) -> Values<'c> {
        if let Some(values) = self.asking.principal.values(key) {
            return values;
        }
        let parameter = |name: &str| Values::of(self.asking.parameters.value(name));
        let request = self.asking.request;
        let header =
            |name: &str| Values::of(request.head.headers.get(name).and_then(|value| value.to_str().ok()));
        match key {
            ConditionKey::RequestTag(tag) => Values::of(self.tags.value(tag)),
            ConditionKey::Plain(plain) => match plain {
                Plain::CurrentTime => Values::owned(Some(self.asking.now.rfc3339())),
                Plain::EpochTime => Values::owned(Some(self.asking.now.unix().to_string())),
                Plain::SourceIp => Values::owned(Some(request.address.to_canonical().to_string())),
                Plain::SecureTransport => Values::of(Some(if request.tls { "true" } else { "false" })),
                Plain::UserAgent => header("user-agent"),
                Plain::Referer => header("referer"),
                Plain::TagKeys => self.tags.keys(),
                Plain::ResourceAccount => Values::of(Some(self.asking.principal.account.as_str())),
                Plain::StsDurationSeconds => parameter("DurationSeconds"),
                Plain::StsExternalId => parameter("ExternalId"),
                Plain::StsRoleSessionName => parameter("RoleSessionName"),
                Plain::StsTransitiveTagKeys => self.tags.transitive_keys(),
                _ => Values::Missing,
            },
            _ => Values::Missing,
        }
    }
}

impl<'r> Call<'r> {
    /// The caller, with its own policies.
    pub(super) fn asking(self) -> Asking<'r> {
        Asking {
            principal: self.caller.principal(),
            policies: self.caller.policies(),
            parameters: self.parameters,
            request: self.request,
            now: self.now,
        }
    }
}

impl Asking<'_> {
    /// Asks the policies.
    pub(super) fn authorize(
        self,
        action: &'static str,
        resource: &str,
        needs: Needs,
        tags: &RequestTags,
    ) -> Result<(), StsError> {
        let Some(known) = iam::Action::named(action) else {
            return Err(StsError::receiver(ErrorCode::InternalFailure, "The action is not known."));
        };
        let context = StsContext { asking: self, tags };
        let decision = self.policies.evaluate(&iam::Request { action: known, resource, context: &context });
        let why = match decision {
            Decision::Allow(_) => return Ok(()),
            Decision::ImplicitDeny(_) if needs == Needs::NoDeny => return Ok(()),
            Decision::ImplicitDeny(by) => {
                format!("because no {} policy allows the {action} action", kind_of(by))
            }
            Decision::ExplicitDeny(_, by) => {
                let article = if by == DeniedBy::Identity { "an" } else { "a" };
                format!("with an explicit deny in {article} {} policy", kind_of(by))
            }
        };
        let arn = &self.principal.arn;
        let message =
            format!("User: {arn} is not authorized to perform: {action} on resource: {resource} {why}");
        Err(StsError::sender(ErrorCode::AccessDenied, message))
    }
}

fn kind_of(by: DeniedBy) -> &'static str {
    match by {
        DeniedBy::Identity => "identity-based",
        DeniedBy::Session => "session",
    }
}
