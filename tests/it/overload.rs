//! Memory that runs short, floods of logins and of connections: some are told to come again, nothing breaks.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Gateway, Keys, call, keys_of, parse_reply};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";

async fn metric(gateway: &Gateway, name: &str) -> u64 {
    let page = gateway.admin("GET", "/metrics", None, "").await.text();
    let line = page.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

async fn is_ready(gateway: &Gateway) -> bool {
    gateway.admin("GET", "/health/ready", None, "").await.status == 200
}

async fn becomes_ready(gateway: &Gateway, wanted: bool) {
    for _ in 0..500 {
        if is_ready(gateway).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("ready is not {wanted} after 10 s");
}

/// A connection with an upload of which half has come.
async fn half_an_upload(gateway: &Gateway, keys: &Keys) -> (TcpStream, Vec<u8>) {
    let put = call("PUT", "/bucket/live").body(vec![b'x'; 100_000]);
    let signed = put.at(gateway.now()).sign(keys, gateway.address());
    let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
    socket.write_all(&signed.head()).await.unwrap();
    socket.write_all(&signed.call.body[..50_000]).await.unwrap();
    while gateway.backend().requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (socket, signed.call.body[50_000..].to_vec())
}

async fn reply_of(mut socket: TcpStream) -> crate::support::Reply {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await;
    read.expect("an answer").unwrap();
    parse_reply(&answer)
}

#[tokio::test]
async fn when_memory_runs_short_new_requests_are_refused_and_live_ones_go_on() {
    let gateway = Gateway::builder().toml(ADMIN).start().await;
    let session = gateway.session().await;
    let (mut live, rest) = half_an_upload(&gateway, &session).await;
    gateway.memory().pretend(91, 100);
    let refused = gateway.send(&session, call("GET", "/bucket/key")).await;
    refused.is_error(503, "SlowDown");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Also a connection that would be kept is closed.
    let head = call("GET", "/bucket/key").at(gateway.now()).sign(&session, gateway.address()).head();
    let kept = String::from_utf8(head).unwrap().replace("connection: close\r\n", "");
    let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
    socket.write_all(kept.as_bytes()).await.unwrap();
    let refused = reply_of(socket).await;
    refused.is_error(503, "SlowDown");
    assert_eq!(refused.header("connection"), Some("close"));
    let login = gateway.sts(&gateway.alice(), &[("Action", "AssumeRole"), ("Version", "2011-06-15")]).await;
    login.is_error(503, "SlowDown");
    assert!(login.text().contains("<ErrorResponse"), "{}", login.text());
    assert_eq!(gateway.backend().requests().len(), 1);
    let ready = gateway.admin("GET", "/health/ready", None, "").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("not ready: memory: "), "{}", ready.text());
    assert_eq!(metric(&gateway, "daypass_throttled_total{cause=\"memory\"}").await, 3);
    let figures = ["daypass_memory_used_bytes", "daypass_memory_limit_bytes"];
    assert_eq!([metric(&gateway, figures[0]).await, metric(&gateway, figures[1]).await], [91, 100]);
    live.write_all(&rest).await.unwrap();
    assert_eq!(reply_of(live).await.status, 200);
    assert_eq!(gateway.backend().committed().len(), 1);
    gateway.memory().pretend(84, 100);
    assert!(is_ready(&gateway).await);
    gateway.send(&session, call("GET", "/bucket/key")).await.is_ok();
}

/// What the allocator keeps for itself must not end the service.
#[tokio::test]
async fn when_memory_stays_short_a_few_small_requests_at_a_time_are_served() {
    let gateway = Gateway::builder().toml(ADMIN).start().await;
    let session = gateway.session().await;
    gateway.memory().pretend(91, 100);
    gateway.send(&session, call("GET", "/bucket/key")).await.is_error(503, "SlowDown");
    gateway.backend().saw_nothing();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mut live = Vec::new();
    for number in 1..=8 {
        let upload = half_an_upload(&gateway, &session).await;
        // Each reaches the storage.
        while gateway.backend().requests().len() < number {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        live.push(upload);
    }
    gateway.send(&session, call("GET", "/bucket/key")).await.is_error(503, "SlowDown");
    for (mut socket, rest) in live {
        socket.write_all(&rest).await.unwrap();
        assert_eq!(reply_of(socket).await.status, 200);
    }
    gateway.send(&session, call("GET", "/bucket/key")).await.is_ok();
    let login = gateway.sts(&gateway.alice(), &[("Action", "AssumeRole"), ("Version", "2011-06-15")]).await;
    login.is_error(503, "SlowDown");
    let form = call("POST", "/bucket")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(vec![b'x'; 10]);
    gateway.send(&session, form).await.is_error(503, "SlowDown");
    // Nearly full is not short.
    gateway.memory().pretend(98, 100);
    gateway.memory().pretend(84, 100);
    gateway.memory().pretend(91, 100);
    gateway.send(&session, call("GET", "/bucket/key")).await.is_error(503, "SlowDown");
    assert_eq!(gateway.backend().requests().len(), 9);
}

#[tokio::test]
async fn when_memory_is_nearly_full_connections_wait_and_operators_are_answered() {
    let gateway = Gateway::builder().toml(ADMIN).start().await;
    let session = gateway.session().await;
    gateway.memory().pretend(98, 100);
    // One may have been about to be taken when it was said.
    let about_to_be_taken = TcpStream::connect(gateway.address()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let head = call("GET", "/bucket/key").at(gateway.now()).sign(&session, gateway.address()).head();
    let mut waiting = TcpStream::connect(gateway.address()).await.unwrap();
    waiting.write_all(&head).await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(300), waiting.read(&mut byte)).await;
    assert!(early.is_err(), "a connection was served: {early:?}");
    assert_eq!(gateway.admin("GET", "/health/live", None, "").await.status, 200);
    assert!(!is_ready(&gateway).await);
    gateway.backend().saw_nothing();
    gateway.memory().pretend(10, 100);
    assert_eq!(reply_of(waiting).await.status, 200);
    drop(about_to_be_taken);
}

#[tokio::test]
async fn max_memory_is_compared_with_what_the_process_holds_and_changes_with_a_reload() {
    let gateway = Gateway::builder().toml(ADMIN).toml("[limits]\nmax_memory = \"1TiB\"\n").start().await;
    becomes_ready(&gateway, true).await;
    gateway.reload(|text| text.replace("1TiB", "1MiB"));
    becomes_ready(&gateway, false).await;
    assert!(metric(&gateway, "daypass_memory_used_bytes").await > 1 << 20);
    assert_eq!(metric(&gateway, "daypass_memory_limit_bytes").await, 1 << 20);
    gateway.reload(|text| text.replace("1MiB", "1TiB"));
    becomes_ready(&gateway, true).await;
    gateway.send(&gateway.session().await, call("GET", "/bucket/key")).await.is_ok();
}

#[tokio::test]
async fn connections_that_are_refused_for_their_address_are_counted() {
    let limits = "[limits]\nmax_connections_per_address = 2\n";
    let gateway = Gateway::builder().toml(ADMIN).toml(limits).start().await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(TcpStream::connect(gateway.address()).await.unwrap());
    }
    for _ in 0..500 {
        if metric(&gateway, "daypass_connections_refused_total").await == 3 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} were counted", metric(&gateway, "daypass_connections_refused_total").await);
}

#[tokio::test]
async fn a_flood_of_logins_may_push_live_sessions_out_of_the_cache_and_ends_none() {
    let gateway = Gateway::builder().toml(ADMIN).toml("[limits]\nsession_cache = \"16KiB\"\n").start().await;
    let live = [gateway.session().await, gateway.session().await];
    for _ in 0..10 {
        for _ in 0..30 {
            let form = [("Action", "AssumeRole"), ("Version", "2011-06-15")];
            keys_of(&gateway.sts(&gateway.alice(), &form).await);
        }
        for session in &live {
            gateway.send(session, call("GET", "/bucket/key")).await.is_ok();
        }
    }
    // They were pushed out indeed, and opened again.
    assert!(metric(&gateway, "daypass_session_cache_total{result=\"miss\"}").await >= 2);
    assert!(metric(&gateway, "daypass_sessions_cached").await < 40);
}

#[tokio::test]
async fn a_cold_burst_of_one_session_opens_its_token_once() {
    let maker = Gateway::start().await;
    let session = maker.session().await;
    let limits = "[limits]\nmax_connections_per_address = 0\n";
    let replica = std::sync::Arc::new(Gateway::builder().toml(ADMIN).toml(limits).start().await);
    let uses = (0..200).map(|_| {
        let (replica, session) = (replica.clone(), session.clone());
        tokio::spawn(async move { replica.send(&session, call("GET", "/bucket/key")).await.status })
    });
    for used in uses.collect::<Vec<_>>() {
        assert_eq!(used.await.unwrap(), 200);
    }
    // This gateway has one worker, and between looking and keeping a worker does nothing else.
    assert_eq!(metric(&replica, "daypass_session_cache_total{result=\"miss\"}").await, 1);
    assert_eq!(metric(&replica, "daypass_session_cache_total{result=\"hit\"}").await, 199);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_command_says_what_the_gateway_says_whatever_else_is_in_the_file() {
    let gateway = Gateway::builder().toml(ADMIN).start().await;
    let file = gateway.folder().join("health.toml");
    let ask = |text: String, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_daypass"));
        let done = command.args(["health", "--config"]).arg(&file).args(more).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8(said).unwrap())
    };
    let text = format!("[admin]\naddress = \"{}\"\n[role]\nhalf = \"written\"\n", gateway.admin_address());
    assert_eq!(ask(text.clone(), &[]), (Some(0), "ready\n".to_owned()));
    gateway.memory().pretend(95, 100);
    let (code, said) = ask(text.clone(), &[]);
    assert!(code == Some(1) && said.starts_with("not ready: memory: "), "{code:?} {said}");
    assert_eq!(ask(text, &["--live"]), (Some(0), "live\n".to_owned()));
    let (code, said) = ask("[admin]\naddress = \"127.0.0.1:1\"\n".to_owned(), &["--live"]);
    assert!(code == Some(1) && said.contains("cannot be reached"), "{code:?} {said}");
    let (code, said) = ask("[listen]\n".to_owned(), &[]);
    assert!(code == Some(1) && said.contains("has no [admin]"), "{code:?} {said}");
}

