//! The audit log: what is in it, that everything is there once, and that nothing of it can be changed unseen.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use daypass::audit::{Broken, verify};
use serde_json::{Value, json};

use crate::support::{Answer, Builder, Gateway, Keys, NOW, Provider, SigningKey, allow, call, keys_of, raw};

pub fn audited(lines: &str) -> Builder {
    Gateway::builder().toml(&format!("[audit]\nfile = \"audit.jsonl\"\n{lines}"))
}

pub fn file(gateway: &Gateway) -> PathBuf {
    gateway.folder().join("audit.jsonl")
}

/// Every line that is there, the log's own too.
pub fn lines(file: &Path) -> Vec<Value> {
    // It may be made only by its first line.
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The decisions, once there are as many of them.
pub async fn decisions(gateway: &Gateway, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    for _ in 0..300 {
        found = lines(&file(gateway)).into_iter().filter(|line| line.get("decision").is_some()).collect();
        if found.len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

/// Members of a line by their JSON pointers.
fn is(line: &Value, members: &[(&str, &str)]) {
    for (pointer, value) in members {
        assert_eq!(line.pointer(pointer), Some(&json!(value)), "{pointer} of {line:#}");
    }
}

/// O02: who, with what, from where, what, on what, and why.
#[tokio::test]
async fn a_request_leaves_a_line_with_who_what_where_and_why() {
    let gateway = audited("").role("reader", &allow("s3:GetObject", "arn:aws:s3:::data/*")).start().await;
    gateway.backend().answers(|_| Answer::new(200, "x"));
    let reader = gateway.role_session("reader").await;
    let get = call("GET", "/data/a%20b").query("versionId=7");
    gateway.send(&reader, get).await.is_error(403, "AccessDenied");
    gateway.send(&reader, call("GET", "/data/a%20b").header("user-agent", &"u".repeat(300))).await.is_ok();
    gateway.send(&reader, call("PUT", "/data/x").body("x")).await.is_error(403, "AccessDenied");
    let found = decisions(&gateway, 4).await;
    let [login, version, read, denied] = found.as_slice() else { panic!("{found:#?}") };
    let key = reader.access_key_id.as_str();
    is(
        login,
        &[
            ("/eventSource", "sts.amazonaws.com"),
            ("/eventName", "AssumeRole"),
            ("/decision", "allow"),
            ("/userIdentity/type", "IAMUser"),
            ("/userIdentity/userName", "alice"),
            ("/userIdentity/accessKeyId", "ALICEACCESSKEY000001"),
            ("/requestParameters/roleArn", "arn:aws:iam::000000000000:role/reader"),
            ("/responseElements/credentials/accessKeyId", key),
            ("/responseElements/credentials/expiration", "2026-11-23T13:00:00Z"),
            ("/responseElements/assumedRoleUser/arn", "arn:aws:sts::000000000000:assumed-role/reader/test"),
            ("/resources/0/ARN", "arn:aws:iam::000000000000:role/reader"),
        ],
    );
    is(
        read,
        &[
            ("/eventVersion", "1.11"),
            ("/eventTime", "2026-11-23T12:00:00Z"),
            ("/eventSource", "s3.amazonaws.com"),
            ("/eventName", "GetObject"),
            ("/eventCategory", "Data"),
            ("/awsRegion", "us-east-1"),
            ("/sourceIPAddress", "127.0.0.1"),
            ("/recipientAccountId", "000000000000"),
            ("/userIdentity/type", "AssumedRole"),
            ("/userIdentity/arn", "arn:aws:sts::000000000000:assumed-role/reader/test"),
            ("/userIdentity/accessKeyId", key),
            ("/userIdentity/sessionContext/sessionIssuer/arn", "arn:aws:iam::000000000000:role/reader"),
            ("/userIdentity/sessionContext/attributes/creationDate", "2026-11-23T12:00:00Z"),
            ("/userIdentity/sessionContext/sourceIdentity", "user/alice"),
            ("/decision", "allow"),
            ("/action", "s3:GetObject"),
            ("/requestParameters/bucketName", "data"),
            ("/requestParameters/key", "a b"),
            ("/resources/0/ARN", "arn:aws:s3:::data/a b"),
            ("/resources/1/ARN", "arn:aws:s3:::data"),
            ("/additionalEventData/SignatureVersion", "SigV4"),
            ("/additionalEventData/AuthenticationMethod", "AuthHeader"),
        ],
    );
    assert_eq!(read["userAgent"].as_str().unwrap().len(), 256);
    assert_eq!(read["readOnly"], true);
    is(
        version,
        &[("/action", "s3:GetObjectVersion"), ("/requestParameters/versionId", "7"), ("/decision", "deny")],
    );
    is(
        denied,
        &[
            ("/decision", "deny"),
            ("/action", "s3:PutObject"),
            ("/errorCode", "AccessDenied"),
            ("/reason", "no identity-based policy allows s3:PutObject on arn:aws:s3:::data/x"),
            ("/userIdentity/accessKeyId", key),
        ],
    );
    assert!(denied["errorMessage"].as_str().unwrap().contains("is not authorized to perform: s3:PutObject"));
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file(&gateway)).unwrap().permissions())
            & 0o777,
        0o600
    );
}

