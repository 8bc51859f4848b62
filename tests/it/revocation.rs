//! Sessions that end before their time: what each kind ends and what it leaves, who may do it, and what a restart keeps.

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _};

use daypass::{
    admin_client::Listener,
    config,
    credentials::revocation::{Kind, Wanted},
    gateway::revocation_api::{OPENAPI, PATHS},
    revoke::{self, Task},
    secret::AdminToken,
};
use serde_json::{Value, json};

use crate::support::{ALL, Builder, Gateway, Keys, NOW, Provider, Reply, SigningKey, allow, call, keys_of};

const TOKEN: &str = "0123456789abcdef-admin";
const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\ntoken = \"0123456789abcdef-admin\"\n";
/// `first` may become `second`, which trusts its sessions.
const CHAIN: &str =
    "[[role]]\nname = \"second\"\npolicies = [\"all\"]\n  [[role.trust]]\n  roles = [\"first\"]\n";

fn builder() -> Builder {
    Gateway::builder().toml(ADMIN)
}

async fn start() -> Gateway {
    builder().role("first", ALL).role("other", ALL).toml(CHAIN).start().await
}

fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("no JSON: {}", reply.text()))
}

async fn revoke(gateway: &Gateway, wanted: &Value) -> Value {
    let reply = gateway.admin("POST", "/v1/revocations", Some(TOKEN), &wanted.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    body(&reply)
}

async fn lift(gateway: &Gateway, entry: &Value) -> u16 {
    let path = format!("/v1/revocations/{}", entry["id"].as_str().unwrap());
    gateway.admin("DELETE", &path, Some(TOKEN), "").await.status
}

async fn assume(gateway: &Gateway, keys: &Keys, role: &str) -> Reply {
    let arn = format!("arn:aws:iam::000000000000:role/{role}");
    let form =
        [("Action", "AssumeRole"), ("Version", "2011-06-15"), ("RoleArn", &arn), ("RoleSessionName", "me")];
    gateway.sts(keys, &form).await
}

async fn lives(gateway: &Gateway, keys: &Keys) {
    gateway.send(keys, call("GET", "/data/x")).await.is_ok();
}

/// On S3, as a presigned URL and on STS; the storage hears of none.
async fn is_dead(gateway: &Gateway, keys: &Keys) {
    gateway.backend().forget();
    gateway.send(keys, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
    let url = call("GET", "/data/x").at(gateway.now()).presign(keys, gateway.address(), "60");
    url.send(gateway.address()).await.is_error(400, "InvalidToken");
    let whoami = [("Action", "GetCallerIdentity"), ("Version", "2011-06-15")];
    gateway.sts(keys, &whoami).await.is_error(403, "InvalidClientTokenId");
    assume(gateway, keys, "second").await.is_error(403, "InvalidClientTokenId");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_revoked_session_is_dead_at_once_and_its_siblings_live() {
    let gateway = start().await;
    let (leaked, sibling) = (gateway.role_session("first").await, gateway.role_session("first").await);
    let url = call("GET", "/data/x").at(gateway.now()).presign(&leaked, gateway.address(), "3600");
    url.clone().send(gateway.address()).await.is_ok();
    lives(&gateway, &leaked).await;
    let entry = revoke(&gateway, &json!({ "kind": "session", "value": leaked.access_key_id })).await;
    assert_eq!(entry["value"], leaked.access_key_id.as_str());
    gateway.backend().forget();
    url.send(gateway.address()).await.is_error(400, "InvalidToken");
    gateway.backend().saw_nothing();
    is_dead(&gateway, &leaked).await;
    lives(&gateway, &sibling).await;
    lives(&gateway, &gateway.role_session("first").await).await;
}

#[tokio::test]
async fn a_wrong_signature_does_not_tell_that_a_session_is_revoked() {
    let gateway = start().await;
    let mut leaked = gateway.role_session("first").await;
    revoke(&gateway, &json!({ "kind": "session", "value": leaked.access_key_id })).await;
    leaked.secret.push('x');
    gateway.send(&leaked, call("GET", "/data/x")).await.is_error(403, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn revoking_a_user_ends_all_sessions_of_that_user_and_no_later_ones() {
    let gateway = start().await;
    let (own, role) = (gateway.session().await, gateway.role_session("first").await);
    let chained = keys_of(&assume(&gateway, &role, "second").await);
    let form = [("Action", "GetSessionToken"), ("Version", "2011-06-15")];
    let bobs = keys_of(&gateway.sts(&gateway.bob(), &form).await);
    for keys in [&own, &role, &chained, &bobs] {
        lives(&gateway, keys).await;
    }
    revoke(&gateway, &json!({ "kind": "user", "value": "alice" })).await;
    for keys in [&own, &role, &chained] {
        is_dead(&gateway, keys).await;
    }
    lives(&gateway, &bobs).await;
    gateway.advance(1);
    lives(&gateway, &gateway.session().await).await;
}

#[tokio::test]
async fn revoking_a_role_ends_its_sessions_and_what_was_reached_through_it() {
    let gateway = start().await;
    let (own, first, other) =
        (gateway.session().await, gateway.role_session("first").await, gateway.role_session("other").await);
    let second = keys_of(&assume(&gateway, &first, "second").await);
    let of_second = revoke(&gateway, &json!({ "kind": "role", "value": "second" })).await;
    is_dead(&gateway, &second).await;
    lives(&gateway, &first).await;
    assert_eq!(lift(&gateway, &of_second).await, 200);
    lives(&gateway, &second).await;
    revoke(&gateway, &json!({ "kind": "role", "value": "first" })).await;
    is_dead(&gateway, &first).await;
    is_dead(&gateway, &second).await;
    lives(&gateway, &own).await;
    lives(&gateway, &other).await;
    gateway.advance(1);
    let again = gateway.role_session("first").await;
    lives(&gateway, &keys_of(&assume(&gateway, &again, "second").await)).await;
}

#[tokio::test]
async fn revoking_an_identity_or_its_provider_ends_what_they_proved() {
    let key = SigningKey::new("a", "ES256");
    let (idp, another) = (Provider::start(&[&key]).await, Provider::start(&[&key]).await);
    let role = "[[role]]\nname = \"first\"\npolicies = [\"all\"]\n[[role.trust]]\noidc = \"idp\"\n[[role.trust]]\noidc = \"another\"\n";
    let toml = format!("{}{}{role}{CHAIN}", idp.toml("idp"), another.toml("another"));
    let gateway = builder().toml(&toml).start().await;
    let login = async |provider: &Provider, subject: &str| {
        let mut claims = provider.claims(gateway.now());
        claims["sub"] = json!(subject);
        let token = key.token(&claims);
        let arn = "arn:aws:iam::000000000000:role/first";
        let form = [("WebIdentityToken", token.as_str()), ("RoleArn", arn)];
        keys_of(&gateway.unsigned_sts("AssumeRoleWithWebIdentity", &form).await)
    };
    let (eve, sam) = (login(&idp, "eve/1 *").await, login(&idp, "sam").await);
    let (namesake, alice) = (login(&another, "eve/1 *").await, gateway.role_session("first").await);
    let chained = keys_of(&assume(&gateway, &eve, "second").await);
    revoke(&gateway, &json!({ "kind": "identity", "value": "oidc/idp/eve%2F1%20%2A" })).await;
    is_dead(&gateway, &eve).await;
    is_dead(&gateway, &chained).await;
    for keys in [&sam, &namesake, &alice] {
        lives(&gateway, keys).await;
    }
    gateway.advance(1);
    let later = login(&idp, "eve/1 *").await;
    lives(&gateway, &later).await;
    revoke(&gateway, &json!({ "kind": "provider", "value": "idp" })).await;
    is_dead(&gateway, &later).await;
    is_dead(&gateway, &sam).await;
    lives(&gateway, &namesake).await;
    lives(&gateway, &alice).await;
    gateway.advance(1);
    lives(&gateway, &login(&idp, "sam").await).await;
}

#[tokio::test]
async fn everything_that_was_issued_before_a_time_is_dead_and_nothing_else() {
    let gateway = start().await;
    let old = gateway.role_session("first").await;
    gateway.advance(60);
    let (between, own) = (gateway.role_session("first").await, gateway.session().await);
    let at = NOW.plus(std::time::Duration::from_secs(60)).rfc3339();
    let entry = revoke(&gateway, &json!({ "kind": "everything", "issued_before": at })).await;
    assert_eq!(entry["issued_before"], at.as_str());
    is_dead(&gateway, &old).await;
    lives(&gateway, &between).await;
    lives(&gateway, &own).await;
    // An earlier time for the same does not give back what is ended; a later one ends more.
    let earlier = revoke(&gateway, &json!({ "kind": "everything", "issued_before": NOW.rfc3339() })).await;
    assert_eq!(earlier, entry);
    is_dead(&gateway, &old).await;
    revoke(&gateway, &json!({ "kind": "everything" })).await;
    is_dead(&gateway, &between).await;
    is_dead(&gateway, &own).await;
    // Long-term keys are no sessions.
    lives(&gateway, &gateway.bob()).await;
}

#[tokio::test]
async fn a_revoked_long_term_key_is_refused_until_that_is_lifted() {
    let gateway = start().await;
    let session = gateway.session().await;
    let alice =
        revoke(&gateway, &json!({ "kind": "user_key", "value": gateway.alice().access_key_id })).await;
    assert!(alice.get("expires_at").is_none(), "{alice}");
    revoke(&gateway, &json!({ "kind": "user_key", "value": gateway.bob().access_key_id })).await;
    gateway.advance(13 * 3600);
    assume(&gateway, &gateway.alice(), "first").await.is_error(403, "InvalidClientTokenId");
    gateway.backend().forget();
    gateway.send(&gateway.bob(), call("GET", "/data/x")).await.is_error(400, "InvalidToken");
    gateway.backend().saw_nothing();
    assert_eq!(lift(&gateway, &alice).await, 200);
    lives(&gateway, &gateway.session().await).await;
    gateway.send(&session, call("GET", "/data/x")).await.is_error(400, "ExpiredToken");
}

#[tokio::test]
async fn a_session_ends_itself_and_nothing_else() {
    let gateway = builder().role("first", &allow("s3:GetObject", "arn:aws:s3:::none/*")).start().await;
    let (own, other, role) =
        (gateway.session().await, gateway.session().await, gateway.role_session("first").await);
    let form = [("Action", "RevokeSession"), ("Version", "2011-06-15")];
    for keys in [&own, &role] {
        let reply = gateway.sts(keys, &form).await;
        reply.is_ok();
        assert!(reply.text().contains("<RevokeSessionResponse"), "{}", reply.text());
        assert_eq!(reply.element("AccessKeyId").as_deref(), Some(keys.access_key_id.as_str()));
        is_dead(&gateway, keys).await;
        gateway.sts(keys, &form).await.is_error(403, "InvalidClientTokenId");
    }
    lives(&gateway, &other).await;
    gateway.sts(&gateway.alice(), &form).await.is_error(403, "AccessDenied");
    let with_parameter = [form[0], form[1], ("AccessKeyId", other.access_key_id.as_str())];
    gateway.sts(&other, &with_parameter).await.is_error(400, "InvalidParameterValue");
    lives(&gateway, &other).await;
    lives(&gateway, &gateway.session().await).await;
}

#[tokio::test]
async fn revocations_outlive_a_reload_and_a_restart() {
    let gateway = start().await;
    let (session, itself, other) =
        (gateway.role_session("first").await, gateway.session().await, gateway.role_session("other").await);
    revoke(&gateway, &json!({ "kind": "session", "value": session.access_key_id })).await;
    gateway.sts(&itself, &[("Action", "RevokeSession"), ("Version", "2011-06-15")]).await.is_ok();
    let lifted = revoke(&gateway, &json!({ "kind": "role", "value": "other" })).await;
    assert_eq!(lift(&gateway, &lifted).await, 200);
    gateway.reload(|text| text.replace("name = \"bob\"", "name = \"bert\""));
    is_dead(&gateway, &session).await;
    let gateway = gateway.restart().await;
    is_dead(&gateway, &session).await;
    is_dead(&gateway, &itself).await;
    lives(&gateway, &other).await;
    let mode = std::fs::metadata(gateway.folder().join("revocations.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // What can end nothing any more is gone by itself.
    gateway.advance(12 * 3600 + 15 * 60 + 1);
    let gateway = gateway.restart().await;
    let list = body(&gateway.admin("GET", "/v1/revocations", Some(TOKEN), "").await);
    assert_eq!(list, json!({ "revocations": [] }));
}

#[tokio::test]
async fn a_line_that_broke_off_is_left_out_and_a_broken_one_refuses_the_start() {
    let gateway = start().await;
    let session = gateway.role_session("first").await;
    revoke(&gateway, &json!({ "kind": "session", "value": session.access_key_id })).await;
    let file = gateway.folder().join("revocations.jsonl");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}{}", &good[..good.len() / 2])).unwrap();
    let gateway = gateway.restart().await;
    is_dead(&gateway, &session).await;
    revoke(&gateway, &json!({ "kind": "user", "value": "bob" })).await;
    let gateway = gateway.restart().await;
    let list = body(&gateway.admin("GET", "/v1/revocations", Some(TOKEN), "").await);
    assert_eq!(list["revocations"].as_array().unwrap().len(), 2, "{list}");
    std::fs::write(&file, format!("{good}{{\"revoke\":7}}\n{good}")).unwrap();
    let load = || config::load(&gateway.folder().join("daypass.toml"), &|_| None).unwrap();
    let clock = std::sync::Arc::new(daypass::clock::ManualClock::at(NOW));
    let started = daypass::app::start(load(), None, clock.clone()).await.map(drop);
    for refused in [started, daypass::app::check(load(), clock).map(drop)] {
        let refused = format!("{:#}", refused.unwrap_err());
        assert!(refused.contains("revocations.jsonl:2: is no revocation"), "{refused}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_down_holds_and_is_said() {
    let gateway = start().await;
    let session = gateway.role_session("first").await;
    std::fs::create_dir(gateway.folder().join("revocations.jsonl")).unwrap();
    let wanted = json!({ "kind": "session", "value": session.access_key_id }).to_string();
    let reply = gateway.admin("POST", "/v1/revocations", Some(TOKEN), &wanted).await;
    assert_eq!((reply.status, body(&reply)["error"]["code"].as_str()), (500, Some("NotKept")));
    is_dead(&gateway, &session).await;
}

#[tokio::test]
async fn nobody_revokes_without_the_token() {
    let gateway = start().await;
    let session = gateway.role_session("first").await;
    let wanted = json!({ "kind": "everything" }).to_string();
    for token in [None, Some(""), Some("0123456789abcdef-admiN"), Some(&TOKEN[1..])] {
        for (method, path) in [
            ("POST", "/v1/revocations"),
            ("GET", "/v1/revocations"),
            ("DELETE", "/v1/revocations/0123456789abcdef"),
            ("GET", "/v1/nothing"),
        ] {
            let reply = gateway.admin(method, path, token, &wanted).await;
            assert_eq!((reply.status, body(&reply)["error"]["code"].as_str()), (401, Some("Unauthorized")));
            assert!(!reply.text().contains(TOKEN));
        }
    }
    lives(&gateway, &session).await;
    assert_eq!(gateway.admin("GET", "/health/live", None, "").await.status, 200);
    // The listener of S3 does not know these paths.
    gateway.send(&session, call("POST", "/v1/revocations").body(wanted)).await;
    lives(&gateway, &session).await;
    assert!(!format!("{:?}", AdminToken::new(TOKEN)).contains(TOKEN));
}

#[tokio::test]
async fn without_a_token_in_the_configuration_the_api_is_off_and_says_so() {
    let gateway = Gateway::builder().toml("[admin]\naddress = \"127.0.0.1:0\"\n").start().await;
    let reply = gateway.admin("GET", "/v1/revocations", Some(TOKEN), "").await;
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("the revocation API is off: [admin] has no token"), "{}", reply.text());
    let token = AdminToken::new(TOKEN);
    let refused = revoke::run(
        &Listener::plain(gateway.admin_address()),
        Some(&token),
        Task::Lift("0123456789abcdef".to_owned()),
    )
    .await;
    assert!(format!("{:#}", refused.unwrap_err()).contains("[admin] has no token"));
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_revokes_nothing() {
    let gateway = start().await;
    let session = gateway.role_session("first").await;
    for (wanted, says) in [
        (json!({}).to_string(), "missing field `kind`"),
        (json!({ "kind": "all" }).to_string(), "unknown variant"),
        (json!({ "kind": "user" }).to_string(), "`value` is missing"),
        (json!({ "kind": "everything", "value": "x" }).to_string(), "has no `value`"),
        (json!({ "kind": "user", "value": "a\nb" }).to_string(), "control character"),
        (json!({ "kind": "identity", "value": "keycloak/eve" }).to_string(), "is no identity"),
        (json!({ "kind": "user", "value": "alice", "before": "now" }).to_string(), "unknown field"),
        (json!({ "kind": "user", "value": "alice", "issued_before": "now" }).to_string(), "RFC 3339"),
        (
            json!({ "kind": "everything", "issued_before": "2027-01-01T00:00:00Z" }).to_string(),
            "15 minutes ahead",
        ),
        (
            json!({ "kind": "session", "value": "ASIA", "issued_before": NOW.rfc3339() }).to_string(),
            "it is dead, or it is not",
        ),
        (String::new(), "is no revocation"),
    ] {
        let reply = gateway.admin("POST", "/v1/revocations", Some(TOKEN), &wanted).await;
        assert_eq!(
            (reply.status, body(&reply)["error"]["code"].as_str()),
            (400, Some("InvalidRequest")),
            "{wanted}"
        );
        assert!(body(&reply)["error"]["message"].as_str().unwrap().contains(says), "{}", reply.text());
    }
    let large = json!({ "kind": "user", "value": "a".repeat(65 * 1024) }).to_string();
    assert_eq!(gateway.admin("POST", "/v1/revocations", Some(TOKEN), &large).await.status, 413);
    for (method, path, status) in [
        ("PUT", "/v1/revocations", 405),
        ("DELETE", "/v1/revocations", 405),
        ("GET", "/v1/other", 404),
        ("DELETE", "/v1/revocations/0123456789abcdef", 404),
        ("DELETE", "/v1/revocations/none", 404),
    ] {
        assert_eq!(gateway.admin(method, path, Some(TOKEN), "").await.status, status, "{method} {path}");
    }
    lives(&gateway, &session).await;
    assert!(!gateway.folder().join("revocations.jsonl").exists());
}

#[tokio::test]
async fn the_command_revokes_lists_and_lifts() {
    let gateway = start().await;
    let session = gateway.role_session("first").await;
    let token = AdminToken::new(TOKEN);
    let listener = Listener::plain(gateway.admin_address());
    let run = async |task| revoke::run(&listener, Some(&token), task).await;
    let wanted = Wanted { kind: Kind::Role, value: "first".to_owned(), issued_before: None };
    let done = run(Task::Revoke(wanted)).await.unwrap().unwrap();
    assert!(
        done.starts_with("revoked: ") && done.contains("role first  issued before 2026-11-23T12:00:01Z"),
        "{done}"
    );
    is_dead(&gateway, &session).await;
    let list = run(Task::List).await.unwrap().unwrap();
    assert!(list.contains("role first") && list.ends_with("1 revocations\n"), "{list}");
    let id = list.split(' ').next().unwrap().to_owned();
    assert!(run(Task::Lift(id.clone())).await.unwrap().unwrap().starts_with("lifted: "));
    lives(&gateway, &session).await;
    assert_eq!(run(Task::Lift(id)).await.unwrap(), None);
    let wanted = Wanted { kind: Kind::Identity, value: "eve".to_owned(), issued_before: None };
    let refused = run(Task::Revoke(wanted)).await.unwrap_err();
    assert!(refused.to_string().contains("400: `value` is no identity"), "{refused}");
    let wrong = revoke::run(&listener, Some(&AdminToken::new("another-token-0000")), Task::List).await;
    assert!(wrong.unwrap_err().to_string().contains("401"));
}

#[tokio::test]
async fn the_openapi_document_has_the_paths_that_are_answered() {
    let gateway = start().await;
    let served = gateway.admin("GET", "/v1/openapi.json", Some(TOKEN), "").await;
    assert_eq!(served.text(), OPENAPI);
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let documented: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    assert_eq!(documented, BTreeSet::from(PATHS));
    for (path, item) in paths {
        let real = path.replace("{id}", "0123456789abcdef");
        for method in ["get", "post", "put", "patch", "delete"] {
            let reply = gateway.admin(&method.to_uppercase(), &real, Some(TOKEN), "").await;
            assert_eq!(reply.status == 405, item.get(method).is_none(), "{method} {path}: {}", reply.text());
        }
    }
    for kind in document["components"]["schemas"]["Kind"]["enum"].as_array().unwrap() {
        assert!(serde_json::from_value::<Kind>(kind.clone()).is_ok(), "{kind}");
    }
}
