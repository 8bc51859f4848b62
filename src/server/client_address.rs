//! Whose address a request comes from, by those who may say it.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use super::Settings;

pub(super) fn is_trusted(proxies: &[IpNet], address: IpAddr) -> bool {
    proxies.iter().any(|network| network.contains(&address))
}

/// The rightmost address of `X-Forwarded-For` that no trusted proxy has, if the connection comes from a trusted proxy; else that
/// of the connection. Everything to the left of it was written by whoever asked.
pub(super) fn of_request(hop: IpAddr, client: IpAddr, settings: &Settings, headers: &HeaderMap) -> IpAddr {
    if settings.proxy_protocol || !is_trusted(&settings.trusted_proxies, hop) {
        return client;
    }
    let mut nearest = client;
    let entries = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let entries: Vec<&str> = entries.flat_map(|value| value.split(',')).collect();
    for entry in entries.into_iter().rev() {
        let Ok(address) = entry.trim().parse::<IpAddr>() else { break };
        nearest = address.to_canonical();
        if !is_trusted(&settings.trusted_proxies, nearest) {
            break;
        }
    }
    nearest
}
