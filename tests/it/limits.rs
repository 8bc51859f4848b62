//! Limits: what is slow, huge or endless ends, and others go on.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Gateway, call, raw, raw_bytes};

const SHORT: &str =
    "[limits]\nheader_timeout = \"300ms\"\nidle_timeout = \"400ms\"\nstall_timeout = \"500ms\"\n";

/// How long it takes until the other end closes; at most some seconds.
async fn closes(mut socket: TcpStream) -> Duration {
    let started = Instant::now();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut rest))
        .await
        .expect("it closes");
    started.elapsed()
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let gateway = Gateway::builder().toml(SHORT).start().await;
    let silent = TcpStream::connect(gateway.address()).await.unwrap();
    let mut half = TcpStream::connect(gateway.address()).await.unwrap();
    half.write_all(b"GET /bucket/key HTTP/1.1\r\nhost:").await.unwrap();
    let mut preface = TcpStream::connect(gateway.address()).await.unwrap();
    preface.write_all(b"PRI * HT").await.unwrap();
    let trickle = TcpStream::connect(gateway.address()).await.unwrap();
    let (reader, mut writer) = trickle.into_split();
    let dripping = tokio::spawn(async move {
        for byte in b"GET /bucket/key HTTP/1.1\r\nhost: h\r\nx-header-that-is-long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        panic!("a trickle was waited for");
    });
    for socket in [silent, half, preface] {
        assert!(closes(socket).await < Duration::from_secs(3));
    }
    drop(reader);
    dripping.await.unwrap();
    // Others were served meanwhile.
    let keys = gateway.session().await;
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
}

#[tokio::test]
async fn a_thousand_silent_connections_keep_nobody_else_out() {
    let gateway = Gateway::builder()
        .toml("[limits]\nmax_connections_per_address = 0\nheader_timeout = \"5s\"\n")
        .start()
        .await;
    let mut silent = Vec::new();
    for _ in 0..500 {
        silent.push(TcpStream::connect(gateway.address()).await.unwrap());
    }
    let keys = gateway.session().await;
    let started = Instant::now();
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    assert!(started.elapsed() < Duration::from_secs(3));
    drop(silent);
}

