//! An OpenID provider on a real socket, with keys of every kind, that answers as it is told and counts what it is asked. Its
//! tokens are signed by hand, so that every part can be bent.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use daypass::clock::Timestamp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A key pair of a provider.
pub struct SigningKey {
    pub kid: String,
    pub alg: &'static str,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Elliptic(EcdsaKeyPair, &'static str),
    Edwards(Ed25519KeyPair),
}

impl SigningKey {
    pub fn new(kid: &str, alg: &'static str) -> Self {
        Self::sized(kid, alg, KeySize::Rsa2048)
    }

    pub fn sized(kid: &str, alg: &'static str, size: KeySize) -> Self {
        let elliptic = |algorithm, curve| Pair::Elliptic(EcdsaKeyPair::generate(algorithm).unwrap(), curve);
        let pair = match alg {
            "ES256" => elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            "ES384" => elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            "ES512" => elliptic(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
            "EdDSA" => Pair::Edwards(Ed25519KeyPair::generate().unwrap()),
            _ => Pair::Rsa(Box::new(RsaKeyPair::generate(size).unwrap())),
        };
        Self { kid: kid.to_owned(), alg, pair }
    }

    pub fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Rsa(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "use": "sig", "kid": self.kid, "n": encode(&public.n), "e": encode(&public.e)})
            }
            Pair::Elliptic(pair, curve) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "use": "sig", "kid": self.kid, "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Pair::Edwards(pair) => {
                json!({"kty": "OKP", "use": "sig", "kid": self.kid, "crv": "Ed25519", "x": encode(pair.public_key().as_ref())})
            }
        }
    }

    /// The public key as it stands in a PEM file and as plain bytes: what somebody might take for an HMAC key.
    pub fn public_bytes(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Elliptic(pair, _) => pair.public_key().as_ref().to_vec(),
            Pair::Edwards(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    pub fn sign_bytes(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let encoding: &'static dyn signature::RsaEncoding = match alg {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut made = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut made).unwrap();
                made
            }
            Pair::Elliptic(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Edwards(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token of a header and claims as they are.
    pub fn token_of(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let made = self.sign_bytes(self.alg, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(made))
    }

    pub fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": self.alg, "kid": self.kid, "typ": "JWT"});
        self.token_of(&header.to_string(), &claims.to_string())
    }
}

/// What an answer is.
#[derive(Debug, Clone)]
pub struct Scripted {
    pub status: u16,
    pub body: String,
    pub headers: String,
    pub after: Duration,
}

impl Scripted {
    pub fn ok(body: impl Into<String>) -> Self {
        Self { status: 200, body: body.into(), headers: String::new(), after: Duration::ZERO }
    }

    pub fn status(status: u16) -> Self {
        Self { status, ..Self::ok("{}") }
    }
}

/// What it was asked: path and query, the head, the body.
#[derive(Debug, Clone)]
pub struct Asked {
    pub target: String,
    pub head: String,
    pub body: String,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, Scripted>,
    asked: Vec<Asked>,
    /// Nothing is answered at all.
    silent: bool,
}

/// The provider.
#[derive(Clone)]
pub struct Provider {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Provider {
    /// With these keys.
    pub async fn start(keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let provider = Self { address, state: Arc::default() };
        let issuer = provider.issuer();
        provider.answer(
            "/.well-known/openid-configuration",
            Scripted::ok(
                json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "introspection_endpoint": format!("{issuer}/introspect"),
                    "userinfo_endpoint": format!("{issuer}/userinfo")})
                .to_string(),
            ),
        );
        provider.keys(keys);
        let serving = provider.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(socket));
            }
        });
        provider
    }

    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `[[oidc]]` for it.
    pub fn toml(&self, name: &str) -> String {
        format!(
            "[[oidc]]\nname = \"{name}\"\nissuer = \"{}\"\nclient_ids = [\"daypass\"]\nallow_http = true\ntimeout = \"1s\"\n",
            self.issuer()
        )
    }

    pub fn keys(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        self.answer("/keys", Scripted::ok(json!({ "keys": keys }).to_string()));
    }

    pub fn answer(&self, path: &str, answer: Scripted) {
        self.state.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    pub fn be_silent(&self, silent: bool) {
        self.state.lock().unwrap().silent = silent;
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.requests().iter().filter(|asked| asked.target.split('?').next() == Some(path)).count()
    }

    pub fn requests(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Claims that are good at a time.
    pub fn claims(&self, now: Timestamp) -> Value {
        json!({"iss": self.issuer(), "sub": "alice", "aud": "daypass", "exp": now.unix() + 300, "iat": now.unix(), "groups": ["analysts"]})
    }

    async fn serve(self, mut socket: tokio::net::TcpStream) {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            let whole = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = whole.split_once("\r\n\r\n") else {
                match socket.read(&mut buffer).await {
                    Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
                    _ => return,
                }
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().to_owned())
                })
                .map_or(0, |length| length.parse().unwrap());
            if body.len() < length {
                match socket.read(&mut buffer).await {
                    Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
                    _ => return,
                }
                continue;
            }
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let path = target.split('?').next().unwrap_or_default().to_owned();
            let asked = Asked { target, head: head.to_owned(), body: body[..length].to_owned() };
            bytes.drain(..head.len() + 4 + length);
            let (answer, silent) = {
                let mut state = self.state.lock().unwrap();
                state.asked.push(asked);
                let answer = state.answers.get(&path).cloned().unwrap_or_else(|| Scripted::status(404));
                (answer, state.silent)
            };
            if silent {
                tokio::time::sleep(Duration::from_secs(30)).await;
                return;
            }
            tokio::time::sleep(answer.after).await;
            let reply = format!(
                "HTTP/1.1 {} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{}\r\n{}",
                answer.status,
                answer.body.len(),
                answer.headers,
                answer.body
            );
            if socket.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
