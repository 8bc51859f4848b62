//! From a configuration to the parts that answer requests under it.

use std::sync::Arc;

use anyhow::Context;

use crate::{
    backend::{self, Backend, Timeouts},
    config::{self, Config},
    credentials::SessionStore,
    gateway::{self, Lasting},
    identity::Ways,
    s3::PublicHosts,
    server, sts,
};

/// Everything that one configuration makes but the pools to the backend, of which each worker has its own.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) shared: Arc<gateway::Shared>,
    pub(super) server: Arc<server::Settings>,
    pub(super) backend: backend::Settings,
    pub(super) ways: Arc<Ways>,
}

impl Generation {
    /// Contacts nobody. `ways`: those of the configuration before, when nothing of them has changed: they hold keys of
    /// providers, connections to the directory, and who failed to log in.
    pub(super) fn new(
        config: Config,
        lasting: Arc<Lasting>,
        ways: Option<Arc<Ways>>,
    ) -> anyhow::Result<Self> {
        let server = Arc::new(server_settings(&config)?);
        let backend = backend_settings(&config.backend, &lasting)?;
        Backend::new(backend.clone()).context("backend.ca_file")?;
        let ways = match ways {
            Some(ways) => ways,
            None => Arc::new(config.ways.open()?),
        };
        let shared = Arc::new(shared(config, lasting, ways.clone()));
        Ok(Self { shared, server, backend, ways })
    }

    /// A new pool to the backend.
    pub(super) fn pool(&self) -> anyhow::Result<Arc<Backend>> {
        Backend::new(self.backend.clone()).map(Arc::new).context("backend.ca_file")
    }
}

fn shared(config: Config, lasting: Arc<Lasting>, ways: Arc<Ways>) -> gateway::Shared {
    let principals = Arc::new(config.principals);
    let sessions = SessionStore::new(config.keyring, principals, config.limits.session_cache);
    let sessions = sessions.with_directory(ways.ldap.clone());
    let sessions = sessions.counted_by(lasting.metrics().sessions().clone());
    lasting.memory().limit_to(config.limits.max_memory);
    let limiters = lasting.limiters(config.limits.session_rates, &sessions.principals().directory);
    let sessions = sessions.limited_by(limiters);
    let sessions = Arc::new(sessions.with_revocations(lasting.revocations().clone()));
    // Clients sign for the region that they are told, by us or by the backend's GetBucketLocation.
    let mut regions = vec![config.sts.region.clone(), config.backend.region.clone()];
    regions.dedup();
    let settings = gateway::Settings {
        hosts: PublicHosts::new(config.listen.hosts),
        profile: config.backend.profile,
        regions,
        max_skew: config.sts.max_skew,
        max_uri: config.limits.max_uri,
        max_head_size: config.limits.max_head_size,
        max_object_size: config.limits.max_object_size,
        allow_public: config.backend.allow_public,
        stall_timeout: config.limits.stall_timeout,
    };
    let sts = sts::Service::new(config.sts, sessions.clone(), ways);
    gateway::Shared::new(settings, sessions, sts, lasting)
}

fn backend_settings(config: &config::Backend, lasting: &Lasting) -> anyhow::Result<backend::Settings> {
    let known = lasting.backend();
    let endpoint = |one: &config::Endpoint| {
        known.endpoint(one.tls, &one.authority).with_context(|| format!("backend: {}", one.authority))
    };
    let endpoints = config.endpoints.iter().map(endpoint).collect::<anyhow::Result<_>>()?;
    Ok(backend::Settings {
        tls: config.endpoints.iter().all(|endpoint| endpoint.tls),
        endpoints,
        retries: known.retries().clone(),
        clock: lasting.clock().clone(),
        region: config.region.clone(),
        profile: config.profile,
        access_key_id: config.access_key_id.clone(),
        secret_access_key: config.secret_access_key.clone(),
        ca_pem: config.ca_pem.clone(),
        trust_link: config.trust_link,
        timeouts: Timeouts {
            connect: config.connect_timeout,
            first_byte: config.first_byte_timeout,
            ..Timeouts::default()
        },
        seen: lasting.metrics().backend().clone(),
    })
}

fn server_settings(config: &Config) -> anyhow::Result<server::Settings> {
    let tls = match &config.listen.tls {
        None => None,
        Some(tls) => Some(Arc::new(
            server::tls_config(&tls.certificate_pem, &tls.private_key_pem, tls.client_ca_pem.as_deref())
                .context("listen.tls")?,
        )),
    };
    let limits = &config.limits;
    Ok(server::Settings {
        tls,
        trusted_proxies: config.listen.trusted_proxies.clone(),
        proxy_protocol: config.listen.proxy_protocol,
        limits: server::Limits {
            max_connections: limits.max_connections,
            max_connections_per_address: limits.max_connections_per_address,
            tls_handshake_timeout: limits.tls_handshake_timeout,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            stall_timeout: limits.stall_timeout,
            drain_delay: limits.drain_delay,
            drain_timeout: limits.drain_timeout,
            max_head_size: limits.max_head_size,
            max_headers: limits.max_headers,
        },
    })
}
