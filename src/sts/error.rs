//! STS errors: AWS's codes and statuses.

use std::borrow::Cow;

use http::StatusCode;

use crate::{credentials::AuthenticationError, sigv4};

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Sender,
    Receiver,
}

/// The codes that STS answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    AccessDenied,
    ExpiredToken,
    ExpiredTokenException,
    IDPCommunicationError,
    IncompleteSignature,
    InsecureConnection,
    InternalFailure,
    InvalidAction,
    InvalidAuthorizationMessageException,
    InvalidClientCertificate,
    InvalidClientTokenId,
    InvalidIdentityToken,
    InvalidParameterValue,
    MalformedPolicyDocument,
    MalformedQueryString,
    MissingAction,
    MissingAuthenticationToken,
    MissingParameter,
    PackedPolicyTooLarge,
    RequestExpired,
    STSNotInitialized,
    ServiceUnavailable,
    SignatureDoesNotMatch,
    SlowDown,
    Throttling,
    TooManyIntermediateCAs,
    ValidationError,
}

impl ErrorCode {
    pub const ALL: [Self; 27] = [
        Self::AccessDenied,
        Self::ExpiredToken,
        Self::ExpiredTokenException,
        Self::IDPCommunicationError,
        Self::IncompleteSignature,
        Self::InsecureConnection,
        Self::InternalFailure,
        Self::InvalidAction,
        Self::InvalidAuthorizationMessageException,
        Self::InvalidClientCertificate,
        Self::InvalidClientTokenId,
        Self::InvalidIdentityToken,
        Self::InvalidParameterValue,
        Self::MalformedPolicyDocument,
        Self::MalformedQueryString,
        Self::MissingAction,
        Self::MissingAuthenticationToken,
        Self::MissingParameter,
        Self::PackedPolicyTooLarge,
        Self::RequestExpired,
        Self::STSNotInitialized,
        Self::ServiceUnavailable,
        Self::SignatureDoesNotMatch,
        Self::SlowDown,
        Self::Throttling,
        Self::TooManyIntermediateCAs,
        Self::ValidationError,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDenied",
            // As AWS STS writes it; SDKs refresh on it.
            Self::ExpiredToken => "ExpiredToken",
            Self::ExpiredTokenException => "ExpiredTokenException",
            Self::IDPCommunicationError => "IDPCommunicationError",
            Self::IncompleteSignature => "IncompleteSignature",
            Self::InsecureConnection => "InsecureConnection",
            Self::InternalFailure => "InternalFailure",
            Self::InvalidAction => "InvalidAction",
            Self::InvalidAuthorizationMessageException => "InvalidAuthorizationMessageException",
            Self::InvalidClientCertificate => "InvalidClientCertificate",
            Self::InvalidClientTokenId => "InvalidClientTokenId",
            Self::InvalidIdentityToken => "InvalidIdentityToken",
            Self::InvalidParameterValue => "InvalidParameterValue",
            Self::MalformedPolicyDocument => "MalformedPolicyDocument",
            Self::MalformedQueryString => "MalformedQueryString",
            Self::MissingAction => "MissingAction",
            Self::MissingAuthenticationToken => "MissingAuthenticationToken",
            Self::MissingParameter => "MissingParameter",
            Self::PackedPolicyTooLarge => "PackedPolicyTooLarge",
            Self::RequestExpired => "RequestExpired",
            Self::STSNotInitialized => "STSNotInitialized",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::SignatureDoesNotMatch => "SignatureDoesNotMatch",
            // Every SDK has it among the codes of throttling, and with 503 even those try again that look at the status alone.
            Self::SlowDown => "SlowDown",
            Self::Throttling => "Throttling",
            Self::TooManyIntermediateCAs => "TooManyIntermediateCAs",
            Self::ValidationError => "ValidationError",
        }
    }

    pub fn status(self) -> StatusCode {
        match self {
            Self::AccessDenied
            | Self::ExpiredToken
            | Self::InvalidClientTokenId
            | Self::MissingAuthenticationToken
            | Self::SignatureDoesNotMatch => StatusCode::FORBIDDEN,
            Self::InternalFailure => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable | Self::SlowDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::IncompleteSignature
            | Self::ExpiredTokenException
            | Self::IDPCommunicationError
            | Self::InsecureConnection
            | Self::InvalidAction
            | Self::InvalidAuthorizationMessageException
            | Self::InvalidClientCertificate
            | Self::InvalidIdentityToken
            | Self::InvalidParameterValue
            | Self::MalformedPolicyDocument
            | Self::MalformedQueryString
            | Self::MissingAction
            | Self::MissingParameter
            | Self::PackedPolicyTooLarge
            | Self::RequestExpired
            // MinIO answers 503, on which clients try again and again what the configuration does not offer.
            | Self::STSNotInitialized
            | Self::Throttling
            | Self::TooManyIntermediateCAs
            | Self::ValidationError => StatusCode::BAD_REQUEST,
        }
    }
}

