//! One connection to the directory. Nothing else here knows the LDAP library.
//!
//! The library asserts what a well-behaved server sends, and panics otherwise; a search that is given up keeps coming. So each
//! operation is fenced in, and a connection whose last operation did not end as it should is never used again.

use std::{collections::BTreeMap, fmt, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use ldap3::{
    LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions, StdStream,
    controls::RawControl,
};
use rustls::{CertificateError, ClientConfig};
use tokio::{net::TcpStream, time::Instant};

use super::{Dn, Error, Settings, SettingsError, Transport};
use crate::outbound_tls;

/// Active Directory refers every search from its root to itself under other names, unless it is asked for one domain alone
/// (`LDAP_SERVER_DOMAIN_SCOPE_OID`). Others ignore this.
const DOMAIN_SCOPE: &str = "1.2.840.113556.1.4.1339";

/// Why the directory could not be asked. For the log alone, and never with a password in it.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failure {
    /// It is not there, or does not work: whoever asks next will fare no better.
    #[error("the directory cannot be used: {0}")]
    Down(String),
    /// It answered, but not in a way that may be relied on.
    #[error("the directory's answer cannot be used: {0}")]
    Unusable(String),
    /// All connections were in use, which says nothing about the directory.
    #[error("all connections to the directory are in use")]
    Busy,
}

impl Failure {
    pub(super) fn down(cause: impl fmt::Display) -> Self {
        Self::Down(cause.to_string())
    }

    pub(super) fn unusable(cause: impl fmt::Display) -> Self {
        Self::Unusable(cause.to_string())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Unavailable { cause: failure.to_string() }
    }
}

/// Opens connections.
pub(super) struct Connector {
    host: String,
    port: u16,
    url: String,
    transport: Transport,
    /// `None`: plaintext.
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let is_literal_v6 = settings.host.contains(':');
        if settings.host.is_empty() || settings.host.contains(['/', '@', '?', '#', ' ', '[', ']', '%']) {
            return Err(SettingsError(format!("{:?} is no host", settings.host)));
        }
        if is_literal_v6 && settings.transport != Transport::Plaintext {
            return Err(SettingsError(format!(
                "{} is an IPv6 address: certificates of directories are checked by host name, give one",
                settings.host
            )));
        }
        let scheme = if settings.transport == Transport::Tls { "ldaps" } else { "ldap" };
        let host = if is_literal_v6 { format!("[{}]", settings.host) } else { settings.host.clone() };
        let tls = match settings.transport {
            Transport::Plaintext => None,
            Transport::Tls | Transport::StartTls => {
                let tls = outbound_tls::client_config(settings.ca_pem.as_deref());
                Some(Arc::new(tls.map_err(|cause| SettingsError(cause.to_string()))?))
            }
        };
        Ok(Self {
            host: settings.host.clone(),
            port: settings.port,
            url: format!("{scheme}://{host}:{}", settings.port),
            transport: settings.transport,
            tls,
            timeout: settings.connect_timeout,
        })
    }

    /// TCP and, unless it is plaintext, TLS. Nobody is bound yet.
    pub(super) async fn open(&self) -> Result<Connection, Failure> {
        let at = format!("{}:{}", self.host, self.port);
        let opening = async {
            let unreachable = |cause| Failure::down(format!("{at} cannot be reached: {cause}"));
            let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
            tcp.set_nodelay(true).map_err(unreachable)?;
            let mut settings = LdapConnSettings::new()
                .set_starttls(self.transport == Transport::StartTls)
                .set_std_stream(StdStream::Tcp(tcp.into_std().map_err(unreachable)?));
            if let Some(tls) = &self.tls {
                settings = settings.set_config(Arc::clone(tls));
            }
            // It holds a whole TLS session, and every login would carry its size.
            fenced(Box::pin(LdapConnAsync::with_settings(settings, &self.url))).await
        };
        let late = |_| Failure::down(format!("{at} did not answer within {:?}", self.timeout));
        let (driver, ldap) = tokio::time::timeout(self.timeout, opening).await.map_err(late)??;
        // It ends with the last handle, or with the connection; whoever waits on a handle hears of it.
        tokio::spawn(driver.drive());
        Ok(Connection { ldap, is_busy: false, opened: Instant::now() })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    ldap: ldap3::Ldap,
    /// From the begin of an operation to its end. A caller that went away leaves it so.
    is_busy: bool,
    opened: Instant,
}

/// What a bind came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Yes,
    /// With the directory's result code.
    No(u32),
}

/// What is searched for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search<'s> {
    pub(super) base: &'s str,
    pub(super) scope: Scope,
    pub(super) filter: &'s str,
    pub(super) attributes: &'s [String],
    /// More entries than these are not read.
    pub(super) limit: u16,
}

#[derive(Debug)]
pub(super) struct Found {
    pub(super) entries: Vec<Entry>,
    pub(super) ending: Ending,
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Complete,
    /// There are more entries than those.
    Cut,
    NoSuchBase,
}

/// An entry of the directory.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// As the directory writes it, for questions to the directory.
    pub(super) dn: String,
    pub(super) canonical: Dn,
    /// By name in lower case. Values that are no text are left out.
    pub(super) attributes: BTreeMap<String, Vec<String>>,
}

