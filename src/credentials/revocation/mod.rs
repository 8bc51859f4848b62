//! Sessions that end before their time. A request asks the set once, after its signature holds; what changes it is kept in a
//! file, or in a server that several gateways share.

mod entry;
mod file;
mod set;
mod shared;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;

pub use self::{
    entry::{Entry, EntryId, KEPT, Kind, Unfit, Wanted},
    file::FileError,
    shared::SharedSettings,
};
use self::{
    file::{FileStore, Line},
    set::Set,
    shared::{Follower, Shared},
};
use super::session::Session;
use crate::clock::{Clock, Timestamp};

/// Where revocations are kept.
#[derive(Debug, Clone)]
pub enum Settings {
    /// Of one gateway.
    File(PathBuf),
    /// Of several, in a server.
    Shared(Box<SharedSettings>),
}

/// More than these, and sessions can no longer revoke themselves: operators always can.
const MOST: usize = 100_000;

/// Time is told in whole seconds: a session of the second in which somebody revokes may be older than the revocation.
const SETTLING: Duration = Duration::from_secs(1);

/// And the second within which the other gateways hear of it.
const SETTLING_SHARED: Duration = Duration::from_secs(2);

/// What is revoked; it outlives every configuration.
#[derive(Debug)]
pub struct Revocations {
    set: ArcSwap<Set>,
    /// One change at a time.
    changing: Mutex<()>,
    store: Store,
}

#[derive(Debug)]
enum Store {
    Nowhere,
    File(FileStore),
    Shared(Box<Shared>),
}

/// Why there is nothing to begin with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the server of revocations cannot be used: {0}")]
    Server(#[from] redis::RedisError),
}

/// Why a change did not come about as it should.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("there are too many revocations")]
    TooMany,
    /// For a revocation: it holds here until the gateway is started again.
    #[error("the file of revocations cannot be written: {0}")]
    NotKept(#[source] io::Error),
    /// A revocation holds here, and everywhere as soon as the server can be reached; nothing was lifted.
    #[error("the server of revocations cannot be told, so other gateways do not know: {0}")]
    NotShared(String),
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Revoked(Revoked),
    /// Nobody knows what is revoked.
    Unknown,
}

/// Why a session is refused, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was revoked: entry {id} ({kind})")]
pub struct Revoked {
    pub id: EntryId,
    pub kind: Kind,
}

impl Revocations {
    /// Kept in memory alone.
    pub fn nowhere() -> Arc<Self> {
        Arc::new(Self::new(Set::default(), Store::Nowhere))
    }

    /// With what is kept already.
    pub fn open(settings: Settings, now: Timestamp) -> Result<Arc<Self>, OpenError> {
        match settings {
            Settings::File(path) => {
                let (store, mut set) = FileStore::open(path)?;
                set.drop_what_is_over(now);
                Ok(Arc::new(Self::new(set, Store::File(store))))
            }
            Settings::Shared(settings) => {
                let store = Store::Shared(Box::new(Shared::new(*settings, now)?));
                Ok(Arc::new(Self::new(Set::default(), store)))
            }
        }
    }

    fn new(set: Set, store: Store) -> Self {
        Self { set: ArcSwap::from_pointee(set), changing: Mutex::new(()), store }
    }

    /// Follows the server that is shared; without one there is nothing to follow. Never ends before that.
    pub async fn follow(self: Arc<Self>, clock: Arc<dyn Clock>) {
        if let Store::Shared(shared) = &self.store {
            shared.follow(&*self, &*clock).await;
        }
    }

