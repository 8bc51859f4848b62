//! The addresses of the storage: which of them answer, and whose turn it is.
//!
//! Nothing is probed. What requests find is kept here for all workers, and outlives a reload that keeps the address.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::rand;
use bytes::Bytes;
use http::{
    HeaderValue, Uri,
    uri::{self, Authority, PathAndQuery, Scheme},
};

/// So many failures in a row, with no answer between them, eject an address.
const FAILURES: u32 = 3;
/// The first pause of an ejected address, doubled by each trial that fails.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Where no other address is left, one is tried this often, however long its pause: the storage is back within a second of its return.
const LAST_RESORT: Duration = Duration::from_millis(700);
/// A trial that has not ended by then is no reason to keep the next one out: it may be an upload of hours.
const LEASE: Duration = Duration::from_secs(1);

/// One address of the storage.
#[derive(Debug)]
pub struct Endpoint {
    tls: bool,
    authority: Authority,
    host: HeaderValue,
    /// What each request reads; the rest is behind the lock, for those who met or meet a failure.
    is_ejected: AtomicBool,
    has_failed: AtomicBool,
    ejections: AtomicU64,
    /// What `last_answer` counts from.
    known_since: Instant,
    /// In nanoseconds.
    last_answer: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    /// In a row, without an answer.
    pauses: u32,
    out: Option<Ejected>,
}

#[derive(Debug)]
struct Ejected {
    by: Failure,
    since: Instant,
    until: Instant,
    /// When the trial under way began.
    trial: Option<Instant>,
}

/// What a request found at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection.
    Connect,
    /// A connection, and no answer over it.
    NoAnswer,
}

impl Endpoint {
    fn new(tls: bool, authority: &str) -> Result<Self, http::Error> {
        Ok(Self {
            tls,
            authority: authority.parse()?,
            host: HeaderValue::from_str(authority)?,
            is_ejected: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            ejections: AtomicU64::new(0),
            known_since: Instant::now(),
            last_answer: AtomicU64::new(0),
            state: Mutex::default(),
        })
    }

    /// Host and port, as they go into `Host`.
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    pub(super) fn scheme(&self) -> Scheme {
        if self.tls { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// Of something there.
    pub(super) fn uri(&self, path_and_query: String) -> Result<Uri, http::Error> {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.scheme());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::from_maybe_shared(Bytes::from(path_and_query))?);
        Ok(Uri::from_parts(parts)?)
    }

    /// Requests go there.
    pub fn is_up(&self) -> bool {
        !self.is_ejected.load(Relaxed)
    }

