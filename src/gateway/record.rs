//! What one request leaves behind: one log line, written when its reply has ended.

use std::{
    borrow::Cow,
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, Method, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::{audited::Draft, request_id::RequestId};
use crate::{
    iam::Principal,
    s3::{ErrorCode, Target},
    secret::AccessKeyId,
    telemetry::{
        metrics::{Decided, Ended, Metrics},
        traces::{self, Trace, Traces},
    },
};

/// Gathers what the log line says; the line is written when this value goes.
///
/// It has no place for a URI, a header or a parameter: an STS call carries secrets in any of them.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) request_id: RequestId,
    pub(super) client: IpAddr,
    pub(super) method: Method,
    /// As S3 or STS names it; `-` while unknown.
    pub(super) operation: &'static str,
    pub(super) target: Target,
    pub(super) principal: Caller,
    /// The access key id of the session, which is no secret.
    pub(super) access_key_id: Option<AccessKeyId>,
    pub(super) decision: Decision,
    pub(super) status: StatusCode,
    /// The error code of the answer.
    pub(super) code: &'static str,
    /// What the client is told beside it, for the audit log.
    pub(super) message: Cow<'static, str>,
    /// The error code of the backend, when it was the one that refused.
    backend_code: String,
    /// What the operator should know and the client not.
    pub(super) cause: String,
    /// What goes into the audit log; `None`: it has gone there, or there is none.
    pub(super) audit: Option<Draft>,
    started: Instant,
    received: u64,
    sent: u64,
    end: End,
    /// The request's place among those in flight.
    slot: Option<OwnedSemaphorePermit>,
    metrics: Arc<Metrics>,
    /// Its part of the client's trace, and who ends it.
    trace: Option<Box<(Trace, Arc<Traces>)>>,
}

/// What a request ends with whose client went away before there was an answer, as nginx has it.
const CLIENT_GONE: u16 = 499;

/// How the request was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It never came to a decision.
    None,
    Allow,
    Deny,
}

/// Who asked, if that is proven.
#[derive(Debug)]
pub(super) enum Caller {
    Unknown,
    Signed(Arc<Principal>),
    /// As STS says.
    Named(Box<str>),
}

impl Caller {
    fn arn(&self) -> &str {
        match self {
            Self::Unknown => "",
            Self::Signed(principal) => &principal.arn,
            Self::Named(arn) => arn,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The body was dropped before its end: the client went away.
    Abandoned,
    Finished,
    CutOff,
}

impl Record {
    pub(super) fn new(request_id: RequestId, client: IpAddr, method: Method, metrics: Arc<Metrics>) -> Self {
        metrics.request_began();
        Self {
            metrics,
            request_id,
            client,
            method,
            operation: "-",
            target: Target::default(),
            principal: Caller::Unknown,
            access_key_id: None,
            decision: Decision::None,
            status: StatusCode::from_u16(CLIENT_GONE).unwrap_or(StatusCode::BAD_REQUEST),
            code: "",
            message: Cow::Borrowed(""),
            backend_code: String::new(),
            cause: String::new(),
            audit: None,
            started: Instant::now(),
            received: 0,
            sent: 0,
            end: End::Abandoned,
            slot: None,
            trace: None,
        }
    }

    /// Begins its part of a trace, if it has one.
    pub(super) fn traced(&mut self, traces: &Arc<Traces>, headers: &HeaderMap) {
        self.trace = traces.begin(headers).map(|trace| Box::new((trace, traces.clone())));
    }

    pub(super) fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref().map(|traced| &traced.0)
    }

    pub(super) fn asked_backend(&mut self, at: Instant) {
        if let Some(traced) = &mut self.trace {
            traced.0.asked_backend(at);
        }
    }

    /// Keeps a place among the requests in flight until this value goes.
    pub(super) fn holds(&mut self, slot: OwnedSemaphorePermit) {
        self.slot = Some(slot);
    }

    pub(super) fn caller(&mut self, principal: &str, access_key_id: &str) {
        if !principal.is_empty() {
            self.principal = Caller::Named(principal.into());
        }
        self.access_key_id = (!access_key_id.is_empty()).then(|| AccessKeyId::new(access_key_id));
    }

    pub(super) fn is_proven(&self) -> bool {
        !matches!(self.principal, Caller::Unknown)
    }

    /// `/bucket/key`, as errors name it.
    pub(super) fn resource(&self) -> String {
        self.target.path()
    }

    pub(super) fn backend_code(&mut self, code: &str) {
        code.clone_into(&mut self.backend_code);
    }

    pub(super) fn received(&mut self, bytes: u64) {
        self.received = bytes;
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
    }

    /// The request no longer counts among those in flight, though its client may not have fetched all of the reply.
    pub(super) fn gives_its_place_back(&mut self) {
        self.slot = None;
    }

    pub(super) fn finished(&mut self) {
        self.end = End::Finished;
    }

    pub(super) fn cut_off(&mut self, cause: &dyn fmt::Display) {
        self.end = End::CutOff;
        self.cause = cause.to_string();
    }
}

impl Record {
    fn count(&self, took: Duration) {
        self.metrics.request_ended(&Ended {
            operation: self.operation,
            decision: match self.decision {
                Decision::None => Decided::None,
                Decision::Allow => Decided::Allow,
                Decision::Deny => Decided::Deny,
            },
            status: self.status,
            code: self.code,
            is_proven: self.is_proven(),
            received: self.received,
            sent: self.sent,
            took,
            is_cut_off: self.end == End::CutOff,
        });
    }

