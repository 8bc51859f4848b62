//! A storage that fails in the middle of something: what the client is told, and that nothing is written twice.

use std::time::{Duration, Instant};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{
    Answer, Call, Gateway, Keys, Reply, call, raw_bytes,
    storage::{Spoken, Storage},
};

const STORED: &str = "HTTP/1.1 200 OK\r\netag: \"0\"\r\ncontent-length: 0\r\n\r\n";

async fn before(storage: &Storage) -> (Gateway, Keys) {
    let gateway = Gateway::builder()
        .backend_addresses(&[storage.address()])
        .backend_lines("first_byte_timeout = \"1s\"")
        .start()
        .await;
    let keys = gateway.session().await;
    (gateway, keys)
}

fn put(bytes: usize) -> Call {
    call("PUT", "/bucket/key").body(vec![b'x'; bytes])
}

#[track_caller]
fn is_away(reply: &Reply) {
    reply.is_error(503, "ServiceUnavailable");
    assert!(reply.header("retry-after").is_some());
}

/// How many requests of a kind the storage saw.
fn seen(storage: &Storage, method: &str) -> usize {
    storage.heads().iter().filter(|head| head.starts_with(method)).count()
}

#[tokio::test]
async fn a_storage_that_never_answers_is_given_up_in_time_and_asked_once() {
    let storage = Storage::start(|mut spoken: Spoken| async move {
        while spoken.head().await.is_some() {
            spoken.body(1000).await;
        }
        std::future::pending::<()>().await;
    })
    .await;
    let (gateway, keys) = before(&storage).await;
    for (method, sent) in [("GET", call("GET", "/bucket/key")), ("PUT", put(1000))] {
        let began = Instant::now();
        is_away(&gateway.send(&keys, sent).await);
        let took = began.elapsed();
        assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&took), "{method}: {took:?}");
        assert_eq!(seen(&storage, method), 1);
    }
}

