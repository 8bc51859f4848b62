//! `AssumeRoleWithCertificate`, from the handshake to the keys.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Gateway, Reply, allow, call, keys_of, parse_reply, raw};

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca(name: &str) -> Ca {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// What a client shows in its handshakes.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

fn client(cn: &str, ca: &Ca) -> Shown {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, cn);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_after = date_time_ymd(2026, 11, 24);
    Shown { chain: vec![params.signed_by(&key, ca).unwrap().der().clone()], key }
}

/// A gateway that speaks TLS and asks for certificates of one authority.
struct Tls {
    gateway: Gateway,
    root: CertificateDer<'static>,
    ca: Ca,
    _files: tempfile::TempDir,
}

const FORM: &str = "Action=AssumeRoleWithCertificate&Version=2011-06-15";
const ROLE: &str = "&RoleArn=arn:aws:iam::000000000000:role/backup";

impl Tls {
    /// The role `backup` trusts the common name `app`.
    async fn start(certificate_section: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let ca = ca("Clients");
        let file = |name: &str, text: String| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            path.display().to_string()
        };
        let gateway = Gateway::builder()
            .policy("reports", &allow("s3:GetObject", "arn:aws:s3:::reports/*"))
            .role("backup", &allow("s3:GetObject", "arn:aws:s3:::logs/*"))
            .toml("[[role.trust]]\ncertificate = { cn = \"app\" }\n")
            .toml(&format!(
                "[listen.tls]\ncertificate_file = \"{}\"\nprivate_key_file = \"{}\"\nclient_ca_file = \"{}\"\n",
                file("server.pem", made.cert.pem()),
                file("server.key", made.signing_key.serialize_pem()),
                file("clients.pem", ca.pem()),
            ))
            .toml(certificate_section)
            .start()
            .await;
        Self { gateway, root: made.cert.der().clone(), ca, _files: files }
    }

    async fn send(&self, shown: Option<&Shown>, bytes: &[u8]) -> Reply {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            None => config.with_no_client_auth(),
            Some(Shown { chain, key }) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                config.with_client_auth_cert(chain.clone(), key).unwrap()
            }
        };
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let socket = TcpStream::connect(self.gateway.address()).await.unwrap();
        let mut socket = connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.ok();
        parse_reply(&answer)
    }

    async fn assume(&self, shown: Option<&Shown>, more: &str) -> Reply {
        self.send(shown, &post(&format!("{FORM}{more}"), "")).await
    }
}

/// A form that nobody signed.
fn post(form: &str, headers: &str) -> Vec<u8> {
    format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n{headers}\
         content-length: {}\r\nconnection: close\r\n\r\n{form}",
        form.len()
    )
    .into_bytes()
}

#[tokio::test]
async fn a_certificate_gives_the_keys_of_a_role_that_trusts_its_name() {
    let tls = Tls::start("").await;
    let reply = tls.assume(Some(&client("app", &tls.ca)), ROLE).await;
    reply.is_ok();
    let keys = keys_of(&reply);
    let get = |path: &str| call("GET", path).at(tls.gateway.now()).sign(&keys, tls.gateway.address()).head();
    // The keys need no certificate.
    tls.send(None, &get("/logs/a")).await.is_ok();
    tls.send(None, &get("/reports/a")).await.is_error(403, "AccessDenied");
    assert_eq!(tls.gateway.backend().only_request().target, "/logs/a");
}

#[tokio::test]
async fn minios_way_of_calling_it_by_the_query_works() {
    let tls = Tls::start("[certificate]\npolicy_from_cn = true\n").await;
    let bytes = format!(
        "POST /?{FORM}&DurationSeconds=3600 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let reply = tls.send(Some(&client("reports", &tls.ca)), bytes.as_bytes()).await;
    reply.is_ok();
    let get = call("GET", "/reports/a").at(tls.gateway.now()).sign(&keys_of(&reply), tls.gateway.address());
    tls.send(None, &get.head()).await.is_ok();
}

#[tokio::test]
async fn without_tls_or_a_certificate_or_an_authority_there_is_nothing_to_prove() {
    let tls = Tls::start("").await;
    tls.assume(None, ROLE).await.is_error(400, "MissingParameter");
    let plain = Gateway::start().await;
    raw(plain.address(), &post(FORM, "")).await.is_error(400, "STSNotInitialized");
}

#[tokio::test]
async fn a_wrong_certificate_gets_an_answer_and_nothing_else() {
    let tls = Tls::start("").await;
    let strangers = ca("Clients");
    let stranger = client("app", &strangers);
    let reply = tls.assume(Some(&stranger), ROLE).await;
    reply.is_error(400, "InvalidClientCertificate");
    // Which check failed is not told.
    let key = KeyPair::generate().unwrap();
    let expired = {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "app");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = date_time_ymd(2026, 11, 22);
        params.signed_by(&key, &tls.ca).unwrap().der().clone()
    };
    let other = tls.assume(Some(&Shown { chain: vec![expired], key }), ROLE).await;
    assert_eq!(other.element("Message"), reply.element("Message"));
}

