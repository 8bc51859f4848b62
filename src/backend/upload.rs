//! A request body on its way through: verified while it streams, its last piece held back until everything is proven.
//!
//! The backend was told the exact length. As long as the last piece is held back it cannot take the object for whole, and
//! when a check fails the body ends with an error, so that the connection is reset: a wrong body never becomes an object.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use aws_lc_rs::digest;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use subtle::ConstantTimeEq;
use tokio::time::{Instant, Sleep};

use super::client::Progress;
use crate::{
    digest::finish,
    rate::Pace,
    s3::checksum::{Algorithm, Expected, Hasher},
    sigv4::{ChunkError, ChunkedDecoder},
};

/// Where the bytes come from: the client's connection.
pub type Source = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Why a body did not become an object.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the client went away or broke the protocol in the middle of the body")]
    ClientGone(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the client sent nothing for too long")]
    ClientStalled,
    #[error("the body has fewer bytes than declared")]
    TooShort,
    #[error("the body has more bytes than declared")]
    TooLong,
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error("the SHA-256 of the body is not the one in x-amz-content-sha256")]
    Sha256Mismatch { declared: [u8; 32], computed: [u8; 32] },
    #[error("the {algorithm} of the body is not the one given")]
    BadDigest { algorithm: Algorithm },
    #[error("the value of {0} is not a checksum of its kind")]
    MalformedChecksum(HeaderName),
}

/// What a body must satisfy.
#[derive(Debug)]
pub struct Checks {
    /// The length after decoding, exact.
    pub length: u64,
    pub sha256: Option<[u8; 32]>,
    /// Checksums whose value came in a header.
    pub headers: Vec<Expected>,
    /// The checksum whose value comes in the trailer.
    pub trailer: Option<(Algorithm, HeaderName)>,
    /// How long the client may send nothing.
    pub stall: Duration,
    /// How fast it may send; `None`: as it can.
    pub pace: Option<Pace>,
}

/// The end of an upload, as the one who waits for the backend's reply sees it.
#[derive(Debug, Clone, Default)]
pub struct Verdict(Arc<OnceLock<Result<(), UploadError>>>);

impl Verdict {
    /// Every check passed.
    pub fn passed(&self) -> bool {
        matches!(self.0.get(), Some(Ok(())))
    }

    /// The check that failed, if one did.
    pub fn failure(&self) -> Option<&UploadError> {
        self.0.get().and_then(|end| end.as_ref().err())
    }
}

/// The body ended with an error that [`Verdict::failure`] names.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the upload was refused")]
pub struct Refused;

/// A body that is verified as it is read.
pub struct Upload {
    source: Source,
    decoder: Option<Box<ChunkedDecoder>>,
    checks: Checks,
    hashes: Hashes,
    received: u64,
    /// Decoded pieces, in order; the last one stays here until the whole is proven.
    ready: VecDeque<Bytes>,
    decoded: Vec<Bytes>,
    trailer: Option<(HeaderName, HeaderValue)>,
    stall: Pin<Box<Sleep>>,
    progress: Progress,
    verdict: Verdict,
}

