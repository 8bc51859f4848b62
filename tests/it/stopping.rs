//! The program is told to stop, or is killed, while transfers are under way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use daypass::clock::{Clock as _, SystemClock};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Gateway, Keys, call, process::Program};

const HALF: usize = 128 * 1024;

/// An upload whose second half has not been sent yet.
async fn half_an_upload(program: &Program, keys: &Keys, path: &str) -> TcpStream {
    let whole = vec![b'x'; 2 * HALF];
    let signed = call("PUT", path).body(whole).at(SystemClock.now()).sign(keys, program.address());
    let mut socket = TcpStream::connect(program.address()).await.unwrap();
    socket.write_all(&signed.head()).await.unwrap();
    socket.write_all(&signed.call.body[..HALF]).await.unwrap();
    for _ in 0..500 {
        if program
            .backend()
            .requests()
            .iter()
            .any(|request| request.target == path && !request.body.is_empty())
        {
            return socket;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the storage hears nothing of it: {}", program.log().text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_termination_under_load_no_short_request_fails_and_what_does_not_end_is_cut_and_counted() {
    let limits = "[limits]\ndrain_delay = \"800ms\"\ndrain_timeout = \"2s\"\n";
    let program = Arc::new(Gateway::builder().toml(limits).spawn().await);
    let session = Arc::new(program.session().await);
    let mut ends = half_an_upload(&program, &session, "/data/ends").await;
    let mut never = half_an_upload(&program, &session, "/data/never").await;
    let told = Arc::new(tokio::sync::OnceCell::<Instant>::new());
    let asking = (0..4).map(|_| {
        let (program, session, told) = (program.clone(), session.clone(), told.clone());
        tokio::spawn(async move {
            let mut answered = 0;
            // A balancer has noticed by then.
            while told.get().is_none_or(|at| at.elapsed() < Duration::from_millis(400)) {
                program.send(&session, call("GET", "/data/x")).await.is_ok();
                answered += 1;
            }
            answered
        })
    });
    let asking: Vec<_> = asking.collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    program.signal(Signal::TERM);
    told.set(Instant::now()).unwrap();
    for asked in asking {
        assert!(asked.await.unwrap() > 0);
    }
    program.log().line_with("no new connections").await;
    ends.write_all(&vec![b'x'; HALF]).await.unwrap();
    let mut answer = Vec::new();
    ends.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    let mut answer = Vec::new();
    let cut = never.read_to_end(&mut answer).await;
    assert!(cut.is_err() || !answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    let committed: Vec<String> =
        program.backend().committed().into_iter().map(|request| request.target).collect();
    assert!(committed.contains(&"/data/ends".to_owned()) && !committed.contains(&"/data/never".to_owned()));
    let ended = Arc::into_inner(program).unwrap().ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(ended.log.contains("cut=1"), "{}", ended.log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_uploads_leaves_no_object() {
    let program = Gateway::builder().spawn().await;
    let session = program.session().await;
    let mut sockets = Vec::new();
    for number in 0..5 {
        sockets.push(half_an_upload(&program, &session, &format!("/data/{number}")).await);
    }
    program.signal(Signal::KILL);
    for mut socket in sockets {
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    }
    // Until the storage has seen the ends of its connections.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(program.backend().requests().len(), 5);
    assert!(program.backend().committed().is_empty());
}
