//! The one reading of a path and of a query, for the signature and for everything after it.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// RFC 3986 unreserved characters stay, everything else is encoded (SigV4, `UriEncode`).
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// As a component, but a path keeps its slashes.
const PATH: &AsciiSet = &COMPONENT.remove(b'/');

/// The pairs of a query, decoded.
pub type Pairs<'r> = Vec<(Cow<'r, str>, Cow<'r, str>)>;

/// Why a URI cannot be read in exactly one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    #[error("a percent sign is not followed by two hexadecimal digits")]
    Percent,
    #[error("it is not UTF-8 once decoded")]
    Utf8,
    #[error("it holds a control character")]
    Control,
    #[error("a path must begin with a slash")]
    NotAPath,
}

/// Decodes a path once, strictly. `+` is itself.
pub fn decode_path(raw: &str) -> Result<Cow<'_, str>, EncodingError> {
    if !raw.starts_with('/') {
        return Err(EncodingError::NotAPath);
    }
    decode(raw, Plus::Literal)
}

/// Decodes a query into its pairs, strictly, in the order sent. `k` is `k=`; `+` is a space, as AWS and every S3 server
/// that parses forms read it.
pub fn decode_query(raw: &str) -> Result<Pairs<'_>, EncodingError> {
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name, Plus::Space)?, decode(value, Plus::Space)?))
        })
        .collect()
}

/// Encodes a name or value of a query.
pub fn encode_component(text: &str) -> Cow<'_, str> {
    percent_encode(text.as_bytes(), COMPONENT).into()
}

/// Encodes a decoded path.
pub fn encode_path(text: &str) -> Cow<'_, str> {
    percent_encode(text.as_bytes(), PATH).into()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Literal,
    Space,
}

fn decode(raw: &str, plus: Plus) -> Result<Cow<'_, str>, EncodingError> {
    let plain = |byte: &u8| *byte != b'%' && !(plus == Plus::Space && *byte == b'+');
    let decoded = if raw.bytes().all(|byte| plain(&byte)) {
        Cow::Borrowed(raw)
    } else {
        Cow::Owned(decode_escapes(raw, plus)?)
    };
    if decoded.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(EncodingError::Control);
    }
    Ok(decoded)
}

fn decode_escapes(raw: &str, plus: Plus) -> Result<String, EncodingError> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = rest.next().and_then(hex_digit).ok_or(EncodingError::Percent)?;
                let low = rest.next().and_then(hex_digit).ok_or(EncodingError::Percent)?;
                (high << 4) | low
            }
            b'+' if plus == Plus::Space => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| EncodingError::Utf8)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once() {
        assert_eq!(decode_path("/b/a%20b+c%2Fd%252e").unwrap(), "/b/a b+c/d%2e");
        assert_eq!(encode_path("/b/a b+c~(é)").as_ref(), "/b/a%20b%2Bc~%28%C3%A9%29");
    }

    #[test]
    fn a_path_that_cannot_be_read_in_one_way_is_refused() {
        assert_eq!(decode_path("/b/%"), Err(EncodingError::Percent));
        assert_eq!(decode_path("/b/%2"), Err(EncodingError::Percent));
        assert_eq!(decode_path("/b/%zz"), Err(EncodingError::Percent));
        assert_eq!(decode_path("/b/%ff"), Err(EncodingError::Utf8));
        assert_eq!(decode_path("/b/%00"), Err(EncodingError::Control));
        assert_eq!(decode_path("/b/%0d%0a"), Err(EncodingError::Control));
        assert_eq!(decode_path("b"), Err(EncodingError::NotAPath));
    }

    #[test]
    fn a_query_is_read_into_pairs() {
        let pairs = decode_query("acl&&a=b%3Dc=d&e=f+g%2B").unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        assert_eq!(pairs, [("acl", ""), ("a", "b=c=d"), ("e", "f g+")]);
        assert_eq!(decode_query("a=%0a"), Err(EncodingError::Control));
    }
}
