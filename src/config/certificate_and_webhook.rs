//! `[certificate]` and `[webhook]`.

use std::time::Duration;

use secrecy::SecretString;

use super::{
    Listen,
    pem::authorities,
    people::{Policies, named},
    reader::Table,
    values,
};
use crate::identity::{HttpSettings, certificate, webhook};

/// Open when the listener asks for certificates.
#[expect(clippy::option_option, reason = "absent and wrong are two things")]
pub(super) fn certificate(
    table: Table<'_>,
    listen: Option<&Listen>,
) -> Option<Option<certificate::Settings>> {
    let policy_from_cn = table.boolean("policy_from_cn", false);
    let crl_pem = table.file("crl_file", false);
    let wants_crl = table.string("crl_file").is_some();
    let ca_pem = listen.and_then(|listen| listen.tls.as_ref()).and_then(|tls| tls.client_ca_pem.clone());
    if table.is_there() && listen.is_some() && ca_pem.is_none() {
        table.problem(
            table.line(),
            "",
            "needs listen.tls.client_ca_file: nobody would be asked for a certificate",
        );
    }
    table.finish();
    if wants_crl && crl_pem.is_none() {
        return None;
    }
    let crl_pem = crl_pem.map(|file| file.value);
    Some(ca_pem.map(|ca_pem| certificate::Settings { ca_pem, crl_pem, policy_from_cn }))
}

pub(super) fn webhook_settings(
    table: &Table<'_>,
    policies: &Policies,
) -> Option<(webhook::Settings, Vec<String>)> {
    let allow_http = table.boolean("allow_http", false);
    let url = table.required_parsed("url", |text| values::url(text, allow_http));
    let auth_token = table.optional_secret("auth_token").map(|token| SecretString::from(token.value));
    let (ca_pem, ca_is_good) = authorities(table);
    let timeout = values::duration_of(table, "timeout", Duration::from_secs(5));
    let names = named(table, "policies", &policies.names(), "policy");
    let url = url?;
    let named_hosts = url.host().map(str::to_owned).into_iter().collect();
    let http = HttpSettings { ca_pem, timeout, allow_http, named_hosts };
    ca_is_good.then(|| (webhook::Settings { url, auth_token, http, policies: names.clone() }, names))
}
