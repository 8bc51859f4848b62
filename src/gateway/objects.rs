//! From a permit to a reply that a client may have.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::{
    Gateway,
    record::{Decision, Record},
    reply::{BackendReply, ReplyBody},
    request_body::{Prepared, RequestBody},
    s3_errors, xml,
};
use crate::{
    audit::Recorded,
    backend::{
        ExchangeError, Outgoing, Progress,
        error_reply::{ErrorReply, MAX_ERROR_BODY, UnfitReply},
        owner::OwnerFilter,
    },
    clock::Timestamp,
    s3::{
        Call, ErrorCode, Permit, S3Error, Subject, authorize_delete,
        error::error_xml,
        headers::returns,
        multi_delete::DeleteList,
        operation::{BodyKind, Spec, Verb},
    },
    telemetry::metrics::ExchangeFailure,
};

/// The largest answer to a multi-delete: 1,000 keys of 1 KiB, every byte escaped, and what stands around them.
const MAX_DELETE_RESULT: usize = 8 * 1024 * 1024;

impl Gateway {
    /// Sends what was permitted and passes on what comes back.
    pub(super) async fn forward(
        &self,
        permit: &Permit,
        recorded: &Recorded,
        prepared: Prepared,
        now: Timestamp,
        record: &mut Record,
    ) -> Result<Response<ReplyBody>, S3Error> {
        record.received(prepared.length);
        let sent = self.ask(recorded, permit, prepared.outgoing, &prepared.progress, now, record).await;
        // Whatever the backend says: a body that failed a check is the client's failure.
        if let Some(verdict) = prepared.verdict.as_ref().filter(|verdict| verdict.failure().is_some()) {
            return Err(s3_errors::of_upload(verdict));
        }
        let reply = sent.map_err(|error| s3_errors::of_exchange(&error))?;
        if reply.status().is_success() && prepared.verdict.is_some_and(|verdict| !verdict.passed()) {
            return Err(S3Error::internal("the backend answered before it had the whole body"));
        }
        self.pass_on(permit, reply, record).await
    }

    /// The one way to the storage, which asks for proof that the decision was recorded; its part of the request's trace.
    pub(super) async fn ask(
        &self,
        _: &Recorded,
        permit: &Permit,
        outgoing: Outgoing,
        progress: &Progress,
        now: Timestamp,
        record: &mut Record,
    ) -> Result<Response<Incoming>, ExchangeError> {
        let asked = record.trace().map(|_| Instant::now());
        let reply = self.backend.send(permit, outgoing, progress, record.trace(), now).await;
        if let Some(asked) = asked {
            record.asked_backend(asked);
        }
        reply
    }

    pub(super) async fn pass_on(
        &self,
        permit: &Permit,
        reply: Response<Incoming>,
        record: &mut Record,
    ) -> Result<Response<ReplyBody>, S3Error> {
        let spec = permit.spec();
        let (parts, body) = reply.into_parts();
        let retry_after =
            parts.headers.get(header::RETRY_AFTER).filter(|_| parts.status.is_server_error()).cloned();
        let is_error = parts.status.is_client_error() || parts.status.is_server_error();
        if parts.status == StatusCode::NOT_FOUND && spec.method == Verb::Head && permit.hides_absence() {
            return Err(hidden_absence());
        }
        if parts.status == StatusCode::NOT_MODIFIED || (is_error && spec.method == Verb::Head) {
            return self
                .without_body(parts.status, parts.headers)
                .map(|reply| with_retry_after(reply, retry_after));
        }
        if !parts.status.is_success() {
            let refused = Box::pin(self.refused_by_backend(permit, parts.status, body, record)).await;
            return refused.map(|reply| with_retry_after(reply, retry_after));
        }
        let filter =
            (carries_owners(spec) && !body.is_end_stream()).then(|| OwnerFilter::new(self.shown_owner()));
        let filtered = filter.is_some();
        let mut response =
            Response::new(ReplyBody::backend(BackendReply::new(body, filter, self.settings.stall_timeout)));
        *response.status_mut() = parts.status;
        *response.headers_mut() = returned(parts.headers, |name| filtered && name == header::CONTENT_LENGTH);
        if spec.name == "CreateBucket"
            && let Ok(location) = HeaderValue::from_str(&record.resource())
        {
            response.headers_mut().insert(header::LOCATION, location);
        }
        Ok(response)
    }

