//! Decisions: each right that a request needs is asked for, on what the backend will act on.

use crate::support::{Answer, Gateway, Keys, allow, call};

const OBJECTS: &str = "arn:aws:s3:::bucket/*";

/// A gateway with one role that may do this.
async fn gateway_with(actions: &str, resources: &str) -> (Gateway, Keys) {
    let gateway = Gateway::builder().role("some", &allow(actions, resources)).start().await;
    let keys = gateway.role_session("some").await;
    (gateway, keys)
}

#[tokio::test]
async fn a_denial_names_who_what_and_why() {
    let (gateway, keys) = gateway_with("s3:GetObject", OBJECTS).await;
    let reply = gateway.send(&keys, call("PUT", "/bucket/key").body("b")).await;
    reply.is_error(403, "AccessDenied");
    let message = reply.element("Message").unwrap();
    assert_eq!(
        message,
        "User: arn:aws:sts::000000000000:assumed-role/some/test is not authorized to perform: s3:PutObject on resource: \
         \"arn:aws:s3:::bucket/key\" because no identity-based policy allows the s3:PutObject action"
    );
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn each_operation_asks_for_its_own_action() {
    for (action, method, path, query, body) in [
        ("s3:ListAllMyBuckets", "GET", "/", "", ""),
        ("s3:ListBucket", "GET", "/bucket", "list-type=2", ""),
        ("s3:ListBucket", "HEAD", "/bucket", "", ""),
        ("s3:GetBucketLocation", "GET", "/bucket", "location", ""),
        ("s3:GetBucketPolicy", "GET", "/bucket", "policy", ""),
        ("s3:PutBucketPolicy", "PUT", "/bucket", "policy", "{}"),
        ("s3:DeleteBucketPolicy", "DELETE", "/bucket", "policy", ""),
        ("s3:PutBucketCORS", "DELETE", "/bucket", "cors", ""),
        ("s3:PutLifecycleConfiguration", "PUT", "/bucket", "lifecycle", "<x/>"),
        ("s3:CreateBucket", "PUT", "/bucket", "", ""),
        ("s3:DeleteBucket", "DELETE", "/bucket", "", ""),
        ("s3:ListBucketVersions", "GET", "/bucket", "versions", ""),
        ("s3:ListBucketMultipartUploads", "GET", "/bucket", "uploads", ""),
        ("s3:GetObject", "GET", "/bucket/key", "", ""),
        ("s3:GetObjectVersion", "GET", "/bucket/key", "versionId=1", ""),
        ("s3:PutObject", "PUT", "/bucket/key", "", "b"),
        ("s3:DeleteObject", "DELETE", "/bucket/key", "", ""),
        ("s3:DeleteObjectVersion", "DELETE", "/bucket/key", "versionId=null", ""),
        ("s3:GetObjectAcl", "GET", "/bucket/key", "acl", ""),
        ("s3:GetObjectTagging", "GET", "/bucket/key", "tagging", ""),
        ("s3:AbortMultipartUpload", "DELETE", "/bucket/key", "uploadId=1", ""),
        ("s3:ListMultipartUploadParts", "GET", "/bucket/key", "uploadId=1", ""),
        ("s3:PutObjectRetention", "PUT", "/bucket/key", "retention", "<Retention/>"),
        ("s3:GetBucketObjectLockConfiguration", "GET", "/bucket", "object-lock", ""),
    ] {
        let deny = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"*","Resource":"*"}},{{"Effect":"Deny","Action":"{action}","Resource":"*"}}]}}"#
        );
        let gateway =
            Gateway::builder().role("only", &allow(action, "*")).role("all-but", &deny).start().await;
        let request = || {
            let request = call(method, path).body(body);
            if query.is_empty() { request } else { request.query(query) }
        };
        let denied = gateway.send(&gateway.role_session("all-but").await, request()).await;
        assert_eq!(denied.status, 403, "{action} {method} {path}?{query}");
        gateway.backend().saw_nothing();
        let allowed = gateway.send(&gateway.role_session("only").await, request()).await;
        assert_eq!(allowed.status, 200, "{action} {method} {path}?{query}: {}", allowed.text());
        assert_eq!(gateway.backend().requests().len(), 1, "{action}");
    }
}

