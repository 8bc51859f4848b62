//! `RevokeSession`, which AWS does not have: whoever holds a session ends it, everywhere and for good.

use super::{
    Call, Service,
    error::{ErrorCode, StsError},
};
use crate::credentials::revocation::ChangeError;

impl Service {
    /// Asks no policy: to give up one's own rights needs none.
    pub(super) async fn revoke_session<'c>(&self, call: Call<'c>) -> Result<&'c str, StsError> {
        call.parameters.only(&[])?;
        let session = call.caller.session();
        if !session.is_temporary() {
            return Err(StsError::sender(
                ErrorCode::AccessDenied,
                "A long-term key is no session: RevokeSession is signed with the temporary keys that are to end.",
            ));
        }
        match self.sessions.revoke(session, call.now).await {
            Ok(()) => Ok(session.access_key_id.as_str()),
            Err(cause @ ChangeError::TooMany) => Err(StsError::receiver(
                ErrorCode::ServiceUnavailable,
                "Too many sessions are revoked already. Please try again.",
            )
            .caused_by(cause)),
            Err(cause @ ChangeError::NotShared(_)) => Err(StsError::receiver(
                ErrorCode::ServiceUnavailable,
                "The session is revoked here, and elsewhere as soon as the other gateways can be told.",
            )
            .caused_by(cause)),
            Err(cause) => Err(StsError::receiver(
                ErrorCode::InternalFailure,
                "The session is revoked here, but this could not be written down.",
            )
            .caused_by(cause)),
        }
    }
}
