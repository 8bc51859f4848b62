//! A whole request: a client that writes bytes, the gateway, a storage that answers with bytes. All three live in one thread; client
//! and storage are a few reads and writes. The log line and the audit log are in one of them alone.

use std::{net::SocketAddr, sync::Arc};

use daypass::{
    app,
    clock::ManualClock,
    telemetry::log::{self, Format, Level},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::world::{self, NOW, World};

const KIB: usize = 1024;

pub(crate) fn get(world: &World, runs: usize) {
    run(&world.wire("GET", 0), &one_kib(), "", runs);
}

/// The same with its line in the log and in the audit log.
pub(crate) fn logged_get(world: &World, runs: usize) {
    let _lines = log::install(Format::default(), Level::Info);
    run(&world.wire("GET", 0), &one_kib(), "[audit]\nfile = \"/dev/null\"", runs);
}

pub(crate) fn put(world: &World, runs: usize) {
    run(&world.wire("PUT", KIB), "content-length: 0\r\n\r\n", "", runs);
}

fn one_kib() -> String {
    format!("content-length: {KIB}\r\n\r\n{}", "x".repeat(KIB))
}

fn run(request: &[u8], rest: &str, more: &str, runs: usize) {
    let answer =
        format!("HTTP/1.1 200 OK\r\netag: \"0123456789abcdef0123456789abcdef\"\r\n{rest}").into_bytes();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let storage = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = world::configuration(&format!("http://{}", storage.local_addr().unwrap()), more);
        tokio::spawn(serve(storage, answer));
        let running = app::start(config, None, Arc::new(ManualClock::at(NOW))).await.unwrap();
        ask(running.address(), request, runs).await;
    });
}

/// Answers the same to whatever comes.
async fn serve(listener: TcpListener, answer: Vec<u8>) {
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let answer = answer.clone();
        tokio::spawn(async move {
            let mut buffer = Vec::with_capacity(64 * KIB);
            while take(&mut socket, &mut buffer).await.is_some() {
                socket.write_all(&answer).await.unwrap();
            }
        });
    }
}

async fn ask(gateway: SocketAddr, request: &[u8], runs: usize) {
    let mut socket = TcpStream::connect(gateway).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let mut buffer = Vec::with_capacity(64 * KIB);
    for _ in 0..runs {
        socket.write_all(request).await.unwrap();
        let head = take(&mut socket, &mut buffer).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
}

/// Reads one message whole and gives its head; `None`: there are no more.
async fn take(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    buffer.clear();
    loop {
        if socket.read_buf(buffer).await.unwrap() == 0 {
            return None;
        }
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let body = length.map_or(0, |length| length.parse().unwrap());
        while buffer.len() < end + 4 + body {
            assert!(socket.read_buf(buffer).await.unwrap() > 0, "the connection was closed within a message");
        }
        return Some(String::from_utf8_lossy(&buffer[..end]).into_owned());
    }
}
