//! `daypass health`: asks a running gateway how it is, for those who start and watch it.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::admin_client::{AdminClient, Listener};

/// Shorter than what container runtimes wait.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the gateway says of itself.
#[derive(Debug)]
pub struct Health {
    pub is_good: bool,
    /// A word, or one line for each reason.
    pub says: String,
}

/// `live`: only whether it answers at all, not whether requests should come to it.
pub async fn ask(listener: &Listener, live: bool) -> anyhow::Result<Health> {
    let path = if live { "/health/live" } else { "/health/ready" };
    let (status, body) =
        AdminClient::new(listener, None, TIMEOUT).call(Method::GET, path, String::new()).await?;
    Ok(Health { is_good: status == StatusCode::OK, says: String::from_utf8_lossy(&body).into_owned() })
}
