//! What operators are told: `check --online`, `explain --token`, too few file descriptors.

use std::sync::Arc;

use daypass::{
    app,
    clock::ManualClock,
    config::{self, Config},
    explain::{Who, explain_identity},
    online,
};
use serde_json::{Value, json};

use crate::support::{
    Gateway, NOW, Provider, Scripted, SigningKey, allow,
    storage::{Storage, nobody},
};

fn configuration(ways: &str) -> Config {
    configuration_of("endpoint = \"http://127.0.0.1:1\"", ways)
}

fn configuration_of(backend: &str, ways: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daypass.toml");
    let toml = format!(
        "[backend]\n{backend}\naccess_key_id = \"ROOTROOTROOTROOT0001\"\nsecret_access_key = \"root-secret-root-secret\"\n\
         [sts]\nsealing_keys = \"{}\"\n[[policy]]\nname = \"read\"\ndocument = '''{}'''\n{ways}",
        crate::support::SEALING_KEY,
        allow("s3:GetObject", "*")
    );
    std::fs::write(&file, toml).unwrap();
    match config::load(&file, &|_| None) {
        Ok(config) => config,
        Err(problems) => panic!("{problems}"),
    }
}

const ROLE: &str = r#"
[[role]]
name = "analyst"
policies = ["read"]
[[role.trust]]
oidc = "idp"
claims = { groups = "analysts", email_verified = true }
[[role.trust]]
users = ["*"]
[[role]]
name = "machine"
policies = ["read"]
[[role.trust]]
oidc = "idp"
claims = { sub = "machine:*" }
[[user]]
name = "alice"
access_key_id = "ALICEACCESSKEY000001"
secret_access_key = "alice-secret-alice-secret"
"#;

const USER: &str = "[[user]]\nname = \"alice\"\naccess_key_id = \"ALICEACCESSKEY000001\"\nsecret_access_key = \"alice-secret-alice-secret\"\npolicies = [\"read\"]\n";

async fn explain(config: &Config, token: String) -> (bool, String) {
    let ways = config.ways.open().unwrap();
    let answer = explain_identity(config, &ways, &Who::Token { token, provider: None }, NOW).await;
    (answer.granted, answer.text)
}

