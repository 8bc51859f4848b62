//! What is inside a token.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

use super::session::{Authority, Grant, Origin, SessionPolicy, SessionTags};
use crate::{clock::Timestamp, iam::Policy, secret::AccessKeyId};

/// A session as it is sealed: a list, for names would be most of it. Its secret is not there.
#[derive(Serialize, Deserialize)]
pub(super) struct Contents<'s>(
    #[serde(borrow)] Cow<'s, str>,
    /// When it was issued, and when it ends.
    Timestamp,
    Timestamp,
    Cow<'s, Origin>,
    Cow<'s, Authority>,
    #[serde(skip_serializing_if = "Option::is_none", default)] Option<SealedRest<'s>>,
);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedRest<'s> {
    policy: Option<SealedPolicy<'s>>,
    tags: Cow<'s, SessionTags>,
}

/// The inline one as given, and the names of others.
#[derive(Serialize, Deserialize)]
struct SealedPolicy<'s>(Option<Cow<'s, str>>, Cow<'s, [String]>);

impl<'s> Contents<'s> {
    pub(super) fn of(access_key_id: &'s AccessKeyId, grant: &'s Grant, issued_at: Timestamp) -> Self {
        let policy = grant.session_policy.as_ref().map(|policy| {
            let inline = policy.inline.as_ref().map(|(text, _)| Cow::Borrowed(text.as_str()));
            SealedPolicy(inline, Cow::Borrowed(policy.names.as_slice()))
        });
        let is_plain = policy.is_none() && grant.tags.is_empty();
        Self(
            Cow::Borrowed(access_key_id.as_str()),
            issued_at,
            grant.expires_at,
            Cow::Borrowed(&grant.origin),
            Cow::Borrowed(&grant.authority),
            (!is_plain).then_some(SealedRest { policy, tags: Cow::Borrowed(&grant.tags) }),
        )
    }

    /// What was granted, to whom and when. `None`: a session policy that no longer compiles, which must not become none.
    pub(super) fn into_grant(self) -> Option<(AccessKeyId, Grant, Timestamp)> {
        let Self(access_key_id, issued_at, expires_at, origin, authority, rest) = self;
        let (policy, tags) = rest.map(|rest| (rest.policy, rest.tags.into_owned())).unwrap_or_default();
        let session_policy = match policy {
            None => None,
            Some(SealedPolicy(None, names)) => {
                Some(SessionPolicy { inline: None, names: names.into_owned() })
            }
            Some(SealedPolicy(Some(document), names)) => {
                let compiled = Arc::new(Policy::parse(&document).ok()?);
                let inline = Some((document.into_owned(), compiled));
                Some(SessionPolicy { inline, names: names.into_owned() })
            }
        };
        let (origin, authority) = (origin.into_owned(), authority.into_owned());
        let grant = Grant { origin, authority, session_policy, tags, expires_at };
        Some((AccessKeyId::new(&*access_key_id), grant, issued_at))
    }
}
