//! O07: the admin listener over TLS, opened by a token or by a certificate, with metrics for everybody or for these alone.

use std::sync::Arc;

use daypass::{
    admin_client::Listener,
    config,
    credentials::revocation::{Kind, Wanted},
    health,
    outbound_tls::ClientCertificate,
    revoke::{self, Task},
    secret::AdminToken,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Gateway, Reply, call, parse_reply, raw};

const TOKEN: &str = "0123456789abcdef-admin";
const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";
const WITH_TOKEN: &str = "token = \"0123456789abcdef-admin\"\n";
const CLOSED: &str = "metrics_need_token = true\n";
/// What tells something, and what only says whether the gateway is well.
const TELLING: [&str; 3] = ["/metrics", "/health/ready?verbose", "/v1/revocations"];
const HEALTH: [&str; 2] = ["/health/live", "/health/ready"];

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Operators");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn operator(ca: &Ca, until: (i32, u8, u8)) -> Shown {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.not_after = date_time_ymd(until.0, until.1, until.2);
    let chain = vec![params.signed_by(&key, ca).unwrap().der().clone()];
    (chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// A gateway whose admin listener speaks TLS and takes certificates of an authority.
struct Tls {
    gateway: Gateway,
    root: String,
    ca: Ca,
    files: tempfile::TempDir,
}

impl Tls {
    async fn start(admin_lines: &str, server_name: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed([server_name.to_owned()]).unwrap();
        let ca = ca();
        let file = |name: &str, text: String| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            path.display().to_string()
        };
        let tls = format!(
            "[admin.tls]\ncertificate_file = \"{}\"\nprivate_key_file = \"{}\"\nclient_ca_file = \"{}\"\n",
            file("server.pem", made.cert.pem()),
            file("server.key", made.signing_key.serialize_pem()),
            file("operators.pem", ca.pem()),
        );
        let gateway = Gateway::builder().toml(&format!("{ADMIN}{admin_lines}{tls}")).start().await;
        Self { gateway, root: made.cert.pem(), ca, files }
    }

    /// `None`: the handshake, or what should come after it, failed.
    async fn get(&self, shown: Option<&Shown>, path: &str, token: &str) -> Option<Reply> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.root.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            None => config.with_no_client_auth(),
            Some((chain, key)) => config.with_client_auth_cert(chain.clone(), key.clone_key()).unwrap(),
        };
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let socket = TcpStream::connect(self.gateway.admin_address()).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut socket = connector.connect(name, socket).await.ok()?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n{token}\r\n");
        socket.write_all(head.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.ok();
        (!answer.is_empty()).then(|| parse_reply(&answer))
    }

    async fn status(&self, shown: Option<&Shown>, path: &str) -> Option<u16> {
        self.get(shown, path, "").await.map(|reply| reply.status)
    }
}

#[tokio::test]
async fn metrics_and_details_are_for_everybody_unless_they_need_the_token() {
    let open = Gateway::builder().toml(&format!("{ADMIN}{WITH_TOKEN}")).start().await;
    for path in ["/metrics", "/health/ready?verbose"] {
        assert_eq!(open.admin("GET", path, None, "").await.status, 200, "{path}");
    }
    let closed = Gateway::builder().toml(&format!("{ADMIN}{WITH_TOKEN}{CLOSED}")).start().await;
    for path in TELLING {
        for token in [None, Some("another-token-0000"), Some("")] {
            let reply = closed.admin("GET", path, token, "").await;
            assert_eq!(reply.status, 401, "{path}");
            assert!(reply.header("www-authenticate").is_some_and(|way| way.starts_with("Bearer")), "{path}");
            let text = reply.text();
            assert!(!text.contains("daypass_") && !text.contains("endpoint"), "{text}");
        }
        assert_eq!(closed.admin("GET", path, Some(TOKEN), "").await.status, 200, "{path}");
    }
    for path in HEALTH {
        assert_eq!(closed.admin("GET", path, None, "").await.status, 200, "{path}");
    }
    assert_eq!(closed.admin("GET", "/health/live?verbose", None, "").await.status, 401);
}

#[tokio::test]
async fn a_certificate_of_the_operators_authority_opens_what_the_token_opens() {
    let tls = Tls::start(CLOSED, "127.0.0.1").await;
    let good = operator(&tls.ca, (2100, 1, 1));
    for path in TELLING.into_iter().chain(HEALTH) {
        assert_eq!(tls.status(Some(&good), path).await, Some(200), "{path}");
    }
    for path in TELLING {
        assert_eq!(tls.status(None, path).await, Some(401), "{path}");
        // There is no token, so none opens.
        for shown in [TOKEN, ""] {
            let token = format!("authorization: Bearer {shown}\r\n");
            assert_eq!(tls.get(None, path, &token).await.map(|reply| reply.status), Some(401), "{path}");
        }
    }
    for path in HEALTH {
        assert_eq!(tls.status(None, path).await, Some(200), "{path}");
    }
}

