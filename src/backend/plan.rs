//! In which form a body goes to the backend.

use http::HeaderName;

use crate::sigv4::PayloadHash;

/// What the link and the backend allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// TLS, or the configuration says that nobody can change bytes on the way: `UNSIGNED-PAYLOAD` is enough.
    pub(super) trusted: bool,
    /// A body that breaks off becomes no object there, even if nothing but its length says that it is not whole.
    pub(super) refuses_short_bodies: bool,
    /// The backend understands `STREAMING-…-TRAILER` uploads and keeps the checksum.
    pub(super) checksum_trailers: bool,
}

/// The form of the outbound body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BodyForm {
    /// As it is, under this payload hash.
    Plain(PayloadHash),
    /// Encoded anew as aws-chunked, with the checksum that came in the client's trailer.
    Chunked { payload: PayloadHash, trailer: Option<HeaderName> },
}

impl BodyForm {
    /// `declared`: what the client said of its payload; `trailer`: the checksum that it announced.
    ///
    /// A declared hash goes on as it is, a second guard behind our own check. Where there is none and the link is not
    /// trusted, or the backend might keep half a body, the bytes are signed chunk by chunk with the root key.
    pub(super) fn choose(declared: &PayloadHash, trailer: Option<&HeaderName>, link: Link) -> Self {
        if let PayloadHash::Sha256(_) = declared {
            return Self::Plain(declared.clone());
        }
        let trailer = trailer.filter(|_| link.checksum_trailers).cloned();
        match (link.trusted, trailer) {
            (true, None) if !link.refuses_short_bodies => {
                Self::Chunked { payload: PayloadHash::SignedChunks, trailer: None }
            }
            (true, None) => Self::Plain(PayloadHash::Unsigned),
            (true, trailer) => Self::Chunked { payload: PayloadHash::UnsignedChunksTrailer, trailer },
            (false, None) => Self::Chunked { payload: PayloadHash::SignedChunks, trailer: None },
            (false, trailer) => Self::Chunked { payload: PayloadHash::SignedChunksTrailer, trailer },
        }
    }
}

impl BodyForm {
    /// The value of `x-amz-content-sha256`.
    pub(super) fn payload(&self) -> &PayloadHash {
        match self {
            Self::Plain(payload) | Self::Chunked { payload, .. } => payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRC32: HeaderName = HeaderName::from_static("x-amz-checksum-crc32");

    fn link(trusted: bool, checksum_trailers: bool) -> Link {
        Link { trusted, refuses_short_bodies: true, checksum_trailers }
    }

    #[test]
    fn a_backend_that_might_keep_half_a_body_gets_it_in_chunks() {
        let link = Link { trusted: true, refuses_short_bodies: false, checksum_trailers: false };
        for declared in [PayloadHash::Unsigned, PayloadHash::SignedChunks, PayloadHash::UnsignedChunksTrailer]
        {
            let form = BodyForm::choose(&declared, None, link);
            assert_eq!(form, BodyForm::Chunked { payload: PayloadHash::SignedChunks, trailer: None });
        }
    }

    #[test]
    fn a_declared_hash_goes_on_as_a_second_guard() {
        let declared = PayloadHash::Sha256([7; 32]);
        for link in [link(true, true), link(false, false)] {
            assert_eq!(BodyForm::choose(&declared, None, link), BodyForm::Plain(declared.clone()));
        }
    }

    #[test]
    fn on_a_link_that_is_not_trusted_every_byte_is_signed() {
        for declared in [PayloadHash::Unsigned, PayloadHash::SignedChunks, PayloadHash::UnsignedChunksTrailer]
        {
            let form = BodyForm::choose(&declared, None, link(false, true));
            assert_eq!(form, BodyForm::Chunked { payload: PayloadHash::SignedChunks, trailer: None });
        }
    }

    #[test]
    fn a_checksum_trailer_is_kept_where_the_backend_keeps_it() {
        let declared = PayloadHash::UnsignedChunksTrailer;
        assert_eq!(
            BodyForm::choose(&declared, Some(&CRC32), link(true, true)),
            BodyForm::Chunked { payload: PayloadHash::UnsignedChunksTrailer, trailer: Some(CRC32) }
        );
        assert_eq!(
            BodyForm::choose(&declared, Some(&CRC32), link(true, false)),
            BodyForm::Plain(PayloadHash::Unsigned)
        );
    }
}
