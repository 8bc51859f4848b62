//! What operators may see of a running gateway: whether it is ready and why not, and the metrics.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Gateway;
use crate::{
    backend::Endpoint,
    server::{Level, Places},
    telemetry::metrics::{BackendEndpoint, Observed, Provider},
};

/// The gateway as a whole, whatever configuration it runs.
#[derive(Debug)]
pub struct Status {
    current: Arc<ArcSwap<Gateway>>,
    places: Places,
    stopping: watch::Receiver<bool>,
    ready_needs_backend: bool,
}

/// Whether requests should come here. Keys and policies are no question: without them nothing starts.
#[derive(Debug)]
pub(super) struct Readiness {
    /// Why not; none: they should.
    pub(super) reasons: Vec<String>,
    details: Value,
}

impl Readiness {
    pub(super) fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }

    pub(super) fn to_text(&self) -> String {
        if self.is_ready() {
            return "ready\n".to_owned();
        }
        format!("not ready: {}\n", self.reasons.join("\nnot ready: "))
    }

    pub(super) fn to_json(&self) -> String {
        format!("{:#}\n", self.details)
    }
}

impl Status {
    /// `current`: of any worker; what is shown is common to all.
    pub fn new(
        current: Arc<ArcSwap<Gateway>>,
        places: Places,
        stopping: watch::Receiver<bool>,
        ready_needs_backend: bool,
    ) -> Self {
        Self { current, places, stopping, ready_needs_backend }
    }

    /// Asks nobody: what the last requests found.
    pub(super) fn readiness(&self) -> Readiness {
        let gateway = self.current.load();
        let metrics = gateway.lasting.metrics();
        let outage = metrics.backend().outage();
        let mut reasons = Vec::new();
        if *self.stopping.borrow() {
            reasons.push("stopping".to_owned());
        }
        if let Some(outage) = outage.filter(|_| self.ready_needs_backend) {
            reasons.push(format!(
                "backend: {} requests in a row have failed, the last {} s ago",
                outage.failures,
                outage.last_ago.as_secs()
            ));
        }
        let memory = gateway.lasting.memory();
        let memory_is_short = memory.level() != Level::Enough;
        if memory_is_short {
            reasons.push("memory: it runs short, new requests get SlowDown".to_owned());
        }
        let ways = gateway.sts.ways();
        let providers = providers(&gateway);
        let providers: Vec<Value> = providers
            .iter()
            .map(|one| json!({ "name": one.name, "up": one.is_up, "keys_age_seconds": one.keys_age_seconds }))
            .collect();
        let endpoints = endpoints(&gateway);
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|one| json!({ "endpoint": one.authority, "up": one.is_up, "ejections": one.ejections }))
            .collect();
        let details = json!({
            "ready": reasons.is_empty(),
            "reasons": reasons,
            "version": env!("CARGO_PKG_VERSION"),
            "configuration_generation": metrics.generation(),
            "backend": {
                "up": outage.is_none(),
                "failures_in_a_row": metrics.backend().failures_in_a_row(),
                "is_needed": self.ready_needs_backend,
                "endpoints": endpoints,
            },
            "memory": memory.figures().map(|(used, limit)| json!({
                "used_bytes": used,
                "limit_bytes": limit,
                "is_short": memory_is_short,
            })),
            "providers": providers,
            "directory": ways.ldap.as_ref().map(|ldap| json!({ "up": ldap.is_up() })),
        });
        Readiness { reasons, details }
    }

    pub(super) fn metrics(&self) -> Result<String, fmt::Error> {
        let gateway = self.current.load();
        gateway.lasting.metrics().page(Observed {
            connections_open: self.places.taken(),
            connections_refused: self.places.refused(),
            memory: gateway.lasting.memory().figures(),
            sessions_cached: gateway.sessions.kept(),
            endpoints: endpoints(&gateway),
            providers: providers(&gateway),
            revocations_age: gateway.lasting.revocations().age(gateway.lasting.now()),
            directory_up: gateway.sts.ways().ldap.as_ref().and_then(|ldap| ldap.is_up()),
        })
    }
}

fn endpoints(gateway: &Gateway) -> Vec<BackendEndpoint> {
    let endpoint = |one: &Arc<Endpoint>| BackendEndpoint {
        authority: one.authority().to_owned(),
        is_up: one.is_up(),
        ejections: one.ejections(),
    };
    gateway.backend.endpoints().iter().map(endpoint).collect()
}

fn providers(gateway: &Gateway) -> Vec<Provider> {
    let seen = gateway.sts.ways().oidc.seen(gateway.lasting.now());
    let provider = |one: crate::identity::oidc::Seen| Provider {
        name: one.name,
        is_up: one.is_up,
        keys_age_seconds: one.keys_age.map(|age| age.as_secs()),
    };
    seen.into_iter().map(provider).collect()
}
