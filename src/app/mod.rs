//! The composition root: from a configuration to a running gateway.

mod assemble;
mod descriptors;
mod reload;

use std::{net::SocketAddr, num::NonZero, pin::Pin, sync::Arc, thread};

use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

pub use self::reload::{Environment, Reloaded, Reloader, Source};
use self::{assemble::Generation, reload::AtStart};
use crate::{
    audit::Trail,
    backend::Backend,
    clock::Clock,
    config::{self, Config},
    credentials::Revocations,
    gateway::{Gateway, Lasting, ReplyBody, Status, admin, revocation_api::RevocationApi},
    server::{self, Drained, Memory, Peer, Places},
    telemetry::traces::Traces,
};

/// A gateway that answers, within the runtime that started it.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stopping: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    server: Arc<ArcSwap<server::Settings>>,
    serving: JoinHandle<Drained>,
    following: JoinHandle<()>,
    watching: JoinHandle<()>,
    memory: Arc<Memory>,
    admin: Option<AdminListener>,
    reloader: Option<Arc<Reloader>>,
    audit: Arc<Trail>,
}

impl Running {
    /// Where it listens; the port is the real one also when the configuration says 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin listener is, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// The memory that it counts.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// For a gateway that was started from a file.
    pub fn reloader(&self) -> Option<&Arc<Reloader>> {
        self.reloader.as_ref()
    }

    /// Is no longer ready, after `limits.drain_delay` takes no new connections, and lets what is under way finish within
    /// `limits.drain_timeout`.
    pub async fn shutdown(self) -> Drained {
        let _ = self.stopping.send(true);
        tokio::time::sleep(self.server.load().limits.drain_delay).await;
        // The receiver lives as long as the server runs.
        let _ = self.stop.send(true);
        let drained = self.serving.await.unwrap_or(Drained { finished: 0, cut: 0 });
        self.following.abort();
        self.watching.abort();
        drop(self.admin);
        // It waits for a disk or a collector.
        let _ = tokio::task::spawn_blocking(move || self.audit.close()).await;
        drained
    }
}

