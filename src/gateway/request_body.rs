//! What a request says of its body, read strictly, and the body wrapped in the checks that follow from it.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::{
    backend::{
        Outgoing, Progress,
        upload::{Checks, Upload, Verdict},
    },
    digest,
    rate::{Pace, SessionLimits},
    s3::{
        Described, ErrorCode, S3Error,
        checksum::{Algorithm, Expected},
        headers::is_aws_chunked,
        operation::{BodyKind, Spec},
    },
    sigv4::{ChunkedDecoder, PayloadHash, VerifiedSignature},
};

use super::s3_errors::of_upload;

const X_AMZ_DECODED_CONTENT_LENGTH: &str = "x-amz-decoded-content-length";
const X_AMZ_TRAILER: &str = "x-amz-trailer";
/// Bounds on bodies.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimits<'r> {
    pub(super) max_object_size: u64,
    /// How long a client may send nothing.
    pub(super) stall: Duration,
    /// Of the session; `None`: it has none.
    pub(super) rates: Option<&'r Arc<SessionLimits>>,
}

/// A body that nothing has been read of.
#[derive(Debug)]
pub(super) struct RequestBody<'r> {
    pub(super) headers: &'r HeaderMap,
    pub(super) signature: &'r VerifiedSignature,
    pub(super) incoming: Incoming,
    pub(super) limits: BodyLimits<'r>,
}

/// What goes on, and how the end of it will be known.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) outgoing: Outgoing,
    pub(super) progress: Progress,
    /// For bodies that stream: their checks end while the backend already reads.
    pub(super) verdict: Option<Verdict>,
    pub(super) length: u64,
}

/// A body on its way to being sent.
#[derive(Debug)]
pub(super) enum Staged<'r> {
    Unread(RequestBody<'r>),
    /// Read and proven before the decision, which asked for what it says.
    Read(Prepared),
}

impl Staged<'_> {
    pub(super) async fn prepare(self, spec: &Spec) -> Result<Prepared, S3Error> {
        match self {
            Self::Unread(body) => body.prepare(spec).await,
            Self::Read(prepared) => Ok(prepared),
        }
    }
}

impl Prepared {
    /// The document that goes on; empty for bodies that are none.
    pub(super) fn document(&self) -> &[u8] {
        match &self.outgoing {
            Outgoing::Document(document) => document,
            _ => &[],
        }
    }
}

impl<'r> RequestBody<'r> {
    /// Reads what the decision may ask for. Most bodies are left alone until it has fallen.
    pub(super) async fn describe(self, spec: &Spec) -> Result<(Staged<'r>, Described), S3Error> {
        if !spec.describes {
            return Ok((Staged::Unread(self), Described::default()));
        }
        let prepared = Box::pin(self.prepare(spec)).await?;
        let described = Described::read(prepared.document())?;
        Ok((Staged::Read(prepared), described))
    }
}

