//! The audit log and those whom nobody knows: what they leave half done, what they write into it, and how much.

use std::time::Duration;

use crate::{
    audit::{audited, decisions, file},
    support::{Keys, NOW, Provider, SigningKey, call},
};

#[tokio::test]
async fn a_login_that_its_client_breaks_off_has_a_line() {
    let key = SigningKey::new("a", "ES256");
    let provider = Provider::start(&[&key]).await;
    provider.be_silent(true);
    let role = "[[role]]\nname = \"r\"\npolicies = [\"all\"]\n[[role.trust]]\noidc = \"idp\"\n";
    let gateway = audited("").toml(&format!("{}{role}", provider.toml("idp"))).start().await;
    let token = key.token(&provider.claims(NOW));
    let form = [("WebIdentityToken", token.as_str()), ("RoleArn", "arn:aws:iam::000000000000:role/r")];
    let login = gateway.unsigned_sts("AssumeRoleWithWebIdentity", &form);
    assert!(tokio::time::timeout(Duration::from_millis(300), login).await.is_err());
    let found = decisions(&gateway, 1).await;
    let line = &found[0];
    assert_eq!(line["errorCode"], "ClientGone", "{line:#}");
    assert_eq!(line["decision"], "deny");
    assert_eq!(line["eventSource"], "sts.amazonaws.com");
    assert_eq!(line["eventName"], "AssumeRoleWithWebIdentity");
    assert_eq!(line["requestParameters"]["roleArn"], "arn:aws:iam::000000000000:role/r");
    assert_eq!(line["userIdentity"]["type"], "Unknown");
}

#[tokio::test]
async fn what_nobody_proven_sends_is_cut() {
    let gateway = audited("").start().await;
    let forged = Keys { secret: "x".to_owned(), ..gateway.bob() };
    gateway
        .send(&forged, call("GET", "/data/x").region(&"r".repeat(3000)))
        .await
        .is_error(400, "AuthorizationHeaderMalformed");
    let found = decisions(&gateway, 1).await;
    let length = |member: &str| found[0][member].as_str().unwrap().len();
    assert_eq!((length("awsRegion"), length("errorMessage")), (64, 1024), "{:#}", found[0]);
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_secret_in_the_place_of_a_key_id_is_not_in_the_log() {
    let gateway = audited("").start().await;
    let secret = "canarySecretOfFortyCharacters0123456789a";
    let swapped = Keys::long_term(secret, "AKIAIOSFODNN7EXAMPLE");
    let form = |action| [("Action", action), ("Version", "2011-06-15"), ("AccessKeyId", secret)];
    gateway.send(&swapped, call("GET", "/data/x")).await.is_error(403, "InvalidAccessKeyId");
    gateway.sts(&swapped, &form("GetAccessKeyInfo")).await;
    gateway.sts(&gateway.alice(), &form("GetAccessKeyInfo")).await;
    let unknown = Keys::long_term("AKIAIOSFODNN7EXAMPLE", "x");
    gateway.send(&unknown, call("GET", "/data/x")).await.is_error(403, "InvalidAccessKeyId");
    gateway.send(&Keys { secret: "x".to_owned(), ..gateway.bob() }, call("GET", "/data/x")).await;
    let found = decisions(&gateway, 5).await;
    let text = std::fs::read_to_string(file(&gateway)).unwrap();
    assert!(!text.contains("canaryS"), "{text}");
    let claimed: Vec<_> = found.iter().map(|line| line["userIdentity"]["accessKeyId"].clone()).collect();
    let alice = "ALICEACCESSKEY000001";
    assert_eq!(claimed, ["cana…", "cana…", alice, "AKIAIOSFODNN7EXAMPLE", "BOBSACCESSKEY0000001"]);
    assert_eq!(found[2]["requestParameters"]["accessKeyId"], "cana…");
    gateway.backend().saw_nothing();
}
