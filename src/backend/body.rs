//! The bodies that go to the backend.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::upload::{Refused, Upload};
use crate::sigv4::ChunkedEncoder;

/// A body in one of the forms that are sent.
#[derive(Debug)]
pub enum OutboundBody {
    /// None, or one that is in memory.
    Whole(Bytes),
    /// Streams as it comes, with its decoded length.
    Plain(Box<Upload>),
    /// Streams as signed chunks of our own, or with a trailer.
    Chunked(Box<Encoded>),
}

impl OutboundBody {
    pub fn empty() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl Body for OutboundBody {
    type Data = Bytes;
    type Error = Refused;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refused>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Plain(upload) => Pin::new(&mut **upload).poll_frame(context),
            Self::Chunked(encoded) => Pin::new(&mut **encoded).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Plain(upload) => upload.is_end_stream(),
            Self::Chunked(encoded) => encoded.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Plain(upload) => upload.size_hint(),
            Self::Chunked(encoded) => encoded.size_hint(),
        }
    }
}

/// A verified upload, encoded anew as aws-chunked under our own signature.
#[derive(Debug)]
pub struct Encoded {
    upload: Box<Upload>,
    encoder: Option<ChunkedEncoder>,
    ready: std::collections::VecDeque<Bytes>,
    pieces: Vec<Bytes>,
    left: u64,
}

impl Encoded {
    /// `length`: of the whole encoded body.
    pub fn new(upload: Box<Upload>, encoder: ChunkedEncoder, length: u64) -> Self {
        Self {
            upload,
            encoder: Some(encoder),
            ready: std::collections::VecDeque::new(),
            pieces: Vec::new(),
            left: length,
        }
    }

    fn finish(&mut self) {
        if let Some(encoder) = self.encoder.take() {
            let trailer = self.upload.verified_trailer();
            encoder.finish(trailer, &mut self.pieces);
            self.ready.extend(self.pieces.drain(..));
        }
    }
}

impl Body for Encoded {
    type Data = Bytes;
    type Error = Refused;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refused>>> {
        let this = self.get_mut();
        loop {
            if let Some(piece) = this.ready.pop_front() {
                this.left = this.left.saturating_sub(piece.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let Some(encoder) = &mut this.encoder else { return Poll::Ready(None) };
            match ready!(Pin::new(&mut *this.upload).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        encoder.push(data, &mut this.pieces);
                        this.ready.extend(this.pieces.drain(..));
                    }
                }
                Some(Err(refused)) => return Poll::Ready(Some(Err(refused))),
                None => this.finish(),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
