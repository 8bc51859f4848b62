//! The decision: explicit Deny wins, then Allow by the identity's policies and by the session's, else no.
//!
//! AWS: "Policy evaluation logic".

use std::{fmt, sync::Arc};

use super::{
    action::{Action, ActionSet},
    context::Context,
    index::Index,
    policy::Policy,
    statement::{Effect, Statement},
};

/// What is to be decided.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub action: Action,
    /// A whole ARN.
    pub resource: &'a str,
    pub context: &'a dyn Context,
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.action.name(), self.resource)
    }
}

/// Policies by name, as one: what any of them allows and none of them denies.
#[derive(Debug, Default)]
pub struct PolicySet {
    policies: Vec<(Arc<str>, Arc<Policy>)>,
    /// Every statement: the place of its policy and its own.
    statements: Vec<(usize, usize)>,
    index: Option<Index>,
}

/// Below this many statements asking each is cheaper than looking them up.
const INDEXED_FROM: usize = 24;

impl PolicySet {
    pub fn new(policies: Vec<(Arc<str>, Arc<Policy>)>) -> Self {
        let statements: Vec<(usize, usize)> = policies
            .iter()
            .enumerate()
            .flat_map(|(place, (_, policy))| (0..policy.statements.len()).map(move |index| (place, index)))
            .collect();
        let mut set = Self { policies, statements, index: None };
        if set.statements.len() >= INDEXED_FROM {
            set.index = Some(Index::new(
                (0..set.statements.len()).filter_map(|at| set.statement(at).map(|found| found.1)),
            ));
        }
        set
    }

    /// An inline session policy.
    pub fn inline(policy: Arc<Policy>) -> Self {
        Self::new(vec![(Arc::from("session policy"), policy)])
    }

    pub fn policies(&self) -> &[(Arc<str>, Arc<Policy>)] {
        &self.policies
    }

    pub(super) fn statement(&self, at: usize) -> Option<(StatementRef<'_>, &Statement)> {
        let (place, index) = *self.statements.get(at)?;
        let (name, policy) = self.policies.get(place)?;
        let statement = policy.statements.get(index)?;
        Some((StatementRef { policy: name, sid: statement.sid.as_deref(), index }, statement))
    }

    /// The actions of those statements; of denials only those that hold whatever the request says.
    fn actions_of(&self, effect: Effect, concerns: impl Fn(&Statement) -> bool) -> ActionSet {
        self.statements()
            .map(|(_, statement)| statement)
            .filter(|statement| statement.effect == effect && concerns(statement))
            .filter(|statement| effect == Effect::Allow || !statement.has_conditions())
            .fold(ActionSet::default(), |all, statement| all.either(statement.actions))
    }

    pub(super) fn statements(&self) -> impl Iterator<Item = (StatementRef<'_>, &Statement)> {
        (0..self.statements.len()).filter_map(|at| self.statement(at))
    }

    /// The statement that denies, or the first that allows.
    fn verdict(&self, request: &Request<'_>) -> Option<(StatementRef<'_>, Effect)> {
        let mut allowed = None;
        let mut look = |at: usize| {
            let (name, statement) = self.statement(at)?;
            // One that allows is enough; only a denial can still change anything.
            if (allowed.is_none() || statement.effect == Effect::Deny) && statement.applies_to(request) {
                match statement.effect {
                    Effect::Deny => return Some(name),
                    Effect::Allow => allowed = Some(name),
                }
            }
            None
        };
        let denied = match &self.index {
            None => (0..self.statements.len()).find_map(&mut look),
            Some(index) => index.candidates(request).find_map(&mut look),
        };
        denied.map(|name| (name, Effect::Deny)).or(allowed.map(|name| (name, Effect::Allow)))
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
    /// Whether some right of S3 is given on something whose ARN begins so, and not taken away from all of it. Conditions are
    /// not asked: they may hold for some request.
    pub fn may_reach(&self, beginning: &str, context: &dyn Context) -> bool {
        self.some_right(
            |statement| statement.resources.may_include_below(beginning, context),
            |statement| statement.resources.include_all_below(beginning, context),
        )
    }

    /// Whether some right of S3 is given on exactly this.
    pub fn may_name(&self, resource: &str, context: &dyn Context) -> bool {
        let names = |statement: &Statement| statement.resources.include(resource, context) == Ok(true);
        self.some_right(names, names)
    }

    fn some_right(&self, gives: impl Fn(&Statement) -> bool, takes: impl Fn(&Statement) -> bool) -> bool {
        let mut allowed = self.identity.actions_of(Effect::Allow, &gives);
        let mut denied = self.identity.actions_of(Effect::Deny, &takes);
        if let Some(session) = &self.session {
            allowed = allowed.both(session.actions_of(Effect::Allow, &gives));
            denied = denied.either(session.actions_of(Effect::Deny, &takes));
        }
        allowed.both(denied.inverted()).has_any_of("s3:")
    }

    pub fn evaluate(&self, request: &Request<'_>) -> Decision<'_> {
        let identity = self.identity.verdict(request);
        if let Some((statement, Effect::Deny)) = identity {
            return Decision::ExplicitDeny(statement, DeniedBy::Identity);
        }
        let session = self.session.as_ref().map(|session| session.verdict(request));
        if let Some(Some((statement, Effect::Deny))) = session {
            return Decision::ExplicitDeny(statement, DeniedBy::Session);
        }
        match (identity, session) {
            (None, _) => Decision::ImplicitDeny(DeniedBy::Identity),
            (Some(_), Some(None)) => Decision::ImplicitDeny(DeniedBy::Session),
            (Some((statement, _)), _) => Decision::Allow(statement),
        }
    }
}
