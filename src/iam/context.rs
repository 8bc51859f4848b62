//! What a request says of itself, asked key by key and only when a statement wants to know.

use std::{borrow::Cow, collections::HashMap};

use super::key::ConditionKey;

/// The values of a key in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values<'c> {
    /// The request does not say. Not the same as saying nothing: `One("")` is a value.
    Missing,
    One(Cow<'c, str>),
    /// A key that can have several; an empty list counts as missing.
    Many(Vec<Cow<'c, str>>),
}

impl<'c> Values<'c> {
    pub fn of(value: Option<&'c str>) -> Self {
        value.map_or(Self::Missing, |value| Self::One(Cow::Borrowed(value)))
    }

    pub fn owned(value: Option<String>) -> Self {
        value.map_or(Self::Missing, |value| Self::One(Cow::Owned(value)))
    }

    /// The same values, borrowed.
    pub fn borrowed(&self) -> Values<'_> {
        match self {
            Self::Missing => Values::Missing,
            Self::One(value) => Values::One(Cow::Borrowed(value)),
            Self::Many(values) => Values::Many(values.iter().map(|value| Cow::Borrowed(&**value)).collect()),
        }
    }

    pub(super) fn as_slice(&self) -> &[Cow<'c, str>] {
        match self {
            Self::Missing => &[],
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// The request context of IAM.
pub trait Context {
    fn values<'c>(&'c self, key: &ConditionKey) -> Values<'c>;
}

/// A context that says nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoContext;

impl Context for NoContext {
    fn values<'c>(&'c self, _: &ConditionKey) -> Values<'c> {
        Values::Missing
    }
}

/// A context of given values, for explaining and for tests. Names are as [`ConditionKey`] shows them.
#[derive(Debug, Clone, Default)]
pub struct GivenContext(HashMap<String, Vec<String>>);

impl GivenContext {
    /// A second value for a key makes it one with several.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        let key = ConditionKey::parse(name)?;
        self.0.entry(key.to_string()).or_default().push(value.to_owned());
        Ok(())
    }

    /// For a key that was not given.
    pub fn add_default(&mut self, name: &str, value: &str) -> Result<(), String> {
        let key = ConditionKey::parse(name)?;
        self.0.entry(key.to_string()).or_insert_with(|| vec![value.to_owned()]);
        Ok(())
    }

    /// A key that is there and has no values.
    pub fn add_empty(&mut self, name: &str) -> Result<(), String> {
        let key = ConditionKey::parse(name)?;
        self.0.entry(key.to_string()).or_default();
        Ok(())
    }
}

impl Context for GivenContext {
    fn values<'c>(&'c self, key: &ConditionKey) -> Values<'c> {
        match self.0.get(&key.to_string()).map(Vec::as_slice) {
            None => Values::Missing,
            Some([one]) if !key.has_several_values() => Values::One(Cow::Borrowed(one)),
            Some(values) => Values::Many(values.iter().map(|value| Cow::Borrowed(value.as_str())).collect()),
        }
    }
}
