//! What of a request goes into the audit log, and the one way to the storage, which asks for the proof that it did.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, Response, header, request::Parts};

use super::{
    Gateway,
    record::{Caller, Record},
    refusal,
    reply::ReplyBody,
    xml,
};
use crate::{
    arn,
    audit::{
        Answered, CLIENT_GONE, Decided, Entry, Method, Recorded, Resource, Service, Trail, Unrecorded, Who,
    },
    credentials::{Authenticated, SessionStore},
    excerpt::excerpt,
    s3::{
        Call, CopySource, DeletePermit, ErrorCode, S3Error,
        multi_delete::ObjectIdentifier,
        operation::{Spec, Verb},
        profile::Profile,
    },
    server::Peer,
    sigv4::{Claim, Mechanism},
    sts,
};

/// As much of a user agent is kept, in bytes.
const MAX_USER_AGENT: usize = 256;
/// As much of a region, which nobody may have proven.
const MAX_REGION: usize = 64;
const GONE: &str = "the client went away before it was decided";

/// What is known of a request until it is decided.
#[derive(Debug)]
pub(super) struct Draft {
    entry: Box<Entry>,
    spec: Option<&'static Spec>,
    version_id: Option<String>,
    copy_source: Option<CopySource>,
    /// For a request that ends before it is decided.
    trail: Arc<Trail>,
}

/// What a request is refused with.
struct Refused<'e> {
    code: &'static str,
    message: Cow<'static, str>,
    cause: &'e str,
    /// The permission that it failed for, and on what.
    denied: Option<(&'static str, &'e str)>,
}

impl Draft {
    /// One decision, or two of a copy.
    fn decided(mut self, record: &Record, refused: Option<&Refused<'_>>) -> Box<Entry> {
        let decided = |action: &'static str, resource: Resource, arn: Option<String>| {
            let denied = refused.and_then(|refused| refused.denied);
            let action =
                denied.filter(|(_, about)| arn.as_deref() == Some(*about)).map_or(action, |(name, _)| name);
            Decided {
                action: action.into(),
                resource,
                allow: refused.is_none(),
                error_code: refused.map_or("", |refused| refused.code),
                error_message: refused.map_or(Cow::Borrowed(""), |refused| refused.message.clone()),
                reason: refused.map_or_else(String::new, |refused| refused.cause.to_owned()),
            }
        };
        let versioned = self.version_id.is_some();
        let action = self.spec.and_then(|spec| {
            let actions = if versioned { spec.version_actions } else { spec.actions };
            actions.first().copied()
        });
        let (resource, arn) = match record.target.shared() {
            (None, _) => (Resource::None, refused.is_some().then(|| arn::bucket("*"))),
            (Some(bucket), None) => {
                let arn = refused.is_some().then(|| arn::bucket(&bucket));
                (Resource::Bucket(bucket), arn)
            }
            (Some(bucket), Some(key)) => {
                let arn = refused.is_some().then(|| arn::object(&bucket, &key));
                (Resource::Object { bucket, key, version_id: self.version_id.take() }, arn)
            }
        };
        if let Some(CopySource { bucket, key, version_id }) = self.copy_source.take() {
            let action = if version_id.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
            let arn = arn::object(&bucket, &key);
            let resource = Resource::Object { bucket: bucket.into(), key: key.into(), version_id };
            self.entry.add(decided(action, resource, Some(arn)));
        }
        self.entry.add(decided(action.unwrap_or_default(), resource, arn));
        self.finish(record)
    }

    /// The request is dropped, and nothing of it is recorded yet.
    pub(super) fn client_gone(self, record: &Record) {
        let trail = self.trail.clone();
        let entry = if self.entry.decided.is_some() {
            self.finish(record)
        } else {
            let refused =
                Refused { code: CLIENT_GONE, message: Cow::Borrowed(""), cause: GONE, denied: None };
            self.decided(record, Some(&refused))
        };
        trail.record_gone(entry);
    }

    fn finish(mut self, record: &Record) -> Box<Entry> {
        self.entry.operation = record.operation;
        if let Some(spec) = self.spec {
            let reads = matches!(spec.method, Verb::Get | Verb::Head) || spec.name == "SelectObjectContent";
            self.entry.read_only = reads;
        }
        self.entry
    }
}

