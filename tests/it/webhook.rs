//! Custom tokens, proven by a webhook on a real socket.

use std::time::Duration;

use daypass::identity::{
    AskedClaims, HttpSettings, Proof,
    webhook::{Error, Settings, Webhook},
};

use crate::support::{Answer, Backend, Gateway, NOW, Recorded, Reply, allow, call, keys_of, raw};

const TOKEN: &str = "canary-token-93";

fn settings(url: &str) -> Settings {
    Settings {
        url: url.parse().unwrap(),
        auth_token: Some("Bearer canary-secret-17".into()),
        http: HttpSettings {
            ca_pem: None,
            timeout: Duration::from_millis(500),
            allow_http: true,
            named_hosts: Vec::new(),
        },
        policies: vec!["readers".to_owned()],
    }
}

fn at(url: &str) -> Webhook {
    Webhook::new(settings(url)).unwrap()
}

async fn answering(status: u16, body: &str) -> (Backend, Webhook) {
    let fake = Backend::start().await;
    let body = body.to_owned();
    fake.answers(move |_| Answer::new(status, body.clone()));
    let webhook = at(&format!("http://{}/auth", fake.address()));
    (fake, webhook)
}

async fn told(status: u16, body: &str) -> Result<Proof, Error> {
    let (_fake, webhook) = answering(status, body).await;
    webhook.identify(TOKEN, NOW).await
}

#[track_caller]
fn unavailable(answer: Result<Proof, Error>, why: &str) {
    match answer {
        Err(Error::Unavailable { cause }) => {
            assert!(cause.contains(why), "{cause}");
            assert!(!cause.contains("canary"), "{cause}");
        }
        other => panic!("{other:?}, not {why}"),
    }
}

const ADA: &str =
    r#"{"user":"ada","maxValiditySeconds":3600,"claims":{"team":"red","User":"root","groups":["a"]}}"#;

#[tokio::test]
async fn the_webhook_names_the_bearer_of_a_token() {
    let proof = told(200, ADA).await.unwrap();
    assert_eq!((proof.subject.as_str(), proof.policies), ("ada", vec!["readers".to_owned()]));
    assert_eq!(proof.valid_until, Some(NOW.plus(Duration::from_secs(3600))));
    let said = serde_json::Value::Object(proof.said);
    assert_eq!(said, serde_json::json!({"user": "ada", "team": "red", "groups": ["a"]}));
}

#[tokio::test]
async fn a_claim_cannot_take_the_place_of_the_user() {
    for name in ["user", "USER", "User"] {
        let body = format!(r#"{{"user":"ada","maxValiditySeconds":900,"claims":{{"{name}":"root"}}}}"#);
        let identity = told(200, &body).await.unwrap().identity(&AskedClaims::new([], []), NOW).unwrap();
        assert_eq!(identity.path(), "webhook/ada");
        assert_eq!(identity.claims.get("webhook:user").unwrap().values(), ["ada"]);
    }
}

#[tokio::test]
async fn it_is_asked_as_minio_asks() {
    let (fake, webhook) = answering(200, ADA).await;
    webhook.identify("a b&c=d/é+%", NOW).await.unwrap();
    let asked = fake.only_request();
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.target, "/auth?token=a%20b%26c%3Dd%2F%C3%A9%2B%25");
    assert_eq!(asked.header("authorization"), Some("Bearer canary-secret-17"));
    assert_eq!(asked.header("content-length"), Some("0"));
    assert!(asked.body.is_empty() && asked.complete);
}

#[tokio::test]
async fn a_query_of_the_url_stays() {
    for (url, target) in
        [("/auth?tenant=1", "/auth?tenant=1&token=t"), ("/auth?", "/auth?token=t"), ("", "/?token=t")]
    {
        let fake = Backend::start().await;
        fake.answers(|_| Answer::new(200, ADA));
        at(&format!("http://{}{url}", fake.address())).identify("t", NOW).await.unwrap();
        assert_eq!(fake.only_request().target, target);
    }
}

#[tokio::test]
async fn without_an_auth_token_there_is_no_authorization() {
    let fake = Backend::start().await;
    fake.answers(|_| Answer::new(200, ADA));
    let settings = settings(&format!("http://{}/", fake.address()));
    let webhook = Webhook::new(Settings { auth_token: None, ..settings }).unwrap();
    webhook.identify(TOKEN, NOW).await.unwrap();
    assert_eq!(fake.only_request().header("authorization"), None);
}

#[tokio::test]
async fn an_empty_or_endless_token_is_refused_before_any_call() {
    let (fake, webhook) = answering(200, ADA).await;
    for token in [String::new(), "x".repeat(16 * 1024 + 1)] {
        assert!(matches!(webhook.identify(&token, NOW).await, Err(Error::Refused { .. })));
    }
    fake.saw_nothing();
}

#[tokio::test]
async fn the_longest_token_arrives_whole() {
    let (fake, webhook) = answering(200, ADA).await;
    webhook.identify(&"/".repeat(16 * 1024), NOW).await.unwrap();
    assert_eq!(fake.only_request().target, format!("/auth?token={}", "%2F".repeat(16 * 1024)));
}

