//! Gateways that share revocations in a real Valkey or Redis: how fast they hear of each other, and what holds without it.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{ALL, Builder, Gateway, Keys, Reply, call};

const TOKEN: &str = "0123456789abcdef-admin";
const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\ntoken = \"0123456789abcdef-admin\"\n";
const PASSWORD: &str = "password-of-the-server";

/// A server with a password, over TLS, which keeps nothing on the disk. It may end and come back without its data.
struct Server {
    address: SocketAddr,
    folder: tempfile::TempDir,
    running: Option<Child>,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("cert.pem"), cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut server = Self { address, folder, running: None };
        server.run().await;
        server
    }

    async fn run(&mut self) {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let (port, cert, key) = (self.address.port().to_string(), file("cert.pem"), file("key.pem"));
        let arguments = [
            ("--port", "0"),
            ("--tls-port", &port),
            ("--tls-cert-file", &cert),
            ("--tls-key-file", &key),
            ("--tls-ca-cert-file", &cert),
            ("--tls-auth-clients", "no"),
            ("--bind", "127.0.0.1"),
            ("--save", ""),
            ("--appendonly", "no"),
            ("--requirepass", PASSWORD),
        ];
        let program = ["/usr/bin/valkey-server", "/usr/bin/redis-server"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let mut command = Command::new(program.expect("valkey-server or redis-server is installed"));
        command.args(arguments.iter().flat_map(|(name, value)| [name, value])).stdout(Stdio::null());
        self.running = Some(command.current_dir(self.folder.path()).spawn().unwrap());
        for _ in 0..500 {
            if tokio::net::TcpStream::connect(self.address).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server does not start");
    }

    fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill().unwrap();
            running.wait().unwrap();
        }
    }

    fn builder(&self, more: &str) -> Builder {
        let url = format!("rediss://localhost:{}/3", self.address.port());
        let ca = self.folder.path().join("cert.pem");
        let revocation = format!(
            "[revocation]\nurl = \"{url}\"\npassword = \"{PASSWORD}\"\nca_file = \"{}\"\ntimeout = \"1s\"\n{more}\n",
            ca.display()
        );
        Gateway::builder().toml(ADMIN).toml(&revocation).role("first", ALL)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn revoke(gateway: &Gateway, wanted: &Value) -> (u16, Value) {
    let reply = gateway.admin("POST", "/v1/revocations", Some(TOKEN), &wanted.to_string()).await;
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

async fn get(gateway: &Gateway, keys: &Keys) -> Reply {
    gateway.send(keys, call("GET", "/data/x")).await
}

/// Asks until the answer is this one; how long it took.
async fn becomes(gateway: &Gateway, keys: &Keys, status: u16) -> Duration {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(15) {
        if get(gateway, keys).await.status == status {
            return began.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not {status}: {}", get(gateway, keys).await.text());
}

/// What the metric says, in seconds.
async fn age(gateway: &Gateway) -> u64 {
    let page = gateway.admin("GET", "/metrics", None, "").await.text();
    let line = page.lines().find_map(|line| line.strip_prefix("daypass_revocations_age_seconds "));
    line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

async fn is_refused(gateway: &Gateway, keys: &Keys, status: u16, code: &str) {
    gateway.backend().forget();
    get(gateway, keys).await.is_error(status, code);
    gateway.backend().saw_nothing();
}

#[tokio::test]
#[ignore = "needs redis-server: make test"]
async fn what_one_gateway_revokes_the_other_refuses_within_a_second() {
    let server = Server::start().await;
    let (one, two) = (server.builder("").start().await, server.builder("").start().await);
    for _ in 0..20 {
        let session = one.role_session("first").await;
        get(&two, &session).await.is_ok();
        let (status, entry) =
            revoke(&one, &json!({ "kind": "session", "value": session.access_key_id })).await;
        assert_eq!(status, 201, "{entry}");
        let took = becomes(&two, &session, 400).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
        is_refused(&one, &session, 400, "InvalidToken").await;
        is_refused(&two, &session, 400, "InvalidToken").await;
    }
    // A session that ends itself at one of them, and one that is given back.
    let (itself, role) = (two.session().await, two.role_session("first").await);
    two.sts(&itself, &[("Action", "RevokeSession"), ("Version", "2011-06-15")]).await.is_ok();
    assert!(becomes(&one, &itself, 400).await < Duration::from_secs(1));
    let (_, entry) = revoke(&two, &json!({ "kind": "role", "value": "first" })).await;
    assert!(becomes(&one, &role, 400).await < Duration::from_secs(1));
    let path = format!("/v1/revocations/{}", entry["id"].as_str().unwrap());
    assert_eq!(one.admin("DELETE", &path, Some(TOKEN), "").await.status, 200);
    assert!(becomes(&two, &role, 200).await < Duration::from_secs(1));
    // One that starts knows before it answers.
    let one = one.restart().await;
    is_refused(&one, &itself, 400, "InvalidToken").await;
    get(&one, &role).await.is_ok();
}

#[tokio::test]
#[ignore = "needs redis-server: make test"]
async fn without_the_server_sessions_are_served_or_refused_as_the_configuration_says() {
    let mut server = Server::start().await;
    let serving = server.builder("").start().await;
    let refusing = server.builder("when_unreachable = \"refuse\"\nmax_age = \"1m\"").start().await;
    let (leaked, good) = (serving.role_session("first").await, serving.role_session("first").await);
    let (_, lifted) = revoke(&serving, &json!({ "kind": "user", "value": "bob" })).await;
    server.stop();
    for gateway in [&serving, &refusing] {
        get(gateway, &good).await.is_ok();
    }
    // It holds where it was said, and the answer says that the others do not know.
    let (status, answer) =
        revoke(&serving, &json!({ "kind": "session", "value": leaked.access_key_id })).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (503, Some("NotShared")), "{answer}");
    is_refused(&serving, &leaked, 400, "InvalidToken").await;
    let path = format!("/v1/revocations/{}", lifted["id"].as_str().unwrap());
    assert_eq!(serving.admin("DELETE", &path, Some(TOKEN), "").await.status, 503);
    serving.advance(3000);
    refusing.advance(61);
    get(&serving, &good).await.is_ok();
    is_refused(&refusing, &good, 503, "ServiceUnavailable").await;
    assert!(age(&serving).await >= 3000 && age(&refusing).await >= 61);
    let whoami = [("Action", "GetCallerIdentity"), ("Version", "2011-06-15")];
    refusing.sts(&good, &whoami).await.is_error(503, "ServiceUnavailable");
    // Who has a long-term key can still prove it, as far as that goes.
    refusing.sts(&refusing.alice(), &whoami).await.is_ok();
    // The server comes back, and has lost everything: those who know write it down again.
    server.run().await;
    assert!(becomes(&refusing, &good, 200).await < Duration::from_secs(5));
    assert!(age(&refusing).await <= 1, "{}", age(&refusing).await);
    becomes(&refusing, &leaked, 400).await;
    is_refused(&refusing, &leaked, 400, "InvalidToken").await;
    let list = refusing.admin("GET", "/v1/revocations", Some(TOKEN), "").await;
    assert!(list.text().contains("\"bob\""), "{}", list.text());
}

#[tokio::test]
#[ignore = "needs redis-server: make test"]
async fn a_gateway_that_never_saw_the_server_refuses_when_it_shall() {
    let mut server = Server::start().await;
    let (keys, builder) =
        (server.builder("").start().await.session().await, server.builder("when_unreachable = \"refuse\""));
    server.stop();
    let gateway = builder.start().await;
    is_refused(&gateway, &keys, 503, "ServiceUnavailable").await;
    gateway.advance(90);
    assert!(age(&gateway).await >= 90);
    server.run().await;
    becomes(&gateway, &keys, 200).await;
}
