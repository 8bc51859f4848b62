//! What a provider is asked about a token: whether it is active (RFC 7662), and who its holder is (OpenID Connect Core 5.3).

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

use super::{Error, LEEWAY, Provider, claims, refused};
use crate::{clock::Timestamp, iam::read_json, identity::http::without_query};

/// Asks whether a token is active; gives what the provider says of it, and the audience that is ours.
pub(super) async fn introspect(
    provider: &Arc<Provider>,
    token: &str,
    now: Timestamp,
) -> Result<(Map<String, Value>, String), Error> {
    let Some(settings) = &provider.settings.introspection else { return Err(refused("nobody is asked")) };
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused("the token is no text of RFC 6750"));
    }
    let url =
        match &settings.url {
            Some(url) => url.clone(),
            None => provider.keys.known(provider, now).await?.endpoints.introspection.clone().ok_or_else(
                || Error::Unavailable { cause: "the provider names no introspection endpoint".to_owned() },
            )?,
        };
    // RFC 6749, 2.3.1: both are encoded as in a form.
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pair =
        format!("{}:{}", encoded(&settings.client_id), encoded(settings.client_secret.expose_secret()));
    let request = Request::post(url)
        .header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(Full::from(format!("token={}&token_type_hint=access_token", encoded(token))));
    let mut said = ask(provider, request, Asked::AsOurselves).await?;
    if said.get("active") != Some(&Value::Bool(true)) {
        return Err(refused("the provider says that the token is not active"));
    }
    // A refresh token is active too.
    claims::kind(&said, "token_type")?;
    claims::kind(&said, "typ")?;
    let settings = &provider.settings;
    if said.get("iss").is_some_and(|issuer| *issuer != settings.issuer.as_str()) {
        return Err(refused("the token is another issuer's"));
    }
    // Machines' tokens may have no audience: then the client that got it must be one of ours.
    let client = said.get("client_id").and_then(Value::as_str).map(str::to_owned);
    let audience = match (said.contains_key("aud"), &client) {
        (true, _) => claims::audience(&said, settings)?,
        (false, Some(client)) if settings.client_ids.contains(client) => client.clone(),
        (false, _) => return Err(refused("the token is for nobody of oidc.client_ids")),
    };
    claims::authorized_party(&said, settings)?;
    if let (false, Some(client)) = (said.contains_key("sub"), client) {
        // RFC 9068, 2.2: the client is the subject where no person is.
        said.insert("sub".to_owned(), client.into());
    }
    said.insert("iss".to_owned(), settings.issuer.clone().into());
    if now >= claims::expiration(&said)?.plus(LEEWAY) {
        return Err(Error::Expired);
    }
    Ok((said, audience))
}

/// What only the token itself may say.
const OF_THE_TOKEN: &[&str] = &["iss", "sub", "aud", "azp", "exp", "nbf", "iat", "jti"];

/// The claims of a token with those that the userinfo endpoint has beyond them.
pub(super) async fn with_userinfo(
    provider: &Arc<Provider>,
    mut of_token: Map<String, Value>,
    access_token: &str,
    now: Timestamp,
) -> Result<Map<String, Value>, Error> {
    let known = provider.keys.known(provider, now).await?;
    let Some(url) = known.endpoints.userinfo.clone() else {
        return Err(Error::Unavailable { cause: "the provider names no userinfo endpoint".to_owned() });
    };
    if access_token.len() > super::MAX_TOKEN || !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused("the access token is no text of RFC 6750"));
    }
    let request = Request::get(url)
        .header(header::AUTHORIZATION, format!("Bearer {access_token}"))
        .header(header::ACCEPT, "application/json")
        .body(Full::<Bytes>::default());
    let said = ask(provider, request, Asked::WithTheToken).await?;
    // OpenID Connect Core 5.3.2: otherwise it may be somebody else's.
    if said.get("sub") != of_token.get("sub") {
        return Err(refused("the userinfo endpoint speaks of somebody else"));
    }
    for (name, value) in said {
        if !OF_THE_TOKEN.contains(&name.as_str()) {
            of_token.entry(name).or_insert(value);
        }
    }
    Ok(of_token)
}

/// Whose credentials stand in the request: a 401 is about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    AsOurselves,
    WithTheToken,
}

async fn ask(
    provider: &Provider,
    request: Result<Request<Full<Bytes>>, http::Error>,
    asked: Asked,
) -> Result<Map<String, Value>, Error> {
    let unavailable = |cause: String| Error::Unavailable { cause };
    let request = request.map_err(|cause| unavailable(cause.to_string()))?;
    let shown = without_query(request.uri());
    let answer =
        provider.keys.http.call(request).await.map_err(|cause| unavailable(format!("{shown}: {cause}")))?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if asked == Asked::WithTheToken => {
            return Err(refused(format!("{shown} answered with status {}", answer.status)));
        }
        status => return Err(unavailable(format!("{shown} answered with status {status}"))),
    }
    let text = std::str::from_utf8(&answer.body).ok();
    match text.and_then(read_json) {
        Some(Value::Object(said)) => Ok(said),
        _ => Err(unavailable(format!("{shown} did not answer with a JSON object"))),
    }
}
