//! `Condition`: compiled when the policy is loaded, asked of the request's context.
//!
//! AWS: "IAM JSON policy elements: Condition operators" and "Set operators for multivalued context keys".

mod operator;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;

pub(super) use self::value::{Unresolved, resolve};
use self::{
    operator::{Operator, Quantifier},
    value::Matcher,
};
use super::{context::Context, json::Json, key::ConditionKey, policy::PolicyError, variable::Variable};

/// One key of one operator of a `Condition`. All of a statement's must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    operator: Operator,
    key: ConditionKey,
    test: Test,
    /// As the policy has it, for explanations.
    written: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    /// `Null`: whether the key may be, or must be, missing.
    Missing(Vec<bool>),
    Matches(Matcher),
}

impl Condition {
    /// The conditions of a `Condition` element.
    pub(super) fn compile(json: Json, place: &str) -> Result<Vec<Self>, PolicyError> {
        let mut conditions = Vec::new();
        for (operator, block) in members(json, place)? {
            let place = format!("{place}/{operator}");
            let parsed = Operator::parse(&operator).map_err(|problem| PolicyError::at(&place, problem))?;
            let mut keys: Vec<ConditionKey> = Vec::new();
            for (name, values) in members(block, &place)? {
                let place = format!("{place}/{name}");
                let at = |problem: String| PolicyError::at(&place, problem);
                let key = ConditionKey::parse(&name).map_err(at)?;
                if keys.contains(&key) {
                    return Err(at(format!("`{key}` is given twice")));
                }
                let texts = texts(values, &place)?;
                let test = if parsed.is_null() {
                    Test::Missing(
                        texts
                            .iter()
                            .map(|text| value::boolean(text))
                            .collect::<Result<_, _>>()
                            .map_err(at)?,
                    )
                } else {
                    Test::Matches(Matcher::compile(parsed.family(), &texts).map_err(at)?)
                };
                keys.push(key.clone());
                let written = format!("{operator} {name} {}", texts.join(", ")).into();
                conditions.push(Self { operator: parsed, key, test, written });
            }
        }
        Ok(conditions)
    }

    /// Whether it holds for a request.
    pub(super) fn holds(&self, context: &dyn Context) -> Result<bool, Unresolved> {
        let values = context.values(&self.key);
        let given = values.as_slice();
        let matcher = match &self.test {
            Test::Missing(expected) => return Ok(expected.contains(&given.is_empty())),
            Test::Matches(matcher) => matcher,
        };
        let negated = self.operator.is_negated();
        // For set operators values that are all empty are no values.
        let nothing = given.is_empty()
            || (self.operator.quantifier().is_some() && given.iter().all(|value| value.is_empty()));
        if nothing {
            return Ok(self.operator.if_exists()
                || match self.operator.quantifier() {
                    Some(Quantifier::ForAllValues) => true,
                    Some(Quantifier::ForAnyValue) => false,
                    None => negated,
                });
        }
        let every = match self.operator.quantifier() {
            Some(Quantifier::ForAllValues) => true,
            Some(Quantifier::ForAnyValue) => false,
            // Several values and no set operator: the plain form asks for one that fits, the negated for none that does.
            None => negated,
        };
        for value in given {
            let satisfied = matcher.matches(value, context)? != negated;
            if satisfied != every {
                return Ok(satisfied);
            }
        }
        Ok(every)
    }

    pub(super) fn key(&self) -> &ConditionKey {
        &self.key
    }

    /// Its own key, and those of the variables in its values.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ConditionKey> {
        let variables = match &self.test {
            Test::Missing(_) => Vec::new(),
            Test::Matches(matcher) => matcher.variables(),
        };
        std::iter::once(&self.key).chain(variables.into_iter().map(Variable::key))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

fn members(json: Json, place: &str) -> Result<Vec<(String, Json)>, PolicyError> {
    match json {
        Json::Object(members) if members.is_empty() => {
            Err(PolicyError::at(place, "the object is empty; leave it out if nothing is to be asked"))
        }
        Json::Object(members) => Ok(members),
        other => Err(PolicyError::at(place, format!("must be an object, not {}", other.kind()))),
    }
}

/// The values of a condition: strings, and where somebody wrote a number or a boolean, its text.
fn texts(json: Json, place: &str) -> Result<Vec<String>, PolicyError> {
    let text = |json: Json, place: &str| match json {
        Json::String(text) => Ok(text),
        Json::Number(number) => Ok(number.to_string()),
        Json::Bool(value) => Ok(value.to_string()),
        other => Err(PolicyError::at(place, format!("a value is a string, not {}", other.kind()))),
    };
    match json {
        Json::Array(list) if list.is_empty() => Err(PolicyError::at(place, "the list is empty")),
        Json::Array(list) => list
            .into_iter()
            .enumerate()
            .map(|(index, json)| text(json, &format!("{place}/{index}")))
            .collect(),
        single => Ok(vec![text(single, place)?]),
    }
}
