//! Providers that are away, slow, or talk nonsense; keys that change; floods.

use std::time::{Duration, Instant};

use serde_json::json;

use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::support::{Gateway, NOW, Provider, Reply, Scripted, SigningKey, allow, call, keys_of};

async fn start(keys: &[&SigningKey], lines: &str) -> (Gateway, Provider) {
    let provider = Provider::start(keys).await;
    let role = "[[role]]\nname = \"r\"\npolicies = [\"all\"]\n[[role.trust]]\noidc = \"idp\"\n";
    (Gateway::builder().toml(&format!("{}{lines}\n{role}", provider.toml("idp"))).start().await, provider)
}

async fn login(gateway: &Gateway, token: &str) -> Reply {
    let form = [("WebIdentityToken", token), ("RoleArn", "arn:aws:iam::000000000000:role/r")];
    gateway.unsigned_sts("AssumeRoleWithWebIdentity", &form).await
}

fn unknown(key: &SigningKey, provider: &Provider, kid: &str) -> String {
    let header = json!({"alg": key.alg, "kid": kid}).to_string();
    key.token_of(&header, &provider.claims(NOW).to_string())
}

#[tokio::test]
async fn a_flood_of_unknown_key_ids_fetches_once_in_a_cool_down_and_good_logins_go_on() {
    let key = SigningKey::new("a", "ES256");
    let (gateway, provider) = start(&[&key], "").await;
    let good = key.token(&provider.claims(NOW));
    login(&gateway, &good).await.is_ok();
    assert_eq!(provider.asked("/keys"), 1);
    let flood = async |from: usize| {
        for number in from..from + 100 {
            login(&gateway, &unknown(&key, &provider, &format!("random-{number}")))
                .await
                .is_error(400, "InvalidIdentityToken");
            if number % 10 == 0 {
                login(&gateway, &good).await.is_ok();
            }
        }
    };
    tokio::join!(flood(0), flood(1000), flood(2000));
    // The first keys were fetched in this second: the cool-down holds.
    assert_eq!(provider.asked("/keys"), 1);
    gateway.advance(30);
    tokio::join!(flood(3000), flood(4000));
    assert_eq!(provider.asked("/keys"), 2);
    // The provider changes its key in the middle of it.
    let next = SigningKey::new("b", "ES256");
    provider.keys(&[&key, &next]);
    let rotated = next.token(&provider.claims(NOW));
    login(&gateway, &rotated).await.is_error(400, "InvalidIdentityToken");
    gateway.advance(30);
    tokio::join!(flood(5000), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        login(&gateway, &rotated).await.is_ok();
    });
    assert_eq!(provider.asked("/keys"), 3);
    login(&gateway, &good).await.is_ok();
}

/// The times are printed, not asserted: `cargo test --release --test it ten_thousand -- --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_unknown_key_ids_cost_one_fetch() {
    let key = SigningKey::new("a", "ES256");
    let (gateway, provider) = start(&[&key], "").await;
    let good = key.token(&provider.claims(NOW));
    login(&gateway, &good).await.is_ok();
    let timed = async |many: usize| {
        let mut times = Vec::new();
        for _ in 0..many {
            let began = Instant::now();
            login(&gateway, &good).await.is_ok();
            times.push(began.elapsed());
        }
        times.sort_unstable();
        times[many / 2]
    };
    let calm = timed(200).await;
    gateway.advance(30);
    let flood = async {
        for number in 0..10_000 {
            login(&gateway, &unknown(&key, &provider, &format!("random-{number}")))
                .await
                .is_error(400, "InvalidIdentityToken");
        }
    };
    let ((), flooded) = tokio::join!(flood, timed(200));
    assert_eq!(provider.asked("/keys"), 2);
    println!("a good login: {calm:?} in calm, {flooded:?} beside the flood (median of 200)");
}

