//! The connection pool to the backend: HTTP/1.1, keep-alive, a limit on every phase.

use std::{
    error::Error as _,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::Instant;

use super::{body::OutboundBody, connector::Connector};
use crate::telemetry::metrics::ExchangeFailure;

/// Limits on the phases of an exchange with the backend.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// Name, TCP and TLS together.
    pub connect: Duration,
    /// From the last byte that moved until the head of the reply.
    pub first_byte: Duration,
    /// How long a pooled connection may stay unused; shorter than what backends allow.
    pub pool_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_secs(60),
            pool_idle: Duration::from_secs(20),
        }
    }
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error("the backend has failed at every address and is left alone for a moment")]
    Ejected,
    #[error("no connection to the backend")]
    Connect(#[source] hyper_util::client::legacy::Error),
    #[error("the backend did not answer in time")]
    FirstByte,
    #[error("the request cannot be written")]
    NotARequest(#[source] http::Error),
    #[error("the exchange with the backend broke off")]
    Broken(#[source] hyper_util::client::legacy::Error),
}

impl ExchangeError {
    /// As it is counted; `None`: nothing went to the backend.
    pub(super) fn failure(&self) -> Option<ExchangeFailure> {
        match self {
            Self::Connect(_) => Some(ExchangeFailure::Connect),
            Self::FirstByte => Some(ExchangeFailure::Timeout),
            Self::Broken(_) => Some(ExchangeFailure::Broken),
            Self::Ejected | Self::NotARequest(_) => None,
        }
    }

    /// The connection broke off before the answer; what came was not an answer that cannot be read.
    pub(super) fn broke_off(&self) -> bool {
        let Self::Broken(cause) = self else { return false };
        let cause = cause.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
        !cause.is_some_and(|cause| cause.is_parse() || cause.is_user())
    }
}

/// How much of a reply a connection holds when the client takes it slowly; of a request body, when the backend does.
const MAX_BUFFER: usize = 64 * 1024;

/// The pool.
#[derive(Clone)]
pub(super) struct Pool {
    client: Client<Connector, OutboundBody>,
    timeouts: Timeouts,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(timeouts: Timeouts, connector: Connector) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(timeouts.pool_idle)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            // A request goes out again only when a pooled connection turned out closed before anything of it was written.
            .retry_canceled_requests(true)
            .http1_max_buf_size(MAX_BUFFER)
            // S3 clients and backends agree on lower-case names; what we sign is what we send.
            .set_host(false)
            .build(connector);
        Self { client, timeouts }
    }

    /// Sends and waits for the head of the reply. There is no limit on a long body as long as it moves.
    pub(super) async fn exchange(
        &self,
        request: Request<OutboundBody>,
        progress: &Progress,
        now: Instant,
    ) -> Result<Response<Incoming>, ExchangeError> {
        // However long its body took to come in: the backend is asked only now.
        progress.rests_until(now);
        let reply = self.client.request(request);
        tokio::pin!(reply);
        let mut asked = progress.last();
        loop {
            let deadline = asked.max(progress.last()) + self.timeouts.first_byte;
            tokio::select! {
                biased;
                reply = &mut reply => return reply.map_err(|cause| {
                    if cause.is_connect() { ExchangeError::Connect(cause) } else { ExchangeError::Broken(cause) }
                }),
                () = tokio::time::sleep_until(deadline) => {
                    if progress.awaits_client() {
                        // Which the upload bounds itself. A slow client is no failure of the backend.
                        asked = Instant::now();
                    } else if progress.last() + self.timeouts.first_byte <= Instant::now() {
                        return Err(ExchangeError::FirstByte);
                    }
                }
            }
        }
    }
}

/// When a body last moved, shared between the body and the one who waits for the reply.
#[derive(Debug, Clone)]
pub struct Progress {
    start: Instant,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    moved_after: AtomicU64,
    awaits_client: AtomicBool,
}

impl Progress {
    pub fn start() -> Self {
        Self { start: Instant::now(), shared: Arc::default() }
    }

    pub fn moved(&self) {
        self.rests_until(Instant::now());
    }

    /// Nothing will move until then, by our own will.
    pub(super) fn rests_until(&self, at: Instant) {
        let after = u64::try_from((at - self.start).as_millis()).unwrap_or(u64::MAX);
        self.shared.moved_after.store(after, Ordering::Relaxed);
        self.shared.awaits_client.store(false, Ordering::Relaxed);
    }

    /// The backend would take more, and the client sends nothing.
    pub(super) fn client_awaited(&self) {
        self.shared.awaits_client.store(true, Ordering::Relaxed);
    }

    fn awaits_client(&self) -> bool {
        self.shared.awaits_client.load(Ordering::Relaxed)
    }

    /// Since a byte last moved.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last())
    }

    fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.shared.moved_after.load(Ordering::Relaxed))
    }
}