impl Record {
    /// Something says who signed the request; it is not proven yet.
    pub(super) fn claims(&mut self, claim: &impl Claim, mechanism: Mechanism, sessions: &SessionStore) {
        let Some(draft) = &mut self.audit else { return };
        draft.entry.who = Who::Unknown { claimed: sessions.shown_claim(claim.access_key_id()) };
        let region = excerpt(claim.scope().region, MAX_REGION);
        if *draft.entry.region != *region {
            draft.entry.region = region.into();
        }
        draft.entry.method = Some(match mechanism {
            Mechanism::Header => Method::Header,
            Mechanism::Query { .. } => Method::Query,
            Mechanism::Form => Method::Form,
        });
    }

    /// It is proven.
    pub(super) fn signed_by(&mut self, caller: &Authenticated) {
        let (session, principal) = caller.shared();
        self.principal = Caller::Signed(principal.clone());
        self.access_key_id = Some(session.access_key_id.clone());
        if let Some(draft) = &mut self.audit {
            draft.entry.who = Who::Signed { session, principal };
        }
    }

    /// What is asked for is known.
    pub(super) fn asks_for(&mut self, call: &Call, headers: &HeaderMap, profile: &Profile) {
        let Some(draft) = &mut self.audit else { return };
        draft.spec = Some(call.spec());
        for (name, value) in call.query() {
            if name == "versionId" {
                draft.version_id = Some(value.clone());
            } else {
                draft.entry.parameters.push((name.clone(), value.clone()));
            }
        }
        draft.copy_source = CopySource::of(call.spec(), headers, profile).ok().flatten();
    }

    pub(super) fn is_for(&mut self, service: Service) {
        if let Some(draft) = &mut self.audit {
            draft.entry.service = service;
        }
    }
}

impl Gateway {
    /// `None`: nothing is recorded here.
    pub(super) fn draft(&self, parts: &Parts, peer: &Peer, request_id: u64) -> Option<Draft> {
        if !self.lasting.audit().is_on() {
            return None;
        }
        let user_agent =
            parts.headers.get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let entry = Entry {
            at: self.lasting.now(),
            service: Service::S3,
            operation: "-",
            read_only: matches!(parts.method, http::Method::GET | http::Method::HEAD),
            region: self.named.region.clone(),
            address: peer.address,
            user_agent: user_agent.map(|text| excerpt(&text, MAX_USER_AGENT).to_owned()).unwrap_or_default(),
            request_id,
            account: self.named.account.clone(),
            method: None,
            tls: peer.tls,
            who: Who::Unknown { claimed: String::new() },
            parameters: Vec::new(),
            answered: None,
            decided: None,
            more: Vec::new(),
        };
        Some(Draft {
            entry: Box::new(entry),
            spec: None,
            version_id: None,
            copy_source: None,
            trail: self.lasting.audit().clone(),
        })
    }

    /// An allowed request, before the storage hears of it.
    pub(super) async fn record_allowed(&self, record: &mut Record) -> Result<Recorded, S3Error> {
        let entry = record.audit.take().map(|draft| draft.decided(record, None));
        self.lasting.audit().record(entry).await.map_err(unrecorded)
    }

    /// Every key of a multi-delete, before the storage hears of those that are allowed.
    pub(super) async fn record_deletes(
        &self,
        deletes: &DeletePermit,
        record: &mut Record,
    ) -> Result<Recorded, S3Error> {
        let entry = record.audit.take().map(|mut draft| {
            let (bucket, _) = record.target.shared();
            let bucket = bucket.unwrap_or_default();
            for object in &deletes.allowed {
                draft.entry.add(deleted(&bucket, object, None));
            }
            for (object, error) in &deletes.denied {
                draft.entry.add(deleted(&bucket, object, Some(error)));
            }
            draft.finish(record)
        });
        self.lasting.audit().record(entry).await.map_err(unrecorded)
    }

    /// The answer to a request, once it is recorded: one that was refused is only now.
    pub(super) async fn answer_recorded(
        &self,
        answered: Result<Response<ReplyBody>, S3Error>,
        parts: &Parts,
        record: &mut Record,
    ) -> Response<ReplyBody> {
        let (response, error) = match answered {
            Ok(response) => (response, None),
            Err(mut error) => {
                // The reasons of a denial, for those who may have them opened.
                let message = error.denial.as_ref().and_then(|denial| self.sessions.seal_denial(denial));
                error.elements.extend(message.map(|message| ("EncodedAuthorizationMessage", message)));
                (refusal(&error, parts, record), Some(error))
            }
        };
        let Some(draft) = record.audit.take() else { return response };
        let denial = error.as_ref().and_then(|error| error.denial.as_deref());
        let refused = Refused {
            code: record.code,
            message: std::mem::take(&mut record.message),
            cause: &record.cause,
            denied: denial.map(|denial| (denial.action(), denial.resource())),
        };
        let entry = draft.decided(record, Some(&refused));
        match self.lasting.audit().record(Some(entry)).await {
            Ok(_recorded) => response,
            Err(cause) => refusal(&unrecorded(cause), parts, record),
        }
    }

