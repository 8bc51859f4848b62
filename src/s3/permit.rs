//! The decision: every permission that a request needs, asked one by one. A [`Permit`] is the proof, and the only thing
//! that the backend module takes.

use http::{HeaderMap, HeaderName};

use super::{
    context::{Arrival, RequestContext, header_tags},
    copy_source::CopySource,
    described::Described,
    error::{ErrorCode, S3Error},
    headers,
    multi_delete::{DeleteList, ObjectIdentifier},
    operation::{Call, Kind, Query, Spec},
    profile::Profile,
    target::Target,
};
use crate::{
    arn,
    iam::{Action, Decision, Denial, DeniedBy, EffectivePolicies, Principal, Request},
};

const EXPECTED_OWNER: HeaderName = HeaderName::from_static("x-amz-expected-bucket-owner");
const EXPECTED_SOURCE_OWNER: HeaderName = HeaderName::from_static("x-amz-source-expected-bucket-owner");
const BYPASS_GOVERNANCE: HeaderName = HeaderName::from_static("x-amz-bypass-governance-retention");

/// Who asks, how, and by which rules it is decided.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub principal: &'a Principal,
    pub policies: &'a EffectivePolicies,
    pub profile: &'static Profile,
    pub arrival: Arrival<'a>,
}

/// An allowed request. Only [`authorize`] and [`authorize_delete`] make one.
#[derive(Debug)]
pub struct Permit {
    spec: &'static Spec,
    target: Target,
    query: Query,
    copy_source: Option<CopySource>,
    headers: HeaderMap,
    /// `ListBuckets` without the right to see all of them: the reply shows only some.
    some_buckets: bool,
    /// The session may not list the bucket that it reads from, so it does not learn which keys are not there.
    hides_absence: bool,
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

    /// Whether the buckets of the reply are to be asked for one by one: [`may_see_bucket`].
    pub fn shows_some_buckets(&self) -> bool {
        self.some_buckets
    }

    /// Whether an object that is not there is answered like one that may not be had.
    pub fn hides_absence(&self) -> bool {
        self.hides_absence
    }
}

/// Decides every operation but multi-delete.
pub fn authorize(
    call: Call,
    request_headers: &HeaderMap,
    described: &Described,
    subject: Subject<'_>,
) -> Result<Permit, S3Error> {
    if call.spec.kind == Kind::MultiDelete {
        return Err(S3Error::internal("a multi-delete came without its keys"));
    }
    let mut permit = understood(call, request_headers, subject)?;
    if permit.spec.name == "ListBuckets" {
        permit.some_buckets = decide_list_buckets(&permit, request_headers, described, subject)?;
        return Ok(permit);
    }
    decide(&permit, request_headers, described, subject)?;
    permit.hides_absence = hides_absence(&permit, request_headers, described, subject);
    Ok(permit)
}

/// S3 API reference, `GetObject`: "If you don't have the s3:ListBucket permission, Amazon S3 returns an HTTP status code 403".
fn hides_absence(permit: &Permit, headers: &HeaderMap, described: &Described, subject: Subject<'_>) -> bool {
    let bucket = match (&permit.copy_source, permit.spec.name) {
        (Some(source), _) => Some(source.bucket.as_str()),
        (None, "GetObject" | "HeadObject" | "GetObjectAttributes") => permit.target.bucket(),
        (None, _) => None,
    };
    let (Some(bucket), Some(action)) = (bucket, Action::named("s3:ListBucket")) else { return false };
    let context = context(permit, headers, described, subject);
    let request = Request { action, resource: &arn::bucket(bucket), context: &context };
    !subject.policies.evaluate(&request).is_allow()
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
    let nothing = Described::default();
    let bypass = bypasses_governance(request_headers);
    for object in list.objects {
        let resource = arn::object(&bucket, &object.key);
        let mut context = context(&permit, request_headers, &nothing, subject);
        context.version_id = object.version_id.as_deref();
        let delete = if object.version_id.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
        let mut actions = std::iter::once(delete).chain(bypass);
        let refused = actions.find_map(|action| allowed(action, &resource, &context, subject).err());
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
    for name in [EXPECTED_OWNER, EXPECTED_SOURCE_OWNER] {
        if request_headers.get(name).is_some_and(|owner| owner != subject.principal.account.as_str()) {
            return Err(S3Error::new(
                ErrorCode::AccessDenied,
                "Access Denied: the bucket has another owner.",
            ));
        }
    }
    header_tags(request_headers)?;
    Ok(Permit {
        copy_source: CopySource::of(call.spec, request_headers, subject.profile)?,
        headers: headers::crossing(call.spec, request_headers)?,
        spec: call.spec,
        target: call.target,
        query: call.query,
        some_buckets: false,
        hides_absence: false,
    })
}

fn context<'a>(
    permit: &'a Permit,
    headers: &'a HeaderMap,
    described: &'a Described,
    subject: Subject<'a>,
) -> RequestContext<'a> {
    let version = permit.query.iter().find(|(name, _)| name == "versionId");
    RequestContext {
        principal: subject.principal,
        arrival: subject.arrival,
        headers,
        query: &permit.query,
        copy_source: permit.copy_source.as_ref(),
        version_id: version.map(|(_, value)| value.as_str()),
        described,
    }
}

