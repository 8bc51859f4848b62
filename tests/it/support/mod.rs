//! A whole gateway for a test: a real configuration file, a recording backend, a clock that is turned by hand.

mod backend;
mod client;
pub mod directory;
pub mod process;
mod provider;
pub mod storage;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use daypass::{
    app::{self, Reloaded, Reloader, Running, Source},
    clock::{Clock, ManualClock, Timestamp},
    config,
};

pub use self::{backend::*, client::*, provider::*};

/// 2026-11-23T12:00:00Z, when every test begins.
pub const NOW: Timestamp = Timestamp::from_unix(1_795_435_200);

pub const ROOT_ACCESS_KEY_ID: &str = "BACKENDROOTKEY000001";
pub const ROOT_SECRET: &str = "backend-root-secret-never-seen-by-anybody";
pub const ALL: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
pub const SEALING_KEY: &str = "0a0b0c0d:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

/// What a gateway is started with.
pub struct Builder {
    listen: String,
    backend: String,
    profile: String,
    backend_endpoint: Option<String>,
    sts: String,
    sealing_keys: String,
    rest: String,
    files: Vec<(String, String)>,
}

/// A gateway before a recording backend.
pub struct Gateway {
    running: Running,
    backend: Backend,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

impl Builder {
    /// A policy by its JSON.
    pub fn policy(mut self, name: &str, document: &str) -> Self {
        self.rest.push_str(&format!("[[policy]]\nname = \"{name}\"\ndocument = '''{document}'''\n"));
        self
    }

    /// A role with one policy, which alice may assume.
    pub fn role(mut self, name: &str, document: &str) -> Self {
        self = self.policy(&format!("role-{name}"), document);
        self.rest.push_str(&format!("[[role]]\nname = \"{name}\"\npolicies = [\"role-{name}\"]\n"));
        self
    }

    /// Lines of configuration as they are, after everything else.
    pub fn toml(mut self, lines: &str) -> Self {
        self.rest.push_str(lines);
        self
    }

    /// A file beside the configuration.
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// Lines within `[listen]`.
    pub fn listen(mut self, lines: &str) -> Self {
        self.listen.push_str(lines);
        self.listen.push('\n');
        self
    }

    /// Lines within `[backend]`.
    pub fn backend_lines(mut self, lines: &str) -> Self {
        self.backend.push_str(lines);
        self.backend.push('\n');
        self
    }

    /// Without TLS and without `trust_link`.
    pub fn untrusted_link(mut self) -> Self {
        self.backend.clear();
        self
    }

    /// The kind of the backend.
    pub fn profile(mut self, name: &str) -> Self {
        name.clone_into(&mut self.profile);
        self
    }

    /// Another backend than the recording one.
    pub fn backend_endpoint(mut self, endpoint: &str) -> Self {
        self.backend_endpoint = Some(format!("endpoint = \"{endpoint}\""));
        self
    }

    /// Several addresses of a backend.
    pub fn backend_addresses(mut self, addresses: &[SocketAddr]) -> Self {
        let endpoints: Vec<String> =
            addresses.iter().map(|address| format!("\"http://{address}\"")).collect();
        self.backend_endpoint = Some(format!("endpoints = [{}]", endpoints.join(", ")));
        self
    }

    /// Lines within `[sts]`.
    pub fn sts(mut self, lines: &str) -> Self {
        self.sts.push_str(lines);
        self.sts.push('\n');
        self
    }

    pub fn sealing_keys(mut self, keys: &str) -> Self {
        keys.clone_into(&mut self.sealing_keys);
        self
    }