#[tokio::test]
async fn a_refusal_gives_its_reason_to_the_log_short_and_on_one_line() {
    let (_fake, webhook) =
        answering(403, r#"{"reason":"token canary-token-93 is\nunknown \u001b[31m"}"#).await;
    let Err(Error::Refused { cause }) = webhook.identify(TOKEN, NOW).await else { panic!("not refused") };
    assert_eq!(cause, "the webhook refused the token: token [token] is\\nunknown \\u{1b}[31m");
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(5000));
    let Err(Error::Refused { cause }) = told(403, &long).await else { panic!("not refused") };
    assert_eq!(cause.matches('x').count(), 200);
}

#[tokio::test]
async fn a_refusal_without_a_reason_is_no_answer_of_a_webhook() {
    for body in ["", "<html>", "{}", r#"{"reason":7}"#, r#"{"reason":"a","reason":"b"}"#] {
        unavailable(told(403, body).await, "status 403 and no reason");
    }
}

#[tokio::test]
async fn other_statuses_prove_nobody() {
    for status in [201, 204, 302, 400, 401, 404, 500, 503] {
        unavailable(told(status, ADA).await, &format!("status {status}"));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, _) = answering(200, ADA).await;
    let fake = Backend::start().await;
    let location = format!("http://{}/", elsewhere.address());
    fake.answers(move |_| Answer::new(307, "").header("location", location.clone()));
    unavailable(at(&format!("http://{}/", fake.address())).identify(TOKEN, NOW).await, "status 307");
    elsewhere.saw_nothing();
}

