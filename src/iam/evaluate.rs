//! The decision: explicit Deny wins, then Allow by the identity's policies and by the session's, else no.
//!
//! AWS: "Policy evaluation logic".

use std::{fmt, sync::Arc};

use super::{policy::Policy, statement::Effect};

/// What is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// As IAM names it: `s3:GetObject`.
    pub action: &'a str,
    /// A whole ARN.
    pub resource: &'a str,
}

/// Policies by name.
#[derive(Debug, Clone, Default)]
pub struct PolicySet(Vec<(Arc<str>, Arc<Policy>)>);

impl PolicySet {
    pub fn new(policies: Vec<(Arc<str>, Arc<Policy>)>) -> Self {
        Self(policies)
    }

    /// An inline session policy.
    pub fn inline(policy: Arc<Policy>) -> Self {
        Self(vec![(Arc::from("session policy"), policy)])
    }

    fn first(&self, request: &Request<'_>, effect: Effect) -> Option<StatementRef<'_>> {
        self.0.iter().find_map(|(name, policy)| {
            let (index, statement) = policy
                .statements
                .iter()
                .enumerate()
                .find(|(_, statement)| statement.effect == effect && statement.applies_to(request))?;
            Some(StatementRef { policy: name, sid: statement.sid.as_deref(), index })
        })
    }
}

/// The statement that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementRef<'p> {
    pub policy: &'p str,
    pub sid: Option<&'p str>,
    pub index: usize,
}

impl fmt::Display for StatementRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sid {
            Some(sid) => write!(f, "statement `{sid}` of {}", self.policy),
            None => write!(f, "statement {} of {}", self.index, self.policy),
        }
    }
}

/// Which of the policies did not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeniedBy {
    Identity,
    Session,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'p> {
    Allow(StatementRef<'p>),
    ExplicitDeny(StatementRef<'p>, DeniedBy),
    ImplicitDeny(DeniedBy),
}

impl Decision<'_> {
    pub fn is_allow(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// What a session may do: the policies of its identity or role, narrowed by its session policies.
#[derive(Debug, Clone)]
pub struct EffectivePolicies {
    pub identity: Arc<PolicySet>,
    /// `None`: the session has none, and is not narrowed.
    pub session: Option<Arc<PolicySet>>,
}

impl EffectivePolicies {
    pub fn evaluate(&self, request: &Request<'_>) -> Decision<'_> {
        if let Some(statement) = self.identity.first(request, Effect::Deny) {
            return Decision::ExplicitDeny(statement, DeniedBy::Identity);
        }
        if let Some(statement) =
            self.session.as_ref().and_then(|session| session.first(request, Effect::Deny))
        {
            return Decision::ExplicitDeny(statement, DeniedBy::Session);
        }
        let Some(statement) = self.identity.first(request, Effect::Allow) else {
            return Decision::ImplicitDeny(DeniedBy::Identity);
        };
        match &self.session {
            Some(session) if session.first(request, Effect::Allow).is_none() => {
                Decision::ImplicitDeny(DeniedBy::Session)
            }
            _ => Decision::Allow(statement),
        }
    }
}
