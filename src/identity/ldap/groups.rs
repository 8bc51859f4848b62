//! Whose member somebody is.

use std::collections::BTreeSet;

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use ldap3::Scope;

use super::{
    Dn,
    connection::{Ending, Entry, Failure, Search},
    directory::{Directory, NO_ATTRIBUTES},
    filter::Names,
    name::LoginName,
};

/// Nobody is in more; whoever is gets no session rather than one with some of them missing.
const MOST: usize = 1000;

/// Groups that are asked for in one question.
const AT_ONCE: usize = 50;

/// Groups whose own entries are read at the same time.
const SIDE_BY_SIDE: usize = 4;

/// The groups that were found, and those whose own groups were not asked for yet, as the directory writes them.
#[derive(Debug, Default)]
struct Groups {
    all: BTreeSet<Dn>,
    fresh: Vec<String>,
}

impl Directory {
    /// The groups of a user and, as many steps as are configured, the groups of those. All of them, or none.
    pub(super) async fn groups(&self, user: &Entry, name: &LoginName) -> Result<Vec<String>, Failure> {
        let mut groups = Groups::default();
        if self.takes_member_of {
            groups.add_all(user.values("memberof"))?;
        }
        if self.group_base.is_some() {
            let own = Names { username: name.as_str(), dn: &user.dn };
            groups.add_all(&self.groups_by_filter(&self.group_filter.fill(own)).await?)?;
        }
        for _ in 0..self.nested_groups {
            let fresh = std::mem::take(&mut groups.fresh);
            if fresh.is_empty() {
                break;
            }
            if self.group_base.is_some() {
                for some in fresh.chunks(AT_ONCE) {
                    let filters = some
                        .iter()
                        .map(|dn| self.group_filter.fill(Names { username: name.as_str(), dn }))
                        .collect::<String>();
                    groups.add_all(&self.groups_by_filter(&format!("(|{filters})")).await?)?;
                }
            } else {
                let reading: Vec<_> = fresh.iter().map(|dn| self.groups_of_group(dn).boxed()).collect();
                let found: Vec<Vec<String>> =
                    stream::iter(reading).buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
                groups.add_all(found.iter().flatten())?;
            }
        }
        Ok(groups.all.into_iter().map(|dn| dn.as_str().to_owned()).collect())
    }

    async fn groups_by_filter(&self, filter: &str) -> Result<Vec<String>, Failure> {
        let Some(base) = &self.group_base else { return Ok(Vec::new()) };
        let found = self
            .search(Search {
                base,
                scope: Scope::Subtree,
                filter,
                attributes: &[NO_ATTRIBUTES.to_owned()],
                limit: u16::try_from(MOST).unwrap_or(u16::MAX),
            })
            .await?;
        match found.ending {
            Ending::Complete => Ok(found.entries.into_iter().map(|group| group.dn).collect()),
            Ending::Cut => Err(Failure::unusable("it gives fewer groups than there are")),
            Ending::NoSuchBase => Err(Failure::unusable("group_base is not in it")),
        }
    }

    /// What a group's own entry names in `memberOf`. A group that cannot be read is in none.
    async fn groups_of_group(&self, dn: &str) -> Result<Vec<String>, Failure> {
        let found = self
            .search(Search {
                base: dn,
                scope: Scope::Base,
                filter: "(objectClass=*)",
                attributes: &["memberOf".to_owned()],
                limit: 1,
            })
            .await?;
        Ok(found.entries.iter().flat_map(|group| group.values("memberof")).cloned().collect())
    }
}

impl Groups {
    fn add_all<'d>(&mut self, found: impl IntoIterator<Item = &'d String>) -> Result<(), Failure> {
        for dn in found {
            if self.all.insert(Dn::parse(dn).map_err(Failure::unusable)?) {
                self.fresh.push(dn.clone());
            }
            if self.all.len() > MOST {
                return Err(Failure::unusable(format!("the user is in more than {MOST} groups")));
            }
        }
        Ok(())
    }
}
