//! Spans to a collector: OTLP over HTTP, in batches, off the request path.

use std::{
    fmt,
    sync::mpsc,
    thread,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _},
};
use tokio::runtime::Handle;

use super::{Ended, Settings, Trace, TracesError, context};
use crate::outbound_tls;

/// Spans that wait; beyond them the newest are lost, which the library logs.
const QUEUE: usize = 4096;
/// The largest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// Sends spans from threads of its own.
pub(super) struct Exporter {
    batches: BatchSpanProcessor,
    scope: InstrumentationScope,
    /// Of 2^32.
    sample: u64,
    /// The calls' runtime ends with it.
    _runtime: mpsc::Sender<()>,
}

impl Exporter {
    pub(super) fn open(settings: &Settings) -> Result<Self, TracesError> {
        let (runtime, handle) = runtime().map_err(|cause| TracesError::Exporter(cause.to_string()))?;
        let client = Calls::new(settings, handle)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(settings.endpoint.to_string())
            .with_timeout(settings.timeout)
            .build()
            .map_err(|cause| TracesError::Exporter(cause.to_string()))?;
        let config = BatchConfigBuilder::default().with_max_queue_size(QUEUE).build();
        let mut batches = BatchSpanProcessor::new(exporter, config);
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        batches
            .set_resource(&Resource::builder().with_service_name("daypass").with_attribute(version).build());
        let scope = InstrumentationScope::builder("daypass").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self { batches, scope, sample: share(settings.sample), _runtime: runtime })
    }

    /// Of 2^32.
    pub(super) fn sample(&self) -> u64 {
        self.sample
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a span tells people when it was, and nothing is decided by it"
    )]
    pub(super) fn send(&self, trace: &Trace, ended: &Ended<'_>) {
        let end = SystemTime::now();
        let start = end - ended.took;
        if let Some((asked, took)) = trace.asked_backend {
            let asked = start + asked.saturating_duration_since(ended.started);
            let mut span =
                self.span(trace, trace.backend, SpanKind::Client, "backend", (asked, asked + took));
            span.parent_span_id = SpanId::from_bytes(trace.request.0);
            span.attributes = vec![text("http.request.method", ended.method)];
            self.batches.on_end(span);
        }
        let mut span = self.span(trace, trace.request, SpanKind::Server, ended.operation, (start, end));
        if let Some(parent) = trace.parent {
            span.parent_span_id = SpanId::from_bytes(parent.0);
            span.parent_span_is_remote = true;
        }
        span.attributes = vec![
            text("http.request.method", ended.method),
            KeyValue::new("http.response.status_code", i64::from(ended.status)),
            text("rpc.method", ended.operation),
            text("aws.request_id", &ended.request_id),
        ];
        let known =
            [("aws.s3.bucket", ended.bucket), ("user.id", ended.principal), ("error.type", ended.code)];
        span.attributes.extend(known.iter().filter(|(_, value)| !value.is_empty()).map(|(k, v)| text(k, v)));
        if ended.status >= 500 {
            span.status = Status::error(ended.code.to_owned());
        }
        self.batches.on_end(span);
    }

    fn span(
        &self,
        trace: &Trace,
        id: context::SpanId,
        kind: SpanKind,
        name: &'static str,
        (start_time, end_time): (SystemTime, SystemTime),
    ) -> SpanData {
        let trace_id = TraceId::from_bytes(trace.trace_id.0);
        let id = SpanId::from_bytes(id.0);
        SpanData {
            span_context: SpanContext::new(trace_id, id, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: kind,
            name: name.into(),
            start_time,
            end_time,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    pub(super) fn close(&self) {
        if let Err(cause) = self.batches.shutdown() {
            tracing::warn!("the last spans were not sent: {cause}");
        }
    }
}

fn text(name: &'static str, value: &str) -> KeyValue {
    KeyValue::new(name, value.to_owned())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to 1, so it fits; what is behind the point does not matter"
)]
fn share(sample: f64) -> u64 {
    (sample.clamp(0.0, 1.0) * f64::from(u32::MAX)).ceil() as u64
}

/// A thread for the calls, which ends with the sender.
fn runtime() -> std::io::Result<(mpsc::Sender<()>, Handle)> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("daypass-traces")
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    let (end, ended) = mpsc::channel::<()>();
    thread::Builder::new().name("daypass-traces".to_owned()).spawn(move || {
        let _ = ended.recv();
        runtime.shutdown_timeout(Duration::from_secs(1));
    })?;
    Ok((end, handle))
}

/// The library's calls by our HTTP client, on a runtime that has sockets and timers; the library's own thread has none.
struct Calls {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    runtime: Handle,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

impl Calls {
    fn new(settings: &Settings, runtime: Handle) -> Result<Self, TracesError> {
        let tls = outbound_tls::client_config(settings.ca_pem.as_deref())?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { client, timeout: settings.timeout, runtime })
    }
}

#[async_trait::async_trait]
impl HttpClient for Calls {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, timeout) = (self.client.clone(), self.timeout);
        let call = self.runtime.spawn(async move {
            let exchange = async {
                let (head, body) = client.request(request.map(Full::new)).await?.into_parts();
                let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
                Ok::<_, HttpError>(Response::from_parts(head, body))
            };
            tokio::time::timeout(timeout, exchange).await?
        });
        call.await?
    }
}
