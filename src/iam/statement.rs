//! A statement, compiled.

use super::{
    evaluate::Request,
    json::Json,
    pattern::Pattern,
    policy::{PolicyError, string, unknown},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selector {
    Any(Vec<Pattern>),
    NoneOf(Vec<Pattern>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sid: Option<Box<str>>,
    pub(super) effect: Effect,
    actions: Selector,
    resources: Selector,
}

const ELEMENTS: &[&str] = &["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource"];

impl Statement {
    pub(super) fn compile(json: Json, place: &str) -> Result<Self, PolicyError> {
        let Json::Object(members) = json else {
            return Err(PolicyError::at(place, format!("a statement is an object, this is {}", json.kind())));
        };
        let (mut sid, mut effect, mut actions, mut resources) = (None, None, None, None);
        for (name, value) in members {
            let at = format!("{place}/{name}");
            match name.as_str() {
                "Sid" => sid = Some(read_sid(value, &at)?),
                "Effect" => effect = Some(read_effect(value, &at)?),
                "Action" => set_once(&mut actions, Selector::Any(read_actions(value, &at)?), &at, "Action")?,
                "NotAction" => {
                    set_once(&mut actions, Selector::NoneOf(read_actions(value, &at)?), &at, "Action")?;
                }
                "Resource" => {
                    set_once(&mut resources, Selector::Any(read_resources(value, &at)?), &at, "Resource")?;
                }
                "NotResource" => {
                    set_once(&mut resources, Selector::NoneOf(read_resources(value, &at)?), &at, "Resource")?;
                }
                other => return Err(unknown(place, other, ELEMENTS)),
            }
        }
        let missing = |what: &str| PolicyError::at(place, format!("{what} is missing"));
        Ok(Self {
            sid,
            effect: effect.ok_or_else(|| missing("`Effect`"))?,
            actions: actions.ok_or_else(|| missing("`Action` or `NotAction`"))?,
            resources: resources.ok_or_else(|| missing("`Resource` or `NotResource`"))?,
        })
    }

    pub(super) fn applies_to(&self, request: &Request<'_>) -> bool {
        let action = match &self.actions {
            Selector::Any(patterns) => {
                patterns.iter().any(|pattern| pattern.matches_ignore_case(request.action))
            }
            Selector::NoneOf(patterns) => {
                !patterns.iter().any(|pattern| pattern.matches_ignore_case(request.action))
            }
        };
        action
            && match &self.resources {
                Selector::Any(patterns) => patterns.iter().any(|pattern| pattern.matches(request.resource)),
                Selector::NoneOf(patterns) => {
                    !patterns.iter().any(|pattern| pattern.matches(request.resource))
                }
            }
    }
}

fn set_once(
    place: &mut Option<Selector>,
    selector: Selector,
    at: &str,
    what: &str,
) -> Result<(), PolicyError> {
    match place.replace(selector) {
        None => Ok(()),
        Some(_) => Err(PolicyError::at(at, format!("a statement has `{what}` or `Not{what}`, not both"))),
    }
}

fn read_sid(value: Json, at: &str) -> Result<Box<str>, PolicyError> {
    let sid = string(value, at)?;
    if sid.is_empty() || !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(PolicyError::at(at, "a Sid is made of the characters A-Z, a-z and 0-9"));
    }
    Ok(sid.into())
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

fn read_actions(value: Json, at: &str) -> Result<Vec<Pattern>, PolicyError> {
    let read = |text: String| {
        let well_formed = text == "*"
            || text.split_once(':').is_some_and(|(service, name)| {
                matches!(service.to_ascii_lowercase().as_str(), "s3" | "sts")
                    && !name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'*' || byte == b'?')
            });
        if well_formed {
            Ok(Pattern::new(&text))
        } else {
            Err(PolicyError::at(
                at,
                format!(
                    "{text:?} is not an action of s3 or sts, as \"s3:GetObject\", \"s3:Get*\" or \"*\" are"
                ),
            ))
        }
    };
    strings(value, at)?.into_iter().map(read).collect()
}

fn read_resources(value: Json, at: &str) -> Result<Vec<Pattern>, PolicyError> {
    let read = |text: String| {
        if text.contains("${") {
            return Err(PolicyError::at(
                at,
                format!("policy variables are not supported by this version: {text:?}"),
            ));
        }
        // `arn:aws:iam::…` stands in statements about sts:AssumeRole.
        if text == "*"
            || text.starts_with("arn:aws:s3:::")
            || text.starts_with("arn:aws:iam::")
            || text == "arn:aws:s3*"
        {
            return Ok(Pattern::new(&text));
        }
        Err(PolicyError::at(
            at,
            format!(
                "{text:?} is not \"*\" and not an ARN as \"arn:aws:s3:::bucket\" or \"arn:aws:s3:::bucket/*\" are"
            ),
        ))
    };
    strings(value, at)?.into_iter().map(read).collect()
}
