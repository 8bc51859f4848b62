//! Users and roles, as the configuration has them.

use std::{collections::HashMap, sync::Arc};

use super::{Identity, trust::TrustRule};
use crate::rate::Rates;
use crate::secret::{AccessKeyId, SecretAccessKey};

/// A long-term key pair of the configuration, good for STS, and for S3 only when it says so.
#[derive(Debug, Clone)]
pub struct User {
    pub name: String,
    pub access_key_id: AccessKeyId,
    pub secret: SecretAccessKey,
    /// The names of the policies that it has without a role.
    pub policies: Vec<String>,
    /// The names of the roles that it may assume.
    pub roles: Vec<String>,
    /// The long-term key itself may be used on S3.
    pub s3_access: bool,
    /// Of all its sessions on this gateway together.
    pub rates: Rates,
}

/// A set of policies, and whom it trusts.
#[derive(Debug, Clone)]
pub struct Role {
    pub name: String,
    pub policies: Vec<String>,
    pub max_duration: std::time::Duration,
    /// When given, `AssumeRole` must name it, whichever rule lets the caller in.
    pub external_id: Option<String>,
    /// Other ARNs that clients may call it by, as those that MinIO gave out.
    pub aliases: Vec<String>,
    /// Any one of them lets somebody in, beside the users that name the role as theirs.
    pub trust: Vec<TrustRule>,
    /// Of all its sessions on this gateway together.
    pub rates: Rates,
}

/// Who was proven.
#[derive(Debug, Clone, Copy)]
pub enum Proven<'a> {
    User(&'a User),
    /// The bearer of a session of this role.
    Role(&'a str),
    /// Somebody whom a provider, a directory, a certificate or a webhook vouches for.
    Identity(&'a Identity),
}

/// Why somebody may assume a role. Only [`Directory::trust`] and [`Directory::assume`] make one.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// `None`: the user's own list names the role, and nothing more.
    rule: Option<&'a TrustRule>,
}

impl Trust<'_> {
    /// Whether a session tag of this key may be set.
    pub fn allows_tag(&self, key: &str) -> bool {
        let key = key.to_ascii_lowercase();
        self.rule.is_some_and(|rule| rule.session_tags.iter().any(|known| *known == key || known == "*"))
    }
}

/// Every user and role of a configuration.
#[derive(Debug, Default)]
pub struct Directory {
    users: HashMap<String, Arc<User>>,
    roles: HashMap<String, Arc<Role>>,
}

impl Directory {
    pub fn new(users: Vec<User>, roles: Vec<Role>) -> Self {
        Self {
            users: users.into_iter().map(|user| (user.name.clone(), Arc::new(user))).collect(),
            roles: roles.into_iter().map(|role| (role.name.clone(), Arc::new(role))).collect(),
        }
    }

    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    pub fn roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.values()
    }

    pub fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// Whether a role still trusts somebody who was let in before: the external id was asked for then.
    pub fn trust<'a>(&self, role: &'a Role, proven: Proven<'_>) -> Option<Trust<'a>> {
        Self::find(role, proven, |_| true)
    }

    /// Whether a role lets somebody in now.
    pub fn assume<'a>(
        &self,
        role: &'a Role,
        proven: Proven<'_>,
        external_id: Option<&str>,
    ) -> Option<Trust<'a>> {
        let fits =
            |wanted: &Option<String>| wanted.as_deref().is_none_or(|wanted| external_id == Some(wanted));
        if !fits(&role.external_id) {
            return None;
        }
        Self::find(role, proven, |rule| fits(&rule.external_id))
    }

    fn find<'a>(role: &'a Role, proven: Proven<'_>, also: impl Fn(&TrustRule) -> bool) -> Option<Trust<'a>> {
        // A rule may allow tags, which the user's own list does not.
        let fitting = role.trust.iter().find(|candidate| candidate.names(proven) && also(candidate));
        let listed = matches!(proven, Proven::User(user) if user.roles.contains(&role.name));
        (fitting.is_some() || listed).then_some(Trust { rule: fitting })
    }

    pub fn role(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.get(name)
    }

    /// The role that clients call by this ARN, which is not its own.
    pub fn role_by_alias(&self, arn: &str) -> Option<&Arc<Role>> {
        self.roles.values().find(|role| role.aliases.iter().any(|alias| alias == arn))
    }
}
