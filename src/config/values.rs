//! How single values are written.

use std::{net::SocketAddr, num::NonZeroU64, time::Duration};

use rustls_pki_types::ServerName;

use super::{problems::did_you_mean, reader::Table};
use crate::{identity::ldap::Transport, rate::Rates, s3::profile::Profile, telemetry::log};

/// Of whole seconds, as STS counts them.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.subsec_nanos() == 0 { Ok(duration) } else { Err(format!("`{text}` is not of whole seconds")) }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("must be more than nothing".to_owned()),
        Err(_) => Err(format!("`{text}` is not a duration: write it as \"15m\", \"1h\" or \"1h 30m\"")),
    }
}

/// One that may be none: `0s`.
pub(super) fn delay(text: &str) -> Result<Duration, String> {
    if text == "0s" { Ok(Duration::ZERO) } else { duration(text) }
}

/// `64KiB`, `5GiB`, `1MB`, `512`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: Option<u64> = match unit.trim() {
        "" | "B" => Some(1),
        "KB" => Some(1000),
        "MB" => Some(1000_u64.pow(2)),
        "GB" => Some(1000_u64.pow(3)),
        "TB" => Some(1000_u64.pow(4)),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        "TiB" => Some(1 << 40),
        _ => None,
    };
    let bytes =
        number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| format!("`{text}` is not a size: write it as \"64KiB\" or \"5GiB\""))
}

/// A piece of a body is held back for a second at the most when it is the only one.
const LEAST_BYTES: u64 = 64 << 10;

/// `requests_per_second` and `bytes_per_second`, both of which may be absent.
pub(super) fn rates(table: &Table<'_>, prefix: &str) -> Rates {
    let (requests, bytes) = (format!("{prefix}requests_per_second"), format!("{prefix}bytes_per_second"));
    let count = table.count(&requests, 0) as u64;
    if count == 0 && table.has(&requests) {
        table.problem(table.line(), &requests, "must be 1 or more; leave it out for no limit");
    }
    let bytes_per_second = table.parsed(&bytes, |text| match size(text)? {
        rate if rate < LEAST_BYTES => Err("must be 64KiB or more".to_owned()),
        rate => Ok(rate),
    });
    Rates {
        requests_per_second: NonZeroU64::new(count),
        bytes_per_second: bytes_per_second.and_then(NonZeroU64::new),
    }
}

/// A name or an address that a certificate can be for.
pub(super) fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned())
        .map_err(|_| format!("`{text}` is neither a DNS name nor an IP address"))
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is not an address and a port: write it as \"127.0.0.1:9000\" or \"[::]:9000\"")
    })
}

