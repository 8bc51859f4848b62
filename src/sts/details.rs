//! What of an STS call may be recorded for good: who asked, for what, and which session it got. Never a secret, a token or a
//! password, and no name that somebody typed in place of one.

use std::sync::Arc;

use super::parameters::Parameters;
use crate::{
    clock::Timestamp,
    credentials::{Authenticated, Session, SessionStore, TemporaryCredentials},
    excerpt::excerpt,
    iam::Principal,
    identity::Identity,
    sigv4::Claim,
};

/// What leads from a session to the call that made it.
#[derive(Debug, Default)]
pub struct Details {
    /// Nothing is gathered otherwise.
    pub(super) wanted: bool,
    /// The access key id that a signature claims.
    pub claimed: String,
    /// Whoever signed.
    pub caller: Option<(Arc<Session>, Arc<Principal>)>,
    /// Whoever was proven without a signature.
    pub identity: Option<Box<Identity>>,
    pub made: Option<Made>,
    /// In CloudTrail's names.
    pub parameters: Vec<(&'static str, String)>,
}

/// The session that was made.
#[derive(Debug)]
pub struct Made {
    pub access_key_id: String,
    pub expiration: Timestamp,
    /// Of the session; empty: it is its maker's own.
    pub arn: String,
    pub id: String,
}

impl Details {
    pub(super) fn of(parameters: &Parameters, wanted: bool, sessions: &SessionStore) -> Self {
        let parameters = if wanted { parameters.shown(sessions) } else { Vec::new() };
        Self { wanted, parameters, ..Self::default() }
    }

    pub(super) fn claims(&mut self, claim: &impl Claim, sessions: &SessionStore) {
        if self.wanted {
            self.claimed = sessions.shown_claim(claim.access_key_id());
        }
    }

    pub(super) fn signed_by(&mut self, caller: &Authenticated) {
        self.caller = self.wanted.then(|| caller.shared());
    }

    pub(super) fn makes(&mut self, credentials: &TemporaryCredentials, who: Option<(&str, &str)>) {
        if !self.wanted {
            return;
        }
        let (arn, id) = who.unwrap_or_default();
        self.made = Some(Made {
            access_key_id: credentials.access_key_id.to_string(),
            expiration: credentials.expiration,
            arn: arn.to_owned(),
            id: id.to_owned(),
        });
    }
}

/// As much of a value is kept, in bytes: nobody may be proven yet.
const MOST: usize = 2048;

/// The parameters that are no secret, with their names in CloudTrail.
const SHOWN: [(&str, &str); 6] = [
    ("RoleArn", "roleArn"),
    ("RoleSessionName", "roleSessionName"),
    ("DurationSeconds", "durationSeconds"),
    ("ProviderId", "providerId"),
    ("Name", "name"),
    ("AccessKeyId", "accessKeyId"),
];

impl Parameters {
    fn shown(&self, sessions: &SessionStore) -> Vec<(&'static str, String)> {
        let known = SHOWN.iter().filter_map(|(name, shown)| Some((*shown, self.value(name)?)));
        let shown = |(name, value)| {
            let value = if name == "accessKeyId" {
                sessions.shown_claim(value)
            } else {
                excerpt(value, MOST).to_owned()
            };
            (name, value)
        };
        known.map(shown).collect()
    }
}