    /// How often it was ejected after it had been up.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Relaxed)
    }

    /// It answered, whatever the status: it is alive.
    pub(super) fn answered(&self, now: Instant) {
        self.last_answer.store(self.nanoseconds(now), Relaxed);
        if !self.has_failed.load(Relaxed) {
            return;
        }
        let mut state = self.state();
        let was_out = std::mem::take(&mut *state).out.is_some();
        self.is_ejected.store(false, Relaxed);
        self.has_failed.store(false, Relaxed);
        drop(state);
        self.tell_back(was_out);
    }

    /// A connection was made: enough for an address that was ejected because none could be, since an answer may take its time.
    pub(super) fn connected(&self) {
        if self.is_up() {
            return;
        }
        let mut state = self.state();
        let was_out = state.out.take_if(|out| out.by == Failure::Connect).is_some();
        if was_out {
            state.failures = 0;
            self.is_ejected.store(false, Relaxed);
        }
        drop(state);
        self.tell_back(was_out);
    }

    fn tell_back(&self, was_out: bool) {
        if was_out {
            tracing::info!(endpoint = self.authority.as_str(), "the storage is back at this address");
        }
    }

    /// A request sent at `sent` has no answer. Slow ones that began together end together, whatever was answered between; so one
    /// that was sent before the last answer is no evidence.
    pub(super) fn gave_no_answer(&self, sent: Instant, now: Instant) {
        if self.nanoseconds(sent) >= self.last_answer.load(Relaxed) {
            self.failed(Failure::NoAnswer, now);
        }
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.known_since).as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn failed(&self, by: Failure, now: Instant) {
        let mut state = self.state();
        self.has_failed.store(true, Relaxed);
        state.failures = state.failures.saturating_add(1);
        let is_new = match &state.out {
            None if state.failures < FAILURES => return,
            None => true,
            // It began before the ejection and says nothing new.
            Some(out) if out.trial.is_none() => return,
            Some(_) => false,
        };
        let pause = with_jitter(PAUSE.saturating_mul(1 << state.pauses.min(6)).min(LONGEST_PAUSE));
        state.pauses = state.pauses.saturating_add(1);
        state.out = Some(Ejected { by, since: now, until: now + pause, trial: None });
        self.is_ejected.store(true, Relaxed);
        drop(state);
        if is_new {
            self.ejections.fetch_add(1, Relaxed);
            let found = match by {
                Failure::Connect => "no connection",
                Failure::NoAnswer => "no answer",
            };
            tracing::warn!(
                endpoint = self.authority.as_str(),
                found,
                "the storage fails at this address: it is left alone"
            );
        }
    }

    /// Lets one request find out whether it is back. `after_pause`: how long the pause must be over; `None`: nothing else is
    /// left, so the pause does not count.
    fn try_again(&self, after_pause: Option<Duration>, now: Instant) -> bool {
        let mut state = self.state();
        let Some(out) = &mut state.out else { return true };
        let last_resort = out.since + LAST_RESORT;
        let due = after_pause.map_or(last_resort.min(out.until), |longer| out.until + longer);
        if now < due || out.trial.is_some_and(|began| now < began + LEASE) {
            return false;
        }
        out.trial = Some(now);
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between three and five quarters, so that gateways do not come back in step.
fn with_jitter(pause: Duration) -> Duration {
    let mut byte = [128];
    // Without a random number it is the pause as it is.
    let _ = rand::fill(&mut byte);
    pause.mul_f64(0.75 + f64::from(u8::from_ne_bytes(byte)) / 512.0)
}

/// A request's way to an address. Dropped without a word, it says nothing about it.
#[derive(Debug)]
pub(super) struct Chosen<'e> {
    pub(super) endpoint: &'e Endpoint,
    is_trial: bool,
}

impl Drop for Chosen<'_> {
    fn drop(&mut self) {
        if self.is_trial
            && let Some(out) = &mut self.endpoint.state().out
        {
            out.trial = None;
        }
    }
}

/// The address for a request, from number `first` on; `None`: all are ejected, and none is due to be tried.
pub(super) fn choose(endpoints: &[Arc<Endpoint>], first: usize, has_body: bool) -> Option<Chosen<'_>> {
    let in_turn = || in_turn(endpoints, first);
    let next = in_turn().next()?;
    if next.is_up() {
        return Some(Chosen { endpoint: next, is_trial: false });
    }
    let now = Instant::now();
    // A request with a body cannot be sent again elsewhere, so it is not the one that finds out, unless no other comes.
    let after_pause = if has_body { LONGEST_PAUSE } else { Duration::ZERO };
    for endpoint in in_turn() {
        if endpoint.is_up() {
            return Some(Chosen { endpoint, is_trial: false });
        }
        if endpoint.try_again(Some(after_pause), now) {
            return Some(Chosen { endpoint, is_trial: true });
        }
    }
    let endpoint = in_turn().find(|endpoint| endpoint.try_again(None, now))?;
    Some(Chosen { endpoint, is_trial: true })
}

/// One that is up and not the one that failed.
pub(super) fn choose_other<'e>(
    endpoints: &'e [Arc<Endpoint>],
    first: usize,
    failed: &Endpoint,
) -> Option<Chosen<'e>> {
    let endpoint =
        in_turn(endpoints, first).find(|endpoint| endpoint.is_up() && !std::ptr::eq(*endpoint, failed))?;
    Some(Chosen { endpoint, is_trial: false })
}

