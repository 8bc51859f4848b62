//! What a request hands over: compact, and nothing that is secret but within a session, of which only names are written.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use tokio::sync::oneshot;

use super::queue::Place;
use crate::{clock::Timestamp, credentials::Session, excerpt::excerpt, iam::Principal, identity::Identity};

/// Which of the two services was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    S3,
    Sts,
}

/// Where the signature was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Header,
    Query,
    Form,
}

/// Who asked.
#[derive(Debug)]
pub enum Who {
    /// Nobody was proven; the access key id is what the request claims.
    Unknown { claimed: String },
    /// Whoever signed.
    Signed { session: Arc<Session>, principal: Arc<Principal> },
    /// Whoever logs in without a key.
    Proven(Box<Identity>),
}

/// What a decision is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    None,
    Bucket(Arc<str>),
    Object { bucket: Arc<str>, key: Arc<str>, version_id: Option<String> },
    Role(String),
}

/// One decision.
#[derive(Debug)]
pub struct Decided {
    /// The permission that was asked about, as IAM names it; empty: it never came so far.
    pub action: Cow<'static, str>,
    pub resource: Resource,
    pub allow: bool,
    pub error_code: &'static str,
    pub error_message: Cow<'static, str>,
    /// For the operator alone.
    pub reason: String,
}

/// What STS gave out, without what makes it a credential.
#[derive(Debug, Clone, Default)]
pub struct Answered {
    pub access_key_id: String,
    pub expiration: Option<Timestamp>,
    /// Of the new session.
    pub arn: String,
    pub id: String,
}

/// A request and what was decided about it.
#[derive(Debug)]
pub struct Entry {
    pub at: Timestamp,
    pub service: Service,
    /// As S3 or STS names it; `-` while unknown.
    pub operation: &'static str,
    pub read_only: bool,
    /// As the signature has it.
    pub region: Arc<str>,
    pub address: IpAddr,
    pub user_agent: String,
    pub request_id: u64,
    pub account: Arc<str>,
    pub method: Option<Method>,
    pub tls: bool,
    pub who: Who,
    pub parameters: Vec<(Cow<'static, str>, String)>,
    pub answered: Option<Box<Answered>>,
    /// Most requests have one decision, which is here; others have more.
    pub decided: Option<Decided>,
    pub more: Vec<Decided>,
}

impl Entry {
    pub fn add(&mut self, decided: Decided) {
        if self.decided.is_none() {
            self.decided = Some(decided);
        } else {
            self.more.push(decided);
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &Decided> {
        self.decided.iter().chain(&self.more)
    }

    pub(super) fn lines(&self) -> usize {
        usize::from(self.decided.is_some()) + self.more.len()
    }

    /// More than a copy has.
    pub(super) fn has_many_lines(&self) -> bool {
        self.lines() > 2
    }

    /// Nobody was proven.
    pub(super) fn is_unproven(&self) -> bool {
        matches!(self.who, Who::Unknown { .. })
    }

    /// It was refused, and costs whoever sent it nothing.
    pub(super) fn is_refused_stranger(&self) -> bool {
        self.is_unproven() && self.all().all(|decided| !decided.allow)
    }

    /// What it takes of memory, about, in bytes.
    pub(super) fn size(&self) -> usize {
        let decided = |decided: &Decided| {
            let resource = match &decided.resource {
                Resource::None => 0,
                Resource::Bucket(name) => name.len(),
                Resource::Role(arn) => arn.len(),
                Resource::Object { bucket, key, version_id } => {
                    bucket.len() + key.len() + version_id.as_ref().map_or(0, String::len)
                }
            };
            size_of::<Decided>() + resource + decided.error_message.len() + decided.reason.len()
        };
        let parameters = self.parameters.iter().map(|(name, value)| name.len() + value.len());
        size_of::<Self>()
            + self.region.len()
            + self.user_agent.len()
            + parameters.sum::<usize>()
            + self.all().map(decided).sum::<usize>()
    }

    /// Cuts what clients chose and an error repeats, and more of those whom nobody knows: a line has bounds.
    pub(super) fn cut(&mut self) {
        let unproven = self.is_unproven();
        shorten_shared(&mut self.region, MOST_REGION);
        for decided in self.decided.iter_mut().chain(&mut self.more) {
            shorten(&mut decided.reason, MOST_TEXT);
            if decided.error_message.len() > MOST_TEXT {
                shorten(decided.error_message.to_mut(), MOST_TEXT);
            }
            match &mut decided.resource {
                Resource::Bucket(bucket) if unproven => shorten_shared(bucket, MOST_BUCKET),
                Resource::Role(arn) if unproven => shorten(arn, MOST_TEXT),
                Resource::Object { bucket, key, version_id } if unproven => {
                    shorten_shared(bucket, MOST_BUCKET);
                    shorten_shared(key, MOST_TEXT);
                    if let Some(id) = version_id {
                        shorten(id, MOST_TEXT);
                    }
                }
                _ => {}
            }
        }
        if unproven {
            for (_, value) in &mut self.parameters {
                shorten(value, MOST_TEXT);
            }
        }
    }

    /// What is left of it when its client went away before it could be recorded: nothing of it was done.
    pub(super) fn client_gone(mut self: Box<Self>) -> Box<Self> {
        self.more.clear();
        if let Some(decided) = &mut self.decided {
            decided.allow = false;
            decided.error_code = CLIENT_GONE;
            decided.error_message = Cow::Borrowed("");
            "the client went away while the decisions waited to be recorded".clone_into(&mut decided.reason);
            if let Resource::Object { bucket, .. } = &mut decided.resource {
                decided.resource = Resource::Bucket(bucket.clone());
            }
        }
        self
    }
}

/// As much of a region is kept, in bytes.
const MOST_REGION: usize = 64;
/// Of a message, a reason, a key, an ARN or a parameter.
const MOST_TEXT: usize = 1024;
const MOST_BUCKET: usize = 255;

fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(excerpt(text, most).len());
        text.shrink_to_fit();
    }
}

fn shorten_shared(text: &mut Arc<str>, most: usize) {
    if text.len() > most {
        *text = excerpt(text, most).into();
    }
}

/// The `errorCode` of a request whose client went away before it was decided.
pub const CLIENT_GONE: &str = "ClientGone";

/// What goes to the writer.
#[derive(Debug)]
pub(super) enum Message {
    /// With whoever waits for it: true once it is written, false when it cannot be.
    Entry(Box<Entry>, Place, Option<oneshot::Sender<bool>>),
    Reopen,
    /// Nothing comes after it.
    Close,
}