    /// Waits for the first look at the server, within its timeout. To be called while it is followed.
    pub async fn first_look(&self) {
        let Store::Shared(shared) = &self.store else { return };
        let looked = async {
            while !shared.is_synced() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(shared.timeout(), looked).await;
    }

    /// How old the last good look at a server that is shared is, or how long it has been waited for; `None`: nothing is shared.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        match &self.store {
            Store::Shared(shared) => Some(shared.age(now)),
            Store::Nowhere | Store::File(_) => None,
        }
    }

    /// Whether a session may go on, or a long-term key.
    pub(super) fn check(&self, session: &Session, now: Timestamp) -> Result<(), Refusal> {
        if let Store::Shared(shared) = &self.store
            && session.is_temporary()
            && shared.is_too_old(now)
        {
            return Err(Refusal::Unknown);
        }
        let set = self.set.load();
        if set.is_empty() {
            return Ok(());
        }
        match set.find(session) {
            None => Ok(()),
            Some(entry) => Err(Refusal::Revoked(Revoked { id: entry.id, kind: entry.kind })),
        }
    }

    /// Those that can still end something, by their time.
    pub fn list(&self, now: Timestamp) -> Vec<Arc<Entry>> {
        let set = self.set.load();
        let mut entries: Vec<_> = set.entries().filter(|entry| !entry.is_over(now)).cloned().collect();
        entries.sort_by_key(|entry| (entry.issued_before, entry.id));
        entries
    }

    /// Ends what is wanted. What was revoked before stays revoked at least as far.
    pub async fn revoke(self: &Arc<Self>, wanted: Wanted, now: Timestamp) -> Result<Arc<Entry>, ChangeError> {
        let shared = matches!(self.store, Store::Shared(_));
        let entry = wanted.entry(now, if shared { SETTLING_SHARED } else { SETTLING })?;
        self.apply(entry, now).await
    }

    /// Ends one session that asks for it.
    pub(super) async fn revoke_session(
        self: &Arc<Self>,
        session: &Session,
        now: Timestamp,
    ) -> Result<Arc<Entry>, ChangeError> {
        let set = self.set.load_full();
        if set.len() >= MOST && set.entries().filter(|entry| !entry.is_over(now)).count() >= MOST {
            return Err(ChangeError::TooMany);
        }
        let id = session.access_key_id.as_str();
        self.apply(Entry::of_session(id, now, session.expires_at), now).await
    }

    /// `None`: there is no such entry.
    pub async fn lift(
        self: &Arc<Self>,
        id: EntryId,
        now: Timestamp,
    ) -> Result<Option<Arc<Entry>>, ChangeError> {
        // The server's own message may take it away before this does.
        let Some(entry) = self.set.load().get(id).cloned() else { return Ok(None) };
        if let Store::Shared(shared) = &self.store {
            shared.tell(Line::Lift(id)).await.map_err(ChangeError::NotShared)?;
        }
        let this = self.clone();
        on_a_thread(move || this.lift_now(id, now)).await?;
        tracing::info!(entry = %entry.id, kind = %entry.kind, value = entry.value, "a revocation was lifted");
        Ok(Some(entry))
    }

    async fn apply(self: &Arc<Self>, entry: Entry, now: Timestamp) -> Result<Arc<Entry>, ChangeError> {
        let this = self.clone();
        let entry = on_a_thread(move || this.apply_now(entry, now)).await?;
        tracing::info!(entry = %entry.id, kind = %entry.kind, value = entry.value, issued_before = ?entry.issued_before, "revoked");
        if let Store::Shared(shared) = &self.store {
            let line = Line::Revoke(Entry::clone(&entry));
            shared.tell(line).await.map_err(ChangeError::NotShared)?;
        }
        Ok(entry)
    }

    fn apply_now(&self, entry: Entry, now: Timestamp) -> Result<Arc<Entry>, ChangeError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut next, taken) = self.next(now);
        let entry = match next.get(entry.id) {
            Some(known) => entry.or_stricter(known),
            None => entry,
        };
        next.insert(entry.clone());
        // It holds at once, also when the disk is full.
        self.set.store(Arc::new(next.clone()));
        taken
            .and_then(|()| self.keep(&Line::Revoke(entry.clone()), &next, now))
            .map_err(ChangeError::NotKept)?;
        Ok(Arc::new(entry))
    }

    fn lift_now(&self, id: EntryId, now: Timestamp) -> Result<(), ChangeError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut next, taken) = self.next(now);
        if next.remove(id).is_none() {
            return Ok(());
        }
        taken.and_then(|()| self.keep(&Line::Lift(id), &next, now)).map_err(ChangeError::NotKept)?;
        self.set.store(Arc::new(next));
        Ok(())
    }

    /// What there is, to be changed, and whether what keeps it is ours.
    fn next(&self, now: Timestamp) -> (Set, io::Result<()>) {
        let mut next = Set::clone(&self.set.load());
        let taken = match &self.store {
            Store::Nowhere | Store::Shared(_) => Ok(()),
            Store::File(file) => file.take().map(|others| {
                for entry in others.iter().flat_map(Set::entries) {
                    next.insert(Entry::clone(entry));
                }
            }),
        };
        next.drop_what_is_over(now);
        (next, taken)
    }

    fn keep(&self, line: &Line, after: &Set, now: Timestamp) -> io::Result<()> {
        match &self.store {
            Store::Nowhere | Store::Shared(_) => Ok(()),
            Store::File(file) => file.write(line, after, now),
        }
    }
}

impl Follower for Revocations {
    fn apply(&self, line: Line, now: Timestamp) {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut next, _) = self.next(now);
        next.take_in(line);
        self.set.store(Arc::new(next));
    }

    fn adopt(&self, lines: Vec<Line>, now: Timestamp) -> Vec<Entry> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut next, _) = self.next(now);
        let known: HashSet<EntryId> = lines.iter().map(Line::id).collect();
        for line in lines {
            next.take_in(line);
        }
        let lacking = next.entries().filter(|entry| !known.contains(&entry.id));
        let lacking = lacking.map(|entry| Entry::clone(entry)).collect();
        self.set.store(Arc::new(next));
        lacking
    }
}

/// A disk is waited for, which must not hold up the requests of a worker.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ChangeError> + Send + 'static,
) -> Result<T, ChangeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|cause| Err(ChangeError::NotKept(io::Error::other(cause))))
}
