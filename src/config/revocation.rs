//! `[revocation]`.

use std::time::Duration;

use secrecy::SecretString;

use super::{pem::certificates, reader::Table, values};
use crate::credentials::revocation::{Settings, SharedSettings};

/// `None`: it is wrong.
pub(super) fn revocation(table: Table<'_>) -> Option<Settings> {
    let file = table.string("file");
    let has_url = table.has("url");
    let allow_plaintext = table.boolean("allow_plaintext", false);
    let server = table.parsed("url", |text| values::server(text, allow_plaintext));
    let password = table.optional_secret("password").map(|password| SecretString::from(password.value));
    let has_ca = table.has("ca_file");
    let ca_pem = certificates(&table, "ca_file");
    let timeout = values::duration_of(&table, "timeout", Duration::from_secs(2));
    let refuses = table.parsed("when_unreachable", values::when_unreachable).unwrap_or(false);
    let max_age = table.parsed("max_age", values::seconds).unwrap_or(Duration::from_secs(5 * 60));
    if let (Some(file), true) = (&file, has_url) {
        table.problem(file.line, "file", "goes without url: the server keeps what several gateways share");
    }
    if !has_url {
        for name in ["password", "password_file", "password_env", "ca_file", "when_unreachable"] {
            if table.has(name) {
                table.problem(table.line(), name, "needs url, the server that it is about");
            }
        }
    }
    let file = file.map_or_else(|| "revocations.jsonl".to_owned(), |file| file.value);
    let path = table.path_of(&file);
    table.finish();
    if !has_url {
        return Some(Settings::File(path));
    }
    let values::Server { host, port, tls, database, username } = server?;
    if has_ca && ca_pem.is_none() {
        return None;
    }
    let refuse_after = refuses.then_some(max_age);
    Some(Settings::Shared(Box::new(SharedSettings {
        host,
        port,
        tls,
        database,
        username,
        password,
        ca_pem,
        timeout,
        refuse_after,
    })))
}
