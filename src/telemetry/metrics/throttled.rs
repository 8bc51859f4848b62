//! What was turned away so that the rest is served.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a request was answered with `SlowDown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottleCause {
    /// A session's `requests_per_second`.
    SessionRate,
    RoleRate,
    UserRate,
    /// As many requests as may be in flight are.
    MaxRequests,
    /// As many of them as STS may have are its own.
    StsShare,
    /// Memory runs short.
    Memory,
}

impl ThrottleCause {
    pub const ALL: [Self; 6] =
        [Self::SessionRate, Self::RoleRate, Self::UserRate, Self::MaxRequests, Self::StsShare, Self::Memory];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionRate => "session_rate",
            Self::RoleRate => "role_rate",
            Self::UserRate => "user_rate",
            Self::MaxRequests => "max_requests",
            Self::StsShare => "sts_share",
            Self::Memory => "memory",
        }
    }
}

/// How many were turned away.
#[derive(Debug, Default)]
pub struct Throttled([AtomicU64; ThrottleCause::ALL.len()]);

impl Throttled {
    pub fn count(&self, cause: ThrottleCause) {
        self.0[cause as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn of(&self, cause: ThrottleCause) -> u64 {
        self.0[cause as usize].load(Relaxed)
    }
}
