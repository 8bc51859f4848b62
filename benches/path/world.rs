//! The way of one request without its sockets: everything between the head that came and the head that goes.

use std::{net::IpAddr, sync::Arc, time::Duration};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, sign as client_sign,
    },
    sign::v4,
};
use daypass::{
    clock::Timestamp,
    config,
    credentials::{Authenticated, Authority, Grant, Origin, SessionStore, SessionTags, TemporaryCredentials},
    s3::{
        Arrival, Call, Described, Permit, Place, PublicHosts, Subject, Target, authorize, profile::Profile,
    },
    secret::SecretAccessKey,
    sigv4::{
        ChunkSigner, Claim as _, OutboundHead, PayloadHash, RequestHead, Rules, SignedOutbound,
        SignedRequest, SigningKey, encode_path, sign,
    },
};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

pub(crate) const NOW: Timestamp = Timestamp::from_unix(1_795_435_200);
const HOST: &str = "127.0.0.1:9000";
const PATH: &str = "/bench/folder/object-of-1-kib";
const ROOT: &str = "root-secret-root-secret-root-secret-1234";

/// A gateway's state with one live session, and a request of it.
pub(crate) struct World {
    pub(crate) sessions: SessionStore,

    keys: TemporaryCredentials,
    method: Method,
    headers: HeaderMap,
    place: Place,
    rules: Rules,
    profile: &'static Profile,
    root_key: SigningKey,
}

