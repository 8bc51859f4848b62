//! The `Authorization` header: `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.

use super::{error::Error, key::CredentialScope};

/// The only algorithm: `SigV4A` and `SigV2` are not supported.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The three components, borrowed from the header or the query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Authorization<'r> {
    pub(super) access_key_id: &'r str,
    pub(super) scope: CredentialScope<'r>,
    /// Semicolon-separated, as sent.
    pub(super) signed_headers: &'r str,
    /// As sent; whether it is 64 hexadecimal digits is part of the comparison.
    pub(super) signature: &'r str,
}

impl<'r> Authorization<'r> {
    pub(super) fn parse(header: &'r str) -> Result<Self, Error> {
        let malformed = |why: &str| Error::AuthorizationHeaderMalformed(why.to_owned());
        let (algorithm, components) = header.split_once(' ').unwrap_or((header, ""));
        if algorithm != ALGORITHM {
            return Err(Error::UnsupportedMechanism);
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for component in components.split(',') {
            let (name, value) = component
                .trim()
                .split_once('=')
                .ok_or_else(|| malformed("a component is not of the form Name=value"))?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => {
                    return Err(malformed(
                        "it has a component other than Credential, SignedHeaders and Signature",
                    ));
                }
            };
            if place.replace(value).is_some() {
                return Err(malformed("it has a component twice"));
            }
        }
        let credential = credential.ok_or_else(|| malformed("Credential is missing"))?;
        let signed_headers = signed_headers.ok_or_else(|| malformed("SignedHeaders is missing"))?;
        let signature = signature.ok_or_else(|| malformed("Signature is missing"))?;
        let (access_key_id, scope) = parse_credential(credential)
            .map_err(|why| Error::AuthorizationHeaderMalformed(why.to_owned()))?;
        check_signed_headers(signed_headers)
            .map_err(|why| Error::AuthorizationHeaderMalformed(why.to_owned()))?;
        Ok(Self { access_key_id, scope, signed_headers, signature })
    }
}

/// `<access key id>/<date>/<region>/<service>/aws4_request`, exactly five parts.
pub(super) fn parse_credential<'c>(
    credential: &'c str,
) -> Result<(&'c str, CredentialScope<'c>), &'static str> {
    const FORM: &str =
        "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"";
    // Short parts: going through them byte by byte is faster than looking for the next slash.
    let cut = |text: &'c str| {
        let at = text.bytes().position(|byte| byte == b'/').ok_or(FORM)?;
        text.get(..at).zip(text.get(at + 1..)).ok_or(FORM)
    };
    let (access_key_id, rest) = cut(credential)?;
    let (date, rest) = cut(rest)?;
    let (region, rest) = cut(rest)?;
    let (service, terminator) = cut(rest)?;
    if access_key_id.is_empty() || terminator != "aws4_request" {
        return Err(FORM);
    }
    if date.len() != 8 || !date.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            "incorrect date format in the Credential. This date in the credential must be in the format \"yyyyMMdd\"",
        );
    }
    Ok((access_key_id, CredentialScope { date, region, service }))
}

/// Lower-case names, in order, each once, none empty; `host` is among them.
pub(super) fn check_signed_headers(list: &str) -> Result<(), &'static str> {
    let mut previous: &[u8] = b"";
    for name in list.as_bytes().split(|byte| *byte == b';') {
        if name.is_empty() || name.iter().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_whitespace())
        {
            return Err("SignedHeaders must be a semicolon-separated list of lower-case names");
        }
        if name <= previous {
            return Err("SignedHeaders must be sorted, each name once");
        }
        previous = name;
    }
    Ok(())
}
