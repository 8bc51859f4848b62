//! `GetSessionToken`: temporary credentials with the user's own rights.

use super::{Service, error::StsError, parameters::Parameters};
use crate::{
    clock::Timestamp,
    credentials::{Authenticated, Authority, Grant, TemporaryCredentials},
};

impl Service {
    pub(super) fn get_session_token(
        &self,
        caller: &Authenticated,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<TemporaryCredentials, StsError> {
        parameters.only(&["DurationSeconds"])?;
        let user = self.long_term_user(caller)?;
        let expires_at = now.plus(self.duration(parameters, self.settings.max_duration)?);
        let grant =
            Grant { user: user.name.clone(), authority: Authority::User, session_policy: None, expires_at };
        self.mint(grant, now)
    }
}
