//! The embedded backend: s3s-fs over a folder, on a port of its own, with root keys made for this run.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, anyhow};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;

use super::listening::{Listening, serve_http};
use crate::secret::{AccessKeyId, SecretAccessKey};

/// A running S3 store over a folder; it ends when this value is dropped.
#[derive(Debug)]
pub struct EmbeddedBackend {
    listening: Listening,
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
        let listening = Listening::start(address, move |socket| serve_http(socket, service.clone())).await?;
        Ok(Self { listening })
    }

    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }
}
