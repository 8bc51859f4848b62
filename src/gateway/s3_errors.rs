//! What other parts refuse, in S3's codes.

use crate::{
    backend::{
        ExchangeError,
        error_reply::UnfitReply,
        upload::{UploadError, Verdict},
    },
    credentials::AuthenticationError,
    s3::{ErrorCode, S3Error, checksum::Algorithm},
    sigv4::ChunkError,
};

/// Why a request is nobody's.
pub(super) fn of_authentication(error: AuthenticationError) -> S3Error {
    let message = error.to_string();
    match error {
        AuthenticationError::Signature(error) => error.into(),
        AuthenticationError::UnknownAccessKey { access_key_id } => {
            S3Error::new(ErrorCode::InvalidAccessKeyId, message).with("AWSAccessKeyId", access_key_id)
        }
        AuthenticationError::InvalidToken { cause } => {
            S3Error::new(ErrorCode::InvalidToken, message).caused_by(cause)
        }
        AuthenticationError::Expired { .. } => S3Error::new(ErrorCode::ExpiredToken, message),
        AuthenticationError::RevocationsUnknown => S3Error::new(ErrorCode::ServiceUnavailable, message),
        AuthenticationError::TooManyRequests { cause } => {
            S3Error::new(ErrorCode::SlowDown, message).caused_by(cause)
        }
        AuthenticationError::LongTermKey => S3Error::new(ErrorCode::AccessDenied, message),
    }
}

/// Why a body became no object.
pub(super) fn of_upload(verdict: &Verdict) -> S3Error {
    let Some(error) = verdict.failure() else {
        return S3Error::internal("an upload ended without a verdict");
    };
    let bad_digest = |what: &str| {
        S3Error::new(
            ErrorCode::BadDigest,
            format!("The {what} you specified did not match the calculated checksum."),
        )
    };
    match error {
        UploadError::ClientGone(cause) => incomplete().caused_by(cause),
        UploadError::ClientStalled => S3Error::new(
            ErrorCode::RequestTimeout,
            "Your socket connection to the server was not read from or written to within the timeout period.",
        ),
        UploadError::TooShort | UploadError::TooLong => incomplete().caused_by(error),
        UploadError::Chunk(chunk) => of_chunk(chunk).caused_by(error),
        UploadError::Sha256Mismatch { declared, computed } => S3Error::new(
            ErrorCode::XAmzContentSHA256Mismatch,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
        .with("ClientComputedContentSHA256", hex::encode(declared))
        .with("S3ComputedContentSHA256", hex::encode(computed)),
        UploadError::BadDigest { algorithm: Algorithm::Md5 } => bad_digest("Content-MD5"),
        UploadError::BadDigest { algorithm } => bad_digest(&algorithm.to_string()),
        UploadError::MalformedChecksum(name) => {
            S3Error::new(ErrorCode::InvalidRequest, format!("Value for {name} trailing header is invalid."))
        }
    }
}

fn incomplete() -> S3Error {
    S3Error::new(
        ErrorCode::IncompleteBody,
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    )
}

fn of_chunk(error: &ChunkError) -> S3Error {
    match error {
        ChunkError::MalformedChunk(_) | ChunkError::BytesAfterEnd => S3Error::new(
            ErrorCode::InvalidRequest,
            "The body is not the aws-chunked one that the request declares.",
        ),
        ChunkError::ChunkTooSmall => S3Error::new(
            ErrorCode::InvalidChunkSizeError,
            "Only the last chunk is allowed to have a size less than 8192 bytes",
        ),
        ChunkError::TooLong | ChunkError::Incomplete => incomplete(),
        ChunkError::ChunkSignature | ChunkError::TrailerSignature => S3Error::new(
            ErrorCode::SignatureDoesNotMatch,
            "The chunk signature we calculated does not match the signature you provided. Check your key and signing method.",
        ),
        ChunkError::MalformedTrailer(_) => S3Error::new(
            ErrorCode::MalformedTrailerError,
            "The request contained trailing data that was not well-formed or did not conform to our published schema.",
        ),
    }
}

/// Why the backend did not answer.
pub(super) fn of_exchange(error: &ExchangeError) -> S3Error {
    match error {
        ExchangeError::NotARequest(cause) => S3Error::internal(cause),
        ExchangeError::Connect(cause) => unavailable().caused_by(format!("{error}: {}", root_cause(cause))),
        ExchangeError::Broken(cause) => unavailable().caused_by(format!("{error}: {}", root_cause(cause))),
        ExchangeError::FirstByte | ExchangeError::Ejected => unavailable().caused_by(error),
    }
}

fn unavailable() -> S3Error {
    S3Error::new(
        ErrorCode::ServiceUnavailable,
        "The storage behind this gateway cannot be reached. Please try again.",
    )
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Why what the backend said cannot be passed on.
pub(super) fn of_unfit(reply: &UnfitReply) -> S3Error {
    S3Error::internal(reply)
}
