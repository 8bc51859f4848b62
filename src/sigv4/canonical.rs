//! The canonical request and the string to sign. One canonicaliser serves both directions: what is verified on the way
//! in and what is signed on the way out are written by the same lines.

use http::HeaderMap;

use super::{authorization::ALGORITHM, encoding::encode_component, key::CredentialScope};
use crate::digest::sha256_hex;

/// What the signature covers, already in canonical parts.
#[derive(Debug)]
pub(super) struct Canonical<'a> {
    pub(super) method: &'a str,
    /// Decoded and encoded again.
    pub(super) path: &'a str,
    /// Canonical: sorted and encoded.
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// In place of the `Host` header, which HTTP/2 does not have.
    pub(super) host: &'a str,
    /// Semicolon-separated, sorted.
    pub(super) signed_headers: &'a str,
    pub(super) payload: &'a str,
}

impl Canonical<'_> {
    /// `None`: a signed header is not in the request.
    pub(super) fn request(&self) -> Option<Vec<u8>> {
        // Few are longer: a token is.
        let mut text = Vec::with_capacity(2048);
        for line in [self.method, self.path, self.query] {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        for name in self.signed_headers.split(';') {
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            if name == "host" {
                text.extend_from_slice(self.host.as_bytes());
            } else {
                push_values(&mut text, self.headers, name)?;
            }
            text.push(b'\n');
        }
        text.push(b'\n');
        text.extend_from_slice(self.signed_headers.as_bytes());
        text.push(b'\n');
        text.extend_from_slice(self.payload.as_bytes());
        Some(text)
    }
}

fn push_values(text: &mut Vec<u8>, headers: &HeaderMap, name: &str) -> Option<()> {
    let mut values = headers.get_all(name).iter();
    push_squeezed(text, values.next()?.as_bytes());
    for value in values {
        text.push(b',');
        push_squeezed(text, value.as_bytes());
    }
    Some(())
}

/// SigV4 trims a value and squeezes inner runs of spaces; without this `x-amz-meta-a: b  c` never verifies.
fn push_squeezed(text: &mut Vec<u8>, value: &[u8]) {
    let value = value.trim_ascii();
    // A token, the longest of all values, has none.
    if !value.contains(&b' ') {
        return text.extend_from_slice(value);
    }
    let mut space = false;
    for byte in value {
        if *byte == b' ' && space {
            continue;
        }
        space = *byte == b' ';
        text.push(*byte);
    }
}

/// The pairs of a query, encoded and sorted by encoded name, then value.
pub(super) fn canonical_query<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> String {
    let mut encoded: Vec<_> =
        pairs.map(|(name, value)| (encode_component(name), encode_component(value))).collect();
    encoded.sort_unstable();
    let mut text =
        String::with_capacity(encoded.iter().map(|(name, value)| name.len() + value.len() + 2).sum());
    for (name, value) in &encoded {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
    text
}

pub(super) fn string_to_sign(amz_date: &str, scope: CredentialScope<'_>, canonical_request: &[u8]) -> String {
    let CredentialScope { date, region, service } = scope;
    let hash = sha256_hex(canonical_request);
    [ALGORITHM, "\n", amz_date, "\n", date, "/", region, "/", service, "/aws4_request\n", &hash].concat()
}
