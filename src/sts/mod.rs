//! The Security Token Service: parameters → action → grant → credentials → XML.
//!
//! AWS's API (version 2011-06-15) comes first, MinIO's clients work unchanged: the parameters may be a form or a query, the
//! region of the signature may be empty, a role may be left out.

mod assume_role;
mod authorize;
mod error;
mod get_federation_token;
mod get_session_token;
mod inspect;
mod parameters;
mod session_policy;
mod session_tags;
mod xml;

use std::{net::IpAddr, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use http::StatusCode;

use crate::{
    clock::Timestamp,
    credentials::{Authenticated, SessionStore, TemporaryCredentials},
    sigv4::{RequestHead, Rules, SignedRequest},
};

pub use self::error::{ErrorCode, Fault, StsError};
use self::parameters::Parameters;

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
}

/// A request to STS, its body read whole.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    pub head: RequestHead<'r>,
    pub body: &'r [u8],
    /// The client's address.
    pub address: IpAddr,
    pub tls: bool,
}

/// The answer, and what of it may be logged.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub body: String,
    pub record: Record,
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
    /// Why, for the operator alone.
    pub cause: String,
}

/// The actions that are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    AssumeRole,
    DecodeAuthorizationMessage,
    GetAccessKeyInfo,
    GetCallerIdentity,
    GetFederationToken,
    GetSessionToken,
}

impl Action {
    const ALL: [Self; 6] = [
        Self::AssumeRole,
        Self::DecodeAuthorizationMessage,
        Self::GetAccessKeyInfo,
        Self::GetCallerIdentity,
        Self::GetFederationToken,
        Self::GetSessionToken,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::AssumeRole => "AssumeRole",
            Self::DecodeAuthorizationMessage => "DecodeAuthorizationMessage",
            Self::GetAccessKeyInfo => "GetAccessKeyInfo",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::GetFederationToken => "GetFederationToken",
            Self::GetSessionToken => "GetSessionToken",
        }
    }

    fn parse(parameters: &Parameters) -> Result<Self, StsError> {
        let Some(name) = parameters.value("Action") else {
            return Err(StsError::sender(
                ErrorCode::MissingAction,
                "The request is missing an action or a required parameter: Action.",
            ));
        };
        let unknown = || {
            let names: Vec<&str> = Self::ALL.iter().map(|action| action.name()).collect();
            StsError::sender(
                ErrorCode::InvalidAction,
                format!(
                    "Could not find this operation for version 2011-06-15; supported are {}.",
                    names.join(", ")
                ),
            )
        };
        let action = Self::ALL.into_iter().find(|action| action.name() == name).ok_or_else(unknown)?;
        match parameters.value("Version") {
            Some("2011-06-15") => Ok(action),
            Some(_) => Err(unknown()),
            None => Err(StsError::sender(
                ErrorCode::MissingParameter,
                "The request must contain the parameter Version (2011-06-15).",
            )),
        }
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
    pub fn new(settings: Settings, sessions: Arc<SessionStore>) -> Self {
        // AWS's global endpoint signs for us-east-1, MinIO's clients for no region at all.
        let mut regions = vec![settings.region.clone(), "us-east-1".to_owned(), String::new()];
        regions.dedup();
        let rules = Rules { regions, service: "sts", max_skew: settings.max_skew };
        Self { settings, rules, sessions }
    }

    /// Answers one request.
    pub fn answer(&self, request: Request<'_>, now: Timestamp, request_id: &str) -> Reply {
        let mut record = Record::default();
        match self.try_answer(request, now, request_id, &mut record) {
            Ok(body) => Reply { status: StatusCode::OK, body, record },
            Err(error) => {
                record.code = error.code.as_str();
                record.cause = error.cause.clone().unwrap_or_default();
                Reply { status: error.code.status(), body: xml::error(&error, request_id), record }
            }
        }
    }

    fn try_answer(
        &self,
        request: Request<'_>,
        now: Timestamp,
        request_id: &str,
        record: &mut Record,
    ) -> Result<String, StsError> {
        let parameters = Parameters::read(&request)?;
        let action = Action::parse(&parameters)?;
        record.action = action.name();
        let caller = self.caller(&request, now)?;
        record.principal = caller.principal().arn.to_string();
        caller.session().access_key_id.as_str().clone_into(&mut record.access_key_id);
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
                Ok(xml::assume_role(&answer, request_id))
            }
            Action::GetSessionToken => {
                let credentials = self.get_session_token(call)?;
                made(record, &credentials);
                Ok(xml::session_token(&credentials, request_id))
            }
            Action::GetFederationToken => {
                let answer = self.get_federation_token(call)?;
                made(record, &answer.credentials);
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
        }
    }

    fn caller(&self, request: &Request<'_>, now: Timestamp) -> Result<Authenticated, StsError> {
        let mut body_sha256 = [0; 32];
        body_sha256.copy_from_slice(digest::digest(&digest::SHA256, request.body).as_ref());
        let signed = SignedRequest::parse_sts(request.head, body_sha256)?;
        Ok(self.sessions.authenticate_sts(&signed, &self.rules, now)?)
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
