//! The audit log that cannot be written: with `strict` nothing happens that is not recorded, without it nothing is lost in silence.

use std::{net::TcpListener, time::Duration};

use daypass::audit::verify;
use serde_json::Value;

use crate::{
    audit::{audited, decisions, file, lines},
    support::{Builder, Gateway, Provider, Reply, Scripted, call},
};

const STRICT: &str = "strict = true\ntimeout = \"300ms\"\n[admin]\naddress = \"127.0.0.1:0\"\n";

fn with(destination: &str, more: &str) -> Builder {
    Gateway::builder().toml(&format!("[audit]\n{destination}\n{more}"))
}

/// Allowed, denied, forged and STS: all 503, and the storage hears of none.
async fn refuses_everything(gateway: &Gateway) {
    let bob = gateway.bob();
    gateway.send(&bob, call("PUT", "/data/x").body("x")).await.is_error(503, "ServiceUnavailable");
    let body = "<Delete><Object><Key>a</Key></Object></Delete>";
    let delete = call("POST", "/data").query("delete").body(body);
    gateway.send(&bob, delete).await.is_error(503, "ServiceUnavailable");
    gateway.send(&bob, call("GET", "/")).await.is_error(503, "ServiceUnavailable");
    // A key that STS alone takes.
    gateway.send(&gateway.alice(), call("GET", "/data/x")).await.is_error(503, "ServiceUnavailable");
    let form = [("Action", "GetSessionToken"), ("Version", "2011-06-15")];
    let reply = gateway.sts(&gateway.alice(), &form).await;
    reply.is_error(503, "ServiceUnavailable");
    assert!(!reply.text().contains("SecretAccessKey"), "{}", reply.text());
    gateway.backend().saw_nothing();
}

async fn metric(gateway: &Gateway, name: &str) -> u64 {
    let page = gateway.admin("GET", "/metrics", None, "").await.text();
    let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{page}"));
    line.trim().parse().unwrap()
}

#[tokio::test]
async fn strict_refuses_everything_when_the_disk_is_full() {
    let gateway = with("file = \"/dev/full\"", STRICT).start().await;
    refuses_everything(&gateway).await;
    assert_eq!(metric(&gateway, "daypass_audit_lost_total").await, 5);
    assert!(metric(&gateway, "daypass_audit_failures_total").await >= 5);
    assert_eq!(metric(&gateway, "daypass_audit_queue_length").await, 0);
}

#[tokio::test]
async fn strict_refuses_everything_while_the_folder_is_gone_and_goes_on_when_it_is_back() {
    let gateway = with("file = \"logs/audit.jsonl\"", STRICT).file("logs/keep", "").start().await;
    let (folder, away) = (gateway.folder().join("logs"), gateway.folder().join("away"));
    std::fs::rename(&folder, &away).unwrap();
    refuses_everything(&gateway).await;
    std::fs::create_dir(&folder).unwrap();
    gateway.send(&gateway.bob(), call("GET", "/data/x")).await.is_ok();
    let report = verify(&[away.join("audit.jsonl"), folder.join("audit.jsonl")]).unwrap();
    assert_eq!((report.losses, report.lost_events, report.chains.len()), (1, 5, 1));
}

#[tokio::test]
async fn strict_refuses_everything_while_the_collector_is_down_or_silent() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let provider = Provider::start(&[]).await;
    provider.be_silent(true);
    for url in [format!("http://{unused}/audit"), format!("{}/audit", provider.issuer())] {
        let destination = format!("url = \"{url}\"\nallow_http = true");
        let gateway = with(&destination, STRICT).start().await;
        refuses_everything(&gateway).await;
    }
}

