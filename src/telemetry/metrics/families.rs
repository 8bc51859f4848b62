//! The names of all that is counted.

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Everything under one name.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Without what the unit and the kind add.
    pub(super) stem: &'static str,
    pub kind: Kind,
    pub unit: Option<&'static str>,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

impl Family {
    const fn of(kind: Kind, stem: &'static str, help: &'static str) -> Self {
        Self { stem, kind, unit: None, labels: &[], help }
    }

    const fn counter(stem: &'static str, help: &'static str) -> Self {
        Self::of(Kind::Counter, stem, help)
    }

    const fn gauge(stem: &'static str, help: &'static str) -> Self {
        Self::of(Kind::Gauge, stem, help)
    }

    const fn seconds(mut self) -> Self {
        self.unit = Some("seconds");
        self
    }

    const fn bytes(mut self) -> Self {
        self.unit = Some("bytes");
        self
    }

    const fn by(mut self, labels: &'static [&'static str]) -> Self {
        self.labels = labels;
        self
    }

    /// As Prometheus shows it; of a histogram, what its three series begin with.
    pub fn name(&self) -> String {
        let unit = self.unit.map(|unit| format!("_{unit}")).unwrap_or_default();
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{unit}{total}", self.stem)
    }
}

/// Upper ends in microseconds: a request is over when its last byte is sent, which may take minutes.
pub(super) const REQUEST_BOUNDS: &[u64] = &[
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];

/// Up to `backend.first_byte_timeout`.
pub(super) const BACKEND_BOUNDS: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

pub(super) const REQUESTS: Family =
    Family::counter("daypass_requests", "Requests that have ended, of S3 and of STS.").by(&[
        "operation",
        "decision",
        "status",
    ]);
pub(super) const REQUEST_DURATION: Family = Family::of(
    Kind::Histogram,
    "daypass_request_duration",
    "From the head of a request to the last byte of its reply.",
)
.seconds();
pub(super) const BACKEND_FIRST_BYTE: Family = Family::of(
    Kind::Histogram,
    "daypass_backend_first_byte",
    "From the last byte that went to the backend to the head of its reply.",
)
.seconds();
pub(super) const REQUEST_BYTES: Family =
    Family::counter("daypass_request", "Bytes of request bodies, as they were declared.").bytes();
pub(super) const RESPONSE_BYTES: Family =
    Family::counter("daypass_response", "Bytes of reply bodies that were sent.").bytes();
pub(super) const IN_FLIGHT: Family =
    Family::gauge("daypass_requests_in_flight", "Requests that have begun and not ended.");
pub(super) const THROTTLED: Family =
    Family::counter("daypass_throttled", "Requests that were answered with SlowDown, by why.").by(&["cause"]);
pub(super) const CONNECTIONS_REFUSED: Family = Family::counter(
    "daypass_connections_refused",
    "Connections that were closed because their address has too many.",
);
pub(super) const MEMORY_USED: Family =
    Family::gauge("daypass_memory_used", "Memory that counts against the limit; absent without one.").bytes();
pub(super) const MEMORY_LIMIT: Family = Family::gauge(
    "daypass_memory_limit",
    "limits.max_memory, or that of the control group; absent without one.",
)
.bytes();
pub(super) const CONNECTIONS: Family =
    Family::gauge("daypass_connections_open", "Open connections of clients.");
pub(super) const STS_REQUESTS: Family =
    Family::counter("daypass_sts_requests", "Answers of STS; the outcome is success or the error's code.")
        .by(&["action", "outcome"]);
pub(super) const SESSIONS: Family = Family::gauge("daypass_sessions_cached", "Sessions in the cache, about.");
pub(super) const SESSION_CACHE: Family = Family::counter(
    "daypass_session_cache",
    "Requests whose session was in the cache, and those whose session was opened from its token.",
)
.by(&["result"]);
pub(super) const SIGNATURE_FAILURES: Family =
    Family::counter("daypass_signature_failures", "Requests that proved nobody, by what was wrong.")
        .by(&["cause"]);
pub(super) const BACKEND_ERRORS: Family =
    Family::counter("daypass_backend_errors", "Exchanges with the backend that went wrong.").by(&["kind"]);
