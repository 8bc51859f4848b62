//! O01: no secret is anywhere but where it belongs: logs at trace, metrics, health, audit log, revocations, error bodies, Debug of
//! the configuration. The panic's report is in `panics.rs`, real clients and programs in `tests/identity`.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
};

use daypass::{
    admin_client::Listener,
    config,
    identity::ldap::Transport,
    revoke::{self, Task},
    secret::AdminToken,
};
use serde_json::json;
use tracing::{Level, Metadata, Subscriber, field::Visit, span};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
};

use crate::support::{
    Answer, Backend, Builder, Gateway, Keys, NOW, Provider, ROOT_SECRET, SEALING_KEY, SigningKey, call,
    directory::{Directory, GROUPS, PEOPLE, SERVICE_DN, SERVICE_PASSWORD},
    encode, keys_of,
};

const ADMIN_TOKEN: &str = "canary-admin-token-8d1f";
const WEBHOOK_TOKEN: &str = "Bearer canary-webhook-token-44c0";
const CLIENT_SECRET: &str = "canary-introspection-secret-17aa";
const CUSTOM_TOKEN: &str = "canary-custom-token-905b";
const OPAQUE_TOKEN: &str = "canary-opaque-token-6e6e";
const WRONG_PASSWORD: &str = "wrong-password-of-bob";
const ALICES_SECRET: &str = "alice-secret-alice-secret";
const SSE_KEY: &str = "c2VjcmV0LXNzZS1jLWtleS1vZi0zMi1ieXRlcy0tLSE=";

/// Everything that is said to `tracing`, of our own code at every level, of others from `warn` on, as the program has it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

struct Said<'l>(&'l mut String);

impl Visit for Said<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

fn is_shown(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("daypass") || *metadata.level() <= Level::WARN
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if is_shown(event.metadata()) {
            let mut text = self.0.lock().unwrap();
            let _ = write!(text, "\n{}", event.metadata().target());
            event.record(&mut Said(&mut text));
        }
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        if is_shown(attributes.metadata()) {
            attributes.record(&mut Said(&mut self.0.lock().unwrap()));
        }
    }
}

/// As it is, in a URL, as bytes that `Debug` prints, and as those that errors of S3 print.
fn forms(secret: &str) -> Vec<String> {
    let bytes = format!("{:?}", secret.as_bytes());
    let hex: Vec<String> = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    vec![secret.to_owned(), encode(secret), bytes.trim_matches(['[', ']']).to_owned(), hex.join(" ")]
}

#[track_caller]
fn none_is_in(secrets: &[String], place: &str, text: &str) {
    for secret in secrets {
        assert!(secret.len() >= 12, "{secret} is too short to be looked for");
        for form in forms(secret) {
            assert!(!text.contains(&form), "{form} is in {place}:\n{text}");
        }
    }
}

/// Who proves somebody, for as long as the test lasts.
struct World {
    gateway: Gateway,
    provider: Provider,
    key: SigningKey,
    _directory: Directory,
    _webhook: Backend,
    _ca: tempfile::NamedTempFile,
}

