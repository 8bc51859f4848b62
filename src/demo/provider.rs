//! A throw-away OpenID provider: discovery, one ES256 key that was made for this run, and a token endpoint for one person and one
//! machine.

use std::{collections::HashMap, convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet},
};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    listening::{ANYWHERE, Listening, serve_http},
    throw_away_secret,
};
use crate::clock::{Clock, SystemClock};

/// Whom the tokens are for.
pub(super) const AUDIENCE: &str = "daypass";
/// The person who can log in, and the machine.
pub(super) const PERSON: &str = "alice";
pub(super) const MACHINE: &str = "nightly-backup";
/// Longer than somebody tries a demo.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
const KEY_ID: &str = "demo";
const MAX_FORM: usize = 4096;

/// It ends when this value is dropped.
pub(super) struct Provider {
    listening: Listening,
    pub(super) password: SecretString,
    pub(super) client_secret: SecretString,
}

impl Provider {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let (password, client_secret) = (throw_away_secret()?, throw_away_secret()?);
        let pair = rcgen::KeyPair::generate()?;
        let key = EncodingKey::from_ec_der(pair.serialized_der());
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).context("the provider's key")?;
        public.common.key_id = Some(KEY_ID.to_owned());
        let answers = Arc::new(Answers {
            key,
            keys: json!(JwkSet { keys: vec![public] }),
            password: password.clone(),
            client_secret: client_secret.clone(),
        });
        let listening = Listening::start(ANYWHERE, move |socket| {
            let answers = Arc::clone(&answers);
            async move {
                // What the provider calls itself is where it was reached.
                let Ok(address) = socket.local_addr() else { return };
                let answer = service_fn(|request| {
                    let answers = Arc::clone(&answers);
                    async move { Ok::<_, Infallible>(answers.answer(request, &issuer(address)).await) }
                });
                serve_http(socket, answer).await;
            }
        })
        .await?;
        Ok(Self { listening, password, client_secret })
    }

    pub(super) fn issuer(&self) -> String {
        issuer(self.listening.address())
    }

    pub(super) fn token_endpoint(&self) -> String {
        token_endpoint(&self.issuer())
    }
}

fn issuer(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn token_endpoint(issuer: &str) -> String {
    format!("{issuer}/token")
}

struct Answers {
    key: EncodingKey,
    keys: Value,
    password: SecretString,
    client_secret: SecretString,
}

/// A request that gets no token, in the words of RFC 6749, 5.2.
struct Refused(&'static str);

impl Answers {
    async fn answer(&self, request: Request<Incoming>, issuer: &str) -> Response<Full<Bytes>> {
        let (status, said) = match (request.method(), request.uri().path()) {
            (&Method::GET, "/.well-known/openid-configuration") => (StatusCode::OK, discovery(issuer)),
            (&Method::GET, "/keys") => (StatusCode::OK, self.keys.clone()),
            (&Method::POST, "/token") => match self.token(request, issuer).await {
                Ok(token) => (StatusCode::OK, token),
                Err(Refused(error)) => (StatusCode::BAD_REQUEST, json!({"error": error})),
            },
            _ => (StatusCode::NOT_FOUND, json!({"error": "not_found"})),
        };
        let mut response = Response::new(Full::from(said.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        response
    }

    async fn token(&self, request: Request<Incoming>, issuer: &str) -> Result<Value, Refused> {
        let body = Limited::new(request.into_body(), MAX_FORM);
        let body = body.collect().await.map_err(|_| Refused("invalid_request"))?.to_bytes();
        let form = read_form(&body);
        let is = |name: &str, value: &str| form.get(name).is_some_and(|given| given == value);
        if is("grant_type", "password") {
            if !is("username", PERSON) || !is("password", self.password.expose_secret()) {
                return Err(Refused("invalid_grant"));
            }
            let claims = json!({
                "preferred_username": PERSON, "email": "alice@example.org", "email_verified": true,
                "groups": ["finance", "staff"],
            });
            let token = self.sign("JWT", issuer, PERSON, claims)?;
            return Ok(json!({"id_token": token, "token_type": "Bearer", "expires_in": LIFETIME.as_secs()}));
        }
        if is("grant_type", "client_credentials") {
            if !is("client_id", MACHINE) || !is("client_secret", self.client_secret.expose_secret()) {
                return Err(Refused("invalid_client"));
            }
            let claims = json!({"client_id": MACHINE, "policy": "write-backups"});
            let token = self.sign("at+jwt", issuer, MACHINE, claims)?;
            return Ok(
                json!({"access_token": token, "token_type": "Bearer", "expires_in": LIFETIME.as_secs()}),
            );
        }
        Err(Refused("unsupported_grant_type"))
    }

    /// A token of these claims and those that every token has.
    fn sign(&self, kind: &str, issuer: &str, subject: &str, mut claims: Value) -> Result<String, Refused> {
        let now = SystemClock.now();
        claims["iss"] = issuer.into();
        claims["sub"] = subject.into();
        claims["aud"] = AUDIENCE.into();
        claims["iat"] = now.unix().into();
        claims["exp"] = now.plus(LIFETIME).unix().into();
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(kind.to_owned());
        header.kid = Some(KEY_ID.to_owned());
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|_| Refused("server_error"))
    }
}

/// OpenID Connect Discovery 1.0, 3, as far as a provider without a login page has it.
fn discovery(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/keys"),
        "token_endpoint": token_endpoint(issuer),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
        "grant_types_supported": ["client_credentials", "password"],
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

fn read_form(body: &[u8]) -> HashMap<String, String> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let body = String::from_utf8_lossy(body);
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::client::DemoClient;

    #[tokio::test]
    async fn there_is_no_token_without_the_right_secret() {
        let mut provider = Provider::start().await.unwrap();
        let client = DemoClient::new(ANYWHERE);
        assert_eq!(client.id_token(&provider).await.unwrap().split('.').count(), 3);
        assert_eq!(client.machine_token(&provider).await.unwrap().split('.').count(), 3);
        (provider.password, provider.client_secret) = ("guessed".into(), "guessed".into());
        assert!(client.id_token(&provider).await.is_err());
        assert!(client.machine_token(&provider).await.is_err());
    }
}
