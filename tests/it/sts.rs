//! STS: who gets which keys, for how long, and what opens a token.

use crate::support::{Gateway, Keys, NOW, SEALING_KEY, allow, call, encode, keys_of};

const ROLE: &str = "arn:aws:iam::000000000000:role/reader";

fn assume<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![("Action", "AssumeRole"), ("Version", "2011-06-15")];
    form.extend_from_slice(more);
    form
}

async fn with_reader() -> Gateway {
    Gateway::builder().role("reader", &allow("s3:GetObject", "arn:aws:s3:::bucket/*")).start().await
}

#[tokio::test]
async fn assume_role_gives_keys_of_the_role() {
    let gateway = with_reader().await;
    let reply = gateway
        .sts(
            &gateway.alice(),
            &assume(&[("RoleArn", ROLE), ("RoleSessionName", "me"), ("DurationSeconds", "900")]),
        )
        .await;
    reply.is_ok();
    assert_eq!(reply.element("Arn").as_deref(), Some("arn:aws:sts::000000000000:assumed-role/reader/me"));
    assert_eq!(reply.element("Expiration").as_deref(), Some("2026-11-23T12:15:00Z"));
    let keys = keys_of(&reply);
    assert!(keys.access_key_id.starts_with("ASIA") && keys.access_key_id.len() == 20);
    assert_eq!(keys.secret.len(), 40);
    assert!(keys.token.as_ref().unwrap().len() < 1024);
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    gateway.send(&keys, call("PUT", "/bucket/key").body("b")).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn who_am_i_is_answered_for_every_kind_of_key() {
    let gateway = with_reader().await;
    let who = |keys: Keys| {
        let gateway = &gateway;
        async move {
            let reply =
                gateway.sts(&keys, &[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")]).await;
            reply.is_ok();
            assert_eq!(reply.element("Account").as_deref(), Some("000000000000"));
            reply.element("Arn").unwrap()
        }
    };
    assert_eq!(who(gateway.alice()).await, "arn:aws:iam::000000000000:user/alice");
    assert_eq!(who(gateway.session().await).await, "arn:aws:iam::000000000000:user/alice");
    assert_eq!(
        who(gateway.role_session("reader").await).await,
        "arn:aws:sts::000000000000:assumed-role/reader/test"
    );
}

#[tokio::test]
async fn get_session_token_gives_keys_of_the_user() {
    let gateway = Gateway::start().await;
    let reply =
        gateway.sts(&gateway.alice(), &[("Action", "GetSessionToken"), ("Version", "2011-06-15")]).await;
    reply.is_ok();
    gateway.send(&keys_of(&reply), call("GET", "/bucket/key")).await.is_ok();
}

#[tokio::test]
async fn assume_role_needs_a_right_signature_over_its_form() {
    let gateway = Gateway::start().await;
    let form = "Action=AssumeRole&Version=2011-06-15";
    let request = || {
        call("POST", "/")
            .service("sts")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
    };
    let unsigned = {
        let mut signed = request().at(gateway.now()).sign(&gateway.alice(), gateway.address());
        signed.call.headers.retain(|(name, _)| name != "authorization");
        signed.send(gateway.address()).await
    };
    unsigned.is_error(403, "MissingAuthenticationToken");
    let mut wrong = gateway.alice();
    wrong.secret.push('x');
    gateway.send(&wrong, request()).await.is_error(403, "SignatureDoesNotMatch");
    let reply = gateway.send(&gateway.alice(), request().service("s3").payload("UNSIGNED-PAYLOAD")).await;
    assert!(matches!(reply.status, 400 | 403), "{}", reply.text());
    let mut changed = request().at(gateway.now()).sign(&gateway.alice(), gateway.address());
    changed.call.body = b"Action=AssumeRole&Version=2011-06-15&DurationSeconds=43200".to_vec();
    changed.send(gateway.address()).await.is_error(403, "SignatureDoesNotMatch");
    gateway
        .sts(&Keys::long_term("AKIANOBODY0000000001", "x"), &assume(&[]))
        .await
        .is_error(403, "InvalidClientTokenId");
}

#[tokio::test]
async fn temporary_keys_get_no_others_but_those_of_a_role_that_their_policies_allow() {
    let gateway = with_reader().await;
    let session = gateway.session().await;
    gateway.sts(&session, &assume(&[])).await.is_error(403, "AccessDenied");
    let role = assume(&[("RoleArn", ROLE), ("RoleSessionName", "me")]);
    gateway.sts(&session, &role).await.is_ok();
    let narrowed = gateway.assume(&[("Policy", &allow("s3:*", "*"))]).await;
    gateway.sts(&narrowed, &role).await.is_error(403, "AccessDenied");
    let reader = gateway.role_session("reader").await;
    gateway.sts(&reader, &role).await.is_error(403, "AccessDenied");
    gateway
        .sts(&session, &[("Action", "GetSessionToken"), ("Version", "2011-06-15")])
        .await
        .is_error(403, "AccessDenied");
    let with_token = Keys { token: session.token, ..gateway.alice() };
    gateway.sts(&with_token, &assume(&[])).await.is_error(403, "InvalidClientTokenId");
}

#[tokio::test]
async fn a_parameter_stands_once_and_in_one_place() {
    let gateway = Gateway::start().await;
    let policy = allow("s3:GetObject", "*");
    for repeated in [
        ("Action", "GetCallerIdentity"),
        ("Version", "2011-06-15"),
        ("Policy", policy.as_str()),
        ("DurationSeconds", "900"),
    ] {
        let mut form = assume(&[("Policy", &policy), ("DurationSeconds", "900")]);
        form.push(repeated);
        gateway.sts(&gateway.alice(), &form).await.is_error(400, "InvalidParameterValue");
    }
    let both = call("POST", "/")
        .service("sts")
        .query("DurationSeconds=43200")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("Action=AssumeRole&Version=2011-06-15");
    gateway.send(&gateway.alice(), both).await.is_error(400, "InvalidParameterValue");
}

#[tokio::test]
async fn parameters_may_be_a_query_as_minio_clients_send_them() {
    let gateway = Gateway::start().await;
    for method in ["POST", "GET"] {
        let query = call(method, "/")
            .service("sts")
            .query("Action=AssumeRole")
            .query("Version=2011-06-15")
            .region("");
        let reply = gateway.send(&gateway.alice(), query).await;
        reply.is_ok();
        gateway.send(&keys_of(&reply), call("GET", "/bucket/key")).await.is_ok();
    }
}

#[tokio::test]
async fn a_request_that_is_no_sts_call_gets_the_code_that_says_so() {
    let gateway = Gateway::start().await;
    let alice = gateway.alice();
    gateway.sts(&alice, &[("Version", "2011-06-15")]).await.is_error(400, "MissingAction");
    gateway
        .sts(&alice, &[("Action", "Nothing"), ("Version", "2011-06-15")])
        .await
        .is_error(400, "InvalidAction");
    gateway.sts(&alice, &[("Action", "AssumeRole")]).await.is_error(400, "MissingParameter");
    gateway
        .sts(&alice, &[("Action", "AssumeRole"), ("Version", "2010-05-08")])
        .await
        .is_error(400, "InvalidAction");
    let json = call("POST", "/")
        .service("sts")
        .header("content-type", "application/json")
        .body("{\"Action\":\"AssumeRole\"}");
    gateway.send(&alice, json).await.is_error(400, "InvalidParameterValue");
    let huge = call("POST", "/")
        .service("sts")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("a".repeat(65 * 1024));
    assert_eq!(gateway.send(&alice, huge).await.status, 400);
}

#[tokio::test]
async fn the_duration_is_a_number_within_the_bounds() {
    let gateway = Gateway::builder().sts("max_duration = \"2h\"").start().await;
    for duration in ["0", "7201", "-1", "1e30", "3600abc", "", " 900", "+900", "99999999999999999999"] {
        let reply = gateway.sts(&gateway.alice(), &assume(&[("DurationSeconds", duration)])).await;
        reply.is_error(400, "ValidationError");
    }
    gateway.sts(&gateway.alice(), &assume(&[("DurationSeconds", "7200")])).await.is_ok();
}

#[tokio::test]
async fn a_session_policy_that_is_no_policy_is_malformed() {
    let gateway = Gateway::start().await;
    for policy in [
        "",
        "{}",
        "null",
        "not json",
        r#"{"Version":"2012-10-17","Statement":[]}"#,
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*"}]}"#,
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Odd":{}}}]}"#,
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#,
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}],"Extra":1}"#,
    ] {
        gateway
            .sts(&gateway.alice(), &assume(&[("Policy", policy)]))
            .await
            .is_error(400, "MalformedPolicyDocument");
    }
}

