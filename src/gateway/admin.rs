//! The admin listener: health, never on the S3 listener.

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::watch;

use super::reply::ReplyBody;

/// Answers `/health/live` and `/health/ready`.
#[derive(Debug, Clone)]
pub struct Health {
    stopping: watch::Receiver<bool>,
}

impl Health {
    pub fn new(stopping: watch::Receiver<bool>) -> Self {
        Self { stopping }
    }

    pub fn answer(&self, request: &Request<Incoming>) -> Response<ReplyBody> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        }
        match request.uri().path() {
            "/health/live" => text(StatusCode::OK, "live\n"),
            "/health/ready" if *self.stopping.borrow() => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
            "/health/ready" => text(StatusCode::OK, "ready\n"),
            _ => text(StatusCode::NOT_FOUND, "not found: /health/live and /health/ready are\n"),
        }
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
