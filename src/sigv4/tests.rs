use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
        SigningSettings, UriPathNormalizationMode, sign as oracle_sign,
    },
    sign::v4,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use proptest::prelude::*;

use super::*;
use crate::{clock::Timestamp, secret::SecretAccessKey};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const HOST: &str = "examplebucket.s3.amazonaws.com";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn documented_day() -> Timestamp {
    Timestamp::parse_amz_date("20130524T000000Z").unwrap()
}

fn key(on: Timestamp) -> SigningKey {
    SigningKey::derive(&SecretAccessKey::new(SECRET), on, "us-east-1", "s3")
}

fn rules() -> Rules {
    Rules { regions: vec!["us-east-1".to_owned()], service: "s3", max_skew: Duration::from_secs(900) }
}

fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
    list.iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

struct Sent {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    host: String,
}

impl Sent {
    fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            host: &self.host,
        }
    }

    fn verify(&self, now: Timestamp) -> Result<VerifiedSignature, Error> {
        let signed = SignedRequest::parse(self.head())?;
        // As the credential store does: another access key id is another key.
        if signed.access_key_id() != ACCESS_KEY_ID {
            return Err(signed.verify_against_nobody(&rules(), now));
        }
        signed.verify(&key(now), &rules(), now)
    }
}

fn sent(method: Method, path: &str, query: &str, list: &[(&'static str, &str)]) -> Sent {
    Sent {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers(list),
        host: HOST.to_owned(),
    }
}

fn authorization(signed_headers: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed_headers},Signature={signature}"
    )
}

