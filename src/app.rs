//! The composition root: from a configuration to a running gateway.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use http::Request;
use hyper::body::Incoming;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    backend::{self, Backend, Timeouts},
    clock::Clock,
    config::{self, Config},
    credentials::SessionStore,
    gateway::{self, Gateway, admin},
    s3::PublicHosts,
    server::{self, Drained, Peer},
    sts,
};

/// A gateway that answers.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<Drained>,
    admin: Option<JoinHandle<Drained>>,
}

impl Running {
    /// Where it listens; the port is the real one also when the configuration says 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health is answered, if anywhere.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Takes no new connections, lets what is under way finish within `limits.drain_timeout`.
    pub async fn shutdown(self) -> Drained {
        // The receivers live as long as the server runs.
        let _ = self.stop.send(true);
        let drained = self.serving.await.unwrap_or(Drained { finished: 0, cut: 0 });
        if let Some(admin) = self.admin {
            admin.abort();
        }
        drained
    }
}

/// Builds everything that a configuration describes without opening a listener or contacting anything.
pub fn check(config: &Config) -> anyhow::Result<()> {
    server_settings(config)?;
    Backend::new(backend_settings(&config.backend)).context("backend.ca_file")?;
    Ok(())
}

/// Starts a gateway.
#[expect(clippy::unused_async, reason = "it must be called within a runtime")]
pub async fn start(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Running> {
    let settings = Arc::new(server_settings(&config)?);
    let listener = server::listen(config.listen.address)
        .with_context(|| format!("listen.address: {} cannot be opened", config.listen.address))?;
    let admin_listener = match &config.admin {
        None => None,
        Some(admin) => Some(
            server::listen(admin.address)
                .with_context(|| format!("admin.address: {} cannot be opened", admin.address))?,
        ),
    };
    let (address, admin_address) = (listener.local_addr()?, local_address(admin_listener.as_ref())?);
    let gateway = Arc::new(gateway(config, clock)?);

    let (stop, stopped) = watch::channel(false);
    let handler = move |request: Request<Incoming>, peer: Peer| {
        let gateway = gateway.clone();
        async move { gateway.answer(request, peer).await }
    };
    let serving = tokio::spawn(server::serve(listener, settings, handler, stopped.clone()));
    let admin = admin_listener.map(|listener| {
        let health = admin::Health::new(stopped.clone());
        let handler = move |request: Request<Incoming>, _: Peer| {
            let health = health.clone();
            async move { health.answer(&request) }
        };
        tokio::spawn(server::serve(listener, Arc::default(), handler, stopped))
    });
    Ok(Running { address, admin_address, stop, serving, admin })
}

/// Runs a gateway until the system asks it to stop.
pub async fn serve(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let backend = config.backend.endpoint.authority.clone();
    let running = start(config, clock).await?;
    tracing::info!(address = %running.address(), backend, version = env!("CARGO_PKG_VERSION"), "serving");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: no new connections, requests under way finish");
    let drained = running.shutdown().await;
    if drained.cut > 0 {
        tracing::warn!(cut = drained.cut, "connections were cut at the end of limits.drain_timeout");
    }
    tracing::info!("stopped");
    Ok(())
}

fn gateway(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Gateway> {
    let backend = Backend::new(backend_settings(&config.backend)).context("backend.ca_file")?;
    let sessions =
        Arc::new(SessionStore::new(config.keyring, Arc::new(config.principals), config.limits.session_cache));
    // Clients sign for the region that they are told, by us or by the backend's GetBucketLocation.
    let mut regions = vec![config.sts.region.clone(), config.backend.region.clone()];
    regions.dedup();
    let settings = gateway::Settings {
        hosts: PublicHosts::new(config.listen.hosts),
        profile: config.backend.profile,
        regions,
        max_skew: config.sts.max_skew,
        max_requests: config.limits.max_requests,
        max_uri: config.limits.max_uri,
        max_head_size: config.limits.max_head_size,
        max_object_size: config.limits.max_object_size,
        stall_timeout: config.limits.stall_timeout,
    };
    let sts = sts::Service::new(config.sts, sessions.clone());
    Gateway::new(settings, sessions, sts, backend, clock).context("the system gives no random numbers")
}

fn backend_settings(config: &config::Backend) -> backend::Settings {
    backend::Settings {
        tls: config.endpoint.tls,
        authority: config.endpoint.authority.clone(),
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
    }
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
            drain_timeout: limits.drain_timeout,
            max_head_size: limits.max_head_size,
            max_headers: limits.max_headers,
        },
    })
}

fn local_address(listener: Option<&TcpListener>) -> std::io::Result<Option<SocketAddr>> {
    listener.map(TcpListener::local_addr).transpose()
}
