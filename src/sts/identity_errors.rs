//! What the ways of proving somebody say, in STS's codes. Nothing that a caller gets tells which step failed: causes are for
//! the log.

use std::time::Duration;

use super::error::{ErrorCode, StsError};
use crate::identity::{TooManyClaims, certificate, ldap, oidc, webhook};

impl From<oidc::Error> for StsError {
    fn from(error: oidc::Error) -> Self {
        match error {
            oidc::Error::Refused { cause } => Self::sender(
                ErrorCode::InvalidIdentityToken,
                "The web identity token that was passed could not be validated. Get a new identity token from the identity \
                 provider and then retry the request.",
            )
            .caused_by(cause),
            oidc::Error::Expired => Self::sender(
                ErrorCode::ExpiredTokenException,
                "The web identity token that was passed is expired. Get a new identity token from the identity provider and \
                 then retry the request.",
            ),
            oidc::Error::Unavailable { cause } => provider_unavailable().caused_by(cause),
        }
    }
}

impl From<ldap::Error> for StsError {
    fn from(error: ldap::Error) -> Self {
        match error {
            ldap::Error::Missing => Self::sender(
                ErrorCode::MissingParameter,
                "The request must contain the parameters LDAPUsername and LDAPPassword, and both must hold something.",
            ),
            ldap::Error::Refused { cause } => login_refused().caused_by(cause),
            ldap::Error::Throttled { retry_after } => throttled(retry_after),
            ldap::Error::Unavailable { cause } => Self::receiver(
                ErrorCode::InternalFailure,
                "The directory cannot be asked at the moment. Try again later.",
            )
            .caused_by(cause),
        }
    }
}

impl From<certificate::Error> for StsError {
    fn from(error: certificate::Error) -> Self {
        use certificate::Error as E;
        let code = match &error {
            E::InsecureConnection => ErrorCode::InsecureConnection,
            E::Missing => ErrorCode::MissingParameter,
            E::SeveralLeaves => ErrorCode::InvalidParameterValue,
            E::TooManyIntermediates => ErrorCode::TooManyIntermediateCAs,
            E::Invalid { cause } => {
                return Self::sender(
                    ErrorCode::InvalidClientCertificate,
                    "The provided client certificate is invalid. Retry with a different certificate.",
                )
                .caused_by(cause);
            }
        };
        Self::sender(code, format!("{error}."))
    }
}

impl From<webhook::Error> for StsError {
    fn from(error: webhook::Error) -> Self {
        match error {
            webhook::Error::Refused { cause } => {
                Self::sender(ErrorCode::AccessDenied, "The token was refused.").caused_by(cause)
            }
            webhook::Error::Unavailable { cause } => provider_unavailable().caused_by(cause),
        }
    }
}

impl From<TooManyClaims> for StsError {
    fn from(error: TooManyClaims) -> Self {
        match error {
            TooManyClaims::TooLarge => Self::sender(ErrorCode::PackedPolicyTooLarge, format!("{error}.")),
            TooManyClaims::Ambiguous(_) => Self::from(oidc::Error::Refused { cause: error.to_string() }),
        }
    }
}

/// One answer for an unknown user, a wrong password, and a user to whom nothing is granted.
pub(super) fn login_refused() -> StsError {
    StsError::sender(
        ErrorCode::AccessDenied,
        "The user name or the password is wrong, or nothing is granted to this user.",
    )
}

fn provider_unavailable() -> StsError {
    StsError::sender(
        ErrorCode::IDPCommunicationError,
        "The identity provider could not be asked. This is often a transient problem: retry the request a limited number of \
         times.",
    )
}

fn throttled(retry_after: Duration) -> StsError {
    let seconds = retry_after.as_secs().max(1);
    let mut error = StsError::sender(
        ErrorCode::Throttling,
        "There were too many failed logins. Wait before you try again.",
    );
    error.retry_after = Some(seconds);
    error
}
