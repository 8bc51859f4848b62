//! Another configuration without a restart: read and checked whole, then swapped at once, or refused with the old one kept.
//!
//! A request keeps the configuration that it began with to its end. Sessions live in their tokens, so the new one opens them
//! as it meets them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;

use super::assemble::Generation;
use crate::{
    config::{self, Change, Config, Fingerprint},
    gateway::{Gateway, Lasting},
    identity::Ways,
    server,
    telemetry::metrics::ReloadOutcome,
};

/// The environment variables, by name.
pub type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Where the configuration comes from.
pub struct Source {
    pub path: PathBuf,
    pub environment: Box<Environment>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Puts a new configuration in the place of the one that runs.
#[derive(Debug)]
pub struct Reloader {
    source: Source,
    lasting: Arc<Lasting>,
    workers: Vec<Arc<ArcSwap<Gateway>>>,
    server: Arc<ArcSwap<server::Settings>>,
    running: Mutex<Running>,
}

/// What a running gateway cannot change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AtStart {
    address: SocketAddr,
    max_connections: usize,
    max_requests: usize,
}

impl AtStart {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            address: config.listen.address,
            max_connections: config.limits.max_connections,
            max_requests: config.limits.max_requests,
        }
    }

    /// The keys whose new value waits for a restart.
    fn waiting(&self, newer: &Self) -> Vec<&'static str> {
        let keys = [
            ("listen.address", self.address != newer.address),
            ("limits.max_connections", self.max_connections != newer.max_connections),
            ("limits.max_requests", self.max_requests != newer.max_requests),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// What runs, to compare the next one with.
#[derive(Debug)]
struct Running {
    at_start: AtStart,
    fingerprint: Fingerprint,
    ways: Arc<Ways>,
    generation: u64,
}

/// What came of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloaded {
    /// The same in every piece: nothing was done.
    Unchanged,
    /// It runs.
    Swapped {
        generation: u64,
        changes: Vec<Change>,
        /// What of them waits for a restart.
        waiting: Vec<&'static str>,
    },
    /// The old one runs on.
    Refused { problems: String },
}

impl Reloaded {
    fn outcome(&self) -> ReloadOutcome {
        match self {
            Self::Unchanged => ReloadOutcome::Unchanged,
            Self::Swapped { generation, .. } => ReloadOutcome::Swapped { generation: *generation },
            Self::Refused { .. } => ReloadOutcome::Refused,
        }
    }
}

/// Sections that a running gateway cannot change.
const AT_START_ALONE: &[&str] = &["admin", "audit", "log", "revocation", "traces"];

impl Reloader {
    pub(super) fn new(
        source: Source,
        lasting: Arc<Lasting>,
        workers: Vec<Arc<ArcSwap<Gateway>>>,
        server: Arc<ArcSwap<server::Settings>>,
        at_start: AtStart,
        fingerprint: Fingerprint,
        ways: Arc<Ways>,
    ) -> Self {
        let running = Mutex::new(Running { at_start, fingerprint, ways, generation: 1 });
        Self { source, lasting, workers, server, running }
    }

    /// Reads the file again, and everything that it names.
    pub fn reload(&self) -> Reloaded {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let reloaded = self.try_reload(&mut running);
        self.lasting.metrics().reloaded(reloaded.outcome(), self.lasting.now().unix());
        match &reloaded {
            Reloaded::Unchanged => tracing::info!("the configuration is the same, nothing was changed"),
            Reloaded::Swapped { generation, changes, waiting } => {
                for change in changes {
                    tracing::info!(generation, "configuration: {change}");
                }
                tracing::info!(generation, "a new configuration runs");
                for key in waiting {
                    tracing::warn!("{key} has changed: a restart is needed for it");
                }
            }
            Reloaded::Refused { problems } => {
                for problem in problems.lines() {
                    tracing::error!("configuration refused: {problem}");
                }
                tracing::error!(generation = running.generation, "the old configuration runs on");
            }
        }
        reloaded
    }