#[tokio::test]
async fn a_collector_gets_every_line_once_it_answers_with_the_token_and_in_order() {
    let provider = Provider::start(&[]).await;
    provider.answer("/audit", Scripted::status(500));
    let destination =
        format!("url = \"{}/audit\"\nallow_http = true\nauth_token = \"Bearer abc\"", provider.issuer());
    let gateway = with(&destination, "").start().await;
    gateway.send(&gateway.bob(), call("GET", "/data/x")).await.is_ok();
    tokio::time::sleep(Duration::from_millis(300)).await;
    provider.answer("/audit", Scripted::ok(""));
    gateway.send(&gateway.bob(), call("GET", "/data/y")).await.is_ok();
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken.jsonl");
    gateway.stop().await;
    let requests = provider.requests();
    let tried = requests.iter().filter(|asked| asked.body == requests[0].body).count();
    assert!(tried >= 2, "the first batch was not sent again");
    let mut bodies: Vec<&str> = requests.iter().map(|asked| asked.body.as_str()).collect();
    bodies.dedup();
    std::fs::write(&taken, bodies.concat()).unwrap();
    assert!(
        requests[0].head.to_ascii_lowercase().contains("authorization: bearer abc\r\n"),
        "{}",
        requests[0].head
    );
    assert!(requests[0].head.contains("application/x-ndjson"), "{}", requests[0].head);
    let report = verify(&[&taken]).unwrap();
    assert_eq!((report.lines, report.lost_events), (4, 0));
}

#[tokio::test]
async fn strict_answers_once_the_line_is_in_the_file() {
    let gateway = audited("strict = true\nsync = true\n").start().await;
    let own = gateway.session().await;
    for number in 0..20 {
        gateway.send(&own, call("GET", &format!("/data/{number}"))).await.is_ok();
        let found = lines(&file(&gateway));
        assert_eq!(found.last().unwrap()["requestParameters"]["key"], number.to_string());
    }
    let forged = crate::support::Keys { secret: "x".to_owned(), ..own };
    gateway.send(&forged, call("GET", "/data/x")).await.is_error(403, "SignatureDoesNotMatch");
    assert_eq!(lines(&file(&gateway)).last().unwrap()["errorCode"], "SignatureDoesNotMatch");
}

/// R14
#[tokio::test]
async fn without_strict_a_loss_is_counted_and_told_in_the_chain() {
    let gateway = audited("[admin]\naddress = \"127.0.0.1:0\"\n").start().await;
    let bob = gateway.bob();
    let get = async |key: &str| -> Reply { gateway.send(&bob, call("GET", &format!("/data/{key}"))).await };
    get("1").await.is_ok();
    decisions(&gateway, 1).await;
    // What has its name now is a folder, which cannot be written.
    let rotated = gateway.folder().join("audit.jsonl.1");
    std::fs::rename(file(&gateway), &rotated).unwrap();
    std::fs::create_dir(file(&gateway)).unwrap();
    for key in ["2", "3", "4"] {
        get(key).await.is_ok();
    }
    for _ in 0..300 {
        if metric(&gateway, "daypass_audit_lost_total").await == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(metric(&gateway, "daypass_audit_lost_total").await, 3);
    std::fs::remove_dir(file(&gateway)).unwrap();
    get("5").await.is_ok();
    decisions(&gateway, 1).await;
    let told: Vec<Value> = lines(&file(&gateway));
    assert_eq!(told[0]["eventName"], "AuditLoss");
    assert_eq!(told[0]["additionalEventData"]["lostEvents"], 3);
    assert_eq!(told[1]["requestParameters"]["key"], "5");
    let report = verify(&[rotated, file(&gateway)]).unwrap();
    assert_eq!((report.losses, report.lost_events), (1, 3));
    assert_eq!(metric(&gateway, "daypass_audit_events_total{decision=\"allow\"}").await, 2);
}

#[tokio::test]
async fn requests_go_on_while_the_collector_is_silent_and_a_full_queue_is_a_loss() {
    let provider = Provider::start(&[]).await;
    provider.be_silent(true);
    let destination = format!("url = \"{}/audit\"\nallow_http = true\nqueue = 4", provider.issuer());
    let gateway =
        with(&destination, "timeout = \"200ms\"\n[admin]\naddress = \"127.0.0.1:0\"\n").start().await;
    for number in 0..10 {
        gateway.send(&gateway.bob(), call("GET", &format!("/data/{number}"))).await.is_ok();
    }
    assert_eq!(metric(&gateway, "daypass_audit_lost_total").await, 6);
    assert_eq!(metric(&gateway, "daypass_audit_queue_length").await, 4);
}