#[tokio::test]
async fn a_copy_needs_to_read_its_source() {
    let (gateway, keys) = gateway_with("s3:PutObject", OBJECTS).await;
    for request in [
        call("PUT", "/bucket/key").header("x-amz-copy-source", "/bucket/other"),
        call("PUT", "/bucket/key").header("x-amz-copy-source", "payroll/all"),
        call("PUT", "/bucket/key")
            .query("partNumber=1")
            .query("uploadId=1")
            .header("x-amz-copy-source", "/bucket/other"),
    ] {
        gateway.send(&keys, request).await.is_error(403, "AccessDenied");
    }
    gateway.backend().saw_nothing();

    let (gateway, keys) = gateway_with("s3:PutObject s3:GetObject", OBJECTS).await;
    let other_bucket = call("PUT", "/bucket/key").header("x-amz-copy-source", "payroll/all");
    gateway.send(&keys, other_bucket).await.is_error(403, "AccessDenied");
    let version = call("PUT", "/bucket/key").header("x-amz-copy-source", "bucket/other?versionId=1");
    gateway.send(&keys, version).await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
    // A session policy is asked about the source as the role's own policies are.
    let narrow = allow("s3:PutObject", OBJECTS);
    let arn = "arn:aws:iam::000000000000:role/some";
    let narrowed = gateway.assume(&[("RoleArn", arn), ("RoleSessionName", "me"), ("Policy", &narrow)]).await;
    let copy = call("PUT", "/bucket/key").header("x-amz-copy-source", "/bucket/other");
    gateway.send(&narrowed, copy).await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
    gateway
        .send(&keys, call("PUT", "/bucket/key").header("x-amz-copy-source", "bucket/o%20ther"))
        .await
        .is_ok();
    assert_eq!(gateway.backend().only_request().header("x-amz-copy-source"), Some("/bucket/o%20ther"));
}

#[tokio::test]
async fn headers_that_set_something_need_the_action_that_sets_it() {
    let (gateway, keys) = gateway_with("s3:PutObject s3:DeleteObject", OBJECTS).await;
    for (name, value) in [
        ("x-amz-acl", "public-read"),
        ("x-amz-grant-read", "id=1"),
        ("x-amz-tagging", "a=b"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-object-lock-retain-until-date", "2030-01-01T00:00:00Z"),
        ("x-amz-object-lock-legal-hold", "ON"),
    ] {
        let put = call("PUT", "/bucket/key").body("b").header(name, value);
        gateway.send(&keys, put).await.is_error(403, "AccessDenied");
        let create = call("POST", "/bucket/key").query("uploads").header(name, value);
        gateway.send(&keys, create).await.is_error(403, "AccessDenied");
    }
    for (name, value) in
        [("x-amz-acl", "private"), ("x-amz-tagging-directive", "REPLACE"), ("x-amz-tagging", "a=b")]
    {
        let copy =
            call("PUT", "/bucket/key").header("x-amz-copy-source", "/bucket/other").header(name, value);
        let reply = gateway.send(&keys, copy).await;
        reply.is_error(403, "AccessDenied");
        assert!(!reply.text().contains("s3:GetObject"), "{name}: {}", reply.text());
    }
    let bypass = call("DELETE", "/bucket/key").header("x-amz-bypass-governance-retention", "false");
    gateway.send(&keys, bypass).await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_new_bucket_needs_the_rights_to_all_that_it_is_made_with() {
    let document = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:CreateBucket","Resource":"*",
        "Condition":{"StringEqualsIfExists":{"s3:LocationConstraint":"eu-central-1"}}}}"#;
    let gateway = Gateway::builder().role("some", document).start().await;
    let keys = gateway.role_session("some").await;
    let located = |place: &str| {
        let place = format!("<LocationConstraint>{place}</LocationConstraint>");
        call("PUT", "/bucket").body(format!("<CreateBucketConfiguration>{place}</CreateBucketConfiguration>"))
    };
    for (name, value) in [
        ("x-amz-acl", "private"),
        ("x-amz-grant-read", "id=1"),
        ("x-amz-bucket-object-lock-enabled", "true"),
        ("x-amz-object-ownership", "ObjectWriter"),
    ] {
        let create = call("PUT", "/bucket").header(name, value);
        gateway.send(&keys, create).await.is_error(403, "AccessDenied");
    }
    gateway.send(&keys, located("us-west-1")).await.is_error(403, "AccessDenied");
    let tagged = "<CreateBucketConfiguration><Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>";
    gateway.send(&keys, call("PUT", "/bucket").body(tagged)).await.is_error(400, "MalformedXML");
    gateway.backend().saw_nothing();
    gateway.send(&keys, located("eu-central-1")).await.is_ok();
}