    fn try_reload(&self, running: &mut Running) -> Reloaded {
        let config = match config::load(&self.source.path, &*self.source.environment) {
            Ok(config) => config,
            Err(problems) => return Reloaded::Refused { problems: problems.to_string() },
        };
        let fingerprint = config.fingerprint.clone();
        let at_start = AtStart::of(&config);
        let changes = running.fingerprint.changes(&fingerprint);
        if changes.is_empty() {
            return Reloaded::Unchanged;
        }
        let same =
            |sections: &[&str]| !changes.iter().any(|change| sections.iter().any(|name| change.is_in(name)));
        let ways = same(&["oidc", "ldap", "certificate", "webhook", "listen"]).then(|| running.ways.clone());
        let same_backend = same(&["backend"]);
        let gateways = Generation::new(config, self.lasting.clone(), ways).and_then(|generation| {
            let gateway = |worker: &Arc<ArcSwap<Gateway>>| {
                let pool = if same_backend { worker.load().backend().clone() } else { generation.pool()? };
                Ok(Arc::new(Gateway::new(generation.shared.clone(), pool)))
            };
            let gateways = self.workers.iter().map(gateway).collect::<anyhow::Result<Vec<_>>>()?;
            Ok((gateways, generation))
        });
        let (gateways, generation) = match gateways {
            Ok(made) => made,
            Err(cause) => return Reloaded::Refused { problems: format!("{cause:#}") },
        };
        for (worker, gateway) in self.workers.iter().zip(gateways) {
            worker.store(gateway);
        }
        self.server.store(generation.server);
        let sections =
            AT_START_ALONE.iter().filter(|section| changes.iter().any(|change| change.is_in(section)));
        let mut waiting: Vec<&'static str> = sections.copied().collect();
        waiting.extend(running.at_start.waiting(&at_start));
        running.fingerprint = fingerprint;
        running.ways = generation.ways;
        running.generation = running.generation.saturating_add(1);
        Reloaded::Swapped { generation: running.generation, changes, waiting }
    }

    /// Reloads when a file has changed and then stood still for one interval, so that a half-written one is not read. Never
    /// ends.
    pub async fn watch(self: Arc<Self>, interval: Duration) {
        let mut settling = Settling::new(self.seen());
        loop {
            tokio::time::sleep(interval).await;
            if settling.has_settled(self.seen()) {
                let reloader = self.clone();
                // Files are read: not on the runtime.
                let _ = tokio::task::spawn_blocking(move || reloader.reload()).await;
            }
        }
    }

    /// What tells that a file is not the one that was read: also one behind links that were pointed elsewhere.
    fn seen(&self) -> Files {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let files = running.fingerprint.files().iter();
        files.map(|path| (path.clone(), Seen::of(path))).collect()
    }
}

type Files = BTreeMap<PathBuf, Option<Seen>>;

/// Files that change and then stand still.
#[derive(Debug)]
struct Settling {
    /// As they were before they were read.
    read: Files,
    last: Files,
}

impl Settling {
    fn new(files: Files) -> Self {
        Self { read: files.clone(), last: files }
    }

    /// Whether they are to be read now. Whoever is told so reads them after `now`: one that changes meanwhile differs from it.
    fn has_settled(&mut self, now: Files) -> bool {
        let stand_still = now == self.last;
        self.last = now;
        let has_settled = stand_still && self.last != self.read;
        if has_settled {
            self.read.clone_from(&self.last);
        }
        has_settled
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    modified: Option<SystemTime>,
    size: u64,
    inode: u64,
}

impl Seen {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { modified: metadata.modified().ok(), size: metadata.len(), inode: metadata.ino() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_size(size: u64) -> Files {
        [(PathBuf::from("server.key"), Some(Seen { modified: None, size, inode: 1 }))].into()
    }

    #[test]
    fn a_file_that_changes_while_the_configuration_is_read_is_read_again() {
        let mut settling = Settling::new(of_size(1));
        assert!(!settling.has_settled(of_size(1)));
        assert!(!settling.has_settled(of_size(2)), "it may be half written");
        assert!(settling.has_settled(of_size(2)));
        // It is read now, and is another one at the end.
        assert!(!settling.has_settled(of_size(3)));
        assert!(settling.has_settled(of_size(3)));
        assert!(!settling.has_settled(of_size(3)));
    }
}
