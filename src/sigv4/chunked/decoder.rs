//! Decodes an aws-chunked body, in whatever pieces it comes, and checks its chain of signatures.

use std::fmt;

use aws_lc_rs::digest;
use bytes::{Buf, Bytes};
use http::HeaderName;

use super::{
    super::payload::{PayloadHash, parse_lower_hex},
    signer::ChunkSigner,
};
use crate::digest::finish;

/// A chunk's head: 16 digits of size and a signature take 97 bytes.
const MAX_CHUNK_HEAD: usize = 256;
const MAX_TRAILERS: usize = 4096;
/// S3 takes no smaller chunk than this one but as the last.
const MIN_SIGNED_CHUNK: u64 = 8192;
const SIGNATURE_EXTENSION: &str = "chunk-signature=";
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// Why a body is not the aws-chunked one that was declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("a chunk's head is malformed: {0}")]
    MalformedChunk(&'static str),
    #[error("only the last chunk may be smaller than 8192 bytes")]
    ChunkTooSmall,
    #[error("the chunks hold more bytes than x-amz-decoded-content-length says")]
    TooLong,
    #[error("the body ended before its last chunk")]
    Incomplete,
    #[error("bytes follow the end of the aws-chunked body")]
    BytesAfterEnd,
    #[error("a chunk's signature is wrong")]
    ChunkSignature,
    #[error("the trailer's signature is wrong")]
    TrailerSignature,
    #[error("the trailer is malformed: {0}")]
    MalformedTrailer(&'static str),
}

/// The trailer's lines, announced and complete.
#[derive(Debug, Default, Clone)]
pub struct Trailers(Vec<(HeaderName, String)>);

impl Trailers {
    pub fn value(&self, name: &HeaderName) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
enum State {
    /// In the line that begins a chunk.
    Head,
    Data {
        left: u64,
    },
    /// In the line break that ends a chunk's data.
    DataEnd {
        read: u8,
    },
    /// In a line of the trailer, or in the empty line that ends the body.
    Trailer,
    End,
}

/// A decoder that does no I/O: bytes in, decoded bytes out, and at the end the trailer.
///
/// Data is handed out before its chunk's signature is known to be right, so that a chunk of any size takes no memory. The
/// caller must hold the last of it back until [`Self::finish`] has succeeded.
pub struct ChunkedDecoder {
    signer: Option<ChunkSigner>,
    announced: Vec<HeaderName>,
    has_trailer: bool,
    state: State,
    line: Vec<u8>,
    /// Of the chunk under way.
    hash: digest::Context,
    signature: [u8; 32],
    chunk_length: u64,
    /// The size of the chunk before, when it was smaller than S3 allows: no other may follow.
    small_chunk_seen: bool,
    decoded: u64,
    decoded_length: u64,
    trailers: Trailers,
    trailer_lines: Vec<u8>,
    trailer_bytes: usize,
    trailer_signature: Option<[u8; 32]>,
}

impl fmt::Debug for ChunkedDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkedDecoder")
            .field("state", &self.state)
            .field("decoded", &self.decoded)
            .finish_non_exhaustive()
    }
}

impl ChunkedDecoder {
    /// `signer` for the signed forms; `announced`: the names in `x-amz-trailer`.
    pub fn new(
        payload: &PayloadHash,
        signer: Option<ChunkSigner>,
        decoded_length: u64,
        announced: Vec<HeaderName>,
    ) -> Self {
        Self {
            signer: signer.filter(|_| payload.has_signed_chunks()),
            announced,
            has_trailer: payload.has_trailer(),
            state: State::Head,
            line: Vec::new(),
            hash: digest::Context::new(&digest::SHA256),
            signature: [0; 32],
            chunk_length: 0,
            small_chunk_seen: false,
            decoded: 0,
            decoded_length,
            trailers: Trailers::default(),
            trailer_lines: Vec::new(),
            trailer_bytes: 0,
            trailer_signature: None,
        }
    }

