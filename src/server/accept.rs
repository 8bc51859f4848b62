//! The accept loop and the drain.

use std::{
    collections::HashMap,
    error::Error,
    io,
    net::{IpAddr, SocketAddr, TcpListener as StdListener},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

use super::{
    Peer, Settings,
    connection::{self, Worker},
    memory::{Level, Memory},
    turn::Turns,
};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;
/// Bytes of a reply that the system keeps for a client beyond what is on its way, so that one who reads slowly costs this and
/// not the megabytes to which the system lets a socket's buffer grow.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 128 * 1024;
/// So many are accepted before those who are connected have their turn: a crowd is not to be noticed by them.
const ACCEPTED_IN_A_TURN: usize = 4;
/// So many connections may read bodies in large pieces at a time.
const LARGE_BUFFERS: usize = 32;
/// After an error of the whole listener, such as no file descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// What became of the connections that were open when the server was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    pub finished: usize,
    /// Closed before their end.
    pub cut: usize,
}

/// Opens a listener. `shared`: others of this process listen there too, and the system spreads connections over them.
pub fn listen(address: SocketAddr, shared: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Connections have it from their listener.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The places for connections, of all listeners that share them.
#[derive(Debug, Clone)]
pub struct Places {
    slots: Arc<Semaphore>,
    large_buffers: Arc<Semaphore>,
    addresses: Addresses,
    refused: Arc<AtomicU64>,
    memory: Option<Arc<Memory>>,
}

impl Places {
    pub fn new(max_connections: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(max_connections)),
            large_buffers: Arc::new(Semaphore::new(LARGE_BUFFERS)),
            addresses: Addresses::default(),
            refused: Arc::default(),
            memory: None,
        }
    }

    /// None are given while memory is nearly full.
    #[must_use]
    pub fn within(mut self, memory: Arc<Memory>) -> Self {
        self.memory = Some(memory);
        self
    }

    /// How many connections were refused because of their address.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    fn are_closed(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.level() == Level::Full)
    }

    /// How many connections are open.
    pub fn taken(&self) -> usize {
        let open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().sum()
    }
}

/// Serves until `stop` turns true, then lets what is under way finish. A connection keeps the settings that it began with.
pub async fn serve<H, F, B>(
    listener: TcpListener,
    current: Arc<ArcSwap<Settings>>,
    places: Places,
    handler: H,
    mut stop: watch::Receiver<bool>,
) -> Drained
where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut connections = JoinSet::new();
    let large_buffers = places.large_buffers.clone();
    let worker = Worker { handler, turns: Turns::default(), large_buffers, stop: stop.clone() };
    let mut accepted_in_turn = 0;
    loop {
        if accepted_in_turn == ACCEPTED_IN_A_TURN {
            accepted_in_turn = 0;
            tokio::task::yield_now().await;
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stopped| *stopped) => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => note_panic(&ended),
            accepted = accept(&listener, &places) => {
                let (socket, peer, slot) = accepted;
                accepted_in_turn += 1;
                let settings = current.load_full();
                let Some(place) = places.addresses.enter(peer.ip(), settings.limits.max_connections_per_address) else {
                    places.refused.fetch_add(1, Relaxed);
                    tracing::debug!(client = %peer.ip(), "too many connections from this address");
                    continue;
                };
                let held = Held { _place: place, _slot: slot };
                connections.spawn(connection::run(socket, peer, settings, worker.clone(), held));
            }
        }
    }
    // New connections are refused by the system from here on.
    drop(listener);
    let within = current.load().limits.drain_timeout;
    drain(connections, within).await
}

async fn drain(mut connections: JoinSet<()>, within: Duration) -> Drained {
    let mut finished = 0;
    let all_done = async {
        while let Some(ended) = connections.join_next().await {
            note_panic(&ended);
            finished += 1;
        }
    };
    if tokio::time::timeout(within, all_done).await.is_ok() {
        return Drained { finished, cut: 0 };
    }
    let cut = connections.len();
    connections.shutdown().await;
    Drained { finished, cut }
}

fn note_panic(ended: &Result<(), tokio::task::JoinError>) {
    if ended.as_ref().is_err_and(tokio::task::JoinError::is_panic) {
        tracing::error!("a connection ended by a defect of the gateway; the others go on");
    }
}

/// The next connection, once there is a slot for it.
async fn accept(listener: &TcpListener, places: &Places) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        while places.are_closed() {
            tokio::time::sleep(BREATH).await;
        }
        let Ok(slot) = places.slots.clone().acquire_owned().await else {
            // Nobody closes the semaphore.
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((socket, peer)) => {
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                if socket.set_nodelay(true).is_ok() {
                    return (socket, peer, slot);
                }
            }
            // The client was gone before it was accepted: no fault of the listener.
            Err(cause)
                if matches!(
                    cause.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(cause) => {
                tracing::warn!("no connection can be accepted: {cause}");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// How many connections each address has.
#[derive(Debug, Clone, Default)]
struct Addresses {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// What a connection holds until it ends.
pub(super) struct Held {
    _place: AddressPlace,
    _slot: OwnedSemaphorePermit,
}

/// One connection's place among those of its address.
struct AddressPlace {
    address: IpAddr,
    addresses: Addresses,
}

impl Addresses {
    /// `most`: 0 is no limit.
    fn enter(&self, address: IpAddr, most: usize) -> Option<AddressPlace> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_insert(0);
        if most > 0 && *count >= most {
            return None;
        }
        *count += 1;
        Some(AddressPlace { address, addresses: self.clone() })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}
