//! Why a request was nobody's, from the code that it was refused with.

/// A kind of proof that did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureFailure {
    /// Of a request or of a chunk.
    Signature,
    UnknownKey,
    Token,
    /// The session has ended.
    Expired,
    ClockSkew,
    PayloadHash,
    /// It cannot be read, or is for another region or service.
    Malformed,
    /// There is none, a presigned URL has ended, or a long-term key was used on S3.
    AccessDenied,
}

impl SignatureFailure {
    pub const ALL: [Self; 8] = [
        Self::Signature,
        Self::UnknownKey,
        Self::Token,
        Self::Expired,
        Self::ClockSkew,
        Self::PayloadHash,
        Self::Malformed,
        Self::AccessDenied,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::UnknownKey => "unknown_key",
            Self::Token => "token",
            Self::Expired => "expired",
            Self::ClockSkew => "clock_skew",
            Self::PayloadHash => "payload_hash",
            Self::Malformed => "malformed",
            Self::AccessDenied => "access_denied",
        }
    }

    /// `is_proven`: the caller is known, so that only a later piece of the body can have failed. `is_sts`: an action of STS
    /// was read before the proof, and logins are refused with `AccessDenied` too.
    pub(super) fn of_code(code: &str, is_proven: bool, is_sts: bool) -> Option<Self> {
        if code == "SignatureDoesNotMatch" {
            return Some(Self::Signature);
        }
        if is_proven {
            return None;
        }
        Some(match code {
            "InvalidAccessKeyId" => Self::UnknownKey,
            "InvalidToken" | "InvalidClientTokenId" => Self::Token,
            "ExpiredToken" => Self::Expired,
            "RequestTimeTooSkewed" => Self::ClockSkew,
            "XAmzContentSHA256Mismatch" => Self::PayloadHash,
            "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError" | "IncompleteSignature" => {
                Self::Malformed
            }
            "MissingAuthenticationToken" => Self::AccessDenied,
            "AccessDenied" if !is_sts => Self::AccessDenied,
            _ => return None,
        })
    }
}
