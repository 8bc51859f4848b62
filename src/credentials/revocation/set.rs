//! What is revoked, found without an allocation.

use std::{collections::HashMap, sync::Arc};

use super::{
    entry::{Entry, EntryId, Kind, Subject},
    file::Line,
};
use crate::{
    clock::Timestamp,
    credentials::session::{Authority, Origin, Session},
    identity::{Identity, Way},
};

type ByName = HashMap<Arc<str>, Arc<Entry>>;

/// A snapshot: asked by every request, replaced when something changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Set {
    entries: HashMap<EntryId, Arc<Entry>>,
    sessions: ByName,
    users: ByName,
    user_keys: ByName,
    roles: ByName,
    providers: ByName,
    /// By subject; one may be known to several ways.
    identities: HashMap<Arc<str>, Vec<(Subject, Arc<Entry>)>>,
    everything: Option<Arc<Entry>>,
}

impl Set {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, id: EntryId) -> Option<&Arc<Entry>> {
        self.entries.get(&id)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    fn named(&mut self, kind: Kind) -> Option<&mut ByName> {
        match kind {
            Kind::Session => Some(&mut self.sessions),
            Kind::User => Some(&mut self.users),
            Kind::UserKey => Some(&mut self.user_keys),
            Kind::Role => Some(&mut self.roles),
            Kind::Provider => Some(&mut self.providers),
            Kind::Identity | Kind::Everything => None,
        }
    }

    /// In place of an entry of the same id.
    pub(super) fn insert(&mut self, entry: Entry) {
        self.remove(entry.id);
        let entry = Arc::new(entry);
        self.entries.insert(entry.id, entry.clone());
        if let Some(named) = self.named(entry.kind) {
            named.insert(Arc::from(entry.value.as_str()), entry);
        } else if entry.kind == Kind::Everything {
            self.everything = Some(entry);
        } else if let Some(subject) = Subject::parse(&entry.value) {
            let of_subject = self.identities.entry(Arc::from(subject.subject.as_str())).or_default();
            of_subject.push((subject, entry));
        }
    }

    pub(super) fn take_in(&mut self, line: Line) {
        match line {
            Line::Revoke(entry) => self.insert(entry),
            Line::Lift(id) => drop(self.remove(id)),
        }
    }

    pub(super) fn remove(&mut self, id: EntryId) -> Option<Arc<Entry>> {
        let entry = self.entries.remove(&id)?;
        if let Some(named) = self.named(entry.kind) {
            named.remove(entry.value.as_str());
        } else if entry.kind == Kind::Everything {
            self.everything = None;
        } else if let Some(subject) = Subject::parse(&entry.value)
            && let Some(of_subject) = self.identities.get_mut(subject.subject.as_str())
        {
            of_subject.retain(|(_, other)| other.id != id);
            if of_subject.is_empty() {
                self.identities.remove(subject.subject.as_str());
            }
        }
        Some(entry)
    }

    pub(super) fn drop_what_is_over(&mut self, now: Timestamp) {
        let over: Vec<_> =
            self.entries.values().filter(|entry| entry.is_over(now)).map(|entry| entry.id).collect();
        for id in over {
            self.remove(id);
        }
    }

    /// The entry that ends a session, or a user's key.
    pub(super) fn find(&self, session: &Session) -> Option<&Entry> {
        if !session.is_temporary() {
            return self.user_keys.get(session.access_key_id.as_str()).map(AsRef::as_ref);
        }
        if let Some(entry) = self.sessions.get(session.access_key_id.as_str()) {
            return Some(entry);
        }
        let issued = session.issued_at;
        let ends = |entry: &&Arc<Entry>| issued < entry.issued_before;
        let by_role = || match &session.authority {
            Authority::Role { role, via, .. } if !self.roles.is_empty() => {
                via.iter().chain([role]).find_map(|name| self.roles.get(name.as_str()).filter(ends))
            }
            _ => None,
        };
        let by_origin = || match &session.origin {
            Origin::User(name) => self.users.get(name.as_str()).filter(ends),
            // A session that was made from another counts from the proof.
            Origin::Identity(identity) => self
                .of_identity(identity)
                .filter(|entry| identity.proven_at.min(issued) < entry.issued_before),
        };
        let found = self.everything.as_ref().filter(ends).or_else(by_origin).or_else(by_role);
        found.map(AsRef::as_ref)
    }

    /// Of the identity itself or of who proved it, the one that ends more.
    fn of_identity(&self, identity: &Identity) -> Option<&Arc<Entry>> {
        let provider = match &identity.way {
            Way::Oidc(name) => name.as_str(),
            way => way.namespace(),
        };
        let by_provider = self.providers.get(provider);
        let of_subject = self.identities.get(identity.subject.as_str());
        let by_subject = of_subject.and_then(|known| {
            known.iter().find(|(subject, _)| is_way(&subject.way, &identity.way)).map(|(_, entry)| entry)
        });
        by_provider.into_iter().chain(by_subject).max_by_key(|entry| entry.issued_before)
    }
}

fn is_way(text: &str, way: &Way) -> bool {
    match way {
        Way::Oidc(name) => text.strip_prefix("oidc/") == Some(name),
        way => text == way.namespace(),
    }
}
