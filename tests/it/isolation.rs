//! The backend stays behind: its own surface, its orders, its words and its keys never cross.

use crate::support::{Answer, Gateway, ROOT_ACCESS_KEY_ID, ROOT_SECRET, call};

#[tokio::test]
async fn the_backends_own_names_are_no_buckets() {
    for (profile, names) in [
        ("minio", &["minio", ".minio.sys"][..]),
        ("ceph", &["admin", "swift", "auth"]),
        ("rustfs", &["rustfs", "minio"]),
        ("versitygw", &["create-user", "admin"]),
        ("generic", &["minio", ".minio.sys", "admin"]),
    ] {
        let gateway = Gateway::builder().profile(profile).start().await;
        let keys = gateway.session().await;
        for name in names {
            for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
                for path in [format!("/{name}"), format!("/{name}/admin/v3/info"), format!("/{name}/")] {
                    let reply = gateway.send(&keys, call(method, &path)).await;
                    assert!(matches!(reply.status, 400 | 403), "{profile} {method} {path}: {}", reply.status);
                }
            }
            let copy = call("PUT", "/bucket/key").header("x-amz-copy-source", &format!("{name}/config"));
            assert_eq!(gateway.send(&keys, copy).await.status, 400);
        }
        gateway.backend().saw_nothing();
    }
}

#[tokio::test]
async fn sts_is_ours_and_never_the_backends() {
    let gateway = Gateway::start().await;
    for action in ["AssumeRole", "AssumeRoleWithLDAPIdentity", "CreateUser", "ListUsers", "GetSessionToken"] {
        let reply = gateway.sts(&gateway.alice(), &[("Action", action), ("Version", "2011-06-15")]).await;
        assert!(matches!(reply.status, 200 | 400), "{action}: {}", reply.status);
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn orders_to_the_backend_are_refused_also_when_signed() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for name in [
        "x-minio-extract",
        "x-minio-source-replication-request",
        "x-minio-internal-actual-size",
        "x-minio-force-delete",
        "x-rustfs-force-delete",
        "rgwx-copy-if-newer",
        "x-rgw-fwd-op",
        "x-amz-meta-snowball-auto-extract",
        "x-amz-meta-x-minio-internal-crc",
        "x-amz-mfa",
        "x-amz-write-offset-bytes",
    ] {
        let reply = gateway.send(&keys, call("PUT", "/bucket/key").body("b").header(name, "true")).await;
        reply.is_error(400, "InvalidArgument");
    }
    let unknown =
        gateway.send(&keys, call("PUT", "/bucket/key").body("b").header("x-amz-new-feature", "1")).await;
    unknown.is_error(501, "NotImplemented");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn what_the_backend_says_of_our_signature_stays_with_us() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for code in [
        "SignatureDoesNotMatch",
        "InvalidAccessKeyId",
        "RequestTimeTooSkewed",
        "AccessDenied",
        "ExpiredToken",
    ] {
        gateway.backend().answers(move |request| {
            let authorization = request.header("authorization").unwrap_or_default();
            Answer::new(
                403,
                format!(
                    "<Error><Code>{code}</Code><Message>no</Message><AWSAccessKeyId>{ROOT_ACCESS_KEY_ID}</AWSAccessKeyId>\
                     <StringToSign>AWS4 {authorization}</StringToSign></Error>"
                ),
            )
        });
        for method in ["GET", "HEAD"] {
            let reply = gateway.send(&keys, call(method, "/bucket/key")).await;
            assert_eq!(reply.status, 500, "{code}");
            for secret in [ROOT_ACCESS_KEY_ID, ROOT_SECRET, "StringToSign"] {
                assert!(!reply.text().contains(secret), "{}", reply.text());
            }
        }
    }
}

#[tokio::test]
async fn only_the_headers_of_the_operation_cross() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let mut request =
        call("PUT", "/bucket/key").body("b").header("content-type", "text/plain").header("x-amz-meta-a", "1");
    for (name, value) in [
        ("cookie", "a=b"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-host", "evil"),
        ("forwarded", "for=1.2.3.4"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "1.2.3.4"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic x"),
        ("keep-alive", "timeout=5"),
        ("origin", "https://evil"),
        ("accept-encoding", "gzip"),
        ("referer", "https://evil"),
        ("user-agent", "client/1"),
        ("amz-sdk-invocation-id", "1"),
        ("range", "bytes=0-1"),
    ] {
        request = request.unsigned_header(name, value);
    }
    gateway.send(&keys, request).await.is_ok();
    let sent = gateway.backend().only_request();
    let mut names: Vec<&str> = sent.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "authorization",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "x-amz-content-sha256",
            "x-amz-date",
            "x-amz-meta-a",
        ]
    );
    assert!(sent.header("authorization").unwrap().contains(ROOT_ACCESS_KEY_ID));
    assert!(!format!("{:?}", sent.headers).contains(&keys.access_key_id));
    assert_eq!(sent.header("host"), Some(gateway.backend().address().to_string().as_str()));
    assert!(sent.header("user-agent").unwrap().starts_with("daypass/"));
}

