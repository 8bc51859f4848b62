//! Presigned URLs: the `X-Amz-*` parameters of the query.

use std::time::Duration;

use super::{
    authorization::{ALGORITHM, Authorization, check_signed_headers, parse_credential},
    encoding::Pairs,
    error::Error,
};

/// Seven days, the most that S3 allows.
const MAX_EXPIRES: u64 = 604_800;

/// The names that authenticate, exactly spelled.
const NAMES: [&str; 8] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];

/// Whether any parameter authenticates, in whatever spelling.
pub(super) fn is_presigned(pairs: &Pairs<'_>) -> bool {
    pairs.iter().any(|(name, _)| NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)))
}

/// The parameters, each at most once.
#[derive(Debug)]
pub(super) struct PresignedQuery<'p> {
    pub(super) authorization: Authorization<'p>,
    pub(super) date: &'p str,
    pub(super) expires: Duration,
    pub(super) security_token: Option<&'p str>,
    pub(super) payload: Option<&'p str>,
}

impl<'p> PresignedQuery<'p> {
    pub(super) fn parse(pairs: &'p Pairs<'_>) -> Result<Self, Error> {
        let bad = |why: &str| Error::AuthorizationQueryParametersError(why.to_owned());
        let mut found = [None; NAMES.len()];
        for (name, value) in pairs {
            for (known, place) in NAMES.iter().zip(&mut found) {
                if !name.eq_ignore_ascii_case(known) {
                    continue;
                }
                if name != known {
                    return Err(bad(
                        "The query parameters that authenticate must be spelled as X-Amz-Algorithm is",
                    ));
                }
                if place.replace(value.as_ref()).is_some() {
                    return Err(bad("A query parameter that authenticates is given more than once"));
                }
            }
        }
        let [algorithm, credential, date, expires, signed_headers, signature, security_token, payload] =
            found;
        let (
            Some(algorithm),
            Some(credential),
            Some(date),
            Some(expires),
            Some(signed_headers),
            Some(signature),
        ) = (algorithm, credential, date, expires, signed_headers, signature)
        else {
            return Err(bad(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, \
                 X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters",
            ));
        };
        if algorithm != ALGORITHM {
            return Err(bad("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
        }
        let (access_key_id, scope) = parse_credential(credential).map_err(bad)?;
        check_signed_headers(signed_headers).map_err(bad)?;
        Ok(Self {
            authorization: Authorization { access_key_id, scope, signed_headers, signature },
            date,
            expires: parse_expires(expires)?,
            security_token,
            payload,
        })
    }
}

fn parse_expires(text: &str) -> Result<Duration, Error> {
    let bad = |why: &str| Error::AuthorizationQueryParametersError(why.to_owned());
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad("X-Amz-Expires should be a number"));
    }
    match text.parse() {
        Ok(seconds @ 1..=MAX_EXPIRES) => Ok(Duration::from_secs(seconds)),
        Ok(0) => Err(bad("X-Amz-Expires must be positive")),
        _ => Err(bad(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds",
        )),
    }
}

/// The pairs that the canonical query covers: all but the signature itself.
pub(super) fn signed_pairs<'p>(pairs: &'p Pairs<'_>) -> impl Iterator<Item = (&'p str, &'p str)> {
    pairs
        .iter()
        .filter(|(name, _)| name != "X-Amz-Signature")
        .map(|(name, value)| (name.as_ref(), value.as_ref()))
}

/// Whether a parameter authenticates and so is none of the operation's.
pub(super) fn authenticates(name: &str) -> bool {
    NAMES.contains(&name)
}
