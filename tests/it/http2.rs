//! HTTP/2, frame by frame: what a proper client never sends.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Gateway, Keys, call};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// HPACK: literals that are not indexed.
pub fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            // An integer of seven bits, continued.
            let mut length = text.len();
            if length < 127 {
                block.push(u8::try_from(length).unwrap());
            } else {
                block.push(127);
                length -= 127;
                while length >= 128 {
                    block.push(u8::try_from(length % 128).unwrap() | 128);
                    length /= 128;
                }
                block.push(u8::try_from(length).unwrap());
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// What came back.
#[derive(Debug, Default)]
struct Answer {
    /// By their first byte: 0x88 is `:status 200`.
    statuses: Vec<u8>,
    reset: bool,
    go_away: bool,
    closed: bool,
}

async fn converse(gateway: &Gateway, frames: &[Vec<u8>]) -> Answer {
    let socket = TcpStream::connect(gateway.address()).await.unwrap();
    let (mut reader, mut writer) = socket.into_split();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frames.concat());
    let writing = tokio::spawn(async move {
        let _ = writer.write_all(&bytes).await;
        writer
    });
    let mut answer = Answer::default();
    let reading = async {
        loop {
            let mut head = [0; 9];
            if reader.read_exact(&mut head).await.is_err() {
                answer.closed = true;
                return;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if reader.read_exact(&mut payload).await.is_err() {
                answer.closed = true;
                return;
            }
            match head[3] {
                HEADERS => answer.statuses.push(payload[0]),
                RST_STREAM => answer.reset = true,
                GOAWAY => answer.go_away = true,
                _ => {}
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(700), reading).await;
    drop(writing);
    answer
}

/// The head of a signed request as HTTP/2 has it.
pub fn signed(gateway: &Gateway, keys: &Keys, method: &str, body: &[u8]) -> Vec<(String, String)> {
    let signed = call(method, "/bucket/key").body(body).at(gateway.now()).sign(keys, gateway.address());
    let mut head = vec![
        (":method".to_owned(), method.to_owned()),
        (":scheme".to_owned(), "http".to_owned()),
        (":path".to_owned(), "/bucket/key".to_owned()),
        (":authority".to_owned(), gateway.address().to_string()),
    ];
    head.extend(signed.call.headers.into_iter().filter(|(name, _)| name != "host"));
    head
}

pub fn borrowed(head: &[(String, String)]) -> Vec<(&str, &str)> {
    head.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn a_signed_request_over_http2_is_verified_by_its_authority() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let head = signed(&gateway, &keys, "GET", b"");
    let get = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&borrowed(&head)));
    assert_eq!(converse(&gateway, &[get]).await.statuses, [0x88]);
    assert_eq!(gateway.backend().only_request().target, "/bucket/key");

    gateway.backend().forget();
    let mut other_host = head.clone();
    other_host.push(("host".into(), "other.example.org".into()));
    let get = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&borrowed(&other_host)));
    assert_eq!(converse(&gateway, &[get]).await.statuses, [0x8c]);
    let mut same_host = head.clone();
    same_host.push(("host".into(), gateway.address().to_string()));
    let get = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&borrowed(&same_host)));
    gateway.backend().saw_nothing();
    assert_eq!(converse(&gateway, &[get]).await.statuses, [0x88]);
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_its_content_length_is_no_object() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for sent in [&b"tex"[..], b"texts", b""] {
        let mut head = signed(&gateway, &keys, "PUT", b"text");
        head.push(("content-length".into(), "4".into()));
        let frames =
            [frame(HEADERS, END_HEADERS, 1, &block(&borrowed(&head))), frame(DATA, END_STREAM, 1, sent)];
        let answer = converse(&gateway, &frames).await;
        assert!(!answer.statuses.contains(&0x88), "{answer:?}");
        assert!(gateway.backend().committed().is_empty(), "{sent:?}");
    }
}

