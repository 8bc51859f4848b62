//! The audit log as operators run it: the program, its signals, its standard output, a collector over TLS, `daypass audit verify`.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use daypass::{audit::verify, config};
use rustix::process::Signal;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::{
    audit::{audited, decisions, file, lines},
    forms::form,
    support::{
        Gateway, Keys, Provider, Scripted, call,
        directory::{Validity, authority},
    },
};

const FILE: &str = "[audit]\nfile = \"audit.jsonl\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_hang_up_the_file_that_was_moved_is_left_at_once_and_the_chain_goes_on() {
    let program = Gateway::builder().toml(FILE).spawn().await;
    let (current, session) = (program.folder().join("audit.jsonl"), program.session().await);
    let (mut files, mut took) = (Vec::new(), Vec::new());
    for number in 0..5 {
        program.send(&session, call("GET", &format!("/data/{number}"))).await.is_ok();
        let rotated = program.folder().join(format!("audit.jsonl.{number}"));
        until("the line", || lines(&current).iter().any(|line| key_of(line) == number.to_string())).await;
        std::fs::rename(&current, &rotated).unwrap();
        let moved = Instant::now();
        program.signal(Signal::HUP);
        until("a new file", || current.exists()).await;
        took.push(moved.elapsed());
        files.push(rotated);
    }
    // By itself it looks once a second.
    assert!(took.iter().min().unwrap() < &Duration::from_millis(500), "{took:?}");
    program.send(&session, call("GET", "/data/last")).await.is_ok();
    program.signal(Signal::TERM);
    let ended = program.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    files.push(current);
    let report = verify(&files).unwrap();
    // A login, six reads, a beginning and an end.
    assert_eq!((report.chains.len(), report.lines, report.losses), (1, 9, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_termination_under_load_leaves_a_whole_chain_with_every_request_that_was_answered() {
    let limits = "[limits]\ndrain_delay = \"300ms\"\n";
    let program = Gateway::builder().toml(FILE).toml(limits).spawn().await;
    let session = program.session().await;
    let (program, session) = (std::sync::Arc::new(program), std::sync::Arc::new(session));
    let asking = (0..8).map(|task| {
        let (program, session) = (program.clone(), session.clone());
        tokio::spawn(async move {
            let (began, mut ids) = (Instant::now(), Vec::new());
            while began.elapsed() < Duration::from_millis(700) {
                let reply = program.send(&session, call("GET", &format!("/data/{task}"))).await;
                reply.is_ok();
                ids.push(reply.header("x-amz-request-id").unwrap().to_owned());
            }
            ids
        })
    });
    let asking: Vec<_> = asking.collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    program.signal(Signal::TERM);
    let mut answered = Vec::new();
    for asked in asking {
        answered.extend(asked.await.unwrap());
    }
    let ended = std::sync::Arc::into_inner(program).unwrap().ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    let file = ended.folder.path().join("audit.jsonl");
    let found = lines(&file);
    let mut recorded = BTreeMap::<&str, usize>::new();
    for line in &found {
        *recorded.entry(line["requestID"].as_str().unwrap_or_default()).or_default() += 1;
    }
    assert!(answered.len() > 16, "{}", answered.len());
    for id in &answered {
        assert_eq!(recorded.get(id.as_str()), Some(&1), "{id}");
    }
    assert_eq!(found.last().unwrap()["eventName"], "AuditStop");
    let report = verify(&[&file]).unwrap();
    assert_eq!((report.chains.len(), report.losses, report.lines), (1, 0, found.len() as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_output_gets_the_chain_and_nothing_else() {
    let program = Gateway::builder().toml("[audit]\nstdout = true\n").spawn().await;
    let session = program.session().await;
    program.send(&session, call("GET", "/data/1")).await.is_ok();
    let forged = Keys { secret: "x".to_owned(), ..session };
    program.send(&forged, call("GET", "/data/2")).await.is_error(403, "SignatureDoesNotMatch");
    program.signal(Signal::TERM);
    let ended = program.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    let kept = ended.folder.path().join("kept.jsonl");
    std::fs::write(&kept, &ended.out).unwrap();
    let names: Vec<Value> = lines(&kept).iter().map(|line| line["eventName"].clone()).collect();
    assert_eq!(names[..3], ["AuditStart", "GetSessionToken", "GetObject"]);
    assert_eq!(names.last().unwrap(), "AuditStop");
    assert_eq!(verify(&[&kept]).unwrap().lines, 5);
    assert!(!ended.log.contains("previousHash"), "{}", ended.log);
}

/// TLS before a provider.
async fn over_tls(provider: &Provider) -> (String, String) {
    let (tls, ca_pem) = authority("localhost", Validity::Now);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/audit", listener.local_addr().unwrap().port());
    let to = provider.issuer().replace("http://", "");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (tls, to) = (tls.clone(), to.clone());
            tokio::spawn(async move {
                let Ok(mut socket) = tls.accept(socket).await else { return };
                let mut inner = TcpStream::connect(&to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut socket, &mut inner).await;
            });
        }
    });
    (url, String::from_utf8(ca_pem).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_is_believed_by_its_authority_and_no_other_gets_a_line() {
    let provider = Provider::start(&[]).await;
    provider.answer("/audit", Scripted::ok(""));
    let (url, ca) = over_tls(&provider).await;
    let (_, other_ca) = authority("localhost", Validity::Now);
    let destination =
        format!("[audit]\nurl = \"{url}\"\nca_file = \"ca.pem\"\nstrict = true\ntimeout = \"2s\"\n");
    let gateway = Gateway::builder().toml(&destination).file("ca.pem", &ca).start().await;
    gateway.send(&gateway.bob(), call("GET", "/data/x")).await.is_ok();
    let before = provider.requests().len();
    assert!(provider.requests().iter().any(|asked| asked.body.contains("\"key\":\"x\"")));
    let other = String::from_utf8(other_ca).unwrap();
    let wrong = Gateway::builder().toml(&destination).file("ca.pem", &other).start().await;
    wrong.send(&wrong.bob(), call("GET", "/data/y")).await.is_error(503, "ServiceUnavailable");
    wrong.backend().saw_nothing();
    assert_eq!(provider.requests().len(), before);
}

#[tokio::test]
async fn a_form_upload_is_recorded_with_its_key_and_its_answer() {
    let policy = crate::support::allow("s3:PutObject", "arn:aws:s3:::bucket/user/*");
    let gateway = audited("").role("uploader", &policy).start().await;
    let keys = gateway.role_session("uploader").await;
    assert_eq!(form().send(&gateway, &keys).await.status, 204);
    let mut elsewhere = form();
    elsewhere.fields[0].1 = "payroll/all".to_owned();
    elsewhere.conditions = elsewhere.conditions.replace("\"user/\"", "\"\"");
    elsewhere.send(&gateway, &keys).await.is_error(403, "AccessDenied");
    let forged = Keys { secret: "x".to_owned(), ..keys.clone() };
    form().send(&gateway, &forged).await.is_error(403, "SignatureDoesNotMatch");
    let found = decisions(&gateway, 4).await;
    let text =
        |line: &Value, pointer| line.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
    let shown: Vec<_> = found[1..]
        .iter()
        .map(|line| {
            ["/eventName", "/decision", "/requestParameters/key", "/userIdentity/type", "/errorCode"]
                .map(|pointer| text(line, pointer))
        })
        .collect();
    assert_eq!(shown[0], ["PostObject", "allow", "user/a b.txt", "AssumedRole", "-"]);
    assert_eq!(shown[1], ["PostObject", "deny", "payroll/all", "AssumedRole", "AccessDenied"]);
    assert_eq!(shown[2][1..], ["deny", "-", "Unknown", "SignatureDoesNotMatch"]);
    assert_eq!(text(&found[1], "/additionalEventData/AuthenticationMethod"), "PostForm");
    assert_eq!(text(&found[1], "/action"), "s3:PutObject");
    let all = std::fs::read_to_string(file(&gateway)).unwrap();
    assert!(!all.contains(keys.token.as_ref().unwrap()) && !all.contains("the file"), "{all}");
}

/// The command's code, what it printed, and what it complained of.
fn verified(files: &[&Path]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daypass"));
    let done = command.args(["audit", "verify"]).args(files).output().unwrap();
    (done.status.code(), String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
}

#[tokio::test]
async fn the_verify_command_says_which_damage_is_where() {
    let gateway = audited("").start().await;
    for key in 1..=5 {
        gateway.send(&gateway.bob(), call("GET", &format!("/data/{key}"))).await.is_ok();
    }
    decisions(&gateway, 5).await;
    let good = std::fs::read_to_string(file(&gateway)).unwrap();
    let all: Vec<&str> = good.lines().collect();
    let (code, printed, said) = verified(&[&file(&gateway)]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let hash = serde_json::from_str::<Value>(all[5]).unwrap()["hash"].as_str().unwrap().to_owned();
    for line in ["lines:      6", "chains:     1", "gaps:       0", "last line:  6", &hash] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    let damaged = gateway.folder().join("damaged.jsonl");
    let without = |gone: usize| [&all[..gone], &all[gone + 1..]].concat().join("\n") + "\n";
    let mut moved = all.clone();
    moved.swap(2, 3);
    let anew = again(&all[2].replace("\"key\":\"2\"", "\"key\":\"7\""));
    for (text, line, what) in [
        (good.replace("\"key\":\"2\"", "\"key\":\"7\""), 3, "its own hash is wrong: the line was changed"),
        (without(2), 3, "1 lines are missing: line 4 of the chain stands after line 2"),
        (moved.join("\n") + "\n", 3, "1 lines are missing: line 4 of the chain stands after line 2"),
        (
            good.clone() + all[5] + "\n",
            7,
            "line 6 of the chain stands after line 6: repeated, or in the wrong place",
        ),
        (
            good.replace(all[2], &anew),
            4,
            "line 3 of the chain, before this one, is not the one that was written",
        ),
        (good.clone() + "a line of something else\n", 7, "it is no line of an audit log"),
        (good.trim_end()[..good.len() - 20].to_owned(), 6, "the line is broken off"),
    ] {
        std::fs::write(&damaged, text).unwrap();
        let (code, printed, said) = verified(&[&damaged]);
        assert_eq!((code, printed.as_str()), (Some(1), ""), "{what}");
        assert!(
            said.starts_with(&format!("daypass: {}:{line}: {what}", damaged.display())),
            "{what}: {said}"
        );
    }
    let missing = gateway.folder().join("missing.jsonl");
    let (code, _, said) = verified(&[&file(&gateway), &missing]);
    assert!(code == Some(1) && said.starts_with(&format!("daypass: {}: ", missing.display())), "{said}");
    assert_eq!(verified(&[]).0, Some(2), "the command line itself is wrong");
}

/// With a hash of its own that is right.
fn again(line: &str) -> String {
    let (covered, _) = line.split_once(",\"hash\":").unwrap();
    format!("{covered},\"hash\":\"{}\"}}", crate::support::sha256_hex(covered.as_bytes()))
}

#[test]
fn an_audit_log_without_one_place_to_go_to_is_no_configuration() {
    for (lines, what) in [
        ("", "needs exactly one of file, stdout = true and url"),
        ("stdout = false", "needs exactly one of file, stdout = true and url"),
        ("file = \"a\"\nstdout = true", "needs exactly one of file, stdout = true and url"),
        (
            "file = \"a\"\nurl = \"https://logs.internal/a\"",
            "needs exactly one of file, stdout = true and url",
        ),
        ("url = \"http://logs.internal/a\"", "allow_http"),
        ("url = \"logs\"", "audit.url"),
        ("syslog = true", "audit.syslog"),
        ("stdout = true\nsync = true", "needs file: only a file is on a disk of ours"),
        ("file = \"a\"\nauth_token = \"Bearer abc-secret\"", "needs url, the collector that it is about"),
        ("file = \"a\"\nca_file = \"ca.pem\"", "audit.ca_file"),
        ("url = \"https://logs.internal/a\"\nca_file = \"none.pem\"", "audit.ca_file"),
        ("file = \"a\"\nqueue = 0", "must be more than 0"),
        ("file = \"a\"\ntimeout = \"soon\"", "audit.timeout"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daypass.toml");
        std::fs::write(&file, format!("[audit]\n{lines}\n")).unwrap();
        let problems = config::load(&file, &|_| None).unwrap_err().to_string();
        let of_audit: Vec<&str> = problems.lines().filter(|line| line.contains("audit")).collect();
        assert!(of_audit.iter().any(|line| line.contains(what)), "{lines}: {problems}");
        assert!(!problems.contains("abc-secret"), "{problems}");
    }
}

fn key_of(line: &Value) -> String {
    line.pointer("/requestParameters/key").and_then(Value::as_str).unwrap_or_default().to_owned()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} does not come");
}
