//! From a permit to the backend's reply.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{
    body::{Encoded, OutboundBody},
    client::{ExchangeError, Pool, Progress, Timeouts},
    connector::Connector,
    endpoint::{self, Chosen, Endpoint, RetryBudget},
    plan::{BodyForm, Link},
    upload::Upload,
};
use crate::{
    clock::{Clock, Timestamp},
    digest,
    outbound_tls::{self, TrustError},
    s3::{
        Permit,
        checksum::{Algorithm, Hasher},
        operation::Verb,
        profile::Profile,
    },
    secret::{AccessKeyId, SecretAccessKey},
    sigv4::{ChunkedEncoder, OutboundHead, PayloadHash, SigningKey, encode_component, encode_path, sign},
    telemetry::{metrics::BackendSeen, traces::Trace},
};

/// Where the backend is and with which keys.
#[derive(Debug, Clone)]
pub struct Settings {
    pub tls: bool,
    /// At least one; all have the same root keys and the same data.
    pub endpoints: Arc<[Arc<Endpoint>]>,
    pub retries: Arc<RetryBudget>,
    /// For the date of a request that is sent again.
    pub clock: Arc<dyn Clock>,
    pub region: String,
    pub profile: &'static Profile,
    pub access_key_id: AccessKeyId,
    pub secret_access_key: SecretAccessKey,
    /// The authorities that its certificate must come from; `None`: the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Nobody can change bytes on the way, even without TLS.
    pub trust_link: bool,
    pub timeouts: Timeouts,
    /// How exchanges end is counted there.
    pub seen: Arc<BackendSeen>,
}

/// The backend.
#[derive(Debug)]
pub struct Backend {
    settings: Settings,
    pool: Pool,
    connector: Connector,
    /// How many requests were sent: whose turn it is.
    sent: AtomicUsize,
    /// The root signing key of the day last used.
    signing_key: ArcSwapOption<(i64, SigningKey)>,
}

/// What goes out as the body.
#[derive(Debug)]
pub enum Outgoing {
    Nothing,
    /// A document, read and proven whole.
    Document(Bytes),
    /// An object of no bytes, proven to be that, with the checksum of its trailer.
    EmptyObject {
        trailer: Option<(HeaderName, HeaderValue)>,
    },
    /// An object, proven while it streams.
    Object {
        upload: Box<Upload>,
        /// What the client said of it.
        declared: PayloadHash,
        /// The checksum that its trailer will bring.
        trailer: Option<Algorithm>,
    },
}

/// How many headers of our own a request has.
const OURS: usize = 8;
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const X_AMZ_COPY_SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");
const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const X_AMZ_DECODED_CONTENT_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");
const X_AMZ_TRAILER: HeaderName = HeaderName::from_static("x-amz-trailer");
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("daypass/", env!("CARGO_PKG_VERSION")));

impl Outgoing {
    /// The same once more, where there is no body that could go out twice.
    fn again(&self) -> Option<Self> {
        match self {
            Self::Nothing => Some(Self::Nothing),
            Self::EmptyObject { trailer } => Some(Self::EmptyObject { trailer: trailer.clone() }),
            Self::Document(_) | Self::Object { .. } => None,
        }
    }
}

impl Backend {
    pub fn new(settings: Settings) -> Result<Self, TrustError> {
        let tls = outbound_tls::client_config(settings.ca_pem.as_deref())?;
        let connector = Connector::new(settings.timeouts.connect, tls, settings.endpoints.clone());
        let pool = Pool::new(settings.timeouts.clone(), connector.clone());
        let sent = AtomicUsize::new(0);
        Ok(Self { settings, pool, connector, sent, signing_key: ArcSwapOption::empty() })
    }

    pub fn root_access_key_id(&self) -> &str {
        self.settings.access_key_id.as_str()
    }

