//! File descriptors: each connection of a client takes one, and its request another for the storage.

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, getrlimit, setrlimit},
};

/// Listeners, runtimes, files, connections to providers and to the admin listener.
const BESIDE_CONNECTIONS: usize = 128;
/// More than this is not reserved at once: 8 bytes for each.
const MOST_RESERVED: u64 = 1 << 16;

/// Takes as many as the system lets this process have without more rights: what shells and inits give at first is 1,024 for the sake of
/// programs that call `select`. Warns when that is less than the connections need; nothing fails for it before they come.
pub(super) fn raise(max_connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    // `None`: without bound.
    if limit.current.is_some_and(|soft| limit.maximum.is_none_or(|hard| soft < hard)) {
        let before = limit.current;
        limit.current = limit.maximum;
        match setrlimit(Resource::Nofile, limit) {
            Ok(()) => tracing::debug!(from = before, to = limit.current, "file descriptors: limit raised"),
            Err(error) => {
                limit.current = before;
                tracing::warn!(limit = before, %error, "file descriptors: the limit cannot be raised");
            }
        }
    }
    let needed = needed(max_connections);
    reserve(limit.current.map_or(needed, |has| has.min(needed)));
    if let Some(has) = limit.current.filter(|has| *has < needed) {
        tracing::warn!(
            limit = has,
            needed,
            "file descriptors: fewer than limits.max_connections needs, so connections will wait to be accepted before it is reached; raise \
             the hard limit (LimitNOFILE of systemd, `ulimit -Hn`, `--ulimit nofile` of a container) or lower limits.max_connections"
        );
    }
}

/// Has the system make room for so many in its table. It doubles the table whenever that is full, and all threads of the process wait
/// 10 to 20 ms for it each time: 1,000 connections at once would be a stop of 40 ms for those who are being served.
fn reserve(most: u64) {
    let Some(last) = most.min(MOST_RESERVED).checked_sub(1).and_then(|last| i32::try_from(last).ok()) else {
        return;
    };
    if let Err(error) = fcntl_dupfd_cloexec(std::io::stderr(), last) {
        tracing::debug!(%error, "file descriptors: no room is made for them beforehand");
    }
}

fn needed(max_connections: usize) -> u64 {
    u64::try_from(max_connections.saturating_mul(2).saturating_add(BESIDE_CONNECTIONS)).unwrap_or(u64::MAX)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_has_room_for_all_connections_from_the_start() {
        raise(1000);
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let room: u64 =
            status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap().trim().parse().unwrap();
        assert!(room >= limit.min(2128), "there is room for {room}, the limit is {limit}");
    }
}
