//! The configuration file: read whole, checked whole, every problem told at once with its place and its mend.

mod admin;
mod audit;
mod certificate_and_webhook;
mod check;
mod fingerprint;
mod people;
mod problems;
mod reader;
mod revocation;
mod sources;
#[cfg(test)]
mod tests;
mod traces;
mod trust;
mod values;
mod ways;

use std::{fmt, net::SocketAddr, path::Path, time::Duration};

use ipnet::IpNet;
use rustls_pki_types::ServerName;
use toml::de::DeTable;
use zeroize::Zeroizing;

pub use self::{
    admin::admin_listener,
    fingerprint::{Change, Fingerprint},
    problems::{Problem, Problems},
    values::Endpoint,
    ways::{WayError, Ways},
};
use self::{fingerprint::FilesRead, problems::Gathered, reader::Document, sources::Sources};
use crate::{
    admin_client::Listener,
    audit as audit_log,
    credentials::{Keyring, Principals, revocation as revocations},
    rate::Rates,
    s3::profile::Profile,
    secret::{AccessKeyId, AdminToken, SecretAccessKey},
    sts,
    telemetry::{log, traces as spans},
};

/// A configuration that can be run.
#[derive(Debug)]
pub struct Config {
    pub listen: Listen,
    pub admin: Option<Admin>,
    pub backend: Backend,
    pub sts: sts::Settings,
    pub keyring: Keyring,
    pub principals: Principals,
    pub ways: Ways,
    pub revocation: revocations::Settings,
    /// `None`: decisions are not recorded.
    pub audit: Option<audit_log::Settings>,
    pub limits: Limits,
    pub log: Log,
    /// Where spans go.
    pub traces: Option<spans::Settings>,
    pub reload: Reload,
    pub fingerprint: Fingerprint,
}

#[derive(Debug)]
pub struct Listen {
    pub address: SocketAddr,
    pub hosts: Vec<String>,
    pub trusted_proxies: Vec<IpNet>,
    pub proxy_protocol: bool,
    pub tls: Option<Tls>,
}

/// The files of a listener's TLS, read.
#[derive(Clone)]
pub struct Tls {
    pub certificate_pem: Vec<u8>,
    pub private_key_pem: Zeroizing<Vec<u8>>,
    pub client_ca_pem: Option<Vec<u8>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls([redacted])")
    }
}

#[derive(Debug, Clone)]
pub struct Admin {
    pub address: SocketAddr,
    /// `/health/ready` says no while the backend fails.
    pub ready_needs_backend: bool,
    /// `/metrics` and the details of readiness are for whoever may revoke.
    pub metrics_need_token: bool,
    /// `None`: nobody may revoke here, unless by a certificate.
    pub token: Option<AdminToken>,
    pub tls: Option<AdminTls>,
}

impl Admin {
    /// How its own commands speak to it.
    pub fn listener(&self) -> Listener {
        match &self.tls {
            None => Listener::plain(self.address),
            Some(tls) => Listener::tls(self.address, tls.ca_pem.clone(), tls.server_name.clone()),
        }
    }
}

/// TLS of the admin listener.
#[derive(Debug, Clone)]
pub struct AdminTls {
    pub files: Tls,
    /// Whom the commands that ask it believe; `None`: the system's authorities.
    pub ca_pem: Option<Vec<u8>>,
    /// What its certificate is for, when that is not its address.
    pub server_name: Option<ServerName<'static>>,
}

#[derive(Debug)]
pub struct Backend {
    /// At least one, all with TLS or all without.
    pub endpoints: Vec<Endpoint>,
    pub region: String,
    pub profile: &'static Profile,
    pub access_key_id: AccessKeyId,
    pub secret_access_key: SecretAccessKey,
    pub ca_pem: Option<Vec<u8>>,
    pub trust_link: bool,
    pub allow_public: bool,
    pub connect_timeout: Duration,
    pub first_byte_timeout: Duration,
}

#[derive(Debug)]
pub struct Limits {
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub max_requests: usize,
    pub tls_handshake_timeout: Duration,
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    pub stall_timeout: Duration,
    pub drain_delay: Duration,
    pub drain_timeout: Duration,
    pub max_head_size: usize,
    pub max_headers: usize,
    pub max_uri: usize,
    pub max_object_size: u64,
    pub session_cache: u64,
    /// `None`: as the control group says.
    pub max_memory: Option<u64>,
    /// Of each session.
    pub session_rates: Rates,
}

#[derive(Debug)]
pub struct Log {
    pub format: log::Format,
    pub level: log::Level,
}

/// When the files are read again.
#[derive(Debug)]
pub struct Reload {
    /// `None`: at SIGHUP alone.
    pub watch_interval: Option<Duration>,
}

/// Reads a file and everything that it names.
pub fn load(path: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    let problems = Gathered::default();
    let config = read(path, environment, &problems);
    problems.into_problems(path)?;
    config.ok_or_else(|| Problems::of_defect(path))
}

/// What `look` finds in a file, without what else stands there.
fn document_of<T>(
    path: &Path,
    look: impl FnOnce(&reader::Table<'_>) -> Option<T>,
) -> Result<Option<T>, Problems> {
    let problems = Gathered::default();
    let text = text_of(path, &problems).unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let sources = Sources { folder, environment: &|_| None };
    let document =
        Document { text: &text, problems: &problems, sources: &sources, read: &FilesRead::default() };
    let table = table_of(&text, &problems);
    let found = table.as_ref().and_then(|table| look(&reader::Table::root(&document, table)));
    problems.into_problems(path)?;
    Ok(found)
}

fn read(path: &Path, environment: &dyn Fn(&str) -> Option<String>, problems: &Gathered) -> Option<Config> {
    let text = text_of(path, problems)?;
    let table = table_of(&text, problems)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let sources = Sources { folder, environment };
    let read = FilesRead::default();
    let document = Document { text: &text, problems, sources: &sources, read: &read };
    let config = check::config(&document, &table)?;
    Some(Config { fingerprint: Fingerprint::of(path, &table, read), ..config })
}

fn text_of(path: &Path, problems: &Gathered) -> Option<String> {
    std::fs::read_to_string(path)
        .inspect_err(|cause| problems.add(0, "", format!("cannot be read: {cause}")))
        .ok()
}

fn table_of<'t>(text: &'t str, problems: &Gathered) -> Option<DeTable<'t>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        let line =
            text.as_bytes().get(..at).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count() + 1;
        problems.add(line, "", format!("is not TOML: {}", error.message()));
    }
    errors.is_empty().then(|| table.into_inner())
}

/// A configuration of this text after what every one needs, for tests of those who read configurations.
#[cfg(test)]
pub(crate) fn loaded(rest: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daypass.toml");
    let head = r#"
[backend]
endpoint = "http://127.0.0.1:1"
access_key_id = "ROOTROOTROOTROOT0001"
secret_access_key = "root-secret-root-secret"
[sts]
sealing_keys = "0a0b0c0d:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
"#;
    std::fs::write(&file, format!("{head}{rest}")).unwrap();
    load(&file, &|_| None).unwrap()
}
