//! The audit log: what is in it, that it is all there, that nothing of it can be changed unseen, and what happens when it cannot
//! be written.

use std::path::PathBuf;

use daypass::audit::verify;
use serde_json::Value;

use crate::support::{Answer, Builder, Gateway, allow, call};

fn audited(lines: &str) -> Builder {
    Gateway::builder().toml(&format!("[audit]\nfile = \"audit.jsonl\"\n{lines}"))
}

fn file(gateway: &Gateway) -> PathBuf {
    gateway.folder().join("audit.jsonl")
}

/// Every line that is there, the log's own too.
fn lines(gateway: &Gateway) -> Vec<Value> {
    let text = std::fs::read_to_string(file(gateway)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The decisions, once there are as many of them.
async fn decisions(gateway: &Gateway, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    for _ in 0..300 {
        found = lines(gateway).into_iter().filter(|line| line.get("decision").is_some()).collect();
        if found.len() >= count {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

#[tokio::test]
async fn a_request_leaves_a_line_with_who_what_where_and_why() {
    let gateway = audited("").role("reader", &allow("s3:GetObject", "arn:aws:s3:::data/*")).start().await;
    gateway.backend().answers(|_| Answer::new(200, "x"));
    let reader = gateway.role_session("reader").await;
    gateway.send(&reader, call("GET", "/data/a%20b")).await.is_ok();
    gateway.send(&reader, call("PUT", "/data/x").body("x")).await.is_error(403, "AccessDenied");
    let found = decisions(&gateway, 3).await;
    let [login, read, denied] = found.as_slice() else { panic!() };
    assert_eq!(login["responseElements"]["credentials"]["accessKeyId"], reader.access_key_id.as_str());
    assert_eq!(read["userIdentity"]["accessKeyId"], reader.access_key_id.as_str());
    assert_eq!(denied["decision"], "deny");
    let report = verify(&[file(&gateway)]).unwrap();
    assert_eq!(report.lines, 4);
}
