//! `daypass revoke`: asks the admin listener of a gateway.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    admin_client::{AdminClient, Listener},
    credentials::revocation::{Entry, Wanted},
    secret::AdminToken,
};

/// What to do.
#[derive(Debug)]
pub enum Task {
    Revoke(Wanted),
    List,
    Lift(String),
}

/// Of one call with its answer.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct List {
    revocations: Vec<Entry>,
}

#[derive(Deserialize)]
struct Refused {
    error: Error,
}

#[derive(Deserialize)]
struct Error {
    message: String,
}

/// Does it, and says in words what was done. `None`: there is nothing to lift by this id. Without a `token` the listener shows a
/// certificate.
pub async fn run(
    listener: &Listener,
    token: Option<&AdminToken>,
    task: Task,
) -> anyhow::Result<Option<String>> {
    let admin = AdminClient::new(listener, token, TIMEOUT);
    match task {
        Task::Revoke(wanted) => {
            let body = serde_json::json!({ "kind": wanted.kind, "value": wanted.value, "issued_before": wanted.issued_before });
            let entry: Entry = read(&admin.call(Method::POST, "/v1/revocations", body.to_string()).await?)?;
            Ok(Some(format!("revoked: {}\n", line(&entry))))
        }
        Task::List => {
            let list: List = read(&admin.call(Method::GET, "/v1/revocations", String::new()).await?)?;
            let mut text = String::new();
            for entry in &list.revocations {
                let _ = writeln!(text, "{}", line(entry));
            }
            let _ = writeln!(text, "{} revocations", list.revocations.len());
            Ok(Some(text))
        }
        Task::Lift(id) => {
            if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                bail!("`{id}` is no id: --list shows those that there are");
            }
            let answer = admin.call(Method::DELETE, &format!("/v1/revocations/{id}"), String::new()).await?;
            if answer.0 == StatusCode::NOT_FOUND && !is_off(&answer.1) {
                return Ok(None);
            }
            Ok(Some(format!("lifted: {}\n", line(&read(&answer)?))))
        }
    }
}

fn line(entry: &Entry) -> String {
    let Entry { id, kind, value, issued_before, expires_at } = entry;
    let about = if value.is_empty() { kind.to_string() } else { format!("{kind} {value}") };
    match expires_at {
        Some(end) => format!("{id}  {about}  issued before {issued_before:?}, kept until {end:?}"),
        None => format!("{id}  {about}  until it is lifted"),
    }
}

fn is_off(body: &[u8]) -> bool {
    message(body).is_some_and(|message| message.contains("[admin] has no token"))
}

fn message(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Refused>(body).ok().map(|refused| refused.error.message)
}

fn read<T: DeserializeOwned>((status, body): &(StatusCode, Bytes)) -> anyhow::Result<T> {
    if !status.is_success() {
        let why = message(body).unwrap_or_else(|| "it is no admin listener of Daypass".to_owned());
        return Err(anyhow!("the gateway answered {}: {why}", status.as_u16()));
    }
    serde_json::from_slice(body).context("the gateway's answer cannot be read")
}