struct Hashes {
    sha256: Option<digest::Context>,
    headers: Vec<Hasher>,
    trailer: Option<Hasher>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("checks", &self.checks)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl Upload {
    /// `decoder`: for the aws-chunked forms.
    pub fn new(
        source: Source,
        decoder: Option<ChunkedDecoder>,
        mut checks: Checks,
        progress: Progress,
    ) -> Self {
        // What x-amz-content-sha256 says already is not hashed a second time.
        let implied =
            |expected: &Expected| checks.sha256.is_some_and(|declared| expected.is_sha256(&declared));
        checks.headers.retain(|expected| !implied(expected));
        let hashes = Hashes {
            sha256: checks.sha256.map(|_| digest::Context::new(&digest::SHA256)),
            headers: checks.headers.iter().map(|expected| Hasher::new(expected.algorithm())).collect(),
            trailer: checks.trailer.as_ref().map(|(algorithm, _)| Hasher::new(*algorithm)),
        };
        Self {
            source,
            decoder: decoder.map(Box::new),
            hashes,
            received: 0,
            ready: VecDeque::new(),
            decoded: Vec::new(),
            trailer: None,
            stall: Box::pin(tokio::time::sleep(checks.stall)),
            checks,
            progress,
            verdict: Verdict::default(),
        }
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// The length after decoding.
    pub fn length(&self) -> u64 {
        self.checks.length
    }

    /// The checksum that came in the trailer and was found right.
    pub fn verified_trailer(&self) -> Option<(HeaderName, HeaderValue)> {
        self.trailer.clone().filter(|_| self.verdict.passed())
    }

    /// Reads to the end and proves everything without giving a byte away. For bodies of no bytes, which a backend would
    /// take for whole with the head of the request, and for those small ones that must be read before the decision.
    pub async fn collect(mut self, limit: u64) -> Result<Collected, Verdict> {
        let verdict = self.verdict();
        let mut body = Vec::new();
        loop {
            let frame = std::future::poll_fn(|context| Pin::new(&mut self).poll_frame(context)).await;
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        body.extend_from_slice(&data);
                    }
                    if body.len() as u64 > limit {
                        return Err(self.fail(UploadError::TooLong));
                    }
                }
                Some(Err(Refused)) => return Err(verdict),
                None => return Ok(Collected { body: Bytes::from(body), trailer: self.verified_trailer() }),
            }
        }
    }

    fn fail(&self, error: UploadError) -> Verdict {
        // The first failure is the one that counts.
        let _ = self.verdict.0.set(Err(error));
        self.verdict()
    }

    /// A piece that may go on: any but the last, and the last once all is proven.
    fn release(&mut self) -> Option<Bytes> {
        if self.ready.len() > 1 || self.verdict.passed() { self.ready.pop_front() } else { None }
    }

    fn take(&mut self, piece: Bytes) -> Result<(), UploadError> {
        if let Some(decoder) = &mut self.decoder {
            let mut decoded = std::mem::take(&mut self.decoded);
            decoder.push(piece, &mut decoded)?;
            let taken = decoded.drain(..).try_for_each(|piece| self.take_decoded(piece));
            self.decoded = decoded;
            return taken;
        }
        self.take_decoded(piece)
    }

    fn take_decoded(&mut self, piece: Bytes) -> Result<(), UploadError> {
        if piece.is_empty() {
            return Ok(());
        }
        self.received = self.received.saturating_add(piece.len() as u64);
        if self.received > self.checks.length {
            return Err(UploadError::TooLong);
        }
        if let Some(sha256) = &mut self.hashes.sha256 {
            sha256.update(&piece);
        }
        for hasher in self.hashes.headers.iter_mut().chain(&mut self.hashes.trailer) {
            hasher.update(&piece);
        }
        self.ready.push_back(piece);
        Ok(())
    }

    fn complete(&mut self) -> Result<(), UploadError> {
        let trailers = match self.decoder.take() {
            Some(decoder) => Some(decoder.finish()?),
            None => None,
        };
        if self.received != self.checks.length {
            return Err(UploadError::TooShort);
        }
        if let (Some(context), Some(declared)) = (self.hashes.sha256.take(), self.checks.sha256) {
            let computed = finish(context);
            if !bool::from(computed.ct_eq(&declared)) {
                return Err(UploadError::Sha256Mismatch { declared, computed });
            }
        }
        for (hasher, expected) in self.hashes.headers.drain(..).zip(&self.checks.headers) {
            if !expected.matches(hasher) {
                return Err(UploadError::BadDigest { algorithm: expected.algorithm() });
            }
        }
        if let (Some(hasher), Some((algorithm, name))) = (self.hashes.trailer.take(), &self.checks.trailer) {
            let value =
                trailers.as_ref().and_then(|trailers| trailers.value(name)).ok_or(UploadError::TooShort)?;
            let expected = Expected::parse(*algorithm, value)
                .map_err(|_| UploadError::MalformedChecksum(name.clone()))?;
            if !expected.matches(hasher) {
                return Err(UploadError::BadDigest { algorithm: *algorithm });
            }
            self.trailer = HeaderValue::from_str(value).ok().map(|value| (name.clone(), value));
        }
        Ok(())
    }

    /// Waits while the rate is used up: neither the client nor the backend stands still then.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(pace) = &mut self.checks.pace else { return Poll::Ready(()) };
        if let Some(at) = pace.resumes_at() {
            self.progress.rests_until(at);
        }
        if ready!(pace.poll_turn(context)) {
            self.progress.moved();
            self.stall.as_mut().reset(Instant::now() + self.checks.stall);
        }
        Poll::Ready(())
    }

    fn poll_source(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, UploadError>>> {
        loop {
            if self.poll_turn(context).is_pending() {
                return Poll::Pending;
            }
            match Pin::new(&mut self.source).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.progress.moved();
                    self.stall.as_mut().reset(Instant::now() + self.checks.stall);
                    // HTTP trailers mean nothing to S3: its own trailers are inside the aws-chunked body.
                    if let Ok(data) = frame.into_data() {
                        if let Some(pace) = &mut self.checks.pace {
                            pace.moved(data.len());
                        }
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Ready(Some(Err(cause))) => {
                    return Poll::Ready(Some(Err(UploadError::ClientGone(cause))));
                }
                Poll::Ready(None) => {
                    self.progress.moved();
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    self.progress.client_awaited();
                    ready!(self.stall.as_mut().poll(context));
                    return Poll::Ready(Some(Err(UploadError::ClientStalled)));
                }
            }
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Refused;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refused>>> {
        loop {
            if self.verdict.failure().is_some() {
                return Poll::Ready(Some(Err(Refused)));
            }
            if let Some(piece) = self.release() {
                self.progress.moved();
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if self.verdict.passed() {
                return Poll::Ready(None);
            }
            let step = match ready!(self.poll_source(context)) {
                Some(Ok(piece)) => self.take(piece),
                Some(Err(error)) => Err(error),
                None => self.complete().map(|()| {
                    let _ = self.verdict.0.set(Ok(()));
                }),
            };
            if let Err(error) = step {
                self.fail(error);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.verdict.passed() && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.ready.iter().map(|piece| piece.len() as u64).sum::<u64>();
        SizeHint::with_exact(self.checks.length.saturating_sub(self.received).saturating_add(left))
    }
}

/// A small body, read and proven whole.
#[derive(Debug)]
pub struct Collected {
    pub body: Bytes,
    pub trailer: Option<(HeaderName, HeaderValue)>,
}
