//! Rates of sessions, roles and users: requests beyond them are refused, bodies wait.

use std::time::{Duration, Instant};

use daypass::app::Reloaded;

use crate::support::{Answer, Gateway, Keys, call, keys_of};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";
const CAROL: &str = "[[user]]\nname = \"carol\"\naccess_key_id = \"CAROLACCESSKEY000001\"\n\
    secret_access_key = \"carol-secret-carol-secret\"\npolicies = [\"all\"]\n";
const KIB: usize = 1024;

fn carol() -> Keys {
    Keys::long_term("CAROLACCESSKEY000001", "carol-secret-carol-secret")
}

/// How many of so many requests are served; all others must be refused as they should.
async fn served(gateway: &Gateway, keys: &Keys, tries: usize) -> usize {
    let mut served = 0;
    for _ in 0..tries {
        let reply = gateway.send(keys, call("GET", "/bucket/key")).await;
        if reply.status == 200 {
            served += 1;
        } else {
            reply.is_error(503, "SlowDown");
            assert_eq!(reply.header("retry-after"), Some("1"));
        }
    }
    served
}

async fn metric(gateway: &Gateway, name: &str) -> String {
    let page = gateway.admin("GET", "/metrics", None, "").await.text();
    let line = page.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    line.unwrap_or_else(|| panic!("no {name} in {page}")).to_owned()
}

#[tokio::test]
async fn a_session_beyond_its_rate_is_refused_and_the_backend_sees_what_is_allowed() {
    let limits = "[limits]\nsession_requests_per_second = 5\n";
    let gateway = Gateway::builder().toml(ADMIN).toml(limits).start().await;
    let (one, other) = (gateway.session().await, gateway.session().await);
    assert_eq!(served(&gateway, &one, 12).await, 5);
    assert_eq!(gateway.backend().requests().len(), 5);
    assert_eq!(metric(&gateway, "daypass_throttled_total{cause=\"session_rate\"}").await, "7");
    // Another session has a rate of its own, and a second later there is as much again.
    assert_eq!(served(&gateway, &other, 4).await, 4);
    gateway.advance(1);
    assert_eq!(served(&gateway, &one, 12).await, 5);
    assert_eq!(gateway.backend().requests().len(), 14);
}

#[tokio::test]
async fn nobody_else_can_use_up_the_rate_of_a_session() {
    let gateway = Gateway::builder().toml("[limits]\nsession_requests_per_second = 3\n").start().await;
    let session = gateway.session().await;
    let forger = Keys { secret: "not the secret".to_owned(), ..session.clone() };
    for _ in 0..10 {
        gateway.send(&forger, call("GET", "/bucket/key")).await.is_error(403, "SignatureDoesNotMatch");
    }
    gateway.backend().saw_nothing();
    assert_eq!(served(&gateway, &session, 5).await, 3);
}

#[tokio::test]
async fn the_rate_of_a_role_is_shared_by_all_its_sessions_and_no_others() {
    let gateway = Gateway::builder()
        .role("busy", crate::support::ALL)
        .toml("requests_per_second = 4\n")
        .role("other", crate::support::ALL)
        .start()
        .await;
    let (one, two) = (gateway.role_session("busy").await, gateway.role_session("busy").await);
    assert_eq!(served(&gateway, &one, 3).await, 3);
    assert_eq!(served(&gateway, &two, 3).await, 1);
    assert_eq!(gateway.backend().requests().len(), 4);
    let other = gateway.role_session("other").await;
    assert_eq!(served(&gateway, &other, 6).await, 6);
    assert_eq!(served(&gateway, &gateway.session().await, 6).await, 6);
}

#[tokio::test]
async fn the_rate_of_a_user_counts_calls_of_sts_and_of_s3_together() {
    let gateway = Gateway::builder().toml(CAROL).toml("requests_per_second = 4\n").start().await;
    let login = [("Action", "AssumeRole"), ("Version", "2011-06-15")];
    let session = keys_of(&gateway.sts(&carol(), &login).await);
    assert_eq!(served(&gateway, &session, 2).await, 2);
    gateway.sts(&carol(), &login).await.is_ok();
    let refused = gateway.sts(&carol(), &login).await;
    refused.is_error(503, "SlowDown");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.text().contains("<ErrorResponse"), "{}", refused.text());
    assert_eq!(served(&gateway, &session, 2).await, 0);
    gateway.advance(1);
    gateway.sts(&carol(), &login).await.is_ok();
    assert_eq!(gateway.backend().requests().len(), 2);
}

