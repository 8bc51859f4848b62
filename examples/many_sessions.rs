//! For `make bench`: requests of many sessions, each signed with its own temporary keys, for `load`. The sessions are made as
//! `AssumeRole` makes them, under the sealing keys of a configuration, so the gateway of that file takes them.
//!
//!     cargo run --release --example many_sessions -- daypass.toml 10000 127.0.0.1:9000 /bench/small requests.bin

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use clap::Parser;
use daypass::{
    clock::{Clock as _, SystemClock, Timestamp},
    config,
    credentials::{Authority, Grant, Origin, SessionStore, SessionTags, TemporaryCredentials},
};

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[derive(Parser)]
struct Arguments {
    /// With a user `rig` and a role `everything`.
    configuration: PathBuf,
    count: usize,
    host: String,
    path: String,
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config = config::load(&arguments.configuration, &|_| None)
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
    // It keeps none: what is minted here goes to the file.
    let sessions = SessionStore::new(config.keyring, Arc::new(config.principals), 0);
    let mut out = BufWriter::new(File::create(&arguments.out)?);
    for _ in 0..arguments.count {
        let now = SystemClock.now();
        let keys = sessions.mint(grant(now), now)?;
        let request = signed(&arguments.host, &arguments.path, &keys, now)?;
        out.write_all(&u32::try_from(request.len())?.to_le_bytes())?;
        out.write_all(request.as_bytes())?;
    }
    Ok(out.flush()?)
}

fn grant(now: Timestamp) -> Grant {
    Grant {
        origin: Origin::User("rig".into()),
        authority: Authority::Role {
            role: "everything".into(),
            session_name: "bench".into(),
            via: Vec::new(),
        },
        session_policy: None,
        tags: SessionTags::default(),
        expires_at: Timestamp::from_unix(now.unix() + 3600),
    }
}

/// A whole GET as it goes to the wire.
fn signed(host: &str, path: &str, keys: &TemporaryCredentials, now: Timestamp) -> anyhow::Result<String> {
    let token = keys.session_token.expose().to_owned();
    let credentials = Credentials::new(
        keys.access_key_id.as_str(),
        keys.secret_access_key.expose(),
        Some(token),
        None,
        "bench",
    );
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(std::time::UNIX_EPOCH + Duration::from_secs(now.unix().unsigned_abs()))
        .settings(SigningSettings::default())
        .build()?
        .into();
    let own = [("host", host), ("x-amz-content-sha256", EMPTY)];
    let body = SignableBody::Precomputed(EMPTY.to_owned());
    let request = SignableRequest::new("GET", format!("http://{host}{path}"), own.into_iter(), body)?;
    let (instructions, _) = sign(request, &parameters)?.into_parts();
    let mut text = format!("GET {path} HTTP/1.1\r\n");
    for (name, value) in own.into_iter().chain(instructions.headers()) {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    Ok(text)
}
