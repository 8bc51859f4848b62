//! Which tokens are taken: the signature, the keys, the header and the claims.

use aws_lc_rs::{hmac, rsa::KeySize};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{Gateway, NOW, Provider, Reply, SigningKey, allow};

const ROLE: &str = "arn:aws:iam::000000000000:role/analyst";

/// A provider with these keys, and a gateway whose role trusts everybody whom it proves.
async fn start(keys: &[&SigningKey]) -> (Gateway, Provider) {
    start_with(keys, "").await
}

async fn start_with(keys: &[&SigningKey], lines: &str) -> (Gateway, Provider) {
    let provider = Provider::start(keys).await;
    let role = "[[role]]\nname = \"analyst\"\npolicies = [\"read\"]\n[[role.trust]]\noidc = \"idp\"\n";
    let gateway = Gateway::builder()
        .policy("read", &allow("s3:GetObject", "arn:aws:s3:::data/*"))
        .toml(&format!("{}{lines}\n{role}", provider.toml("idp")))
        .start()
        .await;
    (gateway, provider)
}

async fn login(gateway: &Gateway, token: &str) -> Reply {
    let form = [("WebIdentityToken", token), ("RoleArn", ROLE), ("RoleSessionName", "me")];
    gateway.unsigned_sts("AssumeRoleWithWebIdentity", &form).await
}

#[track_caller]
fn is_refused(reply: &Reply) {
    reply.is_error(400, "InvalidIdentityToken");
    assert_eq!(
        reply.element("Message").unwrap(),
        "The web identity token that was passed could not be validated. Get a new identity token from the identity provider and then retry the request."
    );
}

/// The claims with some of them changed; `null` takes one out.
#[expect(clippy::needless_pass_by_value, reason = "every caller makes it in place")]
fn with(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        let object = claims.as_object_mut().unwrap();
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    claims
}

#[tokio::test]
async fn every_algorithm_that_is_allowed_is_verified() {
    let mut keys: Vec<SigningKey> = Vec::new();
    for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"] {
        keys.push(SigningKey::new(alg, alg));
    }
    let (gateway, provider) = start(&keys.iter().collect::<Vec<_>>()).await;
    for key in &keys {
        let token = key.token(&provider.claims(NOW));
        login(&gateway, &token).await.is_ok();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[10] ^= 1;
        is_refused(&login(&gateway, &format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))).await);
    }
    assert_eq!(provider.asked("/keys"), 1);
}

#[tokio::test]
async fn an_algorithm_that_the_configuration_leaves_out_is_refused() {
    let (rsa, ec) = (SigningKey::new("a", "RS256"), SigningKey::new("b", "ES256"));
    let (gateway, provider) = start_with(&[&rsa, &ec], "algorithms = [\"ES256\"]\n").await;
    login(&gateway, &ec.token(&provider.claims(NOW))).await.is_ok();
    is_refused(&login(&gateway, &rsa.token(&provider.claims(NOW))).await);
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused_however_it_says_so() {
    let key = SigningKey::new("a", "RS256");
    let (gateway, provider) = start(&[&key]).await;
    let claims = URL_SAFE_NO_PAD.encode(provider.claims(NOW).to_string());
    for alg in [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("nOnE"),
        json!(""),
        json!(null),
        json!("HS2048"),
        json!(["RS256"]),
    ] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "kid": "a"}).to_string());
        for signature in ["", "AAAA"] {
            is_refused(&login(&gateway, &format!("{header}.{claims}.{signature}")).await);
        }
    }
    let without_alg = URL_SAFE_NO_PAD.encode(r#"{"kid":"a"}"#);
    is_refused(&login(&gateway, &format!("{without_alg}.{claims}.AAAA")).await);
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"a"}"#);
    is_refused(&login(&gateway, &format!("{header}.{claims}.")).await);
}

/// CVE-2026-33322: a symmetric key that somebody may know, or that is public, must not verify anything.
#[tokio::test]
async fn a_token_signed_with_a_public_key_or_a_secret_as_hmac_key_is_refused() {
    let key = SigningKey::new("daypass", "RS256");
    let lines = "[oidc.introspection]\nclient_id = \"daypass\"\nclient_secret = \"the-client-secret\"\n";
    let (gateway, provider) = start_with(&[&key], lines).await;
    let jwk = key.jwk();
    let public = key.public_bytes();
    let pem = format!(
        "-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(&public)
    );
    let written = jwk.to_string();
    let secrets: [&[u8]; 6] = [
        b"the-client-secret",
        b"",
        &public,
        pem.as_bytes(),
        jwk["n"].as_str().unwrap().as_bytes(),
        written.as_bytes(),
    ];
    for (alg, hash) in
        [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
    {
        for secret in secrets {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "kid": "daypass"}).to_string());
            let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(provider.claims(NOW).to_string()));
            let made = hmac::sign(&hmac::Key::new(hash, secret), signed.as_bytes());
            is_refused(&login(&gateway, &format!("{signed}.{}", URL_SAFE_NO_PAD.encode(made))).await);
        }
    }
}

