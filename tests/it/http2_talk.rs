//! HTTP/2 connections that talk and ask for little: what they cost others, and when they end.

use std::{
    io::{Read, Write},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    http2::{
        DATA, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, WINDOW_UPDATE, block, borrowed, frame, signed,
    },
    support::{Answer, Gateway, call},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn opened(frames: &[Vec<u8>]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frames.concat()].concat()
}

/// How much of it the other end takes before it closes; nothing if it does not close.
async fn taken_before_it_closes(gateway: &Gateway, opening: Vec<u8>, talk: Vec<u8>) -> Option<usize> {
    let socket = TcpStream::connect(gateway.address()).await.unwrap();
    let (mut reader, mut writer) = socket.into_split();
    let talking = async {
        writer.write_all(&opening).await.unwrap();
        // The request has begun.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut taken = 0;
        while taken < 64 << 20 {
            if writer.write_all(&talk).await.is_err() {
                return Some(taken);
            }
            taken += talk.len();
        }
        None
    };
    let swallowing = async {
        let mut swallowed = vec![0; 65536];
        while reader.read(&mut swallowed).await.is_ok_and(|read| read > 0) {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        taken = talking => taken,
        () = swallowing => None,
        () = tokio::time::sleep(Duration::from_secs(20)) => None,
    }
}

#[tokio::test]
async fn a_connection_that_talks_and_asks_for_nothing_is_ended() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let head = signed(&gateway, &keys, "PUT", b"text");
    // One that waits for its body for ever, as it looks.
    let put = opened(&[frame(HEADERS, END_HEADERS, 1, &block(&borrowed(&head)))]);
    for opening in [opened(&[]), put] {
        for (kind, stream, payload) in [
            (SETTINGS, 0, &[][..]),
            (PING, 0, &[0; 8]),
            (WINDOW_UPDATE, 0, &[0, 0, 0, 1]),
            // PRIORITY, and one that no document knows.
            (2, 3, &[0, 0, 0, 0, 1]),
            (0xbe, 0, &[0; 100]),
        ] {
            let talk = frame(kind, 0, stream, payload).repeat(1000);
            let taken = taken_before_it_closes(&gateway, opening.clone(), talk).await;
            // What the system's buffers take counts.
            assert!(taken.is_some_and(|taken| taken < 16 << 20), "{kind}: {taken:?}");
        }
    }
    assert!(gateway.backend().committed().is_empty());
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
}

#[tokio::test]
async fn clients_that_open_the_window_often_and_ask_whether_we_live_are_served_to_the_end() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let size = 8 << 20;
    gateway.backend().answers(move |_| Answer::new(200, vec![b'x'; size]));
    let head = signed(&gateway, &keys, "GET", b"");
    let socket = TcpStream::connect(gateway.address()).await.unwrap();
    let (mut reader, mut writer) = socket.into_split();
    let get = opened(&[frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&borrowed(&head)))]);
    writer.write_all(&get).await.unwrap();
    let mut body = 0;
    let mut talked = 0;
    while body < size {
        let mut head = [0; 9];
        reader.read_exact(&mut head).await.unwrap();
        let mut payload =
            vec![0; usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap()];
        reader.read_exact(&mut payload).await.unwrap();
        if head[3] != DATA {
            continue;
        }
        body += payload.len();
        let mut frames = frame(PING, 0, 0, &[0; 8]);
        for piece in payload.chunks(512) {
            let increment = u32::try_from(piece.len()).unwrap().to_be_bytes();
            frames.extend([0, 1].map(|stream| frame(WINDOW_UPDATE, 0, stream, &increment)).concat());
        }
        writer.write_all(&frames).await.unwrap();
        talked += frames.len();
    }
    assert!(talked > 256 << 10, "{talked} bytes were talked");
}

#[tokio::test]
async fn a_body_that_is_refused_on_its_way_does_not_end_its_connection() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    let socket = TcpStream::connect(gateway.address()).await.unwrap();
    let (mut reader, mut writer) = socket.into_split();
    let unsigned = [(":method", "PUT"), (":scheme", "http"), (":path", "/bucket/key"), (":authority", "h")];
    // As much as the window of a stream lets through. The library itself bounds frames that are smaller.
    let mut frames = vec![frame(HEADERS, END_HEADERS, 1, &block(&unsigned))];
    frames.extend((0..1024).map(|_| frame(DATA, 0, 1, &[b'x'; 256])));
    writer.write_all(&opened(&frames)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    gateway.backend().saw_nothing();
    let head = signed(&gateway, &keys, "GET", b"");
    let get = frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(&borrowed(&head)));
    writer.write_all(&get).await.unwrap();
    let answered = async {
        let mut received = Vec::new();
        // HEADERS of stream 3, `:status 200`.
        while !received.windows(10).any(|seen| seen[3] == HEADERS && seen[5..] == [0, 0, 0, 3, 0x88]) {
            assert!(reader.read_buf(&mut received).await.unwrap() > 0, "the connection has ended");
        }
    };
    tokio::time::timeout(Duration::from_secs(5), answered).await.unwrap();
}

/// All of it happens in one thread, so what is counted does not depend on how fast the machine is.
#[tokio::test]
async fn one_who_asks_is_answered_before_all_who_talk_have_been_heard_out() {
    let gateway = Gateway::start().await;
    let keys = gateway.session().await;
    // Once before, so that the connection to the storage is there.
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    // Less than a connection may talk.
    let settings = 6000;
    let flood = opened(&vec![frame(SETTINGS, 0, 0, &[]); settings]);
    let mut talking = Vec::new();
    for _ in 0..32 {
        let mut socket = std::net::TcpStream::connect(gateway.address()).unwrap();
        socket.write_all(&flood).unwrap();
        talking.push(socket);
    }
    gateway.send(&keys, call("GET", "/bucket/key")).await.is_ok();
    let mut acknowledged = 0;
    for socket in &mut talking {
        socket.set_nonblocking(true).unwrap();
        let mut received = Vec::new();
        let _ = socket.read_to_end(&mut received);
        acknowledged += received.len() / 9;
    }
    let all = settings * talking.len();
    assert!(acknowledged < all / 2, "{acknowledged} of {all} frames were answered before the request");
}
