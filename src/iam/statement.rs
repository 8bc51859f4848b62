//! A statement, compiled.

use super::{
    action::ActionSet,
    condition::{Condition, Unresolved, resolve},
    context::Context,
    evaluate::Request,
    json::Json,
    key::ConditionKey,
    pattern::Pattern,
    policy::{PolicyError, string, unknown},
    variable::Variable,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Allow,
    Deny,
}

/// One statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub(super) sid: Option<Box<str>>,
    pub(super) effect: Effect,
    pub(super) actions: ActionSet,
    pub(super) resources: Resources,
    pub(super) conditions: Box<[Condition]>,
    pub(super) written: Written,
}

/// `Resource` or `NotResource`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resources {
    pub(super) patterns: Box<[Pattern]>,
    pub(super) inverted: bool,
}

/// A statement as its author wrote it, for lints and explanations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub actions: Box<[String]>,
    pub not_action: bool,
    pub resources: Box<[String]>,
    pub not_resource: bool,
}

const ELEMENTS: &[&str] = &["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];

/// The two ways to write a list of actions or resources.
type Selection = (Vec<String>, bool);

impl Statement {
    pub(super) fn compile(json: Json, place: &str) -> Result<Self, PolicyError> {
        let Json::Object(members) = json else {
            return Err(PolicyError::at(place, format!("a statement is an object, this is {}", json.kind())));
        };
        let (mut sid, mut effect, mut actions, mut resources) = (None, None, None, None);
        let mut conditions = Vec::new();
        for (name, value) in members {
            let at = format!("{place}/{name}");
            match name.as_str() {
                "Sid" => sid = read_sid(value, &at)?,
                "Effect" => effect = Some(read_effect(value, &at)?),
                "Action" => set_once(&mut actions, (strings(value, &at)?, false), &at, "Action")?,
                "NotAction" => set_once(&mut actions, (strings(value, &at)?, true), &at, "Action")?,
                "Resource" => set_once(&mut resources, (strings(value, &at)?, false), &at, "Resource")?,
                "NotResource" => set_once(&mut resources, (strings(value, &at)?, true), &at, "Resource")?,
                "Condition" => conditions = Condition::compile(value, &at)?,
                other => return Err(unknown(place, other, ELEMENTS)),
            }
        }
        let missing = |what: &str| PolicyError::at(place, format!("{what} is missing"));
        let (actions, not_action) = actions.ok_or_else(|| missing("`Action` or `NotAction`"))?;
        let (resources, not_resource) = resources.ok_or_else(|| {
            missing("`Resource` (write \"*\" for an action that has none) or `NotResource`")
        })?;
        let selected = read_actions(&actions, &format!("{place}/{}", not("Action", not_action)))?;
        let at = format!("{place}/{}", not("Resource", not_resource));
        let patterns = read_resources(&resources, &at)?;
        Ok(Self {
            sid,
            effect: effect.ok_or_else(|| missing("`Effect`"))?,
            actions: if not_action { selected.inverted() } else { selected },
            resources: Resources { patterns, inverted: not_resource },
            conditions: conditions.into(),
            written: Written {
                actions: actions.into(),
                not_action,
                resources: resources.into(),
                not_resource,
            },
        })
    }

    pub(super) fn applies_to(&self, request: &Request<'_>) -> bool {
        self.actions.contains(request.action)
            && self.resources.include(request.resource, request.context) == Ok(true)
            && self.conditions.iter().all(|condition| condition.holds(request.context) == Ok(true))
    }

    /// Every condition key that it may ask for.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ConditionKey> {
        let resources = self.resources.patterns.iter().flat_map(Pattern::variables).map(Variable::key);
        resources.chain(self.conditions.iter().flat_map(Condition::keys))
    }

    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    pub fn effect(&self) -> Effect {
        self.effect
    }

    pub fn written(&self) -> &Written {
        &self.written
    }

    pub fn has_conditions(&self) -> bool {
        !self.conditions.is_empty()
    }
}

