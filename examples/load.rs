//! The load of `make bench` where wrk cannot give it: HEAD, a different request each time, and requests that come due whether or not
//! earlier ones were answered.
//!
//! A thread for each connection, for a timer of the system's precision. In an open loop (`--rate`) a request waits from the moment it
//! was due, also when all connections were busy then: a server that stands still is not asked less often.
//!
//!     cargo run --release --example load -- 127.0.0.1:9000 requests.bin --connections 32 --seconds 3 --rate 5000

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;

#[derive(Parser)]
struct Arguments {
    address: SocketAddr,
    /// Prepared requests, one after the other, each behind its length in four bytes, the lowest first.
    requests: PathBuf,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// So many requests come due in a second; without it each connection sends when it was answered.
    #[arg(long)]
    rate: Option<f64>,
    /// Each request once, in order, as fast as they are answered.
    #[arg(long, conflicts_with = "rate")]
    once: bool,
}

#[expect(clippy::print_stdout, reason = "it prints its figures")]
fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let requests = Requests::open(&arguments.requests)?;
    let address = arguments.address;
    let connections = arguments.connections;
    let load = Arc::new(Load::new(&arguments, requests));
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let load = load.clone();
            thread::spawn(move || load.connection(address))
        })
        .collect();
    let mut seen = Seen::default();
    for thread in threads {
        let more = thread.join().map_err(|_| anyhow::anyhow!("a connection ended by a defect"))??;
        seen.waited.extend(more.waited);
        seen.late.extend(more.late);
    }
    println!("{}", seen.figures(load.start.elapsed()));
    Ok(())
}

/// The requests of a file, read when they are sent: a million of them take a gigabyte.
struct Requests {
    file: File,
    /// Where each lies, and how long it is.
    places: Vec<(u64, usize)>,
}

impl Requests {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let end = file.metadata()?.len();
        let (mut places, mut at) = (Vec::new(), 0);
        while at < end {
            let mut length = [0; 4];
            file.read_exact_at(&mut length, at)?;
            let length = u32::from_le_bytes(length);
            places.push((at + 4, usize::try_from(length)?));
            at += 4 + u64::from(length);
        }
        ensure!(!places.is_empty(), "{} holds no request", path.display());
        Ok(Self { file, places })
    }

    fn count(&self) -> u64 {
        self.places.len() as u64
    }

    fn read(&self, index: u64, into: &mut Vec<u8>) -> anyhow::Result<()> {
        let (at, length) = self.places[usize::try_from(index)?];
        into.resize(length, 0);
        Ok(self.file.read_exact_at(into, at)?)
    }
}

struct Load {
    requests: Requests,
    start: Instant,
    length: Duration,
    /// Between one request that is due and the next.
    pace: Option<f64>,
    once: bool,
    next: AtomicU64,
}

/// What a connection saw: nanoseconds from when a request was due to the end of its answer, and how much later than due the timer woke.
#[derive(Default)]
struct Seen {
    waited: Vec<u64>,
    late: Vec<u64>,
}

impl Load {
    fn new(arguments: &Arguments, requests: Requests) -> Self {
        Self {
            requests,
            start: Instant::now(),
            length: Duration::from_secs_f64(arguments.seconds),
            pace: arguments.rate.map(f64::recip),
            once: arguments.once,
            next: AtomicU64::new(0),
        }
    }

    fn connection(&self, address: SocketAddr) -> anyhow::Result<Seen> {
        let mut wire = Wire::connect(address)?;
        let (mut seen, mut request, mut loaded) = (Seen::default(), Vec::new(), None);
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(due) = self.due(number, &mut seen) else { return Ok(seen) };
            let index = self.index(number);
            if loaded != Some(index) {
                self.requests.read(index, &mut request)?;
                loaded = Some(index);
            }
            wire.exchange(&request)?;
            seen.waited.push(nanoseconds(due.elapsed()));
        }
    }

    /// Waits until the request of this number is due; `None`: there are no more.
    #[expect(clippy::cast_precision_loss, reason = "the number of a request is far below 2^53")]
    fn due(&self, number: u64, seen: &mut Seen) -> Option<Instant> {
        if self.once {
            return (number < self.requests.count()).then(Instant::now);
        }
        let Some(pace) = self.pace else { return (self.start.elapsed() < self.length).then(Instant::now) };
        let after = Duration::from_secs_f64(number as f64 * pace);
        let due = self.start + after;
        if let Some(left) = due.checked_duration_since(Instant::now()) {
            thread::sleep(left);
            seen.late.push(nanoseconds(due.elapsed()));
        }
        (after < self.length).then_some(due)
    }

    /// Scattered over the requests, so that neighbours in time are none in memory.
    fn index(&self, number: u64) -> u64 {
        if self.once {
            return number;
        }
        let mixed =
            (number ^ (number >> 30)).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb).rotate_left(31) % self.requests.count()
    }
}

struct Wire {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { socket, buffer: vec![0; 64 << 10] })
    }

    /// Sends a request and reads its whole answer, which must be a good one.
    fn exchange(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.socket.write_all(request)?;
        let mut filled = 0;
        let head = loop {
            ensure!(filled < self.buffer.len(), "the head of an answer is longer than 64 KiB");
            let got = self.socket.read(&mut self.buffer[filled..]).context("no answer")?;
            ensure!(got > 0, "the connection was closed before the answer");
            filled += got;
            if let Some(end) = self.buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let body = if request.starts_with(b"HEAD ") { 0 } else { self.announced(head)? };
        if !self.buffer.starts_with(b"HTTP/1.1 2") {
            bail!("not a good answer: {}", String::from_utf8_lossy(&self.buffer[..filled]));
        }
        let mut left = body.checked_sub(filled - head).context("more than one answer")?;
        while left > 0 {
            let most = left.min(self.buffer.len());
            let got = self.socket.read(&mut self.buffer[..most])?;
            ensure!(got > 0, "the connection was closed within the answer");
            left -= got;
        }
        Ok(())
    }

    fn announced(&self, head: usize) -> anyhow::Result<usize> {
        let text = std::str::from_utf8(&self.buffer[..head])?;
        let length = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let (_, value) = length.with_context(|| format!("no Content-Length: {text}"))?;
        Ok(value.trim().parse()?)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Seen {
    /// As JSON, times in microseconds; percentiles are exact: each answer is one of the sorted figures.
    fn figures(mut self, took: Duration) -> serde_json::Value {
        self.waited.sort_unstable();
        self.late.sort_unstable();
        serde_json::json!({
            "requests": self.waited.len(),
            "seconds": took.as_secs_f64(),
            "p50": share(&self.waited, 500),
            "p90": share(&self.waited, 900),
            "p99": share(&self.waited, 990),
            "p999": share(&self.waited, 999),
            "max": share(&self.waited, 1000),
            "timer_p50": share(&self.late, 500),
            "timer_p99": share(&self.late, 990),
        })
    }
}

/// What so many of a thousand waited at the most.
#[expect(clippy::cast_precision_loss, reason = "microseconds are far below 2^53")]
fn share(sorted: &[u64], of_thousand: usize) -> Option<f64> {
    let rank = (sorted.len() * of_thousand).div_ceil(1000).checked_sub(1)?;
    Some(sorted[rank] as f64 / 1000.0)
}
