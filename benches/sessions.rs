//! What many sessions cost: to find one of so many, to see one for the first time, to keep one more. `cargo bench --bench sessions`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::{
    env,
    time::{Duration, Instant},
};

use daypass::credentials::{Authority, Grant, Origin, SessionStore, SessionTags, TemporaryCredentials};

use self::world::{NOW, World};

#[path = "path/world.rs"]
#[expect(dead_code, reason = "other benchmarks use the rest")]
mod world;

/// Signed at once, then timed at once.
const BATCH: usize = 1000;

#[expect(clippy::print_stdout, reason = "it prints its figures")]
fn main() {
    let is_measured = env::args().any(|argument| argument == "--bench");
    let (counts, asked): (&[usize], usize) =
        if is_measured { (&[10, 10_000, 1_000_000], 100_000) } else { (&[10, 2_000], BATCH) };
    println!("sessions    authenticate one of them    by its token alone    heap of each");
    for &count in counts {
        let world = World::new();
        let store = World::roomy();
        let minted = allocation_counter::measure(|| (0..count).for_each(|_| drop(mint(&store))));
        store.forget();
        let keys: Vec<_> = (0..count).map(|_| mint(&store)).collect();
        // What is kept from the first use is the session's, too.
        let used = allocation_counter::measure(|| {
            authenticate(&world, &store, &keys, count, 1);
        });
        let heap = (minted.bytes_current + used.bytes_current) / i64::try_from(count).unwrap();
        let each = |took: Duration, asked: usize| took.as_nanos() / asked as u128;
        let nanoseconds = each(authenticate(&world, &store, &keys, asked, 7_919), asked);
        // One that has the sealing keys and has seen nobody.
        let first =
            each(authenticate(&world, &World::roomy(), &keys, count.min(asked), 7_919), count.min(asked));
        let heap = if count < 1000 { "too few to tell".to_owned() } else { format!("{heap} bytes") };
        println!("{count:8}    {nanoseconds:17} ns    {first:15} ns    {heap}");
    }
}

/// As `AssumeRole` does it.
fn mint(store: &SessionStore) -> TemporaryCredentials {
    let grant = Grant {
        origin: Origin::User("bench".into()),
        authority: Authority::Role { role: "reader".into(), session_name: "bench".into(), via: Vec::new() },
        session_policy: None,
        tags: SessionTags::default(),
        expires_at: NOW.plus(Duration::from_secs(3600)),
    };
    store.mint(grant, NOW).unwrap()
}

/// So many requests, each of the session that lies so far behind the last one's; without what signing and parsing them takes.
fn authenticate(
    world: &World,
    store: &SessionStore,
    keys: &[TemporaryCredentials],
    asked: usize,
    step: usize,
) -> Duration {
    let mut took = Duration::ZERO;
    let numbers: Vec<_> = (0..asked).collect();
    for batch in numbers.chunks(BATCH) {
        let chosen = batch.iter().map(|number| &keys[number * step % keys.len()]);
        let requests: Vec<_> = chosen.map(|keys| world.of(keys)).collect();
        let parsed: Vec<_> = requests.iter().map(|headers| world.parse_of(headers)).collect();
        let start = Instant::now();
        for signed in &parsed {
            std::hint::black_box(world.authenticate_at(store, signed));
        }
        took += start.elapsed();
    }
    took
}