impl RequestBody<'_> {
    /// Checks what can be checked before the first byte. Whatever is not the streamed body of an object is read and proven
    /// whole here, so that the backend hears of nothing that is wrong.
    pub(super) async fn prepare(self, spec: &Spec) -> Result<Prepared, S3Error> {
        let progress = Progress::start();
        match spec.body {
            BodyKind::Empty => {
                self.must_be_empty()?;
                Ok(Prepared { outgoing: Outgoing::Nothing, progress, verdict: None, length: 0 })
            }
            BodyKind::Document(limit) => {
                let document = Box::pin(self.document(limit, spec.checks_body)).await?;
                let length = document.len() as u64;
                Ok(Prepared { outgoing: Outgoing::Document(document), progress, verdict: None, length })
            }
            BodyKind::Object => Box::pin(self.object(progress)).await,
        }
    }

    /// A small body, read and proven whole.
    pub(super) async fn document(self, limit: u64, checks_body: bool) -> Result<bytes::Bytes, S3Error> {
        if self.signature.payload().is_chunked() {
            return Err(S3Error::new(
                ErrorCode::InvalidRequest,
                "A STREAMING- payload is for the bytes of objects; this operation takes a document.",
            ));
        }
        let length = self.content_length()?.unwrap_or_default();
        if length > limit {
            return Err(S3Error::new(ErrorCode::MaxMessageLengthExceeded, "Your request was too large.")
                .with("MaxMessageLengthBytes", limit.to_string()));
        }
        let checks = self.checks(length, checks_body)?;
        let upload =
            Upload::new(self.incoming.map_err(Into::into).boxed_unsync(), None, checks, Progress::start());
        let collected = upload.collect(limit).await.map_err(|verdict| of_upload(&verdict))?;
        Ok(collected.body)
    }

    async fn object(self, progress: Progress) -> Result<Prepared, S3Error> {
        let payload = self.signature.payload().clone();
        if !payload.is_chunked() && is_aws_chunked(self.headers) {
            return Err(S3Error::new(
                ErrorCode::InvalidRequest,
                "Content-Encoding says aws-chunked, x-amz-content-sha256 does not.",
            ));
        }
        let length = if payload.is_chunked() { self.decoded_length()? } else { self.content_length()? };
        let length = length.ok_or_else(|| {
            S3Error::new(ErrorCode::MissingContentLength, "You must provide the Content-Length HTTP header.")
        })?;
        if length > self.limits.max_object_size {
            return Err(S3Error::new(
                ErrorCode::EntityTooLarge,
                "Your proposed upload exceeds the maximum allowed size",
            )
            .with("ProposedSize", length.to_string())
            .with("MaxSizeAllowed", self.limits.max_object_size.to_string()));
        }
        let mut checks = self.checks(length, true)?;
        let announced = self.announced_trailer(&payload)?;
        if announced.is_some()
            && !checks.headers.is_empty()
            && checks.headers.iter().any(|c| c.algorithm() != Algorithm::Md5)
        {
            return Err(two_checksums());
        }
        checks.trailer = announced.map(|algorithm| (algorithm, algorithm.header()));
        let decoder = payload.is_chunked().then(|| {
            let names = announced.map(Algorithm::header).into_iter().collect();
            ChunkedDecoder::new(&payload, self.signature.chunk_signer(), length, names)
        });
        let source = self.incoming.map_err(Into::into).boxed_unsync();
        let upload = Upload::new(source, decoder, checks, progress.clone());
        let verdict = upload.verdict();
        if length == 0 {
            // A backend would take an empty object for whole with the head of the request.
            let collected = upload.collect(0).await.map_err(|verdict| of_upload(&verdict))?;
            let outgoing = Outgoing::EmptyObject { trailer: collected.trailer };
            return Ok(Prepared { outgoing, progress, verdict: None, length });
        }
        let outgoing = Outgoing::Object { upload: Box::new(upload), declared: payload, trailer: announced };
        Ok(Prepared { outgoing, progress, verdict: Some(verdict), length })
    }

    fn must_be_empty(&self) -> Result<(), S3Error> {
        let refused = |why| Err(S3Error::new(ErrorCode::InvalidRequest, why));
        match self.signature.payload() {
            PayloadHash::Unsigned => {}
            PayloadHash::Sha256(hash) if *hash == digest::EMPTY => {}
            PayloadHash::Sha256(_) => {
                return Err(S3Error::new(
                    ErrorCode::XAmzContentSHA256Mismatch,
                    "The provided 'x-amz-content-sha256' header does not match what was computed: there is no body.",
                ));
            }
            _ => {
                return refused(
                    "A STREAMING- payload is for the bytes of objects; this operation takes no body.",
                );
            }
        }
        if self.content_length()?.unwrap_or_default() > 0 || !self.incoming.is_end_stream() {
            return refused("This operation takes no body.");
        }
        Ok(())
    }

    fn checks(&self, length: u64, checks_body: bool) -> Result<Checks, S3Error> {
        let sha256 = match self.signature.payload() {
            PayloadHash::Sha256(hash) => Some(*hash),
            _ => None,
        };
        let mut headers = Vec::new();
        if let Some(value) = self.text("content-md5")? {
            let expected = Expected::parse(Algorithm::Md5, value);
            headers.push(expected.map_err(|_| {
                S3Error::new(ErrorCode::InvalidDigest, "The Content-MD5 you specified is not valid.")
            })?);
        }
        if checks_body {
            let flexible = self.flexible_checksum()?;
            headers.extend(flexible);
        }
        let pace = Pace::of(self.limits.rates);
        Ok(Checks { length, sha256, headers, trailer: None, stall: self.limits.stall, pace })
    }

    /// The one `x-amz-checksum-…` header.
    fn flexible_checksum(&self) -> Result<Option<Expected>, S3Error> {
        let mut found = None;
        for algorithm in Algorithm::FLEXIBLE {
            let name = algorithm.header();
            let Some(value) = self.text(name.as_str())? else { continue };
            let expected = Expected::parse(algorithm, value).map_err(|_| {
                S3Error::new(ErrorCode::InvalidRequest, format!("Value for {name} header is invalid."))
            })?;
            if found.replace(expected).is_some() {
                return Err(two_checksums());
            }
        }
        Ok(found)
    }

    /// The checksum that the trailer will bring: of the announced names the only kind that means something.
    fn announced_trailer(&self, payload: &PayloadHash) -> Result<Option<Algorithm>, S3Error> {
        let malformed = |why: &'static str| S3Error::new(ErrorCode::MalformedTrailerError, why);
        match (self.text(X_AMZ_TRAILER)?, payload.has_trailer()) {
            (None, false) => Ok(None),
            (Some(_), false) => Err(S3Error::new(
                ErrorCode::InvalidRequest,
                "x-amz-trailer is given, but x-amz-content-sha256 says that there is no trailer.",
            )),
            (None, true) => Err(malformed(
                "The request contained trailing data that was not well-formed: x-amz-trailer is missing.",
            )),
            (Some(name), true) => Algorithm::of_header(name.trim())
                .map(Some)
                .ok_or_else(|| malformed("x-amz-trailer must name one x-amz-checksum- header.")),
        }
    }

    fn content_length(&self) -> Result<Option<u64>, S3Error> {
        self.number(header::CONTENT_LENGTH.as_str())
    }

    fn decoded_length(&self) -> Result<Option<u64>, S3Error> {
        self.number(X_AMZ_DECODED_CONTENT_LENGTH)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, S3Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Some(number)),
            _ => {
                Err(S3Error::new(ErrorCode::InvalidArgument, format!("The value of {name} is not a length.")))
            }
        }
    }

    fn text(&self, name: &str) -> Result<Option<&str>, S3Error> {
        let Some(value) = self.headers.get(name) else { return Ok(None) };
        let text = value.to_str();
        let text = text.map_err(|_| {
            S3Error::new(ErrorCode::InvalidArgument, format!("The value of {name} is not text."))
        })?;
        Ok(Some(text))
    }
}

fn two_checksums() -> S3Error {
    S3Error::new(
        ErrorCode::InvalidRequest,
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    )
}