/// From a line of S3 over two roles to the token of the provider.
#[tokio::test]
async fn a_session_leads_back_to_the_proof_that_it_comes_from() {
    let key = SigningKey::new("a", "ES256");
    let provider = Provider::start(&[&key]).await;
    let roles = "[[role]]\nname = \"first\"\npolicies = [\"all\"]\n[[role.trust]]\noidc = \"idp\"\n\
                 [[role]]\nname = \"second\"\npolicies = [\"all\"]\n[[role.trust]]\nroles = [\"first\"]\n";
    let gateway = audited("").toml(&format!("{}{roles}", provider.toml("idp"))).start().await;
    let token = key.token(&provider.claims(NOW));
    let form = [("WebIdentityToken", token.as_str()), ("RoleArn", "arn:aws:iam::000000000000:role/first")];
    let first = keys_of(&gateway.unsigned_sts("AssumeRoleWithWebIdentity", &form).await);
    let form = [
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleArn", "arn:aws:iam::000000000000:role/second"),
        ("RoleSessionName", "me"),
    ];
    let second = keys_of(&gateway.sts(&first, &form).await);
    gateway.send(&second, call("GET", "/data/x")).await.is_ok();
    let found = decisions(&gateway, 3).await;
    let [login, chained, read] = found.as_slice() else { panic!("{found:#?}") };
    is(
        read,
        &[
            ("/userIdentity/accessKeyId", &second.access_key_id),
            ("/userIdentity/identityProvider", "oidc/idp"),
            ("/userIdentity/provenAt", "2026-11-23T12:00:00Z"),
            ("/userIdentity/sessionContext/sourceIdentity", "oidc/idp/alice"),
            ("/userIdentity/sessionContext/sessionIssuer/userName", "second"),
            ("/userIdentity/sessionContext/via/0", "arn:aws:iam::000000000000:role/first"),
        ],
    );
    is(
        chained,
        &[
            ("/responseElements/credentials/accessKeyId", &second.access_key_id),
            ("/userIdentity/accessKeyId", &first.access_key_id),
        ],
    );
    is(
        login,
        &[
            ("/responseElements/credentials/accessKeyId", &first.access_key_id),
            ("/userIdentity/type", "WebIdentityUser"),
            ("/userIdentity/identityProvider", "oidc/idp"),
            ("/userIdentity/userName", "alice"),
        ],
    );
}

#[tokio::test]
async fn a_copy_is_recorded_as_what_it_reads_and_what_it_writes() {
    let policy = allow("s3:*", "arn:aws:s3:::bucket/*");
    let gateway = audited("").role("copier", &policy).start().await;
    let keys = gateway.role_session("copier").await;
    let copy = |source: &str| call("PUT", "/bucket/to").header("x-amz-copy-source", source);
    gateway.backend().answers(|_| Answer::new(200, "<CopyObjectResult></CopyObjectResult>"));
    gateway.send(&keys, copy("/bucket/from?versionId=3")).await.is_ok();
    gateway.backend().forget();
    gateway.send(&keys, copy("/payroll/all")).await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
    let found = decisions(&gateway, 5).await;
    let shown: Vec<_> = found[1..]
        .iter()
        .map(|line| {
            let text = |pointer| line.pointer(pointer).unwrap().as_str().unwrap();
            (text("/eventName"), text("/decision"), text("/action"), text("/resources/0/ARN"))
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("CopyObject", "allow", "s3:GetObjectVersion", "arn:aws:s3:::bucket/from"),
            ("CopyObject", "allow", "s3:PutObject", "arn:aws:s3:::bucket/to"),
            ("CopyObject", "deny", "s3:GetObject", "arn:aws:s3:::payroll/all"),
            ("CopyObject", "deny", "s3:PutObject", "arn:aws:s3:::bucket/to"),
        ]
    );
    assert_eq!(found[1]["requestID"], found[2]["requestID"]);
}

