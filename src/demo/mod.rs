//! `daypass demo`: an embedded backend, a gateway before it, and a guided tour.
#![expect(clippy::print_stdout, reason = "the tour is what the command prints")]

pub mod backend;
mod client;
mod listening;
mod tour;

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, anyhow};

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
    listening::ANYWHERE,
};

/// Alice's long-term key pair is made for each run; it is good for STS and for nothing else.
struct Alice {
    access_key_id: AccessKeyId,
    secret: SecretAccessKey,
}

/// Runs the tour, and unless `once`, stays up until Ctrl-C. `false`: a step did not go as it should.
pub async fn run(once: bool) -> anyhow::Result<bool> {
    let _lines = telemetry::log::install(telemetry::log::Format::Text, telemetry::log::Level::Error);
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let (root, root_secret) = credentials::generate_user_keys()?;
    let (access_key_id, secret) = credentials::generate_user_keys()?;
    let alice = Alice { access_key_id, secret };

    let data = folder.path().join("data");
    // A bucket is a folder to this backend; the tour may not make buckets.
    for bucket in ["reports", "payroll"] {
        std::fs::create_dir_all(data.join(bucket))?;
    }
    let backend = EmbeddedBackend::start(&data, ANYWHERE, &root, &root_secret).await?;
    let gateway = start_gateway(folder.path(), backend.address(), &root, &root_secret, &alice).await?;

    tour::introduce(backend.address(), gateway.address());
    let keys = Keys {
        access_key_id: alice.access_key_id.to_string(),
        secret: alice.secret.expose().to_owned(),
        token: None,
        expiration: String::new(),
    };
    let went_well = tour::walk(&DemoClient::new(gateway.address()), gateway.address(), &keys).await?;
    if !once {
        tour::lines_to_paste(gateway.address(), &keys);
        tokio::signal::ctrl_c().await?;
        println!("\nStopping; the data of the demo goes with it.");
    }
    gateway.shutdown().await;
    Ok(went_well)
}

/// On port 9000 when it is free, as S3 users expect, else on any.
async fn start_gateway(
    folder: &Path,
    backend: SocketAddr,
    root: &AccessKeyId,
    root_secret: &SecretAccessKey,
    alice: &Alice,
) -> anyhow::Result<Running> {
    let mut failure = None;
    for port in [9000, 0] {
        let file = folder.join("daypass.toml");
        std::fs::write(&file, configuration(port, backend, root, root_secret, alice)?)?;
        let config = config::load(&file, &|_| None).map_err(|problems| anyhow!("{problems}"))?;
        match app::start(config, Arc::new(SystemClock)).await {
            Ok(running) => return Ok(running),
            Err(cause) => failure = Some(cause),
        }
    }
    Err(failure.unwrap_or_else(|| anyhow!("the gateway did not start")))
}

fn configuration(
    port: u16,
    backend: SocketAddr,
    root: &AccessKeyId,
    root_secret: &SecretAccessKey,
    alice: &Alice,
) -> anyhow::Result<String> {
    let sealing_key = credentials::Keyring::generate_line()?;
    Ok(format!(
        r#"[listen]
address = "127.0.0.1:{port}"

[backend]
endpoint = "http://{backend}"
access_key_id = "{root}"
secret_access_key = "{root_secret}"
trust_link = true                  # the backend is in this process

[sts]
sealing_keys = "{sealing_key}"
min_duration = "1s"                # so that the tour can watch a key die

[[policy]]
name = "reports"
document = '''
{{"Version": "2012-10-17", "Statement": [
  {{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::reports"}},
  {{"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::reports/*"}}
]}}'''

[[role]]
name = "analyst"
policies = ["reports"]

[[user]]
name = "alice"
access_key_id = "{alice_id}"
secret_access_key = "{alice_secret}"
roles = ["analyst"]
"#,
        root_secret = root_secret.expose(),
        alice_id = alice.access_key_id,
        alice_secret = alice.secret.expose(),
    ))
}
