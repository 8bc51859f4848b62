//! Bodies: whatever is not the body that was signed never becomes an object.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use daypass::s3::checksum::{Algorithm, Hasher};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{Call, EMPTY_SHA256, Gateway, Keys, Reply, Signed, call, raw, raw_bytes};

const SIGNED_CHUNKS: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

fn put() -> Call {
    call("PUT", "/bucket/key")
}

fn checksum(algorithm: Algorithm, bytes: &[u8]) -> String {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.encode()
}

fn chunks(gateway: &Gateway, keys: &Keys, data: &[&[u8]]) -> Signed {
    let length: usize = data.iter().map(|chunk| chunk.len()).sum();
    put()
        .payload(SIGNED_CHUNKS)
        .header("x-amz-decoded-content-length", &length.to_string())
        .at(gateway.now())
        .sign(keys, gateway.address())
        .with_signed_chunks(data, None)
}

fn with_trailer(gateway: &Gateway, keys: &Keys, data: &[u8], name: &str, value: &str) -> Signed {
    put()
        .payload(SIGNED_TRAILER)
        .header("x-amz-decoded-content-length", &data.len().to_string())
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .at(gateway.now())
        .sign(keys, gateway.address())
        .with_signed_chunks(&[data], Some((name, value)))
}

fn unsigned_trailer(gateway: &Gateway, keys: &Keys, data: &[u8], trailer: &str) -> Signed {
    let mut signed = put()
        .payload(UNSIGNED_TRAILER)
        .header("x-amz-decoded-content-length", &data.len().to_string())
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .at(gateway.now())
        .sign(keys, gateway.address());
    signed.call.body = format!("{:x}\r\n", data.len()).into_bytes();
    signed.call.body.extend_from_slice(data);
    signed.call.body.extend_from_slice(format!("\r\n0\r\n{trailer}\r\n\r\n").as_bytes());
    signed
}

/// Replaces bytes of a body after signing.
fn replace(signed: &mut Signed, from: &[u8], to: &[u8]) {
    let at = signed.call.body.windows(from.len()).position(|window| window == from).unwrap();
    signed.call.body.splice(at..at + from.len(), to.iter().copied());
}

/// The refusal, and that no object came of it.
async fn refused(gateway: &Gateway, signed: &Signed, status: u16, codes: &[&str]) {
    let reply = signed.send(gateway.address()).await;
    let code = reply.element("Code").unwrap_or_default();
    assert!(
        reply.status == status && codes.contains(&code.as_str()),
        "{codes:?}: {} {}",
        reply.status,
        reply.text()
    );
    no_object(gateway).await;
}

/// A backend commits only what came to its end.
async fn no_object(gateway: &Gateway) {
    tokio::time::sleep(Duration::from_millis(20)).await;
    let committed = gateway.backend().committed();
    assert!(committed.is_empty(), "{committed:#?}");
}

#[tokio::test]
async fn every_form_of_a_body_arrives_as_the_bytes_that_were_meant() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let large = vec![b'x'; 200_000];
    let crc = checksum(Algorithm::Crc32, &large);
    let trailer = format!("x-amz-checksum-crc32:{crc}");
    let sends = [
        put().body(large.clone()).at(gateway.now()).sign(&keys, gateway.address()),
        put()
            .body(large.clone())
            .payload("UNSIGNED-PAYLOAD")
            .at(gateway.now())
            .sign(&keys, gateway.address()),
        chunks(&gateway, &keys, &[&large[..65536], &large[65536..131_072], &large[131_072..]]),
        with_trailer(&gateway, &keys, &large, "x-amz-checksum-crc32", &crc),
        unsigned_trailer(&gateway, &keys, &large, &trailer),
    ];
    for signed in sends {
        gateway.backend().forget();
        signed.send(gateway.address()).await.is_ok();
        let request = gateway.backend().only_request();
        let kept_trailer = request.header("x-amz-trailer").is_some();
        if kept_trailer {
            // The backend keeps checksums of trailers: it gets this one, in chunks of ours.
            assert_eq!(request.header("x-amz-decoded-content-length"), Some("200000"));
            assert_eq!(request.header("content-encoding"), Some("aws-chunked"));
            let body = String::from_utf8(request.body).unwrap();
            assert_eq!(body.matches('x').count() - trailer.matches('x').count(), large.len());
            assert!(body.ends_with(&format!("{trailer}\r\n\r\n")), "{}", &body[body.len() - 200..]);
        } else {
            assert_eq!(request.body, large);
            assert_eq!(request.header("content-length"), Some("200000"));
            assert_eq!(request.header("content-encoding"), None);
            assert_eq!(request.header("x-amz-decoded-content-length"), None);
        }
    }
}