fn in_turn(endpoints: &[Arc<Endpoint>], first: usize) -> impl Iterator<Item = &Endpoint> {
    let first = first.checked_rem(endpoints.len()).unwrap_or(0);
    let (before, from) = endpoints.split_at(first);
    from.iter().chain(before).map(|endpoint| &**endpoint)
}

/// What is known of the storage beyond one configuration: its addresses, and how many requests may be sent twice.
#[derive(Debug, Default)]
pub struct Known {
    endpoints: Mutex<Vec<Weak<Endpoint>>>,
    retries: Arc<RetryBudget>,
}

impl Known {
    /// The same one for the same address, as long as anybody has it.
    pub fn endpoint(&self, tls: bool, authority: &str) -> Result<Arc<Endpoint>, http::Error> {
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        endpoints.retain(|endpoint| endpoint.strong_count() > 0);
        let mut alive = endpoints.iter().filter_map(Weak::upgrade);
        if let Some(known) = alive.find(|known| known.tls == tls && known.authority() == authority) {
            return Ok(known);
        }
        let made = Arc::new(Endpoint::new(tls, authority)?);
        endpoints.push(Arc::downgrade(&made));
        Ok(made)
    }

    pub fn retries(&self) -> &Arc<RetryBudget> {
        &self.retries
    }
}

/// One request in ten may be sent a second time, so that an outage does not double the load.
#[derive(Debug)]
pub struct RetryBudget(AtomicU32);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicU32::new(Self::AT_FIRST))
    }
}

impl RetryBudget {
    pub(super) const REQUESTS: usize = 10;
    const AT_FIRST: u32 = 10;
    const MOST: u32 = 100;

