//! Which ways there are to prove somebody.

use std::collections::HashSet;

use super::reader::Table;

/// What the rest of the file needs to know of the ways, wrong ones included: one problem is enough.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) providers: HashSet<String>,
    pub(super) ldap: bool,
    pub(super) certificate: bool,
    pub(super) webhook: bool,
}

impl Known {
    pub(super) fn any(&self) -> bool {
        !self.providers.is_empty() || self.ldap || self.certificate || self.webhook
    }
}

pub(super) fn known(root: &Table<'_>, has_client_ca: bool) -> Known {
    Known {
        providers: root
            .tables("oidc")
            .iter()
            .filter_map(|table| table.string("name"))
            .map(|name| name.value)
            .collect(),
        ldap: root.table("ldap").is_there(),
        certificate: has_client_ca,
        webhook: root.table("webhook").is_there(),
    }
}
