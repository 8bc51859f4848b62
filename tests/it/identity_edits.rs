//! What an edit of the configuration does to the sessions of those who were proven by others: they are asked again at the next
//! request, with what was kept of their proof. Two gateways with the same sealing key stand for before and after.

use serde_json::json;

use crate::support::{Gateway, Keys, NOW, Provider, SigningKey, allow, call, keys_of};

const ROLE: &str = "arn:aws:iam::000000000000:role/analyst";
const READ: &str = "[[policy]]\nname = \"read\"\ndocument = '''{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::data/*\"}]}'''\n";

async fn gateway(toml: &str) -> Gateway {
    Gateway::builder().toml(toml).start().await
}

fn role(policy: &str, trust: &str) -> String {
    format!("[[role]]\nname = \"analyst\"\npolicies = [\"{policy}\"]\n{trust}")
}

/// The keys of a login, and what proved it.
async fn login(before: &Gateway, provider: &Provider, key: &SigningKey, role: Option<&str>) -> Keys {
    let mut claims = provider.claims(NOW);
    claims["policy"] = json!("read");
    claims["team"] = json!("red");
    let token = key.token(&claims);
    let mut form = vec![("WebIdentityToken", token.as_str())];
    form.extend(role.map(|arn| ("RoleArn", arn)));
    let reply = before.unsigned_sts("AssumeRoleWithWebIdentity", &form).await;
    reply.is_ok();
    keys_of(&reply)
}

async fn provider() -> (SigningKey, Provider) {
    let key = SigningKey::new("a", "ES256");
    let provider = Provider::start(&[&key]).await;
    (key, provider)
}

#[tokio::test]
async fn a_session_in_a_role_ends_with_its_provider_its_rule_and_its_role() {
    let (key, provider) = provider().await;
    let idp = provider.toml("idp");
    let trust = "[[role.trust]]\noidc = \"idp\"\nclaims = { groups = \"analysts\" }\n";
    let before = gateway(&format!("{idp}{READ}{}", role("read", trust))).await;
    let keys = login(&before, &provider, &key, Some(ROLE)).await;
    let other_rule = "[[role.trust]]\noidc = \"idp\"\nclaims = { groups = \"writers\" }\n";
    before.send(&keys, call("GET", "/data/x")).await.is_ok();
    for (what, toml) in [
        ("no provider", format!("{READ}{}", role("read", ""))),
        ("no rule", format!("{idp}{READ}{}", role("read", ""))),
        ("another rule", format!("{idp}{READ}{}", role("read", other_rule))),
        ("no role", format!("{idp}{READ}")),
        (
            "another name",
            format!("{}{READ}{}", provider.toml("id"), role("read", &trust.replace("idp", "id"))),
        ),
    ] {
        let after = gateway(&toml).await;
        let reply = after.send(&keys, call("GET", "/data/x")).await;
        assert_eq!((reply.status, reply.element("Code").as_deref()), (400, Some("InvalidToken")), "{what}");
        after.backend().saw_nothing();
    }
    let narrowed = READ.replace("data/*", "data/y*");
    let after = gateway(&format!("{idp}{narrowed}{}", role("read", trust))).await;
    after.send(&keys, call("GET", "/data/x")).await.is_error(403, "AccessDenied");
    after.send(&keys, call("GET", "/data/y")).await.is_ok();
}

#[tokio::test]
async fn a_session_without_a_role_ends_with_the_policy_that_its_proof_named() {
    let (key, provider) = provider().await;
    let idp = format!("{}policy_claim = \"policy\"\n", provider.toml("idp"));
    let before = gateway(&format!("{idp}{READ}")).await;
    let keys = login(&before, &provider, &key, None).await;
    let after = gateway(&format!("{idp}{}", READ.replace("\"read\"", "\"write\""))).await;
    after.send(&keys, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
    after.backend().saw_nothing();
}

#[tokio::test]
async fn a_claim_that_nobody_asked_for_at_the_login_is_missing_later() {
    let (key, provider) = provider().await;
    let idp = provider.toml("idp");
    let trust = "[[role.trust]]\noidc = \"idp\"\n";
    let before = gateway(&format!("{idp}{READ}{}", role("read", trust))).await;
    let keys = login(&before, &provider, &key, Some(ROLE)).await;
    let by_team = format!("{trust}claims = {{ team = \"*\" }}\n");
    let after = gateway(&format!("{idp}{READ}{}", role("read", &by_team))).await;
    after.send(&keys, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
    let asks = allow("s3:GetObject", "arn:aws:s3:::data/${jwt:team}");
    let policy = format!("[[policy]]\nname = \"read\"\ndocument = '''{asks}'''\n");
    let after = gateway(&format!("{idp}{policy}{}", role("read", trust))).await;
    after.send(&keys, call("GET", "/data/red")).await.is_error(403, "AccessDenied");
    let again = login(&after, &provider, &key, Some(ROLE)).await;
    after.send(&again, call("GET", "/data/red")).await.is_ok();
}
