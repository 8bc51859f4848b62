//! Names: path, host, query and headers have one reading, and what has two is refused.

use crate::support::{Answer, Gateway, call, raw, raw_bytes};

#[tokio::test]
async fn dot_segments_are_refused_and_never_resolved() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for path in ["/bucket/../k", "/bucket/./k", "/bucket/a/..", "/bucket/..", "/bucket/."] {
        gateway.send(&keys, call("GET", path)).await.is_error(400, "InvalidURI");
    }
    gateway.backend().saw_nothing();
    // Encoded twice it is a key like any other.
    gateway.send(&keys, call("GET", "/bucket/%252e%252e/k")).await.is_ok();
    assert_eq!(gateway.backend().only_request().target, "/bucket/%252e%252e/k");
}

#[tokio::test]
async fn what_no_backend_reads_alike_is_refused() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for path in [
        "/bucket/%00",
        "/bucket/a%0ab",
        "/bucket/a%0d%0ab",
        "/bucket/%7f",
        "/bucket/%ff",
        "/bucket/%C0%AF",
        "/bucket/a%",
        "/bucket/a%2",
        "/bucket/a%zz",
    ] {
        gateway.send(&keys, call("GET", path)).await.is_error(400, "InvalidURI");
    }
    let bad_source = call("PUT", "/bucket/k").header("x-amz-copy-source", "bucket/a%00");
    gateway.send(&keys, bad_source).await.is_error(400, "InvalidArgument");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn odd_keys_arrive_byte_by_byte() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let longest = "k".repeat(1024);
    for path in [
        "/bucket/a%20b",
        "/bucket/a%2Bb",
        "/bucket/%C3%A9",
        "/bucket/e%CC%81",
        "/bucket/%E2%80%AE",
        "/bucket/%F0%9F%98%80",
        "/bucket/%EF%BC%8F%EF%BC%8E",
        "/bucket/%2A~%21%27%28%29%3B%23%3F%26%3D%40%3A%2C",
        "/bucket/a%25b",
        "/bucket/dir/",
        "/bucket/.hidden",
        "/bucket/...",
        "/bucket/a..b",
        &format!("/bucket/{longest}"),
    ] {
        gateway.backend().forget();
        gateway.send(&keys, call("GET", path)).await.is_ok();
        assert_eq!(gateway.backend().only_request().target, path);
    }
    gateway.backend().forget();
    gateway.send(&keys, call("GET", &format!("/bucket/{longest}k"))).await.is_error(400, "KeyTooLongError");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn an_empty_key_is_the_bucket_with_the_buckets_own_action() {
    let gateway = Gateway::builder()
        .role("objects", &crate::support::allow("s3:PutObject s3:DeleteObject s3:GetObject", "*"))
        .start()
        .await;
    let keys = gateway.role_session("objects").await;
    for method in ["DELETE", "PUT", "GET"] {
        gateway.send(&keys, call(method, "/bucket/")).await.is_error(403, "AccessDenied");
    }
    let version = gateway.send(&keys, call("GET", "/bucket/").query("versionId=1")).await;
    version.is_error(400, "InvalidArgument");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn the_host_decides_about_the_bucket() {
    let gateway = Gateway::builder()
        .listen("hosts = [\"s3.example.org\"]")
        .role("photos", &crate::support::allow("s3:GetObject", "arn:aws:s3:::photos/*"))
        .start()
        .await;
    let keys = gateway.assume_at("s3.example.org").await;
    let mut request = call("GET", "/payroll/all");
    request.host = Some("photos.s3.example.org".into());
    gateway.send(&keys, request).await.is_ok();
    assert_eq!(gateway.backend().only_request().target, "/photos/payroll/all");

    gateway.backend().forget();
    let signed = call("GET", "/photos/k");
    let mut signed = {
        let mut call = signed;
        call.host = Some("s3.example.org".into());
        call.at(gateway.now()).sign(&keys, gateway.address())
    };
    signed.call.headers.push(("host".into(), "payroll.s3.example.org".into()));
    assert_eq!(signed.send(gateway.address()).await.status, 400);
    signed.call.headers.pop();
    signed.call.path = "http://payroll.s3.example.org/photos/k".into();
    assert_eq!(signed.send(gateway.address()).await.status, 400);
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_bucket_has_the_name_of_a_bucket() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let long = "b".repeat(64);
    for bucket in [
        "Bucket",
        "bu..cket",
        "bu",
        long.as_str(),
        "192.168.0.1",
        "-bucket",
        "bucket-",
        ".bucket",
        "buck_et",
        "arn%3Aaws%3As3",
        "bucket%20",
        "b%C3%BCcket",
    ] {
        gateway.send(&keys, call("GET", &format!("/{bucket}/key"))).await.is_error(400, "InvalidBucketName");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_parameter_is_given_once() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for (path, first, second) in [
        ("/bucket", "prefix=a", "prefix=b"),
        ("/bucket", "list-type=2", "list-type=2"),
        ("/bucket", "prefix=a", "Prefix=b"),
        ("/bucket/key", "versionId=1", "versionId=2"),
        ("/bucket/key", "uploadId=1", "uploadId=2"),
        ("/bucket/key", "partNumber=1", "part%4eumber=2"),
    ] {
        let reply = gateway.send(&keys, call("GET", path).query(first).query(second)).await;
        assert!(matches!(reply.status, 400 | 403), "{first}&{second}: {}", reply.text());
        if !second.contains('%') {
            reply.is_error(400, "InvalidArgument");
        }
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn two_operations_at_once_are_none() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for (method, path, first, second) in [
        ("GET", "/bucket", "acl", "policy"),
        ("POST", "/bucket/key", "uploads", "uploadId=x"),
        ("POST", "/bucket", "delete", "tagging"),
        ("GET", "/bucket", "list-type=2", "versions"),
        ("GET", "/bucket/key", "acl", "uploadId=1"),
        ("PUT", "/bucket/key", "tagging", "partNumber=1"),
    ] {
        gateway
            .send(&keys, call(method, path).query(first).query(second))
            .await
            .is_error(400, "InvalidArgument");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn what_is_not_an_operation_is_never_a_plain_one() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for (method, path, query, status) in [
        ("GET", "/bucket/key", "ACL", 501),
        ("GET", "/bucket/key", "acl=1", 400),
        ("GET", "/bucket/key", "unknown", 501),
        ("GET", "/bucket/key", "policy", 400),
        ("PUT", "/bucket/key", "append", 501),
        ("PUT", "/bucket/key", "uploads", 400),
        ("PUT", "/bucket", "session", 400),
        ("GET", "/bucket", "session", 501),
        ("GET", "/bucket", "list-type=3", 400),
        ("GET", "/bucket/key", "lambdaArn=x", 501),
        ("PUT", "/bucket/key", "renameObject", 501),
        ("POST", "/bucket", "metadataTable", 501),
        ("GET", "/bucket/key", "uploadId", 400),
        ("POST", "/bucket/key", "", 405),
        ("PUT", "/", "", 405),
    ] {
        let request = call(method, path);
        let request = if query.is_empty() { request } else { request.query(query) };
        let reply = gateway.send(&keys, request).await;
        assert_eq!(reply.status, status, "{method} {path}?{query}: {}", reply.text());
    }
    gateway.backend().saw_nothing();
    // An encoded name is that name.
    gateway.backend().answers(|_| Answer::new(200, "<AccessControlPolicy/>"));
    let mut encoded =
        call("GET", "/bucket/key").query("acl").at(gateway.now()).sign(&keys, gateway.address());
    encoded.call.query = vec!["%61cl".into()];
    encoded.send(gateway.address()).await.is_ok();
    assert_eq!(gateway.backend().only_request().target, "/bucket/key?acl=");
}

#[tokio::test]
async fn headers_that_rewrite_a_request_are_refused() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for (name, value) in [
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("x-method-override", "DELETE"),
        ("x-original-url", "/payroll/all"),
        ("x-rewrite-url", "/payroll/all"),
        ("upgrade", "h2c"),
        ("upgrade", "websocket"),
        ("x_amz_acl", "public-read"),
        ("x-amz_acl", "public-read"),
    ] {
        let reply = gateway.send(&keys, call("GET", "/bucket/key").unsigned_header(name, value)).await;
        assert!(matches!(reply.status, 400 | 403), "{name}: {}", reply.text());
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn connection_cannot_take_a_header_away() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for named in [
        "x-amz-security-token",
        "authorization",
        "Authorization, X-Amz-Date",
        "host",
        "range",
        "x-amz-copy-source",
    ] {
        let mut signed = call("GET", "/bucket/key").at(gateway.now()).sign(&keys, gateway.address());
        signed.call.headers.push(("connection".into(), named.into()));
        signed.send(gateway.address()).await.is_error(400, "InvalidArgument");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_header_that_counts_is_given_once() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for (name, first, second) in [
        ("content-type", "a/b", "c/d"),
        ("content-md5", "1", "2"),
        ("range", "bytes=0-1", "bytes=2-3"),
        ("if-match", "a", "b"),
        ("if-none-match", "a", "b"),
        ("x-amz-copy-source", "a", "b"),
        ("x-amz-storage-class", "a", "b"),
    ] {
        let reply =
            gateway.send(&keys, call("PUT", "/bucket/key").header(name, first).header(name, second)).await;
        reply.is_error(400, "InvalidArgument");
    }
    let mut token = call("GET", "/bucket/key").at(gateway.now()).sign(&keys, gateway.address());
    token.call.headers.push(("x-amz-security-token".into(), keys.token.clone().unwrap()));
    token.send(gateway.address()).await.is_error(400, "InvalidArgument");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_head_that_is_not_http_is_refused() {
    let gateway = Gateway::start().await;
    for head in [
        "GET /bucket/key HTTP/1.1\r\nhost: h\r\nauthorization : x\r\n\r\n",
        "GET /bucket/key HTTP/1.1\r\nhost: h\r\n: empty\r\n\r\n",
        "GET /bucket/key HTTP/1.1\r\nhost: h\r\nx: a\0b\r\n\r\n",
        "GET /bucket/key HTTP/1.1\r\nhost: h\r\nx: a\r\n  folded\r\n\r\n",
        "GET /bucket key HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET /bucket/key HTTP/3.0\r\nhost: h\r\n\r\n",
        "garbage\r\n\r\n",
    ] {
        let answer = raw_bytes(gateway.address(), head.as_bytes()).await;
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
            "{head:?}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn the_length_of_a_body_is_said_in_one_way() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let hidden = String::from_utf8(
        call("DELETE", "/bucket/hidden").at(gateway.now()).sign(&keys, gateway.address()).head(),
    )
    .unwrap();
    for framing in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: identity\r\n",
        "content-length: 4\r\ncontent-length: 5\r\n",
        "content-length: +4\r\n",
        "content-length: 4,4\r\n",
        "content-length: 4, 5\r\n",
        "content-length: 0x4\r\n",
        "content-length: -4\r\n",
    ] {
        let signed = call("PUT", "/bucket/key").body("text").at(gateway.now()).sign(&keys, gateway.address());
        let head = String::from_utf8(signed.head()).unwrap().replace("content-length: 4\r\n", framing);
        assert!(head.contains(framing));
        let answer = raw_bytes(gateway.address(), format!("{head}0\r\n\r\n{hidden}").as_bytes()).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || text.starts_with("HTTP/1.1 4"), "{framing:?}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), usize::from(!answer.is_empty()), "{framing:?}: {text}");
    }
    let signed = call("PUT", "/bucket/key").body("text").at(gateway.now()).sign(&keys, gateway.address());
    let old = String::from_utf8(signed.head()).unwrap();
    let old = old.replace("HTTP/1.1", "HTTP/1.0").replace("content-length: 4", "transfer-encoding: chunked");
    let answer = raw_bytes(gateway.address(), format!("{old}4\r\ntext\r\n0\r\n\r\n").as_bytes()).await;
    assert!(
        answer.is_empty() || String::from_utf8_lossy(&answer).contains(" 400 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn methods_that_s3_does_not_have_are_not_allowed() {
    let gateway = Gateway::start().await;
    for method in ["TRACE", "PATCH", "PROPFIND", "GETT", "get"] {
        let answer = raw(
            gateway.address(),
            format!("{method} /bucket/key HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").as_bytes(),
        )
        .await;
        answer.is_error(405, "MethodNotAllowed");
    }
    let connect =
        raw_bytes(gateway.address(), b"CONNECT backend:9002 HTTP/1.1\r\nhost: backend:9002\r\n\r\n").await;
    assert!(
        String::from_utf8_lossy(&connect).starts_with("HTTP/1.1 405"),
        "{}",
        String::from_utf8_lossy(&connect)
    );
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_copy_source_is_exactly_what_was_authorised_or_refused() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for source in [
        "",
        "/",
        "x",
        "bucket",
        "bucket/",
        "https://h/bucket/key",
        "arn:aws:s3:::bucket/key",
        "bucket/k?versionId=1&versionId=2",
    ] {
        let reply = gateway.send(&keys, call("PUT", "/bucket/key").header("x-amz-copy-source", source)).await;
        assert_eq!(reply.status, 400, "{source}: {}", reply.text());
    }
    for method in ["GET", "HEAD", "DELETE"] {
        let reply = gateway
            .send(&keys, call(method, "/bucket/key").header("x-amz-copy-source", "bucket/other"))
            .await;
        assert_eq!(reply.status, 400, "{method}");
    }
    gateway.backend().saw_nothing();
    for (source, sent) in [
        ("bucket%2fother", "/bucket/other"),
        ("bucket/k%3FversionId=1", "/bucket/k%3FversionId%3D1"),
        ("bucket/a+b", "/bucket/a%2Bb"),
        ("/bucket/k?versionId=a", "/bucket/k?versionId=a"),
    ] {
        gateway.backend().forget();
        gateway.send(&keys, call("PUT", "/bucket/key").header("x-amz-copy-source", source)).await.is_ok();
        assert_eq!(gateway.backend().only_request().header("x-amz-copy-source"), Some(sent));
    }
}

#[tokio::test]
async fn sts_has_its_place_and_a_bucket_has_none_of_it() {
    let gateway = Gateway::builder().listen("hosts = [\"s3.example.org\"]").start().await;
    let form = |path: &str, host: &str| {
        let mut request = call("POST", path)
            .service("sts")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("Action=GetCallerIdentity&Version=2011-06-15");
        request.host = Some(host.into());
        request
    };
    for path in ["/", "/sts"] {
        gateway.send(&gateway.alice(), form(path, "s3.example.org")).await.is_ok();
    }
    for (path, host) in
        [("/bucket", "s3.example.org"), ("/", "bucket.s3.example.org"), ("/sts/x", "s3.example.org")]
    {
        let reply = gateway.send(&gateway.alice(), form(path, host)).await;
        assert!(matches!(reply.status, 400 | 403 | 405), "{path} {host}: {}", reply.text());
        assert!(!reply.text().contains("GetCallerIdentityResult"));
    }
    gateway.backend().saw_nothing();
}
