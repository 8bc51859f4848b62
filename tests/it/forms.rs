//! Form uploads: what the policy does not allow is no upload.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Gateway, Keys, Reply, allow, call, hmac_sha256, parse_reply, raw};

/// A form to be, with its policy.
pub struct Form {
    pub fields: Vec<(String, String)>,
    pub conditions: String,
    expiration: &'static str,
    file: Vec<u8>,
    after: String,
}

pub fn form() -> Form {
    Form {
        fields: vec![("key".into(), "user/${filename}".into())],
        conditions: r#"{"bucket":"bucket"},["starts-with","$key","user/"]"#.into(),
        expiration: "2026-11-23T13:00:00Z",
        file: b"the file".to_vec(),
        after: String::new(),
    }
}

impl Form {
    fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    fn condition(mut self, condition: &str) -> Self {
        self.conditions.push(',');
        self.conditions.push_str(condition);
        self
    }

    pub async fn send(&self, gateway: &Gateway, keys: &Keys) -> Reply {
        self.send_bent(gateway, keys, |_| {}).await
    }

    async fn send_bent(
        &self,
        gateway: &Gateway,
        keys: &Keys,
        bend: impl FnOnce(&mut Vec<(String, String)>),
    ) -> Reply {
        raw(gateway.address(), &self.bytes(gateway, keys, bend)).await
    }