/// The worked examples of "Authenticating Requests: Using the Authorization Header" in AWS's S3 API reference.
fn documented_examples() -> Vec<Sent> {
    let get = authorization(
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
    let put = authorization(
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
    let lifecycle = authorization(
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    );
    let list = authorization(
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    );
    let empty = ("x-amz-content-sha256", EMPTY);
    let date = ("x-amz-date", "20130524T000000Z");
    vec![
        sent(Method::GET, "/test.txt", "", &[("authorization", &get), ("range", "bytes=0-9"), empty, date]),
        sent(
            Method::PUT,
            "/test%24file.text",
            "",
            &[
                ("authorization", &put),
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                date,
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                ("x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
            ],
        ),
        sent(Method::GET, "/", "lifecycle", &[("authorization", &lifecycle), empty, date]),
        sent(Method::GET, "/", "max-keys=2&prefix=J", &[("authorization", &list), empty, date]),
    ]
}

fn documented_presigned() -> Sent {
    let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
        &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
        &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    sent(Method::GET, "/test.txt", query, &[])
}

#[test]
fn the_examples_of_the_s3_api_reference_are_verified() {
    for example in documented_examples() {
        example.verify(documented_day()).unwrap();
    }
    documented_presigned().verify(documented_day()).unwrap();
}

#[test]
fn a_mismatch_shows_what_was_computed_from_the_clients_own_request() {
    let mut example = documented_examples().remove(0);
    example.headers.insert("range", HeaderValue::from_static("bytes=0-8"));
    let Err(Error::SignatureDoesNotMatch(mismatch)) = example.verify(documented_day()) else {
        panic!("must not match")
    };
    assert_eq!(
        mismatch.canonical_request,
        format!(
            "GET\n/test.txt\n\nhost:{HOST}\nrange:bytes=0-8\nx-amz-content-sha256:{EMPTY}\nx-amz-date:20130524T000000Z\n\n\
             host;range;x-amz-content-sha256;x-amz-date\n{EMPTY}"
        )
    );
    assert!(
        mismatch
            .string_to_sign
            .starts_with("AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n")
    );
    assert_eq!(mismatch.access_key_id, ACCESS_KEY_ID);
}

#[test]
fn a_signature_that_is_not_64_lower_case_digits_does_not_match() {
    let right = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
    for wrong in [&right[..63], &format!("{right}0"), &right.to_uppercase(), &right.replace('f', "g"), ""] {
        let mut example = documented_examples().remove(0);
        let header = authorization("host;range;x-amz-content-sha256;x-amz-date", wrong);
        example.headers.insert("authorization", HeaderValue::from_str(&header).unwrap());
        assert_eq!(example.verify(documented_day()).unwrap_err().code(), "SignatureDoesNotMatch", "{wrong}");
    }
}

#[test]
fn the_time_of_a_request_may_lie_fifteen_minutes_off_and_no_more() {
    let now = documented_day();
    for (seconds, good) in [(900, true), (901, false)] {
        let off = Duration::from_secs(seconds);
        let example = documented_examples().remove(0);
        assert_eq!(example.verify(now.plus(off)).is_ok(), good, "{seconds} seconds late");
        // Going back would change the day of the signing key; the time is checked before the signature.
        let refused = example.verify(now.minus(off)).unwrap_err().code();
        assert_eq!(refused == "RequestTimeTooSkewed", !good, "{seconds} seconds early");
    }
}

#[test]
fn a_presigned_url_ends_when_it_says() {
    let url = documented_presigned();
    let end = documented_day().plus(Duration::from_secs(86_400));
    let verify = |now: Timestamp| {
        SignedRequest::parse(url.head()).unwrap().verify(&key(documented_day()), &rules(), now)
    };
    verify(end.minus(Duration::from_secs(1))).unwrap();
    assert!(matches!(verify(end), Err(Error::Expired { .. })));
    let too_early = documented_day().minus(Duration::from_secs(901));
    assert!(matches!(verify(too_early), Err(Error::NotYetValid { .. })));
}

#[test]
fn every_x_amz_header_and_host_must_be_signed() {
    for name in ["x-amz-acl", "x-amz-copy-source", "x-amz-meta-a", "x-amz-tagging", "x-amz-unheard-of"] {
        for mut example in documented_examples().into_iter().chain([documented_presigned()]) {
            example.headers.insert(name, HeaderValue::from_static("x"));
            match example.verify(documented_day()).unwrap_err() {
                Error::HeadersNotSigned(names) => assert_eq!(names, [name]),
                other => panic!("{name}: {other}"),
            }
        }
    }
    let mut example = documented_examples().remove(2);
    let header = authorization("x-amz-content-sha256;x-amz-date", &"0".repeat(64));
    example.headers.insert("authorization", HeaderValue::from_str(&header).unwrap());
    assert!(
        matches!(example.verify(documented_day()), Err(Error::HeadersNotSigned(names)) if names == ["host"])
    );
}

#[test]
fn signed_headers_is_a_sorted_list_of_lower_case_names_that_are_there() {
    for list in [
        "",
        "host;",
        ";host",
        "host;host",
        "x-amz-date;host",
        "Host;x-amz-date",
        "host;x-amz-date;x-not-there",
    ] {
        let mut example = documented_examples().remove(2);
        let header = authorization(list, &"0".repeat(64));
        example.headers.insert("authorization", HeaderValue::from_str(&header).unwrap());
        example.headers.insert("x-amz-date", HeaderValue::from_static("20130524T000000Z"));
        assert_eq!(
            example.verify(documented_day()).unwrap_err().code(),
            "AuthorizationHeaderMalformed",
            "{list}"
        );
    }
}

#[test]
fn malformed_authorization_headers_are_refused_with_awss_codes() {
    let scope = "20130524/us-east-1/s3/aws4_request";
    let rest = format!("SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={}", "0".repeat(64));
    for (header, code) in [
        (format!("AWS4-HMAC-SHA256 Credential=A/{scope}, {rest}, {rest}"), "AuthorizationHeaderMalformed"),
        (format!("AWS4-HMAC-SHA256 Credential=A/{scope}, {rest}, X=y"), "AuthorizationHeaderMalformed"),
        (format!("AWS4-HMAC-SHA256 {rest}"), "AuthorizationHeaderMalformed"),
        (format!("AWS4-HMAC-SHA256 Credential=A/{scope}"), "AuthorizationHeaderMalformed"),
        (format!("AWS4-HMAC-SHA256 Credential=A/b/{scope}, {rest}"), "AuthorizationHeaderMalformed"),
        (format!("AWS4-HMAC-SHA256 Credential={scope}, {rest}"), "AuthorizationHeaderMalformed"),
        (format!("AWS4-HMAC-SHA256 Credential=/{scope}, {rest}"), "AuthorizationHeaderMalformed"),
        (
            format!("AWS4-HMAC-SHA256 Credential=A/20130525/us-east-1/s3/aws4_request, {rest}"),
            "AuthorizationHeaderMalformed",
        ),
        (
            format!("AWS4-HMAC-SHA256 Credential=A/2013524/us-east-1/s3/aws4_request, {rest}"),
            "AuthorizationHeaderMalformed",
        ),
        (
            format!("AWS4-HMAC-SHA256 Credential=A/20130524/eu-west-1/s3/aws4_request, {rest}"),
            "AuthorizationHeaderMalformed",
        ),
        (
            format!("AWS4-HMAC-SHA256 Credential=A/20130524/us-east-1/sts/aws4_request, {rest}"),
            "AuthorizationHeaderMalformed",
        ),
        (
            format!("AWS4-HMAC-SHA256 Credential=A/20130524/us-east-1/s3/aws5_request, {rest}"),
            "AuthorizationHeaderMalformed",
        ),
        (format!("aws4-hmac-sha256 Credential=A/{scope}, {rest}"), "InvalidRequest"),
        (format!("AWS4-HMAC-SHA1 Credential=A/{scope}, {rest}"), "InvalidRequest"),
        (format!("AWS4-ECDSA-P256-SHA256 Credential=A/{scope}, {rest}"), "InvalidRequest"),
        ("AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=".to_owned(), "InvalidRequest"),
        ("Bearer abc".to_owned(), "InvalidRequest"),
        (String::new(), "InvalidRequest"),
    ] {
        let mut example = documented_examples().remove(2);
        example.headers.insert("authorization", HeaderValue::from_str(&header).unwrap());
        assert_eq!(example.verify(documented_day()).unwrap_err().code(), code, "{header}");
    }
}

#[test]
fn exactly_one_mechanism_signs() {
    let mut both = documented_presigned();
    both.headers = documented_examples().remove(2).headers;
    assert_eq!(both.verify(documented_day()).unwrap_err().code(), "InvalidArgument");
    let mut twice = documented_examples().remove(2);
    let again = twice.headers["authorization"].clone();
    twice.headers.append("authorization", again);
    assert_eq!(twice.verify(documented_day()).unwrap_err().code(), "InvalidArgument");
    let mut none = documented_examples().remove(2);
    none.headers.remove("authorization");
    assert!(matches!(none.verify(documented_day()), Err(Error::MissingCredentials)));
}

#[test]
fn each_parameter_of_a_presigned_url_is_needed_once_and_rightly_spelled() {
    let whole = documented_presigned().query;
    let parameters: Vec<&str> = whole.split('&').collect();
    for (index, parameter) in parameters.iter().enumerate() {
        let without: Vec<&str> =
            parameters.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, p)| *p).collect();
        for query in [
            without.join("&"),
            format!("{whole}&{parameter}"),
            format!("{whole}&{}", parameter.to_lowercase()),
        ] {
            let mut url = documented_presigned();
            url.query = query;
            let refused = url.verify(documented_day()).unwrap_err();
            assert_eq!(refused.code(), "AuthorizationQueryParametersError", "{parameter}: {refused}");
        }
    }
    for expires in
        ["0", "-1", "1.5", "abc", "", "604801", "9223372036854775808", "99999999999999999999", "+60"]
    {
        let mut url = documented_presigned();
        url.query = whole.replace("X-Amz-Expires=86400", &format!("X-Amz-Expires={expires}"));
        assert_eq!(
            url.verify(documented_day()).unwrap_err().code(),
            "AuthorizationQueryParametersError",
            "{expires}"
        );
    }
}

#[test]
fn a_payload_hash_is_needed_and_must_be_of_a_known_form() {
    let mut example = documented_examples().remove(2);
    example.headers.remove("x-amz-content-sha256");
    assert!(matches!(example.verify(documented_day()), Err(Error::MissingPayloadHash)));
    for odd in ["", "STREAMING-UNHEARD-OF", "abc", &EMPTY.to_uppercase()] {
        let mut example = documented_examples().remove(2);
        example.headers.insert("x-amz-content-sha256", HeaderValue::from_str(odd).unwrap());
        assert!(matches!(example.verify(documented_day()), Err(Error::InvalidPayloadHash)), "{odd}");
    }
    let mut changed = documented_examples().remove(2);
    changed.headers.insert("x-amz-content-sha256", HeaderValue::from_static("UNSIGNED-PAYLOAD"));
    assert_eq!(changed.verify(documented_day()).unwrap_err().code(), "SignatureDoesNotMatch");
}

/// What aws-sigv4 makes of a request.
fn signed_by_oracle(
    method: &str,
    uri: &str,
    list: &[(String, String)],
    token: Option<&str>,
    location: SignatureLocation,
    now: Timestamp,
) -> Sent {
    let identity = Credentials::new(ACCESS_KEY_ID, SECRET, token.map(str::to_owned), None, "test").into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.signature_location = location;
    settings.expires_in = (location == SignatureLocation::QueryParams).then(|| Duration::from_secs(60));
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(now.system_time())
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let body = if location == SignatureLocation::QueryParams {
        SignableBody::UnsignedPayload
    } else {
        SignableBody::Bytes(b"body")
    };
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in list {
        request = request.header(name, value);
    }
    let mut request = request.body(()).unwrap();
    let signable = SignableRequest::new(
        method,
        uri,
        list.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        body,
    )
    .unwrap();
    let (instructions, _) = oracle_sign(signable, &parameters).unwrap().into_parts();
    instructions.apply_to_request_http1x(&mut request);
    let (parts, ()) = request.into_parts();
    Sent {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        host: parts.uri.authority().unwrap().to_string(),
    }
}

prop_compose! {
    fn odd_request()(
        method in prop::sample::select(vec!["GET", "PUT", "POST", "DELETE", "HEAD"]),
        key in "[a-zA-Z0-9 +%&=?#~!*'();:@,$/._é中-]{0,24}",
        query in prop::collection::vec(("[a-zA-Z-]{1,8}", "[a-zA-Z0-9 +%/&=~é]{0,8}"), 0..4),
        meta in prop::collection::btree_map("[a-z]{1,6}", "[a-zA-Z0-9][a-zA-Z0-9  ,;=]{0,12}", 0..4),
        token in prop::option::of("[a-zA-Z0-9+/=]{4,40}"),
    ) -> (String, String, Vec<(String, String)>, Option<String>) {
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{}={}", encode_component(name), encode_component(value))).collect();
        let mut uri = format!("http://example.org/bucket/{}", encode_path(&key));
        if !query.is_empty() {
            uri = format!("{uri}?{}", query.join("&"));
        }
        let list = meta.into_iter().map(|(name, value)| (format!("x-amz-meta-{name}"), value)).collect();
        (method.to_owned(), uri, list, token)
    }
}

fn flip(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = at % bytes.len();
    // Another letter of the same kind, so that it still parses.
    bytes[at] = match bytes[at] {
        b'a'..=b'y' | b'A'..=b'Y' | b'0'..=b'8' => bytes[at] + 1,
        b'z' => b'a',
        b'Z' => b'A',
        b'9' => b'0',
        other => other,
    };
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn whatever_aws_sigv4_signs_is_verified_and_any_flipped_byte_is_refused(
        (method, uri, list, token) in odd_request(),
        in_query in any::<bool>(),
        at in any::<prop::sample::Index>(),
    ) {
        let now = documented_day();
        let location = if in_query { SignatureLocation::QueryParams } else { SignatureLocation::Headers };
        let good = signed_by_oracle(&method, &uri, &list, token.as_deref(), location, now);
        let verified = good.verify(now);
        prop_assert!(verified.is_ok(), "{uri}: {}", verified.unwrap_err());

        let mut bent = Sent { headers: good.headers.clone(), method: good.method.clone(), path: good.path.clone(), query: good.query.clone(), host: good.host.clone() };
        bent.path = format!("/{}", flip(&good.path[1..], at.index(good.path.len())));
        if bent.path != good.path {
            prop_assert!(bent.verify(now).is_err(), "path {}", bent.path);
        }
        bent.path.clone_from(&good.path);
        bent.method = if good.method == Method::GET { Method::DELETE } else { Method::GET };
        prop_assert!(bent.verify(now).is_err());
        bent.method = good.method.clone();
        bent.host = flip(&good.host, at.index(good.host.len()));
        prop_assert!(bent.host == good.host || bent.verify(now).is_err());
        bent.host.clone_from(&good.host);
        if !good.query.is_empty() {
            bent.query = flip(&good.query, at.index(good.query.len()));
            let same_reading = decode_query(&bent.query).ok() == decode_query(&good.query).ok();
            prop_assert!(same_reading || bent.verify(now).is_err(), "query {}", bent.query);
            bent.query.clone_from(&good.query);
        }
        for (name, value) in &good.headers {
            let value = value.to_str().unwrap();
            let flipped = flip(value, at.index(value.len().max(1)));
            if flipped != value {
                bent.headers.insert(name, HeaderValue::from_str(&flipped).unwrap());
                prop_assert!(bent.verify(now).is_err(), "{name}: {flipped}");
                bent.headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        prop_assert!(bent.verify(now).is_ok());
    }

    #[test]
    fn what_we_sign_is_what_aws_sigv4_signs((method, uri, list, _) in odd_request()) {
        let now = documented_day();
        let oracle = signed_by_oracle(&method, &uri, &list, None, SignatureLocation::Headers, now);
        let mut headers = oracle.headers.clone();
        headers.remove("authorization");
        let pairs: Vec<_> = decode_query(&oracle.query).unwrap().into_iter()
            .map(|(name, value)| (name.into_owned().into(), value.into_owned())).collect();
        let payload = PayloadHash::parse(headers["x-amz-content-sha256"].to_str().unwrap()).unwrap();
        let head = OutboundHead { method: &method, path: &oracle.path, query: &pairs, headers: &headers, host: &oracle.host };
        let ours = sign(head, ACCESS_KEY_ID, &key(now), "us-east-1", now, &payload);
        prop_assert_eq!(ours.authorization, oracle.headers["authorization"].to_str().unwrap());
    }

    #[test]
    fn arbitrary_authorization_headers_and_queries_never_panic(header in "[ -~]{0,120}", query in "[ -~]{0,120}") {
        let mut request = sent(Method::GET, "/", &query, &[("x-amz-content-sha256", EMPTY), ("x-amz-date", "20130524T000000Z")]);
        request.headers.insert("authorization", HeaderValue::from_str(&header).unwrap());
        prop_assert!(request.verify(documented_day()).is_err());
        request.headers.remove("authorization");
        prop_assert!(request.verify(documented_day()).is_err());
    }
}