/// Builds everything that a configuration describes without opening a listener or contacting anything. Gives what would speak
/// to the storage.
pub fn check(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<Backend>> {
    let admin = config.admin.as_ref().and_then(|admin| admin.tls.as_ref());
    admin.map(admin_tls).transpose().context("admin.tls")?;
    let revocations = Revocations::open(config.revocation.clone(), clock.now()).context("revocation")?;
    let lasting = Lasting::new(clock, config.limits.max_requests, revocations);
    Generation::new(config, Arc::new(lasting.context(NO_RANDOM)?), None)?.pool()
}

/// Starts a gateway within the runtime of the caller.
pub async fn start(config: Config, source: Option<Source>, clock: Arc<dyn Clock>) -> anyhow::Result<Running> {
    let listener = listen(config.listen.address, false)?;
    let address = listener.local_addr()?;
    let admin = config.admin.clone();
    let (parts, mut handlers) = Parts::new(config, clock, 1)?;
    let ((stopping, not_ready), (stop, stopped)) = (watch::channel(false), watch::channel(false));
    let admin = admin.map(|admin| parts.admin(&admin, not_ready)).transpose()?;
    let revocations = parts.lasting.revocations().clone();
    let following = tokio::spawn(revocations.clone().follow(parts.clock.clone()));
    let memory = parts.lasting.memory().clone();
    let watching = tokio::spawn(parts.watch_memory());
    revocations.first_look().await;
    let handler = handlers.pop().ok_or_else(|| anyhow!("there is no worker"))?;
    let listener = TcpListener::from_std(listener)?;
    let (server, places) = (parts.server.clone(), parts.places.clone());
    let serving = tokio::spawn(server::serve(listener, server.clone(), places, handler, stopped));
    let audit = parts.lasting.audit().clone();
    let reloader = source.map(|source| Arc::new(parts.reloader(source)));
    Ok(Running {
        address,
        stopping,
        stop,
        server,
        serving,
        following,
        watching,
        memory,
        admin,
        reloader,
        audit,
    })
}

/// Runs a gateway until the system asks it to stop: one runtime for each core, each with its own listener and its own pool
/// to the backend, so that a request stays on its core from the first byte to the last.
pub fn serve(config: Config, source: Source, clock: Arc<dyn Clock>) -> anyhow::Result<()> {
    descriptors::raise(config.limits.max_connections);
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let (address, listeners) = listen_for(workers, config.listen.address)?;
    let admin = config.admin.clone();
    let endpoints = config.backend.endpoints.iter().map(|endpoint| endpoint.authority.as_str());
    let endpoints = endpoints.collect::<Vec<_>>().join(" ");
    let watch_interval = config.reload.watch_interval;
    let (parts, handlers) = Parts::new(config, clock, workers)?;
    let (stop, stopped) = watch::channel(false);
    let runtime = current_thread()?;
    let lasting = parts.lasting.clone();
    let revocations = lasting.revocations().clone();
    // Before anybody is let in.
    runtime.spawn(revocations.clone().follow(parts.clock.clone()));
    runtime.block_on(revocations.first_look());
    runtime.spawn(parts.watch_memory());
    let threads: Vec<_> = listeners
        .into_iter()
        .zip(handlers)
        .map(|(listener, handler)| {
            let (server, places, stopped) = (parts.server.clone(), parts.places.clone(), stopped.clone());
            let run = move || -> anyhow::Result<Drained> {
                current_thread()?.block_on(async {
                    let listener = TcpListener::from_std(listener)?;
                    Ok(server::serve(listener, server, places, handler, stopped).await)
                })
            };
            thread::Builder::new().name("daypass-worker".to_owned()).spawn(run)
        })
        .collect::<Result<_, _>>()?;
    let audit = parts.lasting.audit().clone();
    let ended = runtime.block_on(async {
        let (stopping, not_ready) = watch::channel(false);
        let admin = admin.map(|admin| parts.admin(&admin, not_ready)).transpose()?;
        let server = parts.server.clone();
        let reloader = Arc::new(parts.reloader(source));
        tracing::info!(%address, backend = endpoints, workers, version = env!("CARGO_PKG_VERSION"), "serving");
        let watching = watch_interval.map(|interval| tokio::spawn(reloader.clone().watch(interval)));
        until_told_to_stop(&reloader, &audit).await?;
        let _ = stopping.send(true);
        let delay = server.load().limits.drain_delay;
        tracing::info!(?delay, "stopping: not ready, new connections are taken for limits.drain_delay");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            // Whoever says it twice is in a hurry.
            again = until_told_to_stop(&reloader, &audit) => again?,
        }
        tracing::info!("no new connections, requests under way finish");
        let _ = stop.send(true);
        // The admin listener says so meanwhile.
        let cut = tokio::task::spawn_blocking(move || until_ended(threads)).await??;
        drop((admin, watching));
        anyhow::Ok(cut)
    });
    // Also when something went wrong: what was decided is recorded.
    audit.close();
    let cut = ended?;
    if cut > 0 {
        tracing::warn!(cut, "connections were cut at the end of limits.drain_timeout");
    }
    lasting.traces().close();
    tracing::info!("stopped");
    Ok(())
}

/// How many connections were cut, of all workers.
fn until_ended(workers: Vec<thread::JoinHandle<anyhow::Result<Drained>>>) -> anyhow::Result<usize> {
    let mut cut = 0;
    for worker in workers {
        let drained = worker.join().map_err(|_| anyhow!("a worker ended by a defect"))??;
        cut += drained.cut;
    }
    Ok(cut)
}

/// Until SIGTERM or SIGINT. SIGHUP reads the configuration again.
async fn until_told_to_stop(reloader: &Arc<Reloader>, audit: &Trail) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hang_up.recv() => {
                // Whoever moved the file says so by the same signal.
                audit.reopen();
                let reloader = reloader.clone();
                let _ = tokio::task::spawn_blocking(move || reloader.reload()).await;
            }
        }
    }
}

fn current_thread() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime cannot start")
}

const NO_RANDOM: &str = "the system gives no random numbers";

/// What stays when the configuration changes, with what changes within it.
struct Parts {
    clock: Arc<dyn Clock>,
    lasting: Arc<Lasting>,
    workers: Vec<Arc<ArcSwap<Gateway>>>,
    server: Arc<ArcSwap<server::Settings>>,
    places: Places,
    at_start: AtStart,
    fingerprint: config::Fingerprint,
    ways: Arc<crate::identity::Ways>,
}

