//! The embedded backend: s3s-fs over a folder, on a port of its own, with root keys made for this run.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, anyhow};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::secret::{AccessKeyId, SecretAccessKey};

/// A running S3 store over a folder; it ends when this value is dropped.
#[derive(Debug)]
pub struct EmbeddedBackend {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl EmbeddedBackend {
    /// Serves `folder`, which must exist, on `address` (port 0: a free one) to whoever signs with this key pair.
    pub async fn start(
        folder: &Path,
        address: SocketAddr,
        access_key_id: &AccessKeyId,
        secret_access_key: &SecretAccessKey,
    ) -> anyhow::Result<Self> {
        let store = FileSystem::new(folder)
            .map_err(|cause| anyhow!("{cause:?}"))
            .with_context(|| format!("{} cannot be served", folder.display()))?;
        let mut service = S3ServiceBuilder::new(store);
        service.set_auth(SimpleAuth::from_single(access_key_id.as_str(), secret_access_key.expose()));
        let service = service.build();

        let listener =
            TcpListener::bind(address).await.with_context(|| format!("no listener on {address}"))?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    if let Err(cause) = server.serve_connection(TokioIo::new(socket), service).await {
                        tracing::debug!("embedded backend: connection ended: {cause}");
                    }
                });
            }
        });
        Ok(Self { address, accepting })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for EmbeddedBackend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