pub(super) const BACKEND_RETRIES: Family = Family::counter(
    "daypass_backend_retries",
    "Requests without a body that went to the backend a second time.",
);
pub(super) const BACKEND_ENDPOINT_UP: Family = Family::gauge(
    "daypass_backend_endpoint_up",
    "1: requests go to this address of the backend; 0: it is ejected.",
)
.by(&["endpoint"]);
pub(super) const BACKEND_EJECTIONS: Family = Family::counter(
    "daypass_backend_ejections",
    "How often an address of the backend that was up was ejected.",
)
.by(&["endpoint"]);
pub(super) const PANICS: Family =
    Family::counter("daypass_panics", "Defects of the gateway that ended a request or a connection.");
pub(super) const GENERATION: Family =
    Family::gauge("daypass_configuration_generation", "The number of the configuration that runs, from 1.");
pub(super) const RELOADS: Family =
    Family::counter("daypass_configuration_reloads", "Readings of the configuration after the first.")
        .by(&["outcome"]);
pub(super) const LAST_RELOAD: Family = Family::gauge(
    "daypass_configuration_last_reload_success_timestamp",
    "When the configuration was last read without a problem, in Unix time.",
)
.seconds();
pub(super) const PROVIDER_UP: Family = Family::gauge(
    "daypass_provider_up",
    "1: the last try to fetch the keys of an OpenID provider gave keys; absent before the first.",
)
.by(&["provider"]);
pub(super) const PROVIDER_KEYS_AGE: Family =
    Family::gauge("daypass_provider_keys_age", "How old the keys of an OpenID provider are.")
        .seconds()
        .by(&["provider"]);
pub(super) const DIRECTORY_UP: Family = Family::gauge(
    "daypass_directory_up",
    "1: the directory answered the last question; absent before the first.",
);
pub(super) const REVOCATIONS_AGE: Family = Family::gauge(
    "daypass_revocations_age",
    "Since everything was last read from the server of revocations that is shared; absent without one.",
)
.seconds();
pub(super) const LOGIN_THROTTLED: Family =
    Family::counter("daypass_login_throttled", "Logins refused after too many wrong passwords.");
pub(super) const AUDIT_EVENTS: Family =
    Family::counter("daypass_audit_events", "Decisions that are in the audit log.").by(&["decision"]);
pub(super) const AUDIT_LOST: Family =
    Family::counter("daypass_audit_lost", "Decisions that could not be recorded in the audit log.");
pub(super) const AUDIT_FAILURES: Family =
    Family::counter("daypass_audit_failures", "Tries to write the audit log that went wrong.");
pub(super) const AUDIT_QUEUE: Family =
    Family::gauge("daypass_audit_queue_length", "Decisions that wait to be written to the audit log.");
pub(super) const BUILD: Family =
    Family::gauge("daypass_build_info", "Always 1; the version is its label.").by(&["version"]);
pub(super) const CPU: Family =
    Family::counter("process_cpu", "Time on a processor, of all threads.").seconds();
pub(super) const RESIDENT: Family = Family::gauge("process_resident_memory", "Memory that is held.").bytes();
pub(super) const VIRTUAL: Family =
    Family::gauge("process_virtual_memory", "Memory that is reserved.").bytes();
pub(super) const OPEN_FDS: Family = Family::gauge("process_open_fds", "Open file descriptors.");
pub(super) const MAX_FDS: Family = Family::gauge("process_max_fds", "How many file descriptors may be open.");
pub(super) const START_TIME: Family =
    Family::gauge("process_start_time", "When the process began, in Unix time.").seconds();

/// All of them.
pub const FAMILIES: &[Family] = &[
    REQUESTS,
    REQUEST_DURATION,
    BACKEND_FIRST_BYTE,
    REQUEST_BYTES,
    RESPONSE_BYTES,
    IN_FLIGHT,
    THROTTLED,
    CONNECTIONS,
    CONNECTIONS_REFUSED,
    MEMORY_USED,
    MEMORY_LIMIT,
    STS_REQUESTS,
    SESSIONS,
    SESSION_CACHE,
    SIGNATURE_FAILURES,
    BACKEND_ERRORS,
    BACKEND_RETRIES,
    BACKEND_ENDPOINT_UP,
    BACKEND_EJECTIONS,
    PANICS,
    GENERATION,
    RELOADS,
    LAST_RELOAD,
    PROVIDER_UP,
    PROVIDER_KEYS_AGE,
    DIRECTORY_UP,
    REVOCATIONS_AGE,
    LOGIN_THROTTLED,
    AUDIT_EVENTS,
    AUDIT_LOST,
    AUDIT_FAILURES,
    AUDIT_QUEUE,
    BUILD,
    CPU,
    RESIDENT,
    VIRTUAL,
    OPEN_FDS,
    MAX_FDS,
    START_TIME,
];
