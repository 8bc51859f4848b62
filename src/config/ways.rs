//! The ways to prove somebody: `[[oidc]]`, `[ldap]`, `[certificate]`, `[webhook]`.

use std::{sync::Arc, time::Duration};

use http::Uri;
use secrecy::SecretString;

use super::{
    Listen,
    certificate_and_webhook::{certificate, webhook_settings},
    pem::authorities,
    people::{Policies, named},
    reader::{Placed, Table},
    values,
};
use crate::{
    credentials::IdentityPolicies,
    identity::{
        self, HttpSettings, Way, certificate,
        ldap::{self, Dn, Transport},
        oidc::{self, Algorithm},
        webhook,
    },
};

/// The settings of every way that is open, and what identities have without a role.
#[derive(Debug, Default)]
pub struct Ways {
    pub oidc: Vec<oidc::Settings>,
    pub ldap: Option<ldap::Settings>,
    pub certificate: Option<certificate::Settings>,
    pub webhook: Option<webhook::Settings>,
}

/// Why a way cannot be opened although its settings can be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WayError(String);

impl Ways {
    /// Makes them usable. Nothing is contacted.
    pub fn open(&self) -> Result<identity::Ways, WayError> {
        let wrong = |way: &str, cause: &dyn std::fmt::Display| WayError(format!("{way}: {cause}"));
        let ldap =
            self.ldap.clone().map(ldap::Ldap::new).transpose().map_err(|cause| wrong("ldap", &cause))?;
        let certificate = self.certificate.clone().map(certificate::Certificates::new).transpose();
        let webhook = self.webhook.clone().map(webhook::Webhook::new).transpose();
        Ok(identity::Ways {
            oidc: oidc::Providers::new(self.oidc.clone()).map_err(|cause| WayError(cause.to_string()))?,
            ldap: ldap.map(Arc::new),
            certificate: certificate.map_err(|cause| wrong("certificate", &cause))?,
            webhook: webhook.map_err(|cause| wrong("webhook", &cause))?,
        })
    }
}

/// `None`: something is wrong with one of them.
pub(super) fn ways(
    root: &Table<'_>,
    listen: Option<&Listen>,
    policies: &Policies,
) -> Option<(Ways, IdentityPolicies)> {
    let mut identity_policies = IdentityPolicies::default();
    let mut names: Vec<String> = Vec::new();
    let mut oidc = Some(Vec::new());
    for table in root.tables("oidc") {
        let provider = provider(&table);
        if let Some(Placed { value, line }) = table.string("name") {
            if names.contains(&value) {
                table.problem(line, "name", format!("there is another provider `{value}`"));
            }
            names.push(value);
        }
        table.finish();
        oidc = oidc.zip(provider).map(|(mut all, one)| {
            all.push(one);
            all
        });
    }
    if let Some(all) = &oidc {
        same_issuer(root, all);
    }
    let certificate = certificate(root.table("certificate"), listen);
    let webhook = optional(root.table("webhook"), |table| {
        let (settings, names) = webhook_settings(table, policies)?;
        identity_policies.webhook = names;
        Some(settings)
    });
    let mut mapped = Vec::new();
    let ldap = optional(root.table("ldap"), |table| {
        mapped = directory_policies(table, policies);
        directory(table)
    });
    identity_policies.ldap = mapped;
    let ways = Ways { oidc: oidc?, ldap: ldap?, certificate: certificate?, webhook: webhook? };
    let claiming = ways.oidc.iter().filter(|provider| provider.policy_claim.is_some());
    let by_token = claiming.map(|provider| Way::Oidc(provider.name.clone()));
    let by_name =
        ways.certificate.iter().filter(|settings| settings.policy_from_cn).map(|_| Way::Certificate);
    identity_policies.named_by_proof = by_token.chain(by_name).collect();
    let issuers = ways.oidc.iter().map(|provider| (provider.name.clone(), provider.issuer.clone()));
    identity_policies.issuers = issuers.collect();
    let open = [
        ways.ldap.as_ref().map(|_| Way::Ldap),
        ways.certificate.as_ref().map(|_| Way::Certificate),
        ways.webhook.as_ref().map(|_| Way::Webhook),
    ];
    identity_policies.ways = open.into_iter().flatten().collect();
    Some((ways, identity_policies))
}

/// The outer `None`: it is wrong; the inner: there is none.
#[expect(clippy::option_option, reason = "absent and wrong are two things")]
fn optional<T>(table: Table<'_>, read: impl FnOnce(&Table<'_>) -> Option<T>) -> Option<Option<T>> {
    if !table.is_there() {
        return Some(None);
    }
    let read = read(&table);
    table.finish();
    read.map(Some)
}

