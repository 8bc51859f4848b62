//! Presigned URLs: good for what was signed and nothing more.

use crate::support::{Call, EMPTY_SHA256, Gateway, Keys, Reply, Signed, call, sha256_hex};

fn get() -> Call {
    call("GET", "/bucket/key")
}

async fn follow(gateway: &Gateway, keys: &Keys, call: Call) -> Reply {
    call.at(gateway.now()).presign(keys, gateway.address(), "3600").send(gateway.address()).await
}

async fn bent(gateway: &Gateway, keys: &Keys, call: Call, bend: impl FnOnce(&mut Signed)) -> Reply {
    let mut signed = call.at(gateway.now()).presign(keys, gateway.address(), "3600");
    bend(&mut signed);
    signed.send(gateway.address()).await
}

/// Replaces the value of a parameter after signing.
fn rewrite(signed: &mut Signed, name: &str, value: &str) {
    let pair = signed.call.query.iter_mut().find(|pair| pair.starts_with(&format!("{name}="))).unwrap();
    *pair = format!("{name}={value}");
}

#[tokio::test]
async fn a_presigned_url_reads_and_writes() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    follow(&gateway, &keys, get()).await.is_ok();
    follow(&gateway, &keys, call("PUT", "/bucket/key").body("text")).await.is_ok();
    let requests = gateway.backend().requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].body, b"text");
    assert!(requests.iter().all(|request| !request.target.contains("X-Amz-")), "{requests:?}");
}

