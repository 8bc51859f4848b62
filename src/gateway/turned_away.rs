//! Requests that are refused before they are read: there is no room for them, or they can be read in two ways.

use http::{HeaderValue, Response, header, request::Parts};

use tokio::sync::OwnedSemaphorePermit;

use super::{Gateway, post_form, record::Record, refusal, reply::ReplyBody, route::Route, xml};
use crate::{
    s3::{ErrorCode, S3Error, error::error_xml},
    server::{Level, hygiene},
    sts,
    telemetry::metrics::ThrottleCause,
};

impl Gateway {
    /// A place among the requests in flight, or why there is none. While memory is short only a few are served, and none that is
    /// held whole or makes a session.
    pub(super) fn place_for(
        &self,
        route: Route,
        parts: &Parts,
    ) -> Result<OwnedSemaphorePermit, ThrottleCause> {
        let memory = self.lasting.memory();
        let (places, cause) = match memory.level() {
            Level::Enough => (&self.lasting.slots, ThrottleCause::MaxRequests),
            _ if route == Route::S3 && !post_form::is_form(parts) && memory.allows_a_few() => {
                (&self.lasting.few, ThrottleCause::Memory)
            }
            _ => return Err(ThrottleCause::Memory),
        };
        places.clone().try_acquire_owned().map_err(|_| cause)
    }

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
            record.message.clone_from(&error.message);
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

/// A head that is refused before anything else of it is read.
pub(super) fn unclean(problem: &hygiene::Problem, record: &mut Record) -> Response<ReplyBody> {
    record.code = problem.code();
    record.cause = problem.to_string();
    record.message = problem.to_string().into();
    let body = error_xml(problem.code(), &problem.to_string(), &[], "", &record.request_id.to_string());
    let mut response = xml(problem.status(), body);
    // Where its body begins and ends is not sure either.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