    /// The whole file; `endpoint`: the line of `[backend]` that says where it is.
    pub fn text(&self, endpoint: &str) -> String {
        let roles: Vec<String> = self
            .rest
            .split("[[role]]\nname = ")
            .skip(1)
            .filter_map(|after| after.lines().next())
            .map(str::to_owned)
            .collect();
        format!(
            "[listen]\naddress = \"127.0.0.1:0\"\n{}\n\
             [backend]\n{endpoint}\nregion = \"us-east-1\"\n\
             profile = \"{}\"\naccess_key_id = \"{ROOT_ACCESS_KEY_ID}\"\nsecret_access_key = \"{ROOT_SECRET}\"\n{}\n\
             [sts]\nsealing_keys = \"\"\"\n{}\n\"\"\"\n{}\n\
             [[policy]]\nname = \"all\"\ndocument = '''{ALL}'''\n\
             [[user]]\nname = \"alice\"\naccess_key_id = \"ALICEACCESSKEY000001\"\nsecret_access_key = \"alice-secret-alice-secret\"\n\
             policies = [\"all\"]\nroles = [{}]\n\
             [[user]]\nname = \"bob\"\naccess_key_id = \"BOBSACCESSKEY0000001\"\nsecret_access_key = \"bobs-secret-bobs-secret\"\n\
             policies = [\"all\"]\ns3_access = true\n\
             {}\n",
            self.listen,
            self.profile,
            self.backend,
            self.sealing_keys,
            self.sts,
            roles.join(", "),
            self.rest
        )
    }

    pub async fn start(self) -> Gateway {
        let backend = Backend::start().await;
        let clock = Arc::new(ManualClock::at(NOW));
        self.start_with(backend, clock).await
    }

    pub async fn start_with(self, backend: Backend, clock: Arc<ManualClock>) -> Gateway {
        let shown = clock.clone();
        self.start_with_clock(backend, clock, shown).await
    }

    /// `shown`: the clock that the gateway sees.
    pub async fn start_with_clock(
        self,
        backend: Backend,
        clock: Arc<ManualClock>,
        shown: Arc<dyn Clock>,
    ) -> Gateway {
        let endpoint = self
            .backend_endpoint
            .clone()
            .unwrap_or_else(|| format!("endpoint = \"http://{}\"", backend.address()));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daypass.toml");
        std::fs::write(&file, self.text(&endpoint)).unwrap();
        for (name, content) in &self.files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        let config = match config::load(&file, &|_| None) {
            Ok(config) => config,
            Err(problems) => panic!("{problems}"),
        };
        let source = Source { path: file, environment: Box::new(|_| None) };
        let running = app::start(config, Some(source), shown).await.unwrap();
        Gateway { running, backend, clock, folder }
    }
}

impl Gateway {
    pub fn builder() -> Builder {
        Builder {
            listen: String::new(),
            backend: "trust_link = true\n".to_owned(),
            profile: "minio".to_owned(),
            backend_endpoint: None,
            sts: "min_duration = \"1s\"\n".to_owned(),
            sealing_keys: SEALING_KEY.to_owned(),
            rest: String::new(),
            files: Vec::new(),
        }
    }

    /// A gateway with the users alice (may get sessions) and bob (may use the long-term key on S3).
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// The same configuration in a new process, as it were: what is not on the disk is gone.
    pub async fn restart(self) -> Self {
        let Self { running, backend, clock, folder } = self;
        running.shutdown().await;
        let file = folder.path().join("daypass.toml");
        let config = config::load(&file, &|_| None).unwrap();
        let source = Source { path: file, environment: Box::new(|_| None) };
        let running = app::start(config, Some(source), clock.clone()).await.unwrap();
        Self { running, backend, clock, folder }
    }

    /// A call of the admin listener.
    pub async fn admin(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> Reply {
        let address = self.running.admin_address().unwrap();
        let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n{token}content-length: {}\r\n\r\n",
            body.len()
        );
        raw(address, format!("{head}{body}").as_bytes()).await
    }

    /// Of a gateway with `[admin]`.
    pub fn admin_address(&self) -> SocketAddr {
        self.running.admin_address().unwrap()
    }

    /// Stops it, and waits until it has ended.
    pub async fn stop(self) {
        self.running.shutdown().await;
    }

