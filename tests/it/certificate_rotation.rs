//! R08: certificates are replaced under load, file by file and in either order, and no handshake fails.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{Gateway, call};

const WATCH: Duration = Duration::from_millis(30);

struct Files {
    folder: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, as PEM.
struct Pair {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

impl Files {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), ca }
    }

    fn pair(&self) -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let made = params.signed_by(&key, &self.ca).unwrap();
        Pair { certificate: made.pem(), key: key.serialize_pem(), der: made.der().clone() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// In one step, as those who renew certificates do it.
    fn replace(&self, name: &str, text: &str) {
        let new = self.path(&format!("{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::rename(&new, self.path(name)).unwrap();
    }

    fn connector(&self) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Each handshake is a whole one.
        config.resumption = rustls::client::Resumption::disabled();
        TlsConnector::from(Arc::new(config))
    }
}

async fn connect(connector: &TlsConnector, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    connector.connect(ServerName::try_from("localhost").unwrap(), socket).await
}

fn shown(socket: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    socket.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Sends a request and reads so much of the answer as tells its status.
async fn ask(socket: &mut TlsStream<TcpStream>, request: &[u8]) -> String {
    socket.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(answer).unwrap()
}

async fn until_shown(connector: &TlsConnector, address: SocketAddr, wanted: &CertificateDer<'static>) {
    for _ in 0..1000 {
        if shown(&connect(connector, address).await.unwrap()) == *wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("new handshakes do not see the new certificate");
}

fn toml(certificate: &Path, key: &Path) -> String {
    format!(
        "[listen.tls]\ncertificate_file = \"{}\"\nprivate_key_file = \"{}\"\n",
        certificate.display(),
        key.display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_rotated_under_load_without_a_failed_handshake() {
    let files = Files::new();
    let mut pair = files.pair();
    files.replace("server.pem", &pair.certificate);
    files.replace("server.key", &pair.key);
    let gateway =
        Gateway::builder().toml(&toml(&files.path("server.pem"), &files.path("server.key"))).start().await;
    let address = gateway.address();
    let signed = call("GET", "/bucket/key").at(gateway.now()).sign(&gateway.bob(), address).head();
    let open_request =
        String::from_utf8(signed.clone()).unwrap().replace("connection: close\r\n", "").into_bytes();
    let watching = tokio::spawn(gateway.reloader().clone().watch(WATCH));

    let connector = files.connector();
    let mut open = connect(&connector, address).await.unwrap();
    assert!(ask(&mut open, &open_request).await.starts_with("HTTP/1.1 200"));
    let done = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (connector, done, seen, signed) =
                (connector.clone(), done.clone(), seen.clone(), signed.clone());
            tokio::spawn(async move {
                let mut handshakes = 0;
                while !done.load(Ordering::Relaxed) {
                    let mut socket = connect(&connector, address).await.expect("a handshake failed");
                    seen.lock().unwrap().insert(shown(&socket).to_vec());
                    assert!(ask(&mut socket, &signed).await.starts_with("HTTP/1.1 200"));
                    handshakes += 1;
                }
                handshakes
            })
        })
        .collect();
    let mut all = BTreeSet::from([pair.der.to_vec()]);
    for round in 0..6 {
        let next = files.pair();
        let mut changes = [("server.pem", &next.certificate), ("server.key", &next.key)];
        if round % 2 == 1 {
            changes.reverse();
        }
        files.replace(changes[0].0, changes[0].1);
        // Long enough for the half of a pair to be seen, and refused.
        tokio::time::sleep(WATCH * 5).await;
        let half = shown(&connect(&connector, address).await.unwrap());
        assert_eq!(half, pair.der, "a half-changed pair is not taken");
        files.replace(changes[1].0, changes[1].1);
        until_shown(&connector, address, &next.der).await;
        assert!(
            ask(&mut open, &open_request).await.starts_with("HTTP/1.1 200"),
            "an open connection goes on"
        );
        all.insert(next.der.to_vec());
        pair = next;
    }
    done.store(true, Ordering::Relaxed);
    let mut handshakes = 0;
    for client in clients {
        handshakes += client.await.unwrap();
    }
    watching.abort();
    assert!(handshakes > 20, "only {handshakes}");
    assert_eq!(*seen.lock().unwrap(), all, "every certificate was seen, and no other");
}