#[tokio::test]
async fn each_key_of_a_multi_delete_is_decided_on_its_own() {
    let (gateway, keys) = gateway_with("s3:DeleteObject", "arn:aws:s3:::bucket/mine/*").await;
    gateway.backend().answers(|_| {
        Answer::new(
            200,
            "<?xml version=\"1.0\"?><DeleteResult><Deleted><Key>mine/a</Key></Deleted></DeleteResult>",
        )
    });
    let body = "<Delete><Object><Key>mine/a</Key></Object><Object><Key>theirs/b&amp;c</Key></Object>\
                <Object><Key>mine/v</Key><VersionId>1</VersionId></Object></Delete>";
    let reply = gateway.send(&keys, call("POST", "/bucket").query("delete").body(body)).await;
    assert_eq!(reply.status, 200);
    let text = reply.text();
    assert!(text.contains("<Deleted><Key>mine/a</Key></Deleted>"), "{text}");
    assert!(text.contains("<Error><Key>theirs/b&amp;c</Key><Code>AccessDenied</Code>"), "{text}");
    assert!(
        text.contains("<Error><Key>mine/v</Key><VersionId>1</VersionId><Code>AccessDenied</Code>"),
        "{text}"
    );
    let sent = String::from_utf8(gateway.backend().only_request().body).unwrap();
    assert!(
        sent.contains("<Key>mine/a</Key>") && !sent.contains("theirs") && !sent.contains("mine/v"),
        "{sent}"
    );
    assert!(gateway.backend().only_request().header("content-md5").is_some());
}