#[tokio::test]
async fn each_key_of_a_multi_delete_has_its_line() {
    let gateway =
        audited("").role("deleter", &allow("s3:DeleteObject", "arn:aws:s3:::bucket/mine/*")).start().await;
    let keys = gateway.role_session("deleter").await;
    gateway.backend().answers(|_| Answer::new(200, "<DeleteResult></DeleteResult>"));
    let body = "<Delete><Object><Key>mine/a</Key></Object><Object><Key>theirs/b</Key></Object>\
                <Object><Key>mine/v</Key><VersionId>1</VersionId></Object><Object><Key>mine/c</Key></Object></Delete>";
    assert_eq!(gateway.send(&keys, call("POST", "/bucket").query("delete").body(body)).await.status, 200);
    let found = decisions(&gateway, 5).await;
    let shown: BTreeMap<_, _> = found[1..]
        .iter()
        .map(|line| {
            assert_eq!(line["eventName"], "DeleteObjects");
            let text = |pointer| line.pointer(pointer).unwrap().as_str().unwrap();
            (text("/requestParameters/key"), (text("/decision"), text("/action")))
        })
        .collect();
    let expected = [
        ("mine/a", ("allow", "s3:DeleteObject")),
        ("mine/c", ("allow", "s3:DeleteObject")),
        ("mine/v", ("deny", "s3:DeleteObjectVersion")),
        ("theirs/b", ("deny", "s3:DeleteObject")),
    ];
    assert_eq!(shown, BTreeMap::from(expected));
    let before = found.len();
    let nothing = "<Delete><Object><Key>theirs/a</Key></Object></Delete>";
    gateway.backend().forget();
    gateway.send(&keys, call("POST", "/bucket").query("delete").body(nothing)).await;
    gateway.backend().saw_nothing();
    decisions(&gateway, before + 1).await;
}

/// O02: as many lines as requests, each once, whatever they were answered with.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_is_recorded_once_while_many_come_at_once() {
    let policy = allow("s3:GetObject", "arn:aws:s3:::data/*");
    let gateway = audited("unproven_per_second = 1000\n").role("reader", &policy).start().await;
    let gateway = Arc::new(gateway);
    let reader = Arc::new(gateway.role_session("reader").await);
    let asking = (0..8).map(|task| {
        let (gateway, reader) = (gateway.clone(), reader.clone());
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for round in 0..5 {
                let path = format!("/data/{task}-{round}");
                let forged = Keys { secret: "wrong".to_owned(), ..(*reader).clone() };
                let nobody = Keys::long_term("NOBODYSKEY0000000001", "secret");
                let form = [("Action", "GetSessionToken"), ("Version", "2011-06-15")];
                let unclean = b"GET /data/x HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n";
                let replies = [
                    (200, gateway.send(&reader, call("GET", &path)).await),
                    (403, gateway.send(&reader, call("PUT", &path).body("x")).await),
                    (403, gateway.send(&forged, call("GET", &path)).await),
                    (403, gateway.send(&nobody, call("GET", &path)).await),
                    (200, gateway.sts(&gateway.alice(), &form).await),
                    (
                        403,
                        gateway
                            .sts(
                                &gateway.bob(),
                                &[
                                    ("Action", "AssumeRole"),
                                    ("Version", "2011-06-15"),
                                    ("RoleArn", "arn:aws:iam::000000000000:role/no"),
                                    ("RoleSessionName", "me"),
                                ],
                            )
                            .await,
                    ),
                    (400, gateway.unsigned_sts("Nonsense", &[]).await),
                    (
                        403,
                        raw(
                            gateway.address(),
                            b"GET /data/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
                        )
                        .await,
                    ),
                    (400, raw(gateway.address(), unclean).await),
                ];
                for (status, reply) in replies {
                    assert_eq!(reply.status, status, "{}", reply.text());
                    ids.push((reply.header("x-amz-request-id").unwrap().to_owned(), status));
                }
            }
            ids
        })
    });
    let mut sent = BTreeMap::new();
    for asked in asking.collect::<Vec<_>>() {
        sent.extend(asked.await.unwrap());
    }
    assert_eq!(sent.len(), 8 * 5 * 9);
    let found = decisions(&gateway, sent.len() + 1).await;
    let recorded: BTreeMap<String, bool> = found[1..]
        .iter()
        .map(|line| (line["requestID"].as_str().unwrap().to_owned(), line["decision"] == "allow"))
        .collect();
    let expected = sent.into_iter().map(|(id, status)| (id, status == 200)).collect();
    assert_eq!(recorded, expected);
    for line in &found {
        for member in ["errorCode", "errorMessage"] {
            assert_eq!(line["decision"] == "deny", line.get(member).is_some(), "{line:#}");
        }
    }
    let forged = found.iter().find(|line| line["errorCode"] == "SignatureDoesNotMatch").unwrap();
    is(forged, &[("/userIdentity/type", "Unknown"), ("/userIdentity/accessKeyId", &reader.access_key_id)]);
    assert_eq!(verify(&[file(&gateway)]).unwrap().lines, found.len() as u64 + 1);
}

