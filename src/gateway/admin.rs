//! The admin listener: health and metrics, never on the S3 listener.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::{reply::ReplyBody, status::Status};
use crate::{secret::AdminToken, server::Peer, telemetry::metrics::Metrics};

const TEXT: &str = "text/plain; charset=utf-8";

/// Who may do more than ask for health.
#[derive(Debug, Clone)]
pub struct Access {
    token: Option<AdminToken>,
    by_certificate: bool,
}

impl Access {
    /// `by_certificate`: the listener's handshake takes no certificate but those of the operators' own authority.
    pub fn new(token: Option<AdminToken>, by_certificate: bool) -> Self {
        Self { token, by_certificate }
    }

    /// Whether there is anything that could open.
    pub(super) fn is_possible(&self) -> bool {
        self.token.is_some() || self.by_certificate
    }

    pub(super) fn opens<B>(&self, request: &Request<B>, peer: &Peer) -> bool {
        (self.by_certificate && peer.certificates.is_some()) || self.has_token(request)
    }

    fn has_token<B>(&self, request: &Request<B>) -> bool {
        let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = shown
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        bearer.zip(self.token.as_ref()).is_some_and(|((_, shown), token)| token.is(shown.trim()))
    }
}

/// What a browser and curl show for a 401.
pub(super) const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"daypass\"");

/// Answers `/health/live`, `/health/ready` and `/metrics`.
#[derive(Debug, Clone)]
pub struct Health {
    status: Arc<Status>,
    /// `None`: everybody may read all of it.
    access: Option<Access>,
}

impl Health {
    /// `access`: who may read the metrics and the details of readiness; `None`: everybody.
    pub fn new(status: Status, access: Option<Access>) -> Self {
        Self { status: Arc::new(status), access }
    }

    pub fn answer(&self, request: &Request<Incoming>, peer: &Peer) -> Response<ReplyBody> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n");
        }
        let is_verbose = request.uri().query() == Some("verbose");
        let tells = request.uri().path() == "/metrics" || is_verbose;
        if let Some(access) = self.access.as_ref().filter(|_| tells)
            && !access.opens(request, peer)
        {
            tracing::warn!(path = request.uri().path(), "the admin listener was asked without its token");
            let mut refused = answer(StatusCode::UNAUTHORIZED, TEXT, "the admin token is needed\n");
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
            return refused;
        }
        match request.uri().path() {
            "/health/live" => answer(StatusCode::OK, TEXT, "live\n"),
            "/health/ready" => self.ready(is_verbose),
            "/metrics" => match self.status.metrics() {
                Ok(page) => answer(StatusCode::OK, Metrics::CONTENT_TYPE, page),
                Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the page cannot be written\n"),
            },
            _ => answer(
                StatusCode::NOT_FOUND,
                TEXT,
                "not found: /health/live, /health/ready and /metrics are\n",
            ),
        }
    }

    fn ready(&self, verbose: bool) -> Response<ReplyBody> {
        let readiness = self.status.readiness();
        let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        if verbose {
            answer(status, "application/json", readiness.to_json())
        } else {
            answer(status, TEXT, readiness.to_text())
        }
    }
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<bytes::Bytes>,
) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
