//! `[revocation]` and the admin listener that is asked for it.

use super::{
    Admin,
    reader::{Placed, Table},
    values,
};
use crate::{credentials::revocation::Settings, secret::AdminToken};

/// So short a token can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// The outer `None`: it is wrong; the inner: there is none.
#[expect(clippy::option_option, reason = "absent and wrong are two things")]
pub(super) fn admin(table: Table<'_>) -> Option<Option<Admin>> {
    if !table.is_there() {
        return Some(None);
    }
    let address = table.required_parsed("address", values::address);
    let token = table.optional_secret("token").map(|Placed { value, line }| {
        if value.len() < SHORTEST_TOKEN || value.bytes().any(|byte| !byte.is_ascii_graphic()) {
            let what = "must be 16 characters at the least, without spaces: openssl rand -hex 32 makes one";
            table.problem(line, "token", what);
        }
        AdminToken::new(value)
    });
    table.finish();
    Some(Some(Admin { address: address?, token }))
}

pub(super) fn revocation(table: Table<'_>) -> Settings {
    let file = table.string("file").map_or_else(|| "revocations.jsonl".to_owned(), |file| file.value);
    let path = table.path_of(&file);
    table.finish();
    Settings::File(path)
}
