//! The straight line from a request to its answer.
//!
//! `Gateway::s3` is the whole way of an S3 request; each step takes what only the step before it can make.

pub mod admin;
mod audited;
mod bucket_list;
mod lasting;
mod objects;
mod post_form;
mod record;
mod reply;
mod request_body;
mod request_id;
pub mod revocation_api;
mod route;
mod s3_errors;
mod status;
mod turned_away;
mod valve;

use std::{borrow::Cow, ops::Deref, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header, request::Parts,
};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use self::{
    audited::Asking,
    record::{Decision, Record},
    request_body::{BodyLimits, RequestBody},
    route::Route,
    turned_away::unclean,
};
pub use self::{
    lasting::Lasting,
    reply::{ReplyBody, ReplyError},
    status::Status,
};
use crate::{
    audit::Service,
    backend::{Backend, owner::ShownOwner},
    clock::Timestamp,
    credentials::{Authenticated, SessionStore},
    s3::{
        Arrival, Call, ErrorCode, Place, PublicHosts, S3Error, Subject, Target, authorize, operation::Kind,
        profile::Profile, refuse_public,
    },
    server::{
        Peer, Unproven,
        hygiene::{self, CleanHead, HeadLimits},
    },
    sigv4::{Claim, RequestHead, Rules, SignedRequest},
    sts,
    telemetry::metrics::ThrottleCause,
};

/// What the gateway goes by.
#[derive(Debug)]
pub struct Settings {
    pub hosts: PublicHosts,
    pub profile: &'static Profile,
    /// The regions that S3 signatures may name.
    pub regions: Vec<String>,
    pub max_skew: Duration,
    pub max_uri: usize,
    pub max_head_size: usize,
    pub max_object_size: u64,
    /// ACLs and bucket policies may let everybody in at the backend.
    pub allow_public: bool,
    /// How long a body may not move, in either direction.
    pub stall_timeout: Duration,
}

/// What all workers have in common under one configuration.
#[derive(Debug)]
pub struct Shared {
    settings: Settings,
    rules: Rules,
    sessions: Arc<SessionStore>,
    sts: sts::Service,
    lasting: Arc<Lasting>,
}

impl Shared {
    pub fn new(
        settings: Settings,
        sessions: Arc<SessionStore>,
        sts: sts::Service,
        lasting: Arc<Lasting>,
    ) -> Self {
        let rules = Rules { regions: settings.regions.clone(), service: "s3", max_skew: settings.max_skew };
        Self { settings, rules, sessions, sts, lasting }
    }
}

/// Answers requests under one configuration. Each worker has one, with its own pool to the backend; a request keeps the one
/// that it began with to its end.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    backend: Arc<Backend>,
}

impl Deref for Gateway {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Gateway {
    pub fn new(shared: Arc<Shared>, backend: Arc<Backend>) -> Self {
        Self { shared, backend }
    }

    /// Gives up the memory of sessions in the cache; they are opened again when they are used.
    pub fn forget_sessions(&self) {
        self.sessions.forget();
    }

    /// The pool, for the gateway of the next configuration.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// Answers one request; whatever goes wrong becomes an answer.
    pub async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<ReplyBody> {
        let (parts, body) = request.into_parts();
        let mut record =
            Record::new(self.lasting.ids.next(), peer.address, &parts.method, self.lasting.metrics.clone());
        record.traced(&self.lasting.traces, &parts.headers);
        record.audit = self.draft(&parts, &peer, record.request_id.number());
        // A defect that one request meets is its own. What it leaves half done is dropped with it.
        let routed = AssertUnwindSafe(self.route(&parts, body, &peer, &mut record)).catch_unwind().await;
        let answered =
            routed.unwrap_or_else(|_| Err(S3Error::internal("a panic, whose place is in the log")));
        let mut response = self.answer_recorded(answered, &parts, &mut record).await;
        if let Ok(id) = HeaderValue::from_str(&record.request_id.to_string()) {
            response.headers_mut().insert("x-amz-request-id", id);
        }
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if ends_connection(&parts, &peer, response.status()) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if !record.is_proven() && !response.status().is_success() {
            response.extensions_mut().insert(Unproven);
        }
        record.status = response.status();
        response.map(|body| body.recorded(record))
    }

