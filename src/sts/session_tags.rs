//! Session tags: `Tags` and `TransitiveTagKeys`.
//!
//! AWS: "Pass session tags in AWS STS". Whoever sets a tag may get rights by it, so a role's trust rule says which keys may be
//! set, and none may be by default.

use std::borrow::Cow;

use super::{
    error::{ErrorCode, StsError},
    parameters::Parameters,
};
use crate::{credentials::SessionTags, iam::Values};

const MAX_TAGS: usize = 50;

/// The tags that a request asks for.
#[derive(Debug, Default)]
pub(super) struct RequestTags {
    tags: Vec<(String, String)>,
    transitive: Vec<String>,
}

impl RequestTags {
    pub(super) fn read(parameters: &Parameters) -> Result<Self, StsError> {
        let mut tags: Vec<(String, String)> = Vec::new();
        for member in parameters.members("Tags", &["Key", "Value"])? {
            let [Some(key), value] = member.as_slice() else {
                return Err(invalid("A member of Tags has no Key."));
            };
            let value = value.as_deref().unwrap_or_default();
            check("Key", key, 1, 128)?;
            check("Value", value, 0, 256)?;
            if key.to_ascii_lowercase().starts_with("aws:") {
                return Err(invalid("The keys of tags must not begin with aws:."));
            }
            if tags.iter().any(|(known, _)| known.eq_ignore_ascii_case(key)) {
                return Err(invalid(
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
                ));
            }
            tags.push((key.clone(), value.to_owned()));
        }
        let mut transitive: Vec<String> = Vec::new();
        for member in parameters.members("TransitiveTagKeys", &[""])? {
            let [Some(key)] = member.as_slice() else {
                return Err(invalid("TransitiveTagKeys has an empty member."));
            };
            if !tags.iter().any(|(known, _)| known.eq_ignore_ascii_case(key)) {
                return Err(invalid("TransitiveTagKeys names a key that is not in Tags."));
            }
            transitive.push(key.to_ascii_lowercase());
        }
        if tags.len() > MAX_TAGS || transitive.len() > MAX_TAGS {
            return Err(invalid("There are more than 50 tags."));
        }
        Ok(Self { tags, transitive })
    }

    pub(super) fn iter_keys(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(|(key, _)| key.as_str())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// By a key in lower case.
    pub(super) fn value(&self, tag: &str) -> Option<&str> {
        self.tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(tag)).map(|(_, value)| value.as_str())
    }

    pub(super) fn keys(&self) -> Values<'_> {
        many(self.iter_keys())
    }

    pub(super) fn transitive_keys(&self) -> Values<'_> {
        many(self.transitive.iter().map(String::as_str))
    }

    /// With the transitive tags of the session that asks, which cannot be set anew.
    pub(super) fn with_inherited(self, caller: &SessionTags) -> Result<SessionTags, StsError> {
        let inherited = caller.tags.iter().filter(|(key, _)| {
            let key = key.to_ascii_lowercase();
            caller.transitive.contains(&key)
        });
        let mut all =
            SessionTags { tags: inherited.cloned().collect(), transitive: caller.transitive.clone() };
        for (key, value) in self.tags {
            if all.tags.iter().any(|(known, _)| known.eq_ignore_ascii_case(&key)) {
                return Err(invalid("A tag is transitive from the calling session and cannot be set anew."));
            }
            all.tags.push((key, value));
        }
        all.transitive.extend(self.transitive);
        Ok(all)
    }
}

fn many<'v>(values: impl Iterator<Item = &'v str>) -> Values<'v> {
    let values: Vec<Cow<'v, str>> = values.map(Cow::Borrowed).collect();
    if values.is_empty() { Values::Missing } else { Values::Many(values) }
}

/// AWS: `[\p{L}\p{Z}\p{N}_.:/=+\-@]`
fn check(what: &str, text: &str, least: usize, most: usize) -> Result<(), StsError> {
    let good =
        |character: char| character.is_alphanumeric() || character == ' ' || "_.:/=+-@".contains(character);
    if (least..=most).contains(&text.chars().count()) && text.chars().all(good) {
        return Ok(());
    }
    Err(invalid(format!(
        "The {what} of a tag must have {least} to {most} letters, digits, spaces and characters of _.:/=+-@"
    )))
}

fn invalid(message: impl Into<Cow<'static, str>>) -> StsError {
    StsError::sender(ErrorCode::ValidationError, message)
}
