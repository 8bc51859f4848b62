//! The admin listener: health and metrics, never on the S3 listener.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::{reply::ReplyBody, status::Status};
use crate::telemetry::metrics::Metrics;

const TEXT: &str = "text/plain; charset=utf-8";

/// Answers `/health/live`, `/health/ready` and `/metrics`.
#[derive(Debug, Clone)]
pub struct Health {
    status: Arc<Status>,
}

impl Health {
    pub fn new(status: Status) -> Self {
        Self { status: Arc::new(status) }
    }

    pub fn answer(&self, request: &Request<Incoming>) -> Response<ReplyBody> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n");
        }
        match request.uri().path() {
            "/health/live" => answer(StatusCode::OK, TEXT, "live\n"),
            "/health/ready" => self.ready(request.uri().query() == Some("verbose")),
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