    /// Stops it; gives what becomes of it and where the admin listener is.
    pub fn shutdown(self) -> (tokio::task::JoinHandle<daypass::server::Drained>, SocketAddr) {
        let admin = self.admin_address();
        (tokio::spawn(self.running.shutdown()), admin)
    }

    /// Reads the configuration file again after a change of its text.
    pub fn reload(&self, change: impl FnOnce(String) -> String) -> Reloaded {
        let file = self.folder.path().join("daypass.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, change(text)).unwrap();
        self.running.reloader().unwrap().reload()
    }

    pub fn reloader(&self) -> &Arc<Reloader> {
        self.running.reloader().unwrap()
    }

    /// What the gateway knows of its memory.
    pub fn memory(&self) -> &daypass::server::Memory {
        self.running.memory()
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    #[expect(clippy::unused_self, reason = "she is a user of this gateway")]
    pub fn alice(&self) -> Keys {
        Keys::long_term("ALICEACCESSKEY000001", "alice-secret-alice-secret")
    }

    #[expect(clippy::unused_self, reason = "he is a user of this gateway")]
    pub fn bob(&self) -> Keys {
        Keys::long_term("BOBSACCESSKEY0000001", "bobs-secret-bobs-secret")
    }

    /// Signs in the header at the gateway's time and sends.
    pub async fn send(&self, keys: &Keys, call: Call) -> Reply {
        call.at(self.now()).sign(keys, self.address()).send(self.address()).await
    }

    /// An STS call as a form.
    pub async fn sts(&self, keys: &Keys, form: &[(&str, &str)]) -> Reply {
        let body: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let call = call("POST", "/")
            .service("sts")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(body.join("&"));
        self.send(keys, call).await
    }

    /// An STS call that nobody signed, as a form.
    pub async fn unsigned_sts(&self, action: &str, form: &[(&str, &str)]) -> Reply {
        let mut body = format!("Action={action}&Version=2011-06-15");
        for (name, value) in form {
            body.push_str(&format!("&{name}={}", encode(value)));
        }
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
            self.address(),
            body.len()
        );
        raw(self.address(), format!("{head}{body}").as_bytes()).await
    }

    /// Temporary keys of alice: without a role those of her own policies.
    pub async fn session(&self) -> Keys {
        self.assume(&[]).await
    }

    /// Temporary keys of alice in a role.
    pub async fn role_session(&self, role: &str) -> Keys {
        let arn = format!("arn:aws:iam::000000000000:role/{role}");
        self.assume(&[("RoleArn", &arn), ("RoleSessionName", "test")]).await
    }

    /// Temporary keys of alice from a gateway that goes by this name.
    pub async fn assume_at(&self, host: &str) -> Keys {
        let mut call = call("POST", "/")
            .service("sts")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("Action=AssumeRole&Version=2011-06-15");
        call.host = Some(host.to_owned());
        let reply = self.send(&self.alice(), call).await;
        reply.is_ok();
        keys_of(&reply)
    }

    pub async fn assume(&self, parameters: &[(&str, &str)]) -> Keys {
        let mut form = vec![("Action", "AssumeRole"), ("Version", "2011-06-15")];
        form.extend_from_slice(parameters);
        let reply = self.sts(&self.alice(), &form).await;
        reply.is_ok();
        keys_of(&reply)
    }
}

pub fn keys_of(reply: &Reply) -> Keys {
    Keys {
        access_key_id: reply.element("AccessKeyId").unwrap(),
        secret: reply.element("SecretAccessKey").unwrap(),
        token: Some(reply.element("SessionToken").unwrap()),
    }
}

/// An Allow for these actions and resources.
pub fn allow(actions: &str, resources: &str) -> String {
    let list = |text: &str| text.split(' ').map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":[{}],"Resource":[{}]}}]}}"#,
        list(actions),
        list(resources)
    )
}