#[tokio::test]
async fn a_token_is_explained_with_its_claims_and_what_each_role_lacks() {
    let key = SigningKey::new("a", "ES256");
    let provider = Provider::start(&[&key]).await;
    let config = configuration(&format!("{}policy_claim = \"policy\"\n{ROLE}", provider.toml("idp")));
    let mut claims = provider.claims(NOW);
    claims["policy"] = json!("read,unknown");
    let (granted, text) = explain(&config, format!("{}\n", key.token(&claims))).await;
    assert!(granted, "{text}");
    for line in [
        "audience daypass, subject alice",
        "  jwt:groups is [\"analysts\"]",
        "names that are no policy here: unknown",
        "without a role: the policies read",
        "role analyst: not granted by trust rule 1: there is no jwt:email_verified",
        "role machine: not granted by trust rule 1: jwt:sub must be machine:* and is alice",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    claims["email_verified"] = json!(true);
    let (_, text) = explain(&config, key.token(&claims)).await;
    assert!(text.contains("role analyst: granted, with the policies read"), "{text}");
}

#[tokio::test]
async fn a_token_that_is_refused_says_to_the_operator_why() {
    let key = SigningKey::new("a", "ES256");
    let provider = Provider::start(&[&key]).await;
    let config = configuration(&format!("{}{ROLE}", provider.toml("idp")));
    let changed = |name: &str, value: Value| {
        let mut claims = provider.claims(NOW);
        claims[name] = value;
        key.token(&claims)
    };
    for (token, why) in [
        (changed("aud", json!("account")), "aud is \"account\", none of oidc.idp.client_ids"),
        (changed("iss", json!("https://other")), "no provider has the issuer \"https://other\""),
        (changed("exp", json!(1)), "the token is over"),
        (changed("iat", json!(NOW.unix() + 600)), "not valid yet, or the clocks are apart"),
        (
            SigningKey::new("a", "ES256").token(&provider.claims(NOW)),
            "the signature is not that of the provider's key",
        ),
        (SigningKey::new("b", "ES256").token(&provider.claims(NOW)), "the provider has no such key"),
        ("opaque".to_owned(), "no JWT, and no provider is asked about such ones"),
    ] {
        let (granted, text) = explain(&config, token).await;
        assert!(!granted && text.contains(why), "{why}: {text}");
    }
}

#[tokio::test]
async fn a_check_says_what_is_wrong_with_a_provider() {
    let key = SigningKey::new("a", "ES256");
    let provider = Provider::start(&[&key]).await;
    let config = configuration(&format!("{}userinfo = true\n{ROLE}", provider.toml("idp")));
    let backend = app::check(configuration(USER), Arc::new(ManualClock::at(NOW))).unwrap();
    let check = async || {
        let ways = config.ways.open().unwrap();
        let findings = online::check(&backend, &ways, NOW).await;
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[1].about, "oidc.idp");
        findings[1].result.clone()
    };
    assert_eq!(check().await, Ok("it answers; usable keys: 1".to_owned()));
    let issuer = provider.issuer();
    let document = |change: Value| {
        let mut document = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "userinfo_endpoint": format!("{issuer}/userinfo")});
        for (name, value) in change.as_object().unwrap() {
            document[name] = value.clone();
        }
        provider.answer("/.well-known/openid-configuration", Scripted::ok(document.to_string()));
    };
    document(json!({"issuer": format!("{issuer}/")}));
    assert!(check().await.unwrap_err().contains("they must be the same to the letter"));
    document(json!({"userinfo_endpoint": null}));
    assert!(check().await.unwrap_err().contains("it names no userinfo endpoint"));
    document(json!({"jwks_uri": "http://127.0.0.2:1/keys"}));
    assert!(check().await.unwrap_err().contains("the configuration does not name it"));
    document(json!({}));
    let mut late = Scripted::ok(json!({"keys": [key.jwk()]}).to_string());
    late.headers = "date: Mon, 23 Nov 2026 12:05:00 GMT\r\n".to_owned();
    provider.answer("/keys", late);
    assert!(
        check()
            .await
            .unwrap_err()
            .contains("its clock says 2026-11-23T12:05:00Z and ours 2026-11-23T12:00:00Z")
    );
    provider.answer("/keys", Scripted::ok("{\"keys\":[]}"));
    assert!(check().await.unwrap_err().contains("holds no key that can be used"));
    provider.answer("/.well-known/openid-configuration", Scripted::status(404));
    assert!(check().await.unwrap_err().contains("it answered with status 404"));
}

#[tokio::test]
async fn a_check_says_which_address_of_the_storage_cannot_be_reached() {
    let storage = Storage::start(async |_| ()).await;
    let away = nobody().await;
    let endpoints = format!("endpoints = [\"http://{}\", \"http://{away}\"]", storage.address());
    let config = configuration_of(&endpoints, USER);
    let ways = config.ways.open().unwrap();
    let backend = app::check(config, Arc::new(ManualClock::at(NOW))).unwrap();
    let findings = online::check(&backend, &ways, NOW).await;
    assert_eq!(findings[0].about, format!("backend http://{}", storage.address()));
    assert_eq!(findings[0].result, Ok("a connection can be made".to_owned()));
    assert_eq!(findings[1].about, format!("backend http://{away}"));
    assert!(findings[1].result.as_ref().unwrap_err().contains("refused"), "{findings:?}");
    assert_eq!(findings.len(), 2);
    assert!(storage.heads().is_empty(), "nothing was asked");
}

fn open_files(limits: &str) -> Vec<&str> {
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().skip(3).take(2).collect()
}

#[tokio::test]
async fn the_limit_of_file_descriptors_is_raised_and_too_low_a_one_is_told() {
    let low = "ulimit -Sn 256; ulimit -Hn 1000; exec \"$0\" \"$@\"";
    let program = Gateway::builder().spawn_by(low).await;
    assert_eq!(open_files(&program.limits()), ["1000", "1000"]);
    let log = program.log().text();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("limits.max_connections")).collect();
    assert_eq!(told.len(), 1, "{log}");
    for part in ["WARN", "limit=1000", "needed=20128", "LimitNOFILE"] {
        assert!(told[0].contains(part), "{part}: {log}");
    }
    let few = Gateway::builder().toml("[limits]\nmax_connections = 436\n").spawn_by(low).await;
    assert_eq!(open_files(&few.limits()), ["1000", "1000"]);
    assert!(!few.log().text().contains("descriptors"), "{}", few.log().text());
}
