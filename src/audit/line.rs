//! From an entry to the members of its lines, in AWS's names (CloudTrail record contents).

use super::{
    entry::{Answered, Decided, Entry, Method, Resource, Service, Who},
    json::Json,
};
use crate::{
    arn,
    clock::Timestamp,
    credentials::{Authority, Origin, Session, role_id},
    iam::{Principal, PrincipalType},
    identity::{Identity, Way},
};

/// CloudTrail's, of the records that these are like.
const EVENT_VERSION: &str = "1.11";

/// What every line has.
pub(super) fn head(json: &mut Json<'_>, at: Timestamp, id: &str, source: &str, name: &str) {
    json.string("eventVersion", EVENT_VERSION);
    json.string("eventTime", &at.rfc3339());
    json.string("eventID", id);
    json.string("eventSource", source);
    json.string("eventName", name);
}

/// One decision of an entry.
pub(super) fn decision(json: &mut Json<'_>, id: &str, entry: &Entry, decided: &Decided) {
    let source = match entry.service {
        Service::S3 => "s3.amazonaws.com",
        Service::Sts => "sts.amazonaws.com",
    };
    head(json, entry.at, id, source, entry.operation);
    let is_data =
        matches!(decided.resource, Resource::Object { .. }) || entry.operation.starts_with("ListObject");
    json.string("eventType", "AwsApiCall");
    json.string("eventCategory", if is_data { "Data" } else { "Management" });
    json.truth("managementEvent", !is_data);
    json.truth("readOnly", entry.read_only);
    json.some("awsRegion", Some(&entry.region));
    json.shown("sourceIPAddress", entry.address.to_canonical());
    json.some("userAgent", Some(&entry.user_agent));
    json.shown("requestID", format_args!("{:016X}", entry.request_id));
    json.string("recipientAccountId", &entry.account);
    json.object("userIdentity", |json| who(json, &entry.who, &entry.account));
    json.string("decision", if decided.allow { "allow" } else { "deny" });
    json.some("action", Some(&decided.action));
    json.some("reason", Some(&decided.reason));
    json.some("errorCode", Some(decided.error_code));
    json.some("errorMessage", Some(&decided.error_message));
    json.object("requestParameters", |json| parameters(json, entry, &decided.resource));
    if let Some(answered) = &entry.answered {
        json.object("responseElements", |json| response(json, answered));
    }
    json.list("resources", |json| resources(json, &decided.resource, &entry.account));
    json.object("additionalEventData", |json| {
        let method = entry.method.map(|method| match method {
            Method::Header => "AuthHeader",
            Method::Query => "QueryString",
            Method::Form => "PostForm",
        });
        if method.is_some() {
            json.string("SignatureVersion", "SigV4");
        }
        json.some("AuthenticationMethod", method);
        json.truth("secureTransport", entry.tls);
    });
}

fn parameters(json: &mut Json<'_>, entry: &Entry, resource: &Resource) {
    match resource {
        Resource::None | Resource::Role(_) => {}
        Resource::Bucket(bucket) => json.string("bucketName", bucket),
        Resource::Object { bucket, key, version_id } => {
            json.string("bucketName", bucket);
            json.string("key", key);
            json.some("versionId", version_id.as_deref());
        }
    }
    for (name, value) in &entry.parameters {
        json.named(name, value);
    }
}

fn response(json: &mut Json<'_>, answered: &Answered) {
    json.object("credentials", |json| {
        json.string("accessKeyId", &answered.access_key_id);
        json.some("expiration", answered.expiration.map(Timestamp::rfc3339).as_deref());
    });
    if answered.arn.contains(":assumed-role/") {
        json.object("assumedRoleUser", |json| {
            json.string("arn", &answered.arn);
            json.some("assumedRoleId", Some(&answered.id));
        });
    } else if answered.arn.contains(":federated-user/") {
        json.object("federatedUser", |json| {
            json.string("arn", &answered.arn);
            json.some("federatedUserId", Some(&answered.id));
        });
    }
}