impl Parts {
    /// Gives a handler for each worker, too.
    fn new(
        mut config: Config,
        clock: Arc<dyn Clock>,
        workers: usize,
    ) -> anyhow::Result<(Self, Vec<impl Handler + use<>>)> {
        let revocations = Revocations::open(config.revocation.clone(), clock.now()).context("revocation")?;
        let mut lasting =
            Lasting::new(clock.clone(), config.limits.max_requests, revocations).context(NO_RANDOM)?;
        if let Some(settings) = config.audit.take() {
            let trail = Trail::open(settings, clock.clone(), lasting.metrics().audit().clone());
            lasting = lasting.recorded_by(trail.context("audit")?);
        }
        let traces = config.traces.as_ref().map(Traces::open).transpose().context("traces")?;
        let lasting = Arc::new(lasting.with_traces(traces.unwrap_or_default()));
        let places = Places::new(config.limits.max_connections).within(lasting.memory().clone());
        let (at_start, fingerprint) = (AtStart::of(&config), config.fingerprint.clone());
        let generation = Generation::new(config, lasting.clone(), None)?;
        let gateway = |_| {
            let gateway = Gateway::new(generation.shared.clone(), generation.pool()?);
            Ok(Arc::new(ArcSwap::from_pointee(gateway)))
        };
        let workers = (0..workers).map(gateway).collect::<anyhow::Result<Vec<_>>>()?;
        let handlers = workers.iter().cloned().map(handler).collect();
        let server = Arc::new(ArcSwap::new(generation.server));
        let ways = generation.ways;
        Ok((Self { clock, lasting, workers, server, places, at_start, fingerprint, ways }, handlers))
    }

    /// The sessions in the cache are what can be spared.
    fn watch_memory(&self) -> impl Future<Output = ()> + use<> {
        let workers = self.workers.clone();
        self.lasting.memory().clone().watch(move || {
            // All workers have the same store.
            workers.iter().take(1).for_each(|gateway| gateway.load().forget_sessions());
        })
    }

    fn reloader(self, source: Source) -> Reloader {
        let Self { lasting, workers, server, at_start, fingerprint, ways, .. } = self;
        Reloader::new(source, lasting, workers, server, at_start, fingerprint, ways)
    }

    /// Starts the admin listener. It answers until the value goes, also while the rest drains.
    fn admin(
        &self,
        settings: &config::Admin,
        stopping: watch::Receiver<bool>,
    ) -> anyhow::Result<AdminListener> {
        let address = settings.address;
        let listener = server::listen(address, false)
            .with_context(|| format!("admin.address: {address} cannot be opened"))?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let current = self.workers.first().ok_or_else(|| anyhow!("there is no worker"))?.clone();
        let status = Status::new(current, self.places.clone(), stopping, settings.ready_needs_backend);
        let by_certificate = settings.tls.as_ref().is_some_and(|tls| tls.files.client_ca_pem.is_some());
        let access = admin::Access::new(settings.token.clone(), by_certificate);
        let health = admin::Health::new(status, settings.metrics_need_token.then(|| access.clone()));
        let revocations = self.lasting.revocations().clone();
        let api = RevocationApi::new(revocations, access, self.clock.clone());
        let handler = move |request: Request<Incoming>, peer: Peer| {
            let (health, api) = (health.clone(), api.clone());
            async move {
                if RevocationApi::has(request.uri().path()) {
                    return api.answer(request, &peer).await;
                }
                health.answer(&request, &peer)
            }
        };
        let tls = settings.tls.as_ref().map(admin_tls).transpose().context("admin.tls")?;
        let settings = server::Settings { tls, ..server::Settings::default() };
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let places = Places::new(settings.load().limits.max_connections);
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(server::serve(listener, settings, places, handler, stopped));
        Ok(AdminListener { address, _stop: stop })
    }
}

fn admin_tls(tls: &config::AdminTls) -> Result<Arc<rustls::ServerConfig>, server::TlsError> {
    let files = &tls.files;
    server::trusting_tls_config(
        &files.certificate_pem,
        &files.private_key_pem,
        files.client_ca_pem.as_deref(),
    )
    .map(Arc::new)
}

/// The admin listener, which ends with this value.
#[derive(Debug)]
struct AdminListener {
    address: SocketAddr,
    _stop: watch::Sender<bool>,
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

/// What answers the requests of one worker.
trait Handler:
    Fn(Request<Incoming>, Peer) -> BoxFuture<Response<ReplyBody>> + Clone + Send + Sync + 'static
{
}

impl<H> Handler for H where
    H: Fn(Request<Incoming>, Peer) -> BoxFuture<Response<ReplyBody>> + Clone + Send + Sync + 'static
{
}

fn handler(current: Arc<ArcSwap<Gateway>>) -> impl Handler {
    move |request, peer| {
        // This request's configuration, to its end.
        let gateway = current.load_full();
        Box::pin(async move { gateway.answer(request, peer).await }) as BoxFuture<Response<ReplyBody>>
    }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
