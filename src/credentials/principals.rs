//! Who there is and what they may do, as the configuration says now.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use smol_str::SmolStr;

use super::{
    mint::BASE32,
    session::{Authority, Origin, Session, SessionTags},
};
use crate::{
    arn::AccountId,
    clock::Timestamp,
    digest::sha256,
    iam::{PolicyRegistry, PolicySet, Principal, PrincipalType, Values},
    identity::{AskedClaims, Claim, Directory, Identity, Proven, Way},
};

/// Users, roles and their policies.
#[derive(Debug)]
pub struct Principals {
    pub account: AccountId,
    pub directory: Directory,
    pub policies: PolicyRegistry,
    /// By the user's name, without a role.
    of_users: HashMap<String, Known>,
    of_roles: HashMap<String, Known>,
    of_identities: IdentityPolicies,
    /// What policies and trust rules may ask of an identity.
    pub asked: AskedClaims,
}

/// What is found out once about a user or a role.
#[derive(Debug)]
struct Known {
    policies: Arc<PolicySet>,
    unique_id: String,
}

impl Principals {
    /// Policies that cannot be found are no policies, and no policies allow nothing.
    pub fn new(account: AccountId, directory: Directory, policies: PolicyRegistry) -> Self {
        let known = |name: &String, unique_id, names: &[String]| {
            let policies = Arc::new(policies.resolve(names).unwrap_or_default());
            (name.clone(), Known { policies, unique_id })
        };
        let users = directory.users().map(|user| known(&user.name, user_id(&user.name), &user.policies));
        let roles = directory.roles().map(|role| known(&role.name, role_id(&role.name), &role.policies));
        let (of_users, of_roles) = (users.collect(), roles.collect());
        let of_identities = IdentityPolicies::default();
        let mut principals = Self {
            account,
            directory,
            policies,
            of_users,
            of_roles,
            of_identities,
            asked: AskedClaims::default(),
        };
        principals.asked = principals.asked();
        principals
    }

    pub fn of_identities(&self) -> &IdentityPolicies {
        &self.of_identities
    }

    /// With what identities have without a role.
    #[must_use]
    pub fn with_identity_policies(mut self, of_identities: IdentityPolicies) -> Self {
        self.of_identities = of_identities;
        self.asked = self.asked();
        self
    }

    fn asked(&self) -> AskedClaims {
        let rules =
            || self.directory.roles().flat_map(|role| &role.trust).filter_map(|rule| rule.identity.as_ref());
        let of_policies = self.policies.iter().flat_map(|(_, policy)| policy.claims());
        let of_rules = rules().flat_map(|rule| rule.claims.iter().map(|claim| claim.key.clone()));
        let groups = rules().filter_map(|rule| rule.ldap_group.clone());
        let mapped = self.of_identities.ldap.iter().map(|(dn, _)| dn.clone());
        AskedClaims::new(of_policies.chain(of_rules), groups.chain(mapped))
    }

    /// The policies of a role.
    pub fn of_role(&self, name: &str) -> Option<&Arc<PolicySet>> {
        self.of_roles.get(name).map(|role| &role.policies)
    }

    /// The policies that a user has without a role.
    pub fn of_user(&self, name: &str) -> Option<&Arc<PolicySet>> {
        self.of_users.get(name).map(|user| &user.policies)
    }

    /// The policies of whoever is behind a session; `None` when they are gone, or one of them is no longer trusted. Found once for
    /// a session: a new configuration has sessions of its own.
    ///
    /// `identity`: as it is now, where a directory knows better than the session.
    pub(super) fn policies_of(
        &self,
        session: &Session,
        identity: Option<&Identity>,
    ) -> Option<Arc<PolicySet>> {
        match (&session.origin, identity) {
            (_, Some(now)) => self.find_policies(session, Proven::Identity(now)),
            (Origin::Identity(identity), None) => {
                session.policies(|| self.find_policies(session, Proven::Identity(identity)))
            }
            (Origin::User(name), None) => session.policies(|| {
                let user = self.directory.user(name)?;
                self.find_policies(session, Proven::User(user))
            }),
        }
    }

    fn find_policies(&self, session: &Session, proven: Proven<'_>) -> Option<Arc<PolicySet>> {
        if let Proven::Identity(identity) = proven
            && !self.of_identities.vouches_for(identity)
        {
            return None;
        }
        match (&session.authority, proven) {
            (Authority::Role { role, via, .. }, _) => self.policies_in_role(role, via, proven),
            (_, Proven::Identity(identity)) => {
                self.policies.resolve(&self.own_policies(identity)).map(Arc::new)
            }
            (_, Proven::User(user)) => self.of_user(&user.name).cloned(),
            (_, Proven::Role(_)) => None,
        }
    }

    /// The policies of a role, if the way to it is still open.
    pub fn policies_in_role(&self, role: &str, via: &[SmolStr], first: Proven<'_>) -> Option<Arc<PolicySet>> {
        let mut proven = first;
        for name in via.iter().map(SmolStr::as_str).chain([role]) {
            let next = self.directory.role(name)?;
            self.directory.trust(next, proven)?;
            proven = Proven::Role(&next.name);
        }
        self.of_role(role).cloned()
    }

