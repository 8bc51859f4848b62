//! The Security Token Service: parameters → action → grant → credentials → XML.
//!
//! AWS's API (version 2011-06-15) comes first, MinIO's clients work unchanged: the parameters may be a form or a query, the
//! region of the signature may be empty, a role may be left out.

mod action;
mod assume_role;
mod assume_role_with;
mod authorize;
mod details;
mod error;
mod get_federation_token;
mod get_session_token;
mod identity_errors;
mod inspect;
mod parameters;
mod revoke_session;
mod session_policy;
mod session_tags;
mod xml;

use std::{borrow::Cow, net::IpAddr, sync::Arc, time::Duration};

use http::StatusCode;
use rustls_pki_types::CertificateDer;

use crate::{
    clock::Timestamp,
    credentials::{Authenticated, SessionStore, TemporaryCredentials},
    digest::sha256,
    identity::Ways,
    sigv4::{RequestHead, Rules, SignedRequest},
};

use self::{action::Action, parameters::Parameters};
pub use self::{
    action::action_names,
    details::{Details, Made},
    error::{ErrorCode, Fault, StsError},
};

/// The largest body of an STS request.
pub const MAX_BODY: usize = 64 * 1024;
/// Credentials of a role that were asked for with credentials of a role live no longer (AWS: role chaining).
const LONGEST_CHAINED: Duration = Duration::from_secs(60 * 60);

/// How long sessions may live.
#[derive(Debug, Clone)]
pub struct Settings {
    pub region: String,
    pub default_duration: Duration,
    pub min_duration: Duration,
    pub max_duration: Duration,
    /// An ARN that names no role here counts as none: MinIO's clients send placeholders.
    pub ignore_unknown_role_arn: bool,
    pub max_skew: Duration,
}

/// Answers STS.
#[derive(Debug)]
pub struct Service {
    settings: Settings,
    rules: Rules,
    sessions: Arc<SessionStore>,
    ways: Arc<Ways>,
}

/// A request to STS, its body read whole.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    pub head: RequestHead<'r>,
    pub body: &'r [u8],
    /// The client's address.
    pub address: IpAddr,
    pub tls: bool,
    /// The chain that the client showed in the TLS handshake, unchecked but for its key.
    pub certificates: Option<&'r [CertificateDer<'static>]>,
    /// Whether [`Record::details`] are wanted.
    pub wants_details: bool,
}

/// The answer, and what of it may be logged.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub body: String,
    /// When to come again, in seconds.
    pub retry_after: Option<u64>,
}

/// What a log may say of an STS call: nothing that came as a parameter but the action.
#[derive(Debug, Default)]
pub struct Record {
    pub action: &'static str,
    /// The ARN of the caller, once proven.
    pub principal: String,
    /// The access key id of the session that was made.
    pub access_key_id: String,
    /// The code of the error, if it was one.
    pub code: &'static str,
    /// What the client is told of the error.
    pub message: Cow<'static, str>,
    /// Why, for the operator alone.
    pub cause: String,
    pub details: Details,
}

impl Record {
    /// `-`: nobody knows it yet.
    pub fn operation(&self) -> &'static str {
        if self.action.is_empty() { "-" } else { self.action }
    }
}

/// A proven caller's request.
#[derive(Debug, Clone, Copy)]
struct Call<'r> {
    caller: &'r Authenticated,
    parameters: &'r Parameters,
    now: Timestamp,
    request: &'r Request<'r>,
}

impl Service {
    pub fn new(settings: Settings, sessions: Arc<SessionStore>, ways: Arc<Ways>) -> Self {
        // AWS's global endpoint signs for us-east-1, MinIO's clients for no region at all.
        let mut regions = vec![settings.region.clone(), "us-east-1".to_owned(), String::new()];
        regions.dedup();
        let rules = Rules { regions, service: "sts", max_skew: settings.max_skew };
        Self { settings, rules, sessions, ways }
    }

    /// What proves somebody without a key.
    pub fn ways(&self) -> &Ways {
        &self.ways
    }