    async fn route(
        &self,
        parts: &Parts,
        body: Incoming,
        peer: &Peer,
        record: &mut Record,
    ) -> Result<Response<ReplyBody>, S3Error> {
        let limits =
            HeadLimits { max_uri: self.settings.max_uri, max_head_size: self.settings.max_head_size };
        let head = match hygiene::check(parts, limits) {
            Ok(head) => head,
            Err(problem) => return Ok(unclean(&problem, record)),
        };
        let place = self.settings.hosts.place(head.host)?;
        let route = Route::of(&place, &parts.method, head.path, head.query, &parts.headers);
        if route == Route::Sts {
            record.is_for(Service::Sts);
        }
        // Nothing of a body has been read, whoever is turned away.
        match self.place_for(route, parts) {
            Ok(place) => record.holds(place),
            Err(cause) => return Ok(self.turned_away(cause, route, parts, record)),
        }
        match route {
            // What is rare does not make the future of every request larger.
            Route::Sts => {
                let Ok(_slot) = self.lasting.sts_slots.try_acquire() else {
                    return Ok(self.turned_away(ThrottleCause::StsShare, Route::Sts, parts, record));
                };
                Ok(Box::pin(self.sts(parts, head, body, peer, record)).await)
            }
            Route::S3 if post_form::is_form(parts) => {
                Box::pin(self.post_form(parts, head, &place, body, peer, record)).await
            }
            Route::S3 => self.s3(parts, head, &place, body, peer, record).await,
        }
    }

    /// The way of an S3 request.
    async fn s3(
        &self,
        parts: &Parts,
        head: CleanHead<'_>,
        place: &Place,
        body: Incoming,
        peer: &Peer,
        record: &mut Record,
    ) -> Result<Response<ReplyBody>, S3Error> {
        let now = self.lasting.clock.now();
        let signed = SignedRequest::parse(request_head(parts, head))?;
        record.claims(&signed, signed.mechanism(), &self.sessions);
        let caller = self
            .sessions
            .authenticate_s3(&signed, &self.rules, now)
            .await
            .map_err(s3_errors::of_authentication)?;
        record.signed_by(&caller);
        let target = Target::read(place, head.path, self.settings.profile)?;
        record.target(&target);
        let headers = with_hoisted(&parts.headers, &signed)?;
        let call = Call::classify(&parts.method, target, signed.operation_parameters(), &headers)?;
        record.operation = call.spec().name;
        record.asks_for(&call, &headers, self.settings.profile);
        let subject = self.subject(&caller, &signed, peer, now);
        let limits = BodyLimits {
            max_object_size: self.settings.max_object_size,
            stall: self.settings.stall_timeout,
            rates: caller.limits(),
        };
        let body = RequestBody { headers: &headers, signature: caller.signature(), incoming: body, limits };
        if call.spec().kind == Kind::MultiDelete {
            return Box::pin(self.multi_delete(call, body, subject, now, record)).await;
        }
        let (body, described) = body.describe(call.spec()).await?;
        let permit = authorize(call, &headers, &described, subject)
            .inspect_err(|_| record.decision = Decision::Deny)?;
        record.decision = Decision::Allow;
        let prepared = body.prepare(permit.spec()).await?;
        if !self.settings.allow_public {
            refuse_public(permit.spec(), permit.headers(), prepared.document())?;
        }
        let recorded = self.record_allowed(record).await?;
        if permit.shows_some_buckets() {
            return Box::pin(self.list_buckets(&permit, &recorded, &headers, subject, now, record)).await;
        }
        let reply = self.forward(&permit, &recorded, prepared, now, record).await?;
        Ok(reply.map(|body| body.paced(caller.limits())))
    }

