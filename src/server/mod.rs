//! Connections: accepted under limits, TLS, HTTP/1.1 and HTTP/2, a deadline for every phase, a drain at the end. What is
//! answered is the handler's business.

mod accept;
mod activity;
mod client_address;
mod connection;
mod frames;
mod guarded_io;
pub mod hygiene;
mod memory;
mod proxy_protocol;
#[cfg(test)]
mod tests;
mod tls;
mod turn;
mod untaken;

use std::{net::IpAddr, sync::Arc, time::Duration};

use rustls_pki_types::CertificateDer;

pub use self::{
    accept::{Drained, Places, listen, serve},
    memory::{Level, Memory},
    tls::{TlsError, tls_config, trusting_tls_config},
};

/// How connections are taken.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Those who may speak for a client's address.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Trusted proxies begin each connection with a PROXY protocol header.
    pub proxy_protocol: bool,
    pub limits: Limits,
}

/// What a connection may take.
#[derive(Debug, Clone)]
pub struct Limits {
    pub max_connections: usize,
    /// From one address; 0: no limit.
    pub max_connections_per_address: usize,
    pub tls_handshake_timeout: Duration,
    /// From the first byte of a request, or of the connection, until its head is whole.
    pub header_timeout: Duration,
    /// Of a connection between two requests.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of a reply.
    pub stall_timeout: Duration,
    /// From saying that we stop until `serve` is told to: balancers take us out meanwhile.
    pub drain_delay: Duration,
    /// For the requests under way when the gateway stops.
    pub drain_timeout: Duration,
    /// Of a request's head, in bytes.
    pub max_head_size: usize,
    pub max_headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_address: 256,
            tls_handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(60),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(60),
            max_head_size: 16 * 1024,
            max_headers: 100,
        }
    }
}

/// Who is at the other end of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The client's: of the connection, or what a trusted proxy says.
    pub address: IpAddr,
    pub tls: bool,
    /// A trusted proxy stands between.
    pub proxied: bool,
    /// What the client sent in the TLS handshake, the certificate whose key it showed to hold first; nobody has looked at who
    /// signed them. `None`: it sent none, or a proxy ended its TLS and the certificates would be the proxy's.
    pub certificates: Option<Arc<[CertificateDer<'static>]>>,
}

/// Stands in the extensions of an answer to somebody who has not proven who they are. More requests of such a connection have
/// their turn after all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unproven;

impl Peer {
    /// Whether somebody between the client and us could have read the same bytes as other requests.
    pub fn may_be_shared(&self) -> bool {
        self.proxied || !self.tls
    }
}
