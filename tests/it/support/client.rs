//! A client with its own SigV4 signer, written from the specification alone, in which every part can be bent.

use std::{net::SocketAddr, time::Duration};

use aws_lc_rs::{digest, hmac};
use daypass::clock::Timestamp;
use http::HeaderMap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A key pair, temporary if it has a token.
#[derive(Debug, Clone)]
pub struct Keys {
    pub access_key_id: String,
    pub secret: String,
    pub token: Option<String>,
}

impl Keys {
    pub fn long_term(access_key_id: &str, secret: &str) -> Self {
        Self { access_key_id: access_key_id.into(), secret: secret.into(), token: None }
    }
}

/// A request to be, with knobs.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    /// As on the wire.
    pub path: String,
    /// As on the wire, `name=value` pairs.
    pub query: Vec<String>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// `x-amz-content-sha256`; none: the hash of the body.
    pub payload: Option<String>,
    /// Headers that are sent but not signed.
    pub unsigned: Vec<String>,
    /// `Content-Length`; none: that of the body.
    pub content_length: Option<u64>,
    pub service: String,
    pub region: String,
    pub at: Timestamp,
    pub scope_date: Option<String>,
    pub host: Option<String>,
}

pub fn call(method: &str, path: &str) -> Call {
    Call {
        method: method.into(),
        path: path.into(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Vec::new(),
        payload: None,
        unsigned: Vec::new(),
        content_length: None,
        service: "s3".into(),
        region: "us-east-1".into(),
        at: super::NOW,
        scope_date: None,
        host: None,
    }
}

impl Call {
    pub fn query(mut self, pair: &str) -> Self {
        self.query.push(pair.into());
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn unsigned_header(mut self, name: &str, value: &str) -> Self {
        self.unsigned.push(name.to_ascii_lowercase());
        self.header(name, value)
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn payload(mut self, payload: &str) -> Self {
        self.payload = Some(payload.into());
        self
    }

    pub fn at(mut self, at: Timestamp) -> Self {
        self.at = at;
        self
    }

    pub fn region(mut self, region: &str) -> Self {
        self.region = region.into();
        self
    }

    pub fn service(mut self, service: &str) -> Self {
        self.service = service.into();
        self
    }

    fn scope(&self) -> String {
        let date = self.scope_date.clone().unwrap_or_else(|| self.at.scope_date());
        format!("{date}/{}/{}/aws4_request", self.region, self.service)
    }

    /// Signs in the `Authorization` header; gives the request's bytes and its signature.
    pub fn sign(&self, keys: &Keys, address: SocketAddr) -> Signed {
        let mut call = self.clone();
        let payload = call.payload.clone().unwrap_or_else(|| sha256_hex(&call.body));
        call.headers.insert(0, ("host".into(), call.host.clone().unwrap_or_else(|| address.to_string())));
        call.headers.push(("x-amz-date".into(), call.at.amz_date()));
        if call.service == "s3" {
            call.headers.push(("x-amz-content-sha256".into(), payload.clone()));
        }
        if let Some(token) = &keys.token {
            call.headers.push(("x-amz-security-token".into(), token.clone()));
        }
        let signed_names = call.signed_names();
        let canonical = call.canonical(&call.query, &signed_names, &payload);
        let signature = call.signature(keys, &canonical);
        call.headers.push((
            "authorization".into(),
            format!(
                "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={signature}",
                keys.access_key_id,
                call.scope(),
                signed_names.join(";"),
            ),
        ));
        Signed { signature, key: call.signing_key(keys), scope: call.scope(), call }
    }

    /// Signs in the query: a presigned URL.
    pub fn presign(&self, keys: &Keys, address: SocketAddr, expires: &str) -> Signed {
        let mut call = self.clone();
        call.headers.insert(0, ("host".into(), call.host.clone().unwrap_or_else(|| address.to_string())));
        let signed_names = call.signed_names();
        let credential = format!("{}/{}", keys.access_key_id, call.scope());
        call.query.push("X-Amz-Algorithm=AWS4-HMAC-SHA256".into());
        call.query.push(format!("X-Amz-Credential={}", encode(&credential)));
        call.query.push(format!("X-Amz-Date={}", call.at.amz_date()));
        call.query.push(format!("X-Amz-Expires={expires}"));
        call.query.push(format!("X-Amz-SignedHeaders={}", encode(&signed_names.join(";"))));
        if let Some(token) = &keys.token {
            call.query.push(format!("X-Amz-Security-Token={}", encode(token)));
        }
        let payload = call.payload.clone().unwrap_or_else(|| "UNSIGNED-PAYLOAD".into());
        let canonical = call.canonical(&call.query, &signed_names, &payload);
        let signature = call.signature(keys, &canonical);
        call.query.push(format!("X-Amz-Signature={signature}"));
        Signed { signature, key: call.signing_key(keys), scope: call.scope(), call }
    }

    fn signed_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .headers
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .filter(|name| !self.unsigned.contains(name))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn canonical(&self, query: &[String], signed_names: &[String], payload: &str) -> String {
        let mut pairs: Vec<String> = query
            .iter()
            .map(|pair| if pair.contains('=') { pair.clone() } else { format!("{pair}=") })
            .collect();
        // By name: `select` comes before `select-type`, which it does not with its equals sign.
        pairs.sort_by(|a, b| a.split('=').cmp(b.split('=')));
        let mut text = format!("{}\n{}\n{}\n", self.method, self.path, pairs.join("&"));
        for name in signed_names {
            let values: Vec<String> = self
                .headers
                .iter()
                .filter(|(header, _)| header.eq_ignore_ascii_case(name))
                .map(|(_, value)| {
                    value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
                })
                .collect();
            text.push_str(&format!("{name}:{}\n", values.join(",")));
        }
        text.push_str(&format!("\n{}\n{payload}", signed_names.join(";")));
        text
    }

    fn signature(&self, keys: &Keys, canonical: &str) -> String {
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{}",
            self.at.amz_date(),
            self.scope(),
            sha256_hex(canonical.as_bytes())
        );
        hex::encode(hmac_sha256(&self.signing_key(keys), to_sign.as_bytes()))
    }

    fn signing_key(&self, keys: &Keys) -> Vec<u8> {
        let scope = self.scope();
        let mut parts = scope.split('/');
        let mut next = || parts.next().unwrap_or_default().as_bytes().to_vec();
        let date = hmac_sha256(format!("AWS4{}", keys.secret).as_bytes(), &next());
        let region = hmac_sha256(&date, &next());
        let service = hmac_sha256(&region, &next());
        hmac_sha256(&service, &next())
    }
}

/// A signed request; its parts can still be changed.
#[derive(Debug, Clone)]
pub struct Signed {
    pub call: Call,
    pub signature: String,
    pub key: Vec<u8>,
    pub scope: String,
}

impl Signed {
    /// The body as signed chunks under this request's signature.
    pub fn with_signed_chunks(mut self, chunks: &[&[u8]], trailer: Option<(&str, &str)>) -> Self {
        let mut previous = self.signature.clone();
        let mut body = Vec::new();
        for chunk in chunks.iter().copied().chain([&[][..]]) {
            previous = self.chunk_signature(&previous, chunk);
            body.extend_from_slice(format!("{:x};chunk-signature={previous}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            if !chunk.is_empty() || trailer.is_none() {
                body.extend_from_slice(b"\r\n");
            }
        }
        if let Some((name, value)) = trailer {
            let to_sign = format!(
                "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{previous}\n{}",
                self.call.at.amz_date(),
                self.scope,
                sha256_hex(format!("{name}:{value}\n").as_bytes())
            );
            let signature = hex::encode(hmac_sha256(&self.key, to_sign.as_bytes()));
            body.extend_from_slice(
                format!("{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n\r\n").as_bytes(),
            );
        }
        self.call.body = body;
        self
    }

    fn chunk_signature(&self, previous: &str, chunk: &[u8]) -> String {
        let to_sign = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{previous}\n{EMPTY_SHA256}\n{}",
            self.call.at.amz_date(),
            self.scope,
            sha256_hex(chunk)
        );
        hex::encode(hmac_sha256(&self.key, to_sign.as_bytes()))
    }

    pub fn head(&self) -> Vec<u8> {
        let call = &self.call;
        let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query.join("&")) };
        let mut head = format!("{} {}{query} HTTP/1.1\r\n", call.method, call.path);
        for (name, value) in &call.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let names = |name: &str| call.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
        if !names("content-length") && !names("transfer-encoding") {
            let length = call.content_length.unwrap_or(call.body.len() as u64);
            if length > 0 || matches!(call.method.as_str(), "PUT" | "POST") {
                head.push_str(&format!("content-length: {length}\r\n"));
            }
        }
        head.push_str("connection: close\r\n\r\n");
        head.into_bytes()
    }

    pub async fn send(&self, address: SocketAddr) -> Reply {
        let mut bytes = self.head();
        bytes.extend_from_slice(&self.call.body);
        raw(address, &bytes).await
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The text of the first element of this name.
    pub fn element(&self, name: &str) -> Option<String> {
        let text = self.text();
        let start = text.find(&format!("<{name}>"))? + name.len() + 2;
        let end = text[start..].find(&format!("</{name}>"))? + start;
        Some(text[start..end].to_owned())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    #[track_caller]
    pub fn is_error(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.element("Code").as_deref()),
            (status, Some(code)),
            "answer: {}",
            self.text()
        );
    }

    #[track_caller]
    pub fn is_ok(&self) {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
    }
}

