//! Calls of the admin listener of a gateway, from the same machine.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{
    outbound_tls::{ClientCertificate, client_config, client_config_showing},
    secret::AdminToken,
};

/// The largest answer: a hundred thousand revocations.
const MAX_ANSWER: usize = 64 << 20;

/// Where an admin listener is, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct Listener {
    address: SocketAddr,
    tls: Option<Tls>,
}

#[derive(Debug, Clone)]
struct Tls {
    /// `None`: the system's authorities.
    ca_pem: Option<Vec<u8>>,
    name: ServerName<'static>,
    /// What we show.
    certificate: Option<ClientCertificate>,
}

impl Listener {
    /// `address`: as the configuration has it.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address: to_connect(address), tls: None }
    }

    /// `ca_pem`: the authorities that are believed; `None`: the system's. `name`: what its certificate is for; `None`: its address.
    pub fn tls(address: SocketAddr, ca_pem: Option<Vec<u8>>, name: Option<ServerName<'static>>) -> Self {
        let address = to_connect(address);
        let name = name.unwrap_or_else(|| ServerName::from(address.ip()));
        Self { address, tls: Some(Tls { ca_pem, name, certificate: None }) }
    }

    /// With a certificate of ours in place of a token.
    pub fn showing(mut self, certificate: ClientCertificate) -> anyhow::Result<Self> {
        let tls =
            self.tls.as_mut().context("a certificate is shown over TLS, and [admin.tls] is not there")?;
        tls.certificate = Some(certificate);
        Ok(self)
    }
}

/// Asks one admin listener.
#[derive(Debug)]
pub struct AdminClient<'a> {
    listener: &'a Listener,
    token: Option<&'a AdminToken>,
    timeout: Duration,
}

impl<'a> AdminClient<'a> {
    /// `timeout`: of one call with its answer.
    pub fn new(listener: &'a Listener, token: Option<&'a AdminToken>, timeout: Duration) -> Self {
        Self { listener, token, timeout }
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let answer = tokio::time::timeout(self.timeout, self.exchange(method, path, body)).await;
        answer.unwrap_or_else(|_| bail!("no answer within {} seconds", self.timeout.as_secs()))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let address = self.listener.address;
        let no_one = || format!("the admin listener at {address} cannot be reached: does the gateway run?");
        let stream = TcpStream::connect(address).await.with_context(no_one)?;
        let Some(Tls { ca_pem, name, certificate }) = &self.listener.tls else {
            return self.over(stream, method, path, body).await;
        };
        let config = match certificate {
            None => client_config(ca_pem.as_deref())?,
            Some(certificate) => client_config_showing(ca_pem.as_deref(), certificate.clone())?,
        };
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name.clone(), stream).await;
        let untrusted = || format!("TLS with the admin listener at {address} fails");
        self.over(stream.with_context(untrusted)?, method, path, body).await
    }

    async fn over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        method: Method,
        path: &str,
        body: String,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.listener.address.to_string())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let collected = Limited::new(body, MAX_ANSWER).collect().await;
        connection.abort();
        let bytes = collected.map_err(|cause| anyhow!(cause))?.to_bytes();
        Ok((parts.status, bytes))
    }
}

/// A listener at every address is reached at this machine's own.
fn to_connect(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
