//! What is counted, and the page that Prometheus reads.
//!
//! Every label is one of a list that is known at the start: operations, actions, codes, the configuration's providers. What a
//! client sends becomes no label, so that no client can make the page longer.

mod audit;
mod backend;
mod causes;
mod families;
mod page;
mod process;
mod sharded;
mod throttled;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;

pub use self::{
    audit::AuditSeen,
    backend::{BackendSeen, ExchangeFailure, Outage},
    causes::SignatureFailure,
    families::{FAMILIES, Family, Kind},
    page::{BackendEndpoint, Observed, Provider},
    throttled::{ThrottleCause, Throttled},
};
use self::{
    families::REQUEST_BOUNDS,
    sharded::{Histogram, Sharded},
};

/// Where a name that is on no list is counted.
const UNKNOWN: &str = "unknown";
const SUCCESS: &str = "success";

const DECISIONS: [&str; 3] = ["none", "allow", "deny"];
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
const RELOADS: [&str; 3] = ["swapped", "unchanged", "refused"];

/// The counters of one process. They outlive every configuration.
#[derive(Debug)]
pub struct Metrics {
    operations: Names,
    actions: Names,
    outcomes: Names,
    requests: Sharded<Requests>,
    sts: Box<[AtomicU64]>,
    signature_failures: [AtomicU64; SignatureFailure::ALL.len()],
    backend: Arc<BackendSeen>,
    audit: Arc<AuditSeen>,
    sessions: Arc<SessionCache>,
    throttled: Arc<Throttled>,
    reloads: [AtomicU64; RELOADS.len()],
    generation: AtomicU64,
    last_success: AtomicI64,
}

/// What there is to count.
#[derive(Debug)]
pub struct Lists {
    /// Of S3 and of STS.
    pub operations: Vec<&'static str>,
    pub sts_actions: Vec<&'static str>,
    pub sts_codes: Vec<&'static str>,
}

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    pub operation: &'static str,
    pub decision: Decided,
    pub status: StatusCode,
    /// The code of our own refusal; empty: it was none.
    pub code: &'static str,
    /// Whether it is known who sent it.
    pub is_proven: bool,
    pub received: u64,
    pub sent: u64,
    pub took: Duration,
    /// The backend's reply broke off on the way.
    pub is_cut_off: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// It never came to a decision.
    None,
    Allow,
    Deny,
}

/// What came of reading the configuration again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadOutcome {
    Swapped { generation: u64 },
    Unchanged,
    Refused,
}

/// How often a session was in the cache.
#[derive(Debug, Default)]
pub struct SessionCache {
    hits: Sharded<AtomicU64>,
    misses: Sharded<AtomicU64>,
}

#[derive(Debug)]
struct Requests {
    begun: AtomicU64,
    ended: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    took: Histogram,
    /// By operation, decision and class of the status.
    counts: Box<[AtomicU64]>,
}

/// Names with their places; the first is [`UNKNOWN`].
#[derive(Debug)]
struct Names {
    all: Vec<&'static str>,
    places: HashMap<&'static str, usize>,
}

impl Metrics {
    /// `started`: when the first configuration was read, in Unix seconds.
    pub fn new(lists: Lists, started: i64) -> Self {
        let operations = Names::new(lists.operations);
        let actions = Names::new(lists.sts_actions);
        let outcomes = Names::new([vec![SUCCESS], lists.sts_codes].concat());
        let counts = operations.all.len() * DECISIONS.len() * CLASSES.len();
        Self {
            requests: Sharded::new(|| Requests {
                begun: AtomicU64::default(),
                ended: AtomicU64::default(),
                received: AtomicU64::default(),
                sent: AtomicU64::default(),
                took: Histogram::new(REQUEST_BOUNDS),
                counts: zeros(counts),
            }),
            sts: zeros(actions.all.len() * outcomes.all.len()),
            signature_failures: Default::default(),
            backend: Arc::default(),
            audit: Arc::default(),
            sessions: Arc::default(),
            throttled: Arc::default(),
            reloads: Default::default(),
            generation: AtomicU64::new(1),
            last_success: AtomicI64::new(started),
            operations,
            actions,
            outcomes,
        }
    }

    pub fn backend(&self) -> &Arc<BackendSeen> {
        &self.backend
    }

    pub fn audit(&self) -> &Arc<AuditSeen> {
        &self.audit
    }

    pub fn sessions(&self) -> &Arc<SessionCache> {
        &self.sessions
    }

    pub fn throttled(&self) -> &Arc<Throttled> {
        &self.throttled
    }

    /// The number of the configuration that runs; the first is 1.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    pub fn request_began(&self) {
        self.requests.mine().begun.fetch_add(1, Relaxed);
    }

    pub fn request_ended(&self, request: &Ended) {
        let mine = self.requests.mine();
        mine.ended.fetch_add(1, Relaxed);
        for (counter, bytes) in [(&mine.received, request.received), (&mine.sent, request.sent)] {
            if bytes > 0 {
                counter.fetch_add(bytes, Relaxed);
            }
        }
        mine.took.observe(request.took);
        let operation = self.operations.place(request.operation);
        let decision = match request.decision {
            Decided::None => 0,
            Decided::Allow => 1,
            Decided::Deny => 2,
        };
        let class = usize::from(request.status.as_u16() / 100).saturating_sub(2).min(CLASSES.len() - 1);
        let place = (operation * DECISIONS.len() + decision) * CLASSES.len() + class;
        if let Some(count) = mine.counts.get(place) {
            count.fetch_add(1, Relaxed);
        }
        if request.is_cut_off {
            self.backend.failed(ExchangeFailure::ReplyCut);
        }
        if !request.code.is_empty() {
            let is_sts = self.actions.places.contains_key(request.operation);
            if let Some(cause) = SignatureFailure::of_code(request.code, request.is_proven, is_sts) {
                self.signature_failures[cause as usize].fetch_add(1, Relaxed);
            }
        }
    }

    /// `code`: of the error; empty: there was none.
    pub fn sts_answered(&self, action: &str, code: &str) {
        let outcome = if code.is_empty() { SUCCESS } else { code };
        let place = self.actions.place(action) * self.outcomes.all.len() + self.outcomes.place(outcome);
        if let Some(count) = self.sts.get(place) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// `now`: in Unix seconds.
    pub fn reloaded(&self, outcome: ReloadOutcome, now: i64) {
        let place = match outcome {
            ReloadOutcome::Swapped { generation } => {
                self.generation.store(generation, Relaxed);
                0
            }
            ReloadOutcome::Unchanged => 1,
            ReloadOutcome::Refused => 2,
        };
        self.reloads[place].fetch_add(1, Relaxed);
        if outcome != ReloadOutcome::Refused {
            self.last_success.store(now, Relaxed);
        }
    }
}

impl SessionCache {
    pub fn hit(&self) {
        self.hits.mine().fetch_add(1, Relaxed);
    }

    /// The session was opened from its token.
    pub fn miss(&self) {
        self.misses.mine().fetch_add(1, Relaxed);
    }
}

impl Names {
    fn new(names: Vec<&'static str>) -> Self {
        let mut all = vec![UNKNOWN];
        let mut places = HashMap::new();
        for name in names {
            places.entry(name).or_insert_with(|| {
                all.push(name);
                all.len() - 1
            });
        }
        Self { all, places }
    }

    fn place(&self, name: &str) -> usize {
        self.places.get(name).copied().unwrap_or(0)
    }
}

fn zeros(length: usize) -> Box<[AtomicU64]> {
    (0..length).map(|_| AtomicU64::new(0)).collect()
}

#[cfg(test)]
mod tests;
