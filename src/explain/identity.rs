//! `daypass explain --token` and `--ldap-user`: who somebody is here, and what follows from it.

use std::fmt::Write as _;

use crate::{
    clock::Timestamp,
    config::Config,
    identity::{Identity, Proof, Proven, Unmet, Ways, ldap, oidc},
};

/// Whom is asked about.
#[derive(Debug)]
pub enum Who {
    /// The bearer of a token.
    Token { token: String, provider: Option<String> },
    /// A user of the directory, without a password.
    LdapUser(String),
}

/// What is known of somebody: for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Proven, and something is granted.
    pub granted: bool,
    pub text: String,
}

/// Asks the provider or the directory, as a login would.
pub async fn explain_identity(config: &Config, ways: &Ways, who: &Who, now: Timestamp) -> Answer {
    let mut text = String::new();
    let proof = match who {
        Who::Token { token, provider } => {
            token_proof(ways, token.trim(), provider.as_deref(), now, &mut text).await
        }
        Who::LdapUser(name) => directory_proof(ways, name, &mut text).await,
    };
    let Some(proof) = proof else { return Answer { granted: false, text } };
    let granted = write_grants(config, &proof, now, &mut text);
    Answer { granted, text }
}

async fn token_proof(
    ways: &Ways,
    token: &str,
    provider: Option<&str>,
    now: Timestamp,
    text: &mut String,
) -> Option<Proof> {
    // Writing to a string does not fail, here and below.
    match ways.oidc.identify(token, provider, None, now).await {
        Ok(verified) => {
            let oidc::Verified { proof, subject, audience, issuer } = verified;
            let _ =
                writeln!(text, "the token is good: issuer {issuer}, audience {audience}, subject {subject}");
            Some(proof)
        }
        Err(oidc::Error::Refused { cause }) => {
            let _ = writeln!(text, "the token is refused: {cause}");
            None
        }
        Err(oidc::Error::Expired) => {
            let _ = writeln!(text, "the token is over; everything else about it is good");
            None
        }
        Err(oidc::Error::Unavailable { cause }) => {
            let _ = writeln!(text, "the provider cannot be asked: {cause}");
            None
        }
    }
}

async fn directory_proof(ways: &Ways, name: &str, text: &mut String) -> Option<Proof> {
    let Some(directory) = &ways.ldap else {
        let _ = writeln!(text, "there is no [ldap] in the configuration");
        return None;
    };
    match directory.look_up(name).await {
        Ok(proof) => {
            let _ = writeln!(text, "the user is {}", proof.subject);
            for group in &proof.groups {
                let _ = writeln!(text, "  in the group {group}");
            }
            Some(proof)
        }
        Err(ldap::Error::Missing) => {
            let _ = writeln!(text, "the name is empty");
            None
        }
        Err(ldap::Error::Refused { cause }) => {
            let _ = writeln!(text, "the directory knows no such user: {cause}");
            None
        }
        Err(cause) => {
            let _ = writeln!(text, "the directory cannot be asked: {cause}");
            None
        }
    }
}

/// The claims, and for each role the rule that lets in or what is missing.
fn write_grants(config: &Config, proof: &Proof, now: Timestamp, text: &mut String) -> bool {
    let principals = &config.principals;
    let namespace = proof.way.namespace();
    for (name, value) in &proof.said {
        let _ = writeln!(text, "  {namespace}:{name} is {value}");
    }
    let identity = match proof.identity(&principals.asked, now) {
        Ok(identity) => identity,
        Err(problem) => {
            let _ = writeln!(text, "no session can be made: {problem}");
            return false;
        }
    };
    let without_role = write_own_policies(config, &identity, text);
    let mut roles: Vec<_> = principals.directory.roles().collect();
    roles.sort_by_key(|role| &role.name);
    let mut granted = without_role;
    for role in roles {
        if principals.directory.assume(role, Proven::Identity(&identity), None).is_some() {
            granted = true;
            let _ =
                writeln!(text, "role {}: granted, with the policies {}", role.name, role.policies.join(", "));
            continue;
        }
        let unmet: Vec<(usize, Unmet)> = role
            .trust
            .iter()
            .enumerate()
            .filter_map(|(index, rule)| Some((index + 1, rule.identity.as_ref()?.unmet(&identity)?)))
            .collect();
        if unmet.is_empty() {
            let _ = writeln!(text, "role {}: not granted: it trusts nobody of this kind", role.name);
        }
        for (number, unmet) in unmet {
            let _ = writeln!(text, "role {}: not granted by trust rule {number}: {unmet}", role.name);
        }
    }
    granted
}

fn write_own_policies(config: &Config, identity: &Identity, text: &mut String) -> bool {
    let principals = &config.principals;
    let (known, unknown): (Vec<String>, Vec<String>) =
        principals.own_policies(identity).into_iter().partition(|name| principals.policies.contains(name));
    if !unknown.is_empty() {
        let _ = writeln!(text, "names that are no policy here: {}", unknown.join(", "));
    }
    let shown =
        if known.is_empty() { "nothing".to_owned() } else { format!("the policies {}", known.join(", ")) };
    let _ = writeln!(text, "without a role: {shown}");
    !known.is_empty()
}
