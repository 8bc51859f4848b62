//! `daypass demo`: an embedded backend, an OpenID provider and a directory, a gateway between them, and a guided tour.
#![expect(clippy::print_stdout, reason = "the tour is what the command prints")]

pub mod backend;
mod client;
mod configuration;
mod directory;
mod listening;
mod paste;
mod provider;
mod tour;

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, anyhow};
use secrecy::SecretString;

use crate::{
    app::{self, Running},
    clock::SystemClock,
    config, credentials,
    secret::{AccessKeyId, SecretAccessKey},
    telemetry,
};

use self::{
    backend::EmbeddedBackend,
    client::{DemoClient, Keys},
    configuration::{DIRECTORY_CA, Neighbours},
    directory::Directory,
    listening::ANYWHERE,
    provider::Provider,
};

/// The tour may not make buckets.
const BUCKETS: [&str; 3] = ["reports", "payroll", "backups"];
/// What nobody may see but the auditors.
const SALARIES: &str = "payroll/salaries.csv";

/// Runs the tour, and unless `once`, stays up until Ctrl-C. `false`: a step did not go as it should.
pub async fn run(once: bool) -> anyhow::Result<bool> {
    let _lines = telemetry::log::install(telemetry::log::Format::Text, telemetry::log::Level::Error);
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let scene = Scene::set(folder.path()).await?;

    tour::introduce(&scene);
    let client = DemoClient::new(scene.gateway.address());
    let went_well = tour::walk(&client, &scene).await?;
    if !once {
        let token_file = write_token(folder.path(), &client.id_token(&scene.provider).await?)?;
        paste::lines(&scene, &token_file);
        tokio::signal::ctrl_c().await?;
        println!("\nStopping; the data of the demo goes with it.");
    }
    scene.gateway.shutdown().await;
    Ok(went_well)
}

/// Everything that runs for the tour.
struct Scene {
    backend: EmbeddedBackend,
    provider: Provider,
    directory: Directory,
    gateway: Running,
    /// Alice's long-term key pair is good for STS and for nothing else.
    alice: Keys,
}

/// Made for this run.
struct KeyPair {
    id: AccessKeyId,
    secret: SecretAccessKey,
}

impl Scene {
    async fn set(folder: &Path) -> anyhow::Result<Self> {
        let (root, alice) = (KeyPair::new()?, KeyPair::new()?);
        let data = folder.join("data");
        for bucket in BUCKETS {
            // A bucket is a folder to this backend.
            fs::create_dir_all(data.join(bucket))?;
        }
        fs::write(data.join(SALARIES), "alice,1\n")?;
        let backend = EmbeddedBackend::start(&data, ANYWHERE, &root.id, &root.secret).await?;
        let provider = Provider::start().await?;
        let directory = Directory::start().await?;
        fs::write(folder.join(DIRECTORY_CA), &directory.ca_pem)?;
        let neighbours = Neighbours {
            backend: backend.address(),
            root: &root,
            alice: &alice,
            provider: &provider,
            directory: &directory,
        };
        let gateway = start_gateway(folder, &neighbours).await?;
        Ok(Self { backend, provider, directory, gateway, alice: alice.keys() })
    }

    fn gateway(&self) -> SocketAddr {
        self.gateway.address()
    }
}

impl KeyPair {
    fn new() -> anyhow::Result<Self> {
        let (id, secret) = credentials::generate_user_keys()?;
        Ok(Self { id, secret })
    }

    fn keys(&self) -> Keys {
        Keys {
            access_key_id: self.id.to_string(),
            secret: self.secret.expose().to_owned(),
            token: None,
            expiration: String::new(),
        }
    }
}

/// On port 9000 when it is free, as S3 users expect, else on any.
async fn start_gateway(folder: &Path, neighbours: &Neighbours<'_>) -> anyhow::Result<Running> {
    let mut failure = None;
    for port in [9000, 0] {
        let file = folder.join("daypass.toml");
        fs::write(&file, neighbours.configuration(port)?)?;
        let config = config::load(&file, &|_| None).map_err(|problems| anyhow!("{problems}"))?;
        match app::start(config, None, Arc::new(SystemClock)).await {
            Ok(running) => return Ok(running),
            Err(cause) => failure = Some(cause),
        }
    }
    Err(failure.unwrap_or_else(|| anyhow!("the gateway did not start")))
}

/// A password that ends with the demo: 96 random bits that no shell and no form has to escape.
fn throw_away_secret() -> anyhow::Result<SecretString> {
    let mut bytes = [0; 12];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(hex::encode(bytes).into())
}

/// A token is as good as a password: nobody else may read it.
fn write_token(folder: &Path, token: &str) -> anyhow::Result<PathBuf> {
    let file = folder.join("alice.token");
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?.write_all(token.as_bytes())?;
    Ok(file)
}
