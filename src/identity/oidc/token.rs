//! A JWT before its signature holds: it can say who made it and by which key, and nothing else.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{Algorithm, keys::Key};
use crate::iam::read_json;

/// A token that anybody may have written. Reading it refuses what RFC 8725 and the header's own fields make ambiguous.
pub(super) struct UnverifiedToken<'t> {
    /// Header and claims as they were signed.
    signed: &'t str,
    signature: &'t str,
    header: Header,
    issuer: String,
    unverified_claims: Map<String, Value>,
}

/// What of the header counts.
#[derive(Debug, Clone)]
pub(super) struct Header {
    algorithm: Algorithm,
    key_id: Option<String>,
    /// In lower case, without `application/`.
    pub(super) kind: Option<String>,
}

/// Fields that would bring a key along, change what is signed, or must be understood.
const REFUSED: &[&str] = &["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"];

impl<'t> UnverifiedToken<'t> {
    pub(super) fn read(token: &'t str) -> Result<Self, &'static str> {
        let (signed, signature) = token.rsplit_once('.').ok_or("it is no JWT")?;
        let (header, claims) = signed.split_once('.').ok_or("it is no JWT")?;
        if signature.is_empty() {
            return Err("it has no signature");
        }
        let header = Header::read(&object(header)?)?;
        let claims = object(claims)?;
        let issuer =
            claims.get("iss").and_then(Value::as_str).ok_or("iss is missing, or no text")?.to_owned();
        Ok(Self { signed, signature, header, issuer, unverified_claims: claims })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.key_id.as_deref()
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// Header and claims, if one of these keys signed them.
    pub(super) fn verify(self, keys: &[Key]) -> Option<(Header, Map<String, Value>)> {
        let good = keys.iter().any(|key| key.verifies(self.header.algorithm, self.signed, self.signature));
        good.then_some((self.header, self.unverified_claims))
    }
}

impl Header {
    fn read(header: &Map<String, Value>) -> Result<Self, &'static str> {
        if header.keys().any(|name| REFUSED.contains(&name.as_str())) {
            return Err("its header brings a key, or asks for something that is not understood");
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::named);
        let algorithm = algorithm.ok_or("its algorithm is none that can be used")?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) if id.len() <= 512 => Some(id.clone()),
            Some(_) => return Err("its key id is no text, or too long"),
        };
        let kind = match header.get("typ") {
            None => None,
            Some(Value::String(kind)) => {
                let kind = kind.to_ascii_lowercase();
                Some(kind.strip_prefix("application/").unwrap_or(&kind).to_owned())
            }
            Some(_) => return Err("its type is no text"),
        };
        Ok(Self { algorithm, key_id, kind })
    }
}

/// A part of a token: base64url without padding, and JSON in which every name stands once.
fn object(part: &str) -> Result<Map<String, Value>, &'static str> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| "a part of it is not base64url")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "a part of it is not UTF-8")?;
    match read_json(text) {
        Some(Value::Object(object)) => Ok(object),
        _ => Err("a part of it is no JSON object, or has a name twice"),
    }
}