#[tokio::test]
async fn a_backend_that_might_keep_half_a_body_gets_it_in_chunks() {
    for profile in ["generic", "versitygw"] {
        let gateway = Gateway::builder().profile(profile).start().await;
        let keys = gateway.session().await;
        gateway.send(&keys, put().payload("UNSIGNED-PAYLOAD").body("the text")).await.is_ok();
        let request = gateway.backend().only_request();
        assert_eq!(request.header("x-amz-content-sha256"), Some(SIGNED_CHUNKS), "{profile}");
    }
}

#[tokio::test]
async fn a_hash_of_other_bytes_leaves_no_object() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let mut signed = put().body("the texT").at(gateway.now()).sign(&keys, gateway.address());
    signed.call.body = b"the text".to_vec();
    refused(&gateway, &signed, 400, &["XAmzContentSHA256Mismatch"]).await;
    // The same said twice is hashed once.
    let twice =
        put().body("the texT").header("x-amz-checksum-sha256", &checksum(Algorithm::Sha256, b"the texT"));
    let mut twice = twice.at(gateway.now()).sign(&keys, gateway.address());
    twice.call.body = b"the text".to_vec();
    refused(&gateway, &twice, 400, &["XAmzContentSHA256Mismatch"]).await;
    let mut large = put().body(vec![b'a'; 300_000]).at(gateway.now()).sign(&keys, gateway.address());
    *large.call.body.last_mut().unwrap() = b'b';
    refused(&gateway, &large, 400, &["XAmzContentSHA256Mismatch"]).await;
    let empty = put().body("a body").payload(EMPTY_SHA256).at(gateway.now()).sign(&keys, gateway.address());
    refused(&gateway, &empty, 400, &["XAmzContentSHA256Mismatch"]).await;
}

#[tokio::test]
async fn a_wrong_signature_of_any_chunk_leaves_no_object() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let (a, b, c) = (vec![b'a'; 8192], vec![b'b'; 8192], vec![b'c'; 10]);
    let good = chunks(&gateway, &keys, &[&a, &b, &c]);
    good.send(gateway.address()).await.is_ok();
    gateway.backend().forget();

    for chunk in 0..4 {
        let mut signed = chunks(&gateway, &keys, &[&a, &b, &c]);
        let text = String::from_utf8(signed.call.body.clone()).unwrap();
        let at = text.match_indices("chunk-signature=").nth(chunk).unwrap().0 + "chunk-signature=".len();
        signed.call.body[at] = if signed.call.body[at] == b'0' { b'1' } else { b'0' };
        refused(&gateway, &signed, 403, &["SignatureDoesNotMatch"]).await;
    }
    let mut other_byte = chunks(&gateway, &keys, &[&a, &b, &c]);
    replace(&mut other_byte, b"cccccccccc", b"cccccccccd");
    refused(&gateway, &other_byte, 403, &["SignatureDoesNotMatch"]).await;
}