    /// So many requests have come that there may be one more retry.
    pub(super) fn earn(&self) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |left| (left < Self::MOST).then_some(left + 1));
    }

    /// Whether there is one left.
    pub(super) fn spend(&self) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new(false, "a:9000").unwrap()
    }

    fn fail(endpoint: &Endpoint, times: u32, now: Instant) {
        for _ in 0..times {
            endpoint.failed(Failure::Connect, now);
        }
    }

    #[test]
    fn three_failures_in_a_row_eject_and_an_answer_between_them_does_not_let_it_come_to_that() {
        let (endpoint, now) = (endpoint(), Instant::now());
        fail(&endpoint, 2, now);
        endpoint.answered(Instant::now());
        fail(&endpoint, 2, now);
        assert!(endpoint.is_up());
        fail(&endpoint, 50, now);
        assert!(!endpoint.is_up());
        assert_eq!(endpoint.ejections(), 1);
        endpoint.answered(Instant::now());
        assert!(endpoint.is_up());
    }

    #[test]
    fn pauses_double_up_to_thirty_seconds_and_one_request_at_a_time_finds_out() {
        let (endpoint, mut now) = (endpoint(), Instant::now());
        fail(&endpoint, 3, now);
        for seconds in [0.5_f64, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let until = endpoint.state().out.as_ref().unwrap().until;
            let pause = (until - now).as_secs_f64();
            assert!((seconds * 0.74..seconds * 1.26).contains(&pause), "{pause} for {seconds}");
            assert!(
                !endpoint
                    .try_again(Some(Duration::ZERO), until.checked_sub(Duration::from_millis(1)).unwrap())
            );
            assert!(endpoint.try_again(Some(Duration::ZERO), until));
            assert!(!endpoint.try_again(Some(Duration::ZERO), until), "only one");
            assert!(endpoint.try_again(Some(Duration::ZERO), until + LEASE), "unless it takes too long");
            now = until + LEASE;
            endpoint.failed(Failure::Connect, now);
        }
        assert_eq!(endpoint.ejections(), 1);
    }

    #[test]
    fn a_trial_that_ends_without_a_word_lets_the_next_one_try() {
        let endpoints = [Arc::new(endpoint())];
        fail(&endpoints[0], 3, Instant::now().checked_sub(Duration::from_secs(5)).unwrap());
        let trial = choose(&endpoints, 0, false).unwrap();
        assert!(trial.is_trial && choose(&endpoints, 0, false).is_none());
        drop(trial);
        assert!(choose(&endpoints, 0, false).is_some());
    }

    #[test]
    fn a_connection_heals_what_no_connection_has_ejected_and_only_an_answer_heals_the_rest() {
        let (endpoint, now) = (endpoint(), Instant::now());
        fail(&endpoint, 3, now);
        endpoint.connected();
        assert!(endpoint.is_up());
        for _ in 0..3 {
            endpoint.failed(Failure::NoAnswer, now);
        }
        endpoint.connected();
        assert!(!endpoint.is_up());
        endpoint.answered(Instant::now());
        assert!(endpoint.is_up());
    }

    #[test]
    fn a_request_that_was_sent_before_the_last_answer_is_no_evidence_against_an_address() {
        let endpoint = endpoint();
        let sent = Instant::now();
        endpoint.answered(Instant::now());
        let later = Instant::now() + Duration::from_secs(60);
        for _ in 0..5 {
            endpoint.gave_no_answer(sent, later);
        }
        assert!(endpoint.is_up());
        for _ in 0..3 {
            endpoint.gave_no_answer(later, later);
        }
        assert!(!endpoint.is_up());
    }

    #[test]
    fn requests_take_turns_and_pass_by_an_ejected_address_until_nothing_else_is_left() {
        let endpoints = ["a", "b", "c"].map(|name| Arc::new(Endpoint::new(false, name).unwrap()));
        let chosen =
            |first| choose(&endpoints, first, true).map(|chosen| chosen.endpoint.authority().to_owned());
        let all: Vec<_> = (0..4).filter_map(chosen).collect();
        assert_eq!(all, ["a", "b", "c", "a"]);
        fail(&endpoints[1], 3, Instant::now());
        let all: Vec<_> = (0..4).filter_map(chosen).collect();
        assert_eq!(all, ["a", "c", "c", "a"]);
        assert_eq!(choose_other(&endpoints, 0, &endpoints[0]).unwrap().endpoint.authority(), "c");
        fail(&endpoints[0], 3, Instant::now());
        fail(&endpoints[2], 3, Instant::now());
        assert_eq!(chosen(0), None);
        assert!(choose_other(&endpoints, 0, &endpoints[0]).is_none());
    }

    #[test]
    fn an_upload_is_not_the_one_that_finds_out_while_there_is_another_address() {
        let endpoints = ["a", "b"].map(|name| Arc::new(Endpoint::new(false, name).unwrap()));
        fail(&endpoints[0], 3, Instant::now().checked_sub(Duration::from_secs(2)).unwrap());
        assert_eq!(choose(&endpoints, 0, true).unwrap().endpoint.authority(), "b");
        assert_eq!(choose(&endpoints, 0, false).unwrap().endpoint.authority(), "a");
    }

    #[test]
    fn where_nothing_else_is_left_an_address_is_tried_within_a_second() {
        let (endpoint, mut now) = (endpoint(), Instant::now());
        fail(&endpoint, 3, now);
        for _ in 0..20 {
            assert!(!endpoint.try_again(None, now + Duration::from_millis(300)));
            now += LAST_RESORT;
            assert!(endpoint.try_again(None, now));
            endpoint.failed(Failure::Connect, now);
        }
    }

    #[test]
    fn an_address_is_known_from_one_configuration_to_the_next() {
        let known = Known::default();
        let first = known.endpoint(false, "a").unwrap();
        fail(&first, 3, Instant::now());
        assert!(!known.endpoint(false, "a").unwrap().is_up());
        assert!(known.endpoint(true, "a").unwrap().is_up());
        drop(first);
        assert!(known.endpoint(false, "a").unwrap().is_up());
    }

    #[test]
    fn one_request_in_ten_may_be_sent_again() {
        let budget = RetryBudget::default();
        let spent = (0..100).filter(|_| budget.spend()).count();
        assert_eq!(spent, 10);
        budget.earn();
        assert!(budget.spend() && !budget.spend());
        for _ in 0..1000 {
            budget.earn();
        }
        assert_eq!((0..1000).filter(|_| budget.spend()).count(), 100);
    }
}
