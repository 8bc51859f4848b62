//! The PROXY protocol, versions 1 and 2, from those who may speak it.

use std::{io, net::IpAddr, time::Duration};

use ppp::{HeaderResult, PartialResult, v1, v2};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// The longest header that is read: version 2 with the extensions that load balancers send.
const MAX_HEADER: usize = 2048;

/// Reads the header, which must be there. `None`: the proxy speaks for itself.
pub(super) async fn read(socket: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut seen = vec![0; MAX_HEADER];
    loop {
        let count = socket.peek(&mut seen).await?;
        let bytes = seen.get(..count).unwrap_or_default();
        let (length, client) = match HeaderResult::parse(bytes) {
            result if result.is_incomplete() && count > 0 && count < MAX_HEADER => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            HeaderResult::V1(Ok(header)) => (header.header.len(), of_v1(header.addresses)),
            HeaderResult::V2(Ok(header)) => (header.len(), of_v2(&header)),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "no PROXY protocol header")),
        };
        socket.read_exact(seen.get_mut(..length).unwrap_or_default()).await?;
        return Ok(client.map(|address| address.to_canonical()));
    }
}

fn of_v1(addresses: v1::Addresses) -> Option<IpAddr> {
    match addresses {
        v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Tcp6(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Unknown => None,
    }
}

fn of_v2(header: &v2::Header<'_>) -> Option<IpAddr> {
    if header.command == v2::Command::Local {
        return None;
    }
    match header.addresses {
        v2::Addresses::IPv4(addresses) => Some(addresses.source_address.into()),
        v2::Addresses::IPv6(addresses) => Some(addresses.source_address.into()),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    }
}
