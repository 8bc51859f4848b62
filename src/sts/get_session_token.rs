//! `GetSessionToken`: temporary credentials with the user's own rights.

use super::{Call, Service, authorize::Needs, error::StsError, session_tags::RequestTags};
use crate::credentials::{Authority, Grant, Origin, SessionTags, TemporaryCredentials};

impl Service {
    pub(super) fn get_session_token(&self, call: Call<'_>) -> Result<TemporaryCredentials, StsError> {
        call.parameters.only(&["DurationSeconds"])?;
        let user = self.long_term_user(call.caller)?;
        call.asking().authorize("sts:GetSessionToken", "*", Needs::NoDeny, &RequestTags::default())?;
        let duration = self.duration(call.parameters, self.settings.max_duration)?;
        let grant = Grant {
            origin: Origin::User(user.name.as_str().into()),
            authority: Authority::Own,
            session_policy: None,
            tags: SessionTags::default(),
            expires_at: call.now.plus(duration),
        };
        self.mint(grant, call.now)
    }
}