#[tokio::test]
async fn what_comes_before_any_decision_is_recorded_too() {
    let gateway = audited("").toml("[limits]\nmax_requests = 1\n").start().await;
    let own = gateway.session().await;
    let put = call("PUT", "/data/x").body("x").header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
    gateway.send(&own, put).await.is_error(400, "BadDigest");
    gateway.send(&own, call("GET", "/data/x").query("acl=x&acl=y")).await;
    let listing = call("GET", "/");
    gateway.backend().answers(|_| Answer::new(200, "<ListAllMyBucketsResult></ListAllMyBucketsResult>"));
    gateway.send(&own, listing).await.is_ok();
    let url = call("GET", "/data/x").at(gateway.now()).presign(&own, gateway.address(), "60");
    url.send(gateway.address()).await.is_ok();
    let found = decisions(&gateway, 5).await;
    let codes: Vec<_> = found.iter().map(|line| line.get("errorCode").and_then(Value::as_str)).collect();
    // A hash of the body is checked while it streams: the decision was made before.
    assert_eq!(codes, [None, None, Some("InvalidArgument"), None, None]);
    is(&found[3], &[("/eventName", "ListBuckets"), ("/eventCategory", "Management")]);
    is(&found[4], &[("/additionalEventData/AuthenticationMethod", "QueryString")]);
}

