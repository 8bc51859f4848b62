//! How much may wait to be written, so that nobody takes the room of all.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::entry::Entry;
use crate::telemetry::metrics::AuditSeen;

/// What entries of few lines may take together, in bytes.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// The lines of the largest request: a multi-delete of AWS.
const LARGEST: usize = 1000;

/// Entries of many lines have room of their own, so they cannot push out the lines of others.
#[derive(Debug)]
pub(super) struct Queue {
    seen: Arc<AuditSeen>,
    /// Of entries of few lines.
    most: usize,
    lines: AtomicUsize,
    bytes: AtomicUsize,
    /// Of those, lines of requests of nobody proven.
    unproven: AtomicUsize,
    /// Half as many beside them.
    many: Arc<Semaphore>,
    most_many: u32,
}

/// Room for one entry, until this goes.
#[derive(Debug)]
pub(super) struct Place {
    queue: Arc<Queue>,
    lines: usize,
    bytes: usize,
    is_unproven: bool,
    /// Of an entry of many lines, which counts nowhere else.
    many: Option<OwnedSemaphorePermit>,
}

impl Queue {
    pub(super) fn new(most: usize, seen: Arc<AuditSeen>) -> Self {
        let most_many = u32::try_from((most / 2).max(LARGEST)).unwrap_or(u32::MAX);
        Self {
            seen,
            most,
            lines: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            unproven: AtomicUsize::new(0),
            many: Arc::new(Semaphore::new(usize::try_from(most_many).unwrap_or(usize::MAX))),
            most_many,
        }
    }

    /// Of the lines of requests of nobody proven, which may take half.
    pub(super) fn has_room_for_unproven(&self) -> bool {
        self.unproven.load(Relaxed) < self.most.div_ceil(2)
    }

    /// Lines that are not written yet.
    pub(super) fn waiting(&self) -> usize {
        self.seen.queued()
    }

    /// `None`: it is full for such an entry.
    pub(super) fn enter(self: &Arc<Self>, entry: &Entry) -> Option<Place> {
        let lines = entry.lines();
        if entry.has_many_lines() {
            let permit = self.many.clone().try_acquire_many_owned(self.permits(lines)).ok()?;
            return Some(self.place(lines, 0, false, Some(permit)));
        }
        let bytes = entry.size();
        let fits = self.lines.load(Relaxed).saturating_add(lines) <= self.most
            && self.bytes.load(Relaxed).saturating_add(bytes) <= MOST_BYTES;
        fits.then(|| self.place(lines, bytes, entry.is_refused_stranger(), None))
    }

    /// Room for an entry of many lines, once there is.
    pub(super) async fn wait(self: &Arc<Self>, lines: usize) -> Option<Place> {
        let permit = self.many.clone().acquire_many_owned(self.permits(lines)).await.ok()?;
        Some(self.place(lines, 0, false, Some(permit)))
    }

    fn permits(&self, lines: usize) -> u32 {
        u32::try_from(lines).unwrap_or(u32::MAX).min(self.most_many)
    }

    fn place(
        self: &Arc<Self>,
        lines: usize,
        bytes: usize,
        is_unproven: bool,
        many: Option<OwnedSemaphorePermit>,
    ) -> Place {
        self.seen.enter(lines);
        if many.is_none() {
            self.lines.fetch_add(lines, Relaxed);
            self.bytes.fetch_add(bytes, Relaxed);
        }
        if is_unproven {
            self.unproven.fetch_add(lines, Relaxed);
        }
        Place { queue: self.clone(), lines, bytes, is_unproven, many }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.seen.leave(self.lines);
        if self.many.is_none() {
            self.queue.lines.fetch_sub(self.lines, Relaxed);
            self.queue.bytes.fetch_sub(self.bytes, Relaxed);
        }
        if self.is_unproven {
            self.queue.unproven.fetch_sub(self.lines, Relaxed);
        }
    }
}