fn resources(json: &mut Json<'_>, resource: &Resource, account: &str) {
    let mut one = |kind: &str, arn: &[&str]| {
        json.braces(|json| {
            json.string("accountId", account);
            json.string("type", kind);
            json.joined("ARN", arn);
        });
    };
    match resource {
        Resource::None => {}
        Resource::Bucket(bucket) => one("AWS::S3::Bucket", &[arn::S3, bucket]),
        Resource::Object { bucket, key, .. } => {
            one("AWS::S3::Object", &[arn::S3, bucket, "/", key]);
            one("AWS::S3::Bucket", &[arn::S3, bucket]);
        }
        Resource::Role(arn) => one("AWS::IAM::Role", &[arn]),
    }
}

fn who(json: &mut Json<'_>, who: &Who, account: &str) {
    match who {
        Who::Unknown { claimed } => {
            json.string("type", "Unknown");
            json.some("accessKeyId", Some(claimed));
        }
        Who::Signed { session, principal } => signed(json, session, principal),
        Who::Proven(identity) => {
            let kind = if matches!(identity.way, Way::Oidc(_)) { "WebIdentityUser" } else { "FederatedUser" };
            json.string("type", kind);
            json.string("principalId", &identity.path());
            json.string("accountId", account);
            json.string("userName", &identity.subject);
            proof(json, identity);
        }
    }
}

fn signed(json: &mut Json<'_>, session: &Session, principal: &Principal) {
    json.string(
        "type",
        match principal.kind {
            PrincipalType::User => "IAMUser",
            other => other.as_str(),
        },
    );
    json.string("principalId", &principal.user_id);
    json.string("arn", &principal.arn);
    json.string("accountId", principal.account.as_str());
    json.string("accessKeyId", session.access_key_id.as_str());
    json.some("userName", principal.username.as_deref());
    if let Origin::Identity(identity) = &session.origin {
        proof(json, identity);
    }
    if !session.is_temporary() {
        return;
    }
    json.object("sessionContext", |json| {
        json.object("sessionIssuer", |json| issuer(json, session, principal));
        json.object("attributes", |json| {
            json.string("creationDate", &session.issued_at.rfc3339());
            json.string("mfaAuthenticated", "false");
        });
        json.string(
            "sourceIdentity",
            &match &session.origin {
                Origin::User(name) => format!("user/{name}"),
                Origin::Identity(identity) => identity.path(),
            },
        );
        if let Authority::Role { via, .. } = &session.authority
            && !via.is_empty()
        {
            json.list("via", |json| via.iter().for_each(|role| json.item(&principal.account.role(role))));
        }
    });
}

/// Whose rights the session has.
fn issuer(json: &mut Json<'_>, session: &Session, principal: &Principal) {
    let account = &principal.account;
    match (&session.authority, &session.origin) {
        (Authority::Role { role, .. }, _) => {
            json.string("type", "Role");
            json.string("principalId", &role_id(role));
            json.string("arn", &account.role(role));
            json.string("accountId", account.as_str());
            json.string("userName", role);
        }
        (Authority::Own | Authority::Federated { .. }, Origin::User(name)) => {
            json.string("type", "IAMUser");
            json.string("arn", &account.user(name));
            json.string("accountId", account.as_str());
            json.string("userName", name);
        }
        (Authority::Own | Authority::Federated { .. }, Origin::Identity(identity)) => {
            json.string("type", "FederatedUser");
            json.string("arn", &account.federated_user(&identity.path()));
            json.string("accountId", account.as_str());
        }
    }
}

/// Who vouched, and when: what leads from a session to the login that it comes from.
fn proof(json: &mut Json<'_>, identity: &Identity) {
    let provider = match &identity.way {
        Way::Oidc(name) => format!("oidc/{name}"),
        way => way.namespace().to_owned(),
    };
    json.string("identityProvider", &provider);
    json.string("provenAt", &identity.proven_at.rfc3339());
}
