//! The revocations of several gateways in a Valkey or Redis server: a key for each with a time to live, a message for each
//! change, and everything read again from time to time and whenever the connection is new.
//!
//! What is lifted leaves a mark behind, so that an entry that a gateway has and the server lacks was lost by the server, and
//! is written there again.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo,
    TlsCertificates,
    aio::{MultiplexedConnection, PubSubSink, PubSubStream},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    entry::{Entry, EntryId},
    file::Line,
};
use crate::clock::{Clock, Timestamp};

/// The server, and what to do without it.
#[derive(Debug, Clone)]
pub struct SharedSettings {
    pub host: String,
    pub port: u16,
    pub tls: bool,
    pub database: i64,
    pub username: Option<String>,
    pub password: Option<SecretString>,
    pub ca_pem: Option<Vec<u8>>,
    /// Of one connection, one call and its answer.
    pub timeout: Duration,
    /// Temporary keys are refused once the last good look at the server is so old; `None`: they are served.
    pub refuse_after: Option<Duration>,
}

const PREFIX: &str = "daypass:revocation:";
const CHANNEL: &str = "daypass:revocations";
/// How long the mark of a lifted entry is kept.
const LIFTED_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
const RESYNC: Duration = Duration::from_secs(10);
const RECONNECT: Duration = Duration::from_millis(500);
const COMPLAIN: Duration = Duration::from_secs(60);
/// Keys of one round trip.
const BATCH: usize = 500;

/// A change that the server has to be told.
struct Telling {
    line: Line,
    done: oneshot::Sender<Result<(), String>>,
}

pub(super) struct Shared {
    client: Client,
    settings: SharedSettings,
    telling: mpsc::Sender<Telling>,
    told: Mutex<Option<mpsc::Receiver<Telling>>>,
    started_at: Timestamp,
    /// Of the last time that everything was read; negative: never.
    synced_at: AtomicI64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("host", &self.settings.host).finish_non_exhaustive()
    }
}

/// What takes in what the server says.
pub(super) trait Follower {
    fn apply(&self, line: Line, now: Timestamp);
    /// Everything that the server has; gives what it lacks.
    fn adopt(&self, lines: Vec<Line>, now: Timestamp) -> Vec<Entry>;
}

impl Shared {
    pub(super) fn new(settings: SharedSettings, now: Timestamp) -> Result<Self, redis::RedisError> {
        let mut login = RedisConnectionInfo::default().set_db(settings.database);
        if let Some(name) = &settings.username {
            login = login.set_username(name);
        }
        if let Some(password) = &settings.password {
            login = login.set_password(password.expose_secret());
        }
        let (host, port) = (settings.host.clone(), settings.port);
        let address = if settings.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let info = address.into_connection_info()?.set_redis_settings(login);
        let client = if settings.tls {
            let certificates = TlsCertificates { client_tls: None, root_cert: settings.ca_pem.clone() };
            Client::build_with_tls(info, certificates)?
        } else {
            Client::open(info)?
        };
        let (telling, told) = mpsc::channel(1024);
        let (told, synced_at) = (Mutex::new(Some(told)), AtomicI64::new(-1));
        Ok(Self { client, settings, telling, told, started_at: now, synced_at })
    }

    pub(super) fn is_synced(&self) -> bool {
        self.synced_at.load(Ordering::Acquire) >= 0
    }

    /// How old the last good look at the server is; before the first, how long one has been waited for.
    pub(super) fn age(&self, now: Timestamp) -> Duration {
        let synced_at = self.synced_at.load(Ordering::Acquire);
        let since = if synced_at < 0 { self.started_at.unix() } else { synced_at };
        Duration::from_secs(u64::try_from(now.unix().saturating_sub(since)).unwrap_or(0))
    }

    pub(super) fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// Whether what is known is too old to let anybody in.
    pub(super) fn is_too_old(&self, now: Timestamp) -> bool {
        let synced_at = self.synced_at.load(Ordering::Acquire);
        let age = || now.unix().saturating_sub(synced_at);
        self.settings
            .refuse_after
            .is_some_and(|most| synced_at < 0 || u64::try_from(age()).unwrap_or(0) > most.as_secs())
    }