#[tokio::test]
async fn chunks_that_are_swapped_dropped_or_repeated_leave_no_object() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let (a, b) = (vec![b'a'; 8192], vec![b'b'; 8192]);
    let whole = chunks(&gateway, &keys, &[&a, &b]).call.body;
    let chunk = whole.len() - whole.len() / 2;
    let first = whole.windows(4).position(|window| window == b"2000").unwrap();
    assert_eq!(first, 0);
    let second = whole[1..].windows(5).position(|window| window == b"2000;").unwrap() + 1;
    let end = whole.windows(3).rposition(|window| window == b"\r\n0").unwrap() + 2;
    assert!(second < chunk + 200 && end > second);
    let parts = [&whole[..second], &whole[second..end], &whole[end..]];
    for order in [[1, 0, 2].as_slice(), &[0, 2], &[1, 2], &[0, 0, 2], &[0, 1], &[0, 1, 1, 2]] {
        let mut signed = chunks(&gateway, &keys, &[&a, &b]);
        signed.call.body = order.iter().flat_map(|part| parts[*part].iter().copied()).collect();
        let reply = signed.send(gateway.address()).await;
        let code = reply.element("Code").unwrap();
        assert!(matches!(code.as_str(), "SignatureDoesNotMatch" | "IncompleteBody"), "{order:?}: {code}");
        no_object(&gateway).await;
    }
}

#[tokio::test]
async fn the_decoded_length_must_be_there_signed_a_number_and_true() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for (length, status, codes) in [
        (Some("7"), 400, ["IncompleteBody"].as_slice()),
        (Some("9"), 400, &["IncompleteBody"]),
        (None, 411, &["MissingContentLength"]),
        (Some("-8"), 400, &["InvalidArgument"]),
        (Some("eight"), 400, &["InvalidArgument"]),
        (Some("+8"), 400, &["InvalidArgument"]),
        (Some("18446744073709551616"), 400, &["InvalidArgument"]),
    ] {
        let mut unsigned = put().payload(SIGNED_CHUNKS);
        if let Some(length) = length {
            unsigned = unsigned.header("x-amz-decoded-content-length", length);
        }
        let signed = unsigned
            .at(gateway.now())
            .sign(&keys, gateway.address())
            .with_signed_chunks(&[b"the text"], None);
        refused(&gateway, &signed, status, codes).await;
    }
    let not_signed = put().payload(SIGNED_CHUNKS).unsigned_header("x-amz-decoded-content-length", "8");
    let signed =
        not_signed.at(gateway.now()).sign(&keys, gateway.address()).with_signed_chunks(&[b"the text"], None);
    refused(&gateway, &signed, 403, &["AccessDenied"]).await;
}

#[tokio::test]
async fn a_trailer_that_is_not_the_announced_and_signed_one_leaves_no_object() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let data = b"the text";
    let crc = checksum(Algorithm::Crc32, data);

    let mut signature = with_trailer(&gateway, &keys, data, "x-amz-checksum-crc32", &crc);
    let at = signature.call.body.windows(24).position(|w| w == b"x-amz-trailer-signature:").unwrap() + 24;
    signature.call.body[at] = if signature.call.body[at] == b'0' { b'1' } else { b'0' };
    refused(&gateway, &signature, 403, &["SignatureDoesNotMatch"]).await;

    let mut value = with_trailer(&gateway, &keys, data, "x-amz-checksum-crc32", &crc);
    replace(&mut value, crc.as_bytes(), checksum(Algorithm::Crc32, b"another!").as_bytes());
    refused(&gateway, &value, 403, &["SignatureDoesNotMatch"]).await;

    let other = with_trailer(&gateway, &keys, data, "x-amz-checksum-sha1", &checksum(Algorithm::Sha1, data));
    refused(&gateway, &other, 400, &["MalformedTrailerError"]).await;

    let line = format!("x-amz-checksum-crc32:{crc}");
    for trailer in [
        String::new(),
        "x-amz-meta-evil:1".to_owned(),
        format!("{line}\r\n{line}"),
        format!("{line}\r\nx-amz-meta-evil:1"),
        "x-amz-checksum-crc32".to_owned(),
        "x-amz-checksum-crc32:nonsense".to_owned(),
    ] {
        let signed = unsigned_trailer(&gateway, &keys, data, &trailer);
        refused(&gateway, &signed, 400, &["MalformedTrailerError", "InvalidRequest", "IncompleteBody"]).await;
    }
}