#[tokio::test]
async fn sessions_in_the_cache_are_given_up_for_memory_and_none_of_them_ends() {
    let gateway = Gateway::builder().toml(ADMIN).start().await;
    let sessions = [gateway.session().await, gateway.session().await];
    assert_eq!(metric(&gateway, "daypass_sessions_cached").await, 2);
    gateway.memory().pretend(95, 100);
    for _ in 0..500 {
        if metric(&gateway, "daypass_sessions_cached").await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(metric(&gateway, "daypass_sessions_cached").await, 0);
    gateway.memory().pretend(50, 100);
    for session in &sessions {
        gateway.send(session, call("GET", "/bucket/key")).await.is_ok();
    }
    assert_eq!(metric(&gateway, "daypass_session_cache_total{result=\"miss\"}").await, 2);
}

/// All of it happens in one thread, so what is counted does not depend on how fast the machine is.
#[tokio::test]
async fn a_flood_of_wrong_signatures_and_logins_waits_for_one_who_has_keys() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    // Once before, so that the connection to the storage is there.
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    let wrong = Keys { secret: "wrong".into(), ..keys.clone() };
    let signature = call("GET", "/bucket/key").at(gateway.now()).sign(&wrong, gateway.address()).head();
    let login = format!(
        "POST /?Action=AssumeRole&Version=2011-06-15 HTTP/1.1\r\nhost: {}\r\n\r\n",
        gateway.address()
    );
    let (mut flood, each) = (Vec::new(), 10);
    for request in [signature, login.into_bytes()] {
        for _ in 0..100 {
            let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
            socket.write_all(&request).await.unwrap();
            let mut answer = Vec::new();
            while !answer.trim_ascii_end().ends_with(b">") {
                assert!(socket.read_buf(&mut answer).await.unwrap() > 0, "the connection has ended");
            }
            assert!(answer.starts_with(b"HTTP/1.1 40"), "{}", String::from_utf8_lossy(&answer));
            flood.push((socket, request.clone()));
        }
    }
    for (socket, request) in &flood {
        let requests = request.repeat(each);
        assert_eq!(socket.try_write(&requests).unwrap(), requests.len());
    }
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    let mut received = Vec::new();
    for (socket, _) in &flood {
        // What has not come yet is an error.
        while socket.try_read_buf(&mut received).is_ok_and(|read| read > 0) {}
    }
    let refused = received.windows(8).filter(|seen| seen == b"HTTP/1.1").count();
    assert!(refused < 200, "{refused} of {} were refused before the request", flood.len() * each);
    assert_eq!(gateway.backend().requests().len(), 2);
}