    /// When this returns without an error, the server has it and has told the others.
    pub(super) async fn tell(&self, line: Line) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        let gone = || "nobody speaks with the server".to_owned();
        self.telling.try_send(Telling { line, done }).map_err(|_| gone())?;
        match timeout(self.settings.timeout * 2, answer).await {
            Ok(answer) => answer.map_err(|_| gone())?,
            Err(_) => Err("the server does not answer".to_owned()),
        }
    }

    /// Follows the server. Never ends.
    pub(super) async fn follow(&self, follower: &impl Follower, clock: &dyn Clock) {
        let Some(mut told) = self.told.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let mut complained: Option<(Instant, i64)> = None;
        loop {
            let Err(cause) = self.converse(follower, clock, &mut told).await;
            let synced_at = self.synced_at.load(Ordering::Acquire);
            // At once when it was well since, and then each minute.
            if complained.is_none_or(|(at, then)| at.elapsed() >= COMPLAIN || then != synced_at) {
                let last = (synced_at >= 0).then(|| Timestamp::from_unix(synced_at).rfc3339());
                tracing::error!(
                    server = self.settings.host,
                    cause,
                    last_read = last,
                    "revocations of other gateways are not heard of"
                );
                complained = Some((Instant::now(), synced_at));
            }
            let refuse = async {
                while let Some(telling) = told.recv().await {
                    let _ = telling.done.send(Err(cause.clone()));
                }
            };
            tokio::select! { () = refuse => return, () = sleep(RECONNECT) => {} }
        }
    }

    async fn converse(
        &self,
        follower: &impl Follower,
        clock: &dyn Clock,
        told: &mut mpsc::Receiver<Telling>,
    ) -> Result<std::convert::Infallible, String> {
        let (mut connection, mut sink, mut messages) = self.within(self.connect()).await?;
        self.resync(&mut connection, follower, clock).await?;
        tracing::info!(server = self.settings.host, "revocations are shared");
        let mut ticks = interval(RESYNC);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        loop {
            tokio::select! {
                message = messages.next() => {
                    let message = message.ok_or("the server closed the connection")?;
                    if let Some(line) = read(message.get_payload_bytes()) {
                        follower.apply(line, clock.now());
                    }
                }
                telling = told.recv() => {
                    let Telling { line, done } = telling.ok_or("nobody tells anything any more")?;
                    let told = self.within(write(&mut connection, &line, clock.now(), false)).await;
                    let _ = done.send(told.clone());
                    told?;
                }
                _ = ticks.tick() => {
                    self.within(sink.ping::<redis::Value>()).await?;
                    self.resync(&mut connection, follower, clock).await?;
                }
            }
        }
    }

    async fn connect(&self) -> redis::RedisResult<(MultiplexedConnection, PubSubSink, PubSubStream)> {
        let time = Some(self.settings.timeout);
        let config = AsyncConnectionConfig::new().set_connection_timeout(time).set_response_timeout(time);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut subscribed = self.client.get_async_pubsub().await?;
        subscribed.subscribe(CHANNEL).await?;
        let (sink, messages) = subscribed.split();
        Ok((connection, sink, messages))
    }

    /// The messages are heard already, so that nothing falls between.
    async fn resync(
        &self,
        connection: &mut MultiplexedConnection,
        follower: &impl Follower,
        clock: &dyn Clock,
    ) -> Result<(), String> {
        let began = clock.now();
        let mut lines = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{PREFIX}*")).arg("COUNT").arg(BATCH);
            let (next, keys): (u64, Vec<String>) = self.within(scan.query_async(connection)).await?;
            if !keys.is_empty() {
                let mut get = redis::cmd("MGET");
                get.arg(&keys);
                let values: Vec<Option<Vec<u8>>> = self.within(get.query_async(connection)).await?;
                lines.extend(values.iter().flatten().filter_map(|value| read(value)));
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        for entry in follower.adopt(lines, clock.now()) {
            self.within(write(connection, &Line::Revoke(entry), clock.now(), true)).await?;
        }
        self.synced_at.store(began.unix(), Ordering::Release);
        Ok(())
    }

    async fn within<T>(&self, call: impl Future<Output = redis::RedisResult<T>>) -> Result<T, String> {
        match timeout(self.settings.timeout, call).await {
            Ok(answer) => answer.map_err(|cause| cause.to_string()),
            Err(_) => Err("the server does not answer in time".to_owned()),
        }
    }
}

fn key(id: EntryId) -> String {
    format!("{PREFIX}{id}")
}

fn read(bytes: &[u8]) -> Option<Line> {
    let line = serde_json::from_slice(bytes);
    line.inspect_err(|cause| tracing::error!(%cause, "the server has a revocation that cannot be read")).ok()
}

/// `only_if_missing`: what another gateway has written since stays.
async fn write(
    connection: &mut MultiplexedConnection,
    line: &Line,
    now: Timestamp,
    only_if_missing: bool,
) -> redis::RedisResult<()> {
    let (id, lives) = match line {
        Line::Revoke(entry) => (entry.id, entry.expires_at.map(|end| end.unix() - now.unix())),
        Line::Lift(id) => (*id, i64::try_from(LIFTED_KEPT.as_secs()).ok()),
    };
    let text = serde_json::to_string(line).unwrap_or_default();
    let mut set = redis::cmd("SET");
    set.arg(key(id)).arg(&text);
    if let Some(seconds) = lives {
        set.arg("EX").arg(seconds.max(1));
    }
    if only_if_missing {
        set.arg("NX");
        let written: Option<String> = set.query_async(connection).await?;
        if written.is_none() {
            return Ok(());
        }
    } else {
        set.query_async::<()>(connection).await?;
    }
    redis::cmd("PUBLISH").arg(CHANNEL).arg(text).query_async::<()>(connection).await
}