#[tokio::test]
async fn a_trailer_is_announced_exactly_where_the_payload_says_so() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let unannounced = put()
        .payload(UNSIGNED_TRAILER)
        .header("x-amz-decoded-content-length", "1")
        .body("1\r\na\r\n0\r\n\r\n");
    gateway.send(&keys, unannounced).await.is_error(400, "MalformedTrailerError");
    let without = put().header("x-amz-trailer", "x-amz-checksum-crc32").body("text");
    gateway.send(&keys, without).await.is_error(400, "InvalidRequest");
    for names in ["x-amz-meta-a", "x-amz-checksum-crc32,x-amz-checksum-sha1", ""] {
        let odd = put()
            .payload(UNSIGNED_TRAILER)
            .header("x-amz-decoded-content-length", "1")
            .header("x-amz-trailer", names)
            .body("1\r\na\r\n0\r\n\r\n");
        gateway.send(&keys, odd).await.is_error(400, "MalformedTrailerError");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn an_unsigned_trailer_does_not_excuse_the_signature_of_the_request() {
    let gateway = Gateway::start().await;
    let mut keys = gateway.session().await;
    keys.secret.push('x');
    let trailer = format!("x-amz-checksum-crc32:{}", checksum(Algorithm::Crc32, b"text"));
    let signed = unsigned_trailer(&gateway, &keys, b"text", &trailer);
    signed.send(gateway.address()).await.is_error(403, "SignatureDoesNotMatch");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_streaming_payload_is_for_objects_alone() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for payload in [SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER] {
        for request in [
            call("GET", "/bucket/key"),
            call("HEAD", "/bucket"),
            call("DELETE", "/bucket/key"),
            call("POST", "/bucket").query("delete"),
            call("POST", "/bucket/key").query("uploadId=1"),
            call("PUT", "/bucket").query("tagging"),
        ] {
            let request = request
                .payload(payload)
                .header("x-amz-decoded-content-length", "0")
                .header("content-length", "5");
            let reply = gateway.send(&keys, Call { body: b"0\r\n\r\n".to_vec(), ..request.clone() }).await;
            assert_eq!(reply.status, 400, "{payload} {} {}: {}", request.method, request.path, reply.text());
        }
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_wrong_checksum_of_any_kind_leaves_no_object() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for algorithm in Algorithm::FLEXIBLE {
        let name = algorithm.header();
        let right = put().body("the text").header(name.as_str(), &checksum(algorithm, b"the text"));
        gateway.send(&keys, right).await.is_ok();
        assert_eq!(gateway.backend().committed().len(), 1);
        gateway.backend().forget();

        let wrong = put().body("the text").header(name.as_str(), &checksum(algorithm, b"other text"));
        refused(&gateway, &wrong.at(gateway.now()).sign(&keys, gateway.address()), 400, &["BadDigest"]).await;
        let malformed = put().body("the text").header(name.as_str(), "AAAA=");
        gateway.send(&keys, malformed).await.is_error(400, "InvalidRequest");
    }
    let trailer = format!("x-amz-checksum-crc32:{}", checksum(Algorithm::Crc32, b"other"));
    refused(&gateway, &unsigned_trailer(&gateway, &keys, b"the text", &trailer), 400, &["BadDigest"]).await;
    let signed = with_trailer(
        &gateway,
        &keys,
        b"the text",
        "x-amz-checksum-crc32",
        &checksum(Algorithm::Crc32, b"other"),
    );
    refused(&gateway, &signed, 400, &["BadDigest"]).await;

    let md5 = put().body("the text").header("content-md5", &checksum(Algorithm::Md5, b"other"));
    refused(&gateway, &md5.at(gateway.now()).sign(&keys, gateway.address()), 400, &["BadDigest"]).await;
    for malformed in ["", "abc", &STANDARD.encode([0; 15])] {
        let md5 = put().body("the text").header("content-md5", malformed);
        gateway.send(&keys, md5).await.is_error(400, "InvalidDigest");
    }
    let two = put()
        .body("the text")
        .header("x-amz-checksum-crc32", &checksum(Algorithm::Crc32, b"the text"))
        .header("x-amz-checksum-sha1", &checksum(Algorithm::Sha1, b"the text"));
    gateway.send(&keys, two).await.is_error(400, "InvalidRequest");
    no_object(&gateway).await;
}

#[tokio::test]
async fn malformed_chunks_are_refused() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let flood = format!("4;{}\r\ntext\r\n0\r\n\r\n", "x=y;".repeat(100));
    for body in [
        "zz\r\ntext\r\n0\r\n\r\n",
        "-4\r\ntext\r\n0\r\n\r\n",
        "+4\r\ntext\r\n0\r\n\r\n",
        "10000000000000000\r\ntext\r\n0\r\n\r\n",
        "ffffffffffffffff\r\ntext\r\n0\r\n\r\n",
        "4\ntext\n0\n\n",
        "4\r\ntext0\r\n\r\n",
        "\r\ntext\r\n0\r\n\r\n",
        "0x4\r\ntext\r\n0\r\n\r\n",
        "4 \r\ntext\r\n0\r\n\r\n",
        flood.as_str(),
    ] {
        let request = put()
            .payload(UNSIGNED_TRAILER)
            .header("x-amz-decoded-content-length", "4")
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .body(body);
        let signed = request.at(gateway.now()).sign(&keys, gateway.address());
        refused(&gateway, &signed, 400, &["InvalidRequest", "IncompleteBody", "MalformedTrailerError"]).await;
    }
    let (small, rest) = (vec![b's'; 100], vec![b'r'; 9000]);
    refused(&gateway, &chunks(&gateway, &keys, &[&small, &rest]), 400, &["InvalidChunkSizeError"]).await;
}

#[tokio::test]
async fn bytes_after_the_last_chunk_are_no_second_request() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let mut signed = chunks(&gateway, &keys, &[b"the text"]);
    let hidden = call("DELETE", "/bucket/key").at(gateway.now()).sign(&keys, gateway.address()).head();
    signed.call.body.extend_from_slice(&hidden);
    refused(&gateway, &signed, 400, &["InvalidRequest"]).await;
    assert!(gateway.backend().requests().iter().all(|request| request.method == "PUT"));
}

