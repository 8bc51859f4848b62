//! `[audit]`.

use std::time::Duration;

use secrecy::SecretString;

use super::{pem::authorities, reader::Table, values};
use crate::{
    audit::{CollectorSettings, Destination, Settings},
    identity::HttpSettings,
};

/// The outer `None`: it is wrong; the inner: nothing is recorded.
#[expect(clippy::option_option, reason = "absent and wrong are two things")]
pub(super) fn audit(table: Table<'_>) -> Option<Option<Settings>> {
    if !table.is_there() {
        return Some(None);
    }
    let file = table.string("file");
    let stdout = table.boolean("stdout", false);
    let has_url = table.has("url");
    let allow_http = table.boolean("allow_http", false);
    let url = table.parsed("url", |text| values::url(text, allow_http));
    let auth_token = table.optional_secret("auth_token").map(|token| SecretString::from(token.value));
    let (ca_pem, ca_is_good) = authorities(&table);
    let strict = table.boolean("strict", false);
    let queue = table.count("queue", 10_000);
    let unproven_per_second = table.count("unproven_per_second", 100);
    let sync = table.boolean("sync", false);
    let timeout = values::duration_of(&table, "timeout", Duration::from_secs(5));
    if queue == 0 {
        table.problem(table.line(), "queue", "must be more than 0");
    }
    let given = [file.is_some(), stdout, has_url].into_iter().filter(|given| *given).count();
    if given != 1 {
        table.problem(
            table.line(),
            "",
            "needs exactly one of file, stdout = true and url: where the lines go",
        );
    }
    if sync && file.is_none() {
        table.problem(table.line(), "sync", "needs file: only a file is on a disk of ours");
    }
    if !has_url {
        for name in ["auth_token", "auth_token_file", "auth_token_env", "ca_file", "allow_http"] {
            if table.has(name) {
                table.problem(table.line(), name, "needs url, the collector that it is about");
            }
        }
    }
    let path = file.map(|file| table.path_of(&file.value));
    table.finish();
    let destination = match (path, url) {
        (Some(path), _) => Destination::File(path),
        (None, Some(url)) if ca_is_good => {
            let named_hosts = url.host().map(str::to_owned).into_iter().collect();
            let http = HttpSettings { ca_pem, timeout, allow_http, named_hosts };
            Destination::Collector(Box::new(CollectorSettings { url, auth_token, http }))
        }
        (None, None) if stdout => Destination::Stdout,
        (None, _) => return None,
    };
    Some(Some(Settings { destination, strict, queue, unproven_per_second, sync, timeout }))
}
