//! Who there is and what they may do, as the configuration says now.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::digest;

use super::{
    mint::BASE32,
    session::{Authority, Session},
};
use crate::{
    arn::AccountId,
    iam::{PolicyRegistry, PolicySet, Principal, PrincipalType},
    identity::{Directory, Proven},
};

/// Users, roles and their policies.
#[derive(Debug)]
pub struct Principals {
    pub account: AccountId,
    pub directory: Directory,
    pub policies: PolicyRegistry,
    /// What a user may do without a role, by the user's name.
    of_users: HashMap<String, Arc<PolicySet>>,
    of_roles: HashMap<String, Arc<PolicySet>>,
}

impl Principals {
    /// Policies that cannot be found are no policies, and no policies allow nothing.
    pub fn new(account: AccountId, directory: Directory, policies: PolicyRegistry) -> Self {
        let resolve = |names: &[String]| Arc::new(policies.resolve(names).unwrap_or_default());
        let of_users = directory.users().map(|user| (user.name.clone(), resolve(&user.policies))).collect();
        let of_roles = directory.roles().map(|role| (role.name.clone(), resolve(&role.policies))).collect();
        Self { account, directory, policies, of_users, of_roles }
    }

    /// The policies of a role.
    pub fn of_role(&self, name: &str) -> Option<&Arc<PolicySet>> {
        self.of_roles.get(name)
    }

    /// The policies that a user has without a role.
    pub fn of_user(&self, name: &str) -> Option<&Arc<PolicySet>> {
        self.of_users.get(name)
    }

    /// The policies of whoever is behind a session; `None` when they are gone, or one of them is no longer trusted.
    pub(super) fn policies_of(&self, session: &Session) -> Option<Arc<PolicySet>> {
        let user = self.directory.user(&session.user)?;
        let Authority::Role { role, via, .. } = &session.authority else {
            return self.of_users.get(&user.name).cloned();
        };
        let mut proven = Proven::User(user);
        for name in via.iter().chain([role]) {
            let next = self.directory.role(name)?;
            self.directory.trust(next, proven)?;
            proven = Proven::Role(&next.name);
        }
        self.of_roles.get(role).cloned()
    }

    pub(super) fn principal_of(&self, session: &Session) -> Principal {
        let account = &self.account;
        let (kind, arn, user_id) = match &session.authority {
            Authority::Role { role, session_name, .. } => (
                PrincipalType::AssumedRole,
                account.assumed_role(role, session_name),
                format!("{}:{session_name}", role_id(role)),
            ),
            Authority::User => {
                (PrincipalType::User, account.user(&session.user), unique_id("AIDA", &session.user))
            }
            Authority::Federated { name } => {
                (PrincipalType::FederatedUser, account.federated_user(name), format!("{account}:{name}"))
            }
        };
        Principal {
            arn: arn.into(),
            account: account.clone(),
            kind,
            user_id,
            username: (kind == PrincipalType::User).then(|| session.user.clone()),
            tags: session
                .tags
                .tags
                .iter()
                .map(|(key, value)| (key.to_ascii_lowercase(), value.clone()))
                .collect(),
            issued_at: session.is_temporary().then_some(session.issued_at),
        }
    }
}

/// Stands for AWS's unique id of a role.
pub fn role_id(role: &str) -> String {
    unique_id("AROA", role)
}

/// AWS gives everybody an id that no later namesake has. Here it follows from the name, so that every replica gives the same.
fn unique_id(prefix: &str, name: &str) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{prefix}/{name}").as_bytes());
    let id = hash.as_ref().iter().take(17).map(|byte| char::from(BASE32[usize::from(byte % 32)]));
    prefix.chars().chain(id).collect()
}
