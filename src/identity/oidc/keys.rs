//! A provider's public keys (RFC 7517), each with the algorithms that it may be used with.

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, crypto};
use serde_json::{Map, Value};

use super::Algorithm;
use crate::iam::read_json;

/// A set with more keys is not read further.
const MAX_KEYS: usize = 100;
/// RFC 7518, 3.3: 2048 bits at the least. Larger than 8192 costs too much to be a key for tokens.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

const RSA: [Algorithm; 6] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

/// A key for signatures.
#[derive(Clone)]
pub(super) struct Key {
    id: Option<String>,
    /// By its type and curve, and by its `alg` if it has one: never by what a token says.
    algorithms: Vec<Algorithm>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Library(Box<DecodingKey>),
    /// The uncompressed point: the library has no ES512.
    P521(Box<[u8]>),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// Reads a set. Keys of a kind that is not used are left out, as the RFC asks; `None`: it is no set of keys.
pub(super) fn read_set(json: &str) -> Option<Vec<Key>> {
    let Value::Object(set) = read_json(json)? else { return None };
    let keys = set.get("keys")?.as_array()?;
    Some(keys.iter().take(MAX_KEYS).filter_map(Value::as_object).filter_map(Key::read).collect())
}

/// The keys that may have signed a token. Without a key id there must be exactly one.
pub(super) fn fitting(keys: &[Key], id: Option<&str>, algorithm: Algorithm) -> Vec<Key> {
    let fits = |key: &&Key| key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id);
    let found: Vec<Key> = keys.iter().filter(fits).cloned().collect();
    if id.is_none() && found.len() > 1 { Vec::new() } else { found }
}

impl Key {
    fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let for_signatures = jwk.get("use").is_none_or(|usage| usage == "sig")
            && jwk
                .get("key_ops")
                .is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")));
        if !for_signatures {
            return None;
        }
        let (mut algorithms, material) = match text("kty")? {
            "RSA" => rsa(text("n")?, text("e")?)?,
            "EC" => elliptic(text("crv")?, text("x")?, text("y")?)?,
            "OKP" if text("crv") == Some("Ed25519") => {
                let key = DecodingKey::from_ed_components(text("x")?).ok()?;
                (vec![Algorithm::EdDsa], Material::Library(Box::new(key)))
            }
            _ => return None,
        };
        if let Some(only) = jwk.get("alg") {
            let only = only.as_str()?;
            algorithms.retain(|algorithm| algorithm.name() == only);
        }
        let id = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
        (!algorithms.is_empty()).then_some(Self { id, algorithms, material })
    }

    /// Whether it made this signature of these bytes with this algorithm.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &str, signature: &str) -> bool {
        if !self.algorithms.contains(&algorithm) {
            return false;
        }
        match &self.material {
            Material::P521(point) => URL_SAFE_NO_PAD.decode(signature).is_ok_and(|signature| {
                UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point)
                    .verify(signed.as_bytes(), &signature)
                    .is_ok()
            }),
            Material::Library(key) => library(algorithm).is_some_and(|algorithm| {
                crypto::verify(signature, signed.as_bytes(), key, algorithm).unwrap_or(false)
            }),
        }
    }
}

fn rsa(n: &str, e: &str) -> Option<(Vec<Algorithm>, Material)> {
    let modulus = URL_SAFE_NO_PAD.decode(n).ok()?;
    let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
    if !RSA_BYTES.contains(&significant) {
        return None;
    }
    let key = DecodingKey::from_rsa_components(n, e).ok()?;
    Some((RSA.to_vec(), Material::Library(Box::new(key))))
}

fn elliptic(curve: &str, x: &str, y: &str) -> Option<(Vec<Algorithm>, Material)> {
    let (algorithm, size) = match curve {
        "P-256" => (Algorithm::Es256, 32),
        "P-384" => (Algorithm::Es384, 48),
        "P-521" => (Algorithm::Es512, 66),
        _ => return None,
    };
    let (x_bytes, y_bytes) = (URL_SAFE_NO_PAD.decode(x).ok()?, URL_SAFE_NO_PAD.decode(y).ok()?);
    if x_bytes.len() != size || y_bytes.len() != size {
        return None;
    }
    let material = if algorithm == Algorithm::Es512 {
        Material::P521([&[4], x_bytes.as_slice(), y_bytes.as_slice()].concat().into())
    } else {
        Material::Library(Box::new(DecodingKey::from_ec_components(x, y).ok()?))
    };
    Some((vec![algorithm], material))
}

fn library(algorithm: Algorithm) -> Option<jsonwebtoken::Algorithm> {
    use jsonwebtoken::Algorithm as Library;
    Some(match algorithm {
        Algorithm::Rs256 => Library::RS256,
        Algorithm::Rs384 => Library::RS384,
        Algorithm::Rs512 => Library::RS512,
        Algorithm::Ps256 => Library::PS256,
        Algorithm::Ps384 => Library::PS384,
        Algorithm::Ps512 => Library::PS512,
        Algorithm::Es256 => Library::ES256,
        Algorithm::Es384 => Library::ES384,
        Algorithm::EdDsa => Library::EdDSA,
        Algorithm::Es512 => return None,
    })
}