fn same_issuer(root: &Table<'_>, providers: &[oidc::Settings]) {
    for (index, provider) in providers.iter().enumerate() {
        if providers.iter().take(index).any(|other| other.issuer == provider.issuer) {
            let what = format!(
                "oidc.{}: another provider has the same issuer; put both client ids in one",
                provider.name
            );
            root.problem(0, "oidc", what);
        }
    }
}

fn provider(table: &Table<'_>) -> Option<oidc::Settings> {
    let name = table.required_parsed("name", values::name);
    let allow_http = table.boolean("allow_http", false);
    let url = |text: &str| values::url(text, allow_http);
    let issuer =
        table.required_parsed("issuer", url).zip(table.string("issuer")).map(|(uri, text)| (uri, text.value));
    let client_ids = texts(table, "client_ids");
    if client_ids.is_empty() {
        table.problem(
            table.line(),
            "client_ids",
            "is missing: without it a token that was made for anybody else would be taken",
        );
    }
    let algorithms = algorithms(table);
    let (ca_pem, ca_is_good) = authorities(table);
    let jwks_url = table.parsed("jwks_url", url);
    let bearer_token_file = bearer_token_file(table);
    let introspection = optional(table.table("introspection"), |table| introspection(table, allow_http));
    let timeout = values::duration_of(table, "timeout", Duration::from_secs(5));
    let refresh_interval = values::duration_of(table, "refresh_interval", Duration::from_secs(15 * 60));
    let max_stale = values::duration_of(table, "max_stale", Duration::from_secs(24 * 60 * 60));
    if max_stale < refresh_interval {
        table.problem(table.line(), "max_stale", "must not be shorter than refresh_interval");
    }
    let policy_claim = table.string("policy_claim").map(|claim| claim.value);
    let policy_prefix = table.string("policy_prefix").map(|prefix| prefix.value).unwrap_or_default();
    let sessions_end_with_token = table.boolean("sessions_end_with_token", false);
    let userinfo = table.boolean("userinfo", false);
    let authorized_parties = texts(table, "authorized_parties");
    let refresh_cooldown = values::duration_of(table, "refresh_cooldown", Duration::from_secs(30));
    let (introspection, (issuer_uri, issuer)) = (introspection?, issuer?);
    let uris =
        [Some(&issuer_uri), jwks_url.as_ref(), introspection.as_ref().and_then(|other| other.url.as_ref())];
    let named_hosts = uris.into_iter().flatten().filter_map(Uri::host).map(str::to_owned).collect();
    if !ca_is_good {
        return None;
    }
    Some(oidc::Settings {
        name: name?,
        issuer,
        client_ids,
        authorized_parties,
        algorithms,
        policy_claim,
        policy_prefix,
        jwks_url,
        bearer_token_file,
        http: HttpSettings { ca_pem, timeout, allow_http, named_hosts },
        userinfo,
        introspection,
        sessions_end_with_token,
        refresh_cooldown,
        refresh_interval,
        max_stale,
    })
}

fn bearer_token_file(table: &Table<'_>) -> Option<std::path::PathBuf> {
    let file = table.string("bearer_token_file")?;
    if !table.has("jwks_url") {
        let what = "needs jwks_url: the token goes to no address that a document names";
        table.problem(file.line, "bearer_token_file", what);
    }
    Some(table.path_of(&file.value))
}

fn failure_window(table: &Table<'_>) -> Duration {
    let window = values::duration_of(table, "failure_window", Duration::from_secs(5 * 60));
    if window > Duration::from_secs(24 * 60 * 60) {
        table.problem(table.line(), "failure_window", "must be 24h at the most");
    }
    window
}

fn introspection(table: &Table<'_>, allow_http: bool) -> Option<oidc::Introspection> {
    let url = table.parsed("url", |text| values::url(text, allow_http));
    let wants_url = table.string("url").is_some();
    let client_id = table.required("client_id");
    let client_secret = table.secret("client_secret");
    if wants_url && url.is_none() {
        return None;
    }
    Some(oidc::Introspection {
        url,
        client_id: client_id?.value,
        client_secret: SecretString::from(client_secret?.value),
    })
}