    fn subject<'a>(
        &self,
        caller: &'a Authenticated,
        signed: &'a impl Claim,
        peer: &Peer,
        now: Timestamp,
    ) -> Subject<'a> {
        let signature = caller.signature();
        Subject {
            principal: caller.principal(),
            policies: caller.policies(),
            profile: self.settings.profile,
            arrival: Arrival {
                address: peer.address,
                tls: peer.tls,
                now,
                mechanism: signature.mechanism(),
                signed_at: signed.signed_at(),
                region: signed.scope().region,
                payload: signature.payload(),
            },
        }
    }

    async fn sts(
        &self,
        parts: &Parts,
        head: CleanHead<'_>,
        body: Incoming,
        peer: &Peer,
        record: &mut Record,
    ) -> Response<ReplyBody> {
        let request_id = record.request_id.to_string();
        let read = Limited::new(body, sts::MAX_BODY).collect();
        let body = match tokio::time::timeout(self.settings.stall_timeout, read).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(_)) | Err(_) => {
                let error = sts::StsError::sender(
                    sts::ErrorCode::ValidationError,
                    "The request body is larger than 64 KiB, or did not come to its end.",
                );
                record.code = error.code.as_str();
                record.message.clone_from(&error.message);
                self.lasting.metrics.sts_answered("", record.code);
                return xml(error.code.status(), error.to_xml(&request_id));
            }
        };
        let request = sts::Request {
            head: request_head(parts, head),
            body: &body,
            address: peer.address,
            tls: peer.tls,
            certificates: peer.certificates.as_deref(),
            wants_details: record.audit.is_some(),
        };
        let mut asking = Asking::new(record);
        let reply = self.sts.answer(request, self.lasting.clock.now(), &request_id, asking.said()).await;
        let said = asking.answered();
        self.lasting.metrics.sts_answered(said.action, said.code);
        record.operation = said.operation();
        record.caller(&said.principal, &said.access_key_id);
        record.code = said.code;
        record.cause.clone_from(&said.cause);
        record.decision = if reply.status == StatusCode::OK { Decision::Allow } else { Decision::Deny };
        self.record_sts(reply, said, &request_id, record).await
    }

    /// What clients see in place of the backend's account.
    fn shown_owner(&self) -> ShownOwner {
        let account = &self.sessions.principals().account;
        ShownOwner { id: account.to_string(), display_name: "daypass".to_owned() }
    }
}

/// Whether the connection must not carry another request, and the client be told so.
fn ends_connection(parts: &Parts, peer: &Peer, status: StatusCode) -> bool {
    if parts.version >= Version::HTTP_2 {
        return false;
    }
    let chunked = parts.headers.contains_key(header::TRANSFER_ENCODING);
    // The HTTP library drops a Content-Length that stood beside it; a proxy before us may have believed that one.
    if chunked && peer.may_be_shared() {
        return true;
    }
    let has_body =
        chunked || parts.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    // It may not have been read. Who waits for `100 Continue` sends none after a refusal, and would go on with another request.
    has_body && !status.is_success()
}

fn request_head<'r>(parts: &'r Parts, head: CleanHead<'r>) -> RequestHead<'r> {
    RequestHead {
        method: &parts.method,
        path: head.path,
        query: head.query,
        headers: &parts.headers,
        host: head.host,
    }
}

/// The headers, and those that a presigned URL carries in its query. One that stands in both places has two readings.
fn with_hoisted<'r>(
    headers: &'r HeaderMap,
    signed: &SignedRequest<'_>,
) -> Result<Cow<'r, HeaderMap>, S3Error> {
    let mut all = Cow::Borrowed(headers);
    for (name, value) in signed.hoisted_headers() {
        let invalid =
            |why: &'static str| S3Error::new(ErrorCode::InvalidArgument, why).with("ArgumentName", name);
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid("A query parameter is no header's name."))?;
        let value =
            HeaderValue::from_str(value).map_err(|_| invalid("A query parameter is no header's value."))?;
        if all.contains_key(&header) {
            return Err(invalid("A header is given in the query too."));
        }
        all.to_mut().insert(header, value);
    }
    Ok(all)
}

fn refusal(error: &S3Error, parts: &Parts, record: &mut Record) -> Response<ReplyBody> {
    record.code = error.code.as_str();
    record.message.clone_from(&error.message);
    if let Some(cause) = &error.cause {
        record.cause.clone_from(cause);
    }
    // The path alone: a query carries credentials.
    let (path, id) = (parts.uri.path(), record.request_id.to_string());
    let text = if record.is_proven() { error.to_xml(path, &id) } else { error.to_short_xml(path, &id) };
    let mut response = xml(error.status(), text);
    if matches!(error.code, ErrorCode::SlowDown | ErrorCode::ServiceUnavailable) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn xml(status: StatusCode, body: String) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}
