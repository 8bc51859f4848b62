//! One piece for each thread, so that counting on one core does not wait for another.

use std::{
    num::NonZero,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

/// More cores than this share pieces.
const MOST: usize = 16;

/// The same thing several times, each on cache lines of its own.
#[derive(Debug)]
pub(super) struct Sharded<T>(Box<[Apart<T>]>);

#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

thread_local! {
    static NUMBER: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed)
    };
}

impl<T> Sharded<T> {
    pub(super) fn new(make: impl Fn() -> T) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
        Self((0..cores).map(|_| Apart(make())).collect())
    }

    /// The piece of this thread.
    pub(super) fn mine(&self) -> &T {
        let number = NUMBER.try_with(|number| *number).unwrap_or(0);
        &self.0[number % self.0.len()].0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|piece| &piece.0)
    }

    pub(super) fn sum(&self, counter: impl Fn(&T) -> &AtomicU64) -> u64 {
        self.iter().map(|piece| counter(piece).load(Relaxed)).fold(0, u64::wrapping_add)
    }
}

impl<T: Default> Default for Sharded<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

/// How long things took.
#[derive(Debug)]
pub(super) struct Histogram {
    /// The upper ends of the buckets, in microseconds; one more bucket has none.
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    nanoseconds: AtomicU64,
}

/// What several histograms of the same bounds hold together.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) seconds: f64,
    pub(super) count: u64,
    /// Upper end and how many are in this bucket alone.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: super::zeros(bounds.len() + 1), nanoseconds: AtomicU64::default() }
    }

    pub(super) fn observe(&self, took: Duration) {
        let microseconds = took.as_nanos().div_ceil(1_000);
        let bucket = self.bounds.partition_point(|bound| u128::from(*bound) < microseconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn together<'h>(all: impl Iterator<Item = &'h Self>) -> Taken {
        let mut nanoseconds = 0_u64;
        let mut bounds: &[u64] = &[];
        let mut counts = Vec::new();
        for one in all {
            bounds = one.bounds;
            counts.resize(one.counts.len(), 0_u64);
            for (sum, count) in counts.iter_mut().zip(&one.counts) {
                *sum = sum.wrapping_add(count.load(Relaxed));
            }
            nanoseconds = nanoseconds.wrapping_add(one.nanoseconds.load(Relaxed));
        }
        let ends = bounds.iter().map(|bound| Duration::from_micros(*bound).as_secs_f64());
        Taken {
            seconds: Duration::from_nanos(nanoseconds).as_secs_f64(),
            count: counts.iter().sum(),
            buckets: ends.chain([f64::MAX]).zip(counts).collect(),
        }
    }
}
