//! How a connection to the storage is made: name, TCP and TLS within one time, each failure told to its address.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use super::endpoint::{Endpoint, Failure};

/// Resolves the name anew for each connection, so that a changed address is found.
#[derive(Clone)]
pub(super) struct Connector<T = HttpConnector> {
    inner: HttpsConnector<T>,
    timeout: Duration,
    endpoints: Arc<[Arc<Endpoint>]>,
}

impl Connector {
    pub(super) fn new(timeout: Duration, tls: ClientConfig, endpoints: Arc<[Arc<Endpoint>]>) -> Self {
        Self::resolving(HttpConnector::new(), timeout, tls, endpoints)
    }

    fn resolving<R>(
        mut tcp: HttpConnector<R>,
        timeout: Duration,
        tls: ClientConfig,
        endpoints: Arc<[Arc<Endpoint>]>,
    ) -> Connector<HttpConnector<R>> {
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Of all addresses of a name together.
        tcp.set_connect_timeout(Some(timeout));
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Connector { inner, timeout, endpoints }
    }

    /// Makes a connection and ends it.
    pub(super) async fn reach(&mut self, address: &str) -> Result<(), String> {
        let uri = address.parse::<Uri>().map_err(|cause| cause.to_string())?;
        let connected = std::future::poll_fn(|context| self.poll_ready(context)).await;
        connected.map_err(|cause| root_cause(&*cause))?;
        self.call(uri).await.map(drop).map_err(|cause| root_cause(&*cause))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

type BoxError = Box<dyn Error + Send + Sync>;

type Connection = MaybeHttpsStream<TokioIo<TcpStream>>;

impl<T> Service<Uri> for Connector<T>
where
    HttpsConnector<T>: Service<Uri, Response = Connection, Error = BoxError>,
    <HttpsConnector<T> as Service<Uri>>::Future: Send + 'static,
{
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.authority() == authority).cloned();
        let connecting = self.inner.call(uri);
        let timeout = self.timeout;
        Box::pin(async move {
            let connected = match tokio::time::timeout(timeout, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            };
            if let Some(endpoint) = endpoint {
                match &connected {
                    Ok(_) => endpoint.connected(),
                    Err(_) => endpoint.failed(Failure::Connect, Instant::now()),
                }
            }
            connected
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Ready, net::SocketAddr, sync::Mutex};

    use hyper_util::client::legacy::connect::dns::Name;
    use tokio::net::TcpListener;

    use super::*;
    use crate::{backend::Known, outbound_tls};

    /// A name server whose answer can be changed.
    #[derive(Clone)]
    struct Names(Arc<Mutex<SocketAddr>>);

    impl Service<Name> for Names {
        type Response = std::iter::Once<SocketAddr>;
        type Error = io::Error;
        type Future = Ready<io::Result<Self::Response>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            std::future::ready(Ok(std::iter::once(*self.0.lock().unwrap())))
        }
    }

    fn connector(names: Names, tls: bool) -> (Connector<HttpConnector<Names>>, Arc<Endpoint>) {
        let endpoint = Known::default().endpoint(tls, "storage.internal").unwrap();
        let config = outbound_tls::client_config(None).unwrap();
        let tcp = HttpConnector::new_with_resolver(names);
        let endpoints = Arc::from([endpoint.clone()]);
        (Connector::resolving(tcp, Duration::from_millis(300), config, endpoints), endpoint)
    }

    #[tokio::test]
    async fn each_connection_goes_to_the_address_that_the_name_has_then() {
        let (a, b) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let names = Names(Arc::new(Mutex::new(a.local_addr().unwrap())));
        let (mut connector, _) = connector(names.clone(), false);
        let uri: Uri = "http://storage.internal/".parse().unwrap();
        let first = connector.call(uri.clone()).await.unwrap();
        a.accept().await.unwrap();
        *names.0.lock().unwrap() = b.local_addr().unwrap();
        let second = connector.call(uri).await.unwrap();
        b.accept().await.unwrap();
        drop((first, second));
    }

    #[tokio::test]
    async fn a_handshake_that_is_not_answered_is_no_connection_and_counts_as_a_failure() {
        // The system takes connections for it, and nobody says a word.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let names = Names(Arc::new(Mutex::new(silent.local_addr().unwrap())));
        let (mut connector, endpoint) = connector(names, true);
        for _ in 0..3 {
            assert!(endpoint.is_up());
            let uri: Uri = "https://storage.internal/".parse().unwrap();
            let failed = tokio::time::timeout(Duration::from_secs(5), connector.call(uri)).await;
            assert!(failed.expect("it is given up in time").is_err());
        }
        assert!(!endpoint.is_up());
    }
}