#[tokio::test]
async fn a_key_that_the_provider_took_back_is_dead_after_the_next_fetch() {
    let (old, new) = (SigningKey::new("old", "ES256"), SigningKey::new("new", "ES256"));
    let (gateway, provider) = start(&[&old], "refresh_interval = \"10m\"\nmax_stale = \"1h\"\n").await;
    let claims = |at| provider.claims(at);
    login(&gateway, &old.token(&claims(NOW))).await.is_ok();
    provider.keys(&[&new]);
    gateway.advance(600);
    // This one starts the fetch and does not wait for it.
    login(&gateway, &old.token(&claims(gateway.now()))).await.is_ok();
    for _ in 0..100 {
        if provider.asked("/keys") == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    login(&gateway, &old.token(&claims(gateway.now()))).await.is_error(400, "InvalidIdentityToken");
    login(&gateway, &new.token(&claims(gateway.now()))).await.is_ok();
}

#[tokio::test]
async fn a_provider_that_is_away_stops_new_logins_at_once_and_nothing_else() {
    let key = SigningKey::new("a", "ES256");
    let (gateway, provider) = start(&[&key], "").await;
    provider.answer("/.well-known/openid-configuration", Scripted::status(503));
    let token = key.token(&provider.claims(NOW));
    login(&gateway, &token).await.is_error(400, "IDPCommunicationError");
    // Nobody waits for the next try, and nobody tries for five seconds.
    let asked = provider.requests().len();
    for _ in 0..20 {
        login(&gateway, &token).await.is_error(400, "IDPCommunicationError");
    }
    assert_eq!(provider.requests().len(), asked);
    let issuer = provider.issuer();
    let discovery = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")}).to_string();
    provider.answer("/.well-known/openid-configuration", Scripted::ok(discovery));
    gateway.advance(5);
    login(&gateway, &token).await.is_ok();
}

#[tokio::test]
async fn a_provider_that_does_not_answer_holds_a_login_no_longer_than_the_timeout() {
    let key = SigningKey::new("a", "ES256");
    let (gateway, provider) = start(&[&key], "").await;
    let session = keys_of(&login(&gateway, &key.token(&provider.claims(NOW))).await);
    let (cold, silent) = start(&[&key], "").await;
    silent.be_silent(true);
    let token = key.token(&silent.claims(NOW));
    let started = Instant::now();
    let (first, second) = tokio::join!(login(&cold, &token), login(&cold, &token));
    first.is_error(400, "IDPCommunicationError");
    second.is_error(400, "IDPCommunicationError");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(silent.requests().len(), 1);
    // Live sessions and logins with known keys do not need the provider.
    provider.be_silent(true);
    gateway.send(&session, call("GET", "/data/x")).await.is_ok();
    login(&gateway, &key.token(&provider.claims(NOW))).await.is_ok();
}

#[tokio::test]
async fn a_token_of_a_new_key_is_not_called_wrong_while_the_provider_cannot_be_asked() {
    let (key, next) = (SigningKey::new("a", "ES256"), SigningKey::new("b", "ES256"));
    let (gateway, provider) = start(&[&key], "").await;
    login(&gateway, &key.token(&provider.claims(NOW))).await.is_ok();
    provider.answer("/keys", Scripted::status(503));
    gateway.advance(30);
    let token = next.token(&provider.claims(NOW));
    for _ in 0..3 {
        login(&gateway, &token).await.is_error(400, "IDPCommunicationError");
    }
    provider.keys(&[&key, &next]);
    gateway.advance(30);
    login(&gateway, &token).await.is_ok();
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_take_the_fetch_along() {
    let key = SigningKey::new("a", "ES256");
    let (gateway, provider) = start(&[&key], "").await;
    let jwks = json!({"keys": [key.jwk()]}).to_string();
    provider.answer("/keys", Scripted { after: Duration::from_millis(300), ..Scripted::ok(jwks) });
    let body = format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&WebIdentityToken={}",
        unknown(&key, &provider, "nobody's")
    );
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        gateway.address(),
        body.len()
    );
    let mut stranger = TcpStream::connect(gateway.address()).await.unwrap();
    stranger.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(stranger);
    tokio::time::sleep(Duration::from_millis(50)).await;
    login(&gateway, &key.token(&provider.claims(NOW))).await.is_ok();
    assert_eq!(provider.asked("/keys"), 1);
}

