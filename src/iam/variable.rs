//! Policy variables: `${aws:username}`, `${aws:PrincipalTag/team, 'none'}`, and the escapes `${*}`, `${?}`, `${$}`.
//!
//! AWS: "IAM policy elements: Variables and tags".

use std::borrow::Cow;

use super::{
    context::{Context, Values},
    key::ConditionKey,
};

/// A key whose value stands in the text of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    key: ConditionKey,
    default: Option<Box<str>>,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    /// An escaped `*`, `?` or `$`.
    Literal(char),
    Variable(Variable),
}

impl Variable {
    pub(super) fn key(&self) -> &ConditionKey {
        &self.key
    }

    /// `None`: it stands for nothing in this request, and what it stands in matches nothing. A key with several values is
    /// no better: which of them was meant cannot be known.
    pub(super) fn value<'c>(&'c self, context: &'c dyn Context) -> Option<Cow<'c, str>> {
        match context.values(&self.key) {
            Values::One(value) => Some(value),
            Values::Missing => self.default.as_deref().map(Cow::Borrowed),
            Values::Many(_) => None,
        }
    }
}

/// Cuts a text at its variables. One pass: nothing that a variable stands for is looked at again.
pub(super) fn split(text: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        let (inside, after) =
            after.split_once('}').ok_or_else(|| format!("a variable in {text:?} has no closing brace"))?;
        parts.push(read(inside)?);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

fn read(inside: &str) -> Result<Part<'_>, String> {
    match inside {
        "*" => return Ok(Part::Literal('*')),
        "?" => return Ok(Part::Literal('?')),
        "$" => return Ok(Part::Literal('$')),
        _ => {}
    }
    let (name, default) = match inside.split_once(',') {
        None => (inside.trim(), None),
        Some((name, default)) => {
            let default = default.trim();
            let quoted = default.strip_prefix('\'').and_then(|default| default.strip_suffix('\''));
            let value = quoted.filter(|value| !value.contains('\'')).ok_or_else(|| {
                format!("the default of ${{{inside}}} must stand in single quotes, as in ${{aws:username, 'nobody'}}")
            })?;
            (name.trim(), Some(value.into()))
        }
    };
    let key = ConditionKey::parse(name)?;
    if key.has_several_values() {
        return Err(format!("{name} may have several values and cannot be a variable"));
    }
    Ok(Part::Variable(Variable { key, default }))
}