/// Of a gateway before this storage, with more in its file.
pub(crate) fn configuration(storage: &str, more: &str) -> config::Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daypass.toml");
    // Ten statements, of which two can match.
    let mut statements: Vec<String> = (0..8)
        .map(|n| {
            format!(r#"{{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::other-{n}/*"}}"#)
        })
        .collect();
    statements.push(r#"{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::payroll/*"}"#.to_owned());
    statements.push(r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#.to_owned());
    let text = format!(
        r#"
[listen]
address = "127.0.0.1:0"
[backend]
endpoint = "{storage}"
profile = "minio"
trust_link = true
access_key_id = "ROOTROOTROOTROOT0001"
secret_access_key = "{ROOT}"
[sts]
sealing_keys = "0a0b0c0d:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
[[policy]]
name = "ten"
document = '''{{"Version":"2012-10-17","Statement":[{}]}}'''
[[user]]
name = "bench"
access_key_id = "DAYPASSBENCH00000001"
secret_access_key = "bench-secret-bench-secret-bench-secret-1"
policies = ["ten"]
roles = ["reader"]
[[role]]
name = "reader"
policies = ["ten"]
{more}
"#,
        statements.join(",")
    );
    std::fs::write(&file, text).unwrap();
    config::load(&file, &|_| None).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        let sessions = Self::store(64 << 20);
        let keys = sessions.mint(Self::grant(), NOW).unwrap();
        let headers = signed_by_client(&keys, "GET", EMPTY);
        Self {
            sessions,

            keys,
            method: Method::GET,
            headers,
            place: PublicHosts::new(Vec::new()).place(HOST).unwrap(),
            rules: Rules {
                regions: vec!["us-east-1".to_owned()],
                service: "s3",
                max_skew: Duration::from_secs(900),
            },
            profile: Profile::named("minio").unwrap(),
            root_key: SigningKey::derive(&SecretAccessKey::new(ROOT), NOW, "us-east-1", "s3"),
        }
    }

    /// A store under the same keys that has seen no session.
    pub(crate) fn another_replica() -> SessionStore {
        Self::store(64 << 20)
    }

    /// One that keeps none.
    pub(crate) fn forgetful() -> SessionStore {
        Self::store(0)
    }

    /// One that keeps millions.
    pub(crate) fn roomy() -> SessionStore {
        Self::store(8 << 30)
    }

    fn store(capacity: u64) -> SessionStore {
        let config = configuration("http://127.0.0.1:9002", "");
        SessionStore::new(config.keyring, Arc::new(config.principals), capacity)
    }

    /// A whole request of the session, its body of so many bytes unsigned.
    pub(crate) fn wire(&self, method: &str, body: usize) -> Vec<u8> {
        let payload = if body == 0 { EMPTY } else { "UNSIGNED-PAYLOAD" };
        let mut wire = format!("{method} {PATH} HTTP/1.1\r\n").into_bytes();
        for (name, value) in &signed_by_client(&self.keys, method, payload) {
            wire.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        if body > 0 {
            wire.extend(format!("content-length: {body}\r\n").into_bytes());
        }
        wire.extend(b"\r\n");
        wire.resize(wire.len() + body, 7);
        wire
    }

    pub(crate) fn grant() -> Grant {
        Grant {
            origin: Origin::User("bench".into()),
            authority: Authority::Own,
            session_policy: None,
            tags: SessionTags::default(),
            expires_at: Timestamp::from_unix(NOW.unix() + 3600),
        }
    }

    pub(crate) fn parse(&self) -> SignedRequest<'_> {
        self.parse_of(&self.headers)
    }

    /// The same request as other headers say it.
    pub(crate) fn parse_of<'h>(&'h self, headers: &'h HeaderMap) -> SignedRequest<'h> {
        let head = RequestHead { method: &self.method, path: PATH, query: "", headers, host: HOST };
        SignedRequest::parse(head).unwrap()
    }

    /// The headers of the same request, signed with other keys.
    #[expect(clippy::unused_self, reason = "it is a request to this world")]
    pub(crate) fn of(&self, keys: &TemporaryCredentials) -> HeaderMap {
        signed_by_client(keys, "GET", EMPTY)
    }

    pub(crate) fn authenticate(&self, signed: &SignedRequest<'_>) -> Authenticated {
        self.authenticate_at(&self.sessions, signed)
    }

    pub(crate) fn authenticate_at(
        &self,
        sessions: &SessionStore,
        signed: &SignedRequest<'_>,
    ) -> Authenticated {
        // Nothing is waited for: the session is in the cache or in the token.
        sessions.authenticate_s3(signed, &self.rules, NOW).now_or_never().unwrap().unwrap()
    }

    pub(crate) fn classify(&self, signed: &SignedRequest<'_>) -> Call {
        let target = Target::read(&self.place, PATH, self.profile).unwrap();
        Call::classify(&self.method, target, signed.operation_parameters(), &self.headers).unwrap()
    }

    pub(crate) fn authorize(&self, call: Call, signed: &SignedRequest<'_>, caller: &Authenticated) -> Permit {
        let signature = caller.signature();
        let subject = Subject {
            principal: caller.principal(),
            policies: caller.policies(),
            profile: self.profile,
            arrival: Arrival {
                address: IpAddr::from([127, 0, 0, 1]),
                tls: false,
                now: NOW,
                mechanism: signature.mechanism(),
                signed_at: signed.signed_at(),
                region: signed.scope().region,
                payload: signature.payload(),
            },
        };
        authorize(call, &self.headers, &Described::default(), subject).unwrap()
    }

    pub(crate) fn resign(&self, permit: &Permit) -> SignedOutbound {
        let path = encode_path(&permit.target().path()).into_owned();
        let mut headers = permit.headers().clone();
        let payload = PayloadHash::parse(EMPTY).unwrap();
        headers.insert(http::header::HOST, HeaderValue::from_static("127.0.0.1:9002"));
        headers.insert("x-amz-date", HeaderValue::try_from(NOW.amz_date()).unwrap());
        headers.insert("x-amz-content-sha256", HeaderValue::from_static(EMPTY));
        let head = OutboundHead {
            method: permit.spec().method.as_str(),
            path: &path,
            query: permit.query(),
            headers: &headers,
            host: "127.0.0.1:9002",
        };
        sign(head, "ROOTROOTROOTROOT0001", &self.root_key, "us-east-1", NOW, &payload)
    }

    /// What goes on with the chunks of a body.
    pub(crate) fn chunk_signer(&self, permit: &Permit) -> ChunkSigner {
        self.resign(permit).into_chunks(&self.root_key, "us-east-1")
    }

    /// From the head that came to the signature of the head that goes.
    #[inline(never)]
    pub(crate) fn request(&self) -> SignedOutbound {
        let signed = self.parse();
        let caller = self.authenticate(&signed);
        let call = self.classify(&signed);
        let permit = self.authorize(call, &signed, &caller);
        self.resign(&permit)
    }
}

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// As the SDKs sign.
fn signed_by_client(keys: &TemporaryCredentials, method: &str, payload: &str) -> HeaderMap {
    let credentials = Credentials::new(
        keys.access_key_id.as_str(),
        keys.secret_access_key.expose(),
        Some(keys.session_token.expose().to_owned()),
        None,
        "bench",
    );
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(std::time::UNIX_EPOCH + Duration::from_secs(NOW.unix().unsigned_abs()))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let own = [("host", HOST), ("x-amz-content-sha256", payload)];
    let uri = format!("http://{HOST}{PATH}");
    let body = SignableBody::Precomputed(payload.to_owned());
    let request = SignableRequest::new(method, uri, own.into_iter(), body).unwrap();
    let (instructions, _) = client_sign(request, &parameters).unwrap().into_parts();
    let mut headers = HeaderMap::new();
    for (name, value) in own.into_iter().chain(instructions.headers()) {
        headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}