#[tokio::test]
async fn those_who_waited_for_a_provider_that_hangs_do_not_stand_in_line_for_it() {
    let key = SigningKey::new("a", "ES256");
    let (gateway, provider) = start(&[&key], "").await;
    provider.be_silent(true);
    let token = key.token(&provider.claims(NOW));
    let late = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        gateway.advance(6);
        login(&gateway, &token).await
    };
    let (first, late) = tokio::join!(login(&gateway, &token), late);
    first.is_error(400, "IDPCommunicationError");
    late.is_error(400, "IDPCommunicationError");
    assert_eq!(provider.requests().len(), 1);
}

#[tokio::test]
async fn old_keys_serve_while_the_provider_talks_nonsense_but_not_for_ever() {
    let key = SigningKey::new("a", "ES256");
    let (gateway, provider) = start(&[&key], "refresh_interval = \"10m\"\nmax_stale = \"1h\"\n").await;
    login(&gateway, &key.token(&provider.claims(NOW))).await.is_ok();
    let huge = format!("{{\"keys\":[],\"more\":\"{}\"}}", "x".repeat(600 * 1024));
    let nonsense = [
        Scripted::status(500),
        Scripted::ok("<html>"),
        Scripted::ok("{\"keys\":[]}"),
        Scripted::ok("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}"),
        Scripted::ok(huge),
        Scripted { headers: "location: http://127.0.0.1:1/\r\n".to_owned(), ..Scripted::status(302) },
    ];
    let asked_before = provider.asked("/keys");
    let count = nonsense.len();
    for answer in nonsense {
        provider.answer("/keys", answer);
        gateway.advance(580);
        login(&gateway, &key.token(&provider.claims(gateway.now()))).await.is_ok();
        // A kid that is not known makes it try, too. Whether the provider has it now cannot be said.
        let reply = login(&gateway, &unknown(&key, &provider, "x")).await;
        assert!(matches!(
            reply.element("Code").as_deref(),
            Some("IDPCommunicationError" | "InvalidIdentityToken")
        ));
    }
    assert!(provider.asked("/keys") >= asked_before + count - 1);
    // 6 × 580 seconds; an hour after the last good answer nothing is known any more.
    gateway.advance(121);
    login(&gateway, &key.token(&provider.claims(gateway.now()))).await.is_error(400, "IDPCommunicationError");
    provider.keys(&[&key]);
    gateway.advance(5);
    login(&gateway, &key.token(&provider.claims(gateway.now()))).await.is_ok();
}

#[tokio::test]
async fn a_document_of_another_issuer_or_that_points_into_the_network_is_not_followed() {
    let key = SigningKey::new("a", "ES256");
    let (gateway, provider) = start(&[&key], "").await;
    let inside = Provider::start(&[&key]).await;
    let issuer = provider.issuer();
    let port = inside.issuer().rsplit(':').next().unwrap().to_owned();
    let token = key.token(&provider.claims(NOW));
    for document in [
        json!({"issuer": "https://other.example", "jwks_uri": format!("{issuer}/keys")}),
        json!({"issuer": format!("{issuer}/"), "jwks_uri": format!("{issuer}/keys")}),
        json!({"issuer": issuer}),
        json!({"issuer": issuer, "jwks_uri": format!("http://localhost:{port}/keys")}),
        json!({"issuer": issuer, "jwks_uri": format!("http://[::1]:{port}/keys")}),
        json!({"issuer": issuer, "jwks_uri": format!("http://0.0.0.0:{port}/keys")}),
        json!({"issuer": issuer, "jwks_uri": "http://169.254.169.254/latest/meta-data"}),
        json!({"issuer": issuer, "jwks_uri": "file:///etc/passwd"}),
    ] {
        provider.answer("/.well-known/openid-configuration", Scripted::ok(document.to_string()));
        gateway.advance(5);
        login(&gateway, &token).await.is_error(400, "IDPCommunicationError");
    }
    assert!(inside.requests().is_empty());
}

