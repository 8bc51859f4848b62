//! The page, in the text form of `OpenMetrics`, written when it is asked for.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet, text::encode,
    },
    metrics::MetricType,
    registry::{Registry, Unit},
};

use super::{
    CLASSES, DECISIONS, ExchangeFailure, Metrics, RELOADS, SignatureFailure, ThrottleCause,
    families::{self as all, Family, Kind},
    process::Process,
    sharded::{Histogram, Taken},
};
use crate::telemetry::panics;

/// The code of STS's refusal of a login that has to wait.
const THROTTLING: &str = "Throttling";

/// What is looked at when the page is asked for.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    pub connections_open: usize,
    /// Since the start, because of their address.
    pub connections_refused: u64,
    /// What counts against the limit, and the limit, in bytes.
    pub memory: Option<(u64, u64)>,
    pub sessions_cached: u64,
    /// Of the configuration that runs.
    pub endpoints: Vec<BackendEndpoint>,
    pub providers: Vec<Provider>,
    /// Since everything was read from the server that is shared; `None`: there is none.
    pub revocations_age: Option<Duration>,
    /// `None`: there is none, or it was not asked yet.
    pub directory_up: Option<bool>,
}

/// An address of the backend.
#[derive(Debug, Clone)]
pub struct BackendEndpoint {
    pub authority: String,
    pub is_up: bool,
    pub ejections: u64,
}

/// An OpenID provider of the configuration.
#[derive(Debug, Clone)]
pub struct Provider {
    pub name: String,
    /// `None`: its keys were not needed yet.
    pub is_up: Option<bool>,
    pub keys_age_seconds: Option<u64>,
}

impl Metrics {
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    pub fn page(self: &Arc<Self>, observed: Observed) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape { metrics: self.clone(), observed }));
        let mut page = String::new();
        encode(&mut page, &registry)?;
        Ok(page)
    }
}

#[derive(Debug)]
struct Scrape {
    metrics: Arc<Metrics>,
    observed: Observed,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.requests(&mut page)?;
        self.sessions(&mut page)?;
        self.backend(&mut page)?;
        self.configuration(&mut page)?;
        self.identities(&mut page)?;
        self.audit(&mut page)?;
        process(&mut page)
    }
}

impl Scrape {
    fn requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        let requests = &metrics.requests;
        let classes = CLASSES.len();
        let counts = metrics.operations.all.iter().enumerate().flat_map(|(operation, name)| {
            let cells =
                (0..DECISIONS.len()).flat_map(move |decision| (0..classes).map(move |c| (decision, c)));
            cells.map(move |(decision, class)| {
                let place = (operation * DECISIONS.len() + decision) * classes + class;
                ([*name, DECISIONS[decision], CLASSES[class]], requests.sum(|piece| &piece.counts[place]))
            })
        });
        page.counters(&all::REQUESTS, counts.filter(|(_, count)| *count > 0))?;
        page.histogram(
            &all::REQUEST_DURATION,
            &Histogram::together(requests.iter().map(|piece| &piece.took)),
        )?;
        page.counter(&all::REQUEST_BYTES, &requests.sum(|piece| &piece.received))?;
        page.counter(&all::RESPONSE_BYTES, &requests.sum(|piece| &piece.sent))?;
        // In this order, so that none can have ended that had not begun.
        let ended = requests.sum(|piece| &piece.ended);
        page.gauge(&all::IN_FLIGHT, &requests.sum(|piece| &piece.begun).saturating_sub(ended))?;
        let causes = ThrottleCause::ALL.into_iter();
        page.counters(&all::THROTTLED, causes.map(|cause| ([cause.as_str()], metrics.throttled.of(cause))))?;
        page.gauge(&all::CONNECTIONS, &self.observed.connections_open)?;
        page.counter(&all::CONNECTIONS_REFUSED, &self.observed.connections_refused)?;
        let (used, limit) = self.observed.memory.unzip();
        page.gauges(&all::MEMORY_USED, used.map(|bytes| ([], bytes)).into_iter())?;
        page.gauges(&all::MEMORY_LIMIT, limit.map(|bytes| ([], bytes)).into_iter())
    }

    fn sessions(&self, page: &mut Page<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        page.gauge(&all::SESSIONS, &self.observed.sessions_cached)?;
        let (hits, misses) = (&metrics.sessions.hits, &metrics.sessions.misses);
        page.counters(
            &all::SESSION_CACHE,
            [(["hit"], hits.sum(|piece| piece)), (["miss"], misses.sum(|piece| piece))].into_iter(),
        )?;
        let failures = SignatureFailure::ALL.into_iter();
        page.counters(
            &all::SIGNATURE_FAILURES,
            failures
                .map(|cause| ([cause.as_str()], metrics.signature_failures[cause as usize].load(Relaxed))),
        )?;
        page.counters(&all::STS_REQUESTS, metrics.sts_counts().filter(|(_, count)| *count > 0))?;
        let throttled = metrics.sts_counts().filter(|([_, outcome], _)| *outcome == THROTTLING);
        page.counter(&all::LOGIN_THROTTLED, &throttled.map(|(_, count)| count).sum::<u64>())
    }

    fn backend(&self, page: &mut Page<'_>) -> fmt::Result {
        let seen = &self.metrics.backend;
        page.histogram(&all::BACKEND_FIRST_BYTE, &seen.first_byte())?;
        let failures = ExchangeFailure::ALL.into_iter();
        page.counters(&all::BACKEND_ERRORS, failures.map(|kind| ([kind.as_str()], seen.failures(kind))))?;
        page.counter(&all::BACKEND_RETRIES, &seen.retries())?;
        let endpoints = &self.observed.endpoints;
        let up = endpoints.iter().map(|one| ([one.authority.as_str()], u64::from(one.is_up)));
        page.gauges(&all::BACKEND_ENDPOINT_UP, up)?;
        let ejections = endpoints.iter().map(|one| ([one.authority.as_str()], one.ejections));
        page.counters(&all::BACKEND_EJECTIONS, ejections)?;
        page.counter(&all::PANICS, &panics::count())
    }

    fn configuration(&self, page: &mut Page<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        page.gauge(&all::GENERATION, &metrics.generation())?;
        let outcomes = RELOADS.iter().zip(&metrics.reloads);
        page.counters(&all::RELOADS, outcomes.map(|(outcome, count)| ([*outcome], count.load(Relaxed))))?;
        page.gauge(&all::LAST_RELOAD, &metrics.last_success.load(Relaxed))?;
        page.gauges(&all::BUILD, [([env!("CARGO_PKG_VERSION")], 1_u64)].into_iter())
    }

    fn audit(&self, page: &mut Page<'_>) -> fmt::Result {
        let seen = &self.metrics.audit;
        let decided = seen.by_decision().into_iter();
        page.counters(&all::AUDIT_EVENTS, decided.map(|(decision, count)| ([decision], count)))?;
        page.counter(&all::AUDIT_LOST, &seen.all_lost())?;
        page.counter(&all::AUDIT_FAILURES, &seen.failures())?;
        page.gauge(&all::AUDIT_QUEUE, &seen.queued())
    }

    fn identities(&self, page: &mut Page<'_>) -> fmt::Result {
        let providers = &self.observed.providers;
        let up = providers.iter().filter_map(|one| Some(([one.name.as_str()], u64::from(one.is_up?))));
        page.gauges(&all::PROVIDER_UP, up)?;
        let ages = providers.iter().filter_map(|one| Some(([one.name.as_str()], one.keys_age_seconds?)));
        page.gauges(&all::PROVIDER_KEYS_AGE, ages)?;
        let age = self.observed.revocations_age.map(|age| ([], age.as_secs()));
        page.gauges(&all::REVOCATIONS_AGE, age.into_iter())?;
        page.gauges(&all::DIRECTORY_UP, self.observed.directory_up.map(|up| ([], u64::from(up))).into_iter())
    }
}

