//! The headers that say when a request was signed, and whether all that count were.

use http::{HeaderMap, HeaderName, header};

use super::error::Error;
use crate::clock::Timestamp;

const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");

/// The value of a header that may be there once.
pub(super) fn singleton<'r>(
    headers: &'r HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<&'r str>, Error> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::RepeatedHeader(shown));
    }
    value.to_str().map(Some).map_err(|_| Error::UnsupportedMechanism)
}

/// `x-amz-date`, or without it `Date`.
pub(super) fn request_time(headers: &HeaderMap) -> Result<(String, Timestamp), Error> {
    if headers.contains_key(X_AMZ_DATE) {
        let text = singleton(headers, &X_AMZ_DATE, "x-amz-date")?.ok_or(Error::MissingDate)?;
        let at = Timestamp::parse_amz_date(text).ok_or(Error::MissingDate)?;
        return Ok((text.to_owned(), at));
    }
    let text = singleton(headers, &header::DATE, "Date")?.ok_or(Error::MissingDate)?;
    let at = Timestamp::parse_amz_date(text)
        .or_else(|| Timestamp::parse_http_date(text))
        .ok_or(Error::MissingDate)?;
    Ok((at.amz_date(), at))
}

/// `host` and every `x-amz-*` header are signed. Only `x-amz-content-sha256` may be left out of the list: its value is a
/// line of the canonical request anyway.
pub(super) fn check_coverage(headers: &HeaderMap, signed_headers: &str) -> Result<(), Error> {
    let is_signed = |name: &str| {
        signed_headers.as_bytes().split(|byte| *byte == b';').any(|signed| signed == name.as_bytes())
    };
    let mut missing: Vec<String> = headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| name.starts_with("x-amz-") && *name != "x-amz-content-sha256" && !is_signed(name))
        .map(str::to_owned)
        .collect();
    if !is_signed("host") {
        missing.insert(0, "host".to_owned());
    }
    if missing.is_empty() { Ok(()) } else { Err(Error::HeadersNotSigned(missing)) }
}
