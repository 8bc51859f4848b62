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

/// A directory that failed is asked again after this.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Recheck {
    interval: Duration,
    checks: Cache<String, Arc<Check>>,
    /// One question for one user at a time.
    gates: Cache<String, Arc<Mutex<()>>>,
    is_down: AtomicBool,
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

    /// The groups, or `None` for a user who is gone.
    pub(super) async fn groups(
        &self,
        directory: &Directory,
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
        let failed_before = last.as_ref().is_some_and(|check| check.failed);
        let _alone = if failed_before {
            // One finds out whether the directory is back; the others go on with what is known.
            match gate.try_lock() {
                Ok(alone) => alone,
                Err(_) => return answer(last.as_deref(), session),
            }
        } else {
            gate.lock().await
        };
        let last = self.checks.get(&key);
        if self.is_fresh(last.as_deref(), session, now) {
            return answer(last.as_deref(), session);
        }
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
                let known = last.map_or(Known::Nothing, |check| check.known_to(session));
                Check { known, asked: now, failed: true }
            }
        };
        let groups = answer(Some(&check), session);
        self.checks.insert(key, Arc::new(check));
        groups
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
