//! A defect that one request meets ends that request and nothing else.

use std::{
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use daypass::{
    clock::{Clock, ManualClock, Timestamp},
    telemetry::panics,
};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::support::{Answer, Backend, Gateway, Keys, NOW, call, storage::Storage};

/// A clock that breaks once, when it is told to.
#[derive(Debug)]
struct Broken {
    clock: Arc<ManualClock>,
    breaks: AtomicBool,
}

const SECRET: &str = "a-secret-that-the-code-had-in-hand";

impl Clock for Broken {
    fn now(&self) -> Timestamp {
        assert!(!self.breaks.swap(false, Ordering::Relaxed), "{SECRET}");
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// As the program has it, for panics of this file alone: other tests say what failed.
fn report_as_the_program_does() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let is_injected = info.payload_as_str() == Some(SECRET);
            if is_injected { panics::report(info) } else { before(info) }
        }));
    });
}

async fn start() -> (Gateway, Arc<Broken>) {
    report_as_the_program_does();
    let clock = Arc::new(ManualClock::at(NOW));
    let broken = Arc::new(Broken { clock: clock.clone(), breaks: AtomicBool::new(false) });
    let builder = Gateway::builder().toml("[admin]\naddress = \"127.0.0.1:0\"\n[limits]\nmax_requests = 4\n");
    let gateway = builder.start_with_clock(Backend::start().await, clock, broken.clone()).await;
    (gateway, broken)
}

async fn page(gateway: &Gateway) -> String {
    gateway.admin("GET", "/metrics", None, "").await.text()
}

#[tokio::test]
async fn a_panic_is_an_internal_error_of_its_request_and_the_next_one_is_answered() {
    let (gateway, broken) = start().await;
    let keys = gateway.session().await;
    let before = panics::count();
    // More often than there are places: each is given back.
    for round in 0..6 {
        broken.breaks.store(true, Ordering::Relaxed);
        let reply = match round {
            0 => {
                gateway
                    .sts(&gateway.alice(), &[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")])
                    .await
            }
            _ => gateway.send(&keys, call("GET", "/bucket/key")).await,
        };
        reply.is_error(500, "InternalError");
        assert!(reply.element("RequestId").is_some_and(|id| reply.header("x-amz-request-id") == Some(&id)));
        assert!(!reply.text().contains(SECRET) && !reply.text().contains("panic"));
        gateway.backend().saw_nothing();
    }
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    assert!(panics::count() >= before + 6);
    let page = page(&gateway).await;
    assert!(page.contains("\ndaypass_requests_in_flight 0\n"), "{page}");
    let counted = page.lines().find_map(|line| line.strip_prefix("daypass_panics_total ")).unwrap();
    assert!(counted.parse::<f64>().unwrap() >= 6.0, "{counted}");
}

fn over_http2(gateway: &Gateway, keys: &Keys, path: &str) -> Request<Empty<Bytes>> {
    let signed = call("GET", path).at(gateway.now()).sign(keys, gateway.address());
    let mut request = Request::get(format!("http://{}{path}", gateway.address()));
    for (name, value) in signed.call.headers.iter().filter(|(name, _)| name != "host") {
        request = request.header(name, value);
    }
    request.body(Empty::new()).unwrap()
}

async fn connect(gateway: &Gateway) -> http2::SendRequest<Empty<Bytes>> {
    let socket = TcpStream::connect(gateway.address()).await.unwrap();
    let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_other_streams_of_a_connection_go_on_after_a_panic() {
    let (gateway, broken) = start().await;
    let keys = gateway.session().await;
    gateway.backend().answers(|request| {
        if request.target.ends_with("slow") {
            std::thread::sleep(Duration::from_millis(600));
        }
        Answer::new(200, "the text")
    });
    let client = connect(&gateway).await;
    let slow = tokio::spawn({
        let (mut client, request) = (client.clone(), over_http2(&gateway, &keys, "/bucket/slow"));
        async move { client.send_request(request).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    broken.breaks.store(true, Ordering::Relaxed);
    let mut client = client;
    let failed = client.send_request(over_http2(&gateway, &keys, "/bucket/key")).await.unwrap();
    assert_eq!(
        (failed.status().as_u16(), failed.headers()[header::CONTENT_TYPE].as_bytes()),
        (500, &b"application/xml"[..])
    );
    assert!(text(failed).await.contains("<Code>InternalError</Code>"));
    let slow = slow.await.unwrap().unwrap();
    assert_eq!((slow.status().as_u16(), text(slow).await.as_str()), (200, "the text"));
    let next = client.send_request(over_http2(&gateway, &keys, "/bucket/key")).await.unwrap();
    assert_eq!((next.status().as_u16(), text(next).await.as_str()), (200, "the text"));
}

/// R03: over HTTP/2 a download that breaks off ends with a reset, not with an end.
#[tokio::test]
async fn a_download_that_breaks_off_is_a_reset_stream_and_the_connection_lives() {
    for framing in ["content-length: 100", "transfer-encoding: chunked"] {
        let storage = Storage::start(move |mut spoken| async move {
            spoken.head().await;
            spoken.say(&format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n5\r\nhello\r\n")).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            spoken.reset();
        })
        .await;
        let gateway = Gateway::builder().backend_addresses(&[storage.address()]).start().await;
        let keys = gateway.session().await;
        let mut client = connect(&gateway).await;
        for _ in 0..2 {
            let reply = client.send_request(over_http2(&gateway, &keys, "/bucket/key")).await.unwrap();
            assert_eq!(reply.status(), 200);
            let ended = reply.into_body().collect().await.map(|_| ());
            assert!(ended.is_err(), "{framing}: a clean end");
        }
    }
}

#[test]
fn no_profile_ends_the_process_on_a_panic() {
    assert!(!include_str!("../../Cargo.toml").contains("panic ="));
}