/// All of it happens in one thread, so what is counted does not depend on how fast the machine is.
#[tokio::test]
async fn those_who_are_connected_are_answered_before_a_crowd_that_comes_at_once() {
    let gateway = Gateway::builder().toml("[limits]\nmax_connections_per_address = 0\n").start().await;
    let keys = gateway.session().await;
    let head =
        String::from_utf8(call("GET", "/bucket/key").at(gateway.now()).sign(&keys, gateway.address()).head())
            .unwrap();
    let head = head.replace("connection: close\r\n", "");
    let mut connected = TcpStream::connect(gateway.address()).await.unwrap();
    let mut answer = [0; 12];
    connected.write_all(head.as_bytes()).await.unwrap();
    connected.read_exact(&mut answer).await.unwrap();

    let crowd: Vec<_> = (0..400)
        .map(|_| {
            let mut socket = std::net::TcpStream::connect(gateway.address()).unwrap();
            socket.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
            socket
        })
        .collect();
    connected.write_all(head.as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    while answers.windows(12).filter(|seen| seen == b"HTTP/1.1 200").count() < 1 {
        assert!(connected.read_buf(&mut answers).await.unwrap() > 0, "the connection has ended");
    }
    let answered = crowd
        .iter()
        .filter(|socket| {
            socket.set_nonblocking(true).unwrap();
            socket.peek(&mut [0]).is_ok_and(|seen| seen > 0)
        })
        .count();
    assert!(answered < crowd.len() / 3, "{answered} of {} were answered before it", crowd.len());
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    // Its time begins with the end of the reply, whatever the one for heads is.
    let limits = "[limits]\nheader_timeout = \"5s\"\nidle_timeout = \"400ms\"\n";
    let gateway = Gateway::builder().toml(limits).start().await;
    let keys = gateway.session().await;
    let head =
        String::from_utf8(call("GET", "/bucket/key").at(gateway.now()).sign(&keys, gateway.address()).head())
            .unwrap();
    let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
    socket.write_all(head.replace("connection: close\r\n", "").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let waited = closes(socket).await;
    assert!(waited > Duration::from_millis(200) && waited < Duration::from_secs(3), "{waited:?}");
}

#[tokio::test]
async fn an_upload_that_stalls_is_timed_out_and_leaves_no_object() {
    let gateway = Gateway::builder().toml(SHORT).start().await;
    let keys = gateway.session().await;
    let signed =
        call("PUT", "/bucket/key").body(vec![b'x'; 100_000]).at(gateway.now()).sign(&keys, gateway.address());
    let mut bytes = signed.head();
    bytes.extend_from_slice(&signed.call.body[..50_000]);
    let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
    socket.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ =
        tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await.expect("it ends");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("<Code>RequestTimeout</Code>"), "{answer}");
    assert!(gateway.backend().committed().is_empty());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    let gateway = Gateway::builder().toml(SHORT).start().await;
    let keys = gateway.session().await;
    gateway.backend().answers(|_| crate::support::Answer::new(200, vec![b'x'; 64 << 20]));
    let head = call("GET", "/bucket/key").at(gateway.now()).sign(&keys, gateway.address()).head();
    let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
    socket.write_all(&head).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // What was in the buffers of the system comes, and then the end. They are kept small: else such clients take megabytes each.
    let mut received = 0;
    let mut buffer = vec![0; 1 << 20];
    while let Ok(Ok(read)) = tokio::time::timeout(Duration::from_secs(5), socket.read(&mut buffer)).await {
        if read == 0 {
            break;
        }
        received += read;
    }
    assert!(received < 2 << 20, "{received}");
}

#[tokio::test]
async fn a_head_has_an_upper_size() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let get = || call("GET", "/bucket/key");
    let large = gateway.send(&keys, get().unsigned_header("x-padding", &"p".repeat(17 * 1024))).await;
    large.is_error(400, "RequestHeaderSectionTooLarge");
    let mut many = get();
    for index in 0..101 {
        many = many.unsigned_header(&format!("x-{index}"), "1");
    }
    let answer =
        raw_bytes(gateway.address(), &many.at(gateway.now()).sign(&keys, gateway.address()).head()).await;
    assert!(answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    let long =
        gateway.send(&keys, call("GET", "/bucket").query(&format!("prefix={}", "p".repeat(9 * 1024)))).await;
    assert_eq!(long.status, 414);
    let metadata = call("PUT", "/bucket/key").body("b").header("x-amz-meta-a", &"m".repeat(2048));
    gateway.send(&keys, metadata).await.is_error(400, "MetadataTooLarge");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn connections_have_an_upper_number() {
    let gateway = Gateway::builder().toml("[limits]\nmax_connections_per_address = 3\n").start().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(gateway.address()).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let refused = TcpStream::connect(gateway.address()).await.unwrap();
    assert!(closes(refused).await < Duration::from_secs(1));
    held.clear();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let keys = gateway.session().await;
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
}

#[tokio::test]
async fn requests_in_flight_have_an_upper_number() {
    let gateway = Gateway::builder().toml("[limits]\nmax_requests = 1\n").start().await;
    let keys = gateway.session().await;
    let signed =
        call("PUT", "/bucket/key").body(vec![b'x'; 10_000]).at(gateway.now()).sign(&keys, gateway.address());
    let mut slow = TcpStream::connect(gateway.address()).await.unwrap();
    slow.write_all(&signed.head()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let reply = gateway.send(&keys, call("GET", "/bucket/key")).await;
    reply.is_error(503, "SlowDown");
    assert!(reply.header("retry-after").is_some());
    // STS says it in its own words, and as its own.
    let login = gateway.sts(&gateway.alice(), &[("Action", "AssumeRole"), ("Version", "2011-06-15")]).await;
    login.is_error(503, "SlowDown");
    assert!(login.header("retry-after").is_some());
    assert!(login.text().contains("<ErrorResponse"), "{}", login.text());
    drop(slow);
    tokio::time::sleep(Duration::from_millis(100)).await;
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
}

#[tokio::test]
async fn logins_that_nobody_signed_leave_room_for_signed_requests() {
    let gateway = Gateway::builder().toml("[limits]\nmax_requests = 8\n").start().await;
    let keys = gateway.session().await;
    let login = format!(
        "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\nAction=",
        gateway.address()
    );
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut slow = TcpStream::connect(gateway.address()).await.unwrap();
        slow.write_all(login.as_bytes()).await.unwrap();
        held.push(slow);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    let refused = gateway.unsigned_sts("AssumeRoleWithCustomToken", &[]).await;
    refused.is_error(503, "SlowDown");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.text().contains("<ErrorResponse"), "{}", refused.text());
    drop(held);
    tokio::time::sleep(Duration::from_millis(100)).await;
    gateway.session().await;
}

#[tokio::test]
async fn a_body_that_must_be_read_has_an_upper_size() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let huge = "4294967296";
    for request in [
        call("POST", "/bucket").query("delete"),
        call("POST", "/bucket/key").query("uploadId=1"),
        call("PUT", "/bucket").query("tagging"),
    ] {
        let request = request.payload("UNSIGNED-PAYLOAD").header("content-length", huge);
        let reply = gateway.send(&keys, request).await;
        reply.is_error(400, "MaxMessageLengthExceeded");
    }
    let sts = call("POST", "/")
        .service("sts")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-length", huge)
        .body("a".repeat(70 * 1024));
    assert_eq!(gateway.send(&gateway.alice(), sts).await.status, 400);
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_second_request_behind_a_refused_body_is_not_read() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let mut wrong = keys.clone();
    wrong.secret.push('x');
    let first = call("PUT", "/bucket/key")
        .body(vec![b'x'; 200_000])
        .at(gateway.now())
        .sign(&wrong, gateway.address());
    let second = call("DELETE", "/bucket/key").at(gateway.now()).sign(&keys, gateway.address());
    let mut bytes =
        String::from_utf8(first.head()).unwrap().replace("connection: close\r\n", "").into_bytes();
    // The body that was announced does not come; a request comes in its place.
    bytes.extend_from_slice(&second.head());
    let answer = raw_bytes(gateway.address(), &bytes).await;
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_proxy_line_from_somebody_who_is_no_proxy_is_garbage() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let head =
        String::from_utf8(call("GET", "/bucket/key").at(gateway.now()).sign(&keys, gateway.address()).head())
            .unwrap();
    let answer =
        raw_bytes(gateway.address(), format!("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n{head}").as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_flood_of_wrong_signatures_fills_no_cache_and_keeps_nobody_out() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let mut flood = Vec::new();
    for index in 0..200 {
        let nobody = crate::support::Keys {
            access_key_id: format!("ASIANOBODY{index:010}"),
            secret: "x".into(),
            token: Some("A".repeat(300)),
        };
        let signed = call("GET", "/bucket/key").at(gateway.now()).sign(&nobody, gateway.address());
        let address = gateway.address();
        flood.push(tokio::spawn(async move { signed.send(address).await.status }));
    }
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    for answer in flood {
        assert_eq!(answer.await.unwrap(), 400);
    }
    assert_eq!(gateway.backend().requests().len(), 1);
}

#[tokio::test]
async fn an_origin_or_a_key_is_never_reflected_as_markup() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let preflight = "OPTIONS /bucket/key HTTP/1.1\r\nhost: h\r\norigin: null\r\naccess-control-request-method: PUT\r\nconnection: close\r\n\r\n";
    let answer = raw(gateway.address(), preflight.as_bytes()).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None));
    gateway.backend().answers(|_| {
        crate::support::Answer::new(404, "<Error><Code>NoSuchKey</Code><Message>m</Message></Error>")
    });
    let reply = gateway.send(&keys, call("GET", "/bucket/%3Cscript%3Ealert%281%29")).await;
    assert_eq!(reply.status, 404);
    assert!(!reply.text().contains("<script>"), "{}", reply.text());
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn a_gateway_that_stops_says_so_first_and_goes_on_for_the_drain_delay() {
    let limits = "[limits]\ndrain_delay = \"600ms\"\n[admin]\naddress = \"127.0.0.1:0\"\n";
    let gateway = Gateway::builder().toml(limits).start().await;
    let address = gateway.address();
    let started = Instant::now();
    let (stopping, admin) = gateway.shutdown();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let ask = |path| format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").into_bytes();
    let answer = text(raw_bytes(admin, &ask("/health/ready")).await);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("not ready: stopping\n"), "{answer}");
    // Whoever has not heard of it yet is answered, on a new connection too.
    let answer = text(raw_bytes(address, &ask("/data/x")).await);
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(started.elapsed() < Duration::from_millis(600), "this machine is too slow to tell");
    assert_eq!(stopping.await.unwrap().cut, 0);
    assert!(started.elapsed() >= Duration::from_millis(600));
    TcpStream::connect(address).await.unwrap_err();
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_still_sends_its_body() {
    let gateway = Gateway::start().await;
    for _ in 0..20 {
        let mut sent =
            b"PUT /bucket/key HTTP/1.1\r\nhost: gateway\r\ncontent-length: 2000000\r\n\r\n".to_vec();
        sent.resize(sent.len() + 2_000_000, b'x');
        // A connection that is reset would end this with an error, or without the answer.
        assert_eq!(raw(gateway.address(), &sent).await.status, 403);
    }
    gateway.backend().saw_nothing();
}
