use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::{
    clock::Timestamp,
    digest::sha256,
    secret::SecretAccessKey,
    sigv4::{PayloadHash, SigningKey},
};

static CRC32: HeaderName = HeaderName::from_static("x-amz-checksum-crc32");

fn signer(secret: &str) -> ChunkSigner {
    let at = Timestamp::from_unix(1_369_353_600);
    let key = SigningKey::derive(&SecretAccessKey::new(secret), at, "us-east-1", "s3");
    ChunkSigner::new(
        key,
        at.amz_date(),
        "20130524/us-east-1/s3/aws4_request".to_owned(),
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9".to_owned(),
    )
}

fn encode(payload: &PayloadHash, data: &[u8], trailer: Option<&'static str>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = ChunkedEncoder::new(payload, signer("secret"));
    for piece in data.chunks(10_000) {
        encoder.push(Bytes::copy_from_slice(piece), &mut out);
    }
    encoder.finish(trailer.map(|value| (CRC32.clone(), HeaderValue::from_static(value))), &mut out);
    let body = out.concat();
    let told = ChunkedEncoder::encoded_length(
        payload,
        data.len() as u64,
        trailer.map(|value| (&CRC32, value.len())),
    );
    assert_eq!(body.len() as u64, told);
    body
}

fn decode_in(
    payload: &PayloadHash,
    body: &[u8],
    length: u64,
    piece: usize,
) -> Result<(Vec<u8>, Trailers), ChunkError> {
    let announced = if payload.has_trailer() { vec![CRC32.clone()] } else { Vec::new() };
    let mut decoder = ChunkedDecoder::new(payload, Some(signer("secret")), length, announced);
    let mut out = Vec::new();
    for piece in body.chunks(piece) {
        decoder.push(Bytes::copy_from_slice(piece), &mut out)?;
    }
    let trailers = decoder.finish()?;
    Ok((out.concat(), trailers))
}

fn decode(payload: &PayloadHash, body: &[u8], length: u64) -> Result<Vec<u8>, ChunkError> {
    decode_in(payload, body, length, body.len().max(1)).map(|(data, _)| data)
}