#[tokio::test]
async fn content_encoding_says_aws_chunked_only_where_the_payload_does() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let without = put().header("content-encoding", "aws-chunked").body("text");
    gateway.send(&keys, without).await.is_error(400, "InvalidRequest");
    gateway.backend().saw_nothing();

    let data = b"the text";
    let trailer = format!("x-amz-checksum-crc32:{}", checksum(Algorithm::Crc32, data));
    for (sent, stored) in
        [("gzip,aws-chunked", Some("gzip")), ("aws-chunked", None), ("aws-chunked, br", Some("br"))]
    {
        gateway.backend().forget();
        let mut signed = put()
            .payload(UNSIGNED_TRAILER)
            .header("content-encoding", sent)
            .header("x-amz-decoded-content-length", "8")
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .at(gateway.now())
            .sign(&keys, gateway.address());
        signed.call.body = format!("8\r\nthe text\r\n0\r\n{trailer}\r\n\r\n").into_bytes();
        signed.send(gateway.address()).await.is_ok();
        let coding = gateway.backend().only_request().header("content-encoding").map(str::to_owned);
        let beside =
            coding.as_deref().map(|coding| coding.trim_start_matches("aws-chunked").trim_start_matches(','));
        assert_eq!(beside.filter(|beside| !beside.is_empty()), stored, "{sent}");
    }
}

