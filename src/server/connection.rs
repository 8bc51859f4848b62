//! One connection from its first byte to its last.

use std::{convert::Infallible, error::Error, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Limits, Peer, Settings, Unproven,
    accept::Held,
    activity::{Activity, Tracked},
    client_address,
    guarded_io::GuardedIo,
    proxy_protocol,
    turn::Turns,
    untaken::{Replies, Untaken},
};

/// How much of a body is read or written at once, and kept for a connection.
const BUFFER: usize = 64 * 1024;
/// The same of few connections: a large upload costs a sixth less with it, a thousand of them would take too much memory.
const LARGE_BUFFER: usize = 256 * 1024;
/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Whom the requests of a connection come from, as far as the connection knows.
#[derive(Debug, Clone)]
struct Source {
    /// The other end of the TCP connection.
    hop: std::net::IpAddr,
    client: std::net::IpAddr,
    tls: bool,
    certificates: Option<Arc<[CertificateDer<'static>]>>,
}

/// What a connection has in common with the others of its worker.
#[derive(Debug, Clone)]
pub(super) struct Worker<H> {
    pub(super) handler: H,
    pub(super) turns: Turns,
    /// Of all workers together: who has one may read large pieces.
    pub(super) large_buffers: Arc<Semaphore>,
    pub(super) stop: watch::Receiver<bool>,
}

/// Serves one connection. Errors are the other end's doing and end here.
///
/// What waits for the next request is what most connections are: each phase has its own box, so that a connection is not as large as
/// the largest of them.
pub(super) async fn run<H, F, B>(
    socket: TcpStream,
    peer: SocketAddr,
    settings: Arc<Settings>,
    worker: Worker<H>,
    _held: Held,
) where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if let Err(cause) = serve(socket, peer, settings, worker).await {
        tracing::debug!(client = %peer.ip(), "connection ended: {cause}");
    }
}

async fn serve<H, F, B>(
    mut socket: TcpStream,
    peer: SocketAddr,
    settings: Arc<Settings>,
    worker: Worker<H>,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let tls = settings.tls.clone();
    let mut source = Source { hop: peer.ip(), client: peer.ip(), tls: tls.is_some(), certificates: None };
    let proxied = client_address::is_trusted(&settings.trusted_proxies, source.hop);
    if settings.proxy_protocol && proxied {
        let told = timeout(settings.limits.header_timeout, proxy_protocol::read(&mut socket)).await??;
        source.client = told.unwrap_or(source.hop);
    }
    let Some(tls) = tls else {
        let protocol = timeout(settings.limits.header_timeout, sniff(&socket)).await??;
        return Box::pin(speak(socket, protocol, source, settings, worker)).await;
    };
    let accepting = Box::pin(async {
        // A crowd of silent ones keeps nobody's turn.
        socket.readable().await?;
        worker.turns.handshake().await;
        TlsAcceptor::from(tls).accept(socket).await
    });
    let socket = timeout(settings.limits.tls_handshake_timeout, accepting).await??;
    let session = socket.get_ref().1;
    // A proxy that speaks the PROXY protocol passes the client's TLS on; any other has ended it and shows its own certificates.
    if !proxied || settings.proxy_protocol {
        source.certificates = session.peer_certificates().map(Arc::from);
    }
    let protocol = match session.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Box::pin(speak(socket, protocol, source, settings, worker)).await
}

/// Looks at the first bytes without taking them.
async fn sniff(socket: &TcpStream) -> io::Result<Protocol> {
    let mut first = [0; PREFACE.len()];
    loop {
        let seen = socket.peek(&mut first).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first.get(..seen) != PREFACE.get(..seen) {
            return Ok(Protocol::Http1);
        }
        if seen == PREFACE.len() {
            return Ok(Protocol::Http2);
        }
        // A part of the preface: `peek` would give it again at once.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn speak<S, H, F, B>(
    socket: S,
    protocol: Protocol,
    source: Source,
    settings: Arc<Settings>,
    Worker { handler, turns, large_buffers, mut stop }: Worker<H>,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let activity = Activity::default();
    let is_http1 = protocol == Protocol::Http1;
    let io = GuardedIo::new(socket, activity.clone(), &settings.limits, is_http1, turns.unwanted());
    let io = TokioIo::new(io);
    let limits = settings.limits.clone();
    let proxied = client_address::is_trusted(&settings.trusted_proxies, source.hop);
    let service = service_fn(move |request: Request<Incoming>| {
        let under_way = activity.begin();
        let address = client_address::of_request(source.hop, source.client, &settings, request.headers());
        let certificates = source.certificates.clone();
        // Not a part of the connection, which has it also while there is no request.
        let answer = Box::pin(handler(request, Peer { address, tls: source.tls, proxied, certificates }));
        let queue = turns.queue(activity.standing());
        async move {
            if let Some(queue) = queue {
                queue.turn().await;
            }
            let reply = answer.await;
            under_way.answered(reply.extensions().get::<Unproven>().is_none());
            Ok::<_, Infallible>(reply.map(|body| Tracked { body: Box::pin(body), under_way }))
        }
    });
    match protocol {
        Protocol::Http1 => {
            let large = large_buffers.try_acquire_owned().ok();
            let server = http1_server(&limits, if large.is_some() { LARGE_BUFFER } else { BUFFER });
            let mut connection = pin!(server.serve_connection(io, service));
            tokio::select! {
                ended = connection.as_mut() => return Ok(ended?),
                _ = stop.wait_for(|stopped| *stopped) => {}
            }
            connection.as_mut().graceful_shutdown();
            Ok(connection.await?)
        }
        Protocol::Http2 => {
            let replies = Replies::default();
            let watched = replies.clone();
            let service = service_fn(move |request| {
                let replies = watched.clone();
                let answer = replies.take_more().map(|()| service.call(request));
                async move {
                    let Ok(reply) = answer?.await;
                    Ok::<_, Untaken>(reply.map(|body| replies.watch(body)))
                }
            });
            let server = http2_server(limits.max_head_size);
            let mut connection = pin!(server.serve_connection(io, service));
            let mut stopping = false;
            loop {
                tokio::select! {
                    ended = connection.as_mut() => return Ok(ended?),
                    _ = stop.wait_for(|stopped| *stopped), if !stopping => stopping = true,
                    // Its other replies go on, but it begins no more; without a request it is idle and ends as such.
                    () = replies.let_go(limits.stall_timeout) => {}
                }
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn http1_server(limits: &Limits, buffer: usize) -> http1::Builder {
    let mut server = http1::Builder::new();
    server.half_close(false).max_headers(limits.max_headers).max_buf_size(buffer.max(limits.max_head_size));
    server.timer(TokioTimer::new()).header_read_timeout(None);
    server
}

fn http2_server(max_head_size: usize) -> http2::Builder<TokioExecutor> {
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(u32::try_from(max_head_size).unwrap_or(u32::MAX))
        .max_send_buf_size(BUFFER)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024);
    server
}
