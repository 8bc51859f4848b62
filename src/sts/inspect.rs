//! `GetAccessKeyInfo` and `DecodeAuthorizationMessage`: what STS knows of keys and of denials.

use super::{
    Call, Service,
    authorize::Needs,
    error::{ErrorCode, StsError},
    session_tags::RequestTags,
};

impl Service {
    /// The account of an access key, for those who may ask.
    pub(super) fn get_access_key_info(&self, call: Call<'_>) -> Result<&str, StsError> {
        call.parameters.only(&["AccessKeyId"])?;
        call.asking().authorize("sts:GetAccessKeyInfo", "*", Needs::Allow, &RequestTags::default())?;
        let key = call.parameters.value("AccessKeyId").unwrap_or_default();
        if self.sessions.knows(key) {
            return Ok(self.sessions.principals().account.as_str());
        }
        Err(StsError::sender(
            ErrorCode::ValidationError,
            "1 validation error detected: AccessKeyId is not an access key that is known here and alive.",
        ))
    }

    /// What stood behind a denial, for those who may ask.
    pub(super) fn decode_authorization_message(&self, call: Call<'_>) -> Result<String, StsError> {
        call.parameters.only(&["EncodedMessage"])?;
        call.asking().authorize(
            "sts:DecodeAuthorizationMessage",
            "*",
            Needs::Allow,
            &RequestTags::default(),
        )?;
        let message = call.parameters.value("EncodedMessage").unwrap_or_default();
        self.sessions.open_denial(message).map_err(|cause| {
            StsError::sender(
                ErrorCode::InvalidAuthorizationMessageException,
                "The message is not an EncodedAuthorizationMessage of this gateway.",
            )
            .caused_by(cause)
        })
    }
}