/// Sends bytes as they are and reads until the gateway closes. A reset after the answer is no failure: that is how a
/// server ends a connection whose request body it does not want.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> Reply {
    let answer = raw_bytes(address, bytes).await;
    parse_reply(&answer)
}

pub async fn raw_bytes(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let socket = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = socket.into_split();
    let bytes = bytes.to_vec();
    let writing = tokio::spawn(async move {
        let _ = writer.write_all(&bytes).await;
        writer
    });
    let mut answer = Vec::new();
    let reading = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read) = reader.read(&mut buffer).await {
            if read == 0 {
                break;
            }
            answer.extend_from_slice(&buffer[..read]);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the gateway answers and closes");
    drop(writing.await);
    answer
}

pub fn parse_reply(answer: &[u8]) -> Reply {
    // An interim `100 Continue` comes before the answer.
    let answer = answer.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(answer);
    let split = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(answer)));
    let head = String::from_utf8_lossy(&answer[..split]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(
            http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
            http::HeaderValue::from_str(value.trim()).unwrap(),
        );
    }
    let mut body = answer[split + 4..].to_vec();
    if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
        body = dechunk(&body);
    }
    Reply { status, headers, body }
}

fn dechunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap().trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
    whole
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// RFC 3986 encoding, as SigV4 wants it in queries.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