#[tokio::test]
async fn a_key_is_used_for_its_own_algorithms_alone() {
    let (rsa, ec) = (SigningKey::new("a", "RS256"), SigningKey::new("b", "ES256"));
    let (gateway, provider) = start(&[&rsa, &ec]).await;
    let claims = provider.claims(NOW).to_string();
    // The header names a key of another type, or another algorithm than the signature is of.
    for header in [
        r#"{"alg":"ES256","kid":"a"}"#,
        r#"{"alg":"RS256","kid":"b"}"#,
        r#"{"alg":"RS512","kid":"a"}"#,
        r#"{"alg":"PS256","kid":"a"}"#,
    ] {
        is_refused(&login(&gateway, &rsa.token_of(header, &claims)).await);
    }
    // What the key's own fields do not allow.
    for change in [
        json!({"alg": "RS512"}),
        json!({"use": "enc"}),
        json!({"key_ops": ["sign"]}),
        json!({"alg": "RSA-OAEP"}),
        json!({"kty": "oct", "k": "AAAA"}),
    ] {
        let key = SigningKey::new("a", "RS256");
        let (gateway, provider) = start(&[]).await;
        let other = SigningKey::new("other", "RS256");
        let set = json!({"keys": [with(key.jwk(), change.clone()), other.jwk()]});
        provider.answer("/keys", crate::support::Scripted::ok(set.to_string()));
        is_refused(&login(&gateway, &key.token(&provider.claims(NOW))).await);
        login(&gateway, &other.token(&provider.claims(NOW))).await.is_ok();
    }
}

#[tokio::test]
async fn an_rsa_key_of_less_than_2048_bits_is_no_key() {
    // aws-lc makes none that small: this one was made by openssl, and signs nothing here.
    let small = json!({"kty": "RSA", "use": "sig", "kid": "small", "e": "AQAB",
        "n": URL_SAFE_NO_PAD.encode([&[0xc1_u8][..], &[0x55; 126], &[0x01]].concat())});
    let (good, large) =
        (SigningKey::new("good", "RS256"), SigningKey::sized("large", "RS256", KeySize::Rsa4096));
    let (gateway, provider) = start(&[]).await;
    provider.answer(
        "/keys",
        crate::support::Scripted::ok(json!({"keys": [small, good.jwk(), large.jwk()]}).to_string()),
    );
    login(&gateway, &good.token(&provider.claims(NOW))).await.is_ok();
    login(&gateway, &large.token(&provider.claims(NOW))).await.is_ok();
    let pretending = SigningKey::new("small", "RS256");
    is_refused(&login(&gateway, &pretending.token(&provider.claims(NOW))).await);
}

