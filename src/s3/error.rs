//! S3 errors: AWS's codes, statuses and XML.

use std::{borrow::Cow, fmt::Write as _};

use http::StatusCode;
use quick_xml::escape::partial_escape as escape;

use crate::{clock::Timestamp, excerpt::excerpt, iam::Denial, sigv4};

macro_rules! codes {
    ($($code:ident $status:ident),+ $(,)?) => {
        /// The codes that the gateway itself answers with (S3 API reference, "Error responses").
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorCode { $($code),+ }

        impl ErrorCode {
            pub const ALL: &[Self] = &[$(Self::$code),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => stringify!($code)),+ }
            }

            pub fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status),+ }
            }
        }
    };
}

codes! {
    AccessDenied FORBIDDEN,
    AuthorizationHeaderMalformed BAD_REQUEST,
    AuthorizationQueryParametersError BAD_REQUEST,
    BadDigest BAD_REQUEST,
    EntityTooLarge BAD_REQUEST,
    EntityTooSmall BAD_REQUEST,
    ExpiredToken BAD_REQUEST,
    IncompleteBody BAD_REQUEST,
    InternalError INTERNAL_SERVER_ERROR,
    InvalidAccessKeyId FORBIDDEN,
    InvalidArgument BAD_REQUEST,
    InvalidBucketName BAD_REQUEST,
    InvalidChunkSizeError BAD_REQUEST,
    InvalidDigest BAD_REQUEST,
    InvalidPolicyDocument BAD_REQUEST,
    InvalidRequest BAD_REQUEST,
    InvalidToken BAD_REQUEST,
    InvalidURI BAD_REQUEST,
    KeyTooLongError BAD_REQUEST,
    MalformedACLError BAD_REQUEST,
    MalformedPOSTRequest BAD_REQUEST,
    MalformedTrailerError BAD_REQUEST,
    MalformedPolicy BAD_REQUEST,
    MalformedXML BAD_REQUEST,
    MaxMessageLengthExceeded BAD_REQUEST,
    MetadataTooLarge BAD_REQUEST,
    MethodNotAllowed METHOD_NOT_ALLOWED,
    MissingContentLength LENGTH_REQUIRED,
    MissingRequestBodyError BAD_REQUEST,
    NotImplemented NOT_IMPLEMENTED,
    RequestTimeTooSkewed FORBIDDEN,
    RequestTimeout BAD_REQUEST,
    ServiceUnavailable SERVICE_UNAVAILABLE,
    SignatureDoesNotMatch FORBIDDEN,
    SlowDown SERVICE_UNAVAILABLE,
    XAmzContentSHA256Mismatch BAD_REQUEST,
}

impl ErrorCode {
    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

/// Of each part of a request whose sender is not proven, in bytes.
const MOST_ECHOED: usize = 1024;

/// A refusal: code, message and elements are for the client, the cause for the log.
#[derive(Debug)]
pub struct S3Error {
    pub code: ErrorCode,
    pub message: Cow<'static, str>,
    /// More elements of the XML, as AWS has them for some codes.
    pub elements: Vec<(&'static str, String)>,
    pub cause: Option<String>,
    /// Another status than the code's own.
    pub status: Option<StatusCode>,
    /// What a policy decided.
    pub denial: Option<Box<Denial>>,
}

impl S3Error {
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), elements: Vec::new(), cause: None, status: None, denial: None }
    }

    /// What went wrong on our side; the client learns only that it did.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::InternalError, "We encountered an internal error. Please try again.")
            .caused_by(cause)
    }

    #[must_use]
    pub fn with(mut self, element: &'static str, value: impl Into<String>) -> Self {
        self.elements.push((element, value.into()));
        self
    }

    #[must_use]
    pub fn caused_by(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    #[must_use]
    pub(super) fn denied(mut self, denial: Denial) -> Self {
        self.denial = Some(Box::new(denial));
        self
    }

    pub(super) fn is_implicit_denial(&self) -> bool {
        self.denial.as_ref().is_some_and(|denial| !denial.explicit)
    }

    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or(self.code.status())
    }

    pub fn to_xml(&self, resource: &str, request_id: &str) -> String {
        error_xml(self.code.as_str(), &self.message, &self.elements, resource, request_id)
    }

    /// For a sender who is not proven: it gets little of its own request back, as nobody is to fill memory with answers. What
    /// helps to find a wrong signature stays whole; it takes the token of a session.
    pub fn to_short_xml(&self, resource: &str, request_id: &str) -> String {
        if self.code == ErrorCode::SignatureDoesNotMatch {
            return self.to_xml(cut(resource), request_id);
        }
        let elements: Vec<_> =
            self.elements.iter().map(|(name, value)| (*name, cut(value).to_owned())).collect();
        error_xml(self.code.as_str(), cut(&self.message), &elements, cut(resource), request_id)
    }
}

