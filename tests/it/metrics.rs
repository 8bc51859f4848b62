//! What the admin listener shows: exact counts, bounded labels, no secrets; whether the gateway is ready.
#![expect(clippy::float_cmp, reason = "Prometheus has no other numbers, and counts are whole")]

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use daypass::{
    clock::ManualClock,
    telemetry::metrics::{FAMILIES, Kind},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{
    Answer, Backend, Builder, Gateway, Keys, NOW, Provider, Reply, SigningKey, allow, call, keys_of, raw,
};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";

fn with_admin() -> Builder {
    Gateway::builder().toml(ADMIN)
}

async fn ask(admin: SocketAddr, path: &str) -> Reply {
    raw(admin, format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").as_bytes()).await
}

/// Every series with its value.
type Series = BTreeMap<String, f64>;

/// Once all requests have ended: a client may have its whole reply a moment before it counts.
async fn scrape(gateway: &Gateway) -> Series {
    for _ in 0..200 {
        let series = read(&ask(gateway.admin_address(), "/metrics").await.text());
        if series["daypass_requests_in_flight"] == 0.0 {
            return series;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a request does not end");
}

fn read(page: &str) -> Series {
    assert!(page.ends_with("# EOF\n"), "{page}");
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| line.rsplit_once(' ').unwrap());
    series.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

/// The series of a family that have counted something.
fn counted<'s>(series: &'s Series, family: &str) -> Vec<(&'s str, f64)> {
    let of_family = |name: &&str| name.strip_prefix(family).is_some_and(|rest| rest.starts_with('{'));
    let names = series.iter().map(|(name, value)| (name.as_str(), *value));
    names.filter(|(name, value)| of_family(name) && *value > 0.0).collect()
}

#[tokio::test]
async fn known_requests_give_exact_numbers() {
    let gateway = with_admin().role("reader", &allow("s3:GetObject", "arn:aws:s3:::data/*")).start().await;
    gateway.backend().answers(|request| match request.method.as_str() {
        "GET" => Answer::new(200, "seventeen letters"),
        _ => Answer::new(200, "").header("etag", "\"0\""),
    });
    let own = gateway.session().await;
    let reader = gateway.role_session("reader").await;
    for _ in 0..3 {
        gateway.send(&reader, call("GET", "/data/x")).await.is_ok();
    }
    gateway.send(&own, call("PUT", "/data/x").body("eleven byte")).await.is_ok();
    gateway.send(&reader, call("PUT", "/data/x").body("denied")).await.is_error(403, "AccessDenied");
    gateway.send(&reader, call("GET", "/other/x")).await.is_error(403, "AccessDenied");
    let forged = Keys { secret: "wrong".to_owned(), ..own.clone() };
    gateway.send(&forged, call("GET", "/data/x")).await.is_error(403, "SignatureDoesNotMatch");
    let nobody = Keys::long_term("NOBODYSKEY0000000001", "secret");
    gateway.send(&nobody, call("GET", "/data/x")).await.is_error(403, "InvalidAccessKeyId");
    let old = call("GET", "/data/x").at(daypass::clock::Timestamp::from_unix(NOW.unix() - 1_000));
    old.sign(&own, gateway.address()).send(gateway.address()).await.is_error(403, "RequestTimeTooSkewed");
    let absent = [
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleArn", "arn:aws:iam::000000000000:role/no"),
        ("RoleSessionName", "test"),
    ];
    gateway.sts(&gateway.alice(), &absent).await.is_error(403, "AccessDenied");
    let forged = Keys::long_term("ALICEACCESSKEY000001", "wrong");
    gateway.sts(&forged, &absent[..2]).await.is_error(403, "SignatureDoesNotMatch");

    let series = scrape(&gateway).await;
    assert_eq!(
        counted(&series, "daypass_requests_total"),
        [
            (r#"daypass_requests_total{operation="AssumeRole",decision="allow",status="2xx"}"#, 2.0),
            (r#"daypass_requests_total{operation="AssumeRole",decision="deny",status="4xx"}"#, 2.0),
            (r#"daypass_requests_total{operation="GetObject",decision="allow",status="2xx"}"#, 3.0),
            (r#"daypass_requests_total{operation="GetObject",decision="deny",status="4xx"}"#, 1.0),
            (r#"daypass_requests_total{operation="PutObject",decision="allow",status="2xx"}"#, 1.0),
            (r#"daypass_requests_total{operation="PutObject",decision="deny",status="4xx"}"#, 1.0),
            (r#"daypass_requests_total{operation="unknown",decision="none",status="4xx"}"#, 3.0),
        ]
    );
    assert_eq!(
        counted(&series, "daypass_sts_requests_total"),
        [
            (r#"daypass_sts_requests_total{action="AssumeRole",outcome="AccessDenied"}"#, 1.0),
            (r#"daypass_sts_requests_total{action="AssumeRole",outcome="SignatureDoesNotMatch"}"#, 1.0),
            (r#"daypass_sts_requests_total{action="AssumeRole",outcome="success"}"#, 2.0),
        ]
    );
    assert_eq!(
        counted(&series, "daypass_signature_failures_total"),
        [
            (r#"daypass_signature_failures_total{cause="clock_skew"}"#, 1.0),
            (r#"daypass_signature_failures_total{cause="signature"}"#, 2.0),
            (r#"daypass_signature_failures_total{cause="unknown_key"}"#, 1.0),
        ]
    );
    assert_eq!(series["daypass_request_bytes_total"], 11.0);
    assert_eq!(series["daypass_request_duration_seconds_count"], 13.0);
    assert_eq!(series["daypass_backend_first_byte_seconds_count"], 4.0);
    assert_eq!(series["daypass_sessions_cached"], 2.0);
    assert_eq!(series["daypass_configuration_generation"], 1.0);
    assert!(series["process_resident_memory_bytes"] > 1e6);
    assert!(series["process_open_fds"] > 3.0 && series["process_start_time_seconds"] > 1.7e9);
}

#[tokio::test]
async fn the_bytes_of_replies_are_those_that_clients_got() {
    let gateway = with_admin().start().await;
    let own = gateway.session().await;
    let before = scrape(&gateway).await["daypass_response_bytes_total"];
    gateway.backend().answers(|_| Answer::new(200, vec![b'x'; 300_000]));
    let got = gateway.send(&own, call("GET", "/data/x")).await.body.len()
        + gateway.send(&own, call("GET", "/data/nobody").query("acl=x&acl=y")).await.body.len();
    let after = scrape(&gateway).await["daypass_response_bytes_total"];
    assert_eq!(format!("{}", after - before), format!("{got}"));
}

#[tokio::test]
async fn a_session_is_opened_from_its_token_once() {
    let gateway = with_admin().start().await;
    let own = gateway.session().await;
    gateway.send(&own, call("GET", "/data/x")).await.is_ok();
    // The sessions of the old configuration are not in the new one's cache.
    gateway.reload(|text| text.replace("name = \"bob\"", "name = \"bert\""));
    for _ in 0..3 {
        gateway.send(&own, call("GET", "/data/x")).await.is_ok();
    }
    let series = scrape(&gateway).await;
    assert_eq!(series[r#"daypass_session_cache_total{result="hit"}"#], 3.0);
    assert_eq!(series[r#"daypass_session_cache_total{result="miss"}"#], 1.0);
}

#[tokio::test]
async fn counts_outlive_the_configuration_and_each_reload_is_counted() {
    let gateway = with_admin().start().await;
    let own = gateway.session().await;
    gateway.send(&own, call("GET", "/data/x")).await.is_ok();
    gateway.reload(|text| text);
    gateway.advance(60);
    gateway.reload(|text| text.replace("name = \"bob\"", "name = \"bert\""));
    gateway.advance(60);
    gateway.reload(|text| format!("{text}\n[nonsense]\n"));
    gateway.send(&own, call("GET", "/data/x")).await.is_ok();
    let series = scrape(&gateway).await;
    let requests = r#"daypass_requests_total{operation="GetObject",decision="allow",status="2xx"}"#;
    assert_eq!(series[requests], 2.0);
    assert_eq!(series["daypass_backend_first_byte_seconds_count"], 2.0);
    for outcome in ["swapped", "unchanged", "refused"] {
        assert_eq!(series[&format!("daypass_configuration_reloads_total{{outcome=\"{outcome}\"}}")], 1.0);
    }
    assert_eq!(series["daypass_configuration_generation"], 2.0);
    let last = series["daypass_configuration_last_reload_success_timestamp_seconds"];
    assert_eq!(format!("{last}"), format!("{}", NOW.unix() + 60));
}

#[tokio::test]
async fn a_flood_of_random_users_and_keys_makes_the_page_no_longer() {
    let gateway = with_admin().start().await;
    let own = gateway.session().await;
    let round = async |number: u32| {
        let stranger = Keys::long_term(&format!("STRANGER{number:012}"), "secret");
        let path = format!("/bucket-{number}/key-{number}");
        gateway.send(&stranger, call("GET", &path)).await;
        gateway.send(&own, call("GET", &path)).await;
        gateway.send(&own, call("PROPFIND", &path)).await;
        gateway.send(&own, call("GET", &path).query(&format!("parameter-{number}"))).await;
        gateway.unsigned_sts(&format!("Action{number}"), &[]).await;
        let name = format!("user-{number}");
        gateway
            .unsigned_sts("AssumeRoleWithLDAPIdentity", &[("LDAPUsername", &name), ("LDAPPassword", "x")])
            .await;
    };
    for number in 0..3 {
        round(number).await;
    }
    let before: Vec<String> = scrape(&gateway).await.into_keys().collect();
    for number in 3..100 {
        round(number).await;
    }
    let after: Vec<String> = scrape(&gateway).await.into_keys().collect();
    assert_eq!(before, after);
}

/// O01: of all that a request and a configuration hold, nothing is on the pages of the admin listener.
#[tokio::test]
async fn no_secret_and_nothing_that_a_client_sent_is_on_the_pages() {
    let key = SigningKey::new("a", "ES256");
    let provider = Provider::start(&[&key]).await;
    let role = "[[role]]\nname = \"r\"\npolicies = [\"all\"]\n[[role.trust]]\noidc = \"idp\"\n";
    // The storage's own address is the configuration's, and is shown.
    let backend = Backend::start().await;
    let gateway = with_admin()
        .toml(&format!("{}{role}", provider.toml("idp")))
        .backend_endpoint(&format!("http://localhost:{}", backend.address().port()))
        .start_with(backend, Arc::new(ManualClock::at(NOW)))
        .await;
    let token = key.token(&provider.claims(NOW));
    let form = [("WebIdentityToken", token.as_str()), ("RoleArn", "arn:aws:iam::000000000000:role/r")];
    let session = keys_of(&gateway.unsigned_sts("AssumeRoleWithWebIdentity", &form).await);
    let own = gateway.session().await;
    let sse = "c2VjcmV0LXNzZS1jLWtleS1vZi0zMi1ieXRlcy0tLSE=";
    for keys in [&session, &own] {
        let put =
            call("PUT", "/canary-bucket/canary-key").header("x-amz-server-side-encryption-customer-key", sse);
        gateway.send(keys, put).await;
        gateway
            .send(
                &Keys { secret: "canary-secret".to_owned(), ..keys.clone() },
                call("GET", "/canary-bucket/x"),
            )
            .await;
    }
    let presigned =
        call("GET", "/canary-bucket/canary-key").at(gateway.now()).presign(&own, gateway.address(), "60");
    presigned.send(gateway.address()).await;
    scrape(&gateway).await;
    let mut pages = String::new();
    for path in ["/metrics", "/health/ready", "/health/ready?verbose", "/health/live", "/canary-path"] {
        pages.push_str(&ask(gateway.admin_address(), path).await.text());
    }
    let secrets = [
        crate::support::ROOT_ACCESS_KEY_ID,
        crate::support::ROOT_SECRET,
        crate::support::SEALING_KEY,
        "alice",
        "ALICEACCESSKEY",
        "canary",
        "127.0.0.1",
        &provider.issuer(),
        &token,
        sse,
        &presigned.signature,
    ];
    let sessions =
        [&session, &own].map(|keys| [&keys.access_key_id, &keys.secret, keys.token.as_ref().unwrap()]);
    for secret in secrets.into_iter().chain(sessions.iter().flatten().map(|text| text.as_str())) {
        assert!(!pages.contains(secret), "{secret} is in\n{pages}");
    }
}

/// O07: the S3 listener has no such pages, and the admin listener has nothing else.
#[tokio::test]
async fn health_and_metrics_are_on_the_admin_listener_alone() {
    let gateway = with_admin().start().await;
    for path in ["/metrics", "/health/live", "/health/ready", "/health/ready?verbose"] {
        let reply = ask(gateway.address(), path).await;
        assert_eq!(reply.status, 403, "{path}");
        assert!(!reply.text().contains("daypass_"));
        assert_eq!(ask(gateway.admin_address(), path).await.status, 200, "{path}");
    }
    for path in ["/", "/debug/pprof", "/metrics/x", "/data/x", "//metrics"] {
        assert_eq!(ask(gateway.admin_address(), path).await.status, 404, "{path}");
    }
    let post = b"POST /metrics HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    assert_eq!(raw(gateway.admin_address(), post).await.status, 405);
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_provider_is_shown_once_it_was_asked_and_with_the_age_of_its_keys() {
    let key = SigningKey::new("a", "ES256");
    let provider = Provider::start(&[&key]).await;
    let role = "[[role]]\nname = \"r\"\npolicies = [\"all\"]\n[[role.trust]]\noidc = \"idp\"\n";
    let gateway = with_admin().toml(&format!("{}{role}", provider.toml("idp"))).start().await;
    let up = r#"daypass_provider_up{provider="idp"}"#;
    let age = r#"daypass_provider_keys_age_seconds{provider="idp"}"#;
    assert!(!scrape(&gateway).await.contains_key(up));
    let login = async || {
        let token = key.token(&provider.claims(gateway.now()));
        let form = [("WebIdentityToken", token.as_str()), ("RoleArn", "arn:aws:iam::000000000000:role/r")];
        gateway.unsigned_sts("AssumeRoleWithWebIdentity", &form).await.status
    };
    assert_eq!(login().await, 200);
    gateway.advance(100);
    let series = scrape(&gateway).await;
    assert_eq!((series[up], series[age]), (1.0, 100.0));
    provider.answer("/keys", crate::support::Scripted::status(500));
    provider.answer("/.well-known/openid-configuration", crate::support::Scripted::status(500));
    gateway.advance(1_000);
    assert_eq!(login().await, 200, "the old keys are good");
    for _ in 0..200 {
        if scrape(&gateway).await[up] == 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let series = scrape(&gateway).await;
    assert_eq!((series[up], series[age]), (0.0, 1_100.0));
    let ready = ask(gateway.admin_address(), "/health/ready?verbose").await;
    assert_eq!(ready.status, 200, "a provider that is down keeps nobody else out");
    let ready: serde_json::Value = serde_json::from_str(&ready.text()).unwrap();
    assert_eq!(ready["providers"][0]["up"], false);
}

#[tokio::test]
async fn a_backend_that_fails_is_seen_and_makes_unready_only_where_that_is_wanted() {
    for needs in [false, true] {
        let line = format!("{ADMIN}ready_needs_backend = {needs}\n");
        let gateway = Gateway::builder().toml(&line).start().await;
        let own = gateway.session().await;
        gateway.backend().answers(|_| Answer::new(503, "<Error><Code>SlowDown</Code></Error>"));
        for _ in 0..5 {
            gateway.send(&own, call("GET", "/data/x")).await;
        }
        let series = scrape(&gateway).await;
        assert_eq!(series[r#"daypass_backend_errors_total{kind="server_error"}"#], 5.0);
        let ready = ask(gateway.admin_address(), "/health/ready").await;
        if needs {
            assert_eq!(ready.status, 503);
            assert!(ready.text().starts_with("not ready: backend: 5 requests in a row have failed"));
        } else {
            assert_eq!((ready.status, ready.text().as_str()), (200, "ready\n"));
        }
        assert_eq!(ask(gateway.admin_address(), "/health/live").await.status, 200);
        let verbose = ask(gateway.admin_address(), "/health/ready?verbose").await.text();
        assert!(verbose.contains("\"failures_in_a_row\": 5"), "{verbose}");
        gateway.backend().answers(|_| Answer::new(200, ""));
        gateway.send(&own, call("GET", "/data/x")).await.is_ok();
        assert_eq!(ask(gateway.admin_address(), "/health/ready").await.status, 200);
    }
}

#[tokio::test]
async fn nobody_at_the_backends_address_is_a_connect_error_and_a_bad_body_is_none() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = with_admin().backend_endpoint(&format!("http://{gone}")).start().await;
    let own = gateway.session().await;
    gateway.send(&own, call("GET", "/data/x")).await.is_error(503, "ServiceUnavailable");
    let series = scrape(&gateway).await;
    assert_eq!(
        counted(&series, "daypass_backend_errors_total"),
        [(r#"daypass_backend_errors_total{kind="connect"}"#, 1.0)]
    );

    let gateway = with_admin().start().await;
    let own = gateway.session().await;
    let put =
        call("PUT", "/data/x").body(vec![b'x'; 100_000]).header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
    gateway.send(&own, put).await.is_error(400, "BadDigest");
    assert_eq!(counted(&scrape(&gateway).await, "daypass_backend_errors_total"), []);
}

#[tokio::test]
async fn a_gateway_that_stops_is_alive_and_not_ready_while_a_request_finishes() {
    let gateway = with_admin().start().await;
    let own = gateway.session().await;
    let put = call("PUT", "/data/x").body("slow").at(gateway.now()).sign(&own, gateway.address());
    let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
    socket.write_all(&put.head()).await.unwrap();
    let mut flying = 0.0;
    for _ in 0..200 {
        let series = read(&ask(gateway.admin_address(), "/metrics").await.text());
        flying = series["daypass_requests_in_flight"];
        if flying == 1.0 {
            assert_eq!(series["daypass_connections_open"], 1.0);
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(flying, 1.0);
    let (stopping, admin) = gateway.shutdown();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let ready = ask(admin, "/health/ready").await;
    assert_eq!((ready.status, ready.text().as_str()), (503, "not ready: stopping\n"));
    assert_eq!(ask(admin, "/health/live").await.status, 200);
    socket.write_all(b"slow").await.unwrap();
    assert_eq!(stopping.await.unwrap().cut, 0);
}

fn document() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap()
}

#[test]
fn the_document_lists_every_name_with_kind_unit_and_labels() {
    let document = document();
    let rows: BTreeMap<&str, Vec<&str>> = document
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let name = cells.next()?.strip_suffix('`')?;
            (name.starts_with("daypass_") || name.starts_with("process_")).then(|| (name, cells.collect()))
        })
        .collect();
    let listed: Vec<&str> = rows.keys().copied().collect();
    let mut names: Vec<String> = FAMILIES.iter().map(daypass::telemetry::metrics::Family::name).collect();
    names.sort();
    assert_eq!(listed, names);
    for family in FAMILIES {
        let row = &rows[family.name().as_str()];
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        assert_eq!(row[..3], [kind, family.unit.unwrap_or(""), &labels.join(", ")], "{}", family.name());
    }
}
