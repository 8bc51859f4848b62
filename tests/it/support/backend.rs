//! A backend that records what reaches it and answers as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

/// One request as the backend got it.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: String,
    /// Path and query, as on the wire.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Whether the body came to its end; a backend commits only such a request.
    pub complete: bool,
}

impl Recorded {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What the backend answers.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap(), headers: Vec::new(), body: body.into() }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Early = Arc<Mutex<Option<Answer>>>;
type Script = Arc<Mutex<Box<dyn Fn(&Recorded) -> Answer + Send>>>;

/// The recording backend, on a real socket.
pub struct Backend {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Recorded>>>,
    script: Script,
    early: Early,
    accepting: JoinHandle<()>,
}

impl Backend {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let script: Script = Arc::new(Mutex::new(Box::new(|_| Answer::new(200, "").header("etag", "\"0\""))));
        let early = Early::default();
        let accepting = tokio::spawn({
            let (requests, script, early) = (requests.clone(), script.clone(), early.clone());
            async move {
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    let (requests, script, early) = (requests.clone(), script.clone(), early.clone());
                    tokio::spawn(async move {
                        let service = service_fn(move |request| {
                            record(request, requests.clone(), script.clone(), early.clone())
                        });
                        let _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(socket), service)
                            .await;
                    });
                }
            }
        });
        Self { address, requests, script, early, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every answer from now on.
    pub fn answers(&self, script: impl Fn(&Recorded) -> Answer + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// From now on answers with the head of the request, before its body has come.
    pub fn answers_early(&self, answer: Answer) {
        *self.early.lock().unwrap() = Some(answer);
    }

    /// Everything that arrived, complete or not.
    pub fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap().clone()
    }

    /// What a real backend would have acted on.
    pub fn committed(&self) -> Vec<Recorded> {
        self.requests().into_iter().filter(|request| request.complete).collect()
    }

    #[track_caller]
    pub fn saw_nothing(&self) {
        let requests = self.requests();
        assert!(requests.is_empty(), "the backend saw {requests:#?}");
    }

    /// The one request that arrived.
    #[track_caller]
    pub fn only_request(&self) -> Recorded {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "the backend saw {requests:#?}");
        requests[0].clone()
    }

    pub fn forget(&self) {
        self.requests.lock().unwrap().clear();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn record(
    request: Request<Incoming>,
    requests: Arc<Mutex<Vec<Recorded>>>,
    script: Script,
    early: Early,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, mut body) = request.into_parts();
    let index = {
        let mut requests = requests.lock().unwrap();
        requests.push(Recorded {
            method: parts.method.to_string(),
            target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: parts.headers,
            body: Vec::new(),
            complete: false,
        });
        requests.len() - 1
    };
    if let Some(answer) = early.lock().unwrap().clone() {
        return Ok(response(answer));
    }
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data()
            && let Some(request) = requests.lock().unwrap().get_mut(index)
        {
            request.body.extend_from_slice(&data);
        }
    }
    let recorded = {
        let mut requests = requests.lock().unwrap();
        let Some(request) = requests.get_mut(index) else { return Ok(Response::default()) };
        request.complete = true;
        request.clone()
    };
    let answer = (script.lock().unwrap())(&recorded);
    Ok(response(answer))
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(answer.body)).unwrap()
}