#[tokio::test]
async fn an_answer_that_is_not_the_contracts_proves_nobody() {
    for (body, why) in [
        ("", "no JSON object"),
        ("[]", "no JSON object"),
        (r#"{"user":"ada","maxValiditySeconds":900"#, "no JSON object"),
        (r#"{"user":"ada","user":"root","maxValiditySeconds":900}"#, "a member twice"),
        (r#"{"user":"ada","maxValiditySeconds":900,"claims":{"a":1,"a":2}}"#, "a member twice"),
        (r#"{"maxValiditySeconds":900}"#, "no user"),
        (r#"{"user":7,"maxValiditySeconds":900}"#, "no user"),
        (r#"{"user":"","maxValiditySeconds":900}"#, "user is empty"),
        (r#"{"user":"a\u0000","maxValiditySeconds":900}"#, "control characters"),
        (r#"{"user":"a\u0085","maxValiditySeconds":900}"#, "control characters"),
        (r#"{"user":"ada"}"#, "maxValiditySeconds"),
        (r#"{"user":"ada","maxValiditySeconds":899}"#, "from 900 to 31536000"),
        (r#"{"user":"ada","maxValiditySeconds":31536001}"#, "from 900 to 31536000"),
        (r#"{"user":"ada","maxValiditySeconds":-900}"#, "from 900 to 31536000"),
        (r#"{"user":"ada","maxValiditySeconds":1000.5}"#, "from 900 to 31536000"),
        (r#"{"user":"ada","maxValiditySeconds":"900"}"#, "from 900 to 31536000"),
        (r#"{"user":"ada","maxValiditySeconds":1e400}"#, "no JSON object"),
        (r#"{"user":"ada","maxValiditySeconds":900,"claims":[]}"#, "claims are no object"),
    ] {
        unavailable(told(200, body).await, why);
    }
    let longest = "x".repeat(1024);
    let body = |user: &str| format!(r#"{{"user":"{user}","maxValiditySeconds":31536000,"claims":null}}"#);
    assert!(told(200, &body(&longest)).await.is_ok());
    unavailable(told(200, &body(&format!("{longest}x"))).await, "longer than 1024 bytes");
}

#[tokio::test]
async fn a_webhook_that_is_slow_or_floods_or_is_not_there_proves_nobody_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/auth?key=canary", silent.local_addr().unwrap());
    let started = tokio::time::Instant::now();
    unavailable(at(&url).identify(TOKEN, NOW).await, "no answer within 500ms");
    assert!(started.elapsed() < Duration::from_secs(3));
    drop(silent);
    unavailable(at(&url).identify(TOKEN, NOW).await, "cannot be reached");
    let padded = format!(r#"{{"user":"ada","maxValiditySeconds":900,"x":"{}"}}"#, "x".repeat(600 * 1024));
    unavailable(told(200, &padded).await, "larger than 512 KiB");
}

#[test]
fn a_url_that_cannot_be_called_is_refused_at_the_start() {
    for (url, why) in [
        ("/auth", "has no host"),
        ("ftp://hook.example/", "https:// is needed"),
        ("https://user:canary@hook.example/", "a user or a password"),
        ("https://hook.example/?a=1&token=x", "has a token already"),
        (&format!("https://hook.example/{}", "x".repeat(8 * 1024)), "longer than"),
    ] {
        let refused = Webhook::new(settings(url)).unwrap_err().to_string();
        assert!(refused.contains(why) && !refused.contains("canary"), "{refused} is not {why}");
    }
    let mut strict = settings("http://hook.example/");
    strict.http.allow_http = false;
    assert!(Webhook::new(strict).unwrap_err().to_string().contains("https:// is needed"));
    for token in ["", "canary\n", "canary\u{e9}\u{0}"] {
        let settings = Settings { auth_token: Some(token.into()), ..settings("https://hook.example/") };
        let refused = Webhook::new(settings).unwrap_err().to_string();
        assert!(refused.contains("auth token") && !refused.contains("canary"), "{refused}");
    }
    let mut authorities = settings("https://hook.example/");
    authorities.http.ca_pem = Some(Vec::new());
    assert!(Webhook::new(authorities).unwrap_err().to_string().contains("no certificate is in it"));
}

#[tokio::test]
async fn neither_tokens_nor_keys_can_be_printed() {
    let (_fake, webhook) = answering(200, ADA).await;
    let proof = webhook.identify(TOKEN, NOW).await.unwrap();
    let secretive = at("https://hook.example/auth?code=canary");
    let printed = format!("{webhook:?} {proof:?} {secretive:?}");
    assert!(!printed.contains("canary"), "{printed}");
}

#[tokio::test]
async fn the_check_takes_any_answer_and_says_what_is_wrong() {
    for status in [200, 400, 403, 500] {
        let (fake, webhook) = answering(status, "whatever").await;
        assert_eq!(webhook.check().await, Ok(()));
        let Recorded { method, target, body, .. } = fake.only_request();
        assert_eq!((method.as_str(), target.as_str(), body.as_slice()), ("POST", "/auth", &b"{}"[..]));
        assert_eq!(fake.only_request().header("content-type"), Some("application/json"));
    }
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let webhook = at(&format!("http://{address}/auth?key=canary"));
    let slow = webhook.check().await.unwrap_err();
    assert!(slow.starts_with(&format!("the webhook at http://{address}/auth does not answer")), "{slow}");
    drop(silent);
    let gone = webhook.check().await.unwrap_err();
    assert!(gone.contains("cannot be reached") && !gone.contains("canary"), "{gone}");
    let plain = Backend::start().await;
    let no_tls = at(&format!("https://{}/", plain.address())).check().await.unwrap_err();
    assert!(no_tls.contains("cannot be reached"), "{no_tls}");
}

/// A gateway whose `[webhook]` gives the policy `reports` without a role, and the role `backup` to the team `red`.
async fn gateway_asking(fake: &Backend) -> Gateway {
    Gateway::builder()
        .policy("reports", &allow("s3:GetObject", "arn:aws:s3:::reports/*"))
        .role("backup", &allow("s3:GetObject", "arn:aws:s3:::logs/*"))
        .toml("[[role.trust]]\nwebhook = true\nclaims = { team = \"red\" }\n")
        .toml(&format!(
            "[webhook]\nurl = \"http://{}/auth\"\nallow_http = true\npolicies = [\"reports\"]\n",
            fake.address()
        ))
        .start()
        .await
}

async fn assume(gateway: &Gateway, more: &str) -> Reply {
    // As minio-go sends it: in the query, with no body.
    let target = format!("/?Action=AssumeRoleWithCustomToken&Version=2011-06-15&Token={TOKEN}{more}");
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    raw(gateway.address(), head.as_bytes()).await
}

#[tokio::test]
async fn a_custom_token_gives_keys_that_end_when_the_webhook_says() {
    let fake = Backend::start().await;
    fake.answers(|_| Answer::new(200, ADA));
    let gateway = gateway_asking(&fake).await;
    let reply = assume(&gateway, "&RoleArn=&DurationSeconds=43200").await;
    reply.is_ok();
    assert_eq!(reply.element("Expiration").unwrap(), "2026-11-23T13:00:00Z");
    gateway.send(&keys_of(&reply), call("GET", "/reports/a")).await.is_ok();
    gateway.send(&keys_of(&reply), call("GET", "/logs/a")).await.is_error(403, "AccessDenied");
    let role = "&RoleArn=arn:aws:iam::000000000000:role/backup";
    gateway.send(&keys_of(&assume(&gateway, role).await), call("GET", "/logs/a")).await.is_ok();
    fake.answers(|_| Answer::new(200, r#"{"user":"bob","maxValiditySeconds":900,"claims":{"team":"blue"}}"#));
    assume(&gateway, role).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn a_client_hears_nothing_of_what_the_webhook_said() {
    let fake = Backend::start().await;
    let gateway = gateway_asking(&fake).await;
    for (status, body, answer, code) in [
        (403, r#"{"reason":"inner words"}"#, 403, "AccessDenied"),
        (500, "inner words", 400, "IDPCommunicationError"),
        (200, r#"{"user":"inner words"}"#, 400, "IDPCommunicationError"),
    ] {
        fake.answers(move |_| Answer::new(status, body));
        let reply = assume(&gateway, "").await;
        reply.is_error(answer, code);
        assert!(!reply.text().contains("inner words"), "{}", reply.text());
    }
    gateway.backend().saw_nothing();
}
