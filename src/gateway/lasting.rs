//! What outlives every configuration.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use tokio::sync::Semaphore;

use super::request_id::RequestIds;
use crate::{
    audit::Trail,
    backend,
    clock::{Clock, Timestamp},
    credentials::{Limiters, Revocations},
    identity::Directory,
    rate::Rates,
    s3::operation,
    server::Memory,
    sts,
    telemetry::{
        metrics::{Lists, Metrics},
        traces::Traces,
    },
};

/// How many requests at a time are served while memory stays short.
const FEW: usize = 8;

/// Shared by the workers and by each configuration after the other.
#[derive(Debug)]
pub struct Lasting {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: RequestIds,
    pub(super) slots: Arc<Semaphore>,
    /// Of those, what STS may have at the most: whoever logs in is a stranger until a neighbour has answered.
    pub(super) sts_slots: Semaphore,
    /// Of small requests while memory is short.
    pub(super) few: Arc<Semaphore>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) traces: Arc<Traces>,
    backend: backend::Known,
    revocations: Arc<Revocations>,
    audit: Arc<Trail>,
    /// Of the configuration that runs.
    limiters: Mutex<Option<Arc<Limiters>>>,
    memory: Arc<Memory>,
}

impl Lasting {
    /// `max_requests`: in flight, of all workers together.
    pub fn new(
        clock: Arc<dyn Clock>,
        max_requests: usize,
        revocations: Arc<Revocations>,
    ) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let ids = RequestIds::seeded(&SystemRandom::new())?;
        let sts_slots = Semaphore::new((max_requests / 4).max(1));
        let lists = Lists {
            operations: operation::names().chain(sts::action_names()).collect(),
            sts_actions: sts::action_names().collect(),
            sts_codes: sts::ErrorCode::ALL.into_iter().map(sts::ErrorCode::as_str).collect(),
        };
        let metrics = Arc::new(Metrics::new(lists, clock.now().unix()));
        Ok(Self {
            clock,
            ids,
            slots: Arc::new(Semaphore::new(max_requests)),
            sts_slots,
            few: Arc::new(Semaphore::new(FEW)),
            metrics,
            traces: Arc::default(),
            backend: backend::Known::default(),
            revocations,
            audit: Arc::new(Trail::off()),
            limiters: Mutex::default(),
            memory: Arc::default(),
        })
    }

    /// Spans go where these send them; without this, nowhere.
    #[must_use]
    pub fn with_traces(self, traces: Traces) -> Self {
        Self { traces: Arc::new(traces), ..self }
    }

    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// With an audit log.
    #[must_use]
    pub fn recorded_by(mut self, audit: Trail) -> Self {
        self.audit = Arc::new(audit);
        self
    }

    pub fn audit(&self) -> &Arc<Trail> {
        &self.audit
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What is known of the storage.
    pub fn backend(&self) -> &backend::Known {
        &self.backend
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// The limiters of a new configuration; those of roles and users go on where their rates have not changed.
    pub fn limiters(&self, session: Rates, directory: &Directory) -> Arc<Limiters> {
        let mut running = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Arc::new(Limiters::new(
            self.clock.clone(),
            session,
            directory,
            running.as_deref(),
            self.metrics.throttled().clone(),
        ));
        *running = Some(next.clone());
        next
    }

    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