#[tokio::test]
async fn heads_that_http2_forbids_are_refused() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    for (name, value) in [
        ("connection", "x-amz-date"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("x-amz-meta-a", "1\r\nx-evil: 2"),
        ("X-Upper", "1"),
        ("x a", "1"),
        (":path", "/bucket/other"),
        (":unknown", "1"),
        ("te", "gzip"),
    ] {
        let mut head = signed(&gateway, &keys, "GET", b"");
        head.push((name.into(), value.into()));
        let get = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&borrowed(&head)));
        let answer = converse(&gateway, &[get]).await;
        assert!(name == "te" || !answer.statuses.contains(&0x88), "{name}: {answer:?}");
        if name == "te" {
            gateway.backend().forget();
        }
    }
    for path in ["bucket/key", "", "*", "http://other/bucket/key", "/bucket/key#fragment"] {
        let mut head = signed(&gateway, &keys, "GET", b"");
        head[2].1 = path.into();
        let get = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&borrowed(&head)));
        let answer = converse(&gateway, &[get]).await;
        assert!(path.ends_with("fragment") || !answer.statuses.contains(&0x88), "{path}: {answer:?}");
        if path.ends_with("fragment") {
            gateway.backend().forget();
        }
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn floods_of_frames_end_the_connection_and_nothing_else() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let head = signed(&gateway, &keys, "GET", b"");
    let get = block(&borrowed(&head));

    let rapid_reset: Vec<Vec<u8>> = (0..2000_u32)
        .flat_map(|index| {
            let stream = index * 2 + 1;
            [
                frame(HEADERS, END_HEADERS | END_STREAM, stream, &get),
                frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
            ]
        })
        .collect();
    let answer = converse(&gateway, &rapid_reset).await;
    assert!(answer.go_away || answer.closed, "{answer:?}");

    let mut continuation = vec![frame(HEADERS, END_STREAM, 1, &get)];
    continuation
        .extend((0..2000).map(|_| frame(CONTINUATION, 0, 1, &block(&[("x-padding", &"p".repeat(1000))]))));
    let answer = converse(&gateway, &continuation).await;
    assert!(answer.go_away || answer.closed || answer.reset, "{answer:?}");

    // One entry of the table, named thousands of times.
    let mut bomb = vec![0x40, 1, b'x', 127, 0x80 | 1, 30];
    bomb.truncate(3);
    bomb.extend_from_slice(&[126]);
    bomb.extend_from_slice(&[b'v'; 126]);
    bomb.extend(std::iter::repeat_n(0xbe, 12_000));
    let mut block_with_bomb = get.clone();
    block_with_bomb.extend(bomb);
    let answer = converse(&gateway, &[frame(HEADERS, END_HEADERS | END_STREAM, 1, &block_with_bomb)]).await;
    assert!(!answer.statuses.contains(&0x88), "{answer:?}");

    let pings: Vec<Vec<u8>> = (0..5000).map(|_| frame(PING, 0, 0, &[0; 8])).collect();
    converse(&gateway, &pings).await;
    let settings: Vec<Vec<u8>> = (0..5000).map(|_| frame(SETTINGS, 0, 0, &[])).collect();
    converse(&gateway, &settings).await;
    let put = signed(&gateway, &keys, "PUT", b"text");
    let mut empty = vec![frame(HEADERS, END_HEADERS, 1, &block(&borrowed(&put)))];
    empty.extend((0..5000).map(|_| frame(DATA, 0, 1, &[])));
    let answer = converse(&gateway, &empty).await;
    assert!(!answer.statuses.contains(&0x88), "{answer:?}");

    gateway.backend().forget();
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    assert_eq!(gateway.backend().requests().len(), 1);
}

/// The same request on so many streams, into which nothing may be sent.
async fn without_a_window(gateway: &Gateway, streams: u32, head: &[(&str, &str)]) -> TcpStream {
    with_a_window(gateway, 0, streams, head).await
}

/// The same request on so many streams, into each of which so many bytes may be sent.
async fn with_a_window(gateway: &Gateway, window: u8, streams: u32, head: &[(&str, &str)]) -> TcpStream {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, window]));
    for index in 0..streams {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, index * 2 + 1, &block(head)));
    }
    let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
    socket.write_all(&bytes).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    socket
}

async fn ends(mut socket: TcpStream) {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it is still open");
}

#[tokio::test]
async fn refusals_that_nobody_fetches_keep_nobody_out() {
    let limits = "[limits]\nmax_requests = 4\nstall_timeout = \"500ms\"\nidle_timeout = \"500ms\"\n";
    let gateway = Gateway::builder().toml(limits).start().await;
    let keys = gateway.session().await;
    let unsigned = [(":method", "GET"), (":scheme", "http"), (":path", "/bucket/key"), (":authority", "h")];
    let holding = without_a_window(&gateway, 20, &unsigned).await;
    gateway.backend().saw_nothing();
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    ends(holding).await;
}

