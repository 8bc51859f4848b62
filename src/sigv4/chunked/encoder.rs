//! Encodes a verified body as aws-chunked under a signature of ours.

use std::collections::VecDeque;

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue};

use super::{super::payload::PayloadHash, signer::ChunkSigner};
use crate::digest::{EMPTY, finish};

/// What SDKs use; every backend takes it.
const CHUNK: usize = 64 * 1024;
const SIGNATURE: usize = ";chunk-signature=".len() + 64;
const LINE_BREAK: usize = 2;

/// Cuts a body into chunks and signs them.
#[derive(Debug)]
pub struct ChunkedEncoder {
    signer: Option<ChunkSigner>,
    has_trailer: bool,
    pending: VecDeque<Bytes>,
    pending_bytes: usize,
}

impl ChunkedEncoder {
    pub fn new(payload: &PayloadHash, signer: ChunkSigner) -> Self {
        Self {
            signer: Some(signer).filter(|_| payload.has_signed_chunks()),
            has_trailer: payload.has_trailer(),
            pending: VecDeque::new(),
            pending_bytes: 0,
        }
    }

    /// The exact length of the encoded body, which the backend is told before it begins.
    pub fn encoded_length(payload: &PayloadHash, decoded: u64, trailer: Option<(&HeaderName, usize)>) -> u64 {
        let extension = if payload.has_signed_chunks() { SIGNATURE as u64 } else { 0 };
        let overhead = |size: u64| hex_digits(size) + extension + 2 * LINE_BREAK as u64;
        let full = CHUNK as u64;
        let mut length = (decoded / full) * (overhead(full) + full);
        if !decoded.is_multiple_of(full) {
            length += overhead(decoded % full) + decoded % full;
        }
        // The last chunk has no data, and an empty line in its place.
        length += 1 + extension + 2 * LINE_BREAK as u64;
        if let Some((name, value)) = trailer {
            length += (name.as_str().len() + 1 + value + LINE_BREAK) as u64;
            if payload.has_signed_chunks() {
                length += ("x-amz-trailer-signature:".len() + 64 + LINE_BREAK) as u64;
            }
        }
        length
    }

    /// Takes decoded bytes, appends the chunks that are full.
    pub fn push(&mut self, data: Bytes, out: &mut Vec<Bytes>) {
        self.pending_bytes += data.len();
        self.pending.push_back(data);
        while self.pending_bytes >= CHUNK {
            self.chunk(CHUNK, out);
        }
    }

    /// Ends the body, with the trailer if there is one.
    pub fn finish(mut self, trailer: Option<(HeaderName, HeaderValue)>, out: &mut Vec<Bytes>) {
        if self.pending_bytes > 0 {
            self.chunk(self.pending_bytes, out);
        }
        let mut end = BytesMut::from(self.head(0, &EMPTY).as_bytes());
        if self.has_trailer
            && let Some((name, value)) = trailer
        {
            let mut line = [name.as_str().as_bytes(), b":", value.as_bytes()].concat();
            end.extend_from_slice(&line);
            end.extend_from_slice(b"\r\n");
            line.push(b'\n');
            if let Some(signer) = &mut self.signer {
                end.extend_from_slice(b"x-amz-trailer-signature:");
                end.extend_from_slice(signer.sign_trailer(&line).as_bytes());
                end.extend_from_slice(b"\r\n");
            }
        }
        end.extend_from_slice(b"\r\n");
        out.push(end.freeze());
    }

    fn chunk(&mut self, size: usize, out: &mut Vec<Bytes>) {
        let mut data = Vec::new();
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut left = size;
        while left > 0 {
            let Some(mut piece) = self.pending.pop_front() else { break };
            if piece.len() > left {
                self.pending.push_front(piece.split_off(left));
            }
            left -= piece.len();
            if self.signer.is_some() {
                hash.update(&piece);
            }
            data.push(piece);
        }
        self.pending_bytes -= size;
        out.push(Bytes::from(self.head(size, &finish(hash))));
        out.append(&mut data);
        out.push(Bytes::from_static(b"\r\n"));
    }

    fn head(&mut self, size: usize, hash: &[u8; 32]) -> String {
        match &mut self.signer {
            Some(signer) => format!("{size:x};chunk-signature={}\r\n", signer.sign_chunk(hash)),
            None => format!("{size:x}\r\n"),
        }
    }
}

fn hex_digits(size: u64) -> u64 {
    u64::from((u64::BITS - size.leading_zeros()).div_ceil(4).max(1))
}