    /// The names of the policies that an identity has without a role.
    pub fn own_policies(&self, identity: &Identity) -> Vec<String> {
        let mut names = match identity.way {
            Way::Ldap => self.of_identities.of_directory(identity),
            Way::Webhook => self.of_identities.webhook.clone(),
            Way::Oidc(_) | Way::Certificate => Vec::new(),
        };
        // What a proof named counts for as long as the configuration lets such proofs name something.
        if self.of_identities.named_by_proof.contains(&identity.way) {
            names.extend(identity.policies.iter().cloned());
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// `identity`: as it is now, where a directory knows better than the session.
    pub(super) fn principal_of(&self, session: &Session, identity: Option<&Identity>) -> Principal {
        let issued_at = session.is_temporary().then_some(session.issued_at);
        let now = identity.map(|now| Origin::Identity(Box::new(now.clone())));
        let origin = now.as_ref().unwrap_or(&session.origin);
        self.principal(origin, &session.authority, session.tags(), issued_at)
    }

    /// Who somebody is, as policies and logs see it.
    pub fn principal(
        &self,
        origin: &Origin,
        authority: &Authority,
        tags: &SessionTags,
        issued_at: Option<Timestamp>,
    ) -> Principal {
        let account = &self.account;
        let federated = |name: &str| {
            (PrincipalType::FederatedUser, account.federated_user(name), format!("{account}:{name}"))
        };
        let (kind, arn, user_id) = match (authority, origin) {
            (Authority::Role { role, session_name, .. }, _) => (
                PrincipalType::AssumedRole,
                account.assumed_role(role, session_name),
                [&*id_in(&self.of_roles, role, role_id), ":", session_name].concat(),
            ),
            (Authority::Own, Origin::User(user)) => {
                (PrincipalType::User, account.user(user), id_in(&self.of_users, user, user_id).into_owned())
            }
            (Authority::Own, Origin::Identity(identity)) => federated(&identity.path()),
            (Authority::Federated { name }, _) => federated(name),
        };
        let username = origin.user().filter(|_| kind == PrincipalType::User).map(str::to_owned);
        let claims = match origin {
            Origin::User(_) => Vec::new(),
            Origin::Identity(identity) => {
                identity.claims.iter().map(|(key, claim)| (key.into(), values(claim))).collect()
            }
        };
        Principal {
            arn,
            account: *account,
            kind,
            user_id,
            username,
            tags: tags.tags.iter().map(|(key, value)| (key.to_ascii_lowercase(), value.clone())).collect(),
            claims,
            issued_at,
        }
    }
}

/// Of somebody of the configuration it is known; the others are gone, or not there yet.
fn id_in<'k>(known: &'k HashMap<String, Known>, name: &str, make: fn(&str) -> String) -> Cow<'k, str> {
    known.get(name).map_or_else(|| make(name).into(), |known| known.unique_id.as_str().into())
}

fn values(claim: &Claim) -> Values<'static> {
    match claim {
        Claim::One(value) => Values::owned(Some(value.clone())),
        Claim::Many(values) => Values::Many(values.iter().map(|value| value.clone().into()).collect()),
    }
}

/// What identities have without a role.
#[derive(Debug, Clone, Default)]
pub struct IdentityPolicies {
    /// By the canonical DN of a user or a group.
    pub ldap: Vec<(String, Vec<String>)>,
    pub webhook: Vec<String>,
    /// The ways whose proofs name policies themselves.
    pub named_by_proof: Vec<Way>,
    /// The issuers of the providers, by the providers' names.
    pub issuers: HashMap<String, String>,
    /// The other ways that are open.
    pub ways: Vec<Way>,
}

impl IdentityPolicies {
    /// Whether whoever proved somebody would still be asked: a provider of another issuer is another provider, whatever its name.
    fn vouches_for(&self, identity: &Identity) -> bool {
        let Way::Oidc(name) = &identity.way else { return self.ways.contains(&identity.way) };
        let issuer = identity.claims.get("jwt:iss").and_then(|claim| claim.values().first());
        issuer.is_some() && self.issuers.get(name) == issuer
    }

    /// Every policy that is named.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.ldap.iter().flat_map(|(_, names)| names).chain(&self.webhook)
    }

    fn of_directory(&self, identity: &Identity) -> Vec<String> {
        let is_of = |dn: &String| *dn == identity.subject || identity.groups.contains(dn);
        self.ldap.iter().filter(|(dn, _)| is_of(dn)).flat_map(|(_, names)| names.iter().cloned()).collect()
    }
}

/// Stands for AWS's unique id of a role.
pub fn role_id(role: &str) -> String {
    unique_id("AROA", role)
}

fn user_id(user: &str) -> String {
    unique_id("AIDA", user)
}

/// AWS gives everybody an id that no later namesake has. Here it follows from the name, so that every replica gives the same.
fn unique_id(prefix: &str, name: &str) -> String {
    let hash = sha256(format!("{prefix}/{name}").as_bytes());
    let id = hash.iter().take(17).map(|byte| char::from(BASE32[usize::from(byte % 32)]));
    prefix.chars().chain(id).collect()
}
