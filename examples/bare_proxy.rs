//! The floor of `make bench`: a proxy of hyper alone, one runtime for each core, that checks nothing and changes nothing but the
//! address. What Daypass costs beyond this is its own doing.
//!
//!     cargo run --release --example bare_proxy -- 127.0.0.1:9000 127.0.0.1:9002 [stealing]
//!
//! `stealing`: one runtime of all cores instead, whose threads take each other's work, with one pool.

use std::{env, net::SocketAddr, thread};

use daypass::server::listen;
use http::{
    Request, Uri,
    uri::{Authority, Scheme},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, backend, shape @ ..] = arguments.as_slice() else {
        anyhow::bail!("say where to listen and whom to ask")
    };
    let (address, backend): (SocketAddr, SocketAddr) = (address.parse()?, backend.parse()?);
    if shape == ["stealing"] {
        return proxy(address, backend, tokio::runtime::Builder::new_multi_thread());
    }
    let workers = thread::available_parallelism()?.get();
    let worker = move || proxy(address, backend, tokio::runtime::Builder::new_current_thread());
    let threads: Vec<_> = (0..workers).map(|_| thread::spawn(worker)).collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a worker ended by a defect"))??;
    }
    Ok(())
}

fn proxy(
    address: SocketAddr,
    backend: SocketAddr,
    mut runtime: tokio::runtime::Builder,
) -> anyhow::Result<()> {
    let listener = listen(address, true)?;
    let backend: Authority = backend.to_string().parse()?;
    runtime.enable_all().build()?.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(tcp);
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let (client, backend) = (client.clone(), backend.clone());
            let service = service_fn(move |mut request: Request<Incoming>| {
                let mut uri = std::mem::take(request.uri_mut()).into_parts();
                (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(backend.clone()));
                *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
                client.request(request)
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    })
}
