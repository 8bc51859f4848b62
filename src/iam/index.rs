//! Which of many statements can concern a request: looked up by how their resources begin, then by action.
//!
//! A statement is kept under the folder that every resource it names lies in (the literal beginning of the pattern up to its
//! last slash), or under the whole ARN where the pattern has no wildcard. A request looks under each folder above its own
//! resource, under the resource itself, and under nothing, where all others are.

use std::collections::HashMap;

use super::{evaluate::Request, statement::Statement};

#[derive(Debug)]
pub(super) struct Index {
    under: HashMap<Box<str>, Shelf>,
    /// How many slashes the deepest folder has: nobody is kept deeper.
    depth: usize,
}

/// The statements under one beginning, for each action those that select it.
#[derive(Debug, Default)]
struct Shelf {
    of_action: HashMap<usize, Vec<usize>>,
}

impl Index {
    pub(super) fn new<'s>(statements: impl Iterator<Item = &'s Statement>) -> Self {
        let mut index = Self { under: HashMap::new(), depth: 0 };
        for (at, statement) in statements.enumerate() {
            let mut keys: Vec<&str> = if statement.resources.inverted {
                vec![""]
            } else {
                statement.resources.patterns.iter().map(|pattern| key_of(pattern.literal_prefix())).collect()
            };
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                index.depth = index.depth.max(key.matches('/').count());
                let shelf = index.under.entry(key.into()).or_default();
                for action in
                    super::action::Action::all().filter(|action| statement.actions.contains(*action))
                {
                    shelf.of_action.entry(action.index()).or_default().push(at);
                }
            }
        }
        index
    }

    /// The statements that can concern a request; one may come twice.
    pub(super) fn candidates<'i>(&'i self, request: &Request<'i>) -> impl Iterator<Item = usize> + 'i {
        let resource = request.resource;
        let action = request.action.index();
        let folders =
            resource.match_indices('/').take(self.depth).filter_map(|(slash, _)| resource.get(..=slash));
        // A resource that ends with a slash is its own folder.
        let whole = (!resource.ends_with('/')).then_some(resource);
        std::iter::once("")
            .chain(folders)
            .chain(whole)
            .filter_map(move |key| self.under.get(key)?.of_action.get(&action))
            .flatten()
            .copied()
    }
}

fn key_of((prefix, whole): (&str, bool)) -> &str {
    if whole {
        return prefix;
    }
    prefix.rfind('/').and_then(|slash| prefix.get(..=slash)).unwrap_or_default()
}
