//! Signature Version 4, both directions: parsing, canonical request, verification, chunked bodies. Pure: no I/O, and
//! the time is an argument.
//!
//! The specification is AWS's "Authenticating Requests (AWS Signature Version 4)" of the S3 API reference. The
//! cryptography is `aws-sigv4`'s; the canonical request is ours, because one that verifies must read what the client
//! sent, byte by byte, and not what a library would have built.

mod authorization;
mod canonical;
mod chunked;
mod claim;
mod encoding;
mod error;
mod head;
mod key;
mod outbound;
mod payload;
mod post_policy;
mod presigned;
mod request;
#[cfg(test)]
mod tests;

pub use self::{
    chunked::{ChunkError, ChunkSigner, ChunkedDecoder, ChunkedEncoder, Trailers},
    claim::Claim,
    encoding::{EncodingError, Pairs, decode_path, decode_query, encode_component, encode_path},
    error::{Error, Mismatch},
    key::{CredentialScope, SigningKey},
    outbound::{OutboundHead, SignedOutbound, sign},
    payload::PayloadHash,
    post_policy::{FormError, FormFields, PolicyProblem, PostPolicy, SignedForm},
    request::{Mechanism, RequestHead, Rules, SignedRequest, VerifiedSignature},
};
