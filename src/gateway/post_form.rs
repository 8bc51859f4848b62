//! Form uploads: the signature, the key and the headers are fields; the file comes last.
//!
//! Nothing of the file is read before its sender is proven and allowed.

use std::{error::Error, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use multer::{Constraints, Field, Multipart, SizeLimit};

use super::{
    Gateway,
    record::{Decision, Record},
    reply::ReplyBody,
    request_body::Prepared,
    s3_errors,
    turned_away::slow_down,
    valve::{Opener, Valve},
    xml,
};
use crate::{
    backend::{Outgoing, Progress},
    rate::Pace,
    s3::{
        Call, Described, ErrorCode, Place, S3Error, Target, authorize,
        checksum::{Algorithm, Expected, Hasher},
        refuse_public,
    },
    server::{Level, Peer, hygiene::CleanHead},
    sigv4::{FormError, FormFields, Mechanism, PolicyProblem, SignedForm},
    telemetry::metrics::ThrottleCause,
};

/// The largest file that a form may bring. A form does not say how long its file is, so it is read whole before the backend
/// hears of it; larger files go by a presigned PUT.
pub(super) const MAX_FORM_FILE: u64 = 8 * 1024 * 1024;
/// All fields before the file.
const MAX_FIELDS: usize = 64;
const MAX_FIELD: u64 = 64 * 1024;
const MAX_ALL_FIELDS: usize = 256 * 1024;
/// What of a form comes in before its sender is proven.
const BEFORE_PROOF: usize = 512 * 1024;
/// How much of a file comes in at once.
const PIECE: usize = 64 * 1024;
/// How often a file that waits for its rate looks at the memory.
const LOOK: Duration = Duration::from_millis(100);

/// Whether a request is a form upload.
pub(super) fn is_form(parts: &Parts) -> bool {
    parts.method == http::Method::POST
        && parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"multipart/form-data"))
}

impl Gateway {
    /// The way of a form upload: the same steps as those of any request, with the fields in place of the head.
    pub(super) async fn post_form(
        &self,
        parts: &Parts,
        head: CleanHead<'_>,
        place: &Place,
        body: Incoming,
        peer: &Peer,
        record: &mut Record,
    ) -> Result<Response<ReplyBody>, S3Error> {
        record.operation = "PostObject";
        if parts.headers.contains_key(header::AUTHORIZATION) || !head.query.is_empty() {
            return Err(invalid("A form upload carries its signature in its fields, and no query."));
        }
        let stall = self.settings.stall_timeout;
        let (mut form, valve) = form(parts, body)?;
        let (fields, file) = within(stall, read_fields(&mut form)).await?;
        let now = self.lasting.clock.now();

        let signed = SignedForm::parse(&fields).map_err(of_form)?;
        record.claims(&signed, Mechanism::Form, &self.sessions);
        let caller = self
            .sessions
            .authenticate_s3(&signed, &self.rules, now)
            .await
            .map_err(s3_errors::of_authentication)?;
        record.signed_by(&caller);
        let bucket = Target::read(place, head.path, self.settings.profile)?;
        let (Some(bucket), None) = (bucket.bucket(), bucket.key()) else {
            return Err(S3Error::new(
                ErrorCode::MethodNotAllowed,
                "The specified method is not allowed against this resource.",
            ));
        };
        let key = final_key(&fields, file.file_name())?;
        let target = Target::of(bucket, Some(&key), self.settings.profile)?;
        record.target = target.clone();
        signed.policy().check(&fields, bucket, &key, now).map_err(|problem| of_policy(&problem))?;
        let headers = headers_of(&fields)?;
        let subject = self.subject(&caller, &signed, peer, now);
        let call = Call::upload_by_form(target)?;
        record.asks_for(&call, &headers, self.settings.profile);
        let permit = authorize(call, &headers, &Described::default(), subject)
            .inspect_err(|_| record.decision = Decision::Deny)?;
        record.decision = Decision::Allow;
        if !self.settings.allow_public {
            refuse_public(permit.spec(), permit.headers(), &[])?;
        }

        let allowed = signed.policy().length_range();
        let file = self.read_file(file, &valve, Pace::of(caller.limits()), allowed).await?;
        check_file(&headers, &file)?;
        no_second_file(&mut form, &valve, stall).await?;
        let length = file.len() as u64;
        let outgoing =
            if file.is_empty() { Outgoing::EmptyObject { trailer: None } } else { Outgoing::Document(file) };
        let prepared = Prepared { outgoing, progress: Progress::start(), verdict: None, length };
        let recorded = self.record_allowed(record).await?;
        let stored = self.forward(&permit, &recorded, prepared, now, record).await?;
        if stored.status().is_success() { answer(&fields, bucket, &key, &stored) } else { Ok(stored) }
    }

