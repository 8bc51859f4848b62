//! The policy language of AWS IAM: compiled when loaded, evaluated per request. Pure.
//!
//! A policy that is not understood whole is refused when it is loaded, never ignored in part.

mod action;
mod condition;
mod context;
mod denial;
mod evaluate;
mod explain;
mod index;
mod json;
mod key;
mod pattern;
mod policy;
mod principal;
mod statement;
#[cfg(test)]
mod tests;
mod variable;

pub use self::{
    action::Action,
    context::{Context, GivenContext, NoContext, Values},
    denial::Denial,
    evaluate::{Decision, DeniedBy, EffectivePolicies, PolicySet, Request, StatementRef},
    explain::{Considered, Tried, nearest},
    key::{ConditionKey, Plain},
    pattern::Wildcard,
    policy::{Policy, PolicyError},
    principal::{Principal, PrincipalType},
    statement::{Effect, Statement, Written},
};

use std::{collections::HashMap, sync::Arc};

/// Every policy of a configuration by name.
#[derive(Debug, Default)]
pub struct PolicyRegistry(HashMap<String, Arc<Policy>>);

impl PolicyRegistry {
    pub fn new(policies: impl IntoIterator<Item = (String, Policy)>) -> Self {
        Self(policies.into_iter().map(|(name, policy)| (name, Arc::new(policy))).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Policy)> {
        self.0.iter().map(|(name, policy)| (name.as_str(), &**policy))
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The policies of these names. A name that is not there gives `None` for all: half a set of policies could lack its
    /// denials.
    pub fn resolve(&self, names: &[String]) -> Option<PolicySet> {
        let found = names.iter().map(|name| Some((Arc::from(name.as_str()), self.0.get(name)?.clone())));
        Some(PolicySet::new(found.collect::<Option<Vec<_>>>()?))
    }
}

/// Reads JSON in which every name of an object is given once; `None`: it is not that.
pub fn read_json(text: &str) -> Option<serde_json::Value> {
    serde_json::from_str::<json::Json>(text).ok().map(Into::into)
}