#[tokio::test]
async fn keys_behind_a_service_account_are_fetched_with_its_token() {
    let key = SigningKey::new("a", "RS256");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first-token\n").unwrap();
    let provider = Provider::start(&[&key]).await;
    let lines =
        format!("jwks_url = \"{}/keys\"\nbearer_token_file = \"{}\"\n", provider.issuer(), file.display());
    let role = "[[role]]\nname = \"r\"\npolicies = [\"all\"]\n[[role.trust]]\noidc = \"idp\"\nclaims = { sub = \"system:serviceaccount:jobs:*\" }\n";
    let gateway = Gateway::builder().toml(&format!("{}{lines}{role}", provider.toml("idp"))).start().await;
    let mut claims = provider.claims(NOW);
    claims["aud"] = json!(["daypass"]);
    claims["sub"] = json!("system:serviceaccount:jobs:loader");
    login(&gateway, &key.token(&claims)).await.is_ok();
    std::fs::write(&file, "second-token").unwrap();
    gateway.advance(30);
    login(&gateway, &unknown(&key, &provider, "x")).await.is_error(400, "InvalidIdentityToken");
    let heads: Vec<String> = provider.requests().into_iter().map(|asked| asked.head).collect();
    assert!(heads.iter().all(|head| !head.contains("openid-configuration")), "{heads:?}");
    assert!(
        heads[0].contains("authorization: Bearer first-token") && heads[1].contains("Bearer second-token"),
        "{heads:?}"
    );
}

#[tokio::test]
async fn policies_that_a_token_named_end_with_the_provider_in_the_configuration() {
    let key = SigningKey::new("a", "ES256");
    let provider = Provider::start(&[&key]).await;
    let data = || Gateway::builder().policy("data", &allow("s3:GetObject", "arn:aws:s3:::data/*"));
    let toml = provider.toml("idp");
    let gateway = data().toml(&format!("{toml}policy_claim = \"policy\"\n")).start().await;
    let mut claims = provider.claims(NOW);
    claims["policy"] = json!("data");
    let form = [("WebIdentityToken", &*key.token(&claims))];
    let keys = keys_of(&gateway.unsigned_sts("AssumeRoleWithWebIdentity", &form).await);
    gateway.send(&keys, call("GET", "/data/x")).await.is_ok();
    // The same keys at a gateway that no longer knows the provider, and at one that no longer asks for the claim.
    for (rest, status, code) in [("", 400, "InvalidToken"), (&*toml, 403, "AccessDenied")] {
        let later = data().toml(rest).start().await;
        later.send(&keys, call("GET", "/data/x")).await.is_error(status, code);
        later.backend().saw_nothing();
    }
}

#[tokio::test]
async fn nobody_learns_which_policies_there_are_before_the_proof_holds() {
    let key = SigningKey::new("a", "ES256");
    let (gateway, provider) = start(&[&key], "").await;
    let forged = SigningKey::new("a", "ES256").token(&provider.claims(NOW));
    let mut answers = std::collections::HashSet::new();
    for name in ["all", "gone"] {
        let arn = format!("arn:aws:iam::000000000000:policy/{name}");
        let form = [("WebIdentityToken", &*forged), ("PolicyArns.member.1.arn", &*arn)];
        let reply = gateway.unsigned_sts("AssumeRoleWithWebIdentity", &form).await;
        let id = reply.element("RequestId").unwrap();
        answers.insert(reply.text().replace(&id, "ID"));
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
}
