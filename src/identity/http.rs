//! Calls to providers and webhooks: HTTPS with the authorities that are named for them, no redirects, a limit on time and
//! size, and no way to an address that nobody named.

use std::{
    collections::HashSet,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioTimer},
};

use crate::{
    clock::Timestamp,
    outbound_tls::{self, TrustError},
};

/// The largest answer that is read.
const MAX_ANSWER: usize = 512 * 1024;

/// How a neighbour is reached.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Only these authorities for its certificate; `None`: the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Of one call, from its start to the last byte of the answer.
    pub timeout: Duration,
    /// `http://` too.
    pub allow_http: bool,
    /// The hosts that the configuration names. They may be at any address; every other host, as one that a discovery document
    /// names, must be at a public one.
    pub named_hosts: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Authorities(#[from] TrustError),
    #[error("{0} is not a URL that may be called: https:// is needed")]
    NotAllowed(String),
    #[error("{0} is at an address that is not public, and the configuration does not name it")]
    Internal(String),
    #[error("there was no answer within {0:?}")]
    Timeout(Duration),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("its answer broke off, or is larger than 512 KiB")]
    BadBody,
    #[error("it answered with status {0}")]
    Status(StatusCode),
}

/// A client for one neighbour.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector<PublicOrNamed>>, Full<Bytes>>,
    settings: Arc<HttpSettings>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// What the other end's clock says.
    pub(crate) date: Option<Timestamp>,
}

impl HttpClient {
    pub(crate) fn new(settings: HttpSettings) -> Result<Self, ClientError> {
        let tls = outbound_tls::client_config(settings.ca_pem.as_deref())?;
        let named = settings.named_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        let mut tcp = HttpConnector::new_with_resolver(PublicOrNamed { named: Arc::new(named) });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(settings.timeout.min(Duration::from_secs(2))));
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
        let connector = if settings.allow_http { connector.https_or_http() } else { connector.https_only() };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(4)
            .build(connector.enable_http1().wrap_connector(tcp));
        Ok(Self { client, settings: Arc::new(settings) })
    }

    /// One call. A redirect is an answer like any other: nobody is followed.
    pub(crate) async fn call(&self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        self.may_call(request.uri())?;
        let exchange = async {
            let reply = self
                .client
                .request(request)
                .await
                .map_err(|cause| ClientError::Unreachable(chain(&cause)))?;
            let status = reply.status();
            let date = reply.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
            let date = date.and_then(Timestamp::parse_http_date);
            let body = Limited::new(reply.into_body(), MAX_ANSWER);
            let body = body.collect().await.map_err(|_| ClientError::BadBody)?.to_bytes();
            Ok(Answer { status, body, date })
        };
        let timeout = self.settings.timeout;
        tokio::time::timeout(timeout, exchange).await.map_err(|_| ClientError::Timeout(timeout))?
    }

    /// The scheme, and a host that is an address: no resolver is asked for one.
    fn may_call(&self, uri: &Uri) -> Result<(), ClientError> {
        // Without its query, which may hold a token.
        let shown =
            || format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if self.settings.allow_http => {}
            _ => return Err(ClientError::NotAllowed(shown())),
        }
        let host = uri.host().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            Ok(address) if !is_public(address) && !self.names(host) => Err(ClientError::Internal(shown())),
            _ => Ok(()),
        }
    }

    fn names(&self, host: &str) -> bool {
        self.settings.named_hosts.iter().any(|named| named.eq_ignore_ascii_case(host))
    }
}

/// A cause with those behind it: libraries say `client error` and keep the reason.
fn chain(cause: &dyn std::error::Error) -> String {
    let mut text = cause.to_string();
    let mut next = cause.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    in_words(&text).map_or(text, str::to_owned)
}

/// What is wrong with a certificate, for operators.
fn in_words(text: &str) -> Option<&'static str> {
    let (_, problem) = text.split_once("invalid peer certificate: ")?;
    Some(match problem {
        _ if problem.starts_with("UnknownIssuer") => {
            "its certificate is of an authority that is not trusted: name it in ca_file"
        }
        _ if problem.starts_with("Expired") || problem.contains("expired") => "its certificate is over",
        _ if problem.starts_with("NotValidForName") || problem.contains("not valid for name") => {
            "its certificate is for another host"
        }
        _ if problem.starts_with("CaUsedAsEndEntity") => {
            "its certificate is an authority's, which TLS does not take: give it one of its own"
        }
        _ => return None,
    })
}

/// A URL for logs and errors: without its query, which may hold a key or a token, and without what may stand before the host.
pub(crate) fn without_query(uri: &Uri) -> String {
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
    format!("{scheme}://{host}{port}{}", uri.path())
}

/// A resolver that gives addresses within a network only of hosts that the configuration names. It decides on the addresses
/// that are then connected to, so a name that resolves otherwise the second time gains nothing.
#[derive(Debug, Clone)]
struct PublicOrNamed {
    named: Arc<HashSet<String>>,
}

impl tower_service::Service<Name> for PublicOrNamed {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let is_named = self.named.contains(&name.as_str().to_ascii_lowercase());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let usable: Vec<SocketAddr> = found.filter(|at| is_named || is_public(at.ip())).collect();
            if usable.is_empty() {
                return Err(io::Error::other(
                    "the host has no public address, and the configuration does not name it",
                ));
            }
            Ok(usable.into_iter())
        })
    }
}

/// Whether an address belongs to somebody on the internet, and not to this machine, this network or its equipment.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let special = a == 0
                || a >= 240
                || (a, b) == (198, 18)
                || (a, b) == (198, 19)
                || v4.octets().starts_with(&[192, 0, 0]);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || shared
                || special)
        }
        IpAddr::V6(v6) => {
            // Global unicast (RFC 4291) without what is for documentation, and without addresses that hide an IPv4 one.
            let [first, second, ..] = v6.segments();
            first & 0xe000 == 0x2000
                && (first, second) != (0x2001, 0xdb8)
                && first != 0x2002
                && (first, second) != (0x2001, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_its_networks_are_not_public() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "ff02::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    fn client(named: &[&str]) -> HttpClient {
        HttpClient::new(HttpSettings {
            ca_pem: None,
            timeout: Duration::from_millis(300),
            allow_http: true,
            named_hosts: named.iter().map(|host| (*host).to_owned()).collect(),
        })
        .unwrap()
    }

    async fn get(client: &HttpClient, uri: &str) -> Result<Answer, ClientError> {
        client.call(Request::get(uri).body(Full::default()).unwrap()).await
    }

    #[tokio::test]
    async fn a_host_that_nobody_named_is_not_called_within_the_network() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stranger = client(&[]);
        let refused = get(&stranger, &format!("http://127.0.0.1:{port}/")).await;
        assert!(matches!(refused, Err(ClientError::Internal(_))), "{refused:?}");
        let refused = get(&stranger, &format!("http://localhost:{port}/")).await;
        assert!(
            matches!(&refused, Err(ClientError::Unreachable(why)) if why.contains("no public address")),
            "{refused:?}"
        );
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "somebody connected");
        // A named one is called; this one never answers.
        let named = get(&client(&["LOCALHOST"]), &format!("http://localhost:{port}/")).await;
        assert!(matches!(named, Err(ClientError::Timeout(_))), "{named:?}");
    }

    #[tokio::test]
    async fn other_schemes_are_refused() {
        let mut strict = client(&["localhost"]);
        Arc::make_mut(&mut strict.settings).allow_http = false;
        let refused = get(&strict, "http://localhost:1/?token=secret").await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "http://localhost is not a URL that may be called: https:// is needed"
        );
    }
}
