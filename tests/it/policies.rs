//! Policies against whole requests: what each operation needs, and what conditions see of it.

use std::collections::BTreeSet;

use daypass::s3::operation::{self, Kind, Level, Selector, Spec};

use crate::support::{Answer, Call, Gateway, Keys, allow, call};

const ACCOUNT: &str = "000000000000";

fn policy(statements: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)
}

/// A gateway with one role of these statements.
async fn gateway_with(statements: &str) -> (Gateway, Keys) {
    let gateway = Gateway::builder().role("some", &policy(statements)).start().await;
    let keys = gateway.role_session("some").await;
    (gateway, keys)
}

/// A request for an operation.
fn request(spec: &Spec, version: bool) -> Call {
    let path = match spec.level {
        Level::Service => "/",
        Level::Bucket => "/bucket",
        Level::Object => "/bucket/key",
    };
    let mut request = call(spec.method.as_str(), path);
    for selector in spec.selectors {
        request = request.query(&match selector {
            Selector::Bare(name) => (*name).to_owned(),
            Selector::Valued(name) => format!("{name}=1"),
            Selector::Exactly(name, value) => format!("{name}={value}"),
        });
    }
    if version {
        request = request.query("versionId=1");
    }
    match (spec.kind, spec.name) {
        (Kind::Copy, _) => request.header("x-amz-copy-source", "/bucket/source"),
        (Kind::MultiDelete, _) => request.body("<Delete><Object><Key>key</Key></Object></Delete>"),
        (_, "PutBucketPolicy") => request.body("{}"),
        (_, "PutObjectTagging") => request.body("<Tagging><TagSet/></Tagging>"),
        (_, "PutObjectRetention") => request.body("<Retention/>"),
        (_, "PutObjectLegalHold") => request.body("<LegalHold><Status>ON</Status></LegalHold>"),
        (_, name) if name.starts_with("Put") || name.starts_with("Select") || name.starts_with("Restore") => {
            request.body("<x/>")
        }
        (_, "CompleteMultipartUpload") => request.body("<x/>"),
        _ => request,
    }
}

fn needed(spec: &Spec, version: bool) -> Vec<&'static str> {
    let mut actions = if version { spec.version_actions.to_vec() } else { spec.actions.to_vec() };
    if spec.kind == Kind::Copy {
        actions.push("s3:GetObject");
    }
    actions
}

#[tokio::test]
async fn every_operation_needs_all_of_its_actions_and_no_other() {
    let operations: Vec<(&Spec, bool)> = operation::all()
        .filter(|spec| spec.refused.is_none() && spec.kind != Kind::Form)
        .flat_map(|spec| [(spec, false), (spec, true)])
        .filter(|(spec, version)| !version || !spec.version_actions.is_empty())
        .collect();
    assert!(operations.len() > 100, "{}", operations.len());
    let actions: BTreeSet<&str> =
        operations.iter().flat_map(|(spec, version)| needed(spec, *version)).collect();
    let name = |actions: &str| actions.replace([':', ' '], "-");
    let mut builder = Gateway::builder();
    for action in &actions {
        let all_but = policy(&format!(
            r#"{{"Effect":"Allow","Action":"*","Resource":"*"}},{{"Effect":"Deny","Action":"{action}","Resource":"*"}}"#
        ));
        builder = builder.role(&format!("no-{}", name(action)), &all_but);
    }
    let exactly: BTreeSet<String> =
        operations.iter().map(|(spec, version)| needed(spec, *version).join(" ")).collect();
    for list in &exactly {
        builder = builder.role(&format!("only-{}", name(list)), &allow(list, "*"));
    }
    let gateway = builder.start().await;
    gateway.backend().answers(|request| {
        let deleted = "<DeleteResult><Deleted><Key>key</Key></Deleted></DeleteResult>";
        Answer::new(200, if request.target.contains("delete") { deleted } else { "" })
    });
    for (spec, version) in operations {
        let needed = needed(spec, version);
        for action in &needed {
            let keys = gateway.role_session(&format!("no-{}", name(action))).await;
            let denied = gateway.send(&keys, request(spec, version)).await;
            let refused = if spec.kind == Kind::MultiDelete {
                denied.text().contains("<Code>AccessDenied</Code>")
            } else {
                denied.status == 403
            };
            assert!(refused, "{} without {action}: {} {}", spec.name, denied.status, denied.text());
            gateway.backend().saw_nothing();
        }
        let keys = gateway.role_session(&format!("only-{}", name(&needed.join(" ")))).await;
        let allowed = gateway.send(&keys, request(spec, version)).await;
        assert_eq!(allowed.status, 200, "{} with {needed:?}: {}", spec.name, allowed.text());
        assert_eq!(gateway.backend().requests().len(), 1, "{}", spec.name);
        gateway.backend().forget();
    }
}

