//! The decision: every permission that a request needs, asked one by one. A [`Permit`] is the proof, and the only thing
//! that the backend module takes.

use http::HeaderMap;

use super::{
    copy_source::CopySource,
    error::{ErrorCode, S3Error},
    headers,
    multi_delete::{DeleteList, ObjectIdentifier},
    operation::{Call, Kind, Query, Spec},
    profile::Profile,
    target::Target,
};
use crate::{
    arn,
    iam::{Decision, DeniedBy, EffectivePolicies, Request},
};

/// Who asks, and by which rules it is decided.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub principal: &'a str,
    pub policies: &'a EffectivePolicies,
    /// Our account, which `x-amz-expected-bucket-owner` must name.
    pub account: &'a str,
    pub profile: &'static Profile,
}

/// One right that a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    pub action: &'static str,
    pub resource: String,
}

/// An allowed request. Only [`authorize`] and [`authorize_delete`] make one.
#[derive(Debug)]
pub struct Permit {
    spec: &'static Spec,
    target: Target,
    query: Query,
    copy_source: Option<CopySource>,
    headers: HeaderMap,
}

impl Permit {
    pub fn spec(&self) -> &'static Spec {
        self.spec
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn query(&self) -> &Query {
        &self.query
    }

    pub fn copy_source(&self) -> Option<&CopySource> {
        self.copy_source.as_ref()
    }

    /// The headers that cross.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// Decides every operation but multi-delete.
pub fn authorize(call: Call, request_headers: &HeaderMap, subject: Subject<'_>) -> Result<Permit, S3Error> {
    if call.spec.kind == Kind::MultiDelete {
        return Err(S3Error::internal("a multi-delete came without its keys"));
    }
    let permit = understood(call, request_headers, subject)?;
    let permissions = permissions(&permit, request_headers);
    if permissions.is_empty() {
        return Err(S3Error::internal("an operation without an action"));
    }
    for permission in &permissions {
        allowed(permission, subject)?;
    }
    Ok(permit)
}

/// Decides a multi-delete key by key: those that are denied come back, the others are the permit's.
pub fn authorize_delete(
    call: Call,
    request_headers: &HeaderMap,
    list: DeleteList,
    subject: Subject<'_>,
) -> Result<DeletePermit, S3Error> {
    let permit = understood(call, request_headers, subject)?;
    let bucket = permit.target.bucket().unwrap_or_default().to_owned();
    let mut allowed_keys = Vec::new();
    let mut denied = Vec::new();
    for object in list.objects {
        let resource = arn::object(&bucket, &object.key);
        let mut actions =
            vec![if object.version_id.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" }];
        actions.extend(bypasses_governance(request_headers));
        let refused = actions
            .into_iter()
            .find_map(|action| allowed(&Permission { action, resource: resource.clone() }, subject).err());
        match refused {
            None => allowed_keys.push(object),
            Some(error) => denied.push((object, error)),
        }
    }
    let permit = if allowed_keys.is_empty() { None } else { Some(permit) };
    Ok(DeletePermit { permit, allowed: allowed_keys, denied, quiet: list.quiet })
}

/// A decided multi-delete.
#[derive(Debug)]
pub struct DeletePermit {
    /// `None`: nothing of it is allowed, and the backend hears nothing.
    pub permit: Option<Permit>,
    pub allowed: Vec<ObjectIdentifier>,
    pub denied: Vec<(ObjectIdentifier, S3Error)>,
    pub quiet: bool,
}

/// What is asked for, read whole. It is a permit only once every permission was given.
fn understood(call: Call, request_headers: &HeaderMap, subject: Subject<'_>) -> Result<Permit, S3Error> {
    for name in ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"] {
        if request_headers.get(name).is_some_and(|owner| owner != subject.account) {
            return Err(S3Error::new(
                ErrorCode::AccessDenied,
                "Access Denied: the bucket has another owner.",
            ));
        }
    }
    Ok(Permit {
        copy_source: CopySource::of(call.spec, request_headers, subject.profile)?,
        headers: headers::crossing(call.spec, request_headers)?,
        spec: call.spec,
        target: call.target,
        query: call.query,
    })
}

fn permissions(permit: &Permit, headers: &HeaderMap) -> Vec<Permission> {
    let resource = match (permit.target.bucket(), permit.target.key()) {
        (Some(bucket), Some(key)) => arn::object(bucket, key),
        (Some(bucket), None) => arn::bucket(bucket),
        // An action without a resource type; policies write `*` or `arn:aws:s3:::*` for it.
        (None, _) => arn::bucket("*"),
    };
    let of_version = permit.query.iter().any(|(name, _)| name == "versionId");
    let actions = if of_version { permit.spec.version_actions } else { permit.spec.actions };
    let mut needed: Vec<Permission> = actions
        .iter()
        .copied()
        .chain(asked_by_headers(permit, headers))
        .map(|action| Permission { action, resource: resource.clone() })
        .collect();
    if let Some(source) = &permit.copy_source {
        let resource = arn::object(&source.bucket, &source.key);
        let versioned = source.version_id.is_some();
        let read = if versioned { "s3:GetObjectVersion" } else { "s3:GetObject" };
        needed.push(Permission { action: read, resource: resource.clone() });
        if headers.get("x-amz-tagging-directive").is_some_and(|directive| directive == "COPY") {
            let tags = if versioned { "s3:GetObjectVersionTagging" } else { "s3:GetObjectTagging" };
            needed.push(Permission { action: tags, resource });
        }
    }
    needed
}

/// What headers ask for beside the operation itself. A header that sets something needs the action that sets it.
fn asked_by_headers(permit: &Permit, headers: &HeaderMap) -> Vec<&'static str> {
    let mut actions = Vec::new();
    let has = |name: &str| headers.contains_key(name);
    let writes_object =
        matches!(permit.spec.name, "PutObject" | "CopyObject" | "CreateMultipartUpload" | "PostObject");
    if writes_object {
        if has("x-amz-acl") || headers.keys().any(|name| name.as_str().starts_with("x-amz-grant-")) {
            actions.push("s3:PutObjectAcl");
        }
        if has("x-amz-tagging") || has("x-amz-tagging-directive") {
            actions.push("s3:PutObjectTagging");
        }
        if has("x-amz-object-lock-mode") || has("x-amz-object-lock-retain-until-date") {
            actions.push("s3:PutObjectRetention");
        }
        if has("x-amz-object-lock-legal-hold") {
            actions.push("s3:PutObjectLegalHold");
        }
    }
    if permit.spec.name == "CreateBucket" {
        if has("x-amz-acl") || headers.keys().any(|name| name.as_str().starts_with("x-amz-grant-")) {
            actions.push("s3:PutBucketAcl");
        }
        if has("x-amz-bucket-object-lock-enabled") {
            actions.extend(["s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"]);
        }
        if has("x-amz-object-ownership") {
            actions.push("s3:PutBucketOwnershipControls");
        }
    }
    actions.extend(bypasses_governance(headers));
    actions
}

