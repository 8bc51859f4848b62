//! `/v1` of the admin listener: revocations, for whoever holds the admin token.

use std::{fmt::Display, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Limited};
use serde::Serialize;
use serde_json::json;

use super::{
    admin::{Access, CHALLENGE},
    reply::ReplyBody,
};
use crate::{
    clock::Clock,
    credentials::{
        Revocations,
        revocation::{ChangeError, Entry, EntryId, Wanted},
    },
    server::Peer,
};

/// What programs read to call this.
pub const OPENAPI: &str = include_str!("admin-api.json");

/// The largest body.
const MAX_BODY: usize = 64 * 1024;
/// Until it is whole.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers everything below `/v1/`.
#[derive(Debug, Clone)]
pub struct RevocationApi {
    revocations: Arc<Revocations>,
    access: Access,
    clock: Arc<dyn Clock>,
}

/// The paths, as the `OpenAPI` document names them.
pub const PATHS: [&str; 3] = ["/v1/revocations", "/v1/revocations/{id}", "/v1/openapi.json"];

enum Place<'r> {
    Revocations,
    Revocation(&'r str),
    OpenApi,
}

impl<'r> Place<'r> {
    fn of(path: &'r str) -> Option<Self> {
        match path {
            "/v1/revocations" => Some(Self::Revocations),
            "/v1/openapi.json" => Some(Self::OpenApi),
            _ => path.strip_prefix("/v1/revocations/").map(Self::Revocation),
        }
    }
}

/// Why a call is refused.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Display) -> Self {
        Self { status, code, message: message.to_string() }
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        let (status, code) = match &error {
            ChangeError::Unfit(_) => (StatusCode::BAD_REQUEST, "InvalidRequest"),
            ChangeError::TooMany => (StatusCode::SERVICE_UNAVAILABLE, "TooMany"),
            ChangeError::NotShared(_) => (StatusCode::SERVICE_UNAVAILABLE, "NotShared"),
            ChangeError::NotKept(_) => (StatusCode::INTERNAL_SERVER_ERROR, "NotKept"),
        };
        Self::new(status, code, error)
    }
}

impl RevocationApi {
    pub fn new(revocations: Arc<Revocations>, access: Access, clock: Arc<dyn Clock>) -> Self {
        Self { revocations, access, clock }
    }

    /// Whether a path is one of ours.
    pub fn has(path: &str) -> bool {
        path.starts_with("/v1/")
    }

    pub async fn answer<B>(&self, request: Request<B>, peer: &Peer) -> Response<ReplyBody>
    where
        B: Body<Error: std::error::Error + Send + Sync + 'static>,
    {
        self.call(request, peer).await.unwrap_or_else(|refusal| {
            let body = json!({ "error": { "code": refusal.code, "message": refusal.message } });
            let mut response = json(refusal.status, &body);
            if refusal.status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
            }
            response
        })
    }

    async fn call<B>(&self, request: Request<B>, peer: &Peer) -> Result<Response<ReplyBody>, Refusal>
    where
        B: Body<Error: std::error::Error + Send + Sync + 'static>,
    {
        self.admit(&request, peer)?;
        let (parts, body) = request.into_parts();
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, "NotFound", "there is nothing at this path");
        let now = self.clock.now();
        match (Place::of(parts.uri.path()).ok_or_else(unknown)?, &parts.method) {
            (Place::Revocations, &Method::POST) => {
                let wanted = read(body).await?;
                let entry = self.revocations.revoke(wanted, now).await?;
                Ok(json(StatusCode::CREATED, &*entry))
            }
            (Place::Revocations, &Method::GET) => {
                let entries = self.revocations.list(now);
                let entries: Vec<&Entry> = entries.iter().map(AsRef::as_ref).collect();
                Ok(json(StatusCode::OK, &json!({ "revocations": entries })))
            }
            (Place::Revocation(id), &Method::DELETE) => {
                let none = || Refusal::new(StatusCode::NOT_FOUND, "NotFound", "there is no such revocation");
                let id: EntryId = id.parse().map_err(|_| none())?;
                let lifted = self.revocations.lift(id, now).await?.ok_or_else(none)?;
                Ok(json(StatusCode::OK, &*lifted))
            }
            (Place::OpenApi, &Method::GET) => {
                Ok(with_type(StatusCode::OK, Bytes::from_static(OPENAPI.as_bytes()), "application/json"))
            }
            _ => Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "this path has no such method",
            )),
        }
    }

    /// Whoever shows the token, or a certificate where that opens.
    fn admit<B>(&self, request: &Request<B>, peer: &Peer) -> Result<(), Refusal> {
        if !self.access.is_possible() {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "NotFound",
                "the revocation API is off: [admin] has no token in the configuration",
            ));
        }
        if self.access.opens(request, peer) {
            return Ok(());
        }
        tracing::warn!(path = request.uri().path(), "the admin API was called without its token");
        let message = "Authorization: Bearer with the admin token is needed";
        Err(Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized", message))
    }
}

async fn read<B>(body: B) -> Result<Wanted, Refusal>
where
    B: Body<Error: std::error::Error + Send + Sync + 'static>,
{
    let invalid = |message: String| Refusal::new(StatusCode::BAD_REQUEST, "InvalidRequest", message);
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await;
    let bytes = match collected {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(cause)) if cause.is::<http_body_util::LengthLimitError>() => {
            let message = "the body is larger than 64 KiB";
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", message));
        }
        Ok(Err(_)) | Err(_) => return Err(invalid("the body did not come to its end".to_owned())),
    };
    serde_json::from_slice(&bytes).map_err(|cause| invalid(format!("the body is no revocation: {cause}")))
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<ReplyBody> {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    with_type(status, Bytes::from(bytes), "application/json")
}

fn with_type(status: StatusCode, body: Bytes, kind: &'static str) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
