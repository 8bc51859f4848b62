//! How many requests and bytes in a second: the generic cell rate algorithm (GCRA), one number a bucket and no lock.
//!
//! A bucket knows until when what was taken from it is paid for. Up to one second may be owed, which is the burst.

use std::{
    fmt,
    num::NonZeroU64,
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// In nanoseconds.
const BURST: u64 = 1_000_000_000;

/// The figures of a configuration; `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    pub requests_per_second: Option<NonZeroU64>,
    /// Of bodies in both directions together.
    pub bytes_per_second: Option<NonZeroU64>,
}

/// What one holder of [`Rates`] has used of them.
#[derive(Debug)]
pub struct Limiter {
    rates: Rates,
    requests: Option<Bucket>,
    bytes: Option<Bucket>,
}

/// Whose rate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    Session,
    Role,
    User,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "session",
            Self::Role => "role",
            Self::User => "user",
        })
    }
}

/// Everything that bounds one session.
#[derive(Debug)]
pub struct SessionLimits {
    holders: Vec<(Holder, Arc<Limiter>)>,
}

/// Paces one body: its pieces wait, none is cut.
#[derive(Debug)]
pub struct Pace {
    limits: Arc<SessionLimits>,
    pause: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Bucket {
    per_second: NonZeroU64,
    /// Until when it is paid for, in nanoseconds on the caller's clock.
    paid_until: AtomicU64,
}

impl Bucket {
    fn new(per_second: NonZeroU64) -> Self {
        Self { per_second, paid_until: AtomicU64::new(0) }
    }

    fn cost(&self, amount: u64) -> u64 {
        let cost = u128::from(amount) * u128::from(BURST) / u128::from(self.per_second.get());
        u64::try_from(cost).unwrap_or(u64::MAX)
    }

    /// Takes one, unless more than the burst would be owed.
    fn take(&self, now: u64) -> bool {
        let most = now.saturating_add(BURST);
        let taken = self.paid_until.fetch_update(Relaxed, Relaxed, |until| {
            Some(until.max(now).saturating_add(self.cost(1))).filter(|until| *until <= most)
        });
        taken.is_ok()
    }

    fn give_back(&self) {
        self.paid_until.fetch_sub(self.cost(1), Relaxed);
    }

    /// Takes so many whatever is owed; how long until no more than the burst is.
    fn owe(&self, amount: u64, now: u64) -> u64 {
        let cost = self.cost(amount);
        let owed = |until: u64| until.max(now).saturating_add(cost);
        let before = self.paid_until.fetch_update(Relaxed, Relaxed, |until| Some(owed(until)));
        owed(before.unwrap_or(now)).saturating_sub(now.saturating_add(BURST))
    }
}

impl Limiter {
    /// `None`: there is nothing to limit.
    pub fn new(rates: Rates) -> Option<Self> {
        let limiter = Self {
            rates,
            requests: rates.requests_per_second.map(Bucket::new),
            bytes: rates.bytes_per_second.map(Bucket::new),
        };
        (rates != Rates::default()).then_some(limiter)
    }

    pub fn rates(&self) -> Rates {
        self.rates
    }
}

impl SessionLimits {
    pub fn new(holders: Vec<(Holder, Arc<Limiter>)>) -> Self {
        Self { holders }
    }

    /// Counts one request, or says whose rate is used up; then it counts for nobody. At least one request a second is allowed,
    /// so a second later there is room.
    ///
    /// `now`: since some beginning, always the same one.
    pub fn take_request(&self, now: Duration) -> Result<(), Holder> {
        let now = nanoseconds(now);
        for (index, (holder, limiter)) in self.holders.iter().enumerate() {
            if limiter.requests.as_ref().is_none_or(|bucket| bucket.take(now)) {
                continue;
            }
            for (_, before) in self.holders.iter().take(index) {
                before.requests.iter().for_each(Bucket::give_back);
            }
            return Err(*holder);
        }
        Ok(())
    }

    /// Counts bytes that have moved; how long the next ones must wait.
    fn moved(&self, bytes: u64, now: Duration) -> Duration {
        let now = nanoseconds(now);
        let buckets = self.holders.iter().filter_map(|(_, limiter)| limiter.bytes.as_ref());
        Duration::from_nanos(buckets.map(|bucket| bucket.owe(bytes, now)).max().unwrap_or_default())
    }

    fn has_bytes(&self) -> bool {
        self.holders.iter().any(|(_, limiter)| limiter.bytes.is_some())
    }
}

impl Pace {
    /// `None`: the body may go as fast as it comes.
    pub fn of(limits: Option<&Arc<SessionLimits>>) -> Option<Self> {
        let limits = limits.filter(|limits| limits.has_bytes())?.clone();
        let mut pace = Self { limits, pause: None };
        // Bodies before this one may have left something to pay.
        pace.moved(0);
        Some(pace)
    }

