//! From tables to a configuration.

use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeTable;

use super::{
    Backend, Config, Endpoint, Fingerprint, Limits, Listen, Log, Reload, admin, audit, known, pem, people,
    reader::{Document, Placed, Table},
    revocation, traces, values, ways,
};
use crate::{
    arn::AccountId,
    credentials::{Keyring, Principals},
    secret::{AccessKeyId, SecretAccessKey},
    sts,
};

/// Every part is read even when one before it is wrong, so that all problems come at once.
pub(super) fn config<'d>(document: &'d Document<'d>, table: &'d DeTable<'d>) -> Option<Config> {
    let root = Table::root(document, table);
    let listen = listen(root.table("listen"));
    let admin = admin::admin(root.table("admin"));
    let backend = backend(root.table("backend"));
    let sts_table = root.table("sts");
    let account = sts_table.parsed("account_id", |text| {
        AccountId::parse(text).ok_or_else(|| format!("`{text}` is not an account of 12 digits"))
    });
    let account = account.or_else(|| AccountId::parse("000000000000"));
    let keyring = keyring(&sts_table);
    let sts = sts_settings(sts_table);
    let max_duration = sts.max_duration;
    let policies = people::policies(&root);
    let has_client_ca =
        listen.as_ref().and_then(|listen| listen.tls.as_ref()).is_some_and(|tls| tls.client_ca_pem.is_some());
    let known = known::known(&root, has_client_ca);
    let directory = people::directory(&root, &policies, max_duration, backend.as_ref(), &known);
    let ways = ways::ways(&root, listen.as_ref(), &policies);
    let limits = limits(root.table("limits"));
    let revocation = revocation::revocation(root.table("revocation"));
    let audit = audit::audit(root.table("audit"));
    let log = log(root.table("log"));
    let traces = traces::traces(root.table("traces"));
    let reload = reload(root.table("reload"));
    root.finish();
    let (ways, identity_policies) = ways?;
    let principals =
        Principals::new(account?, directory?, policies.registry).with_identity_policies(identity_policies);
    Some(Config {
        listen: listen?,
        admin: admin?,
        backend: backend?,
        sts,
        keyring: keyring?,
        principals,
        ways,
        revocation: revocation?,
        audit: audit?,
        limits,
        log,
        traces: traces?,
        reload,
        fingerprint: Fingerprint::default(),
    })
}

fn listen(table: Table<'_>) -> Option<Listen> {
    let address = table.parsed("address", values::address).or_else(|| values::address("127.0.0.1:9000").ok());
    let mut hosts: Vec<String> = Vec::new();
    for Placed { value, line } in table.strings("hosts") {
        match values::host(&value) {
            Ok(host) if hosts.contains(&host) => {
                table.problem(line, "hosts", format!("`{host}` is there twice"));
            }
            Ok(host) => {
                let within = |inner: &str, outer: &str| {
                    inner.strip_suffix(outer).is_some_and(|rest| rest.ends_with('.'))
                };
                if let Some(other) = hosts.iter().find(|other| within(&host, other) || within(other, &host)) {
                    let what = format!(
                        "`{host}` and `{other}` lie within each other: a bucket's name could not be told from a host's"
                    );
                    table.problem(line, "hosts", what);
                }
                hosts.push(host);
            }
            Err(what) => table.problem(line, "hosts", what),
        }
    }
    let mut trusted_proxies = Vec::new();
    for Placed { value, line } in table.strings("trusted_proxies") {
        let network =
            value.parse::<IpNet>().or_else(|_| value.parse().map(|address: std::net::IpAddr| address.into()));
        match network {
            Ok(network) => trusted_proxies.push(network),
            Err(_) => table.problem(
                line,
                "trusted_proxies",
                format!("`{value}` is not a network: write it as \"10.0.0.0/8\""),
            ),
        }
    }
    let proxy_protocol = table.boolean("proxy_protocol", false);
    if proxy_protocol && trusted_proxies.is_empty() {
        table.problem(
            table.line(),
            "proxy_protocol",
            "needs trusted_proxies: nobody else may send a PROXY header",
        );
    }
    let tls_table = table.table("tls");
    let wants_tls = tls_table.is_there();
    let tls = if wants_tls { pem::tls(&tls_table) } else { None };
    tls_table.finish();
    table.finish();
    if wants_tls && tls.is_none() {
        return None;
    }
    Some(Listen { address: address?, hosts, trusted_proxies, proxy_protocol, tls })
}

fn backend(table: Table<'_>) -> Option<Backend> {
    let endpoints = endpoints(&table);
    let region = table.string("region").map_or_else(|| "us-east-1".to_owned(), |region| region.value);
    let profile = table.parsed("profile", values::profile).or_else(|| values::profile("generic").ok());
    let access_key_id = table.secret("access_key_id");
    let secret_access_key = table.secret("secret_access_key");
    let has_ca = table.string("ca_file").is_some();
    let ca_pem = pem::certificates(&table, "ca_file");
    let trust_link = table.boolean("trust_link", false);
    let allow_public = table.boolean("allow_public", false);
    let connect_timeout = values::duration_of(&table, "connect_timeout", Duration::from_secs(2));
    let first_byte_timeout = values::duration_of(&table, "first_byte_timeout", Duration::from_secs(60));
    table.finish();
    if has_ca && ca_pem.is_none() {
        return None;
    }
    Some(Backend {
        endpoints: endpoints?,
        region,
        profile: profile?,
        access_key_id: AccessKeyId::new(access_key_id?.value),
        secret_access_key: SecretAccessKey::new(secret_access_key?.value),
        ca_pem,
        trust_link,
        allow_public,
        connect_timeout,
        first_byte_timeout,
    })
}

