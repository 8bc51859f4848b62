//! Who asks, as far as policies may want to know.

use std::{borrow::Cow, sync::Arc};

use super::{
    context::Values,
    key::{ConditionKey, Plain},
};
use crate::{arn::AccountId, clock::Timestamp};

/// `aws:PrincipalType`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalType {
    User,
    AssumedRole,
    FederatedUser,
}

impl PrincipalType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::AssumedRole => "AssumedRole",
            Self::FederatedUser => "FederatedUser",
        }
    }
}

/// The facts about a principal, made once for a session.
#[derive(Debug, Clone)]
pub struct Principal {
    pub arn: Arc<str>,
    pub account: AccountId,
    pub kind: PrincipalType,
    /// `aws:userid`
    pub user_id: String,
    /// `aws:username`: of users alone, as on AWS.
    pub username: Option<String>,
    /// `aws:PrincipalTag/…`, keys in lower case.
    pub tags: Vec<(String, String)>,
    /// `jwt:…`, `ldap:…` and the like: what the proof of identity said, keys in lower case.
    pub claims: Vec<(Box<str>, Values<'static>)>,
    /// When the temporary credentials were issued; long-term keys have no such time.
    pub issued_at: Option<Timestamp>,
}

impl Principal {
    /// The values of a key that is about the principal; `None`: it is about something else.
    pub fn values<'c>(&'c self, key: &ConditionKey) -> Option<Values<'c>> {
        Some(match key {
            ConditionKey::Plain(Plain::PrincipalArn) => Values::of(Some(&self.arn)),
            ConditionKey::Plain(Plain::PrincipalAccount) => Values::of(Some(self.account.as_str())),
            ConditionKey::Plain(Plain::PrincipalType) => Values::One(Cow::Borrowed(self.kind.as_str())),
            ConditionKey::Plain(Plain::UserId) => Values::of(Some(&self.user_id)),
            ConditionKey::Plain(Plain::Username) => Values::of(self.username.as_deref()),
            ConditionKey::Plain(Plain::TokenIssueTime) => {
                Values::owned(self.issued_at.map(Timestamp::rfc3339))
            }
            ConditionKey::PrincipalTag(tag) => {
                Values::of(self.tags.iter().find(|(key, _)| *key == **tag).map(|(_, value)| value.as_str()))
            }
            ConditionKey::Claim(name) => self
                .claims
                .iter()
                .find(|(key, _)| key == name)
                .map_or(Values::Missing, |(_, claim)| claim.borrowed()),
            _ => return None,
        })
    }
}