#[tokio::test]
async fn a_header_that_brings_a_key_or_changes_what_is_signed_is_refused_and_nobody_is_called() {
    let (key, strange) = (SigningKey::new("a", "RS256"), SigningKey::new("a", "RS256"));
    let (gateway, provider) = start(&[&key]).await;
    let elsewhere = Provider::start(&[&strange]).await;
    login(&gateway, &key.token(&provider.claims(NOW))).await.is_ok();
    let url = format!("{}/keys", elsewhere.issuer());
    for (name, value) in [
        ("jwk", strange.jwk()),
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", json!(["AAAA"])),
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
    ] {
        let header =
            with(json!({"alg": "RS256", "kid": "a", "typ": "JWT"}), json!({ name: value })).to_string();
        for signer in [&key, &strange] {
            is_refused(&login(&gateway, &signer.token_of(&header, &provider.claims(NOW).to_string())).await);
        }
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_key_id_is_a_name_and_nothing_else() {
    let (key, second) = (SigningKey::new("a", "RS256"), SigningKey::new("b", "RS256"));
    let (gateway, provider) = start(&[&key, &second]).await;
    let claims = provider.claims(NOW).to_string();
    let long = "k".repeat(10_240);
    for kid in [
        json!("../../etc/passwd"),
        json!("' OR 1=1 --"),
        json!("http://127.0.0.1/"),
        json!(long),
        json!(null),
        json!(1),
        json!(["a"]),
        json!("A"),
        json!(""),
    ] {
        is_refused(
            &login(&gateway, &key.token_of(&json!({"alg": "RS256", "kid": kid}).to_string(), &claims)).await,
        );
    }
    // Without one, when there are several keys, which was meant?
    is_refused(&login(&gateway, &key.token_of(r#"{"alg":"RS256"}"#, &claims)).await);
    let (gateway, provider) = start(&[&key]).await;
    login(&gateway, &key.token_of(r#"{"alg":"RS256"}"#, &provider.claims(NOW).to_string())).await.is_ok();
}

#[tokio::test]
async fn an_issuer_is_compared_to_the_letter() {
    let key = SigningKey::new("a", "RS256");
    let (gateway, provider) = start(&[&key]).await;
    let issuer = provider.issuer();
    for wrong in [
        json!(format!("{issuer}/")),
        json!(issuer.to_uppercase()),
        json!("https://evil.example"),
        json!(""),
        json!([issuer]),
        json!(null),
        json!(format!(" {issuer}")),
    ] {
        is_refused(&login(&gateway, &key.token(&with(provider.claims(NOW), json!({"iss": wrong})))).await);
    }
}

#[tokio::test]
async fn one_providers_key_says_nothing_of_anothers_tokens() {
    let (mine, theirs) = (SigningKey::new("a", "RS256"), SigningKey::new("a", "RS256"));
    let (first, second) = (Provider::start(&[&mine]).await, Provider::start(&[&theirs]).await);
    let roles = "[[role]]\nname = \"analyst\"\npolicies = [\"all\"]\n[[role.trust]]\noidc = \"first\"\n";
    let gateway = Gateway::builder()
        .toml(&format!("{}{}{roles}", first.toml("first"), second.toml("second")))
        .start()
        .await;
    login(&gateway, &mine.token(&first.claims(NOW))).await.is_ok();
    is_refused(&login(&gateway, &theirs.token(&first.claims(NOW))).await);
    is_refused(&login(&gateway, &mine.token(&second.claims(NOW))).await);
    // Good, but of a provider whom the role does not trust.
    login(&gateway, &theirs.token(&second.claims(NOW))).await.is_error(403, "AccessDenied");
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused() {
    let key = SigningKey::new("a", "RS256");
    let (gateway, provider) = start_with(&[&key], "authorized_parties = [\"app\", \"daypass\"]\n").await;
    let claims = with(provider.claims(NOW), json!({"azp": "app"}));
    login(&gateway, &key.token(&claims)).await.is_ok();
    login(&gateway, &key.token(&with(claims.clone(), json!({"aud": ["account", "daypass"]})))).await.is_ok();
    for change in [
        json!({"aud": null}),
        json!({"aud": "other"}),
        json!({"aud": []}),
        json!({"aud": ["other"]}),
        json!({"aud": "daypass2"}),
        json!({"aud": "other,daypass"}),
        json!({"aud": "other daypass"}),
        json!({"aud": "DAYPASS"}),
        json!({"aud": {"daypass": true}}),
        json!({"aud": ["daypass", 1]}),
        json!({"aud": "other", "azp": "daypass"}),
        json!({"azp": "somebody"}),
        json!({"azp": null}),
        json!({"azp": ["app"]}),
    ] {
        is_refused(&login(&gateway, &key.token(&with(claims.clone(), change))).await);
    }
}

#[tokio::test]
async fn a_token_that_is_no_id_token_and_no_access_token_is_refused() {
    let key = SigningKey::new("a", "RS256");
    let (gateway, provider) = start(&[&key]).await;
    let claims = provider.claims(NOW);
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        let header = json!({"alg": "RS256", "kid": "a", "typ": typ}).to_string();
        login(&gateway, &key.token_of(&header, &claims.to_string())).await.is_ok();
    }
    for typ in
        [json!("logout+jwt"), json!("dpop+jwt"), json!("secevent+jwt"), json!("JWE"), json!(1), json!("")]
    {
        let header = json!({"alg": "RS256", "kid": "a", "typ": typ}).to_string();
        is_refused(&login(&gateway, &key.token_of(&header, &claims.to_string())).await);
    }
    for change in [
        json!({"typ": "Logout"}),
        json!({"typ": "Refresh"}),
        json!({"typ": "Offline"}),
        json!({"typ": 1}),
        json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}),
        json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
    ] {
        is_refused(&login(&gateway, &key.token(&with(claims.clone(), change))).await);
    }
    for kind in ["Bearer", "ID"] {
        login(&gateway, &key.token(&with(claims.clone(), json!({"typ": kind})))).await.is_ok();
    }
}

#[tokio::test]
async fn an_end_that_is_missing_or_no_number_is_refused_and_one_that_is_past_says_so() {
    let key = SigningKey::new("a", "RS256");
    let (gateway, provider) = start(&[&key]).await;
    let now = NOW.unix();
    let claims = provider.claims(NOW);
    for exp in [
        json!(null),
        json!("9999999999"),
        json!(9_999_999_999.5),
        json!([now + 300]),
        json!(-1),
        json!(1_u64 << 63),
        json!(1e300),
        json!(true),
        json!({}),
    ] {
        is_refused(&login(&gateway, &key.token(&with(claims.clone(), json!({"exp": exp})))).await);
    }
    for exp in [0, now - 3600, now - 61, now - 60] {
        login(&gateway, &key.token(&with(claims.clone(), json!({"exp": exp}))))
            .await
            .is_error(400, "ExpiredTokenException");
    }
    // Clocks may be a minute apart.
    login(&gateway, &key.token(&with(claims.clone(), json!({"exp": now - 59})))).await.is_ok();
    // Who has no good signature learns nothing of the end.
    let forged = SigningKey::new("a", "RS256").token(&with(claims, json!({"exp": now - 3600})));
    is_refused(&login(&gateway, &forged).await);
}

#[tokio::test]
async fn a_token_from_the_future_or_with_odd_times_is_refused() {
    let key = SigningKey::new("a", "RS256");
    let (gateway, provider) = start(&[&key]).await;
    let now = NOW.unix();
    let claims = provider.claims(NOW);
    for change in [
        json!({"nbf": now + 61}),
        json!({"nbf": "0"}),
        json!({"nbf": 1.5}),
        json!({"iat": now + 61}),
        json!({"iat": "now"}),
        json!({"iat": null}),
        json!({"iat": -1}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": "a\nb"}),
        json!({"sub": "s".repeat(1025)}),
    ] {
        is_refused(&login(&gateway, &key.token(&with(claims.clone(), change))).await);
    }
    login(&gateway, &key.token(&with(claims, json!({"nbf": now + 60, "iat": now + 60})))).await.is_ok();
}

#[tokio::test]
async fn a_name_that_stands_twice_is_refused() {
    let key = SigningKey::new("a", "RS256");
    let (gateway, provider) = start(&[&key]).await;
    let claims = provider.claims(NOW).to_string();
    let twice = claims.replacen('{', "{\"sub\":\"admin\",", 1);
    is_refused(&login(&gateway, &key.token_of(r#"{"alg":"RS256","kid":"a"}"#, &twice)).await);
    is_refused(&login(&gateway, &key.token_of(r#"{"alg":"RS256","alg":"none","kid":"a"}"#, &claims)).await);
    is_refused(&login(&gateway, &key.token_of(r#"{"alg":"RS256","kid":"b","kid":"a"}"#, &claims)).await);
}

#[tokio::test]
async fn a_token_of_another_shape_is_refused_before_it_is_decoded() {
    let key = SigningKey::new("a", "RS256");
    let (gateway, provider) = start(&[&key]).await;
    let token = key.token(&provider.claims(NOW));
    let parts: Vec<&str> = token.split('.').collect();
    let padded = key.token(&with(provider.claims(NOW), json!({"more": "x".repeat(17 * 1024)})));
    for wrong in [
        padded,
        ".".repeat(60_000),
        format!("{}.{}", parts[0], parts[1]),
        format!("{token}.{}", parts[2]),
        format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
        format!("{token}=="),
        format!("{token} "),
        token.replace('.', "%2e"),
        format!("{}.{}.{}", parts[0], parts[1], parts[2].replace(['-', '_'], "+")),
        format!("Bearer {token}"),
        "..".to_owned(),
        "a.b.c".to_owned(),
    ] {
        is_refused(&login(&gateway, &wrong).await);
    }
    login(&gateway, "").await.is_error(400, "MissingParameter");
    login(&gateway, &token).await.is_ok();
}

#[tokio::test]
async fn every_refusal_before_the_signature_holds_is_the_same_to_the_byte() {
    let (key, strange) = (SigningKey::new("a", "RS256"), SigningKey::new("a", "RS256"));
    let (gateway, provider) = start(&[&key]).await;
    login(&gateway, &key.token(&provider.claims(NOW))).await.is_ok();
    let claims = provider.claims(NOW);
    let tokens = [
        strange.token(&claims),
        strange.token(&with(claims.clone(), json!({"aud": "other"}))),
        strange.token(&with(claims.clone(), json!({"exp": 1}))),
        strange.token(&with(claims.clone(), json!({"iss": "https://nobody.example"}))),
        strange.token_of(r#"{"alg":"RS256","kid":"unknown"}"#, &claims.to_string()),
        strange.token_of(r#"{"alg":"none"}"#, &claims.to_string()),
        "a.b.c".to_owned(),
        "opaque".to_owned(),
    ];
    let mut answers = std::collections::HashSet::new();
    for token in tokens {
        let reply = login(&gateway, &token).await;
        let id = reply.element("RequestId").unwrap();
        answers.insert((reply.status, reply.text().replace(&id, "ID")));
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
}