impl Resources {
    pub(super) fn include(&self, resource: &str, context: &dyn Context) -> Result<bool, Unresolved> {
        let mut unresolved = false;
        for pattern in &self.patterns {
            match resolve(pattern, context) {
                Ok(values) if pattern.matches_with(resource, &values) => return Ok(!self.inverted),
                Ok(_) => {}
                Err(Unresolved) => unresolved = true,
            }
        }
        // What a variable without a value would have named is not known: "all but that" cannot be said either.
        if unresolved { Err(Unresolved) } else { Ok(self.inverted) }
    }
}

impl Resources {
    /// Whether they could include anything that begins so.
    pub(super) fn may_include_below(&self, beginning: &str, context: &dyn Context) -> bool {
        self.inverted
            || self.patterns.iter().any(|pattern| {
                resolve(pattern, context).is_ok_and(|values| pattern.may_match_below(beginning, &values))
            })
    }

    /// Whether they include everything that begins so.
    pub(super) fn include_all_below(&self, beginning: &str, context: &dyn Context) -> bool {
        if self.inverted {
            return self.patterns.iter().all(|pattern| {
                resolve(pattern, context).is_ok_and(|values| !pattern.may_match_below(beginning, &values))
            });
        }
        self.patterns.iter().any(|pattern| {
            resolve(pattern, context).is_ok_and(|values| pattern.matches_all_below(beginning, &values))
        })
    }
}

fn not(what: &'static str, inverted: bool) -> String {
    if inverted { format!("Not{what}") } else { what.to_owned() }
}

fn set_once(
    place: &mut Option<Selection>,
    selection: Selection,
    at: &str,
    what: &str,
) -> Result<(), PolicyError> {
    match place.replace(selection) {
        None => Ok(()),
        Some(_) => Err(PolicyError::at(at, format!("a statement has `{what}` or `Not{what}`, not both"))),
    }
}

/// An empty one is none: many a tool writes `"Sid": ""`.
fn read_sid(value: Json, at: &str) -> Result<Option<Box<str>>, PolicyError> {
    let sid = string(value, at)?;
    if !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(PolicyError::at(at, "a Sid is made of the characters A-Z, a-z and 0-9"));
    }
    Ok((!sid.is_empty()).then(|| sid.into()))
}

fn read_effect(value: Json, at: &str) -> Result<Effect, PolicyError> {
    match string(value, at)?.as_str() {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        other => Err(PolicyError::at(at, format!("the effect is \"Allow\" or \"Deny\", not {other:?}"))),
    }
}

/// One string or a list of at least one.
fn strings(value: Json, at: &str) -> Result<Vec<String>, PolicyError> {
    match value {
        Json::String(text) => Ok(vec![text]),
        Json::Array(list) if list.is_empty() => Err(PolicyError::at(at, "the list is empty")),
        Json::Array(list) => list
            .into_iter()
            .enumerate()
            .map(|(index, value)| string(value, &format!("{at}/{index}")))
            .collect(),
        other => {
            Err(PolicyError::at(at, format!("must be a string or a list of strings, not {}", other.kind())))
        }
    }
}

/// Actions of other services are taken, as on AWS: they never match a request here.
fn read_actions(texts: &[String], at: &str) -> Result<ActionSet, PolicyError> {
    let mut set = ActionSet::default();
    for text in texts {
        let word = |part: &str, more: &[u8]| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        let well_formed = text == "*"
            || text.split_once(':').is_some_and(|(service, name)| word(service, b"-") && word(name, b"*?"));
        if !well_formed {
            return Err(PolicyError::at(
                at,
                format!("{text:?} is not an action as \"s3:GetObject\", \"s3:Get*\" or \"*\" are"),
            ));
        }
        set.add(&Pattern::new(&text.to_ascii_lowercase()));
    }
    Ok(set)
}

fn read_resources(texts: &[String], at: &str) -> Result<Box<[Pattern]>, PolicyError> {
    let read = |text: &String| {
        if text != "*" && !text.starts_with("arn:") {
            return Err(PolicyError::at(
                at,
                format!(
                    "{text:?} is not \"*\" and not an ARN as \"arn:aws:s3:::bucket\" or \"arn:aws:s3:::bucket/*\" are"
                ),
            ));
        }
        Pattern::with_variables(text, true).map_err(|problem| PolicyError::at(at, problem))
    };
    texts.iter().map(read).collect()
}