    /// What STS says, once it is recorded: credentials are not given out before.
    pub(super) async fn record_sts(
        &self,
        reply: sts::Reply,
        said: sts::Record,
        request_id: &str,
        record: &mut Record,
    ) -> Response<ReplyBody> {
        let sts::Reply { status, body, retry_after } = reply;
        let entry = record.audit.take().map(|mut draft| {
            draft.entry.read_only = record.operation != "RevokeSession";
            draft.says(said);
            draft.finish(record)
        });
        let mut response = match self.lasting.audit().record(entry).await {
            Ok(_recorded) => xml(status, body),
            Err(cause) => {
                let error = sts::StsError::receiver(sts::ErrorCode::ServiceUnavailable, UNAVAILABLE);
                record.code = error.code.as_str();
                record.cause = cause.to_string();
                xml(error.code.status(), error.to_xml(request_id))
            }
        };
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl Draft {
    fn says(&mut self, said: sts::Record) {
        let sts::Details { claimed, caller, identity, made, parameters, .. } = said.details;
        let entry = &mut self.entry;
        if let Some((session, principal)) = caller {
            entry.who = Who::Signed { session, principal };
            entry.method = Some(Method::Header);
        } else if let Some(identity) = identity {
            entry.who = Who::Proven(identity);
        } else {
            entry.who = Who::Unknown { claimed };
        }
        entry.parameters = parameters.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect();
        // As it was asked for: an ARN of no role here is recorded too.
        let role = entry.parameters.iter().find(|(name, value)| name == "roleArn" && !value.is_empty());
        let role = role.map(|(_, arn)| arn.clone());
        entry.answered = made.map(|made| {
            let sts::Made { access_key_id, expiration, arn, id } = made;
            Box::new(Answered { access_key_id, expiration: Some(expiration), arn, id })
        });
        let is_known = !said.action.is_empty();
        entry.add(Decided {
            action: if is_known { format!("sts:{}", said.action).into() } else { Cow::Borrowed("") },
            resource: role.map_or(Resource::None, Resource::Role),
            allow: said.code.is_empty(),
            error_code: said.code,
            error_message: said.message,
            reason: said.cause,
        });
    }
}

/// What STS finds out about a request, kept also when it is dropped before STS has answered.
pub(super) struct Asking<'r> {
    record: &'r mut Record,
    said: Option<sts::Record>,
}

impl<'r> Asking<'r> {
    pub(super) fn new(record: &'r mut Record) -> Self {
        Self { record, said: Some(sts::Record::default()) }
    }

    pub(super) fn said(&mut self) -> &mut sts::Record {
        self.said.get_or_insert_default()
    }

    /// STS has answered.
    pub(super) fn answered(mut self) -> sts::Record {
        self.said.take().unwrap_or_default()
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let Some(mut said) = self.said.take() else { return };
        self.record.operation = said.operation();
        self.record.caller(&said.principal, &said.access_key_id);
        if let Some(draft) = &mut self.record.audit {
            said.code = CLIENT_GONE;
            GONE.clone_into(&mut said.cause);
            draft.entry.read_only = self.record.operation != "RevokeSession";
            draft.says(said);
        }
    }
}

fn deleted(bucket: &Arc<str>, object: &ObjectIdentifier, error: Option<&S3Error>) -> Decided {
    let versioned = object.version_id.is_some();
    let action = if versioned { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
    let denied = error.and_then(|error| error.denial.as_deref());
    Decided {
        action: denied.map_or(action, |denial| denial.action()).into(),
        resource: Resource::Object {
            bucket: bucket.clone(),
            key: object.key.as_str().into(),
            version_id: object.version_id.clone(),
        },
        allow: error.is_none(),
        error_code: error.map_or("", |error| error.code.as_str()),
        error_message: error.map_or(Cow::Borrowed(""), |error| error.message.clone()),
        reason: error.and_then(|error| error.cause.clone()).unwrap_or_default(),
    }
}

const UNAVAILABLE: &str = "Service is unable to handle request. Please try again.";

fn unrecorded(cause: Unrecorded) -> S3Error {
    S3Error::new(ErrorCode::ServiceUnavailable, UNAVAILABLE).caused_by(cause)
}
