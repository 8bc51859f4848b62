//! Who asks, as far as policies may want to know.

use std::borrow::Cow;

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

/// The facts about a principal.
#[derive(Debug, Clone)]
pub struct Principal {
    pub arn: String,
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
            ConditionKey::Plain(Plain::PrincipalArn) => Values::One(self.principal_arn()),
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

    /// `aws:PrincipalArn`: of a session of a role it is the role's, whatever the session's name (AWS global condition context
    /// keys, "aws:PrincipalArn").
    fn principal_arn(&self) -> Cow<'_, str> {
        let session =
            self.arn.split_once(":assumed-role/").filter(|_| self.kind == PrincipalType::AssumedRole);
        match session.and_then(|(_, role)| role.rsplit_once('/')) {
            Some((role, _)) => Cow::Owned(self.account.role(role)),
            None => Cow::Borrowed(&self.arn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn>
    #[test]
    fn the_principal_of_a_role_is_the_role_and_not_its_session() {
        let account = AccountId::parse("000000000000").unwrap();
        for (kind, arn, expected) in [
            (PrincipalType::AssumedRole, account.assumed_role("analyst", "me"), account.role("analyst")),
            (PrincipalType::User, account.user("alice"), account.user("alice")),
            (PrincipalType::FederatedUser, account.federated_user("guest"), account.federated_user("guest")),
        ] {
            let principal = Principal {
                arn,
                account,
                kind,
                user_id: String::new(),
                username: None,
                tags: Vec::new(),
                claims: Vec::new(),
                issued_at: None,
            };
            let key = ConditionKey::Plain(Plain::PrincipalArn);
            assert_eq!(principal.values(&key), Some(Values::One(Cow::Owned(expected))));
        }
    }
}