#[tokio::test]
async fn without_figures_there_is_no_limit() {
    let gateway = Gateway::start().await;
    let session = gateway.session().await;
    assert_eq!(served(&gateway, &session, 100).await, 100);
}

#[tokio::test]
async fn a_reload_keeps_what_was_used_where_the_rate_is_the_same() {
    let gateway =
        Gateway::builder().role("busy", crate::support::ALL).toml("requests_per_second = 4\n").start().await;
    let session = gateway.role_session("busy").await;
    assert_eq!(served(&gateway, &session, 6).await, 4);
    gateway.reload(|text| text.replace("name = \"bob\"", "name = \"bert\""));
    assert_eq!(served(&gateway, &session, 2).await, 0);
    gateway.reload(|text| text.replace("requests_per_second = 4", "requests_per_second = 6"));
    assert_eq!(served(&gateway, &session, 8).await, 6);
    gateway.reload(|text| text.replace("requests_per_second = 6", ""));
    assert_eq!(served(&gateway, &session, 20).await, 20);
    for wrong in ["requests_per_second = 0", "bytes_per_second = \"1KiB\""] {
        let reloaded = gateway.reload(|text| text.replace("[[role]]\n", &format!("[[role]]\n{wrong}\n")));
        assert!(matches!(reloaded, Reloaded::Refused { .. }), "{wrong}: {reloaded:?}");
        gateway.reload(|text| text.replace(&format!("{wrong}\n"), ""));
    }
}

/// Four times what a second allows, with stalls bounded far below the pauses: a burst of one second is free, and so may be
/// the last piece.
const PACED: &str = "[limits]\nsession_bytes_per_second = \"64KiB\"\nstall_timeout = \"200ms\"\n";

#[tokio::test]
async fn a_paced_download_takes_its_time_and_is_whole() {
    let gateway = Gateway::builder().toml(PACED).start().await;
    let session = gateway.session().await;
    let object: Vec<u8> = (0..251).cycle().take(256 * KIB).collect();
    let answer = object.clone();
    gateway.backend().answers(move |_| Answer::new(200, answer.clone()));
    let started = Instant::now();
    let reply = gateway.send(&session, call("GET", "/bucket/key")).await;
    let took = started.elapsed();
    assert!(reply.status == 200 && reply.body == object, "{} of {}", reply.body.len(), object.len());
    assert!(took >= Duration::from_millis(1900), "{took:?}");
    // What the last piece owes is paid by the next body, also of small ones.
    let started = Instant::now();
    gateway.send(&session, call("GET", "/bucket/key")).await.is_ok();
    assert!(started.elapsed() >= Duration::from_millis(2900), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_paced_upload_takes_its_time_and_is_no_stall() {
    let gateway =
        Gateway::builder().toml(PACED).backend_lines("first_byte_timeout = \"200ms\"").start().await;
    let session = gateway.session().await;
    let object: Vec<u8> = (0..241).cycle().take(256 * KIB).collect();
    let started = Instant::now();
    gateway.send(&session, call("PUT", "/bucket/key").body(object.clone())).await.is_ok();
    assert!(started.elapsed() >= Duration::from_millis(1900), "{:?}", started.elapsed());
    assert_eq!(gateway.backend().only_request().body, object);
}

#[tokio::test]
async fn sessions_of_a_role_share_its_bandwidth() {
    let gateway = Gateway::builder()
        .role("slow", crate::support::ALL)
        .toml("bytes_per_second = \"128KiB\"\n")
        .start()
        .await;
    let (one, two) = (gateway.role_session("slow").await, gateway.role_session("slow").await);
    let put = |path| call("PUT", path).body(vec![b'x'; 192 * KIB]);
    let started = Instant::now();
    let (first, second) =
        tokio::join!(gateway.send(&one, put("/bucket/a")), gateway.send(&two, put("/bucket/b")));
    first.is_ok();
    second.is_ok();
    // 384 KiB in all, 128 of them free.
    assert!(started.elapsed() >= Duration::from_millis(1400), "{:?}", started.elapsed());
    assert_eq!(gateway.backend().committed().len(), 2);
}
