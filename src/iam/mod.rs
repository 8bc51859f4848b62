//! The policy language of AWS IAM: compiled when loaded, evaluated per request. Pure.
//!
//! Supported now: `Version`, `Id`, and statements of `Sid`, `Effect`, `Action` or `NotAction`, `Resource` or `NotResource`, with
//! wildcards. Everything else is refused when the policy is loaded, never ignored.

mod evaluate;
mod json;
mod pattern;
mod policy;
mod statement;
#[cfg(test)]
mod tests;

pub use self::{
    evaluate::{Decision, DeniedBy, EffectivePolicies, PolicySet, Request, StatementRef},
    policy::{Policy, PolicyError},
};

use std::{collections::HashMap, sync::Arc};

/// Every policy of a configuration by name.
#[derive(Debug, Default)]
pub struct PolicyRegistry(HashMap<String, Arc<Policy>>);

impl PolicyRegistry {
    pub fn new(policies: impl IntoIterator<Item = (String, Policy)>) -> Self {
        Self(policies.into_iter().map(|(name, policy)| (name, Arc::new(policy))).collect())
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
