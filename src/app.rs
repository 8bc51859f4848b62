//! The composition root: from a configuration to a running gateway.

use std::{net::SocketAddr, num::NonZero, pin::Pin, sync::Arc, thread};

use anyhow::{Context, anyhow};
use http::{Request, Response};
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
    gateway::{self, Gateway, ReplyBody, admin},
    s3::PublicHosts,
    server::{self, Drained, Peer},
    sts,
};

/// A gateway that answers, within the runtime that started it.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<Drained>,
}

impl Running {
    /// Where it listens; the port is the real one also when the configuration says 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new connections, lets what is under way finish within `limits.drain_timeout`.
    pub async fn shutdown(self) -> Drained {
        // The receiver lives as long as the server runs.
        let _ = self.stop.send(true);
        self.serving.await.unwrap_or(Drained { finished: 0, cut: 0 })
    }
}

/// Builds everything that a configuration describes without opening a listener or contacting anything.
pub fn check(config: &Config) -> anyhow::Result<()> {
    server_settings(config)?;
    backend(config)?;
    config.ways.open()?;
    Ok(())
}

/// Starts a gateway within the runtime of the caller.
#[expect(clippy::unused_async, reason = "it must be called within a runtime")]
pub async fn start(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Running> {
    let settings = Arc::new(server_settings(&config)?);
    let listener = listen(config.listen.address, false)?;
    let address = listener.local_addr()?;
    let backend = backend(&config)?;
    let gateway = Gateway::new(Arc::new(shared(config, clock)?), backend);
    let (stop, stopped) = watch::channel(false);
    let serving =
        tokio::spawn(server::serve(TcpListener::from_std(listener)?, settings, handler(gateway), stopped));
    Ok(Running { address, stop, serving })
}

/// Runs a gateway until the system asks it to stop: one runtime for each core, each with its own listener and its own pool
/// to the backend, so that a request stays on its core from the first byte to the last.
pub fn serve(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<()> {
    let settings = Arc::new(server_settings(&config)?);
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let (address, listeners) = listen_for(workers, config.listen.address)?;
    let backends = (0..workers).map(|_| backend(&config)).collect::<Result<Vec<_>, _>>()?;
    let admin = config.admin.as_ref().map(|admin| admin.address);
    let endpoint = config.backend.endpoint.authority.clone();
    let shared = Arc::new(shared(config, clock)?);
    let (stop, stopped) = watch::channel(false);

    let threads: Vec<_> = listeners
        .into_iter()
        .zip(backends)
        .map(|(listener, backend)| {
            let (settings, stopped) = (settings.clone(), stopped.clone());
            let gateway = Gateway::new(shared.clone(), backend);
            let run = move || -> anyhow::Result<Drained> {
                current_thread()?.block_on(async {
                    let listener = TcpListener::from_std(listener)?;
                    Ok(server::serve(listener, settings, handler(gateway), stopped).await)
                })
            };
            thread::Builder::new().name("daypass-worker".to_owned()).spawn(run)
        })
        .collect::<Result<_, _>>()?;
    current_thread()?.block_on(async {
        let admin = admin.map(|address| start_admin(address, stopped)).transpose()?;
        tracing::info!(%address, backend = endpoint, workers, version = env!("CARGO_PKG_VERSION"), "serving");
        until_told_to_stop().await?;
        drop(admin);
        anyhow::Ok(())
    })?;
    tracing::info!("stopping: no new connections, requests under way finish");
    let _ = stop.send(true);
    let mut cut = 0;
    for thread in threads {
        let drained = thread.join().map_err(|_| anyhow!("a worker ended by a defect"))??;
        cut += drained.cut;
    }
    if cut > 0 {
        tracing::warn!(cut, "connections were cut at the end of limits.drain_timeout");
    }
    tracing::info!("stopped");
    Ok(())
}

async fn until_told_to_stop() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn current_thread() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime cannot start")
}

fn start_admin(address: SocketAddr, stopped: watch::Receiver<bool>) -> anyhow::Result<JoinHandle<Drained>> {
    let listener = server::listen(address, false)
        .with_context(|| format!("admin.address: {address} cannot be opened"))?;
    let health = admin::Health::new(stopped.clone());
    let handler = move |request: Request<Incoming>, _: Peer| {
        let health = health.clone();
        async move { health.answer(&request) }
    };
    Ok(tokio::spawn(server::serve(TcpListener::from_std(listener)?, Arc::default(), handler, stopped)))
}

/// One listener for each worker, all at the same address.
fn listen_for(
    workers: usize,
    address: SocketAddr,
) -> anyhow::Result<(SocketAddr, Vec<std::net::TcpListener>)> {
    // A shared listener would open beside another gateway that is already there; this one does not.
    drop(listen(address, false)?);
    let first = listen(address, true)?;
    let address = first.local_addr()?;
    let others = (1..workers).map(|_| listen(address, true));
    let listeners = std::iter::once(Ok(first)).chain(others).collect::<Result<_, _>>()?;
    Ok((address, listeners))
}

fn listen(address: SocketAddr, shared: bool) -> anyhow::Result<std::net::TcpListener> {
    server::listen(address, shared).with_context(|| format!("listen.address: {address} cannot be opened"))
}

fn handler(
    gateway: Gateway,
) -> impl Fn(Request<Incoming>, Peer) -> BoxFuture<Response<ReplyBody>> + Clone + Send + Sync + 'static {
    let gateway = Arc::new(gateway);
    move |request, peer| {
        let gateway = gateway.clone();
        Box::pin(async move { gateway.answer(request, peer).await })
    }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn backend(config: &Config) -> anyhow::Result<Backend> {
    Backend::new(backend_settings(&config.backend)).context("backend.ca_file")
}

fn shared(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<gateway::Shared> {
    let ways = Arc::new(config.ways.open()?);
    let principals = Arc::new(config.principals);
    let sessions = SessionStore::new(config.keyring, principals, config.limits.session_cache);
    let sessions = Arc::new(sessions.with_directory(ways.ldap.clone()));
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
        allow_public: config.backend.allow_public,
        stall_timeout: config.limits.stall_timeout,
    };
    let sts = sts::Service::new(config.sts, sessions.clone(), ways);
    gateway::Shared::new(settings, sessions, sts, clock).context("the system gives no random numbers")
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
