//! Who was proven.

use std::{collections::HashMap, sync::Arc};

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
}

/// A set of policies with a trust rule; who may assume it stands with the users.
#[derive(Debug, Clone)]
pub struct Role {
    pub name: String,
    pub policies: Vec<String>,
    pub max_duration: std::time::Duration,
    /// When given, `AssumeRole` must name it.
    pub external_id: Option<String>,
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

    pub fn role(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.get(name)
    }
}