    /// The file, whole, as fast as `pace` has it. What it takes is the most that one request can take, so it is given up when
    /// memory is nearly full.
    async fn read_file(
        &self,
        mut file: Field<'static>,
        valve: &Opener,
        mut pace: Option<Pace>,
        range: Option<(u64, u64)>,
    ) -> Result<Bytes, S3Error> {
        let stall = self.settings.stall_timeout;
        let (least, most) = range.unwrap_or((0, MAX_FORM_FILE));
        let most = most.min(MAX_FORM_FILE);
        let mut bytes = BytesMut::new();
        loop {
            self.wait_for_turn(pace.as_mut()).await?;
            valve.open(PIECE);
            let piece = within(stall, async { file.chunk().await.map_err(of_multipart) }).await?;
            let Some(piece) = piece else { break };
            self.lasting.memory().takes(piece.len());
            self.has_memory()?;
            if let Some(pace) = &mut pace {
                pace.moved(piece.len());
            }
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > most {
                return Err(S3Error::new(
                    ErrorCode::EntityTooLarge,
                    "Your proposed upload exceeds the maximum allowed size",
                )
                .with("MaxSizeAllowed", most.to_string()));
            }
        }
        if (bytes.len() as u64) < least {
            return Err(S3Error::new(
                ErrorCode::EntityTooSmall,
                "Your proposed upload is smaller than the minimum allowed size",
            )
            .with("MinSizeAllowed", least.to_string()));
        }
        Ok(bytes.freeze())
    }

    /// What has come in of the file is held all the while.
    async fn wait_for_turn(&self, pace: Option<&mut Pace>) -> Result<(), S3Error> {
        let Some(pace) = pace else { return Ok(()) };
        while tokio::time::timeout(LOOK, pace.turn()).await.is_err() {
            self.has_memory()?;
        }
        Ok(())
    }

    fn has_memory(&self) -> Result<(), S3Error> {
        if self.lasting.memory().level() == Level::Full {
            self.lasting.metrics.throttled().count(ThrottleCause::Memory);
            return Err(slow_down());
        }
        Ok(())
    }
}

/// The form, of whose body only [`BEFORE_PROOF`] comes in until the valve is opened for more.
fn form(parts: &Parts, body: Incoming) -> Result<(Multipart<'static>, Opener), S3Error> {
    let content_type =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(content_type)
        .map_err(|_| S3Error::new(ErrorCode::MalformedPOSTRequest, "The content type has no boundary."))?;
    let limits = SizeLimit::new()
        .whole_stream(MAX_FORM_FILE + 1024 * 1024)
        .per_field(MAX_FIELD)
        .for_field("file", MAX_FORM_FILE);
    let (body, valve) = Valve::new(body.into_data_stream(), BEFORE_PROOF);
    Ok((Multipart::with_constraints(body, boundary, Constraints::new().size_limit(limits)), valve))
}

/// The fields before the file, and the file, of which nothing is read yet.
async fn read_fields(form: &mut Multipart<'static>) -> Result<(FormFields, Field<'static>), S3Error> {
    let mut fields = FormFields::default();
    let mut size = 0;
    for _ in 0..=MAX_FIELDS {
        let field = form.next_field().await.map_err(of_multipart)?;
        let Some(field) = field else {
            return Err(invalid("POST requires exactly one file upload per request."));
        };
        let name = field.name().unwrap_or_default().to_owned();
        if name.eq_ignore_ascii_case("file") {
            return Ok((fields, field));
        }
        let value = field.bytes().await.map_err(of_multipart)?;
        size += value.len();
        if size > MAX_ALL_FIELDS {
            return Err(malformed("The fields of the form are too large."));
        }
        let value = String::from_utf8(value.to_vec()).map_err(|_| malformed("A field is not text."))?;
        fields.push(&name, value).map_err(|problem| of_policy(&problem))?;
    }
    Err(malformed("The form has too many fields."))
}

/// Fields after the file mean nothing, but the form must come to its end, and bring one file.
async fn no_second_file(
    form: &mut Multipart<'static>,
    valve: &Opener,
    stall: Duration,
) -> Result<(), S3Error> {
    loop {
        valve.open(BEFORE_PROOF);
        let field = within(stall, async { form.next_field().await.map_err(of_multipart) }).await?;
        let Some(field) = field else { return Ok(()) };
        if field.name().is_some_and(|name| name.eq_ignore_ascii_case("file")) {
            return Err(invalid("POST requires exactly one file upload per request."));
        }
    }
}

fn final_key(fields: &FormFields, file_name: Option<&str>) -> Result<String, S3Error> {
    let key = fields.value("key").filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| invalid("Bucket POST must contain a field named 'key'. If it is specified, please check the order of the fields."))?;
    Ok(key.replace("${filename}", file_name.unwrap_or_default()))
}

/// The fields that are headers of an upload.
fn headers_of(fields: &FormFields) -> Result<HeaderMap, S3Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields.iter() {
        let name = match name {
            "acl" => "x-amz-acl",
            "tagging" => {
                return Err(S3Error::new(
                    ErrorCode::NotImplemented,
                    "Tagging by a form is not supported; tag the object afterwards.",
                ));
            }
            "x-amz-algorithm" | "x-amz-credential" | "x-amz-signature" => continue,
            "cache-control"
            | "content-type"
            | "content-disposition"
            | "content-encoding"
            | "content-md5"
            | "expires" => name,
            other if other.starts_with("x-amz-") => other,
            _ => continue,
        };
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid("A field's name is no header's name."))?;
        let value =
            HeaderValue::from_str(value).map_err(|_| invalid("A field's value is no header's value."))?;
        headers.append(header, value);
    }
    Ok(headers)
}