async fn start() -> World {
    let key = SigningKey::new("a", "ES256");
    let provider = Provider::start(&[&key]).await;
    let directory = Directory::start(Transport::Tls).await;
    let webhook = Backend::start().await;
    webhook.answers(|_| Answer::new(200, r#"{"user":"ada","maxValiditySeconds":3600,"claims":{}}"#));
    let mut ca = tempfile::NamedTempFile::new().unwrap();
    ca.write_all(&directory.ca_pem).unwrap();
    let toml = format!(
        "[admin]\naddress = \"127.0.0.1:0\"\ntoken = \"{ADMIN_TOKEN}\"\n[audit]\nfile = \"audit.jsonl\"\n\
         [[role]]\nname = \"r\"\npolicies = [\"all\"]\n[[role.trust]]\noidc = \"idp\"\n[[role.trust]]\nldap_group = \"cn=analysts,{GROUPS}\"\n\
         [[role.trust]]\nwebhook = true\n\
         {}[oidc.introspection]\nclient_id = \"daypass\"\nclient_secret = \"{CLIENT_SECRET}\"\n\
         [ldap]\nurl = \"ldaps://localhost:{}\"\nca_file = \"{}\"\nbind_dn = \"{SERVICE_DN}\"\nbind_password = \"{SERVICE_PASSWORD}\"\n\
         user_base = \"{PEOPLE}\"\ngroup_base = \"{GROUPS}\"\ngroup_filter = \"(member={{dn}})\"\n\
         [webhook]\nurl = \"http://{}/auth\"\nallow_http = true\nauth_token = \"{WEBHOOK_TOKEN}\"\n",
        provider.toml("idp"),
        directory.address.port(),
        ca.path().display(),
        webhook.address(),
    );
    let gateway = Gateway::builder().toml(&toml).start().await;
    World { gateway, provider, key, _directory: directory, _webhook: webhook, _ca: ca }
}

#[tokio::test]
async fn no_secret_of_a_request_is_in_logs_at_trace_or_anything_else_that_operators_and_strangers_see() {
    let log = Log::default();
    // With one subscriber alone, `tracing` takes the word of whichever thread meets a line first, and others have none.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let _logging = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
    let world = start().await;
    let gateway = &world.gateway;
    let mut secrets = of_the_configuration();
    let (sessions, mut told) = log_in(&world, &mut secrets).await;
    for keys in &sessions {
        told.push_str(&use_and_misuse(gateway, keys, &mut secrets).await);
        secrets.extend([keys.secret.clone(), keys.token.clone().unwrap()]);
    }
    told.push_str(&ask_as_operators_do(gateway, &sessions[0]).await);
    let file = |name: &str| std::fs::read_to_string(gateway.folder().join(name)).unwrap();
    let (audit, revocations, log) =
        (file("audit.jsonl"), file("revocations.jsonl"), log.0.lock().unwrap().clone());
    // Silence proves nothing.
    assert!(log.matches("request finished").count() >= 20, "{log}");
    assert!(log.contains("AssumeRoleWithCustomToken"), "{log}");
    assert!(audit.contains("AssumeRoleWithLDAPIdentity") && revocations.contains("session"), "{audit}");
    for (place, text) in [
        ("an answer", &told),
        ("the log", &log),
        ("the audit log", &audit),
        ("the file of revocations", &revocations),
    ] {
        none_is_in(&secrets, place, text);
    }
}

fn of_the_configuration() -> Vec<String> {
    let sealing_key = SEALING_KEY.split(':').nth(1).unwrap();
    [
        ROOT_SECRET,
        ALICES_SECRET,
        ADMIN_TOKEN,
        "canary-webhook-token-44c0",
        CLIENT_SECRET,
        SERVICE_PASSWORD,
        sealing_key,
    ]
    .map(str::to_owned)
    .into()
}

/// Sessions of every kind, whose answers have the keys as they should, and what those are told who get none.
async fn log_in(world: &World, secrets: &mut Vec<String>) -> (Vec<Keys>, String) {
    let gateway = &world.gateway;
    let jwt = world.key.token(&world.provider.claims(NOW));
    let expired = json!({"iss": world.provider.issuer(), "sub": "a", "aud": "daypass", "exp": 1});
    let (bad, expired) = (format!("{jwt}xx"), world.key.token(&expired));
    let role = ("RoleArn", "arn:aws:iam::000000000000:role/r");
    let no_role = ("RoleArn", "arn:aws:iam::000000000000:role/none");
    let mut sessions = vec![gateway.session().await];
    for (action, form) in [
        ("AssumeRoleWithWebIdentity", vec![("WebIdentityToken", jwt.as_str()), ("RoleSessionName", "me")]),
        ("AssumeRoleWithLDAPIdentity", vec![("LDAPUsername", "bob"), ("LDAPPassword", "bob-password")]),
        ("AssumeRoleWithCustomToken", vec![("Token", CUSTOM_TOKEN)]),
    ] {
        let reply = gateway.unsigned_sts(action, &[form, vec![role]].concat()).await;
        reply.is_ok();
        sessions.push(keys_of(&reply));
    }
    let mut told = String::new();
    for (action, field, secret, role) in [
        ("AssumeRoleWithWebIdentity", "WebIdentityToken", bad.as_str(), role),
        ("AssumeRoleWithWebIdentity", "WebIdentityToken", &expired, role),
        ("AssumeRoleWithWebIdentity", "NoSuchParameter", &jwt, role),
        ("AssumeRoleWithClientGrants", "Token", OPAQUE_TOKEN, role),
        ("AssumeRoleWithLDAPIdentity", "LDAPPassword", WRONG_PASSWORD, role),
        ("AssumeRoleWithCustomToken", "Token", CUSTOM_TOKEN, no_role),
    ] {
        let form = [(field, secret), ("LDAPUsername", "bob"), ("RoleSessionName", "me"), role];
        let reply = gateway.unsigned_sts(action, &form).await;
        assert!(reply.status >= 400, "{action}: {}", reply.text());
        told.push_str(&reply.text());
    }
    let shown = [CUSTOM_TOKEN, OPAQUE_TOKEN, SSE_KEY, "bob-password", WRONG_PASSWORD].map(str::to_owned);
    secrets.extend(shown.into_iter().chain([jwt, bad, expired]));
    (sessions, told)
}

/// What the errors say; adds what must be nowhere. A signature that is wrong opens nothing, and is told to who made it.
async fn use_and_misuse(gateway: &Gateway, keys: &Keys, secrets: &mut Vec<String>) -> String {
    let mut told = String::new();
    let put = call("PUT", "/data/key").header("x-amz-server-side-encryption-customer-key", SSE_KEY).body("x");
    gateway.send(keys, put.clone()).await;
    let url = call("GET", "/data/key").at(gateway.now()).presign(keys, gateway.address(), "60");
    url.send(gateway.address()).await.is_ok();
    secrets.push(url.signature.clone());
    let wrong = Keys { secret: "somebody-elses-secret".to_owned(), ..keys.clone() };
    let no_token = Keys { token: None, ..keys.clone() };
    let broken = Keys { token: keys.token.as_ref().map(|token| format!("{token}xx")), ..keys.clone() };
    for misused in [&wrong, &no_token, &broken] {
        let reply = gateway.send(misused, put.clone()).await;
        assert!(reply.status >= 400, "{}", reply.text());
        told.push_str(&reply.text());
        let url = call("GET", "/data/key").at(gateway.now()).presign(misused, gateway.address(), "60");
        let reply = url.send(gateway.address()).await;
        assert!(reply.status >= 400, "{}", reply.text());
        told.push_str(&reply.text());
    }
    assert!(told.contains("<CanonicalRequest>") && told.contains("[redacted]"), "{told}");
    told
}

async fn ask_as_operators_do(gateway: &Gateway, session: &Keys) -> String {
    let mut told = String::new();
    let revoked = json!({ "kind": "session", "value": session.access_key_id }).to_string();
    for (method, path, token, body) in [
        ("POST", "/v1/revocations", Some(ADMIN_TOKEN), revoked.as_str()),
        ("GET", "/v1/revocations", Some(ADMIN_TOKEN), ""),
        ("GET", "/v1/revocations", Some("canary-wrong-admin-token"), ""),
        ("POST", "/v1/revocations", Some(ADMIN_TOKEN), "no json"),
        ("GET", "/metrics", Some(ADMIN_TOKEN), ""),
        ("GET", "/health/ready?verbose", Some(ADMIN_TOKEN), ""),
        ("GET", "/nowhere", Some(ADMIN_TOKEN), ""),
    ] {
        told.push_str(&gateway.admin(method, path, token, body).await.text());
    }
    let refused = gateway.send(session, call("GET", "/data/key")).await;
    refused.is_error(400, "InvalidToken");
    told.push_str(&refused.text());
    let listener = Listener::plain(gateway.admin_address());
    told.push_str(
        &revoke::run(&listener, Some(&AdminToken::new(ADMIN_TOKEN)), Task::List).await.unwrap().unwrap(),
    );
    let wrong = revoke::run(&listener, Some(&AdminToken::new("canary-wrong-admin-token")), Task::List).await;
    told.push_str(&format!("{:#}", wrong.unwrap_err()));
    assert!(!told.contains("canary-wrong-admin-token"), "{told}");
    told
}

/// Every section that can hold a secret, with one.
fn whole_configuration(folder: &std::path::Path) -> Builder {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (name, text) in [("server.pem", made.cert.pem()), ("server.key", made.signing_key.serialize_pem())] {
        std::fs::write(folder.join(name), text).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let tls = format!(
        "certificate_file = \"{0}/server.pem\"\nprivate_key_file = \"{0}/server.key\"\n",
        folder.display()
    );
    Gateway::builder().toml(&format!(
        "[admin]\naddress = \"127.0.0.1:0\"\ntoken = \"{ADMIN_TOKEN}\"\n[admin.tls]\n{tls}[listen.tls]\n{tls}\
         [audit]\nurl = \"https://localhost/audit\"\nauth_token = \"Bearer canary-audit-token-33d2\"\n\
         [revocation]\nurl = \"rediss://localhost\"\npassword = \"canary-valkey-password\"\n\
         [[oidc]]\nname = \"idp\"\nissuer = \"https://localhost\"\nclient_ids = [\"daypass\"]\n[oidc.introspection]\nurl = \"https://localhost/i\"\n\
         client_id = \"daypass\"\nclient_secret = \"{CLIENT_SECRET}\"\n\
         [ldap]\nurl = \"ldaps://localhost\"\nbind_dn = \"{SERVICE_DN}\"\nbind_password = \"{SERVICE_PASSWORD}\"\nuser_base = \"{PEOPLE}\"\n\
         [webhook]\nurl = \"https://localhost/auth\"\nauth_token = \"{WEBHOOK_TOKEN}\"\npolicies = [\"all\"]\n"
    ))
}

#[test]
fn debug_of_a_configuration_with_every_secret_shows_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daypass.toml");
    std::fs::write(&file, whole_configuration(folder.path()).text("endpoint = \"http://127.0.0.1:1\""))
        .unwrap();
    let config = config::load(&file, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    let ways = config.ways.open().unwrap();
    let printed = format!("{config:?}\n{config:#?}\n{ways:?}\n{ways:#?}");
    let key = std::fs::read_to_string(folder.path().join("server.key")).unwrap();
    let line_of_key = key.lines().nth(1).unwrap();
    let basic = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("daypass:{CLIENT_SECRET}"),
    );
    let secrets = [
        ROOT_SECRET,
        ALICES_SECRET,
        "bobs-secret-bobs-secret",
        ADMIN_TOKEN,
        "canary-webhook-token-44c0",
        "canary-audit-token-33d2",
        "canary-valkey-password",
        CLIENT_SECRET,
        &basic,
        SERVICE_PASSWORD,
        line_of_key,
        SEALING_KEY.split(':').nth(1).unwrap(),
        // The sealing key as bytes.
        "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\t\n\u{b}\u{c}",
    ]
    .map(str::to_owned);
    none_is_in(&secrets, "Debug of the configuration", &printed);
    for shown in ["BACKENDROOTKEY000001", "alice", "idp", "[redacted]"] {
        assert!(printed.contains(shown), "{shown} is not in {printed}");
    }
}