#[tokio::test]
async fn only_the_headers_of_s3_come_back() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    gateway.backend().answers(|_| {
        Answer::new(200, "text")
            .header("etag", "\"1\"")
            .header("x-amz-meta-a", "1")
            .header("set-cookie", "root=1")
            .header("server", "MinIO")
            .header("via", "1.1 inner")
            .header("location", "http://10.0.0.1:9000/bucket")
            .header("x-minio-deployment-id", "1")
            .header("x-amz-request-id", "theirs")
            .header("x-amz-id-2", "theirs")
            .header("strict-transport-security", "max-age=1")
    });
    let reply = gateway.send(&keys, call("GET", "/bucket/key")).await;
    assert_eq!((reply.header("etag"), reply.header("x-amz-meta-a")), (Some("\"1\""), Some("1")));
    for name in [
        "set-cookie",
        "server",
        "via",
        "location",
        "x-minio-deployment-id",
        "x-amz-id-2",
        "strict-transport-security",
    ] {
        assert_eq!(reply.header(name), None, "{name}");
    }
    assert_eq!(reply.header("x-amz-request-id").unwrap().len(), 16);
}

#[tokio::test]
async fn the_backends_account_and_address_are_not_in_its_documents() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    gateway.backend().answers(|_| {
        Answer::new(
            200,
            format!(
                "<ListAllMyBucketsResult><Owner><ID>{ROOT_ACCESS_KEY_ID}</ID><DisplayName>root</DisplayName></Owner><Buckets/></ListAllMyBucketsResult>"
            ),
        )
        .header("content-type", "application/xml")
    });
    let reply = gateway.send(&keys, call("GET", "/")).await;
    assert!(!reply.text().contains(ROOT_ACCESS_KEY_ID), "{}", reply.text());
    assert_eq!(reply.element("ID").as_deref(), Some("000000000000"));
    gateway.backend().answers(|_| {
        Answer::new(200, "<R><Location>http://10.0.0.1:9002/bucket/key</Location><Key>key</Key></R>")
    });
    let complete = call("POST", "/bucket/key").query("uploadId=1").body("<CompleteMultipartUpload/>");
    let reply = gateway.send(&keys, complete).await;
    assert!(!reply.text().contains("10.0.0.1"), "{}", reply.text());
}

#[tokio::test]
async fn a_redirect_of_the_backend_is_not_followed() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for status in [301, 302, 307, 308] {
        gateway.backend().forget();
        gateway
            .backend()
            .answers(move |_| Answer::new(status, "").header("location", "http://127.0.0.1:1/elsewhere"));
        let reply = gateway.send(&keys, call("GET", "/bucket/key")).await;
        reply.is_error(500, "InternalError");
        assert_eq!(reply.header("location"), None);
        assert_eq!(gateway.backend().requests().len(), 1);
    }
}

#[tokio::test]
async fn an_error_body_that_is_not_s3s_is_not_passed_on() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let huge = "x".repeat(1 << 20);
    for body in [
        "<html>502 Bad Gateway, nginx/1.0</html>",
        "",
        "plain",
        "<Error>",
        huge.as_str(),
        "<!DOCTYPE x><Error><Code>A</Code></Error>",
    ] {
        let body = body.to_owned();
        gateway.backend().answers(move |_| Answer::new(502, body.clone()));
        let reply = gateway.send(&keys, call("GET", "/bucket/key")).await;
        reply.is_error(500, "InternalError");
        assert!(reply.body.len() < 1024);
    }
}

#[tokio::test]
async fn what_a_client_needs_of_an_error_comes_through() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    gateway.backend().answers(|_| {
        Answer::new(404, "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>not there</Message><Key>key</Key><HostId>inner</HostId></Error>")
    });
    let reply = gateway.send(&keys, call("GET", "/bucket/key")).await;
    reply.is_error(404, "NoSuchKey");
    assert_eq!(reply.element("Message").as_deref(), Some("not there"));
    assert_eq!(reply.element("RequestId").as_deref(), reply.header("x-amz-request-id"));
    assert!(!reply.text().contains("inner"));
    gateway.backend().answers(|_| Answer::new(304, ""));
    assert_eq!(
        gateway.send(&keys, call("GET", "/bucket/key").header("if-none-match", "\"1\"")).await.status,
        304
    );
    for status in [404, 412, 500, 503] {
        gateway.backend().answers(move |_| Answer::new(status, ""));
        assert_eq!(gateway.send(&keys, call("HEAD", "/bucket/key")).await.status, status);
    }
}

#[tokio::test]
async fn a_backend_that_is_away_is_said_at_once_and_to_be_retried() {
    let gateway = Gateway::builder().backend_endpoint("http://127.0.0.1:1").start().await;
    let keys = gateway.session().await;
    let reply = gateway.send(&keys, call("GET", "/bucket/key")).await;
    reply.is_error(503, "ServiceUnavailable");
    assert!(reply.header("retry-after").is_some());
    assert!(!reply.text().contains("127.0.0.1:1"));
}