    fn bytes(
        &self,
        gateway: &Gateway,
        keys: &Keys,
        bend: impl FnOnce(&mut Vec<(String, String)>),
    ) -> Vec<u8> {
        let credential = format!("{}/20261123/us-east-1/s3/aws4_request", keys.access_key_id);
        let mut conditions = format!(
            r#"{},{{"x-amz-algorithm":"AWS4-HMAC-SHA256"}},{{"x-amz-credential":"{credential}"}},{{"x-amz-date":"20261123T120000Z"}}"#,
            self.conditions
        );
        let mut fields = self.fields.clone();
        fields.push(("x-amz-algorithm".into(), "AWS4-HMAC-SHA256".into()));
        fields.push(("x-amz-credential".into(), credential));
        fields.push(("x-amz-date".into(), "20261123T120000Z".into()));
        if let Some(token) = &keys.token {
            conditions.push_str(&format!(r#",{{"x-amz-security-token":"{token}"}}"#));
            fields.push(("x-amz-security-token".into(), token.clone()));
        }
        let policy =
            STANDARD.encode(format!(r#"{{"expiration":"{}","conditions":[{conditions}]}}"#, self.expiration));
        let mut key = format!("AWS4{}", keys.secret).into_bytes();
        for part in ["20261123", "us-east-1", "s3", "aws4_request"] {
            key = hmac_sha256(&key, part.as_bytes());
        }
        fields.push(("x-amz-signature".into(), hex::encode(hmac_sha256(&key, policy.as_bytes()))));
        fields.push(("policy".into(), policy));
        bend(&mut fields);
        let mut body = Vec::new();
        for (name, value) in &fields {
            body.extend_from_slice(
                format!("--frontier\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                    .as_bytes(),
            );
        }
        body.extend_from_slice(b"--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b.txt\"\r\nContent-Type: text/plain\r\n\r\n");
        body.extend_from_slice(&self.file);
        body.extend_from_slice(format!("\r\n{}--frontier--\r\n", self.after).as_bytes());
        let head = format!(
            "POST /bucket HTTP/1.1\r\nhost: {}\r\ncontent-type: multipart/form-data; boundary=frontier\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            gateway.address(),
            body.len()
        );
        [head.into_bytes(), body].concat()
    }
}

#[tokio::test]
async fn a_form_whose_policy_allows_it_is_an_upload() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let form = form()
        .field("Content-Type", "text/html")
        .condition(r#"["starts-with","$Content-Type","text/"]"#)
        .field("x-amz-meta-who", "form")
        .condition(r#"{"x-amz-meta-who":"form"}"#)
        .condition(r#"["content-length-range",1,100]"#)
        .field("x-ignore-csrf", "1");
    let reply = form.send(&gateway, &keys).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    let put = gateway.backend().only_request();
    assert_eq!(
        (put.method.as_str(), put.target.as_str(), put.body.as_slice()),
        ("PUT", "/bucket/user/a%20b.txt", &b"the file"[..])
    );
    assert_eq!((put.header("content-type"), put.header("x-amz-meta-who")), (Some("text/html"), Some("form")));
    assert_eq!((put.header("policy"), put.header("x-ignore-csrf")), (None, None));
}

#[tokio::test]
async fn the_answer_is_what_the_form_asks_for() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let created =
        form().field("success_action_status", "201").condition(r#"{"success_action_status":"201"}"#);
    let reply = created.send(&gateway, &keys).await;
    assert_eq!((reply.status, reply.element("Key").as_deref()), (201, Some("user/a b.txt")));
    let url = "https://example.org/done?a=1";
    let redirect = form()
        .field("success_action_redirect", url)
        .condition(&format!(r#"{{"success_action_redirect":"{url}"}}"#));
    let reply = redirect.send(&gateway, &keys).await;
    assert_eq!(reply.status, 303);
    assert!(
        reply
            .header("location")
            .unwrap()
            .starts_with("https://example.org/done?a=1&bucket=bucket&key=user%2Fa%20b.txt&etag=")
    );
}

#[tokio::test]
async fn what_the_policy_does_not_allow_is_denied() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let mut other_key = form();
    other_key.fields[0].1 = "payroll/all".into();
    let mut expired = form();
    expired.expiration = "2026-11-23T12:00:00Z";
    let mut other_bucket = form();
    other_bucket.conditions =
        other_bucket.conditions.replace("{\"bucket\":\"bucket\"}", "{\"bucket\":\"other\"}");
    for form in [
        other_key,
        expired,
        other_bucket,
        form().field("acl", "public-read"),
        form().field("x-amz-meta-a", "1"),
        form().field("Content-Type", "a/b").condition(r#"{"content-type":"text/plain"}"#),
        form().condition(r#"{"content-type":"text/plain"}"#),
    ] {
        form.send(&gateway, &keys).await.is_error(403, "AccessDenied");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn the_length_of_the_file_is_within_the_range() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    form()
        .condition(r#"["content-length-range",1,7]"#)
        .send(&gateway, &keys)
        .await
        .is_error(400, "EntityTooLarge");
    form()
        .condition(r#"["content-length-range",9,99]"#)
        .send(&gateway, &keys)
        .await
        .is_error(400, "EntityTooSmall");
    let mut huge = form();
    huge.file = vec![b'x'; (8 << 20) + 1];
    huge.send(&gateway, &keys).await.is_error(400, "EntityTooLarge");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_form_is_signed_by_live_keys() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let mut wrong = keys.clone();
    wrong.secret.push('x');
    let refused = form().send(&gateway, &wrong).await;
    refused.is_error(403, "SignatureDoesNotMatch");
    // The policy, whose conditions hold the session token.
    assert_eq!((refused.element("StringToSign"), refused.element("StringToSignBytes")), (None, None));
    form().send(&gateway, &Keys { token: None, ..keys.clone() }).await.is_error(403, "InvalidAccessKeyId");
    form().send(&gateway, &gateway.alice()).await.is_error(403, "AccessDenied");
    for missing in ["policy", "x-amz-signature", "x-amz-date", "x-amz-credential", "x-amz-algorithm", "key"] {
        let reply =
            form().send_bent(&gateway, &keys, |fields| fields.retain(|(name, _)| name != missing)).await;
        assert!(matches!(reply.status, 400 | 403), "{missing}: {}", reply.text());
    }
    let twice =
        form().send_bent(&gateway, &keys, |fields| fields.push(("KEY".into(), "user/other".into()))).await;
    twice.is_error(400, "InvalidArgument");
    let plain = form();
    let changed = plain
        .send_bent(&gateway, &keys, |fields| {
            let (_, policy) = fields.iter_mut().find(|(name, _)| name == "policy").unwrap();
            *policy = STANDARD.encode(r#"{"expiration":"2030-01-01T00:00:00Z","conditions":[]}"#);
        })
        .await;
    changed.is_error(403, "SignatureDoesNotMatch");
    gateway.backend().saw_nothing();
    let short = gateway.assume(&[("DurationSeconds", "60")]).await;
    gateway.advance(60);
    form().send(&gateway, &short).await.is_error(400, "ExpiredToken");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn the_policies_of_the_signer_bind_a_form_too() {
    let gateway = Gateway::builder()
        .role("uploader", &allow("s3:PutObject", "arn:aws:s3:::bucket/mine/*"))
        .start()
        .await;
    let keys = gateway.role_session("uploader").await;
    form().send(&gateway, &keys).await.is_error(403, "AccessDenied");
    let acl = form().field("acl", "public-read").condition(r#"{"acl":"public-read"}"#);
    acl.send(&gateway, &keys).await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_form_brings_one_file_whose_checksum_is_right() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let mut two = form();
    two.after =
        "--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b\"\r\n\r\nb\r\n".into();
    two.send(&gateway, &keys).await.is_error(400, "InvalidArgument");
    let wrong =
        form().field("x-amz-checksum-crc32", "AAAAAA==").condition(r#"{"x-amz-checksum-crc32":"AAAAAA=="}"#);
    wrong.send(&gateway, &keys).await.is_error(400, "BadDigest");
    gateway.backend().saw_nothing();
    let mut after = form();
    after.after = "--frontier\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nUpload\r\n".into();
    assert_eq!(after.send(&gateway, &keys).await.status, 204);
}

#[tokio::test]
async fn a_body_that_is_no_form_is_malformed() {
    let gateway = Gateway::start().await;
    for (content_type, body) in [
        ("multipart/form-data", "x"),
        ("multipart/form-data; boundary=frontier", "x"),
        ("multipart/form-data; boundary=frontier", "--frontier\r\n\r\n"),
        ("multipart/form-data; boundary=frontier", "--frontier--\r\n"),
    ] {
        let head = format!(
            "POST /bucket HTTP/1.1\r\nhost: h\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let reply = raw(gateway.address(), head.as_bytes()).await;
        assert_eq!(reply.status, 400, "{body:?}: {}", reply.text());
    }
    let keys = gateway.session().await;
    let signed = call("POST", "/bucket")
        .header("content-type", "multipart/form-data; boundary=frontier")
        .body("--frontier--\r\n");
    gateway.send(&keys, signed).await.is_error(400, "InvalidArgument");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_file_that_is_being_read_is_given_up_when_memory_is_nearly_full() {
    let gateway = Gateway::builder().toml("[admin]\naddress = \"127.0.0.1:0\"\n").start().await;
    let keys = gateway.session().await;
    let mut form = form();
    form.file = vec![b'x'; 400_000];
    let bytes = form.bytes(&gateway, &keys, |_| {});
    let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
    socket.write_all(&bytes[..200_000]).await.unwrap();
    while !gateway.admin("GET", "/metrics", None, "").await.text().contains("daypass_requests_in_flight 1\n")
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    gateway.memory().pretend(98, 100);
    socket.write_all(&bytes[200_000..210_000]).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await;
    read.expect("an answer").unwrap();
    parse_reply(&answer).is_error(503, "SlowDown");
    gateway.backend().saw_nothing();
    gateway.memory().pretend(9 << 20, 100 << 20);
    assert_eq!(form.send(&gateway, &keys).await.status, 204);
    // What it brings counts itself, before anybody looks again.
    gateway.backend().forget();
    gateway.memory().pretend(100_000, 500_000);
    form.send(&gateway, &keys).await.is_error(503, "SlowDown");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_file_that_waits_for_its_rate_is_given_up_when_memory_is_nearly_full() {
    let limits = "[limits]\nsession_bytes_per_second = \"64KiB\"\nstall_timeout = \"300ms\"\n";
    let gateway = Gateway::builder().toml(limits).start().await;
    let keys = gateway.session().await;
    let mut form = form();
    form.file = vec![b'x'; 150_000];
    let started = std::time::Instant::now();
    assert_eq!(form.send(&gateway, &keys).await.status, 204);
    // 64 KiB of it are free; what it waits for is no stall.
    let took = started.elapsed();
    assert!((Duration::from_millis(1200)..Duration::from_secs(4)).contains(&took), "{took:?}");
    assert_eq!(gateway.backend().only_request().body, form.file);

    gateway.backend().forget();
    form.file = vec![b'x'; 800_000];
    let started = std::time::Instant::now();
    let full = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        gateway.memory().pretend(98, 100);
    };
    let (refused, ()) = tokio::join!(form.send(&gateway, &keys), full);
    refused.is_error(503, "SlowDown");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    gateway.backend().saw_nothing();
}
