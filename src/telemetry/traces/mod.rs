//! Traces: what a client says of its trace goes on to the storage and into the log; with the feature `otlp`, spans go to a
//! collector.

mod context;
#[cfg_attr(not(feature = "otlp"), path = "no_otlp.rs")]
mod otlp;

use std::{
    fmt,
    time::{Duration, Instant},
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use http::{HeaderMap, HeaderValue};

pub use self::context::TraceId;
use self::{
    context::{Incoming, SpanId, TRACEPARENT, TRACESTATE},
    otlp::Exporter,
};

/// Where spans go, and of which requests.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The URL that takes OTLP over HTTP, as `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: http::Uri,
    /// Only these authorities for its certificate; `None`: the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// The share of requests, from 0 to 1, that are traced without a client asking for it.
    pub sample: f64,
    /// Of one call.
    pub timeout: Duration,
}

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    #[error("this binary cannot send traces: build it with `--features otlp`")]
    NotBuilt,
    #[error(transparent)]
    Authorities(#[from] crate::outbound_tls::TrustError),
    #[error("the exporter cannot start: {0}")]
    Exporter(String),
}

/// Begins and ends traces.
pub struct Traces {
    random: SystemRandom,
    exporter: Option<Exporter>,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").field("exports", &self.exporter.is_some()).finish_non_exhaustive()
    }
}

/// One request's part of a trace.
#[derive(Debug)]
pub struct Trace {
    trace_id: TraceId,
    #[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "spans alone name it"))]
    parent: Option<SpanId>,
    #[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "spans alone name it"))]
    request: SpanId,
    backend: SpanId,
    is_sampled: bool,
    /// It is of the share that is sent whoever asks.
    is_in_share: bool,
    state: Option<HeaderValue>,
    asked_backend: Option<(Instant, Duration)>,
}

/// What a span says of a request that has ended.
#[derive(Debug)]
pub struct Ended<'r> {
    pub operation: &'static str,
    pub method: &'r str,
    pub bucket: &'r str,
    pub request_id: String,
    pub principal: &'r str,
    pub status: u16,
    /// The error code; empty: none.
    pub code: &'r str,
    pub started: Instant,
    pub took: Duration,
}

impl Default for Traces {
    /// Nothing is sent anywhere.
    fn default() -> Self {
        Self { random: SystemRandom::new(), exporter: None }
    }
}

impl Traces {
    /// Contacts nobody before there is a span.
    pub fn open(settings: &Settings) -> Result<Self, TracesError> {
        Ok(Self { exporter: Some(Exporter::open(settings)?), ..Self::default() })
    }

    /// `None`: the request has no trace.
    pub fn begin(&self, headers: &HeaderMap) -> Option<Trace> {
        if self.exporter.is_none() && !headers.contains_key(TRACEPARENT) {
            return None;
        }
        let incoming = Incoming::read(headers);
        let mut random = [0; 36];
        self.random.fill(&mut random).ok()?;
        let ([a, b, c, d], ids) = random.split_first_chunk()?;
        let (trace_id, ids) = ids.split_first_chunk()?;
        let (request, backend) = ids.split_first_chunk()?;
        let (request, backend) = (SpanId(*request), SpanId(backend.try_into().ok()?));
        let share = self.exporter.as_ref().map_or(0, Exporter::sample);
        let is_in_share = u64::from(u32::from_le_bytes([*a, *b, *c, *d])) < share;
        if let Some(Incoming { trace_id, parent, is_sampled, state }) = incoming {
            let parent = Some(parent);
            return Some(Trace {
                trace_id,
                parent,
                request,
                backend,
                is_sampled,
                is_in_share,
                state,
                asked_backend: None,
            });
        }
        is_in_share.then(|| Trace {
            trace_id: TraceId(*trace_id),
            parent: None,
            request,
            backend,
            is_sampled: true,
            is_in_share,
            state: None,
            asked_backend: None,
        })
    }

    /// Sends the spans of a request, if its trace is sampled. `is_proven`: whose request it was is known.
    pub fn end<'r>(&self, trace: &Trace, is_proven: bool, ended: impl FnOnce() -> Ended<'r>) {
        if let Some(exporter) = self.exporter.as_ref().filter(|_| trace.goes_out(is_proven)) {
            exporter.send(trace, &ended());
        }
    }

    /// Sends what waits; blocks, for the time of one call at the most.
    pub fn close(&self) {
        if let Some(exporter) = &self.exporter {
            exporter.close();
        }
    }
}

impl Trace {
    pub fn id(&self) -> TraceId {
        self.trace_id
    }

    /// What is sampled is decided by clients that are proven, and by our own share: a stranger could fill the queue.
    fn goes_out(&self, is_proven: bool) -> bool {
        self.is_sampled && (is_proven || self.is_in_share)
    }

    /// What the backend is told: the same trace, and that it is asked by a span of ours.
    pub fn write(&self, headers: &mut HeaderMap) {
        let value = context::traceparent(self.trace_id, self.backend, self.is_sampled);
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(TRACEPARENT, value);
            if let Some(state) = &self.state {
                headers.insert(TRACESTATE, state.clone());
            }
        }
    }

    /// When the backend was asked, and how long it took until the head of its reply.
    pub fn asked_backend(&mut self, at: Instant) {
        self.asked_backend = Some((at, at.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_does_not_decide_what_is_sampled() {
        let sampled = |flag: &str| {
            let mut headers = HeaderMap::new();
            let value = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flag}");
            headers.insert(TRACEPARENT, HeaderValue::try_from(value).unwrap());
            Traces::default().begin(&headers).unwrap()
        };
        assert!(!sampled("01").goes_out(false));
        assert!(sampled("01").goes_out(true));
        assert!(!sampled("00").goes_out(true));
        assert!(Trace { is_in_share: true, ..sampled("01") }.goes_out(false));
    }
}
