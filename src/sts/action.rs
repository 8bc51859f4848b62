//! The actions that are answered.

use super::{
    error::{ErrorCode, StsError},
    parameters::Parameters,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    AssumeRole,
    AssumeRoleWith(ProvenBy),
    DecodeAuthorizationMessage,
    GetAccessKeyInfo,
    GetCallerIdentity,
    GetFederationToken,
    GetSessionToken,
    /// Ours: a session ends itself.
    RevokeSession,
}

/// What proves somebody who has no key here. These requests are not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProvenBy {
    Certificate,
    ClientGrants,
    CustomToken,
    LdapIdentity,
    WebIdentity,
}

impl ProvenBy {
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::Certificate => "AssumeRoleWithCertificate",
            Self::ClientGrants => "AssumeRoleWithClientGrants",
            Self::CustomToken => "AssumeRoleWithCustomToken",
            Self::LdapIdentity => "AssumeRoleWithLDAPIdentity",
            Self::WebIdentity => "AssumeRoleWithWebIdentity",
        }
    }

    /// As policies name it.
    pub(super) fn iam_action(self) -> &'static str {
        match self {
            Self::Certificate => "sts:AssumeRoleWithCertificate",
            Self::ClientGrants => "sts:AssumeRoleWithClientGrants",
            Self::CustomToken => "sts:AssumeRoleWithCustomToken",
            Self::LdapIdentity => "sts:AssumeRoleWithLDAPIdentity",
            Self::WebIdentity => "sts:AssumeRoleWithWebIdentity",
        }
    }
}

/// As STS names them.
pub fn action_names() -> impl Iterator<Item = &'static str> {
    Action::ALL.into_iter().map(Action::name)
}

impl Action {
    /// What proves the caller in place of a signature.
    pub(super) fn proof(self) -> Option<ProvenBy> {
        if let Self::AssumeRoleWith(proof) = self { Some(proof) } else { None }
    }

    const ALL: [Self; 12] = [
        Self::AssumeRole,
        Self::AssumeRoleWith(ProvenBy::Certificate),
        Self::AssumeRoleWith(ProvenBy::ClientGrants),
        Self::AssumeRoleWith(ProvenBy::CustomToken),
        Self::AssumeRoleWith(ProvenBy::LdapIdentity),
        Self::AssumeRoleWith(ProvenBy::WebIdentity),
        Self::DecodeAuthorizationMessage,
        Self::GetAccessKeyInfo,
        Self::GetCallerIdentity,
        Self::GetFederationToken,
        Self::GetSessionToken,
        Self::RevokeSession,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWith(proof) => proof.action(),
            Self::DecodeAuthorizationMessage => "DecodeAuthorizationMessage",
            Self::GetAccessKeyInfo => "GetAccessKeyInfo",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::GetFederationToken => "GetFederationToken",
            Self::GetSessionToken => "GetSessionToken",
            Self::RevokeSession => "RevokeSession",
        }
    }

    pub(super) fn parse(parameters: &Parameters) -> Result<Self, StsError> {
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