    /// Takes a piece of the body, appends what it decodes to.
    pub fn push(&mut self, mut piece: Bytes, out: &mut Vec<Bytes>) -> Result<(), ChunkError> {
        while !piece.is_empty() {
            match self.state {
                State::Head => {
                    if self.take_line(
                        &mut piece,
                        MAX_CHUNK_HEAD,
                        ChunkError::MalformedChunk("it is too long"),
                    )? {
                        self.begin_chunk()?;
                    }
                }
                State::Data { left } => self.take_data(&mut piece, left, out)?,
                State::DataEnd { read } => {
                    let expected = if read == 0 { b'\r' } else { b'\n' };
                    if piece.get_u8() != expected {
                        return Err(ChunkError::MalformedChunk("its data does not end with a line break"));
                    }
                    self.state = if read == 0 { State::DataEnd { read: 1 } } else { State::Head };
                }
                State::Trailer => {
                    let before = piece.len();
                    let whole = self.take_line(
                        &mut piece,
                        MAX_TRAILERS,
                        ChunkError::MalformedTrailer("it is too long"),
                    )?;
                    self.trailer_bytes += before - piece.len();
                    if self.trailer_bytes > MAX_TRAILERS {
                        return Err(ChunkError::MalformedTrailer("it is too long"));
                    }
                    if whole {
                        self.take_trailer_line()?;
                    }
                }
                State::End => return Err(ChunkError::BytesAfterEnd),
            }
        }
        Ok(())
    }

    /// The body has ended: everything must have been there and right.
    pub fn finish(mut self) -> Result<Trailers, ChunkError> {
        match self.state {
            State::End => {}
            // Some clients leave out the empty line at the very end. Nothing can be hidden in its place.
            State::Trailer if self.line.is_empty() => self.end()?,
            _ => return Err(ChunkError::Incomplete),
        }
        if self.decoded != self.decoded_length {
            return Err(ChunkError::Incomplete);
        }
        Ok(self.trailers)
    }

    /// Whether a whole line is in `self.line` now, without its line break.
    fn take_line(
        &mut self,
        piece: &mut Bytes,
        limit: usize,
        too_long: ChunkError,
    ) -> Result<bool, ChunkError> {
        let end = piece.iter().position(|byte| *byte == b'\n');
        let taken = piece.split_to(end.map_or(piece.len(), |end| end + 1));
        if self.line.len() + taken.len() > limit {
            return Err(too_long);
        }
        self.line.extend_from_slice(&taken);
        Ok(end.is_some())
    }

    fn begin_chunk(&mut self) -> Result<(), ChunkError> {
        let line = std::mem::take(&mut self.line);
        let line = line
            .strip_suffix(b"\r\n")
            .and_then(|line| std::str::from_utf8(line).ok())
            .ok_or(ChunkError::MalformedChunk("it does not end with a carriage return and a line feed"))?;
        let (size, extension) = match line.split_once(';') {
            Some((size, extension)) => (size, Some(extension)),
            None => (line, None),
        };
        let length = parse_size(size)?;
        match (&self.signer, extension) {
            (None, None) => {}
            (None, Some(_)) => return Err(ChunkError::MalformedChunk("it has an extension")),
            (Some(_), extension) => {
                let digits = extension
                    .and_then(|extension| extension.strip_prefix(SIGNATURE_EXTENSION))
                    .ok_or(ChunkError::MalformedChunk("it has no chunk-signature, or something else"))?;
                self.signature = parse_lower_hex(digits).ok_or(ChunkError::ChunkSignature)?;
            }
        }
        self.chunk_length = length;
        if length == 0 {
            return self.end_data();
        }
        if self.small_chunk_seen {
            return Err(ChunkError::ChunkTooSmall);
        }
        self.small_chunk_seen = self.signer.is_some() && length < MIN_SIGNED_CHUNK;
        if length > self.decoded_length - self.decoded {
            return Err(ChunkError::TooLong);
        }
        self.hash = digest::Context::new(&digest::SHA256);
        self.state = State::Data { left: length };
        Ok(())
    }