    pub fn timeouts(&self) -> &Timeouts {
        &self.settings.timeouts
    }

    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.settings.endpoints
    }

    /// Opens a connection to each address and sends nothing: what is wrong with those where none can be.
    pub async fn reach(&self) -> Vec<(String, Result<(), String>)> {
        let mut found = Vec::new();
        for endpoint in self.endpoints() {
            let address = format!("{}://{}", endpoint.scheme(), endpoint.authority());
            found.push((address.clone(), self.connector.clone().reach(&address).await));
        }
        found
    }

    /// Sends what was permitted and waits for the head of the reply. Sent a second time, elsewhere or anew, is only what has
    /// no body, and only when nothing of it went out or reading it twice changes nothing.
    pub async fn send(
        &self,
        permit: &Permit,
        outgoing: Outgoing,
        progress: &Progress,
        trace: Option<&Trace>,
        now: Timestamp,
    ) -> Result<Response<Incoming>, ExchangeError> {
        let turn = self.sent.fetch_add(1, Relaxed);
        if turn > 0 && turn.is_multiple_of(RetryBudget::REQUESTS) {
            self.settings.retries.earn();
        }
        let again = outgoing.again();
        let chosen = endpoint::choose(&self.settings.endpoints, turn, again.is_none());
        let chosen = chosen.ok_or(ExchangeError::Ejected)?;
        let error = match self.send_once(&chosen, permit, outgoing, progress, trace, now).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        let Some(again) = again else { return Err(error) };
        let Some(other) = self.after(chosen, turn, &error, permit.spec().method) else { return Err(error) };
        if !self.settings.retries.spend() {
            return Err(error);
        }
        self.settings.seen.sent_again();
        let now = self.settings.clock.now();
        Box::pin(self.send_once(&other, permit, again, &Progress::start(), trace, now)).await
    }

    /// Where a request without a body goes after it failed, if it may be sent again.
    fn after<'b>(
        &'b self,
        failed: Chosen<'b>,
        turn: usize,
        error: &ExchangeError,
        method: Verb,
    ) -> Option<Chosen<'b>> {
        let is_read = matches!(method, Verb::Get | Verb::Head);
        let broke_off = is_read && error.broke_off();
        if !broke_off && !matches!(error, ExchangeError::Connect(_)) {
            return None;
        }
        let other = endpoint::choose_other(&self.settings.endpoints, turn, failed.endpoint);
        // The same address only over another connection, and not where there is none.
        other.or_else(|| (broke_off && failed.endpoint.is_up()).then_some(failed))
    }

    async fn send_once(
        &self,
        chosen: &Chosen<'_>,
        permit: &Permit,
        outgoing: Outgoing,
        progress: &Progress,
        trace: Option<&Trace>,
        now: Timestamp,
    ) -> Result<Response<Incoming>, ExchangeError> {
        let upload = match &outgoing {
            Outgoing::Object { upload, .. } => Some(upload.verdict()),
            Outgoing::Nothing | Outgoing::Document(_) | Outgoing::EmptyObject { .. } => None,
        };
        let sends_body = matches!(outgoing, Outgoing::Object { .. } | Outgoing::Document(_));
        let endpoint = chosen.endpoint;
        let mut request =
            self.request(endpoint, permit, outgoing, now).map_err(ExchangeError::NotARequest)?;
        if let Some(trace) = trace {
            // Not signed: proxies on the way may write them anew.
            trace.write(request.headers_mut());
        }
        let sent = Instant::now();
        let reply = self.pool.exchange(request, progress, sent).await;
        let error = match &reply {
            Ok(reply) => {
                let now = Instant::now();
                endpoint.answered(now.into_std());
                self.settings.seen.answered(reply.status(), progress.waited(now));
                None
            }
            // An upload that failed a check was broken off by us.
            Err(_) if upload.as_ref().is_some_and(|upload| upload.failure().is_some()) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            if let Some(failure) = error.failure() {
                self.settings.seen.failed(failure);
            }
            // The connector tells of connections itself. A body that broke off may have been refused by an early answer.
            let no_answer = matches!(error, ExchangeError::FirstByte) || (!sends_body && error.broke_off());
            if no_answer {
                endpoint.gave_no_answer(sent.into_std(), Instant::now().into_std());
            }
        }
        reply
    }

    fn request(
        &self,
        endpoint: &Endpoint,
        permit: &Permit,
        outgoing: Outgoing,
        now: Timestamp,
    ) -> Result<Request<OutboundBody>, http::Error> {
        let path = permit.target().path();
        let path = match encode_path(&path) {
            Cow::Borrowed(_) => path,
            Cow::Owned(encoded) => encoded,
        };
        let mut headers = permit.headers().clone();
        headers.reserve(OURS);
        if let Some(source) = permit.copy_source() {
            headers.insert(X_AMZ_COPY_SOURCE, HeaderValue::from_str(&source.to_header())?);
        }
        headers.insert(header::HOST, endpoint.host().clone());
        headers.insert(header::USER_AGENT, USER_AGENT);
        headers.insert(X_AMZ_DATE, HeaderValue::try_from(now.amz_date())?);
        let form = self.describe(&outgoing, &mut headers)?;
        let payload = form.payload().clone();
        let hash = match payload.as_str() {
            Cow::Borrowed(text) => HeaderValue::from_static(text),
            Cow::Owned(text) => HeaderValue::try_from(text)?,
        };
        headers.insert(X_AMZ_CONTENT_SHA256, hash);

        let head = OutboundHead {
            method: permit.spec().method.as_str(),
            path: &path,
            query: permit.query(),
            headers: &headers,
            host: endpoint.authority(),
        };
        let key = self.key_of(now);
        let mut signed = sign(head, self.root_access_key_id(), &key, &self.settings.region, now, &payload);
        let authorization = std::mem::take(&mut signed.authorization);
        headers.insert(header::AUTHORIZATION, HeaderValue::try_from(authorization)?);

        let body = match (outgoing, form) {
            (Outgoing::Nothing | Outgoing::EmptyObject { .. }, _) => OutboundBody::empty(),
            (Outgoing::Document(bytes), _) => OutboundBody::Whole(bytes),
            (Outgoing::Object { upload, .. }, BodyForm::Plain(_)) => OutboundBody::Plain(upload),
            (Outgoing::Object { upload, .. }, BodyForm::Chunked { .. }) => {
                let encoder = ChunkedEncoder::new(&payload, signed.into_chunks(&key, &self.settings.region));
                let length = content_length(&headers);
                OutboundBody::Chunked(Box::new(Encoded::new(upload, encoder, length)))
            }
        };
        let mut request = Request::new(body);
        *request.method_mut() = permit.spec().method.to_http();
        *request.uri_mut() = endpoint.uri(path_and_query(path, permit.query()))?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The form of the body, and the headers that say so.
    fn describe(&self, outgoing: &Outgoing, headers: &mut HeaderMap) -> Result<BodyForm, http::Error> {
        let whole = |hash| BodyForm::Plain(PayloadHash::Sha256(hash));
        let (length, form) = match outgoing {
            Outgoing::Nothing => (0, whole(digest::EMPTY)),
            Outgoing::EmptyObject { trailer } => {
                if let Some((name, value)) = trailer {
                    headers.insert(name, value.clone());
                }
                (0, whole(digest::EMPTY))
            }
            Outgoing::Document(bytes) => {
                let mut md5 = Hasher::new(Algorithm::Md5);
                md5.update(bytes);
                headers.insert(CONTENT_MD5, HeaderValue::from_str(&md5.encode())?);
                (bytes.len() as u64, whole(digest::sha256(bytes)))
            }
            Outgoing::Object { upload, declared, trailer } => {
                let link = Link {
                    trusted: self.settings.tls || self.settings.trust_link,
                    refuses_short_bodies: self.settings.profile.refuses_short_bodies,
                    checksum_trailers: self.settings.profile.checksum_trailers,
                };
                let name = trailer.map(Algorithm::header);
                let form = BodyForm::choose(declared, name.as_ref(), link);
                let length = self.describe_upload(upload, &form, *trailer, headers)?;
                (length, form)
            }
        };
        let length = if length == 0 { HeaderValue::from_static("0") } else { HeaderValue::from(length) };
        headers.insert(header::CONTENT_LENGTH, length);
        Ok(form)
    }

    fn describe_upload(
        &self,
        upload: &Upload,
        form: &BodyForm,
        algorithm: Option<Algorithm>,
        headers: &mut HeaderMap,
    ) -> Result<u64, http::Error> {
        let BodyForm::Chunked { payload, trailer } = form else { return Ok(upload.length()) };
        headers.insert(X_AMZ_DECODED_CONTENT_LENGTH, HeaderValue::from(upload.length()));
        if self.settings.profile.checksum_trailers {
            let coding = match headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()) {
                Some(stored) => format!("aws-chunked,{stored}"),
                None => "aws-chunked".to_owned(),
            };
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_str(&coding)?);
        }
        let trailer =
            trailer.as_ref().zip(algorithm).map(|(name, algorithm)| (name, algorithm.encoded_length()));
        if let Some((name, _)) = trailer {
            headers.insert(X_AMZ_TRAILER, HeaderValue::from(name.clone()));
        }
        Ok(ChunkedEncoder::encoded_length(payload, upload.length(), trailer))
    }

    fn key_of(&self, now: Timestamp) -> SigningKey {
        let day = now.day();
        if let Some(kept) = &*self.signing_key.load()
            && kept.0 == day
        {
            return kept.1.clone();
        }
        let key = SigningKey::derive(&self.settings.secret_access_key, now, &self.settings.region, "s3");
        self.signing_key.store(Some(Arc::new((day, key.clone()))));
        key
    }
}

fn path_and_query(path: String, query: &[(Cow<'static, str>, String)]) -> String {
    let mut uri = path;
    for (index, (name, value)) in query.iter().enumerate() {
        uri.push(if index == 0 { '?' } else { '&' });
        uri.push_str(&encode_component(name));
        uri.push('=');
        uri.push_str(&encode_component(value));
    }
    uri
}

fn content_length(headers: &HeaderMap) -> u64 {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok())
        .unwrap_or_default()
}
