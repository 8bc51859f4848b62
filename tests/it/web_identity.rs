//! What a verified token leads to: roles by claims, policies by a claim, sessions and what they can do.

use serde_json::{Value, json};

use crate::support::{Gateway, NOW, Provider, Reply, Scripted, SigningKey, allow, call, keys_of};

const ANALYST: &str = "arn:aws:iam::000000000000:role/analyst";

async fn start(key: &SigningKey, lines: &str, rest: &str) -> (Gateway, Provider) {
    let provider = Provider::start(&[key]).await;
    let gateway = Gateway::builder()
        .policy("read", &allow("s3:GetObject s3:PutObject", "arn:aws:s3:::data/*"))
        .policy(
            "home",
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::home/${jwt:sub}/*"},
            {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::shared/*","Condition":{"ForAnyValue:StringEquals":{"jwt:groups":"analysts"}}}]}"#,
        )
        .toml(&format!("{}{lines}\n{rest}", provider.toml("idp")))
        .start()
        .await;
    (gateway, provider)
}

fn role(trust: &str) -> String {
    format!("[[role]]\nname = \"analyst\"\npolicies = [\"read\", \"home\"]\nmax_duration = \"2h\"\n{trust}")
}

async fn login(gateway: &Gateway, token: &str, more: &[(&str, &str)]) -> Reply {
    let mut form = vec![("WebIdentityToken", token)];
    form.extend_from_slice(more);
    gateway.unsigned_sts("AssumeRoleWithWebIdentity", &form).await
}

async fn as_analyst(gateway: &Gateway, token: &str) -> Reply {
    login(gateway, token, &[("RoleArn", ANALYST), ("RoleSessionName", "me")]).await
}

#[expect(clippy::needless_pass_by_value, reason = "every caller makes it in place")]
fn claims(provider: &Provider, changes: Value) -> Value {
    let mut claims = provider.claims(NOW);
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[tokio::test]
async fn the_answer_has_what_the_sdks_of_aws_read() {
    let key = SigningKey::new("a", "RS256");
    let (gateway, provider) = start(&key, "", &role("[[role.trust]]\noidc = \"idp\"\n")).await;
    let token = key.token(&provider.claims(NOW));
    let policy = allow("s3:GetObject", "arn:aws:s3:::data/a*");
    let reply =
        login(&gateway, &token, &[("RoleArn", ANALYST), ("RoleSessionName", "me"), ("Policy", &policy)])
            .await;
    reply.is_ok();
    assert_eq!(reply.element("SubjectFromWebIdentityToken").unwrap(), "alice");
    assert_eq!(reply.element("Audience").unwrap(), "daypass");
    assert_eq!(reply.element("Provider").unwrap(), provider.issuer());
    assert_eq!(reply.element("Arn").unwrap(), "arn:aws:sts::000000000000:assumed-role/analyst/me");
    assert!(reply.element("AssumedRoleId").unwrap().ends_with(":me"));
    assert_eq!(reply.element("Expiration").unwrap(), "2026-11-23T13:00:00Z");
    assert!(reply.element("PackedPolicySize").is_some());
    let session = keys_of(&reply);
    gateway.send(&session, call("GET", "/data/a")).await.is_ok();
    gateway.backend().forget();
    gateway.send(&session, call("GET", "/data/b")).await.is_error(403, "AccessDenied");
    gateway.send(&session, call("PUT", "/data/a").body("x")).await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn client_grants_answer_in_the_words_of_minio() {
    let key = SigningKey::new("a", "ES256");
    let (gateway, provider) = start(&key, "policy_claim = \"policy\"\n", "").await;
    let token = key.token(&claims(&provider, json!({"policy": "read", "sub": "service-account-app"})));
    // minio-go sends the lifetime of the token, which is shorter than any session.
    let form = [("Token", token.as_str()), ("DurationSeconds", "300")];
    let reply = gateway.unsigned_sts("AssumeRoleWithClientGrants", &form).await;
    reply.is_ok();
    assert!(reply.text().contains(
        "<AssumeRoleWithClientGrantsResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
    ));
    assert_eq!(reply.element("SubjectFromToken").unwrap(), "service-account-app");
    gateway.send(&keys_of(&reply), call("PUT", "/data/x").body("x")).await.is_ok();
    // Either name of the token goes with either action, in the query too; two of them do not.
    let query = format!("/?Action=AssumeRoleWithWebIdentity&Version=2011-06-15&Token={token}");
    let head = format!("POST {query} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", gateway.address());
    crate::support::raw(gateway.address(), head.as_bytes()).await.is_ok();
    login(&gateway, &token, &[("Token", &token)]).await.is_error(400, "InvalidParameterValue");
    // Nobody chose a lifetime that is too long here: it is cut.
    let long = gateway
        .unsigned_sts("AssumeRoleWithClientGrants", &[("Token", &token), ("DurationSeconds", "86400")])
        .await;
    assert_eq!(long.element("Expiration").unwrap(), "2026-11-24T00:00:00Z");
    login(&gateway, &token, &[("DurationSeconds", "86400")]).await.is_error(400, "ValidationError");
    login(&gateway, &token, &[("DurationSeconds", "0")]).await.is_error(400, "ValidationError");
    login(&gateway, &token, &[("Polici", "{}")]).await.is_error(400, "InvalidParameterValue");
}

#[tokio::test]
async fn a_role_is_had_by_whoever_fits_all_claims_of_one_rule() {
    let key = SigningKey::new("a", "RS256");
    let trust = r#"
[[role.trust]]
oidc = "idp"
claims = { groups = "analyst?", email_verified = true, sub = ["user:*", "bot"], "/realm_access/roles" = "reader", level = 3 }
[[role.trust]]
oidc = "idp"
claims = { scope = "s3" }
"#;
    let (gateway, provider) = start(&key, "", &role(trust)).await;
    let good = json!({"groups": ["x", "analysts"], "email_verified": true, "sub": "user:7", "realm_access": {"roles": ["reader"]}, "level": 3});
    as_analyst(&gateway, &key.token(&claims(&provider, good.clone()))).await.is_ok();
    as_analyst(&gateway, &key.token(&claims(&provider, json!({"scope": "openid s3"})))).await.is_ok();
    for change in [
        json!({"groups": ["analyst"]}),
        json!({"groups": "Analysts"}),
        json!({"groups": []}),
        json!({"email_verified": false}),
        json!({"email_verified": null}),
        json!({"sub": "users:7"}),
        json!({"sub": "bot2"}),
        json!({"realm_access": {"roles": ["writer"]}}),
        json!({"realm_access": ["reader"]}),
        json!({"level": 30}),
    ] {
        let mut wrong = good.clone();
        for (name, value) in change.as_object().unwrap() {
            wrong[name] = value.clone();
        }
        as_analyst(&gateway, &key.token(&claims(&provider, wrong))).await.is_error(403, "AccessDenied");
    }
    let scoped = key.token(&claims(&provider, json!({"scope": "s3x openid"})));
    as_analyst(&gateway, &scoped).await.is_error(403, "AccessDenied");
    // The same answer for a role that is not there.
    let token = key.token(&claims(&provider, good));
    let message = |reply: &Reply| reply.element("Message").unwrap();
    let none = login(&gateway, &token, &[("RoleArn", "arn:aws:iam::000000000000:role/nobody")]).await;
    none.is_error(403, "AccessDenied");
    let other = as_analyst(&gateway, &key.token(&provider.claims(NOW))).await;
    assert_eq!(message(&none), message(&other));
    // Without a role there is nothing, as there is no policy claim.
    login(&gateway, &token, &[]).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn the_claim_names_policies_as_minio_reads_it_and_never_a_default() {
    let key = SigningKey::new("a", "RS256");
    let (gateway, provider) = start(&key, "policy_claim = \"policy\"\n", "").await;
    for policy in [
        json!("read"),
        json!("nobody, read"),
        json!(["x", "read"]),
        json!(["x,read"]),
        json!("home,read,home"),
    ] {
        let reply = login(&gateway, &key.token(&claims(&provider, json!({"policy": policy}))), &[]).await;
        reply.is_ok();
        gateway.send(&keys_of(&reply), call("GET", "/data/x")).await.is_ok();
    }
    let many: Vec<String> = (0..1000).map(|number| format!("p{number}")).collect();
    for policy in [
        json!(null),
        json!({"name": "read"}),
        json!([["read"]]),
        json!("*"),
        json!("rea?"),
        json!("../read"),
        json!("READ"),
        json!(","),
        json!(""),
        json!(many),
        json!(1),
    ] {
        login(&gateway, &key.token(&claims(&provider, json!({"policy": policy}))), &[])
            .await
            .is_error(403, "AccessDenied");
    }
    let missing = key.token(&provider.claims(NOW));
    login(&gateway, &missing, &[]).await.is_error(403, "AccessDenied");
    // MinIO's clients send an ARN for lack of a role; without the setting it is a role that is not there.
    let token = key.token(&claims(&provider, json!({"policy": "read"})));
    login(&gateway, &token, &[("RoleArn", "arn:xxx:xxx:xxx:xxxx")]).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn a_pointer_and_a_prefix_lead_to_the_policy_claim() {
    let key = SigningKey::new("a", "RS256");
    let lines = "policy_claim = \"/resource_access/daypass/roles\"\npolicy_prefix = \"re\"\n";
    let (gateway, provider) = start(&key, lines, "").await;
    let deep = json!({"resource_access": {"daypass": {"roles": ["ad"]}}});
    login(&gateway, &key.token(&claims(&provider, deep)), &[]).await.is_ok();
    let flat = json!({"roles": ["ad"], "/resource_access/daypass/roles": "ad"});
    login(&gateway, &key.token(&claims(&provider, flat)), &[]).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn claims_are_condition_keys_and_variables_and_stay_literal() {
    let key = SigningKey::new("a", "RS256");
    let (gateway, provider) = start(&key, "", &role("[[role.trust]]\noidc = \"idp\"\n")).await;
    let session =
        async |changes: Value| keys_of(&as_analyst(&gateway, &key.token(&claims(&provider, changes))).await);
    let alice = session(json!({})).await;
    gateway.send(&alice, call("GET", "/home/alice/x")).await.is_ok();
    gateway.send(&alice, call("GET", "/shared/x")).await.is_ok();
    gateway.backend().forget();
    gateway.send(&alice, call("GET", "/home/bob/x")).await.is_error(403, "AccessDenied");
    gateway.send(&alice, call("GET", "/home/alice2/x")).await.is_error(403, "AccessDenied");
    let outsider = session(json!({"groups": ["others"]})).await;
    gateway.send(&outsider, call("GET", "/shared/x")).await.is_error(403, "AccessDenied");
    for sub in ["*", "a*", "?lice", "${jwt:iss}", "bob/../alice"] {
        let odd = session(json!({"sub": sub})).await;
        gateway.send(&odd, call("GET", "/home/alice/x")).await.is_error(403, "AccessDenied");
    }
    gateway.backend().saw_nothing();
}

/// A subject is a name of its own kind: no user, no key and no ARN is equal to it.
#[tokio::test]
async fn a_subject_that_is_called_like_a_user_or_a_key_is_somebody_else() {
    let key = SigningKey::new("a", "RS256");
    let named = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::users/${aws:username}/*"},
        {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::alice/*","Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/alice"}}}]}"#;
    let lines = "policy_claim = \"policy\"\n";
    let rest = format!("[[policy]]\nname = \"named\"\ndocument = '''{named}'''\n");
    let (gateway, provider) = start(&key, lines, &rest).await;
    for sub in [
        "alice",
        "ALICEACCESSKEY000001",
        crate::support::ROOT_ACCESS_KEY_ID,
        "arn:aws:iam::000000000000:user/alice",
        "a/../../user/alice",
        "*",
    ] {
        let token = key.token(&claims(&provider, json!({"sub": sub, "policy": "named"})));
        let reply = login(&gateway, &token, &[]).await;
        reply.is_ok();
        let arn = reply.element("Arn").unwrap();
        assert!(arn.starts_with("arn:aws:sts::000000000000:federated-user/oidc/idp/"), "{arn}");
        assert!(
            !arn["arn:aws:sts::000000000000:federated-user/oidc/idp/".len()..].contains(['/', '*', ':']),
            "{arn}"
        );
        let session = keys_of(&reply);
        for path in ["/users/alice/x", "/alice/x"] {
            gateway.send(&session, call("GET", path)).await.is_error(403, "AccessDenied");
        }
        gateway
            .sts(&session, &[("Action", "GetSessionToken"), ("Version", "2011-06-15")])
            .await
            .is_error(403, "AccessDenied");
        gateway
            .sts(&session, &[("Action", "AssumeRole"), ("Version", "2011-06-15")])
            .await
            .is_error(403, "AccessDenied");
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_session_token_is_no_web_identity_and_a_web_identity_no_session_token() {
    let key = SigningKey::new("a", "RS256");
    let (gateway, provider) = start(&key, "", &role("[[role.trust]]\noidc = \"idp\"\n")).await;
    let token = key.token(&provider.claims(NOW));
    let session = keys_of(&as_analyst(&gateway, &token).await);
    as_analyst(&gateway, session.token.as_ref().unwrap()).await.is_error(400, "InvalidIdentityToken");
    let mut mixed = session.clone();
    mixed.token = Some(token);
    gateway.send(&mixed, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_session_is_as_long_as_asked_unless_the_provider_binds_it_to_the_token() {
    let key = SigningKey::new("a", "RS256");
    let trust = role("[[role.trust]]\noidc = \"idp\"\n");
    let (gateway, provider) = start(&key, "", &trust).await;
    let token = key.token(&provider.claims(NOW));
    let lasting = |seconds: &'static str| {
        [("RoleArn", ANALYST), ("RoleSessionName", "me"), ("DurationSeconds", seconds)]
    };
    let reply = login(&gateway, &token, &lasting("7200")).await;
    assert_eq!(reply.element("Expiration").unwrap(), "2026-11-23T14:00:00Z");
    login(&gateway, &token, &lasting("7201")).await.is_error(400, "ValidationError");
    let (bound, provider) = start(&key, "sessions_end_with_token = true\n", &trust).await;
    let token = key.token(&provider.claims(NOW));
    let reply = login(&bound, &token, &lasting("7200")).await;
    assert_eq!(reply.element("Expiration").unwrap(), "2026-11-23T12:05:00Z");
    let session = keys_of(&reply);
    bound.send(&session, call("GET", "/data/x")).await.is_ok();
    let over = key.token(&claims(&provider, json!({"exp": NOW.unix() - 30})));
    login(&bound, &over, &lasting("7200")).await.is_error(400, "ExpiredTokenException");
    bound.advance(300);
    bound.send(&session, call("GET", "/data/x")).await.is_error(400, "ExpiredToken");
}

/// MinIO refuses a login by a Deny on `sts:DurationSeconds` in the policies that the session would have.
#[tokio::test]
async fn the_policies_of_an_identity_may_forbid_long_sessions() {
    let key = SigningKey::new("a", "RS256");
    let short = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},
        {"Effect":"Deny","Action":"sts:AssumeRoleWithWebIdentity","Resource":"*","Condition":{"NumericGreaterThan":{"sts:DurationSeconds":"1800"}}}]}"#;
    let rest = format!("[[policy]]\nname = \"short\"\ndocument = '''{short}'''\n");
    let (gateway, provider) = start(&key, "policy_claim = \"policy\"\n", &rest).await;
    let token = key.token(&claims(&provider, json!({"policy": "short"})));
    login(&gateway, &token, &[("DurationSeconds", "1800")]).await.is_ok();
    login(&gateway, &token, &[("DurationSeconds", "1801")]).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn a_role_goes_by_the_arn_that_minio_gave_out_too() {
    let key = SigningKey::new("a", "RS256");
    let alias = "arn:minio:iam:::role/nOybJqMNzNmroqEKq5D0EUsRZw0";
    let lines = format!("aliases = [\"{alias}\"]\n[[role.trust]]\noidc = \"idp\"\n");
    let (gateway, provider) = start(&key, "", &role(&lines)).await;
    let reply = login(&gateway, &key.token(&provider.claims(NOW)), &[("RoleArn", alias)]).await;
    // Without a session name it is called by its subject.
    assert_eq!(reply.element("Arn").unwrap(), "arn:aws:sts::000000000000:assumed-role/analyst/alice");
}

#[tokio::test]
async fn an_opaque_token_is_whose_the_provider_says_it_is() {
    let key = SigningKey::new("a", "RS256");
    let lines = "policy_claim = \"policy\"\n[oidc.introspection]\nclient_id = \"day pass\"\nclient_secret = \"s3cret/+\"\n";
    let (gateway, provider) = start(&key, lines, "").await;
    let now = NOW.unix();
    let active = json!({"active": true, "client_id": "daypass", "exp": now + 300, "policy": "read", "username": "svc@carbon.super"});
    let answer = |value: &Value| provider.answer("/introspect", Scripted::ok(value.to_string()));
    let grants =
        async || gateway.unsigned_sts("AssumeRoleWithClientGrants", &[("Token", "0b3a-opaque~token")]).await;
    answer(&active);
    let reply = grants().await;
    reply.is_ok();
    assert_eq!(reply.element("SubjectFromToken").unwrap(), "daypass");
    gateway.send(&keys_of(&reply), call("GET", "/data/x")).await.is_ok();
    let asked = provider.requests().into_iter().find(|asked| asked.target == "/introspect").unwrap();
    assert_eq!(asked.body, "token=0b3a%2Dopaque%7Etoken&token_type_hint=access_token");
    // "day%20pass:s3cret%2F%2B"
    assert!(asked.head.contains("authorization: Basic ZGF5JTIwcGFzczpzM2NyZXQlMkYlMkI="), "{}", asked.head);
    for (change, code) in [
        (json!({"active": false}), "InvalidIdentityToken"),
        (json!({"active": "true"}), "InvalidIdentityToken"),
        (json!({"client_id": "other"}), "InvalidIdentityToken"),
        (json!({"aud": "other"}), "InvalidIdentityToken"),
        (json!({"token_type": "Refresh"}), "InvalidIdentityToken"),
        (json!({"token_type": "refresh_token"}), "InvalidIdentityToken"),
        (json!({"iss": "https://evil.example"}), "InvalidIdentityToken"),
        (json!({"exp": "soon"}), "InvalidIdentityToken"),
        (json!({"exp": null}), "InvalidIdentityToken"),
        (json!({"exp": now - 61}), "ExpiredTokenException"),
    ] {
        let mut other = active.clone();
        for (name, value) in change.as_object().unwrap() {
            other[name] = value.clone();
        }
        answer(&other);
        grants().await.is_error(400, code);
    }
    // Our own credentials are wrong: that is not the token's fault.
    for status in [401, 500, 302] {
        provider.answer("/introspect", Scripted::status(status));
        grants().await.is_error(400, "IDPCommunicationError");
    }
}

#[tokio::test]
async fn userinfo_adds_claims_of_the_same_person_and_changes_none() {
    let key = SigningKey::new("a", "RS256");
    let (gateway, provider) = start(&key, "policy_claim = \"policy\"\nuserinfo = true\n", "").await;
    let token = key.token(&provider.claims(NOW));
    let answer = |value: Value| provider.answer("/userinfo", Scripted::ok(value.to_string()));
    answer(json!({"sub": "alice", "policy": "read", "iss": "https://evil.example", "exp": 1}));
    login(&gateway, &token, &[("WebIdentityAccessToken", "access-token")]).await.is_ok();
    let asked = provider.requests().into_iter().find(|asked| asked.target == "/userinfo").unwrap();
    assert!(asked.head.contains("authorization: Bearer access-token"), "{}", asked.head);
    answer(json!({"sub": "bob", "policy": "read"}));
    login(&gateway, &token, &[]).await.is_error(400, "InvalidIdentityToken");
    let own = key.token(&claims(&provider, json!({"policy": "nothing"})));
    answer(json!({"sub": "alice", "policy": "read"}));
    login(&gateway, &own, &[]).await.is_error(403, "AccessDenied");
    provider.answer("/userinfo", Scripted::status(401));
    login(&gateway, &token, &[]).await.is_error(400, "InvalidIdentityToken");
    provider.answer("/userinfo", Scripted::status(503));
    login(&gateway, &token, &[]).await.is_error(400, "IDPCommunicationError");
}

#[tokio::test]
async fn without_a_provider_the_action_is_not_offered_and_no_client_tries_again() {
    let gateway = Gateway::start().await;
    for (action, parameter) in [
        ("AssumeRoleWithWebIdentity", "WebIdentityToken"),
        ("AssumeRoleWithClientGrants", "Token"),
        ("AssumeRoleWithCustomToken", "Token"),
        ("AssumeRoleWithCertificate", "TokenRevokeType"),
        ("AssumeRoleWithLDAPIdentity", "LDAPUsername"),
    ] {
        gateway.unsigned_sts(action, &[(parameter, "x")]).await.is_error(400, "STSNotInitialized");
    }
}