/// Asks for every right that the request needs: the operation's own, those that its headers ask for, and those on the source
/// of a copy.
fn decide(
    permit: &Permit,
    headers: &HeaderMap,
    described: &Described,
    subject: Subject<'_>,
) -> Result<(), S3Error> {
    let context = context(permit, headers, described, subject);
    let resource = match (permit.target.bucket(), permit.target.key()) {
        (Some(bucket), Some(key)) => arn::object(bucket, key),
        (Some(bucket), None) => arn::bucket(bucket),
        (None, _) => return Err(S3Error::internal("an operation without a resource")),
    };
    let actions =
        if context.version_id.is_some() { permit.spec.version_actions } else { permit.spec.actions };
    if actions.is_empty() {
        return Err(S3Error::internal("an operation without an action"));
    }
    for action in actions.iter().copied().chain(asked_by_headers(permit, headers)) {
        allowed(action, &resource, &context, subject)?;
    }
    let Some(source) = &permit.copy_source else { return Ok(()) };
    let resource = arn::object(&source.bucket, &source.key);
    let context = RequestContext { version_id: source.version_id.as_deref(), ..context };
    let versioned = source.version_id.is_some();
    let read = if versioned { "s3:GetObjectVersion" } else { "s3:GetObject" };
    allowed(read, &resource, &context, subject)?;
    if headers.get("x-amz-tagging-directive").is_some_and(|directive| directive == "COPY") {
        let tags = if versioned { "s3:GetObjectVersionTagging" } else { "s3:GetObjectTagging" };
        allowed(tags, &resource, &context, subject)?;
    }
    Ok(())
}

/// Whether only some of the buckets may be seen. Nobody who could see none of them makes the backend list them.
fn decide_list_buckets(
    permit: &Permit,
    headers: &HeaderMap,
    described: &Described,
    subject: Subject<'_>,
) -> Result<bool, S3Error> {
    let context = context(permit, headers, described, subject);
    // The action has no resource type; policies write `*` or `arn:aws:s3:::*` for it.
    let all = allowed("s3:ListAllMyBuckets", &arn::bucket("*"), &context, subject);
    match all {
        Ok(()) => Ok(false),
        Err(error) if error.is_implicit_denial() && subject.policies.may_reach("arn:aws:s3:::", &context) => {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

/// Whether a bucket is shown to somebody who may not see all of them: who may list it, or has any right in it.
pub fn may_see_bucket(bucket: &str, permit: &Permit, headers: &HeaderMap, subject: Subject<'_>) -> bool {
    let nothing = Described::default();
    let context = context(permit, headers, &nothing, subject);
    let bucket = arn::bucket(bucket);
    let can = |action| allowed(action, &bucket, &context, subject).is_ok();
    can("s3:ListAllMyBuckets")
        || can("s3:ListBucket")
        || subject.policies.may_reach(&format!("{bucket}/"), &context)
        || subject.policies.may_name(&bucket, &context)
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
    headers.contains_key(BYPASS_GOVERNANCE).then_some("s3:BypassGovernanceRetention")
}

fn allowed(
    action: &'static str,
    resource: &str,
    context: &RequestContext<'_>,
    subject: Subject<'_>,
) -> Result<(), S3Error> {
    let Some(action) = Action::named(action) else {
        return Err(S3Error::internal(format!("{action} is no action")));
    };
    let decision = subject.policies.evaluate(&Request { action, resource, context });
    if decision.is_allow() {
        return Ok(());
    }
    Err(denial(action, resource, decision, context, subject))
}

/// As AWS words it.
fn denial(
    action: Action,
    resource: &str,
    decision: Decision<'_>,
    context: &RequestContext<'_>,
    subject: Subject<'_>,
) -> S3Error {
    let name = action.name();
    let (why, cause) = match decision {
        Decision::Allow(_) => return S3Error::internal("an allowed request was denied"),
        Decision::ExplicitDeny(statement, by) => {
            (format!("with an explicit deny in {}", kind_of(by)), format!("denied by {statement}"))
        }
        Decision::ImplicitDeny(by) => {
            let kind = kind_of(by).trim_start_matches("an ").trim_start_matches("a ");
            (
                format!("because no {kind} allows the {name} action"),
                format!("no {kind} allows {name} on {resource}"),
            )
        }
    };
    let message = format!(
        "User: {} is not authorized to perform: {name} on resource: \"{resource}\" {why}",
        subject.principal.arn
    );
    S3Error::new(ErrorCode::AccessDenied, message).caused_by(cause).denied(Denial::new(
        action,
        resource,
        decision,
        context,
        subject.principal,
    ))
}

fn kind_of(by: DeniedBy) -> &'static str {
    match by {
        DeniedBy::Identity => "an identity-based policy",
        DeniedBy::Session => "a session policy",
    }
}
