//! The claims of a token whose signature holds. A claim of the wrong type is a wrong token, never an absent claim.

use serde_json::{Map, Value};

use super::{Error, LEEWAY, Settings, refused, token::Header};
use crate::clock::Timestamp;

/// The longest subject (OpenID Connect Core 2 has 255 characters; names of machines are longer).
const MAX_SUBJECT: usize = 1024;
/// What the header of an ID token or an access token says of itself (RFC 7519, 5.1; RFC 9068, 2.1).
const KINDS: &[&str] = &["jwt", "at+jwt"];
/// What Keycloak says in the claims of tokens that are neither, and others where they are asked about one.
const OTHER_KINDS: &[&str] =
    &["refresh", "refresh_token", "offline", "logout", "registrationaccesstoken", "initialaccesstoken"];
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Checks everything that the provider's key vouches for; gives the audience that is ours.
pub(super) fn check(
    claims: &Map<String, Value>,
    header: &Header,
    settings: &Settings,
    now: Timestamp,
) -> Result<String, Error> {
    if header.kind.as_ref().is_some_and(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(refused(format!("it is a token of the type {:?}", header.kind)));
    }
    kind(claims, "typ")?;
    if claims.contains_key("cnf") {
        // RFC 7800: good only with the proof of a key, which nobody asks for here.
        return Err(refused("it is bound to a key (cnf) and no bearer token"));
    }
    let audience = audience(claims, settings)?;
    authorized_party(claims, settings)?;
    subject(claims)?;
    let latest = now.plus(LEEWAY);
    let issued_at = time(claims, "iat")?.ok_or_else(|| refused("iat is missing"))?;
    if issued_at > latest || time(claims, "nbf")?.is_some_and(|from| from > latest) {
        return Err(refused("it is not valid yet, or the clocks are apart"));
    }
    if now >= expiration(claims)?.plus(LEEWAY) {
        return Err(Error::Expired);
    }
    Ok(audience)
}

/// What a token says of itself must not be that it is for something else.
pub(super) fn kind(claims: &Map<String, Value>, name: &str) -> Result<(), Error> {
    let of_another_kind = claims.get(name).is_some_and(|kind| {
        kind.as_str().is_none_or(|kind| OTHER_KINDS.contains(&kind.to_ascii_lowercase().as_str()))
    });
    let is_logout = claims.get("events").is_some_and(|events| events.get(LOGOUT).is_some());
    if of_another_kind || is_logout {
        return Err(refused("it is no ID token and no access token"));
    }
    Ok(())
}

pub(super) fn expiration(claims: &Map<String, Value>) -> Result<Timestamp, Error> {
    time(claims, "exp")?.ok_or_else(|| refused("exp is missing"))
}

/// A time in whole seconds; `Ok(None)`: it is absent.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Error> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_i64().filter(|seconds| (0..=253_402_300_799).contains(seconds));
    seconds
        .map(Timestamp::from_unix)
        .map(Some)
        .ok_or_else(|| refused(format!("{name} is no time in whole seconds")))
}

/// `aud`: one of our client ids, as the text or in the list. No part of a text counts.
pub(super) fn audience(claims: &Map<String, Value>, settings: &Settings) -> Result<String, Error> {
    let given: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => list.iter().map(Value::as_str).collect::<Option<_>>().unwrap_or_default(),
        _ => Vec::new(),
    };
    let ours = given.iter().find(|audience| settings.client_ids.iter().any(|id| id == *audience));
    ours.map(|audience| (*audience).to_owned()).ok_or_else(|| {
        refused(format!("aud is {}, none of oidc.{}.client_ids", shown(claims.get("aud")), settings.name))
    })
}

/// `azp`, where the configuration says who may ask for tokens.
pub(super) fn authorized_party(claims: &Map<String, Value>, settings: &Settings) -> Result<(), Error> {
    let party = match claims.get("azp") {
        None => None,
        Some(Value::String(party)) => Some(party),
        Some(_) => return Err(refused("azp is no text")),
    };
    let known = settings.authorized_parties.is_empty()
        || party.is_some_and(|party| settings.authorized_parties.contains(party));
    if known {
        return Ok(());
    }
    Err(refused(format!(
        "azp is {}, none of oidc.{}.authorized_parties",
        shown(claims.get("azp")),
        settings.name
    )))
}

pub(super) fn subject(claims: &Map<String, Value>) -> Result<String, Error> {
    let subject = claims.get("sub").and_then(Value::as_str);
    let good = |subject: &&str| {
        !subject.is_empty() && subject.len() <= MAX_SUBJECT && !subject.contains(char::is_control)
    };
    subject.filter(good).map(str::to_owned).ok_or_else(|| refused("sub is missing, or no name"))
}

/// The policies that the claim of the configuration names, as MinIO reads it: a text with commas, or a list of such texts.
pub(super) fn policies(claims: &Map<String, Value>, settings: &Settings) -> Vec<String> {
    let Some(name) = &settings.policy_claim else { return Vec::new() };
    let value = if name.starts_with('/') {
        let mut segments =
            name.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~"));
        let first = segments.next().and_then(|segment| claims.get(&segment));
        segments.fold(first, |at, segment| at.and_then(|value| value.get(&segment)))
    } else {
        claims.get(name)
    };
    let texts: Vec<&str> = match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let names = texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| format!("{}{name}", settings.policy_prefix)).collect()
}

/// A claim for the log, which it must not fill.
fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "missing".to_owned() };
    short(&value.to_string())
}

/// What the log gets of a text that anybody may have written.
pub(super) fn short(text: &str) -> String {
    text.chars().take(200).collect()
}