#[tokio::test]
async fn a_body_needs_a_length_and_keeps_to_the_limit() {
    let gateway = Gateway::builder().toml("[limits]\nmax_object_size = \"1MiB\"\n").start().await;
    let keys = gateway.session().await;
    let mut chunked = put()
        .payload("UNSIGNED-PAYLOAD")
        .header("transfer-encoding", "chunked")
        .body("4\r\ntext\r\n0\r\n\r\n");
    gateway.send(&keys, chunked.clone()).await.is_error(411, "MissingContentLength");
    chunked.payload = Some(crate::support::sha256_hex(b"text"));
    gateway.send(&keys, chunked).await.is_error(411, "MissingContentLength");
    let large = put().payload("UNSIGNED-PAYLOAD").body(vec![b'x'; (1 << 20) + 1]);
    gateway.send(&keys, large).await.is_error(400, "EntityTooLarge");
    let decoded = put()
        .payload(SIGNED_CHUNKS)
        .header("x-amz-decoded-content-length", "5497558138880")
        .body("0;chunk-signature=0\r\n\r\n");
    gateway.send(&keys, decoded).await.is_error(400, "EntityTooLarge");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn operations_without_a_body_take_none() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for (method, path) in
        [("GET", "/bucket/key"), ("HEAD", "/bucket/key"), ("DELETE", "/bucket/key"), ("GET", "/bucket")]
    {
        let with = call(method, path).payload("UNSIGNED-PAYLOAD").body("body");
        let reply = gateway.send(&keys, with).await;
        assert_eq!(reply.status, 400, "{method} {path}");
        let hash = call(method, path).payload(&crate::support::sha256_hex(b"body"));
        assert_eq!(gateway.send(&keys, hash).await.status, 400, "{method} {path}");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_object() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let large = vec![b'x'; 300_000];
    let trailer = format!("x-amz-checksum-crc32:{}", checksum(Algorithm::Crc32, &large));
    let sends = [
        put().body(large.clone()).at(gateway.now()).sign(&keys, gateway.address()),
        put()
            .body(large.clone())
            .payload("UNSIGNED-PAYLOAD")
            .at(gateway.now())
            .sign(&keys, gateway.address()),
        chunks(&gateway, &keys, &[&large[..100_000], &large[100_000..]]),
        with_trailer(&gateway, &keys, &large, "x-amz-checksum-crc32", &checksum(Algorithm::Crc32, &large)),
        unsigned_trailer(&gateway, &keys, &large, &trailer),
    ];
    for signed in sends {
        gateway.backend().forget();
        let mut bytes = signed.head();
        bytes.extend_from_slice(&signed.call.body[..signed.call.body.len() - 1]);
        let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(socket);
        no_object(&gateway).await;
    }
}

#[tokio::test]
async fn continue_is_said_after_the_decision() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let expecting = |keys: &Keys| {
        put()
            .body("text")
            .unsigned_header("expect", "100-continue")
            .at(gateway.now())
            .sign(keys, gateway.address())
    };
    let good = expecting(&keys);
    let mut bytes = good.head();
    bytes.extend_from_slice(&good.call.body);
    let answer = String::from_utf8(raw_bytes(gateway.address(), &bytes).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"), "{answer}");
    gateway.backend().forget();

    let mut wrong = keys.clone();
    wrong.secret.push('x');
    for keys in [wrong, gateway.alice()] {
        let answer = String::from_utf8(raw_bytes(gateway.address(), &expecting(&keys).head()).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn an_empty_object_is_proven_before_the_backend_hears_of_it() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let trailer = format!("x-amz-checksum-crc32:{}", checksum(Algorithm::Crc32, b""));
    let empty = |body: String| {
        let mut signed = put()
            .payload(UNSIGNED_TRAILER)
            .header("x-amz-decoded-content-length", "0")
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .at(gateway.now())
            .sign(&keys, gateway.address());
        signed.call.body = body.into_bytes();
        signed
    };
    for signed in [
        put().at(gateway.now()).sign(&keys, gateway.address()),
        put().payload("UNSIGNED-PAYLOAD").at(gateway.now()).sign(&keys, gateway.address()),
        chunks(&gateway, &keys, &[]),
        empty(format!("0\r\n{trailer}\r\n\r\n")),
    ] {
        gateway.backend().forget();
        signed.send(gateway.address()).await.is_ok();
        let request = gateway.backend().only_request();
        assert_eq!((request.header("content-length"), request.body.len()), (Some("0"), 0));
        assert_eq!(request.header("x-amz-content-sha256"), Some(EMPTY_SHA256));
    }
    gateway.backend().forget();
    let mut wrong = chunks(&gateway, &keys, &[]);
    replace(&mut wrong, b"chunk-signature=", b"chunk-signature=0");
    wrong.call.body.truncate(wrong.call.body.len() - 5);
    wrong.call.body.extend_from_slice(b"\r\n\r\n");
    assert!(wrong.send(gateway.address()).await.status >= 400);
    let wrong = empty(format!("0\r\nx-amz-checksum-crc32:{}\r\n\r\n", checksum(Algorithm::Crc32, b"x")));
    wrong.send(gateway.address()).await.is_error(400, "BadDigest");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn an_answer_of_the_backend_before_the_end_of_the_body_does_not_excuse_it() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    gateway.backend().answers_early(crate::support::Answer::new(200, "").header("etag", "\"early\""));
    let mut signed = put().body(vec![b'a'; 300_000]).at(gateway.now()).sign(&keys, gateway.address());
    *signed.call.body.last_mut().unwrap() = b'b';
    let reply: Reply = signed.send(gateway.address()).await;
    assert!(reply.status >= 400, "{}", reply.status);
    no_object(&gateway).await;
}

#[tokio::test]
async fn over_a_link_that_is_not_trusted_the_body_is_signed_again() {
    let gateway = Gateway::builder().untrusted_link().start().await;
    let keys = gateway.session().await;
    let declared = put().body("the text");
    gateway.send(&keys, declared).await.is_ok();
    let request = gateway.backend().only_request();
    assert_eq!(
        request.header("x-amz-content-sha256"),
        Some(crate::support::sha256_hex(b"the text").as_str())
    );

    gateway.backend().forget();
    gateway.send(&keys, put().payload("UNSIGNED-PAYLOAD").body("the text")).await.is_ok();
    let request = gateway.backend().only_request();
    assert_eq!(request.header("x-amz-content-sha256"), Some(SIGNED_CHUNKS));
    assert_eq!(request.header("x-amz-decoded-content-length"), Some("8"));
    let body = String::from_utf8(request.body).unwrap();
    assert!(
        body.starts_with("8;chunk-signature=") && body.contains("\r\nthe text\r\n0;chunk-signature="),
        "{body}"
    );
}

#[tokio::test]
async fn a_body_over_plain_http_1_0_is_answered_without_continue() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let signed = put()
        .body("text")
        .unsigned_header("expect", "100-continue")
        .at(gateway.now())
        .sign(&keys, gateway.address());
    let head = String::from_utf8(signed.head()).unwrap().replace("HTTP/1.1", "HTTP/1.0");
    let answer = raw(gateway.address(), format!("{head}text").as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_refusal_before_the_body_says_that_the_connection_ends() {
    let gateway = Gateway::builder().start().await;
    for body in
        ["content-length: 10\r\nexpect: 100-continue", "content-length: 100000", "transfer-encoding: chunked"]
    {
        let head = format!("PUT /bucket/key HTTP/1.1\r\nhost: h\r\n{body}\r\n\r\n");
        let answer = String::from_utf8(raw_bytes(gateway.address(), head.as_bytes()).await).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("\r\nconnection: close\r\n"),
            "{answer}"
        );
    }
    // Without a body there is nothing that could be taken for the next request.
    let head = "GET /bucket/key HTTP/1.1\r\nhost: h\r\n\r\n";
    let two = format!("{head}{}", head.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"));
    let answer = String::from_utf8(raw_bytes(gateway.address(), two.as_bytes()).await).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 403").count(), 2, "{answer}");
    gateway.backend().saw_nothing();
}