/// AWS's own example: 65 KiB of `a` in chunks of 64 KiB, 1 KiB and nothing.
#[test]
fn the_example_of_the_aws_documentation_is_decoded() {
    let mut body = Vec::new();
    for (size, signature) in [
        (65536_usize, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
        (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
        (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
    ] {
        body.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
        body.extend(std::iter::repeat_n(b'a', size));
        body.extend_from_slice(b"\r\n");
    }
    let at = Timestamp::parse_amz_date("20130524T000000Z").unwrap();
    let secret = SecretAccessKey::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let key = SigningKey::derive(&secret, at, "us-east-1", "s3");
    let signer = ChunkSigner::new(
        key,
        at.amz_date(),
        "20130524/us-east-1/s3/aws4_request".to_owned(),
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9".to_owned(),
    );
    let mut decoder = ChunkedDecoder::new(&PayloadHash::SignedChunks, Some(signer), 66_560, Vec::new());
    let mut out = Vec::new();
    decoder.push(Bytes::from(body), &mut out).unwrap();
    decoder.finish().unwrap();
    assert_eq!(out.concat(), vec![b'a'; 66_560]);
}

#[test]
fn what_the_encoder_writes_the_decoder_reads_in_pieces_of_any_size() {
    let data: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    for payload in
        [PayloadHash::SignedChunks, PayloadHash::SignedChunksTrailer, PayloadHash::UnsignedChunksTrailer]
    {
        let trailer = payload.has_trailer().then_some("AAAAAA==");
        let body = encode(&payload, &data, trailer);
        for piece in [1, 2, 7, 64, 4096, 65_536, body.len()] {
            let (decoded, trailers) = decode_in(&payload, &body, data.len() as u64, piece).unwrap();
            assert!(decoded == data, "{payload} in pieces of {piece}");
            assert_eq!(trailers.value(&CRC32), trailer);
        }
    }
}

#[test]
fn an_empty_body_is_one_chunk_of_nothing() {
    for payload in [PayloadHash::SignedChunks, PayloadHash::SignedChunksTrailer] {
        let body = encode(&payload, b"", payload.has_trailer().then_some("AAAAAA=="));
        assert_eq!(decode(&payload, &body, 0), Ok(Vec::new()));
    }
}

#[test]
fn a_wrong_signature_of_any_chunk_is_refused() {
    let body = encode(&PayloadHash::SignedChunks, &vec![7; 150_000], None);
    let heads: Vec<usize> = body
        .windows(16)
        .enumerate()
        .filter(|(_, window)| window == b"chunk-signature=")
        .map(|(at, _)| at)
        .collect();
    assert_eq!(heads.len(), 4);
    for head in heads {
        let mut bent = body.clone();
        let digit = &mut bent[head + 16];
        *digit = if *digit == b'0' { b'1' } else { b'0' };
        assert_eq!(decode(&PayloadHash::SignedChunks, &bent, 150_000), Err(ChunkError::ChunkSignature));
    }
}

#[test]
fn chunks_that_are_swapped_dropped_or_repeated_are_refused() {
    let body = encode(&PayloadHash::SignedChunks, &[vec![1; 65_536], vec![2; 65_536]].concat(), None);
    let chunk = 5 + 81 + 2 + 65_536 + 2;
    let (first, rest) = body.split_at(chunk);
    let (second, end) = rest.split_at(chunk);
    let refused = |body: &[u8], length| decode(&PayloadHash::SignedChunks, body, length);
    assert_eq!(refused(&[second, first, end].concat(), 131_072), Err(ChunkError::ChunkSignature));
    assert_eq!(refused(&[first, end].concat(), 65_536), Err(ChunkError::ChunkSignature));
    assert_eq!(refused(&[first, first, second, end].concat(), 196_608), Err(ChunkError::ChunkSignature));
    assert_eq!(refused(&[first, second].concat(), 131_072), Err(ChunkError::Incomplete));
    assert_eq!(refused(first, 131_072), Err(ChunkError::Incomplete));
}

#[test]
fn a_decoded_length_that_is_not_that_of_the_data_is_refused() {
    let body = encode(&PayloadHash::SignedChunks, &[7; 10_000], None);
    assert_eq!(decode(&PayloadHash::SignedChunks, &body, 9_999), Err(ChunkError::TooLong));
    assert_eq!(decode(&PayloadHash::SignedChunks, &body, 10_001), Err(ChunkError::Incomplete));
}

#[test]
fn a_trailer_must_be_the_announced_one_once_and_rightly_signed() {
    let payload = PayloadHash::SignedChunksTrailer;
    let body = String::from_utf8(encode(&payload, b"data", Some("AAAAAA=="))).unwrap();
    let bent = |from: &str, to: &str| {
        assert!(body.contains(from));
        decode(&payload, body.replace(from, to).as_bytes(), 4)
    };
    assert_eq!(decode(&payload, body.as_bytes(), 4), Ok(b"data".to_vec()));
    assert_eq!(bent("AAAAAA==", "BAAAAA=="), Err(ChunkError::TrailerSignature));
    assert_eq!(
        bent("x-amz-trailer-signature:", "x-amz-trailer-signature:0"),
        Err(ChunkError::TrailerSignature)
    );
    assert!(matches!(
        bent("x-amz-checksum-crc32:", "x-amz-checksum-sha1:"),
        Err(ChunkError::MalformedTrailer(_))
    ));
    assert!(matches!(
        bent(
            "x-amz-checksum-crc32:AAAAAA==\r\n",
            "x-amz-checksum-crc32:AAAAAA==\r\nx-amz-checksum-crc32:AAAAAA==\r\n"
        ),
        Err(ChunkError::MalformedTrailer(_))
    ));
    assert!(matches!(bent("x-amz-checksum-crc32:AAAAAA==\r\n", ""), Err(ChunkError::MalformedTrailer(_))));
    let unsigned_line = body.split("x-amz-trailer-signature").next().unwrap().to_owned() + "\r\n";
    assert_eq!(decode(&payload, unsigned_line.as_bytes(), 4), Err(ChunkError::TrailerSignature));
}

#[test]
fn an_unsigned_body_takes_no_extension_and_no_unannounced_line() {
    let payload = PayloadHash::UnsignedChunksTrailer;
    let good = "4\r\ndata\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
    assert_eq!(decode(&payload, good.as_bytes(), 4), Ok(b"data".to_vec()));
    for bad in [
        "4;a=b\r\ndata\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
        "4\r\ndata\r\n0\r\n\r\n",
        "4\r\ndata\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\nx-amz-meta-a:b\r\n\r\n",
        "4\r\ndata\r\n0\r\nx-amz-checksum-crc32\r\n\r\n",
    ] {
        assert!(decode(&payload, bad.as_bytes(), 4).is_err(), "{bad}");
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let body = "4\r\ndata\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\nGET / HTTP/1.1\r\n";
    assert_eq!(
        decode(&PayloadHash::UnsignedChunksTrailer, body.as_bytes(), 4),
        Err(ChunkError::BytesAfterEnd)
    );
}

#[test]
fn sizes_are_hexadecimal_digits_and_lines_end_with_both_characters() {
    for head in ["-4", "+4", "0x4", " 4", "4 ", "", "g", "11111111111111111", "ffffffffffffffff"] {
        let body = format!("{head}\r\ndata\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        assert!(decode(&PayloadHash::UnsignedChunksTrailer, body.as_bytes(), 4).is_err(), "{head:?}");
    }
    for body in ["4\ndata\r\n0\r\n", "4\r\ndata\n0\r\n", "4\r\ndata0\r\n"] {
        assert!(decode(&PayloadHash::UnsignedChunksTrailer, body.as_bytes(), 4).is_err(), "{body:?}");
    }
    let endless = [b'0'; 300];
    assert!(matches!(
        decode(&PayloadHash::UnsignedChunksTrailer, &endless, 4),
        Err(ChunkError::MalformedChunk(_))
    ));
}

#[test]
fn only_the_last_signed_chunk_may_be_small() {
    let mut signer_ = signer("secret");
    let mut body = Vec::new();
    for chunk in [&b"one"[..], b"two", b""] {
        let signature = signer_.sign_chunk(&sha256(chunk)).to_owned();
        body.extend_from_slice(format!("{:x};chunk-signature={signature}\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    assert_eq!(decode(&PayloadHash::SignedChunks, &body, 6), Err(ChunkError::ChunkTooSmall));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..600), piece in 1_usize..50) {
        for payload in [PayloadHash::SignedChunks, PayloadHash::UnsignedChunksTrailer] {
            let _ = decode_in(&payload, &body, 100, piece);
        }
    }

    #[test]
    fn no_flipped_byte_of_a_signed_body_changes_the_data(at in 0_usize..20_500, bit in 0_u8..8) {
        let payload = PayloadHash::SignedChunks;
        let mut body = encode(&payload, &vec![7; 20_000], None);
        let at = at % body.len();
        body[at] ^= 1 << bit;
        // The case of a size's hexadecimal digits means nothing.
        if let Ok(decoded) = decode(&payload, &body, 20_000) {
            prop_assert!(decoded == vec![7; 20_000], "byte {at}");
        }
    }
}
