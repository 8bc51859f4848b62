//! Why a signature is not accepted, in AWS's codes.

use super::encoding::EncodingError;
use crate::clock::Timestamp;

/// A request whose signature proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("Access Denied.")]
    MissingCredentials,
    #[error(
        "Only one auth mechanism allowed; use either the Authorization header or X-Amz-* query parameters."
    )]
    SeveralMechanisms,
    #[error("The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")]
    UnsupportedMechanism,
    #[error("The header {0} must not be given more than once.")]
    RepeatedHeader(&'static str),
    #[error("The authorization header is malformed; {0}.")]
    AuthorizationHeaderMalformed(String),
    #[error("{0}.")]
    AuthorizationQueryParametersError(String),
    #[error("There were headers present in the request which were not signed: {}", .0.join(", "))]
    HeadersNotSigned(Vec<String>),
    #[error("AWS authentication requires a valid Date or x-amz-date header.")]
    MissingDate,
    #[error("Missing required header for this request: x-amz-content-sha256.")]
    MissingPayloadHash,
    #[error(
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a known STREAMING- value, or a valid sha256 value."
    )]
    InvalidPayloadHash,
    #[error("x-amz-content-sha256 is given twice, with different values.")]
    ContradictoryPayloadHash,
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    PayloadHashMismatch,
    #[error("Couldn't parse the specified URI: {0}.")]
    InvalidUri(EncodingError),
    #[error("The difference between the request time and the server's time is too large.")]
    RequestTimeTooSkewed { request: Timestamp, server: Timestamp },
    #[error("Request has expired.")]
    Expired { ended: Timestamp, server: Timestamp },
    #[error("Request is not valid yet.")]
    NotYetValid { begins: Timestamp, server: Timestamp },
    #[error("{message}; the region '{given}' is wrong; expecting '{expected}'.")]
    WrongRegion { in_query: bool, message: &'static str, given: String, expected: String },
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    )]
    SignatureDoesNotMatch(Box<Mismatch>),
}

/// What **we** computed from **the client's own** request, for it to compare with what it computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    pub access_key_id: String,
    pub signature_provided: String,
    pub string_to_sign: String,
    pub canonical_request: String,
}

impl Error {
    /// AWS's code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingCredentials
            | Self::HeadersNotSigned(_)
            | Self::MissingDate
            | Self::Expired { .. }
            | Self::NotYetValid { .. } => "AccessDenied",
            Self::SeveralMechanisms | Self::RepeatedHeader(_) | Self::ContradictoryPayloadHash => {
                "InvalidArgument"
            }
            Self::UnsupportedMechanism | Self::MissingPayloadHash | Self::InvalidPayloadHash => {
                "InvalidRequest"
            }
            Self::AuthorizationHeaderMalformed(_) | Self::WrongRegion { in_query: false, .. } => {
                "AuthorizationHeaderMalformed"
            }
            Self::AuthorizationQueryParametersError(_) | Self::WrongRegion { in_query: true, .. } => {
                "AuthorizationQueryParametersError"
            }
            Self::PayloadHashMismatch => "XAmzContentSHA256Mismatch",
            Self::InvalidUri(_) => "InvalidURI",
            Self::RequestTimeTooSkewed { .. } => "RequestTimeTooSkewed",
            Self::SignatureDoesNotMatch(_) => "SignatureDoesNotMatch",
        }
    }
}
