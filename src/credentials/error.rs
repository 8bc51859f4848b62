//! Why a request is nobody's, or must wait.

use super::{
    revocation::{Refusal, Revoked},
    seal::OpenError,
};
use crate::{clock::Timestamp, sigv4};

/// Why a request is nobody's.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    #[error(transparent)]
    Signature(#[from] sigv4::Error),
    #[error("The AWS Access Key Id you provided does not exist in our records.")]
    UnknownAccessKey { access_key_id: String },
    #[error("The provided token is malformed or otherwise invalid.")]
    InvalidToken {
        /// For the log alone.
        cause: TokenProblem,
    },
    #[error("The provided token has expired.")]
    Expired { ended: Timestamp },
    #[error(
        "A long-term key is good for STS alone: call AssumeRole or GetSessionToken and use the temporary keys."
    )]
    LongTermKey,
    #[error("It cannot be told whether this session is revoked. Please try again.")]
    RevocationsUnknown,
    #[error("Please reduce your request rate.")]
    TooManyRequests {
        /// For the log alone.
        cause: String,
    },
}

impl From<Refusal> for AuthenticationError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Revoked(cause) => Self::InvalidToken { cause: TokenProblem::Revoked(cause) },
            Refusal::Unknown => Self::RevocationsUnknown,
        }
    }
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenProblem {
    #[error(transparent)]
    DoesNotOpen(OpenError),
    #[error("it belongs to another access key id")]
    OfAnotherKey,
    #[error("a long-term key has no session token")]
    WithLongTermKey,
    #[error("the user or role behind it is gone, or may no longer be assumed")]
    PrincipalGone,
    #[error(transparent)]
    Revoked(Revoked),
}
