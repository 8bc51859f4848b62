//! Lines that go to a collector: batches by HTTP POST, each sent again until it was taken.

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::Full;
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::{Builder, Runtime};

use crate::identity::{HttpClient, HttpSettings, without_query};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// So often is it looked whether the gateway stops.
const SLICE: Duration = Duration::from_millis(50);

/// Who takes the lines.
#[derive(Clone)]
pub struct CollectorSettings {
    pub url: Uri,
    /// The value of the `Authorization` header.
    pub auth_token: Option<SecretString>,
    pub http: HttpSettings,
}

impl fmt::Debug for CollectorSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CollectorSettings")
            .field("url", &without_query(&self.url))
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}

pub(super) struct Collector {
    url: Uri,
    authorization: Option<HeaderValue>,
    client: HttpClient,
    runtime: Runtime,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("url", &without_query(&self.url)).finish_non_exhaustive()
    }
}

impl Collector {
    /// Fails when it could never be called.
    pub(super) fn new(settings: CollectorSettings) -> Result<Self, String> {
        let authorization = match &settings.auth_token {
            None => None,
            Some(token) => {
                let value = HeaderValue::from_str(token.expose_secret());
                let mut value =
                    value.map_err(|_| "the auth token cannot be the value of a header".to_owned())?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let client = HttpClient::new(settings.http).map_err(|cause| cause.to_string())?;
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|cause| cause.to_string())?;
        Ok(Self { url: settings.url, authorization, client, runtime })
    }

    /// Sends until it is taken. Gives up only at the deadline, which there is once the gateway stops.
    ///
    /// A batch may arrive twice, when its answer got lost; lines that are equal are one line.
    pub(super) fn deliver(
        &self,
        lines: &[u8],
        deadline: &OnceLock<Instant>,
        failed: impl Fn(&str),
    ) -> Result<(), String> {
        let body = Bytes::copy_from_slice(lines);
        let mut pause = FIRST_PAUSE;
        let mut said = None;
        let is_over = || deadline.get().is_some_and(|deadline| Instant::now() >= *deadline);
        loop {
            if is_over() {
                return Err(said.unwrap_or_else(stopping));
            }
            let Err(cause) = self.post(body.clone(), deadline) else { return Ok(()) };
            // The same again is not worth another line.
            if said.as_ref() != Some(&cause) {
                failed(&cause);
                said = Some(cause.clone());
            }
            let until = Instant::now() + pause;
            while Instant::now() < until {
                if is_over() {
                    return Err(cause);
                }
                std::thread::sleep(SLICE.min(pause));
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn post(&self, body: Bytes, deadline: &OnceLock<Instant>) -> Result<(), String> {
        let mut request =
            Request::post(self.url.clone()).header(header::CONTENT_TYPE, "application/x-ndjson");
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value.clone());
        }
        let request = request.body(Full::new(body)).map_err(|cause| cause.to_string())?;
        let at = || without_query(&self.url);
        let answer = self.runtime.block_on(async {
            tokio::select! {
                answer = self.client.call(request) => Some(answer),
                () = passed(deadline) => None,
            }
        });
        let answer = answer.ok_or_else(stopping)?;
        match answer {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(format!("{} answered {}", at(), answer.status)),
            Err(cause) => Err(format!("{}: {cause}", at())),
        }
    }
}

fn stopping() -> String {
    "the gateway stops, and the collector has not answered".to_owned()
}

/// Until there is a deadline and it has passed.
async fn passed(deadline: &OnceLock<Instant>) {
    loop {
        let left = deadline.get().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return;
        }
        tokio::time::sleep(left.map_or(SLICE, |left| left.min(SLICE))).await;
    }
}
