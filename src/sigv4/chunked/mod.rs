//! `aws-chunked` bodies: a chain of signatures, a decoder for what clients send, an encoder for what goes to the backend.
//!
//! AWS: "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks", and the same
//! "with trailing headers".

mod decoder;
mod encoder;
mod signer;
#[cfg(test)]
mod tests;

pub use self::{
    decoder::{ChunkError, ChunkedDecoder, Trailers},
    encoder::ChunkedEncoder,
    signer::ChunkSigner,
};