/// A public name of ours.
pub(super) fn host(text: &str) -> Result<String, String> {
    let fine = !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        });
    if fine {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` is not a host name in lower case, without scheme and port, as \"s3.example.org\""
        ))
    }
}

/// Where the backend is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub tls: bool,
    /// Host and port, as they go into `Host`.
    pub authority: String,
}

pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    let wrong = || {
        format!(
            "`{text}` is not an address of a storage: write it as \"http://127.0.0.1:9002\" or \"https://s3.internal\""
        )
    };
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong()),
    };
    let authority =
        uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
    if uri.path().len() > 1 || uri.query().is_some() {
        return Err(format!(
            "`{text}` has a path or a query; a storage is addressed by its host and port alone"
        ));
    }
    let default_port = if tls { 443 } else { 80 };
    let authority = match authority.port_u16() {
        // What HTTP clients leave out of `Host`, and backends of what they verify.
        Some(port) if port == default_port => authority.host().to_owned(),
        _ => authority.as_str().to_owned(),
    };
    Ok(Endpoint { tls, authority })
}

/// Of a provider or a webhook.
pub(super) fn url(text: &str, allow_http: bool) -> Result<http::Uri, String> {
    let wrong = || format!("`{text}` is not a URL as \"https://id.example.org/realms/main\" is");
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    if authority.as_str().contains('@') || text.contains('#') {
        return Err(wrong());
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if allow_http => Ok(uri),
        Some("http") => {
            Err(format!("`{text}` is not secured by TLS: use https://, or set allow_http = true"))
        }
        _ => Err(wrong()),
    }
}

/// Host, port and protection of a directory.
pub(super) fn directory(
    text: &str,
    start_tls: bool,
    allow_plaintext: bool,
) -> Result<(String, u16, Transport), String> {
    let wrong = || {
        format!(
            "`{text}` is not the address of a directory: write it as \"ldaps://ldap.example.org\" or \"ldap://ldap.example.org\""
        )
    };
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let authority =
        uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
    if uri.path().len() > 1 || uri.query().is_some() {
        return Err(wrong());
    }
    let (transport, default) = match (uri.scheme_str(), start_tls) {
        (Some("ldaps"), false) => (Transport::Tls, 636),
        (Some("ldaps"), true) => return Err("start_tls goes with ldap://, not with ldaps://".to_owned()),
        (Some("ldap"), true) => (Transport::StartTls, 389),
        (Some("ldap"), false) if allow_plaintext => (Transport::Plaintext, 389),
        (Some("ldap"), false) => {
            return Err(format!(
                "`{text}` would carry passwords in the clear: use ldaps://, start_tls = true, or allow_plaintext = true"
            ));
        }
        _ => return Err(wrong()),
    };
    Ok((authority.host().to_owned(), authority.port_u16().unwrap_or(default), transport))
}

/// Of the revocations that several gateways share.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    pub(super) database: i64,
    pub(super) username: Option<String>,
}

pub(super) fn server(text: &str, allow_plaintext: bool) -> Result<Server, String> {
    // A password may stand in it, so it is not repeated.
    let wrong =
        || "is not the address of a server: write it as \"rediss://valkey.internal:6379/0\"".to_owned();
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    let tls = match uri.scheme_str() {
        Some("rediss") => true,
        Some("redis") if allow_plaintext => false,
        Some("redis") => {
            return Err("is not secured by TLS: use rediss://, or set allow_plaintext = true".to_owned());
        }
        _ => return Err(wrong()),
    };
    let username = authority.as_str().rsplit_once('@').map(|(user, _)| user.to_owned());
    if username.as_ref().is_some_and(|name| name.contains(':')) {
        return Err("has a password in it: give it as password_file or password_env".to_owned());
    }
    let database = match uri.path().trim_matches('/') {
        "" => 0,
        number => number.parse::<u16>().map_err(|_| wrong())?.into(),
    };
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    Ok(Server { host, port: authority.port_u16().unwrap_or(6379), tls, database, username })
}

/// Whether temporary keys are refused.
pub(super) fn when_unreachable(text: &str) -> Result<bool, String> {
    match text {
        "serve" => Ok(false),
        "refuse" => Ok(true),
        _ => Err(format!("`{text}` is neither \"serve\" nor \"refuse\"")),
    }
}

pub(super) fn profile(text: &str) -> Result<&'static Profile, String> {
    Profile::named(text).ok_or_else(|| {
        let names: Vec<&str> = Profile::names().collect();
        format!(
            "`{text}` is not a kind of storage{}; known are {}",
            did_you_mean(text, names.iter().copied()),
            names.join(", ")
        )
    })
}

pub(super) fn format(text: &str) -> Result<log::Format, String> {
    match text {
        "text" => Ok(log::Format::Text),
        "json" => Ok(log::Format::Json),
        _ => Err(format!("`{text}` is not a log format: use \"text\" or \"json\"")),
    }
}

/// Of a user or a role (IAM: "IAM and AWS STS quotas", name requirements).
pub(super) fn name(text: &str) -> Result<String, String> {
    let fine = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte));
    if fine {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a name of 1 to 64 letters, digits and +=,.@_-"))
    }
}

pub(super) fn access_key_id(text: &str) -> Result<String, String> {
    let fine = (3..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fine {
        Ok(text.to_owned())
    } else {
        Err("is not an access key id: letters, digits and `_`, 3 to 128 of them; `daypass keygen --user` makes one".to_owned())
    }
}