/// O03: names that would break a line, or steer a terminal that shows it.
#[tokio::test]
async fn line_breaks_and_terminal_codes_stay_within_their_strings() {
    let gateway = audited("").start().await;
    let own = gateway.session().await;
    let path = "/data/a%22%2C%22decision%22%3A%22allow%E2%80%A8%C2%9B31m";
    gateway.send(&own, call("GET", path)).await;
    gateway.send(&own, call("GET", "/data/%0D%0A%1B%5B31mred")).await;
    let forged = Keys::long_term("AKIA\u{9b}31m", "x");
    gateway.send(&forged, call("GET", "/data/x")).await;
    let form = [
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleArn", "arn:aws:iam::000000000000:role/a\r\n\u{1b}[2J{}"),
        ("RoleSessionName", "a\r\n{\"decision\":\"allow\"}"),
    ];
    gateway.sts(&own, &form).await;
    decisions(&gateway, 5).await;
    let text = std::fs::read_to_string(file(&gateway)).unwrap();
    let bad = |character: char| (character.is_control() && character != '\n') || character == '\u{2028}';
    assert!(!text.contains(bad), "{text}");
    assert!(text.contains("\\u009b31m"), "{text}");
    verify(&[file(&gateway)]).unwrap();
}

/// O03
#[tokio::test]
async fn no_secret_is_in_the_log() {
    let key = SigningKey::new("a", "ES256");
    let provider = Provider::start(&[&key]).await;
    let role = "[[role]]\nname = \"r\"\npolicies = [\"all\"]\n[[role.trust]]\noidc = \"idp\"\n";
    let gateway = audited("").toml(&format!("{}{role}", provider.toml("idp"))).start().await;
    let token = key.token(&provider.claims(NOW));
    let mut form =
        vec![("WebIdentityToken", token.as_str()), ("RoleArn", "arn:aws:iam::000000000000:role/r")];
    let session = keys_of(&gateway.unsigned_sts("AssumeRoleWithWebIdentity", &form).await);
    let broken = format!("{token}canary");
    form[0].1 = &broken;
    gateway.unsigned_sts("AssumeRoleWithWebIdentity", &form).await.is_error(400, "InvalidIdentityToken");
    let password = [("LDAPUsername", "canary-typed-as-a-name"), ("LDAPPassword", "canary-password")];
    gateway.unsigned_sts("AssumeRoleWithLDAPIdentity", &password).await;
    gateway.unsigned_sts("AssumeRoleWithCustomToken", &[("Token", "canary-token")]).await;
    let own = gateway.session().await;
    let sse = "c2VjcmV0LXNzZS1jLWtleS1vZi0zMi1ieXRlcy0tLSE=";
    let put = call("PUT", "/data/x").body("x").header("x-amz-server-side-encryption-customer-key", sse);
    let put = put.header("x-amz-meta-note", "canary-metadata");
    gateway.send(&own, put).await;
    let external = [
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("ExternalId", "canary-external"),
        ("Policy", "canary-policy"),
    ];
    gateway.sts(&gateway.alice(), &external).await;
    let presigned = call("GET", "/data/x").at(gateway.now()).presign(&own, gateway.address(), "60");
    presigned.send(gateway.address()).await;
    presigned.send(gateway.address()).await;
    decisions(&gateway, 9).await;
    let text = std::fs::read_to_string(file(&gateway)).unwrap();
    let secrets = [
        crate::support::ROOT_ACCESS_KEY_ID,
        crate::support::ROOT_SECRET,
        crate::support::SEALING_KEY,
        "alice-secret",
        "canary",
        &token,
        sse,
        &presigned.signature,
    ];
    let sessions = [&session, &own].map(|keys| [&keys.secret, keys.token.as_ref().unwrap()]);
    for secret in secrets.into_iter().chain(sessions.iter().flatten().map(|text| text.as_str())) {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
}

/// Over a reload, a rotation by moving, and a restart.
#[tokio::test]
async fn the_chain_goes_on_over_reload_rotation_and_restart() {
    let gateway = audited("").start().await;
    let own = gateway.session().await;
    gateway.send(&own, call("GET", "/data/1")).await.is_ok();
    gateway.reload(|text| text.replace("name = \"bob\"", "name = \"bert\""));
    gateway.send(&own, call("GET", "/data/2")).await.is_ok();
    decisions(&gateway, 3).await;
    let rotated = gateway.folder().join("audit.jsonl.1");
    std::fs::rename(file(&gateway), &rotated).unwrap();
    // Noticed although nothing comes.
    for _ in 0..250 {
        if file(&gateway).exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gateway.send(&own, call("GET", "/data/3")).await.is_ok();
    decisions(&gateway, 1).await;
    let gateway = gateway.restart().await;
    gateway.send(&own, call("GET", "/data/4")).await.is_ok();
    decisions(&gateway, 2).await;
    let report = verify(&[rotated.clone(), file(&gateway)]).unwrap();
    assert_eq!((report.chains.len(), report.lines, report.losses), (1, 8, 0));
    let names: Vec<Value> = lines(&file(&gateway)).iter().map(|line| line["eventName"].clone()).collect();
    assert_eq!(names, ["GetObject", "AuditStop", "AuditResume", "GetObject"]);
    // The wrong way round.
    let wrong = verify(&[file(&gateway), rotated]).unwrap_err();
    assert!(matches!(wrong, Broken::Line { line: 1, .. }), "{wrong}");
}
