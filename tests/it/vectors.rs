//! The AWS signing test suite: requests that were signed elsewhere.

use std::{fs, path::Path, time::Duration};

use aws_lc_rs::digest;
use daypass::{
    clock::Timestamp,
    secret::SecretAccessKey,
    sigv4::{Claim, Error, RequestHead, Rules, SignedRequest, SigningKey},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// The suite is of a service that normalises paths. S3 does not: there these signatures are wrong, and a verifier that took
/// them would take one object for another.
const NOT_S3: [&str; 7] = [
    "get-relative-normalized",
    "get-relative-relative-normalized",
    "get-slash-dot-slash-normalized",
    "get-slash-normalized",
    "get-slash-pointless-dot-normalized",
    "get-slashes-normalized",
    // A token that was added after signing, which here must be signed.
    "post-sts-header-after",
];

struct Vector {
    method: Method,
    path: String,
    query: String,
    host: String,
    headers: HeaderMap,
    body: String,
}

/// Reads a request as the suite writes it.
fn read(text: &str) -> Vector {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let request_line = lines.next().unwrap();
    let (method, rest) = request_line.split_once(' ').unwrap();
    let target = rest.strip_suffix(" HTTP/1.1").unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut pairs: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with(' ') {
            // A folded line, which HTTP no longer has: its value is what an old server made of it.
            let (_, value) = pairs.last_mut().unwrap();
            value.push_str(&format!(" {}", line.trim()));
            continue;
        }
        let (name, value) = line.split_once(':').unwrap();
        pairs.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let host = pairs.iter().find(|(name, _)| name == "host").unwrap().1.clone();
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    Vector {
        method: method.parse().unwrap(),
        path: path.into(),
        query: query.into(),
        host,
        headers,
        body: body.into(),
    }
}

fn head(vector: &Vector) -> RequestHead<'_> {
    RequestHead {
        method: &vector.method,
        path: &vector.path,
        query: &vector.query,
        headers: &vector.headers,
        host: &vector.host,
    }
}

fn sha256(body: &str) -> [u8; 32] {
    digest::digest(&digest::SHA256, body.as_bytes()).as_ref().try_into().unwrap()
}

fn verify(claim: &impl Claim, context: &serde_json::Value, now: Timestamp) -> Result<(), Error> {
    let secret = SecretAccessKey::new(context["credentials"]["secret_access_key"].as_str().unwrap());
    let rules =
        Rules { regions: vec!["us-east-1".into()], service: "service", max_skew: Duration::from_secs(900) };
    let key = SigningKey::derive(&secret, now, "us-east-1", "service");
    claim.verify(&key, &rules, now).map(|_| ())
}

#[test]
fn the_vectors_of_aws_are_verified() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sigv4");
    let (mut verified, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let context = serde_json::from_str(&fs::read_to_string(path.join("context.json")).unwrap()).unwrap();
        let context: serde_json::Value = context;
        let now = Timestamp::parse_rfc3339(context["timestamp"].as_str().unwrap()).unwrap();

        let mut outcomes = Vec::new();
        let by_header = read(&fs::read_to_string(path.join("header-signed-request.txt")).unwrap());
        let header = SignedRequest::parse_sts(head(&by_header), sha256(&by_header.body))
            .and_then(|claim| verify(&claim, &context, now));

        outcomes.push(("header", header));

        let mut by_query = read(&fs::read_to_string(path.join("query-signed-request.txt")).unwrap());
        // The suite's service hashes the body of a presigned request too; S3 is told so by this header.
        let hash = hex::encode(sha256(&by_query.body));
        by_query.headers.insert("x-amz-content-sha256", HeaderValue::from_str(&hash).unwrap());
        let query = SignedRequest::parse(head(&by_query)).and_then(|claim| verify(&claim, &context, now));

        outcomes.push(("query", query));
        for (form, outcome) in outcomes {
            let expected = !NOT_S3.contains(&name.as_str());
            match outcome {
                Ok(()) if expected => verified += 1,
                Err(_) if !expected => {}
                other => wrong.push(format!("{name} ({form}): {other:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(verified >= 50, "{verified}");
}
