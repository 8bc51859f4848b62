//! Why a request is decided as it is: for every statement how far it went, and which came nearest.

use std::fmt;

use super::{
    context::Values,
    evaluate::{EffectivePolicies, PolicySet, Request, StatementRef},
    statement::{Effect, Statement},
};

/// How far a statement went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered<'p> {
    pub statement: StatementRef<'p>,
    pub effect: Effect,
    /// It stands in a session policy.
    pub of_session: bool,
    pub action: bool,
    pub resource: bool,
    pub conditions: Vec<Tried>,
}

/// One condition, and what the request said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    pub condition: String,
    pub held: bool,
    /// The key and its values; `None`: the request does not say.
    pub key: String,
    pub values: Option<Vec<String>>,
}

impl Considered<'_> {
    pub fn applies(&self) -> bool {
        self.action && self.resource && self.conditions.iter().all(|tried| tried.held)
    }

    /// How near it came: the action, then the resource, then as many conditions as possible.
    fn nearness(&self) -> (bool, bool, usize) {
        let missed = self.conditions.iter().filter(|tried| !tried.held).count();
        (self.action, self.action && self.resource, usize::MAX - missed)
    }
}

impl fmt::Display for Considered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missed: Vec<String> = self
            .conditions
            .iter()
            .filter(|tried| !tried.held)
            .map(|tried| match &tried.values {
                None => format!("{}: the request has no {}", tried.condition, tried.key),
                Some(values) => format!("{}: {} is {}", tried.condition, tried.key, values.join(", ")),
            })
            .collect();
        match (self.action, self.resource) {
            (false, _) => f.write_str("its actions are others"),
            (true, false) => f.write_str("its resources are others"),
            (true, true) if missed.is_empty() => f.write_str("it applies"),
            (true, true) => write!(f, "its conditions do not hold: {}", missed.join("; ")),
        }
    }
}

impl EffectivePolicies {
    /// Every statement, in the order of the policies.
    pub fn consider(&self, request: &Request<'_>) -> Vec<Considered<'_>> {
        let session = self.session.as_deref().map(|set| (set, true));
        std::iter::once((&*self.identity, false))
            .chain(session)
            .flat_map(|(set, of_session)| consider(set, of_session, request))
            .collect()
    }
}

fn consider<'p>(
    set: &'p PolicySet,
    of_session: bool,
    request: &Request<'_>,
) -> impl Iterator<Item = Considered<'p>> {
    set.statements().map(move |(name, statement)| Considered {
        statement: name,
        effect: statement.effect,
        of_session,
        action: statement.actions.contains(request.action),
        resource: statement.resources.include(request.resource, request.context) == Ok(true),
        conditions: tried(statement, request),
    })
}

fn tried(statement: &Statement, request: &Request<'_>) -> Vec<Tried> {
    let values = |values: Values<'_>| match values {
        Values::Missing => None,
        Values::One(value) => Some(vec![value.into_owned()]),
        Values::Many(values) => Some(values.into_iter().map(std::borrow::Cow::into_owned).collect()),
    };
    let conditions = statement.conditions.iter();
    conditions
        .map(|condition| Tried {
            condition: condition.to_string(),
            held: condition.holds(request.context) == Ok(true),
            key: condition.key().to_string(),
            values: values(request.context.values(condition.key())),
        })
        .collect()
}

/// The statement that would allow and came nearest, when none does.
pub fn nearest<'c, 'p>(considered: &'c [Considered<'p>], of_session: bool) -> Option<&'c Considered<'p>> {
    considered
        .iter()
        .filter(|one| one.effect == Effect::Allow && one.of_session == of_session)
        .max_by_key(|one| one.nearness())
}
