//! Signatures in the `Authorization` header: what is no proof is refused, and the backend hears nothing of it.

use crate::support::{Call, EMPTY_SHA256, Gateway, Keys, Reply, Signed, call, raw};

fn get() -> Call {
    call("GET", "/bucket/key")
}

/// Signs, bends the signed request, sends.
async fn bent(gateway: &Gateway, keys: &Keys, call: Call, bend: impl FnOnce(&mut Signed)) -> Reply {
    let mut signed = call.at(gateway.now()).sign(keys, gateway.address());
    bend(&mut signed);
    signed.send(gateway.address()).await
}

/// Changes the value of a header after signing.
fn rewrite(signed: &mut Signed, name: &str, change: impl Fn(&str) -> String) {
    let (_, value) =
        signed.call.headers.iter_mut().find(|(header, _)| header.eq_ignore_ascii_case(name)).unwrap();
    *value = change(value);
}

fn remove(signed: &mut Signed, name: &str) {
    signed.call.headers.retain(|(header, _)| !header.eq_ignore_ascii_case(name));
}

#[tokio::test]
async fn temporary_keys_read_and_write() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    gateway.send(&keys, call("PUT", "/bucket/key").body("text")).await.is_ok();
    let put = gateway.backend().only_request();
    assert_eq!(
        (put.method.as_str(), put.target.as_str(), put.body.as_slice()),
        ("PUT", "/bucket/key", &b"text"[..])
    );
    assert!(put.complete);
}

