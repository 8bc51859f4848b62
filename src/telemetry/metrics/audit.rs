//! What the audit log has recorded, and what not.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Counts lines, each of one decision.
#[derive(Debug, Default)]
pub struct AuditSeen {
    allowed: AtomicU64,
    denied: AtomicU64,
    lost: AtomicU64,
    failures: AtomicU64,
    queued: AtomicUsize,
}

impl AuditSeen {
    pub fn recorded(&self, allow: bool) {
        if allow { &self.allowed } else { &self.denied }.fetch_add(1, Relaxed);
    }

    /// Denials that have no line of their own, but are counted in one.
    pub fn counted(&self, denied: u64) {
        self.denied.fetch_add(denied, Relaxed);
    }

    /// Decisions that are in no line.
    pub fn lost(&self, lines: u64) {
        self.lost.fetch_add(lines, Relaxed);
    }

    /// The destination could not be written.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    pub fn enter(&self, lines: usize) {
        self.queued.fetch_add(lines, Relaxed);
    }

    pub fn leave(&self, lines: usize) {
        self.queued.fetch_sub(lines, Relaxed);
    }

    /// How many lines wait to be written.
    pub fn queued(&self) -> usize {
        self.queued.load(Relaxed)
    }

    pub(super) fn by_decision(&self) -> [(&'static str, u64); 2] {
        [("allow", self.allowed.load(Relaxed)), ("deny", self.denied.load(Relaxed))]
    }

    pub(super) fn all_lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }
}
