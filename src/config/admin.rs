//! `[admin]`.

use std::path::Path;

use super::{
    Admin, AdminTls, Problems,
    check::{certificates, tls},
    document_of,
    reader::{Placed, Table},
    values,
};
use crate::{admin_client::Listener, secret::AdminToken};

/// So short a token can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// The outer `None`: it is wrong; the inner: there is none.
#[expect(clippy::option_option, reason = "absent and wrong are two things")]
pub(super) fn admin(table: Table<'_>) -> Option<Option<Admin>> {
    if !table.is_there() {
        return Some(None);
    }
    let address = table.required_parsed("address", values::address);
    let ready_needs_backend = table.boolean("ready_needs_backend", false);
    let metrics_need_token = table.boolean("metrics_need_token", false);
    let token = table.optional_secret("token").map(|Placed { value, line }| {
        if value.len() < SHORTEST_TOKEN || value.bytes().any(|byte| !byte.is_ascii_graphic()) {
            let what = "must be 16 characters at the least, without spaces: openssl rand -hex 32 makes one";
            table.problem(line, "token", what);
        }
        AdminToken::new(value)
    });
    let tls_table = table.table("tls");
    let wants_tls = tls_table.is_there();
    let tls = if wants_tls { admin_tls(&tls_table) } else { None };
    tls_table.finish();
    let has_client_ca = tls.as_ref().is_some_and(|tls| tls.files.client_ca_pem.is_some());
    if metrics_need_token && token.is_none() && !has_client_ca {
        let what = "needs a token or tls.client_ca_file: nobody could read them";
        table.problem(table.line(), "metrics_need_token", what);
    }
    table.finish();
    if wants_tls && tls.is_none() {
        return None;
    }
    Some(Some(Admin { address: address?, ready_needs_backend, metrics_need_token, token, tls }))
}

fn admin_tls(table: &Table<'_>) -> Option<AdminTls> {
    let files = tls(table);
    let has_ca = table.has("ca_file");
    let ca_pem = certificates(table, "ca_file");
    let server_name = table.parsed("server_name", values::server_name);
    if has_ca && ca_pem.is_none() {
        return None;
    }
    Some(AdminTls { files: files?, ca_pem, server_name })
}

/// Where the admin listener of a gateway with this file is and how it is spoken to; `None`: it has none. Nothing else of the file
/// is looked at, so that a gateway is also found while somebody edits the rest, by whoever may not read its keys.
pub fn admin_listener(path: &Path) -> Result<Option<Listener>, Problems> {
    document_of(path, |root| {
        let admin = root.table("admin");
        if !admin.is_there() {
            return None;
        }
        let address = admin.required_parsed("address", values::address)?;
        let tls = admin.table("tls");
        if !tls.is_there() {
            return Some(Listener::plain(address));
        }
        let ca_pem = certificates(&tls, "ca_file");
        Some(Listener::tls(address, ca_pem, tls.parsed("server_name", values::server_name)))
    })
}