/// A refusal: the code and the message are for the caller, the cause for the log.
#[derive(Debug)]
pub struct StsError {
    pub code: ErrorCode,
    pub message: Cow<'static, str>,
    pub fault: Fault,
    pub cause: Option<String>,
    /// When to come again, in seconds.
    pub retry_after: Option<u64>,
}

impl StsError {
    pub fn sender(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), fault: Fault::Sender, cause: None, retry_after: None }
    }

    pub fn receiver(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), fault: Fault::Receiver, cause: None, retry_after: None }
    }

    /// There is more to do than there is room for, of this caller or of all.
    pub fn slow_down() -> Self {
        let mut error = Self::receiver(ErrorCode::SlowDown, "Please reduce your request rate.");
        error.retry_after = Some(1);
        error
    }

    pub fn to_xml(&self, request_id: &str) -> String {
        super::xml::error(self, request_id)
    }

    pub(super) fn caused_by(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }
}

impl From<sigv4::Error> for StsError {
    fn from(error: sigv4::Error) -> Self {
        use sigv4::Error as E;
        let code = match &error {
            E::MissingCredentials => {
                return Self::sender(
                    ErrorCode::MissingAuthenticationToken,
                    "Request is missing Authentication Token",
                );
            }
            E::SignatureDoesNotMatch(_) | E::PayloadHashMismatch => ErrorCode::SignatureDoesNotMatch,
            E::RequestTimeTooSkewed { .. } | E::NotYetValid { .. } | E::Expired { .. } => {
                ErrorCode::SignatureDoesNotMatch
            }
            E::WrongRegion { .. } => ErrorCode::SignatureDoesNotMatch,
            E::HeadersNotSigned(_) => ErrorCode::AccessDenied,
            E::SeveralMechanisms
            | E::UnsupportedMechanism
            | E::RepeatedHeader(_)
            | E::AuthorizationHeaderMalformed(_)
            | E::AuthorizationQueryParametersError(_)
            | E::MissingDate
            | E::MissingPayloadHash
            | E::InvalidPayloadHash
            | E::ContradictoryPayloadHash
            | E::InvalidUri(_) => ErrorCode::IncompleteSignature,
        };
        Self::sender(code, error.to_string())
    }
}

impl From<AuthenticationError> for StsError {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::Signature(error) => error.into(),
            AuthenticationError::UnknownAccessKey { .. } => Self::sender(
                ErrorCode::InvalidClientTokenId,
                "The security token included in the request is invalid.",
            ),
            AuthenticationError::InvalidToken { cause } => Self::sender(
                ErrorCode::InvalidClientTokenId,
                "The security token included in the request is invalid.",
            )
            .caused_by(cause),
            AuthenticationError::Expired { .. } => Self::sender(
                ErrorCode::ExpiredToken,
                "The security token included in the request is expired.",
            ),
            AuthenticationError::RevocationsUnknown => {
                Self::receiver(ErrorCode::ServiceUnavailable, error.to_string())
            }
            AuthenticationError::TooManyRequests { cause } => Self::slow_down().caused_by(cause),
            AuthenticationError::LongTermKey => Self::sender(ErrorCode::AccessDenied, error.to_string()),
        }
    }
}