#[tokio::test]
async fn a_reset_in_the_middle_of_an_upload_is_no_second_write() {
    for after in [0, 1, 100_000] {
        let storage = Storage::start(move |mut spoken: Spoken| async move {
            spoken.head().await;
            spoken.body(after).await;
            spoken.reset();
        })
        .await;
        let (gateway, keys) = before(&storage).await;
        is_away(&gateway.send(&keys, put(1_000_000)).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!((storage.heads().len(), storage.connections()), (1, 1), "after {after} bytes");
    }
}

#[tokio::test]
async fn a_pooled_connection_that_ends_as_an_upload_begins_is_no_second_write() {
    // It takes the first request and ends with the head, or a byte of the body, of the second.
    for after in [0, 1] {
        let storage = Storage::start(move |mut spoken: Spoken| async move {
            if spoken.number > 0 {
                return spoken.answer_all().await;
            }
            spoken.head().await;
            spoken.say(STORED).await;
            spoken.head().await;
            spoken.body(after).await;
            spoken.reset();
        })
        .await;
        let (gateway, keys) = before(&storage).await;
        gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
        is_away(&gateway.send(&keys, put(1_000_000)).await);
        assert_eq!((seen(&storage, "PUT"), storage.connections()), (1, 1));
        // Nothing of it is left over for the next one.
        gateway.send(&keys, put(10)).await.is_ok();
        assert_eq!((seen(&storage, "PUT"), storage.connections()), (2, 2));
    }
}

#[tokio::test]
async fn a_pooled_connection_that_ended_before_an_upload_costs_nothing_and_is_one_write() {
    // The end of the connection and the upload race: in any order there is one write, and no more than one.
    for pause in [0, 1, 2, 5, 20] {
        let storage = Storage::start(|mut spoken: Spoken| async move {
            if spoken.number > 0 {
                return spoken.answer_all().await;
            }
            spoken.head().await;
            spoken.say(STORED).await;
            let _ = spoken.socket.shutdown().await;
            // What still comes is seen.
            while spoken.head().await.is_some() {
                spoken.body(1000).await;
            }
        })
        .await;
        let (gateway, keys) = before(&storage).await;
        gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let reply = gateway.send(&keys, put(1000)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(reply.status == 200 || reply.status == 503, "{}", reply.text());
        let writes = seen(&storage, "PUT");
        assert!(writes <= 1 && (reply.status == 503 || writes == 1), "{:?}", storage.heads());
    }
}

#[tokio::test]
async fn a_download_that_breaks_off_never_ends_cleanly() {
    for framing in ["content-length: 100", "transfer-encoding: chunked"] {
        let storage = Storage::start(move |mut spoken: Spoken| async move {
            spoken.head().await;
            spoken.say(&format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n5\r\nhello\r\n")).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            // Also a clean end of the connection is none of the object.
            if spoken.number.is_multiple_of(2) {
                spoken.reset();
            }
        })
        .await;
        let (gateway, keys) = before(&storage).await;
        for _ in 0..2 {
            let signed = call("GET", "/bucket/key").at(gateway.now()).sign(&keys, gateway.address());
            let answer = raw_bytes(gateway.address(), &signed.head()).await;
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(body.contains("hello"), "{answer}");
            if head.contains("content-length: 100") {
                assert!(body.len() < 100);
            } else {
                assert!(
                    head.contains("transfer-encoding: chunked") && !body.ends_with("0\r\n\r\n"),
                    "{answer}"
                );
            }
        }
    }
}

/// Sends the head and a part of the body, and reads the answer while the rest is still to come.
async fn half_an_upload(gateway: &Gateway, keys: &Keys) -> (Reply, TcpStream) {
    use tokio::io::AsyncReadExt as _;
    let signed = put(1_000_000).payload("UNSIGNED-PAYLOAD").at(gateway.now()).sign(keys, gateway.address());
    let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
    socket.write_all(&signed.head()).await.unwrap();
    socket.write_all(&signed.call.body[..300_000]).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.windows(8).any(|window| window == b"</Error>") {
        let read = tokio::time::timeout(Duration::from_secs(5), socket.read(&mut buffer)).await;
        let read = read.expect("an answer").unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..read]);
    }
    (crate::support::parse_reply(&answer), socket)
}

#[tokio::test]
async fn an_answer_while_the_client_still_sends_is_passed_on_and_ends_the_connection() {
    for (status, code, shown) in [
        ("403 Forbidden", "AccessDenied", 403),
        ("507 Insufficient Storage", "XMinioStorageFull", 507),
        ("503 Slow Down", "SlowDown", 503),
    ] {
        let storage = Storage::start(move |mut spoken: Spoken| async move {
            spoken.head().await;
            if spoken.number > 0 {
                return spoken.say(STORED).await;
            }
            let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
            spoken.say(&format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
            spoken.body(2_000_000).await;
        })
        .await;
        let (gateway, keys) = before(&storage).await;
        let (reply, socket) = half_an_upload(&gateway, &keys).await;
        reply.is_error(shown, code);
        // Over another connection, while that one is still open.
        gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
        assert_eq!((seen(&storage, "PUT"), seen(&storage, "GET"), storage.connections()), (1, 1, 2));
        drop(socket);
    }
}

#[tokio::test]
async fn a_storage_that_asks_to_slow_down_is_passed_on_with_the_time_it_gives_and_stays_up() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let body = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    for after in [Some("7"), None] {
        gateway.backend().answers(move |_| {
            let answer = Answer::new(503, body);
            after.map_or(answer.clone(), |after| answer.header("retry-after", after))
        });
        for _ in 0..6 {
            let reply = gateway.send(&keys, call("GET", "/bucket/key")).await;
            reply.is_error(503, "SlowDown");
            assert_eq!(reply.header("retry-after"), after);
            let reply = gateway.send(&keys, call("HEAD", "/bucket/key")).await;
            assert_eq!((reply.status, reply.header("retry-after")), (503, after));
        }
    }
    // Asked once for each request, and still asked.
    assert_eq!(gateway.backend().requests().len(), 24);
}

#[tokio::test]
async fn an_answer_that_is_none_is_not_asked_for_again() {
    let storage = Storage::start(|mut spoken: Spoken| async move {
        spoken.head().await;
        spoken.say("SSH-2.0-OpenSSH_9.6\r\n\r\n").await;
    })
    .await;
    let (gateway, keys) = before(&storage).await;
    is_away(&gateway.send(&keys, call("GET", "/bucket/key")).await);
    assert_eq!(storage.heads().len(), 1);
}

/// Whoever may write could eject the storage for everybody else.
#[tokio::test]
async fn clients_that_send_nothing_are_no_failure_of_the_storage() {
    let gateway = Gateway::builder()
        .backend_lines("first_byte_timeout = \"400ms\"")
        .toml("[limits]\nstall_timeout = \"1s\"\n[admin]\naddress = \"127.0.0.1:0\"\n")
        .start()
        .await;
    let keys = gateway.session().await;
    let silent = || async {
        let mut signed = put(1000).at(gateway.now()).sign(&keys, gateway.address());
        signed.call.body.truncate(10);
        signed.call.content_length = Some(1000);
        signed.send(gateway.address()).await
    };
    for reply in futures_util::future::join_all([silent(), silent(), silent(), silent()]).await {
        reply.is_error(400, "RequestTimeout");
    }
    let page = gateway.admin("GET", "/metrics", None, "").await.text();
    assert!(page.contains("daypass_backend_errors_total{kind=\"timeout\"} 0"), "{page}");
    assert!(
        page.contains(&format!(
            "daypass_backend_endpoint_up{{endpoint=\"{}\"}} 1",
            gateway.backend().address()
        ))
    );
    assert!(gateway.backend().committed().is_empty());
    gateway.send(&keys, put(10)).await.is_ok();
}

async fn is_up(gateway: &Gateway, address: std::net::SocketAddr) -> bool {
    let page = gateway.admin("GET", "/metrics", None, "").await.text();
    page.contains(&format!("daypass_backend_endpoint_up{{endpoint=\"{address}\"}} 1"))
}

/// Sent with a pause in the middle of the body.
async fn slowly(gateway: &Gateway, keys: &Keys, sent: Call, pause: Duration) -> Reply {
    use tokio::io::AsyncReadExt as _;
    let signed = sent.at(gateway.now()).sign(keys, gateway.address());
    let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
    socket.write_all(&signed.head()).await.unwrap();
    let (first, rest) = signed.call.body.split_at(signed.call.body.len() / 2);
    socket.write_all(first).await.unwrap();
    tokio::time::sleep(pause).await;
    socket.write_all(rest).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    crate::support::parse_reply(&answer)
}

const TAGS: &str = "<Tagging><TagSet><Tag><Key>project</Key><Value>daypass</Value></Tag></TagSet></Tagging>";

#[tokio::test]
async fn clients_that_send_their_documents_slowly_are_no_failure_of_the_storage() {
    // It answers after a while, as it may.
    let storage = Storage::start(|mut spoken: Spoken| async move {
        while let Some(head) = spoken.head().await {
            let length = crate::support::storage::header(&head, "content-length").unwrap().parse().unwrap();
            spoken.body(length).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            spoken.say(STORED).await;
        }
    })
    .await;
    let gateway = Gateway::builder()
        .backend_addresses(&[storage.address()])
        .backend_lines("first_byte_timeout = \"600ms\"")
        .toml("[admin]\naddress = \"127.0.0.1:0\"\n")
        .start()
        .await;
    let keys = gateway.session().await;
    let tags = || {
        slowly(
            &gateway,
            &keys,
            call("PUT", "/bucket/key").query("tagging=").body(TAGS),
            Duration::from_secs(1),
        )
    };
    for reply in futures_util::future::join_all([tags(), tags(), tags(), tags()]).await {
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert!(is_up(&gateway, storage.address()).await);
}

#[tokio::test]
async fn slow_operations_that_end_together_eject_no_address_that_answers_others() {
    let storage = Storage::start(|mut spoken: Spoken| async move {
        while let Some(head) = spoken.head().await {
            if head.contains("/bucket/slow") {
                std::future::pending::<()>().await;
            }
            spoken.say(STORED).await;
        }
    })
    .await;
    let gateway = Gateway::builder()
        .backend_addresses(&[storage.address()])
        .backend_lines("first_byte_timeout = \"1s\"")
        .toml("[admin]\naddress = \"127.0.0.1:0\"\n")
        .start()
        .await;
    let keys = gateway.session().await;
    let slow = || gateway.send(&keys, call("DELETE", "/bucket/slow"));
    let quick = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    };
    let (slow, ()) = tokio::join!(futures_util::future::join_all([slow(), slow(), slow(), slow()]), quick);
    slow.iter().for_each(is_away);
    assert!(is_up(&gateway, storage.address()).await);
}

#[tokio::test]
async fn documents_that_the_storage_refuses_before_their_end_eject_no_address() {
    let storage = Storage::start(|mut spoken: Spoken| async move {
        spoken.head().await;
        spoken.reset();
    })
    .await;
    let gateway = Gateway::builder()
        .backend_addresses(&[storage.address()])
        .toml("[admin]\naddress = \"127.0.0.1:0\"\n")
        .start()
        .await;
    let keys = gateway.session().await;
    for _ in 0..4 {
        is_away(&gateway.send(&keys, call("PUT", "/bucket/key").query("tagging=").body(TAGS)).await);
    }
    assert_eq!(storage.heads().len(), 4);
    assert!(is_up(&gateway, storage.address()).await);
}