/// What a condition is asked with: the statement's condition, a request that it lets through, one that it stops.
async fn lets_through(action: &str, condition: &str, good: Vec<Call>, bad: Vec<Call>) {
    let statement =
        format!(r#"{{"Effect":"Allow","Action":{action},"Resource":"*","Condition":{condition}}}"#);
    let (gateway, keys) = gateway_with(&statement).await;
    for request in bad {
        let shown = format!("{} {} {:?}", request.method, request.path, request.query);
        let reply = gateway.send(&keys, request).await;
        assert_eq!(reply.status, 403, "{condition} {shown}: {}", reply.text());
    }
    gateway.backend().saw_nothing();
    for request in good {
        let reply = gateway.send(&keys, request).await;
        assert_eq!(reply.status, 200, "{condition}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_listing_is_held_to_its_prefix() {
    let list = |query: &[&str]| {
        ["list-type=2", ""]
            .into_iter()
            .filter(|version| !version.is_empty())
            .chain(query.iter().copied())
            .fold(call("GET", "/bucket"), Call::query)
    };
    let old = |query: &[&str]| query.iter().fold(call("GET", "/bucket"), |call, pair| call.query(pair));
    lets_through(
        r#""s3:ListBucket""#,
        r#"{"StringLike":{"s3:prefix":["home/bob/*","shared"]}}"#,
        vec![list(&["prefix=home%2Fbob%2F"]), old(&["prefix=home%2Fbob%2Fx"]), list(&["prefix=shared"])],
        vec![
            list(&[]),
            old(&[]),
            list(&["prefix="]),
            list(&["prefix=home%2Fbobby%2F"]),
            list(&["prefix=home%2Falice%2F"]),
            list(&["prefix=home%252Fbob%252F"]),
            list(&["prefix=sharedx"]),
            list(&["delimiter=home%2Fbob%2F"]),
            list(&[]).header("x-amz-meta-prefix", "shared"),
            list(&[]).header("s3-prefix", "shared"),
        ],
    )
    .await;
    lets_through(
        r#"["s3:ListBucketVersions","s3:ListBucketMultipartUploads"]"#,
        r#"{"StringEquals":{"s3:prefix":"mine","s3:delimiter":"/"},"NumericLessThanEquals":{"s3:max-keys":"10"}}"#,
        vec![old(&["versions", "prefix=mine", "delimiter=%2F", "max-keys=10"])],
        vec![
            old(&["versions", "prefix=mine", "delimiter=%2F"]),
            old(&["versions", "prefix=mine", "delimiter=%2F", "max-keys=11"]),
            old(&["versions", "prefix=mine", "max-keys=10"]),
            old(&["uploads", "prefix=theirs", "delimiter=%2F"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn conditions_see_headers_and_versions_as_they_are_sent_on() {
    let put = || call("PUT", "/bucket/key").body("b");
    lets_through(
        r#"["s3:PutObject","s3:PutObjectTagging"]"#,
        r#"{"StringEquals":{"s3:x-amz-server-side-encryption":"AES256"},"ForAllValues:StringEquals":{"s3:RequestObjectTagKeys":["team"]},"StringEqualsIfExists":{"s3:RequestObjectTag/team":"a b"}}"#,
        vec![
            put().header("x-amz-server-side-encryption", "AES256"),
            put().header("x-amz-server-side-encryption", "AES256").header("x-amz-tagging", "team=a+b"),
            put().header("x-amz-server-side-encryption", "AES256").header("x-amz-tagging", "team=a%20b"),
        ],
        vec![
            put(),
            put().header("x-amz-server-side-encryption", "aws:kms"),
            put().header("x-amz-server-side-encryption", "AES256").header("x-amz-tagging", "team=c"),
            put().header("x-amz-server-side-encryption", "AES256").header("x-amz-tagging", "team=a+b&other=1"),
        ],
    )
    .await;
    lets_through(
        r#"["s3:GetObject","s3:GetObjectVersion"]"#,
        r#"{"StringEquals":{"s3:VersionId":"7"}}"#,
        vec![call("GET", "/bucket/key").query("versionId=7")],
        vec![call("GET", "/bucket/key"), call("GET", "/bucket/key").query("versionId=8")],
    )
    .await;
    let copy = |source: &str| call("PUT", "/bucket/key").header("x-amz-copy-source", source);
    lets_through(
        r#""s3:*""#,
        r#"{"StringLike":{"s3:x-amz-copy-source":"public/*"},"Null":{"s3:x-amz-metadata-directive":"true"}}"#,
        vec![copy("/public/a"), copy("public/%61")],
        vec![
            copy("/private/a"),
            copy("/publicx/a"),
            copy("/public/a").header("x-amz-metadata-directive", "REPLACE"),
            call("PUT", "/bucket/key").body("b"),
        ],
    )
    .await;
}

#[tokio::test]
async fn tags_that_two_storages_could_read_in_two_ways_are_refused() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for tags in ["a=1&a=2", "a=1&%61=2", "a=1;b=2", "a=%zz", "a=%ff", "=1"] {
        let put = call("PUT", "/bucket/key").body("b").header("x-amz-tagging", tags);
        gateway.send(&keys, put).await.is_error(400, "InvalidArgument");
    }
    gateway.backend().saw_nothing();
    gateway
        .send(&keys, call("PUT", "/bucket/key").body("b").header("x-amz-tagging", "a=1&b=x+y"))
        .await
        .is_ok();
}

#[tokio::test]
async fn conditions_see_what_a_document_sets() {
    let tags = |tags: &str| {
        call("PUT", "/bucket/key")
            .query("tagging")
            .body(format!("<Tagging><TagSet>{tags}</TagSet></Tagging>"))
    };
    lets_through(
        r#""s3:PutObjectTagging""#,
        r#"{"StringEquals":{"s3:RequestObjectTag/class":"public"}}"#,
        vec![tags("<Tag><Key>class</Key><Value>public</Value></Tag>")],
        vec![
            tags(""),
            tags("<Tag><Key>class</Key><Value>secret</Value></Tag>"),
            tags("<Tag><Key>Class</Key><Value>public</Value></Tag>"),
        ],
    )
    .await;
    let retention = |mode: &str, until: &str| {
        call("PUT", "/bucket/key").query("retention").body(format!(
            "<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
        ))
    };
    lets_through(
        r#""s3:PutObjectRetention""#,
        r#"{"StringEquals":{"s3:object-lock-mode":"GOVERNANCE"},"NumericLessThanEquals":{"s3:object-lock-remaining-retention-days":"30"}}"#,
        vec![retention("GOVERNANCE", "2026-12-20T00:00:00Z")],
        vec![retention("COMPLIANCE", "2026-12-20T00:00:00Z"), retention("GOVERNANCE", "2036-12-20T00:00:00Z")],
    )
    .await;
}

/// A gateway whose role may do everything but what a denial under this condition forbids refuses each of the requests as odd.
async fn are_odd(condition: &str, requests: Vec<Call>) {
    let (gateway, keys) = gateway_with(&format!(
        r#"{{"Effect":"Allow","Action":"*","Resource":"*"}},{{"Effect":"Deny","Action":"*","Resource":"*","Condition":{condition}}}"#
    ))
    .await;
    for request in requests {
        let reply = gateway.send(&keys, request).await;
        assert_eq!(reply.status, 400, "{condition}: {}", reply.text());
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_value_in_a_spelling_of_its_own_does_not_walk_around_a_denial() {
    let put = |name: &str, value: &str| call("PUT", "/bucket/key").body("b").header(name, value);
    let lock = |mode: &str, until: &str| {
        put("x-amz-object-lock-mode", mode).header("x-amz-object-lock-retain-until-date", until)
    };
    let date = "2036-12-20T00:00:00Z";
    let retention = |root: &str, mode: &str, until: &str| {
        call("PUT", "/bucket/key")
            .query("retention")
            .body(format!("<{root}><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></{root}>"))
    };
    let modes = vec![
        lock("compliance", date),
        lock("Compliance", date),
        retention("Retention", "compliance", date),
        retention("Other", "COMPLIANCE", date),
    ];
    are_odd(r#"{"StringEquals":{"s3:object-lock-mode":"COMPLIANCE"}}"#, modes).await;
    let dates = vec![
        lock("GOVERNANCE", "20361220T000000Z"),
        lock("GOVERNANCE", "Sat, 20 Dec 2036 00:00:00 GMT"),
        retention("Retention", "GOVERNANCE", "20361220T000000Z"),
    ];
    are_odd(r#"{"NumericGreaterThan":{"s3:object-lock-remaining-retention-days":"30"}}"#, dates).await;
    let list = |most: &str| call("GET", "/bucket").query("list-type=2").query(&format!("max-keys={most}"));
    let counts = ["%2B1000", "-1", "1e3", "0x3e8", "%201000", "1000.0", "99999999999"].map(list);
    are_odd(r#"{"NumericGreaterThan":{"s3:max-keys":"10"}}"#, counts.into()).await;
    let hold =
        call("PUT", "/bucket/key").query("legal-hold").body("<LegalHold><Status>on</Status></LegalHold>");
    let holds = vec![put("x-amz-object-lock-legal-hold", "on"), hold];
    are_odd(r#"{"StringEquals":{"s3:object-lock-legal-hold":"ON"}}"#, holds).await;
    let encryption = vec![put("x-amz-server-side-encryption", "AWS:KMS")];
    are_odd(r#"{"StringEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}"#, encryption).await;
    let copy = call("PUT", "/bucket/key")
        .header("x-amz-copy-source", "/bucket/a")
        .header("x-amz-metadata-directive", "replace");
    are_odd(r#"{"StringEquals":{"s3:x-amz-metadata-directive":"REPLACE"}}"#, vec![copy]).await;
}

#[tokio::test]
async fn conditions_see_who_from_where_when_and_how() {
    let get = || call("GET", "/bucket/key");
    for (condition, expected) in [
        (r#"{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}"#, 200),
        (r#"{"NotIpAddress":{"aws:SourceIp":"127.0.0.0/8"}}"#, 403),
        (r#"{"Bool":{"aws:SecureTransport":"false"}}"#, 200),
        (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, 403),
        (r#"{"DateLessThan":{"aws:CurrentTime":"2026-11-23T12:00:01Z"}}"#, 200),
        (r#"{"DateLessThan":{"aws:CurrentTime":"2026-11-23T12:00:00Z"}}"#, 403),
        (r#"{"DateGreaterThanEquals":{"aws:TokenIssueTime":"2026-11-23T12:00:00Z"}}"#, 200),
        (r#"{"NumericEquals":{"aws:EpochTime":"1795435200"}}"#, 200),
        (r#"{"StringEquals":{"aws:PrincipalType":"AssumedRole"}}"#, 200),
        (r#"{"Null":{"aws:username":"true"}}"#, 200),
        (r#"{"StringLike":{"aws:userid":"AROA*:test"}}"#, 200),
        (r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::000000000000:role/some"}}"#, 200),
        (r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::000000000000:role/other"}}"#, 403),
        (r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:sts::000000000000:assumed-role/some/*"}}"#, 403),
        (r#"{"StringEquals":{"s3:authType":"REST-HEADER","s3:signatureversion":"AWS4-HMAC-SHA256"}}"#, 200),
        (r#"{"StringEquals":{"s3:authType":"REST-QUERY-STRING"}}"#, 403),
        (r#"{"NumericLessThan":{"s3:signatureAge":"1000"}}"#, 200),
        (r#"{"StringEquals":{"aws:RequestedRegion":"us-east-1","aws:ResourceAccount":"000000000000"}}"#, 200),
        (r#"{"StringEquals":{"aws:UserAgent":"x"}}"#, 403),
        (r#"{"StringEquals":{"jwt:sub":"x"}}"#, 403),
    ] {
        let statement =
            format!(r#"{{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{condition}}}"#);
        let (gateway, keys) = gateway_with(&statement).await;
        let reply = gateway.send(&keys, get()).await;
        assert_eq!(reply.status, expected, "{condition}: {}", reply.text());
        if expected == 403 {
            gateway.backend().saw_nothing();
        }
    }
    let presigned_only = r#"{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"NumericGreaterThan":{"s3:signatureAge":"60000"}}},{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    let (gateway, keys) = gateway_with(presigned_only).await;
    let url = get().at(gateway.now()).presign(&keys, gateway.address(), "600");
    url.send(gateway.address()).await.is_ok();
    gateway.advance(61);
    url.send(gateway.address()).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn an_address_that_a_client_writes_itself_is_not_believed() {
    let statement = r#"{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}"#;
    let (gateway, keys) = gateway_with(statement).await;
    for header in ["x-forwarded-for", "x-real-ip", "forwarded", "true-client-ip", "aws-sourceip"] {
        let value = if header == "forwarded" { "for=203.0.113.9" } else { "203.0.113.9" };
        gateway
            .send(&keys, call("GET", "/bucket/key").header(header, value))
            .await
            .is_error(403, "AccessDenied");
    }
    gateway.backend().saw_nothing();
    let deny = r#"{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}"#;
    let (gateway, keys) = gateway_with(deny).await;
    let spoofed = call("GET", "/bucket/key").header("x-forwarded-for", "203.0.113.9");
    gateway.send(&keys, spoofed).await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_variable_never_widens() {
    let document = policy(
        r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/${aws:PrincipalTag/team}/*"}"#,
    );
    let trust = "[[role.trust]]\nusers = [\"alice\"]\nsession_tags = [\"team\"]\n";
    let gateway = Gateway::builder().role("some", &document).toml(trust).start().await;
    let arn = format!("arn:aws:iam::{ACCOUNT}:role/some");
    let session = async |team: &str| {
        gateway
            .assume(&[
                ("RoleArn", &arn),
                ("RoleSessionName", "me"),
                ("Tags.member.1.Key", "team"),
                ("Tags.member.1.Value", team),
            ])
            .await
    };
    let red = session("red").await;
    gateway.send(&red, call("GET", "/bucket/redder/x")).await.is_error(403, "AccessDenied");
    gateway.send(&red, call("GET", "/bucket/blue/x")).await.is_error(403, "AccessDenied");
    let untagged = gateway.role_session("some").await;
    for path in ["/bucket//x", "/bucket/x", "/bucket/red/x"] {
        let reply = gateway.send(&untagged, call("GET", path)).await;
        assert!(matches!(reply.status, 400 | 403), "{path}");
    }
    gateway.backend().saw_nothing();
    gateway.send(&red, call("GET", "/bucket/red/x")).await.is_ok();
}

#[tokio::test]
async fn a_list_of_buckets_shows_those_with_a_right_in_them() {
    let gateway = Gateway::builder()
        .role("reader", &allow("s3:GetObject", "arn:aws:s3:::logs/2026/*"))
        .role("lister", &allow("s3:ListBucket", "arn:aws:s3:::data"))
        .role("all", &allow("s3:ListAllMyBuckets", "*"))
        .role("none", &allow("sts:AssumeRole", "*"))
        .role("all-but", &policy(r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::*/*"},{"Effect":"Deny","Action":"s3:*","Resource":["arn:aws:s3:::payroll/*","arn:aws:s3:::data/secret/*"]},{"Effect":"Deny","Action":"s3:Put*","Resource":"arn:aws:s3:::logs/*"}"#))
        .role("barred", &policy(r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::logs/*"},{"Effect":"Deny","Action":"s3:ListAllMyBuckets","Resource":"*"}"#))
        .start()
        .await;
    let names = ["logs", "logs-archive", "data", "payroll"];
    let list: String = names.map(|name| format!("<Bucket><Name>{name}</Name></Bucket>")).concat();
    let list = format!(
        "<ListAllMyBucketsResult><Owner><ID>BACKENDROOTKEY000001</ID></Owner><Buckets>{list}</Buckets></ListAllMyBucketsResult>"
    );
    gateway.backend().answers(move |_| Answer::new(200, list.clone()));
    for (role, expected) in [
        ("reader", vec!["logs"]),
        ("lister", vec!["data"]),
        ("all", names.to_vec()),
        // A bucket of which everything is denied is none with a right in it.
        ("all-but", vec!["logs", "logs-archive", "data"]),
    ] {
        let reply = gateway.send(&gateway.role_session(role).await, call("GET", "/")).await;
        reply.is_ok();
        let shown: Vec<&str> =
            names.into_iter().filter(|name| reply.text().contains(&format!("<Name>{name}</Name>"))).collect();
        assert_eq!(shown, expected, "{role}");
        assert!(!reply.text().contains("BACKENDROOTKEY"), "{}", reply.text());
    }
    // What the role may and what the session policy may are different things in that bucket.
    let put = allow("s3:PutObject", "arn:aws:s3:::logs/*");
    let arn = format!("arn:aws:iam::{ACCOUNT}:role/reader");
    let crossed = gateway.assume(&[("RoleArn", &arn), ("RoleSessionName", "me"), ("Policy", &put)]).await;
    gateway.backend().forget();
    gateway.send(&crossed, call("GET", "/")).await.is_error(403, "AccessDenied");
    for role in ["none", "barred"] {
        gateway.send(&gateway.role_session(role).await, call("GET", "/")).await.is_error(403, "AccessDenied");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn nothing_is_made_public_unless_it_may_be() {
    let acl = "<AccessControlPolicy><AccessControlList><Grant><Grantee><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee></Grant></AccessControlList></AccessControlPolicy>";
    let public = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}]}"#;
    let requests = || {
        [
            call("PUT", "/bucket").query("policy").body(public),
            call("PUT", "/bucket").query("acl").body(acl),
            call("PUT", "/bucket/key").query("acl").header("x-amz-acl", "public-read"),
            call("PUT", "/bucket/key").body("b").header("x-amz-acl", "public-read-write"),
            call("PUT", "/bucket").header("x-amz-acl", "authenticated-read"),
            call("POST", "/bucket/key")
                .query("uploads")
                .header("x-amz-grant-read", "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\""),
        ]
    };
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for request in requests() {
        gateway.send(&keys, request).await.is_error(403, "AccessDenied");
    }
    gateway.backend().saw_nothing();
    let open = Gateway::builder().backend_lines("allow_public = true").start().await;
    let keys = open.session().await;
    for request in requests() {
        open.send(&keys, request).await.is_ok();
    }
}

#[tokio::test]
async fn a_denial_can_be_opened_by_those_who_may() {
    let (gateway, keys) = gateway_with(
        r#"{"Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"NoPayroll","Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::payroll/*"}"#,
    )
    .await;
    let denied = gateway.send(&keys, call("GET", "/payroll/all").query("versionId=7")).await;
    denied.is_error(403, "AccessDenied");
    assert!(
        denied.element("Message").unwrap().ends_with("with an explicit deny in an identity-based policy")
    );
    let message = denied.element("EncodedAuthorizationMessage").unwrap();
    assert!(!message.contains("payroll") && !message.contains("NoPayroll"));
    let decode = |message: &str| {
        vec![
            ("Action", "DecodeAuthorizationMessage".to_owned()),
            ("Version", "2011-06-15".to_owned()),
            ("EncodedMessage", message.to_owned()),
        ]
    };
    let send = async |keys: &Keys, message: &str| {
        let form = decode(message);
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        gateway.sts(keys, &form).await
    };
    let opened = send(&keys, &message).await;
    opened.is_ok();
    let text = opened.element("DecodedMessage").unwrap().replace("&quot;", "\"");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["explicitDeny"], true);
    assert_eq!(json["matchedStatements"]["items"][0]["statementId"], "NoPayroll");
    assert_eq!(json["context"]["action"], "s3:GetObjectVersion");
    assert_eq!(json["context"]["resource"], "arn:aws:s3:::payroll/all");
    assert!(text.contains("s3:VersionId"), "{text}");
    send(&keys, "bm9uc2Vuc2U").await.is_error(400, "InvalidAuthorizationMessageException");
    // A session token is sealed under the same key for another purpose.
    send(&keys, keys.token.as_deref().unwrap()).await.is_error(400, "InvalidAuthorizationMessageException");
    let narrow = gateway.assume(&[("Policy", &allow("s3:*", "*"))]).await;
    send(&narrow, &message).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn an_upload_id_is_sent_with_the_key_that_was_allowed() {
    let (gateway, keys) =
        gateway_with(r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::bucket/mine/*"}"#).await;
    gateway
        .backend()
        .answers(|_| Answer::new(404, "<Error><Code>NoSuchUpload</Code><Message>no</Message></Error>"));
    let of = |method: &str, key: &str| call(method, key).query("uploadId=THEIRS");
    for request in [
        of("PUT", "/bucket/theirs/x").query("partNumber=1").body("b"),
        of("POST", "/bucket/theirs/x").body("<CompleteMultipartUpload/>"),
        of("DELETE", "/bucket/theirs/x"),
        of("GET", "/bucket/theirs/x"),
    ] {
        gateway.send(&keys, request).await.is_error(403, "AccessDenied");
    }
    gateway.backend().saw_nothing();
    for request in [
        of("PUT", "/bucket/mine/x").query("partNumber=1").body("b"),
        of("POST", "/bucket/mine/x").body("<CompleteMultipartUpload/>"),
        of("DELETE", "/bucket/mine/x"),
        of("GET", "/bucket/mine/x"),
    ] {
        gateway.send(&keys, request).await.is_error(404, "NoSuchUpload");
    }
    for request in gateway.backend().requests() {
        assert!(request.target.starts_with("/bucket/mine/x?"), "{}", request.target);
    }
}
