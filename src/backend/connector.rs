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
pub(super) struct Connector {
    inner: HttpsConnector<HttpConnector>,
    timeout: Duration,
    endpoints: Arc<[Arc<Endpoint>]>,
}

impl Connector {
    pub(super) fn new(timeout: Duration, tls: ClientConfig, endpoints: Arc<[Arc<Endpoint>]>) -> Self {
        let mut tcp = HttpConnector::new();
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
        Self { inner, timeout, endpoints }
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

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
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