    /// Bytes of the body have moved.
    pub fn moved(&mut self, bytes: usize) {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        let wait = self.limits.moved(bytes as u64, BEGINNING.elapsed());
        if !wait.is_zero() {
            self.pause = Some(Box::pin(tokio::time::sleep(wait)));
        }
    }

    /// Whether the next piece may come; true: it had to wait until now.
    pub fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let Some(pause) = &mut self.pause else { return Poll::Ready(false) };
        ready!(pause.as_mut().poll(context));
        self.pause = None;
        Poll::Ready(true)
    }

    /// When the next piece may come, if it must wait.
    pub fn resumes_at(&self) -> Option<Instant> {
        self.pause.as_ref().map(|pause| pause.deadline())
    }

    /// Waits until the next piece may come.
    pub async fn turn(&mut self) {
        std::future::poll_fn(|context| self.poll_turn(context)).await;
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(holders: &[(Holder, u64, u64)]) -> SessionLimits {
        let holders = holders.iter().map(|(holder, requests, bytes)| {
            let rates = Rates {
                requests_per_second: NonZeroU64::new(*requests),
                bytes_per_second: NonZeroU64::new(*bytes),
            };
            (*holder, Arc::new(Limiter::new(rates).unwrap()))
        });
        SessionLimits::new(holders.collect())
    }

    fn taken(limits: &SessionLimits, tries: usize, now: Duration) -> usize {
        (0..tries).filter(|_| limits.take_request(now).is_ok()).count()
    }

    #[test]
    fn a_burst_of_one_second_is_allowed_and_then_the_rate() {
        for rate in [1, 3, 7, 1000, 30_000] {
            let limits = limits(&[(Holder::Session, rate, 0)]);
            let rate = usize::try_from(rate).unwrap();
            let start = Duration::from_secs(100);
            assert_eq!(taken(&limits, 2 * rate, start), rate, "{rate}");
            for second in 1..5 {
                let now = start + Duration::from_secs(second);
                assert_eq!(taken(&limits, 2 * rate, now), rate, "{rate} in second {second}");
            }
            // Nothing is saved up beyond it.
            assert_eq!(taken(&limits, 3 * rate, start + Duration::from_secs(60)), rate);
        }
    }

    #[test]
    fn what_one_holder_refuses_counts_for_none() {
        let limits = limits(&[(Holder::Session, 5, 0), (Holder::Role, 2, 0)]);
        let now = Duration::from_secs(9);
        assert_eq!(taken(&limits, 100, now), 2);
        assert_eq!(limits.take_request(now), Err(Holder::Role));
        let alone = SessionLimits::new(vec![limits.holders[0].clone()]);
        assert_eq!(taken(&alone, 100, now), 3);
        assert_eq!(alone.take_request(now), Err(Holder::Session));
    }

    #[test]
    fn bytes_are_owed_exactly_however_they_are_cut() {
        let now = Duration::from_secs(5);
        for (rate, pieces, piece) in [(1000, 4, 500), (1000, 1, 2000), (3_000_000_000, 3, 2_000_000_000)] {
            let limits = limits(&[(Holder::Session, 0, rate)]);
            let last = (0..pieces).fold(Duration::ZERO, |_, _| limits.moved(piece, now));
            let owed = Duration::from_nanos(pieces * piece * BURST / rate - BURST);
            assert!(last.abs_diff(owed) < Duration::from_nanos(10), "{last:?} {owed:?}");
        }
    }

    #[test]
    fn many_threads_take_no_more_than_there_is() {
        let limits = limits(&[(Holder::User, 1000, 0)]);
        let now = Duration::from_secs(1);
        let all = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| taken(&limits, 500, now))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(all, 1000);
    }

    #[tokio::test]
    async fn a_body_waits_for_what_those_before_it_owe() {
        let limits = Arc::new(limits(&[(Holder::Role, 0, 10_000)]));
        let started = Instant::now();
        let mut first = Pace::of(Some(&limits)).unwrap();
        first.turn().await;
        first.moved(12_000);
        let mut second = Pace::of(Some(&limits)).unwrap();
        second.turn().await;
        let waited = started.elapsed();
        assert!(waited >= Duration::from_millis(199), "{waited:?}");
        assert!(Pace::of(None).is_none());
        let requests_alone = Arc::new(self::limits(&[(Holder::Role, 5, 0)]));
        assert!(Pace::of(Some(&requests_alone)).is_none());
    }
}