#[tokio::test]
async fn a_multi_delete_of_which_nothing_is_allowed_never_leaves() {
    let (gateway, keys) = gateway_with("s3:DeleteObject", "arn:aws:s3:::bucket/mine/*").await;
    let body = "<Delete><Object><Key>theirs/a</Key></Object></Delete>";
    let reply = gateway.send(&keys, call("POST", "/bucket").query("delete").body(body)).await;
    assert_eq!(reply.status, 200);
    assert!(reply.text().contains("<Code>AccessDenied</Code>"), "{}", reply.text());
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_multi_delete_that_is_not_plain_xml_is_malformed() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let many = format!("<Delete>{}</Delete>", "<Object><Key>k</Key></Object>".repeat(1001));
    let deep = format!("{}{}", "<Delete>".repeat(10_000), "</Delete>".repeat(10_000));
    let attributes =
        format!("<Delete {}><Object><Key>k</Key><Evil/></Object></Delete>", "a='1' ".repeat(100_000));
    for body in [
        "",
        "<Delete/>",
        "<Delete><Object><Key></Key></Object></Delete>",
        "<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
        "<Delete><Object><Key>../a</Key></Object></Delete>",
        "<Delete><Object><Key>a</Key></Object></Delete><Delete><Object><Key>b</Key></Object></Delete>",
        "<!DOCTYPE d [<!ENTITY e \"x\">]><Delete><Object><Key>&e;</Key></Object></Delete>",
        "<Delete><Object><Key>&e;</Key></Object></Delete>",
        "<Delete><Object><Key>&#0;</Key></Object></Delete>",
        "<Delete><Object><Key>a</Key></Object>",
        "{\"Delete\": []}",
        "<Delete><Object><Key>a</Key></Object><Everything>true</Everything></Delete>",
        "\u{feff}\u{0}<\u{0}D",
        many.as_str(),
        deep.as_str(),
        attributes.as_str(),
    ] {
        let reply = gateway.send(&keys, call("POST", "/bucket").query("delete").body(body)).await;
        reply.is_error(400, "MalformedXML");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_denied_object_looks_the_same_whether_it_is_there_or_not() {
    let (gateway, keys) = gateway_with("s3:GetObject", "arn:aws:s3:::bucket/mine/*").await;
    for request in [
        call("GET", "/bucket/theirs"),
        call("GET", "/bucket/theirs").header("if-none-match", "\"0\""),
        call("GET", "/bucket/theirs").header("range", "bytes=0-1"),
    ] {
        gateway.send(&keys, request).await.is_error(403, "AccessDenied");
    }
    gateway.backend().saw_nothing();
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>, "Permissions"
#[tokio::test]
async fn who_may_not_list_a_bucket_does_not_learn_which_keys_are_missing() {
    let listing = r#"{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::bucket"}"#;
    let reading = r#"{"Effect":"Allow","Action":["s3:Get*","s3:PutObject"],"Resource":"arn:aws:s3:::*/*"}"#;
    let policy = |statements: &str| format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    let gateway = Gateway::builder()
        .role("reader", &policy(reading))
        .role("lister", &policy(&format!("{reading},{listing}")))
        .start()
        .await;
    let requests = || {
        [
            call("GET", "/bucket/missing"),
            call("GET", "/bucket/missing").query("versionId=7"),
            call("GET", "/bucket/missing").query("attributes").header("x-amz-object-attributes", "ETag"),
            call("GET", "/bucket/missing").header("if-none-match", "\"0\""),
            call("PUT", "/other/key").header("x-amz-copy-source", "/bucket/missing"),
        ]
    };
    for (role, status, code) in [("lister", 404, "NoSuchKey"), ("reader", 403, "AccessDenied")] {
        let keys = gateway.role_session(role).await;
        gateway.backend().answers(|_| {
            Answer::new(
                404,
                "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>",
            )
        });
        for request in requests() {
            gateway.send(&keys, request).await.is_error(status, code);
        }
        gateway.backend().answers(|_| Answer::new(404, ""));
        assert_eq!(gateway.send(&keys, call("HEAD", "/bucket/missing")).await.status, status, "{role}");
    }
}

#[tokio::test]
async fn an_explicit_deny_is_not_walked_around_by_another_spelling() {
    let document = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"s3:*","Resource":"*"},
        {"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::bucket/secret/*"}]}"#;
    let gateway = Gateway::builder().role("some", document).start().await;
    let keys = gateway.role_session("some").await;
    for path in [
        "/bucket/secret/k",
        "/bucket//secret/k",
        "/bucket/secret//k",
        "/bucket/x/../secret/k",
        "/bucket/./secret/k",
        "/bucket/%2E%2E/secret/k",
        "/bucket/secret%2Fk",
        "/bucket%2Fsecret%2Fk",
        "/bucket/secret%5Ck",
        "/bucket/x%5C..%5Csecret/k",
        "//bucket/secret/k",
        "/bucket/%73ecret/k",
    ] {
        // The client signs what it sends; some of these spellings are canonical for no signer, which is a refusal too.
        let reply = gateway.send(&keys, call("GET", path)).await;
        assert!(matches!(reply.status, 400 | 403), "{path}: {}", reply.status);
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_user_without_policies_may_do_nothing() {
    let gateway =
        Gateway::builder().role("empty", &allow("s3:NoSuchAction", "arn:aws:s3:::nowhere")).start().await;
    let keys = gateway.role_session("empty").await;
    for request in [call("GET", "/"), call("GET", "/bucket"), call("GET", "/bucket/key")] {
        gateway.send(&keys, request).await.is_error(403, "AccessDenied");
    }
    gateway.backend().saw_nothing();
}