impl Connection {
    pub(super) fn is_usable(&mut self) -> bool {
        !self.is_busy && !self.ldap.is_closed()
    }

    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    pub(super) async fn bind(&mut self, dn: &str, password: &str) -> Result<Bound, Failure> {
        self.is_busy = true;
        let result = fenced(self.ldap.simple_bind(dn, password)).await?;
        self.is_busy = false;
        match result.rc {
            0 => Ok(Bound::Yes),
            // What directories say to wrong passwords and to accounts that are locked, expired, disabled or gone.
            19 | 32 | 34 | 48 | 49 | 50 | 53 => Ok(Bound::No(result.rc)),
            10 => Err(Failure::unusable("it refers to another directory")),
            8 | 13 => {
                Err(Failure::unusable(format!("it wants a better protected bind: {}", code(result.rc))))
            }
            rc => Err(Failure::down(format!("it answered a bind with {}", code(rc)))),
        }
    }

    pub(super) async fn search(&mut self, search: Search<'_>) -> Result<Found, Failure> {
        self.is_busy = true;
        let limit = usize::from(search.limit);
        let reading = async {
            let options = SearchOptions::new().sizelimit(search.limit.into());
            let domain_scope = RawControl { ctype: DOMAIN_SCOPE.to_owned(), crit: false, val: None };
            self.ldap.with_search_options(options).with_controls(domain_scope);
            let mut stream = self
                .ldap
                .streaming_search(search.base, search.scope, search.filter, search.attributes)
                .await?;
            let mut entries = Vec::new();
            while let Some(item) = stream.next().await? {
                if item.is_ref() {
                    return Ok(Err(Failure::unusable("it refers to another directory")));
                }
                if item.is_intermediate() {
                    continue;
                }
                if entries.len() == limit {
                    return Ok(Ok((entries, None)));
                }
                entries.push(SearchEntry::construct(item));
            }
            Ok(Ok((entries, Some(stream.finish().await.rc))))
        };
        let (entries, result) = fenced(reading).await??;
        // A search that was cut by us goes on over there.
        self.is_busy = result.is_none();
        let ending = match result {
            Some(0) => Ending::Complete,
            Some(4) | None => Ending::Cut,
            Some(32) => Ending::NoSuchBase,
            Some(10) => return Err(Failure::unusable("it refers to another directory")),
            Some(rc @ (3 | 11)) => {
                return Err(Failure::unusable(format!("it broke a search off with {}", code(rc))));
            }
            Some(rc @ (12 | 16..=21 | 34 | 50)) => {
                return Err(Failure::unusable(format!("it refused a search with {}", code(rc))));
            }
            Some(rc) => return Err(Failure::down(format!("it answered a search with {}", code(rc)))),
        };
        let entries = entries.into_iter().map(Entry::read).collect::<Result<_, _>>()?;
        Ok(Found { entries, ending })
    }
}

impl Entry {
    fn read(entry: SearchEntry) -> Result<Self, Failure> {
        let canonical = Dn::parse(&entry.dn).map_err(Failure::unusable)?;
        let mut attributes = BTreeMap::<String, Vec<String>>::new();
        for (name, values) in entry.attrs {
            let name = name.to_ascii_lowercase();
            // Active Directory gives 1,500 values at once and says so in the name.
            if name.contains(";range=") && !values.is_empty() {
                return Err(Failure::unusable(format!("it gives {name} in pieces")));
            }
            attributes.entry(name).or_default().extend(values);
        }
        Ok(Self { dn: entry.dn, canonical, attributes })
    }

    pub(super) fn values(&self, name: &str) -> &[String] {
        self.attributes.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Runs an operation of the library so that neither its errors nor its panics get past here.
async fn fenced<T>(operation: impl Future<Output = Result<T, LdapError>>) -> Result<T, Failure> {
    match AssertUnwindSafe(operation).catch_unwind().await {
        Ok(outcome) => outcome.map_err(|cause| explain(&cause)),
        Err(_) => Err(Failure::unusable("it does not speak LDAP as RFC 4511 has it")),
    }
}

fn explain(cause: &LdapError) -> Failure {
    match cause {
        LdapError::Io { source } => {
            let tls = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            tls.map_or_else(|| Failure::down(format!("the connection failed: {source}")), explain_tls)
        }
        LdapError::Rustls { source } => explain_tls(source),
        // The one operation whose result the library looks at itself.
        LdapError::LdapResult { result } => {
            Failure::down(format!("it refused StartTLS with {}", code(result.rc)))
        }
        LdapError::FilterParsing => Failure::unusable("the filter cannot be written with this name"),
        LdapError::OpSend { .. }
        | LdapError::ResultRecv { .. }
        | LdapError::IdScrubSend { .. }
        | LdapError::EndOfStream => Failure::down("the connection broke off"),
        other => Failure::down(other),
    }
}

fn explain_tls(cause: &rustls::Error) -> Failure {
    use rustls::Error::InvalidCertificate;
    let why = match cause {
        // Another CA of the same name is found out by its signature.
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is not trusted: none of the CAs signed it"
        }
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired"
        }
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another host name",
        _ => return Failure::down(format!("TLS failed: {cause}")),
    };
    Failure::down(format!("{why} ({cause})"))
}

/// A result code as operators know it.
pub(super) fn code(rc: u32) -> String {
    let name = match rc {
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        8 => "strongerAuthRequired",
        11 => "adminLimitExceeded",
        12 => "unavailableCriticalExtension",
        13 => "confidentialityRequired",
        19 => "constraintViolation",
        32 => "noSuchObject",
        34 => "invalidDNSyntax",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        80 => "other",
        _ => return format!("result code {rc}"),
    };
    format!("{name} ({rc})")
}