#[tokio::test]
async fn a_presigned_put_is_no_copy() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let reply = bent(&gateway, &keys, call("PUT", "/bucket/key"), |signed| {
        signed.call.headers.push(("x-amz-copy-source".into(), "/payroll/all".into()));
    });
    reply.await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn headers_that_were_not_signed_with_the_url_are_refused() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for name in [
        "x-amz-acl",
        "x-amz-tagging",
        "x-amz-meta-a",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-object-lock-mode",
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
        "x-amz-bypass-governance-retention",
    ] {
        let reply = bent(&gateway, &keys, call("PUT", "/bucket/key"), |signed| {
            signed.call.headers.push((name.into(), "1".into()));
        });
        reply.await.is_error(403, "AccessDenied");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn another_method_or_one_more_parameter_does_not_match() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for method in ["PUT", "DELETE", "HEAD", "POST"] {
        let reply = bent(&gateway, &keys, get(), |signed| signed.call.method = method.into()).await;
        assert_eq!(reply.status, 403, "{method}");
    }
    for parameter in
        ["versionId=1", "acl", "uploads", "response-content-type=text%2Fhtml", "tagging", "x-id=GetObject"]
    {
        let reply = bent(&gateway, &keys, get(), |signed| signed.call.query.push(parameter.into())).await;
        reply.is_error(403, "SignatureDoesNotMatch");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn every_parameter_is_there_once_and_well_formed() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let names = [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
    ];
    for name in names {
        let twice = bent(&gateway, &keys, get(), |signed| {
            let pair = signed.call.query.iter().find(|pair| pair.starts_with(name)).unwrap().clone();
            signed.call.query.push(pair);
        });
        twice.await.is_error(400, "AuthorizationQueryParametersError");
        let missing =
            bent(&gateway, &keys, get(), |signed| signed.call.query.retain(|pair| !pair.starts_with(name)))
                .await;
        assert!(matches!(missing.status, 400 | 403), "{name}: {}", missing.text());
        let other_case = bent(&gateway, &keys, get(), |signed| {
            let pair = signed.call.query.iter_mut().find(|pair| pair.starts_with(name)).unwrap();
            *pair = pair.replace("X-Amz-", "x-amz-");
        });
        assert!(matches!(other_case.await.status, 400 | 403), "{name}");
    }
    for expires in ["0", "-1", "1.5", "abc", "", "604801", "9223372036854775808", "%2B5"] {
        let reply =
            get().at(gateway.now()).presign(&keys, gateway.address(), expires).send(gateway.address()).await;
        reply.is_error(400, "AuthorizationQueryParametersError");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn the_token_of_a_url_is_that_of_its_key_and_stands_in_one_place() {
    let gateway = Gateway::start().await;
    let (first, second) = (gateway.session().await, gateway.session().await);
    let without = Keys { token: None, ..first.clone() };
    follow(&gateway, &without, get()).await.is_error(403, "InvalidAccessKeyId");
    let swapped = Keys { token: second.token.clone(), ..first.clone() };
    follow(&gateway, &swapped, get()).await.is_error(400, "InvalidToken");
    let twice = get().header("x-amz-security-token", first.token.as_deref().unwrap());
    follow(&gateway, &first, twice).await.is_error(400, "InvalidArgument");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_url_dies_with_the_credentials_that_signed_it() {
    let gateway = Gateway::start().await;
    let keys = gateway.assume(&[("DurationSeconds", "60")]).await;
    let url = get().at(gateway.now()).presign(&keys, gateway.address(), "3600");
    url.send(gateway.address()).await.is_ok();
    gateway.backend().forget();
    gateway.advance(60);
    url.send(gateway.address()).await.is_error(400, "ExpiredToken");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_url_ends_when_it_says_and_does_not_begin_early() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let url = get().at(gateway.now()).presign(&keys, gateway.address(), "60");
    gateway.advance(59);
    url.send(gateway.address()).await.is_ok();
    gateway.backend().forget();
    gateway.advance(1);
    url.send(gateway.address()).await.is_error(403, "AccessDenied");
    let ahead = gateway.now().plus(std::time::Duration::from_mins(16));
    get()
        .at(ahead)
        .presign(&keys, gateway.address(), "60")
        .send(gateway.address())
        .await
        .is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_url_of_another_algorithm_region_or_service_is_refused() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for call in [get().region("eu-west-1"), get().service("sts")] {
        follow(&gateway, &keys, call).await.is_error(400, "AuthorizationQueryParametersError");
    }
    let reply =
        bent(&gateway, &keys, get(), |signed| rewrite(signed, "X-Amz-Algorithm", "AWS4-HMAC-SHA512")).await;
    reply.is_error(400, "AuthorizationQueryParametersError");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_payload_hash_signed_into_a_url_is_that_of_the_body() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let hash = sha256_hex(b"the text");
    let put = || call("PUT", "/bucket/key").header("x-amz-content-sha256", &hash).payload(&hash);
    follow(&gateway, &keys, put().body("the text")).await.is_ok();
    follow(&gateway, &keys, put().body("another!")).await.is_error(400, "XAmzContentSHA256Mismatch");
    assert_eq!(gateway.backend().committed().len(), 1);

    // In the header one hash, in the query another.
    gateway.backend().forget();
    let two = put().query(&format!("X-Amz-Content-Sha256={EMPTY_SHA256}")).body("the text");
    assert_eq!(follow(&gateway, &keys, two).await.status, 400);
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_streaming_payload_in_a_url_with_a_wrong_signature_does_not_match() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for payload in ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"] {
        let put = call("PUT", "/bucket/key")
            .header("x-amz-content-sha256", payload)
            .header("x-amz-decoded-content-length", "4")
            .payload(payload)
            .body("4\r\ntext\r\n0\r\n\r\n");
        let reply =
            bent(&gateway, &keys, put, |signed| rewrite(signed, "X-Amz-Signature", &"0".repeat(64))).await;
        reply.is_error(403, "SignatureDoesNotMatch");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn names_and_values_of_a_query_have_one_reading() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let list = |pair: &str| call("GET", "/bucket").query("list-type=2").query(pair);
    gateway.backend().answers(|_| crate::support::Answer::new(200, "<ListBucketResult/>"));
    for (pair, forwarded) in [
        ("prefix=a%20b", "list-type=2&prefix=a%20b"),
        ("prefix=%C3%A9", "list-type=2&prefix=%C3%A9"),
        ("prefix=", "list-type=2&prefix="),
        ("prefix=a%2Bb", "list-type=2&prefix=a%2Bb"),
    ] {
        gateway.backend().forget();
        follow(&gateway, &keys, list(pair)).await.is_ok();
        assert_eq!(gateway.backend().only_request().target, format!("/bucket?{forwarded}"));
    }
    // A plus is a space to every form parser: sent after signing as %20 it is the same request.
    gateway.backend().forget();
    let plus = bent(&gateway, &keys, list("prefix=a%20b"), |signed| rewrite(signed, "prefix", "a+b")).await;
    plus.is_ok();
    assert_eq!(gateway.backend().only_request().target, "/bucket?list-type=2&prefix=a%20b");
    gateway.backend().forget();
    for pair in ["prefix=%", "prefix=%zz", "prefix=%ff", "prefix=%00"] {
        follow(&gateway, &keys, list(pair)).await.is_error(400, "InvalidURI");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn headers_that_sdks_put_into_the_query_count_as_headers() {
    let gateway = Gateway::builder().role("put", &crate::support::allow("s3:PutObject", "*")).start().await;
    let keys = gateway.session().await;
    let put = || call("PUT", "/bucket/key").body("b");
    follow(&gateway, &keys, put().query("x-amz-meta-who=sdk").query("x-amz-storage-class=STANDARD"))
        .await
        .is_ok();
    let sent = gateway.backend().only_request();
    assert_eq!(
        (sent.header("x-amz-meta-who"), sent.header("x-amz-storage-class")),
        (Some("sdk"), Some("STANDARD"))
    );
    assert_eq!(sent.target, "/bucket/key");

    gateway.backend().forget();
    let both = put().query("x-amz-meta-who=sdk").header("x-amz-meta-who", "other");
    follow(&gateway, &keys, both).await.is_error(400, "InvalidArgument");
    // Each asks for its own action, wherever it stands.
    let role = gateway.role_session("put").await;
    for parameter in ["x-amz-acl=public-read", "x-amz-tagging=a%3Db", "x-amz-copy-source=payroll%2Fall"] {
        follow(&gateway, &role, put().query(parameter)).await.is_error(403, "AccessDenied");
    }
    let unsigned =
        bent(&gateway, &keys, put(), |signed| signed.call.query.push("x-amz-acl=public-read".into())).await;
    unsigned.is_error(403, "SignatureDoesNotMatch");
    // In a request that is signed in its header a parameter is a parameter.
    gateway.send(&keys, put().query("x-amz-acl=public-read")).await.is_error(501, "NotImplemented");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_url_of_signature_version_2_is_told_apart() {
    let gateway = Gateway::start().await;
    let old = "GET /bucket/key?AWSAccessKeyId=AKIA&Signature=abc&x-amz-security-token=t&Expires=1 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let reply = crate::support::raw(gateway.address(), old.as_bytes()).await;
    reply.is_error(400, "InvalidRequest");
    assert!(reply.text().contains("AWS4-HMAC-SHA256"), "{}", reply.text());
    gateway.backend().saw_nothing();
}
