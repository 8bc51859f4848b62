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

use crate::clock::{Clock, SystemClock};

/// A key pair, temporary if it has a token.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) access_key_id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
    pub(super) expiration: String,
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

/// Talks to the gateway.
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
        let answer = self.http.request(request).await.context("the gateway did not answer")?;
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
