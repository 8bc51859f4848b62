//! Signing what goes to the backend, with the same canonicaliser that verifies what comes in.

use std::borrow::Cow;

use http::HeaderMap;

use super::{
    authorization::ALGORITHM,
    canonical::{Canonical, canonical_query, string_to_sign},
    chunked::ChunkSigner,
    key::{CredentialScope, SigningKey},
    payload::PayloadHash,
};
use crate::clock::Timestamp;

/// A signature over a request of ours.
#[derive(Debug)]
pub struct SignedOutbound {
    /// The value of the `Authorization` header.
    pub authorization: String,
    amz_date: String,
    signature: String,
}

impl SignedOutbound {
    /// Continues the chain of signatures over the chunks of the body, with the key and the region of the request.
    pub fn into_chunks(self, key: &SigningKey, region: &str) -> ChunkSigner {
        let scope = scope(&self.amz_date, region).to_string();
        ChunkSigner::new(key.clone(), self.amz_date, scope, self.signature)
    }
}

fn scope<'s>(amz_date: &'s str, region: &'s str) -> CredentialScope<'s> {
    CredentialScope { date: amz_date.get(..8).unwrap_or_default(), region, service: "s3" }
}

/// What is signed: `host` and every `x-amz-*` header of `headers`, which must hold `x-amz-date` and
/// `x-amz-content-sha256` already.
#[derive(Debug, Clone, Copy)]
pub struct OutboundHead<'a> {
    pub method: &'a str,
    /// Encoded, as it will be on the wire.
    pub path: &'a str,
    /// Decoded pairs.
    pub query: &'a [(Cow<'static, str>, String)],
    pub headers: &'a HeaderMap,
    pub host: &'a str,
}

/// Signs a request that we have built.
pub fn sign(
    head: OutboundHead<'_>,
    access_key_id: &str,
    key: &SigningKey,
    region: &str,
    now: Timestamp,
    payload: &PayloadHash,
) -> SignedOutbound {
    let amz_date = now.amz_date();
    let scope = scope(&amz_date, region);
    let mut names: Vec<&str> =
        head.headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with("x-amz-")).collect();
    names.push("host");
    names.sort_unstable();
    let signed_headers = names.join(";");
    let query = canonical_query(head.query.iter().map(|(name, value)| (name.as_ref(), value.as_str())));
    let canonical = Canonical {
        method: head.method,
        path: head.path,
        query: &query,
        headers: head.headers,
        host: head.host,
        signed_headers: &signed_headers,
        payload: &payload.as_str(),
    };
    // Every name comes from the map itself.
    let canonical_request = canonical.request().unwrap_or_default();
    let signature = key.sign_hex(&string_to_sign(&amz_date, scope, &canonical_request));
    let authorization = [
        &[ALGORITHM, " Credential=", access_key_id, "/", scope.date, "/", region, "/s3/aws4_request"][..],
        &[", SignedHeaders=", &signed_headers, ", Signature=", &signature],
    ]
    .concat()
    .concat();
    SignedOutbound { authorization, amz_date, signature }
}