/// Whatever its value: what a backend takes for true is not ours to guess.
fn bypasses_governance(headers: &HeaderMap) -> Option<&'static str> {
    headers.contains_key("x-amz-bypass-governance-retention").then_some("s3:BypassGovernanceRetention")
}

fn allowed(permission: &Permission, subject: Subject<'_>) -> Result<(), S3Error> {
    let Permission { action, resource } = permission;
    let decision = subject.policies.evaluate(&Request { action, resource });
    let (why, cause) = match decision {
        Decision::Allow(_) => return Ok(()),
        Decision::ExplicitDeny(statement, by) => {
            (format!("with an explicit deny in {}", kind_of(by)), format!("denied by {statement}"))
        }
        Decision::ImplicitDeny(by) => (
            format!(
                "because no {} allows the {action} action",
                kind_of(by).trim_start_matches("an ").trim_start_matches("a ")
            ),
            format!("no {} allows {action} on {resource}", kind_of(by)),
        ),
    };
    Err(S3Error::new(
        ErrorCode::AccessDenied,
        format!(
            "User: {} is not authorized to perform: {action} on resource: \"{resource}\" {why}",
            subject.principal
        ),
    )
    .caused_by(cause))
}

fn kind_of(by: DeniedBy) -> &'static str {
    match by {
        DeniedBy::Identity => "an identity-based policy",
        DeniedBy::Session => "a session policy",
    }
}
