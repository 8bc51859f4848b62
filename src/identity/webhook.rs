//! Custom tokens: a webhook says whose they are, by MinIO's contract.
//!
//! It is asked with `POST <url>?token=<token>` and no body. 200 with `{"user", "maxValiditySeconds", "claims"}` names the bearer,
//! 403 with `{"reason"}` refuses the token, and everything else is no answer.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::{
    HttpSettings, Proof, Way,
    http::{Answer, ClientError, HttpClient, without_query},
};
use crate::{clock::Timestamp, iam::read_json};

/// The longest token that is passed on, in bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// The longest URL: with the longest token it still fits into a request line that the HTTP library writes.
const MAX_URL: usize = 8 * 1024;
/// The longest name of a user, in bytes: it becomes part of ARNs and of tokens.
const MAX_USER: usize = 1024;
/// How much of a reason is kept for the log, in characters.
const MAX_REASON: usize = 200;
/// MinIO's bounds of `maxValiditySeconds`.
const VALIDITY: std::ops::RangeInclusive<u64> = 900..=31_536_000;
/// Everything but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Who is asked.
#[derive(Clone)]
pub struct Settings {
    pub url: Uri,
    /// The value of the `Authorization` header.
    pub auth_token: Option<secrecy::SecretString>,
    pub http: HttpSettings,
    /// What an identity gets without a role.
    pub policies: Vec<String>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query of a webhook's URL is often its key.
        f.debug_struct("Settings")
            .field("url", &without_query(&self.url))
            .field("auth_token", &self.auth_token)
            .field("http", &self.http)
            .field("policies", &self.policies)
            .finish()
    }
}

/// Why a token is nobody's. The causes are for the log alone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{cause}")]
    Refused { cause: String },
    #[error("{cause}")]
    Unavailable { cause: String },
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub String);

/// The webhook.
#[derive(Debug, Clone)]
pub struct Webhook {
    settings: Settings,
    authorization: Option<HeaderValue>,
    client: HttpClient,
}

impl Webhook {
    /// Fails when the webhook could never be called.
    pub fn new(mut settings: Settings) -> Result<Self, SettingsError> {
        check_url(&settings.url, settings.http.allow_http).map_err(SettingsError)?;
        let authorization = match &settings.auth_token {
            None => None,
            Some(token) if token.expose_secret().is_empty() => {
                return Err(SettingsError("the auth token is empty".to_owned()));
            }
            Some(token) => {
                let mut value = HeaderValue::from_str(token.expose_secret()).map_err(|_| {
                    SettingsError("the auth token cannot be the value of a header".to_owned())
                })?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        settings.http.named_hosts.extend(settings.url.host().map(str::to_owned));
        let client =
            HttpClient::new(settings.http.clone()).map_err(|cause| SettingsError(cause.to_string()))?;
        Ok(Self { settings, authorization, client })
    }

    /// Asks whose token it is.
    pub async fn identify(&self, token: &str, now: Timestamp) -> Result<Proof, Error> {
        if token.is_empty() {
            return Err(Error::Refused { cause: "the token is empty".to_owned() });
        }
        if token.len() > MAX_TOKEN {
            return Err(Error::Refused { cause: format!("the token is longer than {MAX_TOKEN} bytes") });
        }
        let answer = self.ask(token).await.map_err(|cause| Error::Unavailable { cause })?;
        match answer.status {
            StatusCode::OK => {
                let bearer = Bearer::read(&answer.body).map_err(|cause| Error::Unavailable { cause })?;
                Ok(self.proof(bearer, now))
            }
            StatusCode::FORBIDDEN => Err(refusal(&answer.body, token)),
            status => {
                let cause = format!("the webhook answered with status {}", status.as_u16());
                Err(Error::Unavailable { cause })
            }
        }
    }

    /// Whether it answers at all, for operators: an empty JSON document without a token, and any status will do.
    pub async fn check(&self) -> Result<(), String> {
        let request = self.request(self.settings.url.clone());
        let request = request.header(header::CONTENT_TYPE, "application/json").body(Full::from("{}"));
        let request = request.map_err(|_| "the request cannot be written".to_owned())?;
        let answered = self.client.call(request).await;
        answered.map(|_| ()).map_err(|cause| self.failure(&cause))
    }

    async fn ask(&self, token: &str) -> Result<Answer, String> {
        // The causes of these two hold nothing of the URL.
        let url = with_token(&self.settings.url, token)?;
        // The HTTP library leaves it away, and some servers want it of every POST (411).
        let request = self.request(url).header(header::CONTENT_LENGTH, 0).body(Full::default());
        let request = request.map_err(|_| "the request cannot be written".to_owned())?;
        self.client.call(request).await.map_err(|cause| self.failure(&cause))
    }

    fn request(&self, url: Uri) -> http::request::Builder {
        let request = Request::post(url);
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value),
            None => request,
        }
    }