fn cut(echoed: &str) -> &str {
    excerpt(echoed, MOST_ECHOED)
}

/// The XML of an error, everything in it escaped.
pub fn error_xml(
    code: &str,
    message: &str,
    elements: &[(&'static str, String)],
    resource: &str,
    request_id: &str,
) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
    // Writing to a String cannot fail.
    let mut element = |name: &str, value: &str| {
        let _ = write!(xml, "<{name}>{}</{name}>", escape(value));
    };
    element("Code", code);
    element("Message", message);
    for (name, value) in elements {
        element(name, value);
    }
    element("Resource", resource);
    element("RequestId", request_id);
    element("HostId", "daypass");
    xml.push_str("</Error>");
    xml
}

impl From<sigv4::Error> for S3Error {
    fn from(error: sigv4::Error) -> Self {
        use sigv4::Error as E;
        let code = ErrorCode::named(error.code()).unwrap_or(ErrorCode::AccessDenied);
        let refused = Self::new(code, error.to_string());
        match error {
            // Of a form it is the policy as it came: there is nothing to compare, and its conditions hold the session token.
            E::SignatureDoesNotMatch(mismatch) if mismatch.canonical_request.is_empty() => refused
                .with("AWSAccessKeyId", mismatch.access_key_id)
                .with("SignatureProvided", mismatch.signature_provided),
            E::SignatureDoesNotMatch(mismatch) => {
                let canonical = without_secrets(&mismatch.canonical_request);
                refused
                    .with("AWSAccessKeyId", mismatch.access_key_id)
                    .with("StringToSignBytes", hex_bytes(&mismatch.string_to_sign))
                    .with("StringToSign", mismatch.string_to_sign)
                    .with("SignatureProvided", mismatch.signature_provided)
                    .with("CanonicalRequestBytes", hex_bytes(&canonical))
                    .with("CanonicalRequest", canonical)
            }
            E::HeadersNotSigned(names) => refused.with("HeadersNotSigned", names.join(", ")),
            E::RequestTimeTooSkewed { request, server } => refused
                .with("RequestTime", request.amz_date())
                .with("ServerTime", server.rfc3339())
                .with("MaxAllowedSkewMilliseconds", "900000"),
            E::Expired { ended, server } => expired(refused, "Expires", ended, server),
            E::NotYetValid { begins, server } => expired(refused, "X-Amz-Date", begins, server),
            E::WrongRegion { expected, .. } => refused.with("Region", expected),
            _ => refused,
        }
    }
}

fn expired(refused: S3Error, name: &'static str, at: Timestamp, server: Timestamp) -> S3Error {
    refused.with(name, at.rfc3339()).with("ServerTime", server.rfc3339())
}

/// What opens something, among headers and query parameters.
const SECRET: [&str; 3] = [
    "x-amz-security-token",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-key",
];

/// A canonical request to compare with, without the session token and keys of objects: clients write error bodies into logs.
fn without_secrets(canonical: &str) -> String {
    let shown = |part: &str, separator: char| {
        let name = part.split_once(separator).map_or("", |(name, _)| name);
        let is_secret = SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret));
        if is_secret { format!("{name}{separator}[redacted]") } else { part.to_owned() }
    };
    let line = |(at, line): (usize, &str)| match at {
        // Method, path, query, headers.
        0 | 1 => line.to_owned(),
        2 => line.split('&').map(|pair| shown(pair, '=')).collect::<Vec<_>>().join("&"),
        _ => shown(line, ':'),
    };
    canonical.split('\n').enumerate().map(line).collect::<Vec<_>>().join("\n")
}

/// As AWS shows them: `41 57 53 34`.
fn hex_bytes(text: &str) -> String {
    let mut bytes = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        let _ = write!(bytes, "{byte:02x} ");
    }
    bytes.pop();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_a_signature_error_is_a_code_of_s3() {
        for name in [
            "AccessDenied",
            "InvalidArgument",
            "InvalidRequest",
            "AuthorizationHeaderMalformed",
            "AuthorizationQueryParametersError",
            "XAmzContentSHA256Mismatch",
            "InvalidURI",
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
        ] {
            assert!(ErrorCode::named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn nothing_in_an_error_can_become_markup() {
        let error =
            S3Error::new(ErrorCode::InvalidArgument, "a <b> & \"c\"").with("ArgumentValue", "<script>");
        let xml = error.to_xml("/b/<script>alert(1)</script>", "ID");
        assert!(!xml.contains("<script>") && !xml.contains("<b>"), "{xml}");
        assert!(xml.contains("<Resource>/b/&lt;script&gt;"), "{xml}");
    }

    #[test]
    fn bytes_are_shown_as_aws_shows_them() {
        assert_eq!(hex_bytes("AWS4\n"), "41 57 53 34 0a");
        assert_eq!(hex_bytes(""), "");
    }
}