    fn take_data(&mut self, piece: &mut Bytes, left: u64, out: &mut Vec<Bytes>) -> Result<(), ChunkError> {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        let data = piece.split_to(length);
        let taken = data.len() as u64;
        if self.signer.is_some() {
            self.hash.update(&data);
        }
        self.decoded += taken;
        out.push(data);
        self.state = State::Data { left: left - taken };
        if left == taken {
            self.check_chunk()?;
            self.state = State::DataEnd { read: 0 };
        }
        Ok(())
    }

    fn check_chunk(&mut self) -> Result<(), ChunkError> {
        let Some(signer) = &mut self.signer else { return Ok(()) };
        let hash = finish(std::mem::replace(&mut self.hash, digest::Context::new(&digest::SHA256)));
        if signer.accepts_chunk(&hash, &self.signature) { Ok(()) } else { Err(ChunkError::ChunkSignature) }
    }

    /// The chunk of no bytes ends the data; its signature covers that nothing was cut off.
    fn end_data(&mut self) -> Result<(), ChunkError> {
        self.hash = digest::Context::new(&digest::SHA256);
        self.check_chunk()?;
        self.state = State::Trailer;
        Ok(())
    }

    fn take_trailer_line(&mut self) -> Result<(), ChunkError> {
        let line = std::mem::take(&mut self.line);
        // Some clients end trailer lines with a line feed alone.
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return self.end();
        }
        let malformed = ChunkError::MalformedTrailer;
        let line = std::str::from_utf8(line).map_err(|_| malformed("it is not text"))?;
        let (name, value) = line.split_once(':').ok_or(malformed("a line has no colon"))?;
        let value = value.trim_matches(' ');
        if !self.has_trailer || self.trailer_signature.is_some() {
            return Err(malformed("it has a line that was not announced"));
        }
        if name == TRAILER_SIGNATURE && self.signer.is_some() {
            self.trailer_signature = Some(parse_lower_hex(value).ok_or(ChunkError::TrailerSignature)?);
            return Ok(());
        }
        let name: HeaderName = name.parse().map_err(|_| malformed("a name is none"))?;
        if !self.announced.contains(&name) {
            return Err(malformed("it has a line that was not announced"));
        }
        if self.trailers.value(&name).is_some() {
            return Err(malformed("it has a line twice"));
        }
        self.trailer_lines.extend_from_slice(name.as_str().as_bytes());
        self.trailer_lines.push(b':');
        self.trailer_lines.extend_from_slice(value.as_bytes());
        self.trailer_lines.push(b'\n');
        self.trailers.0.push((name, value.to_owned()));
        Ok(())
    }

    fn end(&mut self) -> Result<(), ChunkError> {
        self.state = State::End;
        if !self.has_trailer {
            return Ok(());
        }
        if self.announced.iter().any(|name| self.trailers.value(name).is_none()) {
            return Err(ChunkError::MalformedTrailer("an announced line is missing"));
        }
        let Some(signer) = &mut self.signer else { return Ok(()) };
        let provided = self.trailer_signature.ok_or(ChunkError::TrailerSignature)?;
        if signer.accepts_trailer(&self.trailer_lines, &provided) {
            Ok(())
        } else {
            Err(ChunkError::TrailerSignature)
        }
    }
}

fn parse_size(text: &str) -> Result<u64, ChunkError> {
    if text.is_empty() || text.len() > 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ChunkError::MalformedChunk("its size is not a hexadecimal number"));
    }
    u64::from_str_radix(text, 16)
        .map_err(|_| ChunkError::MalformedChunk("its size is not a hexadecimal number"))
}