    fn end_trace(&self, took: Duration) {
        let Some((trace, traces)) = self.trace.as_deref() else { return };
        traces.end(trace, self.is_proven(), || traces::Ended {
            operation: self.operation,
            method: self.method.as_str(),
            bucket: self.target.bucket().unwrap_or_default(),
            request_id: self.request_id.to_string(),
            principal: self.principal.arn(),
            status: self.status.as_u16(),
            code: self.shown_code(),
            started: self.started,
            took,
        });
    }

    /// Something went wrong. There being no room, or a rate being used up, is no failure but counted, so that a flood which is
    /// turned away is not loud.
    fn is_failure(&self) -> bool {
        let is_throttled = self.code == ErrorCode::SlowDown.as_str();
        self.end == End::CutOff || (self.status.is_server_error() && !is_throttled)
    }

    /// The error code of the answer, whoever refused.
    fn shown_code(&self) -> &str {
        if self.code.is_empty() { &self.backend_code } else { self.code }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(draft) = self.audit.take() {
            draft.client_gone(self);
        }
        let took = self.started.elapsed();
        self.count(took);
        self.end_trace(took);
        let decision = match self.decision {
            Decision::None => "-",
            Decision::Allow => "allow",
            Decision::Deny => "deny",
        };
        let end = match self.end {
            End::Finished => "finished",
            End::Abandoned if self.sent == 0 => "finished",
            End::Abandoned => "abandoned",
            End::CutOff => "cut off",
        };
        // One macro for all levels would need the level at compile time.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    request_id = %self.request_id,
                    trace_id = self.trace().map(|trace| tracing::field::display(trace.id())),
                    client = %self.client,
                    method = %self.method,
                    operation = self.operation,
                    bucket = self.target.bucket().unwrap_or_default(),
                    key = self.target.key().unwrap_or_default(),
                    principal = %self.principal.arn(),
                    access_key_id = %self.access_key_id.as_ref().map_or("", AccessKeyId::as_str),
                    decision,
                    status = self.status.as_u16(),
                    code = self.shown_code(),
                    cause = self.cause.as_str(),
                    received = self.received,
                    sent = self.sent,
                    milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                    "request {end}"
                )
            };
        }
        if self.is_failure() { line!(error) } else { line!(info) }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;

    use super::*;
    use crate::{gateway::request_id::RequestIds, telemetry::metrics::Lists};

    #[test]
    fn what_is_turned_away_for_want_of_room_is_no_failure() {
        let lists = Lists { operations: Vec::new(), sts_actions: Vec::new(), sts_codes: Vec::new() };
        let metrics = Arc::new(Metrics::new(lists, 0));
        let id = RequestIds::seeded(&SystemRandom::new()).unwrap().next();
        let mut record = Record::new(id, [127, 0, 0, 1].into(), Method::GET, metrics);
        record.status = StatusCode::SERVICE_UNAVAILABLE;
        record.code = ErrorCode::SlowDown.as_str();
        assert!(!record.is_failure());
        record.cut_off(&"broken");
        assert!(record.is_failure());
        record.finished();
        record.code = ErrorCode::ServiceUnavailable.as_str();
        assert!(record.is_failure());
        // The storage said it.
        record.code = "";
        record.backend_code("SlowDown");
        assert!(record.is_failure());
    }
}
