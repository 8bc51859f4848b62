//! The groups of those whose sessions are alive, asked for again now and then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use moka::{policy::EvictionPolicy, sync::Cache};
use tokio::sync::Mutex;

use super::{
    connection::Failure,
    directory::{Directory, Who},
    name::LoginName,
};
use crate::clock::Timestamp;

/// Bytes of names and groups that are remembered.
const MAX_WEIGHT: u64 = 32 * 1024 * 1024;

/// People who are asked for at the same time.
const MAX_GATES: u64 = 10_000;

/// So long does a request of a live session wait for the directory.
const PATIENCE: Duration = Duration::from_millis(500);

/// A directory that failed is asked again after this.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Recheck {
    interval: Duration,
    checks: Cache<String, Arc<Check>>,
    /// One question for one user at a time.
    gates: Cache<String, Arc<Gate>>,
    is_down: AtomicBool,
}

#[derive(Debug, Default)]
struct Gate {
    /// Held by the one who asks.
    asking: Arc<Mutex<()>>,
    /// The answer did not come in time: nobody else waits for it.
    is_slow: AtomicBool,
}

/// What a directory said of somebody, the last time that it said anything.
#[derive(Debug)]
struct Check {
    known: Known,
    asked: Timestamp,
    failed: bool,
}

#[derive(Debug, Clone)]
enum Known {
    Groups(Arc<[String]>),
    Gone,
    /// It was down; the session knows.
    Nothing,
}

/// A session whose groups are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session<'s> {
    pub(super) dn: &'s str,
    pub(super) username: &'s str,
    pub(super) known: &'s [String],
    pub(super) since: Timestamp,
}

/// The same, for a task.
#[derive(Debug)]
struct Asked {
    dn: String,
    username: String,
    known: Vec<String>,
    since: Timestamp,
}

impl Asked {
    fn of(session: Session<'_>) -> Self {
        Self {
            dn: session.dn.to_owned(),
            username: session.username.to_owned(),
            known: session.known.to_vec(),
            since: session.since,
        }
    }

    fn session(&self) -> Session<'_> {
        Session { dn: &self.dn, username: &self.username, known: &self.known, since: self.since }
    }
}

impl Recheck {
    pub(super) fn new(interval: Duration) -> Self {
        let checks = Cache::builder()
            .max_capacity(MAX_WEIGHT)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|key: &String, check: &Arc<Check>| {
                let groups = match &check.known {
                    Known::Groups(groups) => groups.iter().map(|dn| dn.len() + size_of::<String>()).sum(),
                    Known::Gone | Known::Nothing => 0,
                };
                u32::try_from(key.len() + size_of::<Check>() + groups).unwrap_or(u32::MAX)
            })
            .build();
        Self { interval, checks, gates: Cache::new(MAX_GATES), is_down: AtomicBool::new(false) }
    }

    /// The groups, or `None` for a user who is gone. A directory that takes its time is not waited for longer than
    /// [`PATIENCE`]: what is known counts until its answer is here.
    pub(super) async fn groups(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        session: Session<'_>,
        now: Timestamp,
    ) -> Option<Arc<[String]>> {
        // Two names of one user may end at different times.
        let key = format!("{}\0{}", session.username, session.dn);
        let last = self.checks.get(&key);
        if self.is_fresh(last.as_deref(), session, now) {
            return answer(last.as_deref(), session);
        }
        let gate = self.gates.get_with_by_ref(&key, Arc::default);
        let came = match gate.asking.clone().try_lock_owned() {
            Ok(alone) => {
                let last = self.checks.get(&key);
                if self.is_fresh(last.as_deref(), session, now) {
                    return answer(last.as_deref(), session);
                }
                // A task of its own: a client that goes away does not break it off.
                let (recheck, directory) = (self.clone(), directory.clone());
                let (asked, gate, key) = (Asked::of(session), gate.clone(), key.clone());
                let asking = tokio::spawn(async move {
                    recheck.ask_and_keep(&directory, &asked, key, now).await;
                    gate.is_slow.store(false, Ordering::Relaxed);
                    drop(alone);
                });
                tokio::time::timeout(PATIENCE, asking).await.is_ok()
            }
            Err(_) if gate.is_slow.load(Ordering::Relaxed) => true,
            Err(_) => tokio::time::timeout(PATIENCE, gate.asking.lock()).await.is_ok(),
        };
        if !came {
            gate.is_slow.store(true, Ordering::Relaxed);
        }
        answer(self.checks.get(&key).as_deref(), session)
    }

    async fn ask_and_keep(&self, directory: &Directory, asked: &Asked, key: String, now: Timestamp) {
        let session = asked.session();
        let check = match ask(directory, session).await {
            Ok(known) => {
                if self.is_down.swap(false, Ordering::Relaxed) {
                    tracing::info!("the directory answers again: groups of live sessions are asked for");
                }
                Check { known, asked: now, failed: false }
            }
            Err(failure) => {
                // An answer that cannot be used is about one user; a directory that is down is worth one line in all.
                let is_news =
                    matches!(failure, Failure::Unusable(_)) || !self.is_down.swap(true, Ordering::Relaxed);
                if is_news {
                    tracing::warn!(cause = %failure, "groups of live sessions cannot be asked for: what was known last counts");
                }
                let last = self.checks.get(&key);
                let known = last.map_or(Known::Nothing, |check| check.known_to(session));
                Check { known, asked: now, failed: true }
            }
        };
        self.checks.insert(key, Arc::new(check));
    }

    /// Whether nobody need be asked; the session's beginning counts as a check.
    fn is_fresh(&self, last: Option<&Check>, session: Session<'_>, now: Timestamp) -> bool {
        let (from, wait) = match last {
            Some(check) if check.asked > session.since && check.failed => {
                (check.asked, self.interval.min(AFTER_FAILURE))
            }
            Some(check) if check.asked > session.since => (check.asked, self.interval),
            _ => (session.since, self.interval),
        };
        from.distance(now) < wait
    }
}

impl Check {
    /// A login proves more than an older check.
    fn known_to(&self, session: Session<'_>) -> Known {
        if self.asked > session.since { self.known.clone() } else { Known::Nothing }
    }
}

fn answer(check: Option<&Check>, session: Session<'_>) -> Option<Arc<[String]>> {
    match check.map(|check| check.known_to(session)) {
        Some(Known::Groups(groups)) => Some(groups),
        Some(Known::Gone) => None,
        Some(Known::Nothing) | None => Some(session.known.into()),
    }
}

/// Asks as at a login: whoever would not be found now is gone.
async fn ask(directory: &Directory, session: Session<'_>) -> Result<Known, Failure> {
    let Ok(name) = LoginName::read(session.username) else { return Ok(Known::Gone) };
    directory
        .ask(async {
            match directory.who(&name).await? {
                Who::One(user) if user.canonical.as_str() == session.dn => {
                    Ok(Known::Groups(directory.groups(&user, &name).await?.into()))
                }
                Who::One(_) | Who::Nobody | Who::Several => Ok(Known::Gone),
            }
        })
        .await
}