    fn failure(&self, cause: &ClientError) -> String {
        format!("the webhook at {} does not answer: {cause}", without_query(&self.settings.url))
    }

    fn proof(&self, bearer: Bearer, now: Timestamp) -> Proof {
        let mut said = bearer.claims;
        // Names of claims ignore case where they are asked.
        said.retain(|name, _| !name.eq_ignore_ascii_case("user"));
        said.insert("user".to_owned(), Value::String(bearer.user.clone()));
        Proof {
            way: Way::Webhook,
            subject: bearer.user,
            said,
            groups: Vec::new(),
            policies: self.settings.policies.clone(),
            valid_until: Some(now.plus(bearer.validity)),
        }
    }
}

/// What an answer of status 200 says.
struct Bearer {
    user: String,
    validity: Duration,
    claims: Map<String, Value>,
}

impl Bearer {
    fn read(body: &Bytes) -> Result<Self, String> {
        let mut answer =
            object(body).ok_or("the webhook's answer is no JSON object, or has a member twice")?;
        let Some(Value::String(user)) = answer.remove("user") else {
            return Err("the webhook's answer has no user that is a string".to_owned());
        };
        if user.is_empty() || user.len() > MAX_USER || user.chars().any(char::is_control) {
            return Err(format!(
                "the webhook's user is empty, longer than {MAX_USER} bytes, or has control characters"
            ));
        }
        let validity = answer.remove("maxValiditySeconds").and_then(|seconds| seconds.as_u64());
        let validity = validity.filter(|seconds| VALIDITY.contains(seconds)).ok_or_else(|| {
            let (least, most) = VALIDITY.into_inner();
            format!("the webhook's maxValiditySeconds is no whole number from {least} to {most}")
        })?;
        let claims = match answer.remove("claims") {
            Some(Value::Object(claims)) => claims,
            // Go writes an empty map so.
            None | Some(Value::Null) => Map::new(),
            Some(_) => return Err("the webhook's claims are no object".to_owned()),
        };
        Ok(Self { user, validity: Duration::from_secs(validity), claims })
    }
}

fn object(body: &Bytes) -> Option<Map<String, Value>> {
    match read_json(std::str::from_utf8(body).ok()?)? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// The reason as the log may have it: short, on one line, and without the token, which a webhook may well repeat.
fn refusal(body: &Bytes, token: &str) -> Error {
    let reason = object(body).and_then(|mut answer| answer.remove("reason"));
    let Some(Value::String(reason)) = reason else {
        return Error::Unavailable { cause: "the webhook answered with status 403 and no reason".to_owned() };
    };
    let reason = reason.replace(token, "[token]").replace(&escaped(token), "[token]");
    let reason: String = reason.escape_debug().take(MAX_REASON).collect();
    Error::Refused { cause: format!("the webhook refused the token: {reason}") }
}

fn check_url(url: &Uri, allow_http: bool) -> Result<(), String> {
    let Some(authority) = url.authority().filter(|authority| !authority.host().is_empty()) else {
        return Err("the webhook's URL has no host".to_owned());
    };
    match url.scheme_str() {
        Some("https") => {}
        Some("http") if allow_http => {}
        _ => {
            return Err(format!(
                "{} is not a URL that may be called: https:// is needed",
                without_query(url)
            ));
        }
    }
    if authority.as_str().contains('@') {
        return Err("the webhook's URL has a user or a password in it".to_owned());
    }
    if url.to_string().len() > MAX_URL {
        return Err(format!("the webhook's URL is longer than {MAX_URL} bytes"));
    }
    let mut parameters = url.query().unwrap_or_default().split('&');
    if parameters.any(|parameter| parameter.split('=').next() == Some("token")) {
        return Err("the webhook's URL has a token already; the gateway adds the client's".to_owned());
    }
    Ok(())
}

fn with_token(url: &Uri, token: &str) -> Result<Uri, String> {
    let query = match url.query() {
        Some(query) if !query.is_empty() => format!("{query}&token={}", escaped(token)),
        _ => format!("token={}", escaped(token)),
    };
    let mut parts = url.clone().into_parts();
    let path = format!("{}?{query}", url.path());
    parts.path_and_query = Some(path.parse().map_err(|_| "the token cannot be part of the URL".to_owned())?);
    Uri::from_parts(parts).map_err(|_| "the token cannot be part of the URL".to_owned())
}

fn escaped(token: &str) -> String {
    utf8_percent_encode(token, ESCAPED).to_string()
}