#[tokio::test]
async fn two_leaves_or_too_many_intermediates_are_refused() {
    let tls = Tls::start("").await;
    let mut two = client("app", &tls.ca);
    two.chain.extend(client("admin", &tls.ca).chain);
    tls.assume(Some(&two), ROLE).await.is_error(400, "InvalidParameterValue");
    let mut many = client("app", &tls.ca);
    many.chain.extend((0..11).map(|number| ca(&number.to_string()).der().clone()));
    tls.assume(Some(&many), ROLE).await.is_error(400, "TooManyIntermediateCAs");
    // Somebody else's leaf behind an authority of one's own.
    let own = ca("Attacker");
    let chain = [vec![own.der().clone()], client("app", &tls.ca).chain].concat();
    let key = KeyPair::from_pem(&own.key().serialize_pem()).unwrap();
    tls.assume(Some(&Shown { chain, key }), ROLE).await.is_error(400, "InvalidClientCertificate");
}

#[tokio::test]
async fn a_name_that_nobody_trusts_gets_nothing() {
    let tls = Tls::start("").await;
    for (cn, more) in [
        ("admin", ROLE),
        ("*", ROLE),
        ("app,admin", ROLE),
        // The name of a policy is none of the certificate's business unless the configuration says so.
        ("all", ""),
        ("app", "&RoleArn=arn:aws:iam::000000000000:role/nobodys"),
    ] {
        tls.assume(Some(&client(cn, &tls.ca)), more).await.is_error(403, "AccessDenied");
    }
    let by_policy = Tls::start("[certificate]\npolicy_from_cn = true\n").await;
    by_policy.assume(Some(&client("nowhere", &by_policy.ca)), "").await.is_error(403, "AccessDenied");
    for cn in ["reports,all", "*", "", "all\0"] {
        let reply = by_policy.assume(Some(&client(cn, &by_policy.ca)), "").await;
        reply.is_error(400, "InvalidClientCertificate");
    }
}

#[tokio::test]
async fn headers_that_name_a_certificate_have_no_effect() {
    let tls = Tls::start("").await;
    let headers = "x-forwarded-client-cert: Subject=\"CN=app\"\r\nx-ssl-client-s-dn: CN=app\r\n\
                   x-ssl-client-verify: SUCCESS\r\nx-client-cert: app\r\nclient-cert: :app:\r\n";
    let reply = tls.send(None, &post(&format!("{FORM}{ROLE}"), headers)).await;
    reply.is_error(400, "MissingParameter");
    let other = client("other", &tls.ca);
    let reply = tls.send(Some(&other), &post(&format!("{FORM}{ROLE}"), headers)).await;
    reply.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn keys_die_with_the_certificate_at_the_latest() {
    let tls = Tls::start("[certificate]\npolicy_from_cn = true\n").await;
    let reports = client("reports", &tls.ca);
    let end = |reply: &Reply| reply.element("Expiration").unwrap();
    let long = tls.assume(Some(&reports), "&DurationSeconds=43200").await;
    assert_eq!(end(&long), "2026-11-24T00:00:00Z");
    let short = tls.assume(Some(&reports), "&DurationSeconds=900").await;
    assert_eq!(end(&short), "2026-11-23T12:15:00Z");
    tls.gateway.advance(12 * 3600 - 60);
    let last = tls.assume(Some(&reports), "&DurationSeconds=3600").await;
    assert_eq!(end(&last), "2026-11-24T00:00:00Z");
    let keys = keys_of(&last);
    tls.gateway.advance(60);
    let get = call("GET", "/reports/a").at(tls.gateway.now()).sign(&keys, tls.gateway.address());
    tls.send(Some(&reports), &get.head()).await.is_error(400, "ExpiredToken");
}

#[tokio::test]
async fn a_certificate_changes_nothing_of_other_requests() {
    let tls = Tls::start("").await;
    let stranger = client("app", &ca("Strangers"));
    let get = call("GET", "/bucket/a").at(tls.gateway.now());
    let signed = get.sign(&tls.gateway.bob(), tls.gateway.address());
    tls.send(Some(&stranger), &signed.head()).await.is_ok();
    // And proves nobody there.
    let nobody = b"GET /bucket/a HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(tls.send(Some(&client("app", &tls.ca)), nobody).await.status, 403);
    assert_eq!(tls.gateway.backend().requests().len(), 1);
}

#[tokio::test]
async fn sessions_made_from_that_of_a_certificate_end_with_it_too() {
    let hop = allow("sts:AssumeRole", "arn:aws:iam::000000000000:role/next");
    let hop = format!("[[policy]]\nname = \"hop\"\ndocument = '''{hop}'''\n");
    let roles = "[[role]]\nname = \"first\"\npolicies = [\"hop\"]\n[[role.trust]]\ncertificate = { cn = \"app\" }\n\
                 [[role]]\nname = \"next\"\npolicies = [\"reports\"]\n[[role.trust]]\nroles = [\"first\"]\n";
    let tls = Tls::start(&format!("{hop}{roles}")).await;
    let app = client("app", &tls.ca);
    tls.gateway.advance(12 * 3600 - 600);
    let first = tls.assume(Some(&app), "&RoleArn=arn:aws:iam::000000000000:role/first").await;
    assert_eq!(first.element("Expiration").unwrap(), "2026-11-24T00:00:00Z");
    let form = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::000000000000:role/next";
    let signed = call("POST", "/")
        .service("sts")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .at(tls.gateway.now())
        .sign(&keys_of(&first), tls.gateway.address());
    let next = tls.send(None, &[signed.head(), form.as_bytes().to_vec()].concat()).await;
    assert_eq!(next.element("Expiration").unwrap(), "2026-11-24T00:00:00Z", "{}", next.text());
}
