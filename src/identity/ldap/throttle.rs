//! How many passwords may be tried: for one user, below the directory's own lock-out, and from one address.

use std::{
    collections::VecDeque,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use moka::{policy::EvictionPolicy, sync::Cache};

/// An address stands for more people than a name does.
const ADDRESS_FACTOR: u32 = 10;

/// Of each kind that are kept in mind, those of late.
const MAX_COUNTERS: u64 = 100_000;

#[derive(Debug)]
pub(super) struct Throttle {
    max_failures: u32,
    window: Duration,
    /// Each kind by itself: whoever makes names up must not push out what is known of a user or of an address.
    names: Cache<String, Arc<Counter>>,
    users: Cache<String, Arc<Counter>>,
    addresses: Cache<IpAddr, Arc<Counter>>,
}

/// The tries within the window, oldest first. Never more than may be.
#[derive(Debug, Default)]
struct Counter(Mutex<VecDeque<Instant>>);

/// Too many tries.
#[derive(Debug)]
pub(super) struct Throttled {
    pub(super) retry_after: Duration,
}

/// A try. It counts as failed from its beginning, so that tries at the same time cannot be more than one after the other, and
/// so that to break off is no way out.
#[derive(Debug)]
pub(super) struct Try<'t> {
    throttle: &'t Throttle,
    began: Instant,
    user: Vec<Arc<Counter>>,
    address: Arc<Counter>,
}

impl Throttle {
    pub(super) fn new(max_failures: u32, window: Duration) -> Self {
        Self {
            max_failures,
            window,
            names: counters(window),
            users: counters(window),
            addresses: counters(window),
        }
    }

    pub(super) fn begin(&self, name: &str, address: IpAddr, began: Instant) -> Result<Try<'_>, Throttled> {
        // The address first: one that has had its tries makes no more counters.
        let address = self.addresses.get_with(network(address), Arc::default);
        self.count(&address, self.max_failures.saturating_mul(ADDRESS_FACTOR), began)?;
        let user = self.names.get_with_by_ref(name, Arc::default);
        if let Err(throttled) = self.count(&user, self.max_failures, began) {
            address.give_back(began);
            return Err(throttled);
        }
        Ok(Try { throttle: self, began, user: vec![user], address })
    }

    fn count(&self, counter: &Counter, most: u32, now: Instant) -> Result<(), Throttled> {
        let mut tries = counter.tries();
        while tries.front().is_some_and(|oldest| *oldest + self.window <= now) {
            tries.pop_front();
        }
        match tries.front() {
            Some(oldest) if tries.len() >= usize::try_from(most).unwrap_or(usize::MAX) => {
                Err(Throttled { retry_after: (*oldest + self.window).saturating_duration_since(now) })
            }
            _ => {
                tries.push_back(now);
                Ok(())
            }
        }
    }
}

fn counters<K: Hash + Eq + Send + Sync + 'static>(window: Duration) -> Cache<K, Arc<Counter>> {
    Cache::builder()
        .max_capacity(MAX_COUNTERS)
        // A flood must not be able to keep a new one from being counted.
        .eviction_policy(EvictionPolicy::lru())
        .time_to_idle(window.saturating_mul(2))
        .build()
}

impl Try<'_> {
    /// The name turned out to be this user's: all names of one user count as one.
    pub(super) fn is_of(&mut self, dn: &str) -> Result<(), Throttled> {
        let counter = self.throttle.users.get_with_by_ref(dn, Arc::default);
        self.throttle.count(&counter, self.throttle.max_failures, self.began)?;
        self.user.push(counter);
        Ok(())
    }

    /// The right password: the user begins anew. The address does not, or one good login would make room for more bad ones.
    pub(super) fn succeeded(self) {
        for counter in &self.user {
            counter.tries().clear();
        }
        self.address.give_back(self.began);
    }

    /// Nobody said that the password was wrong.
    pub(super) fn give_back(self) {
        for counter in self.user.iter().chain([&self.address]) {
            counter.give_back(self.began);
        }
    }
}

impl Counter {
    fn tries(&self) -> MutexGuard<'_, VecDeque<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, began: Instant) {
        let mut tries = self.tries();
        if let Some(at) = tries.iter().rposition(|tried| *tried == began) {
            tries.remove(at);
        }
    }
}

/// Whoever has an IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(300);
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn throttle() -> Throttle {
        Throttle::new(3, WINDOW)
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(number))
    }

    #[test]
    fn a_user_has_so_many_tries_from_all_addresses_together() {
        let throttle = throttle();
        let mut now = Instant::now();
        for number in 0..3 {
            throttle.begin("bob", address(number), now).unwrap();
            now += Duration::from_secs(10);
        }
        let throttled = throttle.begin("bob", address(9), now).unwrap_err();
        assert_eq!(throttled.retry_after, Duration::from_secs(270));
        throttle.begin("alice", address(0), now).unwrap();
        now += throttled.retry_after;
        throttle.begin("bob", address(9), now).unwrap();
        throttle.begin("bob", address(9), now).unwrap_err();
    }

    #[test]
    fn an_address_has_ten_times_as_many_and_a_good_login_does_not_reset_it() {
        let throttle = throttle();
        let now = Instant::now();
        for number in 0..29 {
            throttle.begin(&format!("user-{number}"), HERE, now).unwrap();
        }
        throttle.begin("alice", HERE, now).unwrap().succeeded();
        throttle.begin("one-more", HERE, now).unwrap();
        throttle.begin("alice", HERE, now).unwrap_err();
        throttle.begin("alice", address(7), now).unwrap();
    }

    #[test]
    fn a_success_and_a_directory_that_is_down_cost_nothing() {
        let throttle = throttle();
        let now = Instant::now();
        for _ in 0..50 {
            throttle.begin("bob", HERE, now).unwrap().give_back();
        }
        for _ in 0..2 {
            throttle.begin("bob", HERE, now).unwrap();
        }
        throttle.begin("bob", HERE, now).unwrap().succeeded();
        for _ in 0..3 {
            throttle.begin("bob", HERE, now).unwrap();
        }
        throttle.begin("bob", HERE, now).unwrap_err();
    }

    #[test]
    fn two_names_of_one_user_count_as_one() {
        let throttle = throttle();
        let now = Instant::now();
        for name in ["bob", "bob@example.org", "r.bobson"] {
            throttle.begin(name, HERE, now).unwrap().is_of("cn=bob").unwrap();
        }
        throttle.begin("bobby", HERE, now).unwrap().is_of("cn=bob").unwrap_err();
    }

    #[test]
    fn made_up_names_do_not_push_out_what_is_known_of_a_user() {
        let throttle = throttle();
        let now = Instant::now();
        for _ in 0..3 {
            throttle.begin("bob", address(1), now).unwrap().is_of("cn=bob").unwrap();
        }
        // An address that has had its tries makes no counters.
        for number in 0..1000 {
            let _ = throttle.begin(&format!("one-{number}"), address(2), now);
        }
        throttle.names.run_pending_tasks();
        assert_eq!(throttle.names.entry_count(), 1 + 30);
        // Nor do all addresses together reach the counters of users.
        for number in 0..110_000 {
            throttle.begin(&format!("many-{number}"), address(10 + number), now).unwrap();
        }
        throttle.names.run_pending_tasks();
        let tried = throttle.begin("bob", address(1), now);
        tried.unwrap().is_of("cn=bob").unwrap_err();
    }

    #[test]
    fn the_addresses_of_one_network_count_as_one() {
        let same = |one: &str, other: &str| network(one.parse().unwrap()) == network(other.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:10.0.0.1", "10.0.0.1"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
    }
}
