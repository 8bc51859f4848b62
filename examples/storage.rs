//! The embedded backend of `daypass demo` by itself: an S3 store over a folder, for trying the gateway without any other storage.
//!
//! ```sh
//! AWS_ACCESS_KEY_ID=root AWS_SECRET_ACCESS_KEY=rootsecret cargo run --example storage -- /tmp/data 127.0.0.1:9002
//! ```
#![expect(clippy::print_stdout, reason = "an example answers on standard output")]

use std::path::PathBuf;

use anyhow::{Context, bail};
use daypass::{
    demo::backend::EmbeddedBackend,
    secret::{AccessKeyId, SecretAccessKey},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, address] = arguments.as_slice() else { bail!("usage: storage FOLDER ADDRESS:PORT") };
    #[expect(clippy::disallowed_methods, reason = "an example has no configuration")]
    let variable = |name: &str| std::env::var(name).with_context(|| format!("set {name}"));
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    let root = AccessKeyId::new(variable("AWS_ACCESS_KEY_ID")?);
    let secret = SecretAccessKey::new(variable("AWS_SECRET_ACCESS_KEY")?);
    let backend = EmbeddedBackend::start(&folder, address.parse()?, &root, &secret).await?;
    println!("{} is served at http://{}", folder.display(), backend.address());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
