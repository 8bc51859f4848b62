//! Traces: what a client says of its trace reaches the storage; with the feature `otlp`, spans reach a collector.

use crate::support::{Gateway, call};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn a_trace_goes_on_to_the_storage_as_the_parent_of_what_it_does() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let request = call("GET", "/data/report")
        .header("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .header("tracestate", "vendor=opaque");
    assert_eq!(gateway.send(&keys, request).await.status, 200);
    let seen = gateway.backend().only_request();
    let parent = seen.header("traceparent").unwrap();
    assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-01"), "{parent}");
    assert!(!parent.contains("00f067aa0ba902b7"), "the storage is asked by us, not by the client: {parent}");
    assert_eq!(seen.header("tracestate"), Some("vendor=opaque"));
}

#[tokio::test]
async fn what_is_no_trace_goes_nowhere() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for header in ["traceparent", "tracestate"] {
        let request = call("GET", "/data/report").header(header, "00-not-a-trace");
        assert_eq!(gateway.send(&keys, request).await.status, 200);
    }
    assert_eq!(gateway.send(&keys, call("GET", "/data/report")).await.status, 200);
    for seen in gateway.backend().requests() {
        assert_eq!((seen.header("traceparent"), seen.header("tracestate")), (None, None));
    }
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_binary_that_cannot_send_spans_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daypass.toml");
    std::fs::write(&file, "[traces]\nendpoint = \"http://127.0.0.1:4318/v1/traces\"\n").unwrap();
    let problems = daypass::config::load(&file, &|_| None).unwrap_err().to_string();
    assert!(problems.contains("--features otlp"), "{problems}");
}

#[cfg(feature = "otlp")]
mod collector {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        sync::mpsc,
        time::Duration,
    };

    use super::*;

    /// Takes one export and gives its body.
    fn collector() -> (u16, mpsc::Receiver<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept() {
                let mut read = Vec::new();
                let mut buffer = [0; 16384];
                let body = loop {
                    let count = socket.read(&mut buffer).unwrap();
                    read.extend_from_slice(&buffer[..count]);
                    let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else {
                        continue;
                    };
                    let head = String::from_utf8(read[..end].to_vec()).unwrap().to_ascii_lowercase();
                    let length = head.split("content-length: ").nth(1).unwrap();
                    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
                    if read.len() >= end + 4 + length {
                        assert!(head.starts_with("post /v1/traces "), "{head}");
                        break read[end + 4..].to_vec();
                    }
                };
                socket
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .unwrap();
                let _ = sender.send(body);
            }
        });
        (port, receiver)
    }

    fn holds(body: &[u8], part: &[u8]) -> bool {
        body.windows(part.len()).any(|window| window == part)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn spans_of_a_sampled_trace_reach_the_collector_and_no_others() {
        let (port, exports) = collector();
        let traces = format!("[traces]\nendpoint = \"http://127.0.0.1:{port}/v1/traces\"\n");
        let gateway = Gateway::builder().toml(&traces).start().await;
        let keys = gateway.session().await;
        let sampled = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let other = "00-ffffffffffffffffffffffffffffffff-00f067aa0ba902b7-00";
        // A stranger's wish does not count.
        let stranger = "00-eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee-00f067aa0ba902b7-01";
        let forger = crate::support::Keys { secret: "not the secret".to_owned(), ..keys.clone() };
        let request = call("GET", "/data/report").header("traceparent", stranger);
        assert_eq!(gateway.send(&forger, request).await.status, 403);
        for parent in [sampled.as_str(), other] {
            let request = call("GET", "/data/report").header("traceparent", parent);
            assert_eq!(gateway.send(&keys, request).await.status, 200);
        }
        let body = tokio::task::spawn_blocking(move || exports.recv_timeout(Duration::from_secs(20)));
        let body = body.await.unwrap().unwrap();
        let id = hex::decode(TRACE).unwrap();
        assert_eq!(body.windows(16).filter(|window| *window == id).count(), 2, "ours and the backend's");
        // Field 4 of a span is its parent (opentelemetry/proto/trace/v1/trace.proto).
        assert!(holds(&body, &[&[0x22, 8][..], &hex::decode("00f067aa0ba902b7").unwrap()].concat()));
        let asked = gateway.backend().requests();
        let span = asked[0].header("traceparent").unwrap().split('-').nth(2).unwrap();
        // Field 2 is its own id.
        assert!(holds(&body, &[&[0x12, 8][..], &hex::decode(span).unwrap()].concat()));
        assert!(holds(&body, b"GetObject") && holds(&body, b"aws.s3.bucket"));
        assert!(
            !holds(&body, keys.token.as_ref().unwrap().as_bytes()) && !holds(&body, keys.secret.as_bytes())
        );
        assert!(!holds(&body, &[0xff; 16]), "not sampled");
        assert!(!holds(&body, &[0xee; 16]), "not proven");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_share_of_the_others_is_traced_too() {
        let (port, exports) = collector();
        let traces =
            format!("[traces]\nendpoint = \"http://127.0.0.1:{port}/v1/traces\"\nsample = \"100%\"\n");
        let gateway = Gateway::builder().toml(&traces).start().await;
        gateway.session().await;
        let body = tokio::task::spawn_blocking(move || exports.recv_timeout(Duration::from_secs(20)));
        assert!(holds(&body.await.unwrap().unwrap(), b"AssumeRole"));
    }
}