impl Metrics {
    fn sts_counts(&self) -> impl Iterator<Item = ([&'static str; 2], u64)> {
        let outcomes = &self.outcomes.all;
        self.actions.all.iter().enumerate().flat_map(move |(action, name)| {
            outcomes.iter().enumerate().map(move |(outcome, code)| {
                ([*name, *code], self.sts[action * outcomes.len() + outcome].load(Relaxed))
            })
        })
    }
}

fn process(page: &mut Page<'_>) -> fmt::Result {
    let Some(process) = Process::look() else { return Ok(()) };
    page.counter(&all::CPU, &process.cpu_seconds)?;
    page.gauge(&all::RESIDENT, &process.resident_bytes)?;
    page.gauge(&all::VIRTUAL, &process.virtual_bytes)?;
    page.gauge(&all::OPEN_FDS, &process.open_fds)?;
    page.gauge(&all::MAX_FDS, &process.max_fds)?;
    page.gauge(&all::START_TIME, &process.started_at)
}

struct Page<'p>(DescriptorEncoder<'p>);

impl Page<'_> {
    /// Writes the head of a family, then its series.
    fn family(
        &mut self,
        family: &Family,
        series: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let unit = family.unit.map(|unit| if unit == "bytes" { Unit::Bytes } else { Unit::Seconds });
        let kind = match family.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        series(self.0.encode_descriptor(family.stem, family.help, unit.as_ref(), kind)?)
    }

    fn counter(&mut self, family: &Family, value: &impl EncodeCounterValue) -> fmt::Result {
        self.family(family, |mut metric| metric.encode_counter::<NoLabelSet, _, f64>(value, None))
    }

    fn gauge(&mut self, family: &Family, value: &impl EncodeGaugeValue) -> fmt::Result {
        self.family(family, |mut metric| metric.encode_gauge(value))
    }

    fn counters<'v, const N: usize>(
        &mut self,
        family: &Family,
        series: impl Iterator<Item = ([&'v str; N], u64)>,
    ) -> fmt::Result {
        self.series(family, series, |metric, value| metric.encode_counter::<NoLabelSet, _, f64>(&value, None))
    }

    fn gauges<'v, const N: usize>(
        &mut self,
        family: &Family,
        series: impl Iterator<Item = ([&'v str; N], u64)>,
    ) -> fmt::Result {
        self.series(family, series, |metric, value| metric.encode_gauge(&value))
    }

    fn series<'v, const N: usize>(
        &mut self,
        family: &Family,
        series: impl Iterator<Item = ([&'v str; N], u64)>,
        write: impl Fn(&mut MetricEncoder<'_>, u64) -> fmt::Result,
    ) -> fmt::Result {
        self.family(family, |mut metric| {
            for (values, value) in series {
                let labels: Vec<(&str, &str)> = family.labels.iter().copied().zip(values).collect();
                if labels.is_empty() {
                    write(&mut metric, value)?;
                } else {
                    write(&mut metric.encode_family(&labels)?, value)?;
                }
            }
            Ok(())
        })
    }

    fn histogram(&mut self, family: &Family, taken: &Taken) -> fmt::Result {
        self.family(family, |mut metric| {
            metric.encode_histogram::<NoLabelSet>(taken.seconds, taken.count, &taken.buckets, None)
        })
    }
}