#[tokio::test]
async fn objects_that_nobody_fetches_give_their_places_back_and_the_connection_ends() {
    objects_are_let_go(0, 8 << 20).await;
}

/// The HTTP library takes a whole piece for one byte of a window, and the body has ended for it.
#[tokio::test]
async fn objects_of_which_a_byte_is_fetched_are_let_go_like_those_of_which_nothing_is() {
    objects_are_let_go(1, 1000).await;
}

async fn objects_are_let_go(window: u8, size: usize) {
    let limits = "[limits]\nmax_requests = 4\nstall_timeout = \"700ms\"\nidle_timeout = \"500ms\"\n";
    let gateway = Gateway::builder().toml(limits).start().await;
    let keys = gateway.session().await;
    gateway.backend().answers(move |_| crate::support::Answer::new(200, vec![b'x'; size]));
    let head = signed(&gateway, &keys, "GET", b"");
    let holding = with_a_window(&gateway, window, 4, &borrowed(&head)).await;
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_error(503, "SlowDown");
    tokio::time::sleep(Duration::from_millis(900)).await;
    gateway.backend().answers(|_| crate::support::Answer::new(200, b"x".to_vec()));
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    ends(holding).await;
}

#[tokio::test]
async fn refusals_that_nobody_fetches_end_their_connection_however_many_requests_follow() {
    let limits = "[limits]\nstall_timeout = \"500ms\"\nidle_timeout = \"500ms\"\n";
    let gateway = Gateway::builder().toml(limits).start().await;
    let unsigned = [(":method", "GET"), (":scheme", "http"), (":path", "/bucket/key"), (":authority", "h")];
    for window in [0, 1] {
        let (mut reader, mut writer) = with_a_window(&gateway, window, 20, &unsigned).await.into_split();
        let asking = tokio::spawn(async move {
            for index in 20..100 {
                let head = frame(HEADERS, END_HEADERS | END_STREAM, index * 2 + 1, &block(&unsigned));
                if writer.write_all(&head).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let mut received = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(4), reader.read_to_end(&mut received)).await;
        assert!(read.is_ok(), "with a window of {window} it is still open");
        asking.abort();
    }
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_stranger_gets_little_of_a_long_path_back() {
    let gateway = Gateway::start().await;
    let path = format!("/bucket/{}", "&".repeat(7000));
    let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", gateway.address());
    let refused = crate::support::raw(gateway.address(), request.as_bytes()).await;
    refused.is_error(403, "AccessDenied");
    assert_eq!(refused.element("Resource").unwrap().len(), "/bucket/".len() + (1024 - 8) * "&amp;".len());
    gateway.backend().saw_nothing();
}

#[tokio::test]
async fn a_reply_that_nobody_takes_does_not_end_the_others_of_its_connection() {
    let gateway = Gateway::builder().toml("[limits]\nstall_timeout = \"500ms\"\n").start().await;
    let keys = gateway.session().await;
    gateway.backend().answers(|_| crate::support::Answer::new(200, vec![b'x'; 1 << 20]));
    let head = signed(&gateway, &keys, "GET", b"");
    let mut socket = without_a_window(&gateway, 2, &borrowed(&head)).await;
    // The window of stream 3 opens again and again; stream 1 waits for ever and is let go meanwhile.
    let (mut reader, mut writer) = socket.split();
    let opening = async {
        for _ in 0..18 {
            for stream in [0, 3] {
                writer.write_all(&frame(WINDOW_UPDATE, 0, stream, &65_536_u32.to_be_bytes())).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    };
    let mut received = Vec::new();
    let reading = tokio::time::timeout(Duration::from_millis(1500), reader.read_to_end(&mut received));
    let _ = tokio::join!(opening, reading);
    assert!(received.iter().filter(|byte| **byte == b'x').count() >= 1 << 20);
    // The answer to the next request is that there is none: the connection has said so.
    assert!(received.windows(9).any(|head| head[3] == GOAWAY && head[..3] == [0, 0, 8]));
}
