//! What it costs to count a request, from its beginning to its end, alone and beside another thread.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::{sync::Arc, time::Duration};

use daypass::{
    s3::operation,
    sts,
    telemetry::metrics::{Decided, Ended, Lists, Metrics, Observed},
};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

fn metrics() -> Arc<Metrics> {
    let lists = Lists {
        operations: operation::names().chain(sts::action_names()).collect(),
        sts_actions: sts::action_names().collect(),
        sts_codes: sts::ErrorCode::ALL.into_iter().map(sts::ErrorCode::as_str).collect(),
    };
    Arc::new(Metrics::new(lists, 0))
}

fn ended() -> Ended {
    Ended {
        operation: "ListObjectsV2",
        decision: Decided::Allow,
        status: http::StatusCode::OK,
        code: "",
        is_proven: true,
        received: 100,
        sent: 1_000,
        took: Duration::from_micros(1_700),
        is_cut_off: false,
    }
}

/// All that is counted of a request that the backend answers.
fn count(metrics: &Metrics) {
    metrics.request_began();
    metrics.sessions().hit();
    metrics.backend().answered(http::StatusCode::OK, Duration::from_micros(900));
    metrics.request_ended(black_box(&ended()));
}

#[divan::bench(threads = [1, 2])]
fn a_request(bencher: Bencher<'_, '_>) {
    let metrics = metrics();
    bencher.bench(|| count(&metrics));
}

#[divan::bench]
fn a_page(bencher: Bencher<'_, '_>) {
    let metrics = metrics();
    for name in operation::names() {
        metrics.request_ended(&Ended { operation: name, ..ended() });
    }
    bencher.bench(|| metrics.page(Observed::default()).unwrap());
}
