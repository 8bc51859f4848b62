//! Several addresses of one storage: turns, ejection, trials, retries; and what one address costs that does not answer.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use daypass::clock::ManualClock;

use crate::support::{
    Backend, Builder, Gateway, Keys, NOW, Reply, call,
    storage::{BlackHole, Spoken, Storage, header, nobody},
};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";

fn before(addresses: &[SocketAddr]) -> Builder {
    Gateway::builder().backend_addresses(addresses).toml(ADMIN)
}

async fn metric(gateway: &Gateway, series: &str) -> usize {
    let page = gateway.admin("GET", "/metrics", None, "").await.text();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = line.unwrap_or_else(|| panic!("no {series} in {page}"));
    value.trim_end_matches(".0").parse().unwrap()
}

async fn get(gateway: &Gateway, keys: &Keys) -> Reply {
    gateway.send(keys, call("GET", "/bucket/key")).await
}

#[track_caller]
fn is_away(reply: &Reply) {
    reply.is_error(503, "ServiceUnavailable");
    assert_eq!(reply.header("retry-after"), Some("1"));
}

/// How long it takes until the storage answers again.
async fn until_back(gateway: &Gateway, keys: &Keys) -> Duration {
    let began = Instant::now();
    while get(gateway, keys).await.status != 200 {
        assert!(began.elapsed() < Duration::from_secs(10), "it does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn addresses_take_turns_and_each_request_is_signed_for_its_own() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let gateway = before(&[a.address(), b.address()]).start().await;
    let keys = gateway.session().await;
    for _ in 0..10 {
        gateway.send(&keys, call("PUT", "/bucket/key").body("the text")).await.is_ok();
    }
    for backend in [&a, &b] {
        let requests = backend.committed();
        assert_eq!(requests.len(), 5);
        for request in requests {
            assert_eq!(request.header("host"), Some(&*backend.address().to_string()));
            assert!(request.header("authorization").unwrap().contains("SignedHeaders=host;"));
        }
    }
}

#[tokio::test]
async fn one_dead_address_of_two_costs_no_request_without_a_body_and_few_with_one() {
    let alive = Backend::start().await;
    let dead = nobody().await;
    let gateway = before(&[dead, alive.address()]).start().await;
    let keys = gateway.session().await;
    let mut refused = 0;
    for _ in 0..20 {
        let reply = gateway.send(&keys, call("PUT", "/bucket/key").body("the text")).await;
        refused += usize::from(reply.status == 503);
        get(&gateway, &keys).await.is_ok();
        gateway.send(&keys, call("DELETE", "/bucket/key")).await.is_ok();
    }
    assert!(refused <= 3, "{refused} uploads were refused");
    let writes = alive.committed().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(writes, 20 - refused, "none went out twice");
    assert_eq!(metric(&gateway, &format!("daypass_backend_endpoint_up{{endpoint=\"{dead}\"}}")).await, 0);
    assert_eq!(metric(&gateway, &format!("daypass_backend_ejections_total{{endpoint=\"{dead}\"}}")).await, 1);
    assert!(metric(&gateway, "daypass_backend_retries_total").await >= 1);
    let details = gateway.admin("GET", "/health/ready?verbose", None, "").await.text();
    let details: serde_json::Value = serde_json::from_str(&details).unwrap();
    assert_eq!(details["backend"]["endpoints"][0]["up"], false, "{details}");
    assert_eq!(details["backend"]["endpoints"][1]["up"], true, "{details}");
    // It comes back and takes its turns again.
    let back = Storage::start_at(dead, Spoken::answer_all).await;
    for _ in 0..300 {
        get(&gateway, &keys).await.is_ok();
        if back.connections() > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(metric(&gateway, &format!("daypass_backend_endpoint_up{{endpoint=\"{dead}\"}}")).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_answered_at_once_without_a_storm_and_its_end_is_seen_within_a_second() {
    let is_back = Arc::new(AtomicBool::new(false));
    let start = async || {
        let is_back = is_back.clone();
        Storage::start(move |spoken| {
            let is_back = is_back.load(Ordering::Relaxed);
            async move {
                if is_back {
                    spoken.answer_all().await;
                }
            }
        })
        .await
    };
    let (a, b) = (start().await, start().await);
    let gateway = Arc::new(before(&[a.address(), b.address()]).start().await);
    let keys = gateway.session().await;
    let down = Duration::from_secs(3);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (gateway, keys) = (gateway.clone(), keys.clone());
            tokio::spawn(async move {
                let (began, mut requests) = (Instant::now(), 0);
                while began.elapsed() < down {
                    is_away(&get(&gateway, &keys).await);
                    requests += 1;
                }
                requests
            })
        })
        .collect();
    let mut requests = 0;
    for client in clients {
        requests += client.await.unwrap();
    }
    // Of each: three failures, those of the other clients meanwhile, and a trial each half second.
    for storage in [&a, &b] {
        let attempts = storage.connections();
        assert!(attempts <= 3 + 4 + 7, "{attempts} attempts for {requests} requests");
    }
    assert!(requests > 40, "only {requests} were answered");
    is_back.store(true, Ordering::Relaxed);
    let took = until_back(&gateway, &keys).await;
    assert!(took < Duration::from_millis(2500), "{took:?}");
}

#[tokio::test]
async fn a_storage_that_refused_connections_is_back_within_a_second_of_its_return() {
    let address = nobody().await;
    let gateway = before(&[address]).start().await;
    let keys = gateway.session().await;
    let began = Instant::now();
    for _ in 0..20 {
        is_away(&get(&gateway, &keys).await);
        is_away(&gateway.send(&keys, call("PUT", "/bucket/key").body("the text")).await);
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(metric(&gateway, "daypass_backend_errors_total{kind=\"connect\"}").await >= 3);
    let _back = Storage::start_at(address, Spoken::answer_all).await;
    let took = until_back(&gateway, &keys).await;
    assert!(took < Duration::from_millis(2500), "{took:?}");
}

#[tokio::test]
async fn an_address_that_swallows_connections_costs_the_connect_timeout_three_times_and_no_more() {
    let hole = BlackHole::new();
    let gateway = before(&[hole.address()]).backend_lines("connect_timeout = \"800ms\"").start().await;
    let keys = gateway.session().await;
    let mut waited = 0;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        is_away(&get(&gateway, &keys).await);
        waited += usize::from(asked.elapsed() > Duration::from_millis(700));
    }
    // Three find out, and then one each half second and its own wait.
    assert!((3..=6).contains(&waited), "{waited} requests waited");

    let alive = Backend::start().await;
    let gateway =
        before(&[hole.address(), alive.address()]).backend_lines("connect_timeout = \"800ms\"").start().await;
    let keys = gateway.session().await;
    for _ in 0..10 {
        get(&gateway, &keys).await.is_ok();
    }
}

#[tokio::test]
async fn what_is_known_of_an_address_outlives_a_reload() {
    let storage = Storage::start(async |_| ()).await;
    let gateway = before(&[storage.address()]).start().await;
    let keys = gateway.session().await;
    for _ in 0..3 {
        is_away(&get(&gateway, &keys).await);
    }
    let attempts = storage.connections();
    gateway
        .reload(|text| text.replace("profile = \"minio\"", "profile = \"minio\"\nconnect_timeout = \"1s\""));
    is_away(&get(&gateway, &keys).await);
    assert_eq!(storage.connections(), attempts);
}

#[tokio::test]
async fn a_read_that_broke_off_is_sent_once_more_with_a_new_date() {
    let clock = Arc::new(ManualClock::at(NOW));
    let turned = clock.clone();
    let storage = Storage::start(move |mut spoken| {
        let clock = turned.clone();
        async move {
            if spoken.number > 0 {
                return spoken.answer_all().await;
            }
            spoken.head().await;
            clock.advance(Duration::from_secs(5));
        }
    })
    .await;
    let gateway = before(&[storage.address()]).start_with(Backend::start().await, clock).await;
    let keys = gateway.session().await;
    get(&gateway, &keys).await.is_ok();
    let dates: Vec<_> =
        storage.heads().iter().map(|head| header(head, "x-amz-date").unwrap().to_owned()).collect();
    assert_eq!(dates, ["20261123T120000Z", "20261123T120005Z"]);
    let signatures: Vec<_> =
        storage.heads().iter().map(|head| header(head, "authorization").unwrap().to_owned()).collect();
    assert_ne!(signatures[0], signatures[1]);
}

#[tokio::test]
async fn retries_are_one_in_ten_requests_and_at_most_one_for_each() {
    // Every second connection is cut, so that no address is ejected.
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let storage = Storage::start(move |mut spoken| {
        let asked = counted.clone();
        async move {
            if spoken.head().await.is_some() && asked.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
                spoken.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            }
        }
    })
    .await;
    let gateway = before(&[storage.address()]).start().await;
    let keys = gateway.session().await;
    let mut refused = 0;
    for _ in 0..200 {
        refused += usize::from(get(&gateway, &keys).await.status == 503);
    }
    let retries = storage.heads().len() - 200;
    assert!((10..=30).contains(&retries), "{retries} retries");
    assert!(refused > 50, "{refused}");
    assert_eq!(metric(&gateway, "daypass_backend_retries_total").await, retries);
}