fn check_file(headers: &HeaderMap, file: &[u8]) -> Result<(), S3Error> {
    for algorithm in Algorithm::FLEXIBLE.into_iter().chain([Algorithm::Md5]) {
        let Some(value) = headers.get(algorithm.header()).and_then(|value| value.to_str().ok()) else {
            continue;
        };
        let expected = Expected::parse(algorithm, value).map_err(|_| {
            S3Error::new(ErrorCode::InvalidDigest, format!("The {algorithm} you specified is not valid."))
        })?;
        let mut hasher = Hasher::new(algorithm);
        hasher.update(file);
        if !expected.matches(hasher) {
            let what = format!("The {algorithm} you specified did not match the calculated checksum.");
            return Err(S3Error::new(ErrorCode::BadDigest, what));
        }
    }
    Ok(())
}

/// What the fields ask to be answered with (S3 API reference, "POST Object").
fn answer(
    fields: &FormFields,
    bucket: &str,
    key: &str,
    stored: &Response<ReplyBody>,
) -> Result<Response<ReplyBody>, S3Error> {
    let etag = stored.headers().get(header::ETAG).cloned();
    let shown_etag = etag.as_ref().and_then(|etag| etag.to_str().ok()).unwrap_or_default();
    let redirect = fields.value("success_action_redirect").or_else(|| fields.value("redirect"));
    let mut response = match (redirect, fields.value("success_action_status")) {
        (Some(url), _) if url.starts_with("http://") || url.starts_with("https://") => {
            let separator = if url.contains('?') { '&' } else { '?' };
            let encode = crate::sigv4::encode_component;
            let location = format!(
                "{url}{separator}bucket={}&key={}&etag={}",
                encode(bucket),
                encode(key),
                encode(shown_etag)
            );
            let mut response = Response::new(ReplyBody::whole(Bytes::new()));
            *response.status_mut() = StatusCode::SEE_OTHER;
            let location = HeaderValue::from_str(&location)
                .map_err(|_| invalid("success_action_redirect is no URL."))?;
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        (_, Some("201")) => {
            let escape = |text: &str| quick_xml::escape::partial_escape(text).into_owned();
            xml(
                StatusCode::CREATED,
                format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>/{bucket}/{key}</Location><Bucket>{bucket}</Bucket>\
                     <Key>{key}</Key><ETag>{etag}</ETag></PostResponse>",
                    key = escape(key),
                    etag = escape(shown_etag),
                ),
            )
        }
        (_, status) => {
            let mut response = Response::new(ReplyBody::whole(Bytes::new()));
            *response.status_mut() =
                if status == Some("200") { StatusCode::OK } else { StatusCode::NO_CONTENT };
            response
        }
    };
    for name in [header::ETAG, HeaderName::from_static("x-amz-version-id")] {
        if let Some(value) = stored.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    Ok(response)
}

async fn within<T>(stall: Duration, step: impl Future<Output = Result<T, S3Error>>) -> Result<T, S3Error> {
    tokio::time::timeout(stall, step).await.unwrap_or_else(|_| {
        Err(S3Error::new(
            ErrorCode::RequestTimeout,
            "Your socket connection to the server was not read from or written to within the timeout period.",
        ))
    })
}

fn of_form(error: FormError) -> S3Error {
    match error {
        FormError::Signature(error) => error.into(),
        FormError::Policy(problem) => of_policy(&problem),
    }
}

fn of_policy(problem: &PolicyProblem) -> S3Error {
    let code = match problem {
        PolicyProblem::LongName => ErrorCode::MalformedPOSTRequest,
        PolicyProblem::RepeatedField(_) => ErrorCode::InvalidArgument,
        PolicyProblem::Malformed(_) => ErrorCode::InvalidPolicyDocument,
        PolicyProblem::Expired | PolicyProblem::ConditionFailed(_) | PolicyProblem::ExtraField(_) => {
            ErrorCode::AccessDenied
        }
    };
    S3Error::new(code, problem.to_string())
}

fn of_multipart(error: multer::Error) -> S3Error {
    match error {
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => {
            S3Error::new(ErrorCode::EntityTooLarge, "Your proposed upload exceeds the maximum allowed size")
                .with("MaxSizeAllowed", MAX_FORM_FILE.to_string())
        }
        other => malformed("The body of your POST request is not well-formed multipart/form-data.")
            .caused_by(other.source().map_or_else(|| other.to_string(), ToString::to_string)),
    }
}

fn malformed(why: &'static str) -> S3Error {
    S3Error::new(ErrorCode::MalformedPOSTRequest, why)
}

fn invalid(why: &'static str) -> S3Error {
    S3Error::new(ErrorCode::InvalidArgument, why)
}
