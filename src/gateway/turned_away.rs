//! Requests that are refused before they are read, because there is no room for them.

use http::{HeaderValue, Response, header, request::Parts};

use super::{Gateway, record::Record, refusal, reply::ReplyBody, route::Route, xml};
use crate::{
    s3::{ErrorCode, S3Error},
    sts,
    telemetry::metrics::ThrottleCause,
};

impl Gateway {
    /// There is no room, whoever asks.
    pub(super) fn turned_away(
        &self,
        cause: ThrottleCause,
        route: Route,
        parts: &Parts,
        record: &mut Record,
    ) -> Response<ReplyBody> {
        self.lasting.metrics.throttled().count(cause);
        let mut response = if route == Route::Sts {
            let error = sts::StsError::slow_down();
            record.code = error.code.as_str();
            self.lasting.metrics.sts_answered("", record.code);
            xml(error.code.status(), error.to_xml(&record.request_id.to_string()))
        } else {
            refusal(&slow_down(), parts, record)
        };
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        // HTTP/2 has no such header; its connection is one for many requests anyway.
        if cause == ThrottleCause::Memory && parts.version < http::Version::HTTP_2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

pub(super) fn slow_down() -> S3Error {
    S3Error::new(ErrorCode::SlowDown, "Please reduce your request rate.")
}