fn algorithms(table: &Table<'_>) -> Vec<Algorithm> {
    let given = table.strings("algorithms");
    if given.is_empty() {
        return Algorithm::ALL.to_vec();
    }
    let mut algorithms = Vec::new();
    for Placed { value, line } in given {
        match Algorithm::named(&value) {
            Some(algorithm) => algorithms.push(algorithm),
            None => {
                let known: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
                let what = format!(
                    "`{value}` is not a signature algorithm that can be used; there are {}",
                    known.join(", ")
                );
                table.problem(line, "algorithms", what);
            }
        }
    }
    algorithms
}

fn directory(table: &Table<'_>) -> Option<ldap::Settings> {
    let start_tls = table.boolean("start_tls", false);
    let allow_plaintext = table.boolean("allow_plaintext", false);
    let address = table.required_parsed("url", |text| values::directory(text, start_tls, allow_plaintext));
    let (ca_pem, ca_is_good) = authorities(table);
    let base = |text: &str| Dn::parse(text).map(|_| text.to_owned());
    let bind_dn = table.required_parsed("bind_dn", base);
    let bind_password = table.secret("bind_password");
    let user_base = table.required_parsed("user_base", base);
    let user_filter = filter(table, "user_filter", "(uid={username})", &["{username}"]);
    let group_base = table.parsed("group_base", base);
    let wants_groups = table.string("group_base").is_some();
    let default = "(&(objectClass=groupOfNames)(member={dn}))";
    let group_filter = filter(table, "group_filter", default, &["{dn}", "{username}"]);
    let nested_groups = table.count("nested_groups", 0);
    if nested_groups > 16 {
        table.problem(table.line(), "nested_groups", "must be 16 at the most");
    }
    let max_failures = table.count("max_failures", 5);
    if max_failures == 0 {
        table.problem(
            table.line(),
            "max_failures",
            "must be more than 0, and less than what the directory locks a user at",
        );
    }
    let user_attributes = texts(table, "user_attributes");
    let member_of = table.boolean("member_of", false);
    let connect_timeout = values::duration_of(table, "connect_timeout", Duration::from_secs(2));
    let timeout = values::duration_of(table, "timeout", Duration::from_secs(5));
    let failure_window = failure_window(table);
    let recheck_interval = values::duration_of(table, "recheck_interval", Duration::from_secs(5 * 60));
    let (host, port, transport) = address?;
    if !ca_is_good || (wants_groups && group_base.is_none()) {
        return None;
    }
    if transport == Transport::Plaintext && ca_pem.is_some() {
        table.problem(table.line(), "ca_file", "means nothing without TLS: use ldaps:// or start_tls = true");
    }
    Some(ldap::Settings {
        host,
        port,
        transport,
        ca_pem,
        bind_dn: bind_dn?,
        bind_password: SecretString::from(bind_password?.value),
        user_base: user_base?,
        user_filter: user_filter?,
        user_attributes,
        group_base,
        group_filter: group_filter?,
        nested_groups: u8::try_from(nested_groups).unwrap_or(16),
        member_of,
        connect_timeout,
        timeout,
        max_failures: u32::try_from(max_failures).unwrap_or(u32::MAX),
        failure_window,
        recheck_interval,
    })
}

/// A search filter in which one of these places stands.
fn filter(table: &Table<'_>, name: &str, default: &str, places: &[&str]) -> Option<String> {
    let Some(Placed { value, line }) = table.string(name) else { return Some(default.to_owned()) };
    let whole = value.starts_with('(') && value.ends_with(')');
    if whole && places.iter().any(|place| value.contains(place)) {
        return Some(value);
    }
    let what = format!("must be a filter in parentheses that holds {}, as {default}", places.join(" or "));
    table.problem(line, name, what);
    None
}

/// `[[ldap.policy]]`: policies by the DN of a user or a group.
fn directory_policies(table: &Table<'_>, policies: &Policies) -> Vec<(String, Vec<String>)> {
    let mut mapped = Vec::new();
    for entry in table.tables("policy") {
        let dn = entry.required_parsed("dn", Dn::parse);
        let names = named(&entry, "policies", &policies.names(), "policy");
        if names.is_empty() {
            entry.problem(entry.line(), "policies", "is missing: name at least one policy");
        }
        mapped.extend(dn.map(|dn| (dn.as_str().to_owned(), names)));
        entry.finish();
    }
    mapped
}

fn texts(table: &Table<'_>, name: &str) -> Vec<String> {
    let given = table.strings(name);
    for Placed { value, line } in &given {
        if value.is_empty() {
            table.problem(*line, name, "holds an empty text");
        }
    }
    given.into_iter().map(|text| text.value).collect()
}