#[tokio::test]
async fn a_session_policy_has_an_upper_size() {
    let gateway = Gateway::start().await;
    let padded = |length: usize| {
        let policy = allow("s3:GetObject", "*");
        format!("{policy}{}", " ".repeat(length - policy.len()))
    };
    gateway.sts(&gateway.alice(), &assume(&[("Policy", &padded(2048))])).await.is_ok();
    gateway
        .sts(&gateway.alice(), &assume(&[("Policy", &padded(2049))]))
        .await
        .is_error(400, "PackedPolicyTooLarge");
    let deep = "[".repeat(2000);
    let reply = gateway.sts(&gateway.alice(), &assume(&[("Policy", &deep)])).await;
    reply.is_error(400, "MalformedPolicyDocument");
}

#[tokio::test]
async fn a_session_policy_narrows_and_never_widens() {
    let gateway = with_reader().await;
    let wide = allow("s3:*", "*");
    let keys = gateway.assume(&[("RoleArn", ROLE), ("RoleSessionName", "me"), ("Policy", &wide)]).await;
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    gateway.backend().forget();
    gateway.send(&keys, call("PUT", "/bucket/key").body("b")).await.is_error(403, "AccessDenied");

    let narrow = allow("s3:GetObject", "arn:aws:s3:::bucket/mine/*");
    let keys = gateway.assume(&[("Policy", &narrow)]).await;
    gateway.send(&keys, call("GET", "/bucket/theirs")).await.is_error(403, "AccessDenied");
    gateway.send(&keys, call("PUT", "/bucket/mine/k").body("b")).await.is_error(403, "AccessDenied");
    gateway.backend().saw_nothing();
    gateway.send(&keys, call("GET", "/bucket/mine/k")).await.is_ok();
}

