//! The parameters of a request: from the form in its body or from its query, never from both.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;

use super::{
    Request,
    error::{ErrorCode, StsError},
};
use crate::sigv4::{Pairs, decode_query};

/// Each name once.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

/// Those of every action.
const COMMON: [&str; 2] = ["Action", "Version"];

impl Parameters {
    /// Refuses a name that is given twice, and parameters in two places: which of them counts would be a matter of taste.
    pub(super) fn read(request: &Request<'_>) -> Result<Self, StsError> {
        let query = decode(request.head.query)?;
        if request.body.is_empty() {
            return Self::unique(query);
        }
        let is_form =
            request.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_form);
        if !is_form {
            return Err(StsError::sender(
                ErrorCode::InvalidParameterValue,
                "The body must be of the content type application/x-www-form-urlencoded.",
            ));
        }
        if !query.is_empty() {
            return Err(StsError::sender(
                ErrorCode::InvalidParameterValue,
                "Parameters must be given in the body or in the query, not in both.",
            ));
        }
        let body = std::str::from_utf8(request.body).map_err(|_| malformed())?;
        Self::unique(decode(body)?)
    }

    fn unique(pairs: Pairs<'_>) -> Result<Self, StsError> {
        let mut names = std::collections::HashSet::new();
        for (name, _) in &pairs {
            if !names.insert(name.as_ref()) {
                return Err(StsError::sender(
                    ErrorCode::InvalidParameterValue,
                    "A parameter is given more than once.",
                ));
            }
        }
        Ok(Self(pairs.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The members of a list: `Tags.member.1.Key` is the field `Key` of the first of `Tags`. They are numbered from 1 without
    /// a gap, because what a gap means is a matter of taste.
    pub(super) fn members(&self, list: &str, fields: &[&str]) -> Result<Vec<Vec<Option<String>>>, StsError> {
        let prefix = format!("{list}.member.");
        let given = self.0.iter().filter(|(name, _)| name.starts_with(&prefix)).count();
        let mut members = Vec::new();
        let mut found = 0;
        for number in 1..=given {
            let field = |field: &&str| {
                let dot = if field.is_empty() { "" } else { "." };
                self.value(&format!("{prefix}{number}{dot}{field}")).map(str::to_owned)
            };
            let member: Vec<Option<String>> = fields.iter().map(field).collect();
            let here = member.iter().flatten().count();
            if here == 0 {
                break;
            }
            found += here;
            members.push(member);
        }
        if found == given {
            return Ok(members);
        }
        Err(StsError::sender(
            ErrorCode::ValidationError,
            format!("The members of {list} must be numbered from 1 without a gap."),
        ))
    }

    /// Refuses every parameter that the action does not understand: one that was meant to restrict must not be lost.
    pub(super) fn only(&self, names: &[&str]) -> Result<(), StsError> {
        let unknown = self
            .0
            .iter()
            .map(|(name, _)| name.as_str())
            .find(|name| !COMMON.contains(name) && !names.contains(&&*without_number(name)));
        match unknown {
            None => Ok(()),
            Some(name)
                if name.len() <= 64
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.') =>
            {
                Err(StsError::sender(
                    ErrorCode::InvalidParameterValue,
                    format!("The parameter {name} is not supported by this action."),
                ))
            }
            Some(_) => Err(StsError::sender(
                ErrorCode::InvalidParameterValue,
                "A parameter is not supported by this action.",
            )),
        }
    }
}

/// `Tags.member.3.Key` as `Tags.member.N.Key`.
fn without_number(name: &str) -> Cow<'_, str> {
    let Some((list, rest)) = name.split_once(".member.") else { return Cow::Borrowed(name) };
    let (number, field) = rest.split_once('.').map_or((rest, None), |(number, field)| (number, Some(field)));
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(field.map_or_else(|| format!("{list}.member.N"), |field| format!("{list}.member.N.{field}")))
}

/// Whether a content type is that of a form, whatever its parameters.
pub(crate) fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn decode(text: &str) -> Result<Pairs<'_>, StsError> {
    // A session policy may be written over several lines, so line breaks are taken here, unlike in S3's queries.
    decode_form(text).ok_or_else(malformed)
}

fn decode_form(text: &str) -> Option<Pairs<'_>> {
    if let Ok(pairs) = decode_query(text) {
        return Some(pairs);
    }
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let spaced = value.replace('+', " ");
            let value = strict_decode(&spaced)?;
            Some((Cow::Owned(strict_decode(name)?), Cow::Owned(value)))
        })
        .collect()
}

fn strict_decode(text: &str) -> Option<String> {
    let escapes = text.match_indices('%').all(|(at, _)| {
        text.as_bytes().get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if !escapes {
        return None;
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8().ok()?.into_owned();
    let only_layout =
        decoded.chars().all(|character| !character.is_control() || matches!(character, '\n' | '\r' | '\t'));
    only_layout.then_some(decoded)
}

fn malformed() -> StsError {
    StsError::sender(
        ErrorCode::MalformedQueryString,
        "The parameters cannot be read: a percent escape, UTF-8 or a control character is wrong.",
    )
}