    /// Answers one request. `record` has at each time what is known, should the answer not be waited for.
    pub async fn answer(
        &self,
        request: Request<'_>,
        now: Timestamp,
        request_id: &str,
        record: &mut Record,
    ) -> Reply {
        match self.try_answer(request, now, request_id, record).await {
            Ok(body) => Reply { status: StatusCode::OK, body, retry_after: None },
            Err(error) => {
                record.code = error.code.as_str();
                record.cause = error.cause.clone().unwrap_or_default();
                record.message.clone_from(&error.message);
                let (status, retry_after) = (error.code.status(), error.retry_after);
                Reply { status, body: xml::error(&error, request_id), retry_after }
            }
        }
    }

    async fn try_answer(
        &self,
        request: Request<'_>,
        now: Timestamp,
        request_id: &str,
        record: &mut Record,
    ) -> Result<String, StsError> {
        let parameters = Parameters::read(&request)?;
        let action = Action::parse(&parameters)?;
        record.action = action.name();
        record.details = Details::of(&parameters, request.wants_details, &self.sessions);
        if let Some(proof) = action.proof() {
            return self.assume_role_with(proof, &parameters, &request, now, request_id, record).await;
        }
        let caller = self.caller(&request, now, record).await?;
        record.principal.clone_from(&caller.principal().arn);
        caller.session().access_key_id.as_str().clone_into(&mut record.access_key_id);
        record.details.signed_by(&caller);
        let call = Call { caller: &caller, parameters: &parameters, now, request: &request };
        let made = |record: &mut Record, credentials: &TemporaryCredentials| {
            credentials.access_key_id.as_str().clone_into(&mut record.access_key_id);
        };
        match action {
            Action::GetCallerIdentity => {
                parameters.only(&[])?;
                Ok(xml::caller_identity(&caller, request_id))
            }
            Action::AssumeRole => {
                let answer = self.assume_role(call)?;
                made(record, &answer.credentials);
                let role = answer.assumed_role.as_ref();
                record
                    .details
                    .makes(&answer.credentials, role.map(|role| (role.arn.as_str(), role.id.as_str())));
                Ok(xml::assume_role(&answer, request_id))
            }
            Action::GetSessionToken => {
                let credentials = self.get_session_token(call)?;
                made(record, &credentials);
                record.details.makes(&credentials, None);
                Ok(xml::session_token(&credentials, request_id))
            }
            Action::GetFederationToken => {
                let answer = self.get_federation_token(call)?;
                made(record, &answer.credentials);
                record.details.makes(&answer.credentials, Some((&answer.arn, &answer.id)));
                Ok(xml::federation_token(&answer, request_id))
            }
            Action::GetAccessKeyInfo => {
                let account = self.get_access_key_info(call)?;
                Ok(xml::simple("GetAccessKeyInfo", "Account", account, request_id))
            }
            Action::DecodeAuthorizationMessage => {
                let message = self.decode_authorization_message(call)?;
                Ok(xml::simple("DecodeAuthorizationMessage", "DecodedMessage", &message, request_id))
            }
            Action::RevokeSession => {
                let access_key_id = self.revoke_session(call).await?;
                Ok(xml::simple(action.name(), "AccessKeyId", access_key_id, request_id))
            }
            Action::AssumeRoleWith(_) => {
                Err(StsError::receiver(ErrorCode::InternalFailure, "The action is not known."))
            }
        }
    }

    async fn caller(
        &self,
        request: &Request<'_>,
        now: Timestamp,
        record: &mut Record,
    ) -> Result<Authenticated, StsError> {
        let signed = SignedRequest::parse_sts(request.head, sha256(request.body))?;
        record.details.claims(&signed, &self.sessions);
        Ok(self.sessions.authenticate_sts(&signed, &self.rules, now).await?)
    }

    /// `DurationSeconds`, within the bounds of the configuration and of the role.
    fn duration(&self, parameters: &Parameters, most: Duration) -> Result<Duration, StsError> {
        let most = most.min(self.settings.max_duration);
        let Some(text) = parameters.value("DurationSeconds") else {
            return Ok(self.settings.default_duration.min(most));
        };
        let bounds = self.settings.min_duration..=most;
        let whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse().map(Duration::from_secs) {
            Ok(asked) if whole && bounds.contains(&asked) => Ok(asked),
            _ => Err(StsError::sender(
                ErrorCode::ValidationError,
                format!(
                    "1 validation error detected: DurationSeconds must be a number of seconds from {} to {}.",
                    bounds.start().as_secs(),
                    bounds.end().as_secs()
                ),
            )),
        }
    }
}
