//! `[[role.trust]]`: whom a role lets in.

use super::{
    known::Known,
    problems::did_you_mean,
    reader::{Placed, Table},
};
use crate::{
    iam::Wildcard,
    identity::{ClaimRule, IdentityRule, TrustRule, Way, ldap::Dn},
};

pub(super) fn rule(table: &Table<'_>, known: &Known) -> TrustRule {
    let names = |key: &str| table.strings(key).into_iter().map(|name| name.value).collect::<Vec<_>>();
    let rule = TrustRule {
        users: names("users"),
        roles: names("roles"),
        identity: identity(table, known),
        external_id: external_id(table),
        session_tags: names("session_tags").iter().map(|key| key.to_ascii_lowercase()).collect(),
    };
    let people = !rule.users.is_empty() || !rule.roles.is_empty();
    if !people && rule.identity.is_none() {
        table.problem(
            table.line(),
            "",
            "trusts nobody: give users, roles, oidc, ldap_group, ldap_user, certificate or webhook",
        );
    }
    if people && rule.identity.is_some() {
        table.problem(
            table.line(),
            "",
            "names users or roles and somebody else: write a rule for each, any one lets in",
        );
    }
    if rule.identity.is_some() && (rule.external_id.is_some() || !rule.session_tags.is_empty()) {
        table.problem(
            table.line(),
            "",
            "external_id and session_tags go with AssumeRole, which these callers do not use",
        );
    }
    rule
}

pub(super) fn external_id(table: &Table<'_>) -> Option<String> {
    let id = table.string("external_id")?;
    if !(2..=1224).contains(&id.value.len()) {
        table.problem(id.line, "external_id", "must have 2 to 1224 characters");
    }
    Some(id.value)
}

/// Exactly one way stands in a rule.
fn identity(table: &Table<'_>, known: &Known) -> Option<IdentityRule> {
    let oidc = table.string("oidc");
    let dn = |key: &str| table.parsed(key, Dn::parse).map(|dn| dn.as_str().to_owned());
    let (ldap_group, ldap_user) = (dn("ldap_group"), dn("ldap_user"));
    let certificate = table.table("certificate");
    let webhook = table.boolean("webhook", false);
    let ldap = table.has("ldap_group") || table.has("ldap_user");
    let given = [oidc.is_some(), ldap, certificate.is_there(), webhook];
    if given.iter().filter(|given| **given).count() > 1 {
        table.problem(
            table.line(),
            "",
            "names several ways to prove somebody: write a rule for each, any one lets in",
        );
        return None;
    }
    let claims = table.table("claims");
    let has_claims = claims.is_there();
    let rule = if let Some(Placed { value, line }) = oidc {
        if !known.providers.contains(&value) {
            let hint = did_you_mean(&value, known.providers.iter().map(String::as_str));
            table.problem(line, "oidc", format!("there is no [[oidc]] provider `{value}`{hint}"));
        }
        let way = Way::Oidc(value);
        Some(IdentityRule { claims: rules(&claims, &way), way, ldap_group: None, ldap_user: None })
    } else if ldap {
        expect(table, known.ldap, "there is no [ldap]");
        let way = Way::Ldap;
        // A DN that is wrong was noted and must not become any DN.
        let whole = (ldap_group.is_some() || !table.has("ldap_group"))
            && (ldap_user.is_some() || !table.has("ldap_user"));
        whole.then(|| IdentityRule { claims: rules(&claims, &way), way, ldap_group, ldap_user })
    } else if certificate.is_there() {
        expect(table, known.certificate, "there is no listen.tls.client_ca_file");
        let way = Way::Certificate;
        Some(IdentityRule { claims: rules(&certificate, &way), way, ldap_group: None, ldap_user: None })
    } else if webhook {
        expect(table, known.webhook, "there is no [webhook]");
        let way = Way::Webhook;
        Some(IdentityRule { claims: rules(&claims, &way), way, ldap_group: None, ldap_user: None })
    } else {
        None
    };
    if has_claims && !matches!(&rule, Some(rule) if rule.way != Way::Certificate) {
        table.problem(table.line(), "claims", "goes with oidc, ldap_group, ldap_user or webhook");
    }
    rule
}

fn expect(table: &Table<'_>, there: bool, what: &str) {
    if !there {
        table.problem(table.line(), "", what);
    }
}

/// What a certificate says.
const OF_CERTIFICATES: &[&str] = &["cn", "o", "ou", "san_dns", "san_uri", "san_email", "issuer_cn", "serial"];

fn rules(table: &Table<'_>, way: &Way) -> Vec<ClaimRule> {
    let mut rules = Vec::new();
    for (name, values, line) in table.choices() {
        if *way == Way::Certificate && !OF_CERTIFICATES.contains(&&*name) {
            let hint = did_you_mean(&name, OF_CERTIFICATES.iter().copied());
            let what =
                format!("is nothing that a certificate says{hint}; there are {}", OF_CERTIFICATES.join(", "));
            table.problem(line, &name, what);
        }
        if values.is_empty() {
            table.problem(line, &name, "is an empty list, which nothing could ever match");
        }
        let key = format!("{}:{}", way.namespace(), name.to_ascii_lowercase());
        rules.push(ClaimRule { key, any_of: values.iter().map(|value| Wildcard::new(value)).collect() });
    }
    rules
}
