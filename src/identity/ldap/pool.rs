//! Connections that are kept: some on which the service account searches, some on which passwords are tried. The two never mix,
//! for a bind changes who a connection is.

use std::{sync::Arc, time::Duration};

use deadpool::{
    Runtime,
    managed::{
        Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, TimeoutType,
        Timeouts,
    },
};
use secrecy::{ExposeSecret, SecretString};

use super::connection::{Bound, Connection, Connector, Failure, code};

/// Of each kind.
const MOST: usize = 16;

/// For one of them to be free.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Load balancers forget quiet connections after minutes, and do not say so.
const MAX_IDLE: Duration = Duration::from_secs(60);

/// So that a directory that moved, or got another certificate, is noticed.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// The account that searches.
#[derive(Debug, Clone)]
pub(super) struct ServiceAccount {
    pub(super) dn: String,
    pub(super) password: SecretString,
}

impl ServiceAccount {
    /// A bind with one of them empty proves nobody (RFC 4513, 5.1).
    pub(super) fn is_anonymous(&self) -> bool {
        self.dn.is_empty() || self.password.expose_secret().is_empty()
    }

    pub(super) async fn bind(&self, connection: &mut Connection) -> Result<(), Failure> {
        match connection.bind(&self.dn, self.password.expose_secret()).await? {
            Bound::Yes => Ok(()),
            Bound::No(rc) => Err(Failure::down(format!("it refused the service account with {}", code(rc)))),
        }
    }
}

/// Makes connections, and says which are still good.
#[derive(Debug)]
pub(super) struct Makes {
    connector: Arc<Connector>,
    /// `None`: for the passwords of others.
    service: Option<ServiceAccount>,
}

pub(super) type Connections = Pool<Makes>;

pub(super) fn pool(connector: &Arc<Connector>, service: Option<ServiceAccount>) -> Connections {
    Pool::builder(Makes { connector: Arc::clone(connector), service })
        .max_size(MOST)
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .build()
        .unwrap_or_else(|_| unreachable!("the pool has a runtime for its timeouts"))
}

pub(super) async fn take(pool: &Connections) -> Result<Object<Makes>, Failure> {
    let waits = Timeouts { wait: Some(LONGEST_WAIT), create: None, recycle: None };
    pool.timeout_get(&waits).await.map_err(|cause| match cause {
        PoolError::Backend(failure) => failure,
        PoolError::Timeout(TimeoutType::Wait) => Failure::Busy,
        other => Failure::down(other),
    })
}

impl Manager for Makes {
    type Type = Connection;
    type Error = Failure;

    async fn create(&self) -> Result<Connection, Failure> {
        let mut connection = self.connector.open().await?;
        if let Some(service) = &self.service {
            service.bind(&mut connection).await?;
        }
        Ok(connection)
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<Failure> {
        if connection.is_usable() && metrics.last_used() < MAX_IDLE && connection.age() < MAX_AGE {
            return Ok(());
        }
        Err(RecycleError::message("closed, or too old"))
    }
}