#[tokio::test]
async fn a_certificate_of_somebody_else_or_of_the_past_gets_no_connection() {
    let tls = Tls::start(WITH_TOKEN, "127.0.0.1").await;
    let token = format!("authorization: Bearer {TOKEN}\r\n");
    for wrong in [operator(&ca(), (2100, 1, 1)), operator(&tls.ca, (2020, 1, 1))] {
        for path in TELLING.into_iter().chain(HEALTH) {
            assert!(tls.get(Some(&wrong), path, &token).await.is_none(), "{path}");
        }
    }
    // Nobody with the token needs one.
    assert_eq!(tls.get(None, "/v1/revocations", &token).await.map(|reply| reply.status), Some(200));
}

#[tokio::test]
async fn over_tls_the_listener_speaks_nothing_else_and_the_s3_listener_is_as_it_was() {
    let tls = Tls::start(WITH_TOKEN, "127.0.0.1").await;
    let plain = TcpStream::connect(tls.gateway.admin_address()).await.unwrap();
    let mut plain = plain;
    let request = format!("GET /v1/revocations HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.ok();
    assert!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));
    let keys = tls.gateway.session().await;
    tls.gateway.send(&keys, call("GET", "/data/x")).await.is_ok();
    assert_eq!(
        raw(tls.gateway.address(), b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn the_commands_speak_tls_and_believe_the_given_authority_alone() {
    for name in ["127.0.0.1", "admin.internal"] {
        let tls = Tls::start(WITH_TOKEN, name).await;
        let (address, token) = (tls.gateway.admin_address(), AdminToken::new(TOKEN));
        let ca = Some(tls.root.clone().into_bytes());
        let called = Some(ServerName::try_from(name).unwrap());
        let known = Listener::tls(address, ca.clone(), called);
        assert_eq!(health::ask(&known, false).await.unwrap().says, "ready\n");
        assert_eq!(revoke::run(&known, Some(&token), Task::List).await.unwrap().unwrap(), "0 revocations\n");
        let other = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem().into_bytes();
        let wrong_ca = Listener::tls(address, Some(other), Some(ServerName::try_from(name).unwrap()));
        let wrong_name =
            Listener::tls(address, ca, Some(ServerName::try_from("elsewhere.internal").unwrap()));
        let by_the_systems = Listener::tls(address, None, Some(ServerName::try_from(name).unwrap()));
        for wrong in [wrong_ca, wrong_name, by_the_systems] {
            let refused = revoke::run(&wrong, Some(&token), Task::List).await.unwrap_err();
            assert!(refused.to_string().contains("TLS with the admin listener"), "{refused:#}");
        }
    }
}

#[tokio::test]
async fn revoking_is_for_who_has_the_token_or_shows_a_certificate_of_the_operators_authority() {
    let tls = Tls::start(WITH_TOKEN, "127.0.0.1").await;
    let known = Listener::tls(tls.gateway.admin_address(), Some(tls.root.clone().into_bytes()), None);
    let shown = |ca: &Ca| {
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::default().signed_by(&key, ca).unwrap();
        ClientCertificate::from_pem(made.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    };
    let listener = known.clone().showing(shown(&tls.ca)).unwrap();
    let everything =
        || Task::Revoke(Wanted { kind: Kind::Everything, value: String::new(), issued_before: None });
    let done = revoke::run(&listener, None, everything()).await.unwrap().unwrap();
    assert!(done.starts_with("revoked: "), "{done}");
    let stranger = known.clone().showing(shown(&ca())).unwrap();
    assert!(revoke::run(&stranger, None, everything()).await.is_err());
    let nothing = revoke::run(&known, None, everything()).await.unwrap_err();
    assert!(nothing.to_string().contains("401"), "{nothing:#}");
    let plain = Listener::plain(tls.gateway.admin_address()).showing(shown(&tls.ca)).unwrap_err();
    assert!(plain.to_string().contains("[admin.tls]"), "{plain:#}");
    assert!(!format!("{listener:?}").contains("PRIVATE"), "{listener:?}");
    let key = KeyPair::generate().unwrap().serialize_pem();
    assert!(ClientCertificate::from_pem(key.as_bytes(), key.as_bytes()).is_err(), "a key is no certificate");
}

#[tokio::test]
async fn whoever_asks_for_health_needs_no_key_and_reads_no_other_section() {
    let tls = Tls::start(WITH_TOKEN, "admin.internal").await;
    std::fs::write(tls.files.path().join("ca.pem"), &tls.root).unwrap();
    let file = tls.files.path().join("health.toml");
    let text = format!(
        "[admin]\naddress = \"{}\"\ntoken_file = \"nowhere\"\n[admin.tls]\nprivate_key_file = \"nowhere\"\n\
         ca_file = \"ca.pem\"\nserver_name = \"admin.internal\"\n[role]\nhalf = \"written\"\n",
        tls.gateway.admin_address()
    );
    std::fs::write(&file, text).unwrap();
    let listener = config::admin_listener(&file).unwrap().unwrap();
    assert!(health::ask(&listener, true).await.unwrap().is_good);
}
