//! The listener on real sockets, with handlers of a few lines.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, request::Parts};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    Drained, Limits, Peer, Places, Settings, TlsError, Unproven, client_address,
    hygiene::{self, HeadLimits, Problem},
    listen, serve, tls_config,
};

struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<Drained>,
}

/// Answers with the client's address; `/slow` after a while, `/panic` never, `/certificates` with those.
async fn answer(request: Request<Incoming>, peer: Peer) -> Response<Either<Full<Bytes>, Breaks>> {
    if request.uri().path() == "/breaks" {
        return Response::new(Either::Right(Breaks(false)));
    }
    whole(request, peer).await.map(Either::Left)
}

/// A body that panics after its first piece.
struct Breaks(bool);

impl Body for Breaks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        assert!(!self.0, "on purpose");
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Ready(Some(Ok(Frame::data(Bytes::from("piece")))))
    }
}

async fn whole(request: Request<Incoming>, peer: Peer) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/slow" => tokio::time::sleep(Duration::from_millis(300)).await,
        "/forever" => std::future::pending().await,
        "/panic" => panic!("on purpose"),
        // As long as a storage takes that answers at once.
        "/storage" => {
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
        }
        "/refused" => {
            let mut refusal = Response::new(Full::default());
            refusal.extensions_mut().insert(Unproven);
            return refusal;
        }
        "/certificates" => {
            let seen = peer.certificates.map_or_else(|| "none".to_owned(), |chain| shown(&chain));
            return Response::new(Full::new(Bytes::from(seen)));
        }
        _ => {}
    }
    Response::new(Full::new(Bytes::from(format!("{} tls={}", peer.address, peer.tls))))
}

fn start(settings: Settings) -> Server {
    let listener =
        tokio::net::TcpListener::from_std(listen("127.0.0.1:0".parse().unwrap(), false).unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let places = Places::new(settings.limits.max_connections);
    let settings = Arc::new(arc_swap::ArcSwap::from_pointee(settings));
    let serving = tokio::spawn(serve(listener, settings, places, answer, stopped));
    Server { address, stop, serving }
}

fn short() -> Limits {
    Limits {
        header_timeout: Duration::from_millis(200),
        tls_handshake_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(300),
        drain_timeout: Duration::from_millis(600),
        ..Limits::default()
    }
}

async fn exchange(address: SocketAddr, bytes: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(5), socket.read_to_string(&mut answer)).await.unwrap().ok();
    answer
}

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";

fn tls() -> (Arc<rustls::ServerConfig>, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config =
        tls_config(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes(), None).unwrap();
    (Arc::new(config), made.cert.der().clone())
}

async fn tls_connect(
    address: SocketAddr,
    root: CertificateDer<'static>,
    alpn: &[u8],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let socket = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap()
}

/// A listener that asks for certificates of an authority, and how to reach it with what certificate.
struct AsksForCertificates {
    server: Server,
    root: CertificateDer<'static>,
    authority: Authority,
    /// What a client says before TLS begins.
    hello: &'static str,
}

type Authority = rcgen::CertifiedIssuer<'static, rcgen::KeyPair>;
type Identity = (Vec<CertificateDer<'static>>, rcgen::KeyPair);

fn authority(name: &str) -> Authority {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap()
}

fn client_of(authority: &Authority) -> Identity {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().signed_by(&key, authority).unwrap();
    (vec![certificate.der().clone(), authority.der().clone()], key)
}

impl AsksForCertificates {
    fn start(settings: Settings) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let authority = authority("Clients");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let tls =
            tls_config(certificate.as_bytes(), key.as_bytes(), Some(authority.pem().as_bytes())).unwrap();
        let server = start(Settings { tls: Some(Arc::new(tls)), ..settings });
        Self { server, root: made.cert.der().clone(), authority, hello: "" }
    }

    fn client(
        &self,
        identity: Option<&Identity>,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let Some((chain, key)) = identity else { return Arc::new(config.with_no_client_auth()) };
        // Not `with_client_auth_cert`, which compares the key with the certificate.
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let certified = rustls::sign::CertifiedKey::new(chain.clone(), key);
        let always = rustls::sign::SingleCertAndKey::from(certified);
        Arc::new(config.with_client_cert_resolver(Arc::new(always)))
    }

    /// What the handler saw, and whether the handshake was a resumed one.
    async fn ask(&self, client: &Arc<rustls::ClientConfig>) -> std::io::Result<(String, bool)> {
        let mut socket = TcpStream::connect(self.server.address).await?;
        socket.write_all(self.hello.as_bytes()).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut socket = tokio_rustls::TlsConnector::from(client.clone()).connect(name, socket).await?;
        socket.write_all(GET.replace("/ ", "/certificates ").as_bytes()).await?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await?;
        let answer = String::from_utf8(answer).unwrap();
        let resumed = socket.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let (_, seen) = answer.split_once("\r\n\r\n").unwrap_or_default();
        Ok((seen.to_owned(), resumed))
    }
}