#[tokio::test]
async fn a_role_is_assumed_by_those_who_may_and_is_there() {
    let gateway = with_reader().await;
    let asked = |arn: &'static str| assume(&[("RoleArn", arn), ("RoleSessionName", "me")]);
    gateway.sts(&gateway.bob(), &asked(ROLE)).await.is_error(403, "AccessDenied");
    for arn in [
        "arn:aws:iam::000000000000:role/nobody",
        "arn:aws:iam::999999999999:role/reader",
        "arn:xxx:xxx:xxx:xxxx:role/reader",
    ] {
        gateway.sts(&gateway.alice(), &asked(arn)).await.is_error(403, "AccessDenied");
    }
    gateway.sts(&gateway.alice(), &asked("reader")).await.is_error(400, "ValidationError");

    let lenient = Gateway::builder().sts("ignore_unknown_role_arn = true").start().await;
    for arn in
        ["arn:xxx:xxx:xxx:xxxx:role/reader", "arn:xxx:xxx:xxx:xxxx", "arn:minio:iam:::role/dummy-internal"]
    {
        lenient.sts(&lenient.alice(), &asked(arn)).await.is_ok();
    }
}

#[tokio::test]
async fn session_names_are_names() {
    let gateway = with_reader().await;
    let long = "n".repeat(65);
    for name in ["a", "", "a b", "a/b", "a\nb", "a\u{0}b", "é!", long.as_str()] {
        let form = assume(&[("RoleArn", ROLE), ("RoleSessionName", name)]);
        let reply = gateway.sts(&gateway.alice(), &form).await;
        assert!(reply.status == 400, "{name:?}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_token_with_any_bit_changed_opens_nothing() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let token = keys.token.clone().unwrap();
    let mut bent: Vec<String> = (0..token.len())
        .step_by(7)
        .map(|at| {
            let other = if token.as_bytes()[at] == b'A' { 'B' } else { 'A' };
            format!("{}{other}{}", &token[..at], &token[at + 1..])
        })
        .collect();
    bent.extend([
        token[..token.len() - 1].to_owned(),
        format!("{token}A"),
        token.to_uppercase(),
        "A".repeat(token.len()),
    ]);
    for token in bent {
        let keys = Keys { token: Some(token.clone()), ..keys.clone() };
        gateway.send(&keys, call("GET", "/bucket/key")).await.is_error(400, "InvalidToken");
    }
    let other_deployment = Gateway::builder()
        .sealing_keys("0a0b0c0d:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=")
        .start()
        .await;
    other_deployment.send(&keys, call("GET", "/bucket/key")).await.is_error(400, "InvalidToken");
    gateway.backend().saw_nothing();
    other_deployment.backend().saw_nothing();
}

#[tokio::test]
async fn keys_die_at_the_second_they_end() {
    let gateway = Gateway::start().await;
    let keys = gateway.assume(&[("DurationSeconds", "60")]).await;
    gateway.advance(59);
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    gateway.backend().forget();
    gateway.advance(1);
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_error(400, "ExpiredToken");
    gateway
        .sts(&keys, &[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")])
        .await
        .is_error(403, "ExpiredToken");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_token_works_on_every_replica_and_after_a_restart_as_long_as_its_key_is_in_the_ring() {
    let newer = "ffffffff:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let replica = Gateway::start().await;
    replica.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    let rotated = Gateway::builder().sealing_keys(&format!("{newer}\n{SEALING_KEY}")).start().await;
    rotated.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    let retired = Gateway::builder().sealing_keys(newer).start().await;
    retired.send(&keys, call("GET", "/bucket/key")).await.is_error(400, "InvalidToken");
    retired.backend().saw_nothing();
}

#[tokio::test]
async fn a_user_who_is_gone_takes_the_sessions_along() {
    let gateway = Gateway::start().await;
    let bob = gateway.sts(&gateway.bob(), &assume(&[])).await;
    bob.is_ok();
    let reader = with_reader().await;
    let alice = reader.role_session("reader").await;
    // The same keyring, but a configuration without that role.
    gateway.send(&alice, call("GET", "/bucket/key")).await.is_error(400, "InvalidToken");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_session_token_is_nothing_else_than_that() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let token = keys.token.unwrap();
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJyb290In0.c2lnbmF0dXJl";
    for form in [
        assume(&[("WebIdentityToken", token.as_str())]),
        vec![
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("WebIdentityToken", token.as_str()),
        ],
    ] {
        let reply = gateway.sts(&gateway.alice(), &form).await;
        assert!(matches!(reply.status, 400 | 403), "{}", reply.text());
    }
    let bearer = format!(
        "GET /bucket/key HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    crate::support::raw(gateway.address(), bearer.as_bytes()).await.is_error(400, "InvalidRequest");
    let foreign = Keys { token: Some(jwt.into()), access_key_id: keys.access_key_id, secret: keys.secret };
    gateway.send(&foreign, call("GET", "/bucket/key")).await.is_error(400, "InvalidToken");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn sessions_beyond_the_caches_bound_still_work() {
    let gateway = Gateway::builder().toml("[limits]\nsession_cache = \"16KiB\"\n").start().await;
    let first = gateway.session().await;
    let mut others = Vec::new();
    for _ in 0..100 {
        others.push(gateway.session().await);
    }
    for keys in others.iter().take(3).chain([&first]) {
        gateway.send(keys, call("GET", "/bucket/key")).await.is_ok();
    }
    // Another token under a key that is in the cache does not take its place.
    let swapped = Keys { token: others[0].token.clone(), ..first.clone() };
    gateway.send(&swapped, call("GET", "/bucket/key")).await.is_error(400, "InvalidToken");
    gateway.send(&first, call("GET", "/bucket/key")).await.is_ok();
}

#[tokio::test]
async fn nothing_of_a_call_is_in_its_error() {
    let gateway = Gateway::start().await;
    let secret = "not-to-be-repeated";
    let policy = format!("Policy={}", encode(secret));
    let request = call("POST", "/")
        .service("sts")
        .query("Action=AssumeRole")
        .query("Version=2011-06-15")
        .query(&policy);
    let reply = gateway.send(&gateway.alice(), request).await;
    assert_eq!(reply.status, 400);
    assert!(!reply.text().contains(secret), "{}", reply.text());
    assert_eq!(NOW, gateway.now());
}