#[tokio::test]
async fn a_request_without_credentials_is_denied() {
    let gateway = Gateway::start().await;
    for head in [
        "GET /bucket/key HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
        "PUT /bucket/key HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx",
        "GET /bucket/key HTTP/1.1\r\nhost: h\r\ncookie: session=1\r\nconnection: close\r\n\r\n",
    ] {
        raw(gateway.address(), head.as_bytes()).await.is_error(403, "AccessDenied");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_wrong_secret_does_not_match_and_shows_what_was_computed_from_the_clients_own_request() {
    let gateway = Gateway::start().await;
    let mut keys = gateway.session().await;
    keys.secret.push('x');
    let reply = gateway.send(&keys, get()).await;
    reply.is_error(403, "SignatureDoesNotMatch");
    assert_eq!(reply.element("AWSAccessKeyId").as_deref(), Some(keys.access_key_id.as_str()));
    let canonical = reply.element("CanonicalRequest").unwrap();
    assert!(canonical.starts_with("GET\n/bucket/key\n\nhost:"), "{canonical}");
    assert!(reply.element("StringToSign").unwrap().starts_with("AWS4-HMAC-SHA256\n20261123T120000Z\n"));
    assert!(reply.element("CanonicalRequestBytes").unwrap().starts_with("47 45 54 0a"));
    for secret in [crate::support::ROOT_ACCESS_KEY_ID, crate::support::ROOT_SECRET, "127.0.0.1:9002"] {
        assert!(!reply.text().contains(secret), "{}", reply.text());
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_signature_of_another_length_or_alphabet_does_not_match() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for bend in [
        |signature: &str| signature[..63].to_owned(),
        |signature: &str| format!("{signature}0"),
        |signature: &str| signature.to_uppercase(),
        |signature: &str| format!("zz{}", &signature[2..]),
    ] {
        let reply = bent(&gateway, &keys, get(), |signed| {
            rewrite(signed, "authorization", |value| {
                let (before, signature) = value.split_once("Signature=").unwrap();
                format!("{before}Signature={}", bend(signature))
            });
        })
        .await;
        assert_eq!(reply.status / 100, 4, "{}", reply.text());
        let code = reply.element("Code").unwrap();
        assert!(matches!(code.as_str(), "SignatureDoesNotMatch" | "AuthorizationHeaderMalformed"), "{code}");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn an_unknown_access_key_is_refused_also_with_an_empty_secret() {
    let gateway = Gateway::start().await;
    for secret in ["secret-of-nobody", ""] {
        let nobody = Keys::long_term("AKIANOBODY0000000001", secret);
        let reply = gateway.send(&nobody, get()).await;
        reply.is_error(403, "InvalidAccessKeyId");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn every_x_amz_header_that_is_there_must_be_signed() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for name in [
        "x-amz-acl",
        "x-amz-bypass-governance-retention",
        "x-amz-checksum-crc32",
        "x-amz-content-sha512",
        "x-amz-copy-source",
        "x-amz-copy-source-if-match",
        "x-amz-copy-source-range",
        "x-amz-decoded-content-length",
        "x-amz-expected-bucket-owner",
        "x-amz-grant-full-control",
        "x-amz-grant-read",
        "x-amz-meta-color",
        "x-amz-metadata-directive",
        "x-amz-mfa",
        "x-amz-object-lock-legal-hold",
        "x-amz-object-lock-mode",
        "x-amz-object-lock-retain-until-date",
        "x-amz-request-payer",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-storage-class",
        "x-amz-tagging",
        "x-amz-tagging-directive",
        "x-amz-trailer",
        "x-amz-website-redirect-location",
        "x-amz-write-offset-bytes",
        "x-amz-nobody-knows",
        "X-Amz-Upper-Case",
    ] {
        let reply =
            gateway.send(&keys, call("PUT", "/bucket/key").body("b").unsigned_header(name, "1")).await;
        reply.is_error(403, "AccessDenied");
        assert!(reply.element("HeadersNotSigned").unwrap().contains(&name.to_lowercase()), "{name}");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn the_host_must_be_signed() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let mut call = get();
    call.unsigned.push("host".into());
    gateway.send(&keys, call).await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn signed_headers_that_are_no_proper_list_are_refused() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for list in [
        "",
        "host;",
        ";host",
        "host;host",
        "x-amz-date;host",
        "Host",
        "host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-not-there",
        "host;prefix;x-amz-content-sha256;x-amz-date;x-amz-security-token",
        "host x-amz-date",
    ] {
        let reply = bent(&gateway, &keys, get().query("prefix=a"), |signed| {
            rewrite(signed, "authorization", |value| {
                let (before, after) = value.split_once("SignedHeaders=").unwrap();
                let (_, signature) = after.split_once(',').unwrap();
                format!("{before}SignedHeaders={list},{signature}")
            });
        })
        .await;
        assert!(matches!(reply.status, 400 | 403), "{list}: {}", reply.text());
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_request_more_than_fifteen_minutes_off_is_too_skewed() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let signed = call("PUT", "/bucket/key").body("b").at(gateway.now()).sign(&keys, gateway.address());
    signed.send(gateway.address()).await.is_ok();
    gateway.backend().forget();

    gateway.advance(16 * 60);
    // The very same bytes, later.
    let replay = signed.send(gateway.address()).await;
    replay.is_error(403, "RequestTimeTooSkewed");
    assert_eq!(replay.element("RequestTime").as_deref(), Some("20261123T120000Z"));
    let ahead = gateway.now().plus(std::time::Duration::from_mins(16));
    get()
        .at(ahead)
        .sign(&keys, gateway.address())
        .send(gateway.address())
        .await
        .is_error(403, "RequestTimeTooSkewed");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn the_scope_must_be_of_this_day_region_and_service() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let other_service = |service: &str| get().service(service).header("x-amz-content-sha256", EMPTY_SHA256);
    let mut yesterday = get();
    yesterday.scope_date = Some("20261122".into());
    for call in [yesterday, get().region("eu-central-1"), other_service("sts"), other_service("iam")] {
        gateway.send(&keys, call).await.is_error(400, "AuthorizationHeaderMalformed");
    }
    let reply = bent(&gateway, &keys, get(), |signed| {
        rewrite(signed, "authorization", |value| value.replace("aws4_request", "aws4_reply"));
    });
    reply.await.is_error(400, "AuthorizationHeaderMalformed");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn an_authorization_header_with_other_parts_is_malformed() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let bends: [fn(&str) -> String; 7] = [
        |value| value.replace("Credential=", "Credentials="),
        |value| value.replace("SignedHeaders=", "Signature="),
        |value| format!("{value}, Signature=00"),
        |value| format!("{value}, Extra=1"),
        |value| value.replace("/us-east-1/s3", "/s3"),
        |value| value.replace("/us-east-1/s3", "/us-east-1/s3/s3"),
        |value| value.replace("Credential=ASIA", "Credential=AS/IA"),
    ];
    for bend in bends {
        let reply = bent(&gateway, &keys, get(), |signed| rewrite(signed, "authorization", bend)).await;
        reply.is_error(400, "AuthorizationHeaderMalformed");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn other_algorithms_are_not_supported() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for algorithm in ["AWS4-ECDSA-P256-SHA256", "AWS4-HMAC-SHA1", "aws4-hmac-sha256", "AWS", "Bearer"] {
        let reply = bent(&gateway, &keys, get(), |signed| {
            rewrite(signed, "authorization", |value| value.replace("AWS4-HMAC-SHA256", algorithm));
        })
        .await;
        reply.is_error(400, "InvalidRequest");
    }
    let reply = bent(&gateway, &keys, get(), |signed| {
        rewrite(signed, "authorization", |_| "AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=".into());
    });
    reply.await.is_error(400, "InvalidRequest");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn two_proofs_are_no_proof() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for first in [true, false] {
        let reply = bent(&gateway, &keys, get(), |signed| {
            let other = ("authorization".to_owned(), "AWS4-HMAC-SHA256 Credential=x".to_owned());
            if first { signed.call.headers.insert(1, other) } else { signed.call.headers.push(other) }
        })
        .await;
        reply.is_error(400, "InvalidArgument");
    }
    for parameter in ["X-Amz-Signature=00", "X-Amz-Credential=a", "X-Amz-Algorithm=AWS4-HMAC-SHA256"] {
        gateway.send(&keys, get().query(parameter)).await.is_error(400, "InvalidArgument");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_request_needs_one_date() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    bent(&gateway, &keys, get(), |signed| remove(signed, "x-amz-date")).await.is_error(403, "AccessDenied");
    for date in ["", "yesterday", "2026-11-23T12:00:00Z", "20261123T120000", "+2026112T120000Z"] {
        let reply =
            bent(&gateway, &keys, get(), |signed| rewrite(signed, "x-amz-date", |_| date.into())).await;
        assert!(matches!(reply.status, 400 | 403), "{date}: {}", reply.text());
    }
    let twice = bent(&gateway, &keys, get(), |signed| {
        signed.call.headers.push(("x-amz-date".into(), "20261123T120000Z".into()));
    });
    twice.await.is_error(400, "InvalidArgument");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn the_payload_hash_must_be_there_once_and_of_a_known_form() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let missing = bent(&gateway, &keys, get(), |signed| remove(signed, "x-amz-content-sha256")).await;
    missing.is_error(400, "InvalidRequest");
    for hash in [
        "",
        "abc",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD",
        "unsigned-payload",
    ] {
        gateway.send(&keys, get().payload(hash)).await.is_error(400, "InvalidRequest");
    }
    let twice = bent(&gateway, &keys, get(), |signed| {
        signed.call.headers.push(("x-amz-content-sha256".into(), EMPTY_SHA256.into()));
    });
    twice.await.is_error(400, "InvalidArgument");
    // Signed as a hash, sent as something weaker.
    for weaker in ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"] {
        let reply = bent(&gateway, &keys, call("PUT", "/bucket/key").body("b"), |signed| {
            rewrite(signed, "x-amz-content-sha256", |_| weaker.into());
        });
        reply.await.is_error(403, "SignatureDoesNotMatch");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn temporary_keys_need_their_own_token() {
    let gateway = Gateway::start().await;
    let (first, second) = (gateway.session().await, gateway.session().await);
    let without = Keys { token: None, ..first.clone() };
    gateway.send(&without, get()).await.is_error(403, "InvalidAccessKeyId");

    let unsigned = {
        let call = get().unsigned_header("x-amz-security-token", first.token.as_deref().unwrap());
        gateway.send(&without, call).await
    };
    unsigned.is_error(403, "AccessDenied");

    let swapped = Keys { token: second.token.clone(), ..first.clone() };
    gateway.send(&swapped, get()).await.is_error(400, "InvalidToken");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_long_term_key_has_no_token() {
    let gateway = Gateway::start().await;
    let session = gateway.session().await;
    for token in [session.token.unwrap(), "nonsense".to_owned(), String::new()] {
        let keys = Keys { token: Some(token), ..gateway.bob() };
        gateway.send(&keys, get()).await.is_error(400, "InvalidToken");
    }
    gateway.backend().saw_nothing();
    gateway.send(&gateway.bob(), get()).await.is_ok();
}

#[tokio::test]
async fn a_long_term_key_without_s3_access_is_good_for_sts_alone() {
    let gateway = Gateway::start().await;
    gateway.send(&gateway.alice(), get()).await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn header_values_are_canonical_as_sigv4_says() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let odd = call("PUT", "/bucket/key")
        .body("b")
        .header("x-amz-meta-spaces", "  a   b  ")
        .header("x-amz-meta-lines", "one")
        .header("x-amz-meta-lines", "two")
        .header("User-Agent", "agent/1  (two  spaces)")
        .unsigned_header("accept", "*/*");
    gateway.send(&keys, odd).await.is_ok();
    let put = gateway.backend().only_request();
    assert_eq!(put.header("accept"), None);
    assert_eq!(put.headers.get_all("x-amz-meta-lines").iter().count(), 2);

    // A folded line could be two headers to somebody else.
    let mut folded = get().at(gateway.now()).sign(&keys, gateway.address());
    folded.call.headers.push(("x-fold".into(), "a\r\n b".into()));
    gateway.backend().forget();
    assert_eq!(folded.send(gateway.address()).await.status, 400);
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn the_host_is_read_in_one_way_for_the_signature_and_for_the_route() {
    let gateway = Gateway::builder().listen("hosts = [\"s3.example.org\"]").start().await;
    let keys = gateway.assume_at("s3.example.org").await;
    let at = |host: &str, path: &str| {
        let mut call = call("GET", path);
        call.host = Some(host.to_owned());
        call
    };
    for (host, path) in [
        ("s3.example.org", "/bucket/key"),
        ("s3.example.org:9000", "/bucket/key"),
        ("S3.Example.Org", "/bucket/key"),
        ("s3.example.org.", "/bucket/key"),
        ("bucket.s3.example.org", "/key"),
        ("bucket.s3.example.org:443", "/key"),
    ] {
        gateway.backend().forget();
        gateway.send(&keys, at(host, path)).await.is_ok();
        assert_eq!(gateway.backend().only_request().target, "/bucket/key", "{host}{path}");
    }
    gateway.backend().forget();
    for host in ["elsewhere.org", "xs3.example.org", "[::1]", "[::1]:9000"] {
        gateway.send(&keys, at(host, "/bucket/key")).await.is_error(400, "InvalidRequest");
    }
    gateway.backend().saw_nothing();
}
