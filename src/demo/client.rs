//! The demo's client: plain HTTP requests, signed by aws-sigv4 as any SDK would.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, anyhow};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
        SigningSettings, UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use secrecy::ExposeSecret;

use super::provider::{AUDIENCE, MACHINE, PERSON, Provider};
use crate::clock::{Clock, SystemClock};

/// A key pair, temporary if it has a token.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) access_key_id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
    pub(super) expiration: String,
}

impl Keys {
    /// The temporary keys of an answer of STS.
    pub(super) fn of(reply: &Reply) -> anyhow::Result<Self> {
        let element = |name: &str| {
            reply
                .element(name)
                .map(str::to_owned)
                .ok_or_else(|| anyhow!("STS answered {}: {}", reply.status, reply.body))
        };
        Ok(Self {
            access_key_id: element("AccessKeyId")?,
            secret: element("SecretAccessKey")?,
            token: Some(element("SessionToken")?),
            expiration: element("Expiration")?,
        })
    }
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

impl Reply {
    /// The text of the first element of this name.
    pub(super) fn element(&self, name: &str) -> Option<&str> {
        let after = self.body.split_once(&format!("<{name}>"))?.1;
        Some(after.split_once(&format!("</{name}>"))?.0)
    }
}

/// Talks to the gateway, and to the provider.
pub(super) struct DemoClient {
    http: Client<HttpConnector, Full<Bytes>>,
    gateway: SocketAddr,
}

impl DemoClient {
    pub(super) fn new(gateway: SocketAddr) -> Self {
        Self { http: Client::builder(TokioExecutor::new()).build_http(), gateway }
    }

    /// An STS call as a form, signed with these keys.
    pub(super) async fn sts(&self, keys: &Keys, form: &str) -> anyhow::Result<Reply> {
        let request = Request::post(format!("http://{}/", self.gateway))
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(form.to_owned())?;
        self.send(sign_request(request, keys, "sts")?).await
    }

    /// An STS call of somebody who has no key, but another proof.
    pub(super) async fn sts_without_keys(&self, form: &str) -> anyhow::Result<Reply> {
        self.form(&format!("http://{}/", self.gateway), form).await
    }

    /// What a login page would get for Alice from the provider.
    pub(super) async fn id_token(&self, provider: &Provider) -> anyhow::Result<String> {
        let password = provider.password.expose_secret();
        let form = format!(
            "grant_type=password&scope=openid&client_id={AUDIENCE}&username={PERSON}&password={password}"
        );
        self.token(provider, &form, "id_token").await
    }

    /// What the machine gets for its secret.
    pub(super) async fn machine_token(&self, provider: &Provider) -> anyhow::Result<String> {
        let secret = provider.client_secret.expose_secret();
        let form = format!("grant_type=client_credentials&client_id={MACHINE}&client_secret={secret}");
        self.token(provider, &form, "access_token").await
    }

    async fn token(&self, provider: &Provider, form: &str, member: &str) -> anyhow::Result<String> {
        let reply = self.form(&provider.token_endpoint(), form).await?;
        let answer: serde_json::Value = serde_json::from_str(&reply.body)?;
        let token = answer.get(member).and_then(serde_json::Value::as_str);
        token.map(str::to_owned).ok_or_else(|| anyhow!("the provider gave no {member}: {}", reply.status))
    }

    async fn form(&self, url: &str, form: &str) -> anyhow::Result<Reply> {
        let request = Request::post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned())?;
        self.send(request).await
    }

    /// An S3 call, signed with these keys.
    pub(super) async fn s3(
        &self,
        keys: &Keys,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<Reply> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.gateway))
            .body(body.to_owned())?;
        self.send(sign_request(request, keys, "s3")?).await
    }

    /// A request without any signature of its own: a presigned URL, or a stranger's.
    pub(super) async fn unsigned(&self, url: &str) -> anyhow::Result<Reply> {
        self.send(Request::get(url).body(String::new())?).await
    }

    /// A URL that lets whoever has it read one object.
    pub(super) fn presign(&self, keys: &Keys, path: &str, lifetime: Duration) -> anyhow::Result<String> {
        let mut request = Request::get(format!("http://{}{path}", self.gateway)).body(String::new())?;
        let mut settings = settings("s3");
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(lifetime);
        apply(&mut request, keys, "s3", settings, SignableBody::UnsignedPayload)?;
        Ok(request.uri().to_string())
    }

    async fn send(&self, request: Request<String>) -> anyhow::Result<Reply> {
        let request = request.map(|body| Full::new(Bytes::from(body)));
        let answer = self.http.request(request).await.context("nobody answered")?;
        let status = answer.status();
        let body = answer.into_body().collect().await.context("the answer broke off")?.to_bytes();
        Ok(Reply { status, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

fn sign_request(mut request: Request<String>, keys: &Keys, service: &str) -> anyhow::Result<Request<String>> {
    let body = request.body().clone();
    apply(&mut request, keys, service, settings(service), SignableBody::Bytes(body.as_bytes()))?;
    Ok(request)
}

fn settings(service: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        // What S3 wants: the path as it is, encoded once, and the payload's hash in a header.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    settings
}

fn apply(
    request: &mut Request<String>,
    keys: &Keys,
    service: &str,
    settings: SigningSettings,
    body: SignableBody<'_>,
) -> anyhow::Result<()> {
    let credentials =
        Credentials::new(&keys.access_key_id, &keys.secret, keys.token.clone(), None, "daypass-demo");
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name(service)
        .time(SystemClock.now().system_time())
        .settings(settings)
        .build()?
        .into();
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| Ok((name.to_string(), value.to_str()?.to_owned())))
        .collect::<anyhow::Result<_>>()?;
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.uri().to_string(),
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        body,
    )?;
    let (instructions, _) =
        sign(signable, &parameters).map_err(|cause| anyhow!("signing: {cause}"))?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}
