//! What outlives every configuration.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use tokio::sync::Semaphore;

use super::request_id::RequestIds;
use crate::{
    backend,
    clock::{Clock, Timestamp},
    credentials::Revocations,
    s3::operation,
    sts,
    telemetry::metrics::{Lists, Metrics},
};

/// Shared by the workers and by each configuration after the other.
#[derive(Debug)]
pub struct Lasting {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: RequestIds,
    pub(super) slots: Arc<Semaphore>,
    /// Of those, what STS may have at the most: whoever logs in is a stranger until a neighbour has answered.
    pub(super) sts_slots: Semaphore,
    pub(super) metrics: Arc<Metrics>,
    backend: backend::Known,
    revocations: Arc<Revocations>,
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
            metrics,
            backend: backend::Known::default(),
            revocations,
        })
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

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