/// One address, or several of the same storage.
fn endpoints(table: &Table<'_>) -> Option<Vec<Endpoint>> {
    let several = table.strings("endpoints");
    if !table.has("endpoints") {
        return table.required_parsed("endpoint", values::endpoint).map(|endpoint| vec![endpoint]);
    }
    if table.string("endpoint").is_some() {
        table.problem(table.line(), "endpoints", "is given beside endpoint: give exactly one of the two");
    }
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for Placed { value, line } in &several {
        match values::endpoint(value) {
            Ok(endpoint) if endpoints.contains(&endpoint) => {
                table.problem(*line, "endpoints", format!("`{value}` is there twice"));
            }
            Ok(endpoint) if endpoints.first().is_some_and(|first| first.tls != endpoint.tls) => {
                let what =
                    "are partly http:// and partly https://: what holds for the link must hold for all";
                table.problem(*line, "endpoints", what);
            }
            Ok(endpoint) => endpoints.push(endpoint),
            Err(what) => table.problem(*line, "endpoints", what),
        }
    }
    if several.is_empty() {
        table.problem(table.line(), "endpoints", "must name at least one address of the storage");
    }
    (!endpoints.is_empty()).then_some(endpoints)
}

fn keyring(table: &Table<'_>) -> Option<Keyring> {
    let Placed { value, line } = table.secret("sealing_keys")?;
    match Keyring::parse(&value) {
        Ok(keyring) => Some(keyring),
        Err(what) => {
            table.problem(line, "sealing_keys", what.to_string());
            None
        }
    }
}

/// AWS's: no session lives longer.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);

fn sts_settings(table: Table<'_>) -> sts::Settings {
    let region = table.string("region").map_or_else(|| "us-east-1".to_owned(), |region| region.value);
    let duration = |name: &str, default: u64| {
        table.parsed(name, values::seconds).unwrap_or(Duration::from_secs(default))
    };
    let (min_duration, max_duration) =
        (duration("min_duration", 15 * 60), duration("max_duration", 12 * 60 * 60));
    let default_duration = duration("default_duration", 60 * 60);
    if max_duration > LONGEST {
        table.problem(table.line(), "max_duration", "must be 12h at the most, as AWS has it");
    }
    if min_duration > default_duration || default_duration > max_duration {
        table.problem(table.line(), "default_duration", "must lie between min_duration and max_duration");
    }
    let ignore_unknown_role_arn = table.boolean("ignore_unknown_role_arn", false);
    let max_skew = table.parsed("max_skew", values::seconds).unwrap_or(Duration::from_secs(15 * 60));
    if max_skew > Duration::from_secs(15 * 60) {
        table.problem(table.line(), "max_skew", "must be 15m at the most: a signature is good for that long");
    }
    table.finish();
    sts::Settings { region, default_duration, min_duration, max_duration, ignore_unknown_role_arn, max_skew }
}

fn limits(table: Table<'_>) -> Limits {
    let duration = |name: &str, default: u64| values::duration_of(&table, name, Duration::from_secs(default));
    let size = |name: &str, default: u64| table.parsed(name, values::size).unwrap_or(default);
    let small = |name: &str, default: u64| usize::try_from(size(name, default)).unwrap_or(usize::MAX);
    let limits = Limits {
        max_connections: table.count("max_connections", 10_000),
        max_connections_per_address: table.count("max_connections_per_address", 256),
        max_requests: table.count("max_requests", 2000),
        tls_handshake_timeout: duration("tls_handshake_timeout", 10),
        header_timeout: duration("header_timeout", 15),
        idle_timeout: duration("idle_timeout", 75),
        stall_timeout: duration("stall_timeout", 60),
        drain_delay: table.parsed("drain_delay", values::delay).unwrap_or_default(),
        drain_timeout: duration("drain_timeout", 60),
        max_head_size: small("max_head_size", 16 << 10),
        max_headers: table.count("max_headers", 100),
        max_uri: small("max_uri", 8 << 10),
        max_object_size: size("max_object_size", 5 << 30),
        session_cache: size("session_cache", 64 << 20),
        max_memory: table.parsed("max_memory", values::size),
        session_rates: values::rates(&table, "session_"),
    };
    for (name, value) in [
        ("max_connections", limits.max_connections),
        ("max_requests", limits.max_requests),
        ("max_headers", limits.max_headers),
    ] {
        if value == 0 {
            table.problem(table.line(), name, "must be more than 0");
        }
    }
    table.finish();
    limits
}

fn log(table: Table<'_>) -> Log {
    let format = table.parsed("format", values::format).unwrap_or_default();
    let level = table.parsed("level", str::parse).unwrap_or_default();
    table.finish();
    Log { format, level }
}

fn reload(table: Table<'_>) -> Reload {
    let watch = table.boolean("watch", true);
    let interval = values::duration_of(&table, "watch_interval", Duration::from_secs(2));
    table.finish();
    Reload { watch_interval: watch.then_some(interval) }
}