/// As the handler writes chains.
fn shown(chain: &[CertificateDer<'static>]) -> String {
    chain.iter().map(|certificate| hex::encode(certificate) + ";").collect()
}

async fn over_http2<S>(socket: S) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = Request::get("http://localhost/").body(Empty::<Bytes>::new()).unwrap();
    let reply = sender.send_request(request).await.unwrap();
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    driving.abort();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn http1_and_http2_are_told_apart_by_their_first_bytes() {
    let server = start(Settings::default());
    assert!(exchange(server.address, GET).await.ends_with("127.0.0.1 tls=false"));
    let socket = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(over_http2(socket).await, "127.0.0.1 tls=false");
}

#[tokio::test]
async fn tls_speaks_what_the_client_asks_for() {
    let (config, root) = tls();
    let server = start(Settings { tls: Some(config), ..Settings::default() });
    let socket = tls_connect(server.address, root.clone(), b"h2").await;
    assert_eq!(over_http2(socket).await, "127.0.0.1 tls=true");
    let mut socket = tls_connect(server.address, root, b"http/1.1").await;
    socket.write_all(GET.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.ok();
    assert!(String::from_utf8_lossy(&answer).ends_with("tls=true"));
    // Plain bytes are no TLS.
    assert!(!exchange(server.address, GET).await.contains("200 OK"));
}

#[tokio::test]
async fn a_tls_hello_that_does_not_come_is_not_waited_for() {
    let (config, _) = tls();
    let server = start(Settings { tls: Some(config), limits: short(), ..Settings::default() });
    let started = Instant::now();
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(&[0x16]).await.unwrap();
    let mut rest = Vec::new();
    timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await.unwrap().ok();
    assert!(started.elapsed() < Duration::from_secs(3));
}

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

#[tokio::test]
async fn certificates_are_asked_for_and_not_required() {
    let listener = AsksForCertificates::start(Settings::default());
    for version in VERSIONS {
        let (seen, _) = listener.ask(&listener.client(None, version)).await.unwrap();
        assert_eq!(seen, "none");
        let ours = client_of(&listener.authority);
        let (seen, _) = listener.ask(&listener.client(Some(&ours), version)).await.unwrap();
        assert_eq!(seen, shown(&ours.0));
    }
}

#[tokio::test]
async fn a_strangers_certificate_does_not_break_the_connection() {
    let listener = AsksForCertificates::start(Settings::default());
    let stranger = client_of(&authority("Clients"));
    for version in VERSIONS {
        let (seen, _) = listener.ask(&listener.client(Some(&stranger), version)).await.unwrap();
        assert_eq!(seen, shown(&stranger.0));
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_does() {
    let listener = AsksForCertificates::start(Settings::default());
    let (chain, _) = client_of(&listener.authority);
    let stolen = (chain, rcgen::KeyPair::generate().unwrap());
    for version in VERSIONS {
        let answer = listener.ask(&listener.client(Some(&stolen), version)).await;
        assert!(answer.is_err(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_resumed_connection_has_the_certificates_of_its_first_handshake_and_no_others() {
    let listener = AsksForCertificates::start(Settings::default());
    let (ours, other) = (client_of(&listener.authority), client_of(&listener.authority));
    for version in VERSIONS {
        let client = listener.client(Some(&ours), version);
        assert_eq!(listener.ask(&client).await.unwrap(), (shown(&ours.0), false));
        assert_eq!(listener.ask(&client).await.unwrap(), (shown(&ours.0), true));
        // Another certificate with the same memory of sessions: the first one's comes back, never a mixture.
        let mut changed = (*listener.client(Some(&other), version)).clone();
        changed.resumption = client.resumption.clone();
        let (seen, resumed) = listener.ask(&Arc::new(changed)).await.unwrap();
        assert_eq!(seen, if resumed { shown(&ours.0) } else { shown(&other.0) });
    }
}

fn patient(settings: Settings) -> Settings {
    Settings { limits: Limits::default(), ..settings }
}

#[tokio::test]
async fn a_hello_in_many_records_is_asked_for_certificates_too() {
    let listener = AsksForCertificates::start(Settings::default());
    let ours = client_of(&listener.authority);
    for version in VERSIONS {
        let mut client = (*listener.client(Some(&ours), version)).clone();
        client.max_fragment_size = Some(32);
        assert_eq!(listener.ask(&Arc::new(client)).await.unwrap().0, shown(&ours.0));
    }
}

#[test]
fn no_request_comes_before_the_handshake_is_whole() {
    assert_eq!(tls().0.max_early_data_size, 0);
}

#[tokio::test]
async fn the_certificates_of_a_proxy_are_not_its_clients() {
    let listener = AsksForCertificates::start(patient(behind_a_proxy(false)));
    let proxys = client_of(&listener.authority);
    let (seen, _) = listener.ask(&listener.client(Some(&proxys), &rustls::version::TLS13)).await.unwrap();
    assert_eq!(seen, "none");
    // With the PROXY protocol the TLS within is the client's own.
    let listener = AsksForCertificates {
        hello: "PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n",
        ..AsksForCertificates::start(patient(behind_a_proxy(true)))
    };
    let clients = client_of(&listener.authority);
    let (seen, _) = listener.ask(&listener.client(Some(&clients), &rustls::version::TLS13)).await.unwrap();
    assert_eq!(seen, shown(&clients.0));
}

#[test]
fn an_empty_client_ca_file_makes_no_listener() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    for empty in ["", "nonsense"] {
        let made = tls_config(certificate.as_bytes(), key.as_bytes(), Some(empty.as_bytes()));
        assert!(matches!(made, Err(TlsError::ClientCa(_))), "{made:?}");
    }
}

#[tokio::test]
async fn all_connections_together_have_an_upper_number_and_the_next_one_waits() {
    let limits = Limits { max_connections: 2, max_connections_per_address: 0, ..Limits::default() };
    let server = start(Settings { limits, ..Settings::default() });
    let held = [
        TcpStream::connect(server.address).await.unwrap(),
        TcpStream::connect(server.address).await.unwrap(),
    ];
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut waiting = TcpStream::connect(server.address).await.unwrap();
    waiting.write_all(GET.as_bytes()).await.unwrap();
    let mut answer = String::new();
    assert!(timeout(Duration::from_millis(200), waiting.read_to_string(&mut answer)).await.is_err());
    drop(held);
    timeout(Duration::from_secs(5), waiting.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.contains("200 OK"));
}

#[tokio::test]
async fn a_defect_in_one_request_ends_its_connection_and_no_other() {
    let limits = Limits { max_connections: 1, max_connections_per_address: 1, ..Limits::default() };
    let server = start(Settings { limits, ..Settings::default() });
    for _ in 0..3 {
        assert_eq!(exchange(server.address, "GET /panic HTTP/1.1\r\nhost: h\r\n\r\n").await, "");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(exchange(server.address, GET).await.contains("200 OK"));
}

#[tokio::test]
async fn a_drain_lets_requests_finish_and_closes_idle_connections() {
    let server = start(Settings { limits: short(), ..Settings::default() });
    let idle = TcpStream::connect(server.address).await.unwrap();
    let slow = tokio::spawn(exchange(server.address, "GET /slow HTTP/1.1\r\nhost: h\r\n\r\n"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.send(true).unwrap();
    let answer = slow.await.unwrap();
    assert!(answer.contains("200 OK") && answer.to_lowercase().contains("connection: close"), "{answer}");
    let drained = server.serving.await.unwrap();
    assert_eq!(drained.cut, 0);
    assert!(TcpStream::connect(server.address).await.is_err());
    drop(idle);
}

#[tokio::test]
async fn a_drain_cuts_what_does_not_end() {
    let server = start(Settings { limits: short(), ..Settings::default() });
    let stuck = tokio::spawn(exchange(server.address, "GET /forever HTTP/1.1\r\nhost: h\r\n\r\n"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.send(true).unwrap();
    assert_eq!(server.serving.await.unwrap(), Drained { finished: 0, cut: 1 });
    assert_eq!(stuck.await.unwrap(), "");
}

fn behind_a_proxy(proxy_protocol: bool) -> Settings {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    Settings { trusted_proxies, proxy_protocol, limits: short(), ..Settings::default() }
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client_by_the_proxy_protocol_and_must() {
    let server = start(behind_a_proxy(true));
    let v1 = exchange(server.address, &format!("PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n{GET}")).await;
    assert!(v1.ends_with("192.0.2.7 tls=false"), "{v1}");
    let unknown = exchange(server.address, &format!("PROXY UNKNOWN\r\n{GET}")).await;
    assert!(unknown.ends_with("127.0.0.1 tls=false"), "{unknown}");

    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24".to_vec();
    v2.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    v2.extend_from_slice(&[0; 16]);
    v2.extend_from_slice(&[0, 1, 0, 2]);
    v2.extend_from_slice(GET.as_bytes());
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(&v2).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("2001:db8::9 tls=false"), "{answer}");

    for malformed in [GET, "PROXY TCP4 nonsense\r\nGET / HTTP/1.1\r\n\r\n", "PROXY TCP4 1.2.3.4"] {
        assert!(!exchange(server.address, malformed).await.contains("200 OK"), "{malformed}");
    }
    assert!(
        !exchange(server.address, &format!("PROXY {}\r\n{GET}", "x".repeat(4000))).await.contains("200 OK")
    );
}

#[tokio::test]
async fn nobody_else_may_speak_for_a_client() {
    let strangers = Settings {
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        proxy_protocol: true,
        ..Settings::default()
    };
    let server = start(strangers);
    assert!(
        !exchange(server.address, &format!("PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n{GET}"))
            .await
            .contains("200 OK")
    );
    let forwarded = GET.replace("connection", "x-forwarded-for: 192.0.2.7\r\nconnection");
    assert!(exchange(server.address, &forwarded).await.ends_with("127.0.0.1 tls=false"));
    assert!(
        exchange(start(behind_a_proxy(false)).address, &forwarded).await.ends_with("192.0.2.7 tls=false")
    );
}

#[test]
fn of_several_addresses_the_nearest_that_is_no_proxy_counts() {
    let settings = behind_a_proxy(false);
    let hop = "127.0.0.1".parse().unwrap();
    for (value, expected) in [
        ("192.0.2.7", "192.0.2.7"),
        ("6.6.6.6, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, 10.1.2.3", "192.0.2.7"),
        ("10.1.1.1, 10.1.2.3", "10.1.1.1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("nonsense, 10.1.2.3", "10.1.2.3"),
        ("192.0.2.7, nonsense", "127.0.0.1"),
        ("", "127.0.0.1"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", value.parse().unwrap());
        let found = client_address::of_request(hop, hop, &settings, &headers);
        assert_eq!(found.to_string(), expected, "{value}");
    }
}

fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn checked(parts: &Parts) -> Result<(), Problem> {
    hygiene::check(parts, HeadLimits { max_uri: 100, max_head_size: 1000 }).map(|_| ())
}

#[test]
fn a_plain_head_is_clean() {
    for (method, uri, headers) in [
        ("GET", "/b/k?x=1", vec![("host", "h:9000")]),
        ("PUT", "/", vec![("host", "[::1]:9000"), ("content-length", "0"), ("expect", "100-continue")]),
        (
            "POST",
            "http://h/b",
            vec![("host", "H"), ("transfer-encoding", "Chunked"), ("connection", "keep-alive, TE")],
        ),
        ("PUT", "/b/k", vec![("host", "h"), ("x-amz-meta-a", "1"), ("x-amz-meta-a", "2")]),
    ] {
        assert_eq!(checked(&head(method, uri, &headers)), Ok(()), "{method} {uri}");
    }
}

#[test]
fn a_head_with_two_readings_is_refused() {
    let long = format!("/{}", "p".repeat(100));
    let large = "v".repeat(1000);
    for (method, uri, headers, status) in [
        ("TRACE", "/", vec![("host", "h")], 405),
        ("GET", long.as_str(), vec![("host", "h")], 414),
        ("GET", "/", vec![], 400),
        ("GET", "/", vec![("host", "h"), ("host", "h")], 400),
        ("GET", "/", vec![("host", "")], 400),
        ("GET", "/", vec![("host", "user@h")], 400),
        ("GET", "/", vec![("host", "h/x")], 400),
        ("GET", "http://other/", vec![("host", "h")], 400),
        ("GET", "/", vec![("host", "h"), ("x", large.as_str())], 400),
        ("GET", "/", vec![("host", "h"), ("x_y", "1")], 400),
        ("GET", "/", vec![("host", "h"), ("upgrade", "h2c")], 400),
        ("GET", "/", vec![("host", "h"), ("connection", "authorization")], 400),
        ("GET", "/", vec![("host", "h"), ("range", "a"), ("range", "b")], 400),
        ("GET", "/", vec![("host", "h"), ("x-amz-acl", "é")], 400),
        ("PUT", "/", vec![("host", "h"), ("content-length", "1"), ("transfer-encoding", "chunked")], 400),
        ("PUT", "/", vec![("host", "h"), ("transfer-encoding", "gzip, chunked")], 400),
        ("PUT", "/", vec![("host", "h"), ("content-length", "+1")], 400),
        ("PUT", "/", vec![("host", "h"), ("expect", "200-ok")], 417),
    ] {
        let problem = checked(&head(method, uri, &headers)).expect_err(uri);
        assert_eq!(problem.status().as_u16(), status, "{method} {uri} {headers:?}: {problem}");
        assert!(!problem.code().is_empty());
    }
}

#[tokio::test]
async fn a_panic_while_a_body_streams_cuts_its_connection_or_stream_and_no_other() {
    let server = start(Settings::default());
    let cut = exchange(server.address, "GET /breaks HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(!cut.ends_with("0\r\n\r\n"), "a clean end: {cut}");
    assert!(exchange(server.address, GET).await.contains("127.0.0.1"));

    let socket = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let ask = |path: &str| Request::get(format!("http://h{path}")).body(Empty::<Bytes>::new()).unwrap();
    let slow = client.send_request(ask("/slow"));
    let broken = client.send_request(ask("/breaks")).await;
    let ended = match broken {
        Ok(reply) => reply.into_body().collect().await.map(|_| ()),
        Err(cause) => Err(cause),
    };
    assert!(ended.is_err(), "a clean end");
    assert_eq!(slow.await.unwrap().status(), 200);
    assert_eq!(client.send_request(ask("/")).await.unwrap().status(), 200);
}

/// Sends a request and waits for its answer, or for so many.
async fn asked(socket: &mut TcpStream, path: &str, times: usize) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").repeat(times);
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut received, mut answers) = (Vec::new(), 0);
    while answers < times {
        assert!(socket.read_buf(&mut received).await.unwrap() > 0, "the connection has ended");
        answers = received.windows(8).filter(|seen| seen == b"HTTP/1.1").count();
    }
}

/// How many answers a flood gets before one who has proven who they are gets theirs. All of it happens in one thread, so that does not
/// depend on how fast the machine is.
async fn answers_before_mine(path: &'static str) -> usize {
    let server = start(Settings::default());
    let mut mine = TcpStream::connect(server.address).await.unwrap();
    asked(&mut mine, "/storage", 1).await;
    let mut flood = Vec::new();
    for _ in 0..200 {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        asked(&mut socket, path, 1).await;
        flood.push(socket);
    }
    let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").repeat(10);
    for socket in &mut flood {
        assert_eq!(socket.try_write(request.as_bytes()).unwrap(), request.len());
    }
    asked(&mut mine, "/storage", 1).await;
    let mut received = Vec::new();
    for socket in &flood {
        // What has not come yet is an error.
        while socket.try_read_buf(&mut received).is_ok_and(|read| read > 0) {}
    }
    received.windows(8).filter(|seen| seen == b"HTTP/1.1").count()
}

#[tokio::test]
async fn whoever_proved_who_they_are_is_answered_before_a_flood_of_refused_ones() {
    let refused = answers_before_mine("/refused").await;
    assert!(refused < 100, "{refused} of 2,000 were refused first");
    // Without turns it looks so: nobody is held back who proves something.
    let equals = answers_before_mine("/").await;
    assert!(equals > 400, "only {equals}");
}

#[tokio::test]
async fn one_proof_takes_a_connection_out_of_the_queue_of_the_refused() {
    let server = start(Settings::default());
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    for path in ["/refused", "/", "/refused", "/refused", "/"] {
        timeout(Duration::from_secs(5), asked(&mut socket, path, 1)).await.unwrap();
    }
    timeout(Duration::from_secs(5), asked(&mut socket, "/", 50)).await.unwrap();
}
