//! STS's XML, in AWS's order of elements.

use std::fmt::Write as _;

use quick_xml::escape::escape;

use super::{
    action::ProvenBy,
    assume_role::Assumed,
    assume_role_with::{AssumedWith, Subject},
    error::{Fault, StsError},
    get_federation_token::Federated,
};
use crate::credentials::{Authenticated, TemporaryCredentials};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

pub(super) fn error(error: &StsError, request_id: &str) -> String {
    let fault = match error.fault {
        Fault::Sender => "Sender",
        Fault::Receiver => "Receiver",
    };
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\">\n  <Error>\n    <Type>{fault}</Type>\n    <Code>{}</Code>\n    \
         <Message>{}</Message>\n  </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
        error.code.as_str(),
        escape(error.message.as_ref())
    )
}

pub(super) fn assume_role(assumed: &Assumed, request_id: &str) -> String {
    let mut result = String::new();
    if let Some(role) = &assumed.assumed_role {
        let _ = write!(
            result,
            "    <AssumedRoleUser>\n      <Arn>{}</Arn>\n      <AssumedRoleId>{}</AssumedRoleId>\n    </AssumedRoleUser>\n",
            escape(role.arn.as_str()),
            escape(role.id.as_str())
        );
    } else {
        result.push_str("    <AssumedRoleUser>\n      <Arn></Arn>\n      <AssumedRoleId></AssumedRoleId>\n    </AssumedRoleUser>\n");
    }
    push_credentials(&mut result, &assumed.credentials);
    if let Some(percent) = assumed.packed_policy_size {
        let _ = writeln!(result, "    <PackedPolicySize>{percent}</PackedPolicySize>");
    }
    envelope("AssumeRole", &result, request_id)
}

pub(super) fn assume_role_with(by: ProvenBy, assumed: &AssumedWith, request_id: &str) -> String {
    let mut result = String::new();
    let mut element = |name: &str, value: &str| {
        let _ = writeln!(result, "    <{name}>{}</{name}>", escape(value));
    };
    match &assumed.subject {
        Some(Subject::OfToken { subject, audience, provider }) => {
            // MinIO's clients of client grants read one name, AWS's SDKs the other.
            let name =
                if by == ProvenBy::ClientGrants { "SubjectFromToken" } else { "SubjectFromWebIdentityToken" };
            element(name, subject);
            element("Audience", audience);
            element("Provider", provider);
        }
        Some(Subject::OfWebhook { user }) => element("AssumedUser", &format!("custom:{user}")),
        None => {}
    }
    let _ = write!(
        result,
        "    <AssumedRoleUser>\n      <Arn>{}</Arn>\n      <AssumedRoleId>{}</AssumedRoleId>\n    </AssumedRoleUser>\n",
        escape(assumed.arn.as_str()),
        escape(assumed.id.as_str())
    );
    push_credentials(&mut result, &assumed.credentials);
    if let Some(percent) = assumed.packed_policy_size {
        let _ = writeln!(result, "    <PackedPolicySize>{percent}</PackedPolicySize>");
    }
    envelope(by.action(), &result, request_id)
}

pub(super) fn session_token(credentials: &TemporaryCredentials, request_id: &str) -> String {
    let mut result = String::new();
    push_credentials(&mut result, credentials);
    envelope("GetSessionToken", &result, request_id)
}

pub(super) fn federation_token(federated: &Federated, request_id: &str) -> String {
    let mut result = format!(
        "    <FederatedUser>\n      <Arn>{}</Arn>\n      <FederatedUserId>{}</FederatedUserId>\n    </FederatedUser>\n",
        escape(federated.arn.as_str()),
        escape(federated.id.as_str())
    );
    push_credentials(&mut result, &federated.credentials);
    if let Some(percent) = federated.packed_policy_size {
        let _ = writeln!(result, "    <PackedPolicySize>{percent}</PackedPolicySize>");
    }
    envelope("GetFederationToken", &result, request_id)
}

/// An answer of one element.
pub(super) fn simple(action: &str, element: &str, value: &str, request_id: &str) -> String {
    envelope(action, &format!("    <{element}>{}</{element}>\n", escape(value)), request_id)
}

pub(super) fn caller_identity(caller: &Authenticated, request_id: &str) -> String {
    let principal = caller.principal();
    let result = format!(
        "    <Arn>{}</Arn>\n    <UserId>{}</UserId>\n    <Account>{}</Account>\n",
        escape(&*principal.arn),
        escape(principal.user_id.as_str()),
        principal.account
    );
    envelope("GetCallerIdentity", &result, request_id)
}

fn push_credentials(result: &mut String, credentials: &TemporaryCredentials) {
    let _ = write!(
        result,
        "    <Credentials>\n      <AccessKeyId>{}</AccessKeyId>\n      <SecretAccessKey>{}</SecretAccessKey>\n      \
         <SessionToken>{}</SessionToken>\n      <Expiration>{}</Expiration>\n    </Credentials>\n",
        credentials.access_key_id,
        credentials.secret_access_key.expose(),
        credentials.session_token.expose(),
        credentials.expiration.rfc3339()
    );
}

fn envelope(action: &str, result: &str, request_id: &str) -> String {
    format!(
        "<{action}Response xmlns=\"{NAMESPACE}\">\n  <{action}Result>\n{result}  </{action}Result>\n  \
         <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n</{action}Response>\n"
    )
}
