//! Trust rules: whom a role lets in.

use std::fmt;

use super::{Identity, Proven, Way};
use crate::iam::Wildcard;

/// Whom a role lets in. Within one rule everything must hold; any one rule is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustRule {
    /// Names of users; `*` is every user.
    pub users: Vec<String>,
    /// Names of roles whose sessions may assume this one.
    pub roles: Vec<String>,
    /// Somebody proven by another.
    pub identity: Option<IdentityRule>,
    pub external_id: Option<String>,
    /// The keys of the session tags that may be set, in lower case; `*` is every key.
    pub session_tags: Vec<String>,
}

/// Who of those that others prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRule {
    pub way: Way,
    /// Every one of them must hold.
    pub claims: Vec<ClaimRule>,
    /// The canonical DN of a directory's group that the user must be in.
    pub ldap_group: Option<String>,
    /// The canonical DN of the user.
    pub ldap_user: Option<String>,
}

/// What a claim must be: any one of its values must match any one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRule {
    /// The condition key: `jwt:groups`.
    pub key: String,
    pub any_of: Vec<Wildcard>,
}

/// What of a rule does not hold, for explanations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    AnotherWay,
    NoClaim { key: String },
    ClaimDiffers { key: String, wanted: String, found: String },
    NotInGroup { dn: String },
    AnotherUser { dn: String },
}

impl TrustRule {
    pub(super) fn names(&self, proven: Proven<'_>) -> bool {
        match proven {
            Proven::User(user) => self.users.iter().any(|name| *name == user.name || name == "*"),
            Proven::Role(role) => self.roles.iter().any(|name| name == role),
            Proven::Identity(identity) => {
                self.identity.as_ref().is_some_and(|rule| rule.unmet(identity).is_none())
            }
        }
    }
}

impl IdentityRule {
    /// The first thing that does not hold; `None`: the rule lets this identity in.
    pub fn unmet(&self, identity: &Identity) -> Option<Unmet> {
        if self.way != identity.way {
            return Some(Unmet::AnotherWay);
        }
        if let Some(dn) = self.ldap_user.as_ref().filter(|dn| **dn != identity.subject) {
            return Some(Unmet::AnotherUser { dn: dn.clone() });
        }
        if let Some(dn) = self.ldap_group.as_ref().filter(|dn| !identity.groups.contains(dn)) {
            return Some(Unmet::NotInGroup { dn: dn.clone() });
        }
        self.claims.iter().find_map(|rule| rule.unmet(identity))
    }
}

impl ClaimRule {
    fn unmet(&self, identity: &Identity) -> Option<Unmet> {
        let Some(claim) = identity.claims.get(&self.key) else {
            return Some(Unmet::NoClaim { key: self.key.clone() });
        };
        let fits = claim.values().iter().any(|value| self.any_of.iter().any(|wanted| wanted.matches(value)));
        if fits {
            return None;
        }
        let wanted = self.any_of.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        Some(Unmet::ClaimDiffers { key: self.key.clone(), wanted, found: claim.values().join(", ") })
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnotherWay => write!(f, "it trusts those that somebody else proves"),
            Self::NoClaim { key } => write!(f, "there is no {key}"),
            Self::ClaimDiffers { key, wanted, found } => write!(f, "{key} must be {wanted} and is {found}"),
            Self::NotInGroup { dn } => write!(f, "the user is not in the group {dn}"),
            Self::AnotherUser { dn } => write!(f, "it trusts the user {dn} alone"),
        }
    }
}
