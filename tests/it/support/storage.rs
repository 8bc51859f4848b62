//! A storage that fails as it is told, connection by connection, on a real socket.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What it was sent.
#[derive(Clone, Default)]
pub struct Seen {
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

pub struct Storage {
    address: SocketAddr,
    seen: Seen,
    accepting: JoinHandle<()>,
}

impl Storage {
    /// `speak`: for each connection.
    pub async fn start<F, S>(speak: S) -> Self
    where
        S: Fn(Spoken) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0".parse().unwrap(), speak).await
    }

    pub async fn start_at<F, S>(address: SocketAddr, speak: S) -> Self
    where
        S: Fn(Spoken) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Seen::default();
        let accepting = tokio::spawn({
            let seen = seen.clone();
            async move {
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    let number = seen.connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(speak(Spoken { number, socket, seen: seen.clone() }));
                }
            }
        });
        Self { address, seen, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// The heads of all requests.
    pub fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection.
pub struct Spoken {
    pub number: usize,
    pub socket: TcpStream,
    seen: Seen,
}

impl Spoken {
    /// The head of the next request; `None`: the connection ended.
    pub async fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.socket.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        self.seen.heads.lock().unwrap().push(head.clone());
        Some(head)
    }

    pub async fn say(&mut self, text: &str) {
        let _ = self.socket.write_all(text.as_bytes()).await;
    }

    /// Reads so many bytes of a body.
    pub async fn body(&mut self, bytes: usize) {
        let _ = self.socket.read_exact(&mut vec![0; bytes]).await;
    }

    /// Ends the connection by a reset.
    pub fn reset(self) {
        socket2::SockRef::from(&self.socket).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// Answers every request with an empty object.
    pub async fn answer_all(mut self) {
        while let Some(head) = self.head().await {
            let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            self.body(length).await;
            self.say("HTTP/1.1 200 OK\r\netag: \"0\"\r\ncontent-length: 0\r\n\r\n").await;
        }
    }
}

/// Of a head as it was sent.
pub fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// An address where nobody is now.
pub async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// An address that takes no connection and refuses none, as behind a firewall that drops what comes.
pub struct BlackHole {
    listener: socket2::Socket,
    _waiting: Vec<std::net::TcpStream>,
}

impl BlackHole {
    pub fn new() -> Self {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        // Until the queue of those who were not yet accepted is full.
        let patience = std::time::Duration::from_millis(100);
        while let Ok(socket) = std::net::TcpStream::connect_timeout(&address, patience) {
            waiting.push(socket);
        }
        Self { listener, _waiting: waiting }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }
}