    /// A reply that is its status and headers. Our own credentials may be what a backend refuses here, and a HEAD has no
    /// code to tell.
    fn without_body(&self, status: StatusCode, headers: HeaderMap) -> Result<Response<ReplyBody>, S3Error> {
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let cause = format!(
                "{} refused a HEAD with {status}: check the root keys",
                self.backend.root_access_key_id()
            );
            return Err(S3Error::internal(cause));
        }
        let mut response = Response::new(ReplyBody::whole(Bytes::new()));
        *response.status_mut() = status;
        *response.headers_mut() = returned(headers, |name| name == header::CONTENT_LENGTH);
        Ok(response)
    }

    async fn refused_by_backend(
        &self,
        permit: &Permit,
        status: StatusCode,
        body: Incoming,
        record: &mut Record,
    ) -> Result<Response<ReplyBody>, S3Error> {
        if !status.is_client_error() && !status.is_server_error() {
            return Err(S3Error::internal(format!("the backend answered {status}, which is not followed")));
        }
        let body = self.read_whole(body, MAX_ERROR_BODY).await?;
        let reply = ErrorReply::read(status, &body, self.backend.root_access_key_id()).map_err(|unfit| {
            if matches!(unfit, UnfitReply::OurSignature { .. }) {
                self.lasting.metrics().backend().failed(ExchangeFailure::RootKeys);
            }
            s3_errors::of_unfit(&unfit)
        })?;
        // Daypass has allowed it, and the root may do anything: only what an object lock forbids is forbidden to the root.
        let locks = matches!(permit.spec().method, Verb::Delete | Verb::Put | Verb::Post);
        if reply.code == "AccessDenied" && !locks {
            return Err(S3Error::internal("the backend denied the root keys: check their rights"));
        }
        record.backend_code(&reply.code);
        if permit.hides_absence() && matches!(reply.code.as_str(), "NoSuchKey" | "NoSuchVersion") {
            return Err(hidden_absence());
        }
        let request_id = record.request_id.to_string();
        let text = error_xml(&reply.code, &reply.message, &reply.elements, &record.resource(), &request_id);
        Ok(xml(status, text))
    }

    /// Deletes key by key what the caller may delete.
    pub(super) async fn multi_delete(
        &self,
        call: Call,
        body: RequestBody<'_>,
        subject: Subject<'_>,
        now: Timestamp,
        record: &mut Record,
    ) -> Result<Response<ReplyBody>, S3Error> {
        let headers = body.headers;
        let BodyKind::Document(limit) = call.spec().body else {
            return Err(S3Error::internal("a multi-delete takes a document"));
        };
        if headers.get(header::CONTENT_LENGTH).is_none() {
            return Err(S3Error::new(
                ErrorCode::MissingContentLength,
                "You must provide the Content-Length HTTP header.",
            ));
        }
        let document = body.document(limit, true).await?;
        record.received(document.len() as u64);
        let list = DeleteList::parse(&document, subject.profile)?;
        let decided = authorize_delete(call, headers, list, subject)?;
        record.decision = if decided.denied.is_empty() { Decision::Allow } else { Decision::Deny };
        let recorded = self.record_deletes(&decided, record).await?;
        let Some(permit) = &decided.permit else {
            return Ok(xml(StatusCode::OK, decided.merge(None)?));
        };
        let outgoing = Outgoing::Document(Bytes::from(decided.to_xml()));
        let reply = self.ask(&recorded, permit, outgoing, &Progress::start(), now, record).await;
        let reply = reply.map_err(|error| s3_errors::of_exchange(&error))?;
        if reply.status() != StatusCode::OK {
            return self.pass_on(permit, reply, record).await;
        }
        let answer = self.read_whole(reply.into_body(), MAX_DELETE_RESULT).await?;
        let answer = String::from_utf8(answer.to_vec()).map_err(S3Error::internal)?;
        Ok(xml(StatusCode::OK, decided.merge(Some(&answer))?))
    }

    pub(super) async fn read_whole(&self, body: Incoming, limit: usize) -> Result<Bytes, S3Error> {
        let read =
            tokio::time::timeout(self.settings.stall_timeout, Limited::new(body, limit).collect()).await;
        match read {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(cause)) => Err(S3Error::internal(format!("the backend's reply cannot be read: {cause}"))),
            Err(_) => Err(S3Error::internal("the backend's reply did not come to its end")),
        }
    }
}

/// Those of the storage's headers that a client may have, in the map in which they came.
fn returned(mut headers: HeaderMap, unfit: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let ends = |name: &&HeaderName| !returns(name.as_str()) || unfit(name);
    let ending: Vec<HeaderName> = headers.keys().filter(ends).cloned().collect();
    for name in ending {
        headers.remove(name);
    }
    headers
}

/// When the storage says so of itself, to slow clients down.
fn with_retry_after(mut reply: Response<ReplyBody>, after: Option<HeaderValue>) -> Response<ReplyBody> {
    if let Some(after) = after {
        reply.headers_mut().insert(header::RETRY_AFTER, after);
    }
    reply
}

/// Nobody who may not list a bucket learns which keys it does not have.
fn hidden_absence() -> S3Error {
    S3Error::new(ErrorCode::AccessDenied, "Access Denied")
        .caused_by("the storage has no such object, and the session may not list the bucket")
}

/// Replies that are documents may name the backend's account; the bytes of objects are nobody's to change.
fn carries_owners(spec: &Spec) -> bool {
    spec.method != Verb::Head
        && !matches!(spec.name, "GetObject" | "GetObjectTorrent" | "SelectObjectContent")
}
