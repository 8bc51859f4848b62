//! What was seen of the backend: by the requests that went there, never by a probe.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{
    families::BACKEND_BOUNDS,
    sharded::{Histogram, Sharded, Taken},
};

/// So many failures in a row are an outage.
const IN_A_ROW: u64 = 5;
/// An outage is over when so long nothing has failed: somebody must find out whether the backend is back.
const LATELY: Duration = Duration::from_secs(30);

/// How exchanges with the backend ended.
#[derive(Debug)]
pub struct BackendSeen {
    first_byte: Sharded<Histogram>,
    failures: [AtomicU64; ExchangeFailure::ALL.len()],
    retries: AtomicU64,
    in_a_row: AtomicU64,
    began: Instant,
    /// When the last of them was, in milliseconds since `began`.
    last: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeFailure {
    Connect,
    /// No first byte in time.
    Timeout,
    /// It broke off before the head of the reply.
    Broken,
    /// It broke off, or stood still, after it.
    ReplyCut,
    /// A status of 500 and more, but 501.
    ServerError,
    /// It refused the root keys.
    RootKeys,
}

/// The backend has failed too often of late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    pub failures: u64,
    pub last_ago: Duration,
}

impl ExchangeFailure {
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Timeout, Self::Broken, Self::ReplyCut, Self::ServerError, Self::RootKeys];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::ReplyCut => "reply_cut",
            Self::ServerError => "server_error",
            Self::RootKeys => "root_keys",
        }
    }
}

impl Default for BackendSeen {
    fn default() -> Self {
        Self {
            first_byte: Sharded::new(|| Histogram::new(BACKEND_BOUNDS)),
            failures: Default::default(),
            retries: AtomicU64::default(),
            in_a_row: AtomicU64::default(),
            began: Instant::now(),
            last: AtomicU64::default(),
        }
    }
}

impl BackendSeen {
    /// It answered with this status; `waited` from the last byte that went there.
    pub fn answered(&self, status: http::StatusCode, waited: Duration) {
        self.first_byte.mine().observe(waited);
        if status.is_server_error() && status != http::StatusCode::NOT_IMPLEMENTED {
            self.failed(ExchangeFailure::ServerError);
        } else if self.in_a_row.load(Relaxed) > 0 {
            self.in_a_row.store(0, Relaxed);
        }
    }

    pub fn failed(&self, failure: ExchangeFailure) {
        self.failures[failure as usize].fetch_add(1, Relaxed);
        // It was reached and it answered: whom it answers is another matter.
        if matches!(failure, ExchangeFailure::RootKeys | ExchangeFailure::ReplyCut) {
            return;
        }
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(at, Relaxed);
        self.in_a_row.fetch_add(1, Relaxed);
    }

    /// A request goes out a second time.
    pub fn sent_again(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Whether it seems to be down.
    pub fn outage(&self) -> Option<Outage> {
        self.outage_after(self.began.elapsed())
    }

    fn outage_after(&self, since: Duration) -> Option<Outage> {
        let failures = self.failures_in_a_row();
        let last_ago = since.saturating_sub(Duration::from_millis(self.last.load(Relaxed)));
        (failures >= IN_A_ROW && last_ago < LATELY).then_some(Outage { failures, last_ago })
    }

    pub fn failures_in_a_row(&self) -> u64 {
        self.in_a_row.load(Relaxed)
    }

    pub(super) fn first_byte(&self) -> Taken {
        Histogram::together(self.first_byte.iter())
    }

    pub(super) fn failures(&self, failure: ExchangeFailure) -> u64 {
        self.failures[failure as usize].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn five_failures_in_a_row_are_an_outage_until_one_answer_or_thirty_seconds() {
        let seen = BackendSeen::default();
        for _ in 0..4 {
            seen.failed(ExchangeFailure::Connect);
        }
        assert_eq!(seen.outage(), None);
        seen.answered(StatusCode::SERVICE_UNAVAILABLE, Duration::ZERO);
        assert_eq!(seen.outage().unwrap().failures, 5);
        let last = Duration::from_millis(seen.last.load(Relaxed));
        assert!(seen.outage_after(last + Duration::from_millis(29_999)).is_some());
        assert!(seen.outage_after(last + LATELY).is_none());
        seen.answered(StatusCode::NOT_FOUND, Duration::ZERO);
        assert_eq!(seen.outage(), None);
        assert_eq!(seen.failures(ExchangeFailure::Connect), 4);
        assert_eq!(seen.failures(ExchangeFailure::ServerError), 1);
    }

    #[test]
    fn what_a_client_can_bring_about_is_no_outage() {
        let seen = BackendSeen::default();
        for _ in 0..20 {
            seen.answered(StatusCode::NOT_IMPLEMENTED, Duration::ZERO);
            seen.failed(ExchangeFailure::ReplyCut);
            seen.failed(ExchangeFailure::RootKeys);
        }
        assert_eq!(seen.outage(), None);
    }
}
