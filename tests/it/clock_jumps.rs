//! The system's time is set by an hour while the gateway runs: what lasts is measured by a clock that is not set, and nothing comes
//! back to life.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use daypass::clock::{Clock, ManualClock, Timestamp};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Backend, Builder, Gateway, NOW, call};

const HOUR: u64 = 3600;

/// Time that is set by hand beside time that passes by itself, as a system has them.
#[derive(Debug)]
struct Settable {
    shown: Arc<ManualClock>,
    began: Instant,
}

impl Clock for Settable {
    fn now(&self) -> Timestamp {
        self.shown.now()
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }
}

async fn start(builder: Builder) -> (Gateway, Arc<ManualClock>) {
    let shown = Arc::new(ManualClock::at(NOW));
    let clock = Settable { shown: shown.clone(), began: Instant::now() };
    let gateway = builder.start_with_clock(Backend::start().await, shown.clone(), Arc::new(clock)).await;
    (gateway, shown)
}

fn jumps(shown: &ManualClock, seconds: i64) {
    shown.set(Timestamp::from_unix(shown.now().unix() + seconds));
}

#[tokio::test]
async fn timeouts_and_rates_are_steady_when_the_clock_jumps() {
    let limits = "[limits]\nsession_requests_per_second = 2\nheader_timeout = \"20s\"\nidle_timeout = \"20s\"\nstall_timeout = \"20s\"\n";
    for jump in [3600, -3600] {
        let (gateway, shown) = start(Gateway::builder().toml(limits)).await;
        let keys = gateway.assume(&[("DurationSeconds", "14400")]).await;
        let other = gateway.assume(&[("DurationSeconds", "14400")]).await;
        // The first second's worth is used up; what follows counts what passes meanwhile.
        let used_up = Instant::now();
        for _ in 0..2 {
            gateway.send(&keys, call("GET", "/data/x")).await.is_ok();
        }
        let put = call("PUT", "/data/slow").body(vec![b'x'; 128 * 1024]).at(gateway.now());
        let put = put.sign(&other, gateway.address());
        let mut upload = TcpStream::connect(gateway.address()).await.unwrap();
        upload.write_all(&put.head()).await.unwrap();
        upload.write_all(&put.call.body[..64 * 1024]).await.unwrap();
        let mut silent = TcpStream::connect(gateway.address()).await.unwrap();
        silent.write_all(b"GET /data/x HTTP/1.1\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        jumps(&shown, jump);
        let reply = gateway.send(&keys, call("GET", "/data/x")).await;
        assert!(reply.status == 503 || used_up.elapsed() > Duration::from_millis(450), "{}", reply.text());
        tokio::time::sleep(Duration::from_millis(1200)).await;
        gateway.send(&keys, call("GET", "/data/x")).await.is_ok();
        upload.write_all(&put.call.body[64 * 1024..]).await.unwrap();
        silent.write_all(b"host: a\r\nconnection: close\r\n\r\n").await.unwrap();
        for (socket, status) in [(&mut upload, "HTTP/1.1 200"), (&mut silent, "HTTP/1.1 403")] {
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with(status), "{jump}: {answer}");
        }
    }
}

#[tokio::test]
async fn nothing_that_was_revoked_or_had_ended_is_good_after_a_clock_that_goes_back() {
    let admin = "[admin]\naddress = \"127.0.0.1:0\"\ntoken = \"a-token-of-sixteen-bytes-or-more\"\n";
    let (gateway, shown) = start(Gateway::builder().toml(admin)).await;
    let short = gateway.assume(&[("DurationSeconds", "900")]).await;
    let long = gateway.assume(&[("DurationSeconds", "14400")]).await;
    let revoked = gateway.assume(&[("DurationSeconds", "14400")]).await;
    let url = call("GET", "/data/x").at(gateway.now()).presign(&long, gateway.address(), "60");
    let body = format!("{{\"kind\":\"session\",\"value\":\"{}\"}}", revoked.access_key_id);
    let token = Some("a-token-of-sixteen-bytes-or-more");
    assert_eq!(gateway.admin("POST", "/v1/revocations", token, &body).await.status, 201);
    jumps(&shown, 3600);
    gateway.send(&long, call("GET", "/data/x")).await.is_ok();
    gateway.backend().forget();
    gateway.send(&short, call("GET", "/data/x")).await.is_error(400, "ExpiredToken");
    gateway.send(&revoked, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
    url.send(gateway.address()).await.is_error(403, "AccessDenied");
    // Its holder's clock goes on: an hour from the gateway's, whose time is wrong now.
    let ended = gateway.now();
    jumps(&shown, -3600);
    jumps(&shown, -3600);
    for keys in [&short, &long, &revoked] {
        let late = call("GET", "/data/x").at(ended).sign(keys, gateway.address());
        late.send(gateway.address()).await.is_error(403, "RequestTimeTooSkewed");
    }
    gateway.send(&revoked, call("GET", "/data/x")).await.is_error(400, "InvalidToken");
    gateway.backend().saw_nothing();
    // Nor does a session live longer than it was given by the time that it was made in.
    let made_early = gateway.assume(&[("DurationSeconds", "900")]).await;
    shown.set(ended.minus(Duration::from_secs(HOUR)));
    gateway.send(&made_early, call("GET", "/data/x")).await.is_error(400, "ExpiredToken");
    gateway.backend().saw_nothing();
    gateway.send(&long, call("GET", "/data/x")).await.is_ok();
}
