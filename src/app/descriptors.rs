//! File descriptors: each connection of a client takes one, and its request another for the storage.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Listeners, runtimes, files, connections to providers and to the admin listener.
const BESIDE_CONNECTIONS: usize = 128;

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
    if let Some(has) = limit.current.filter(|has| *has < needed) {
        tracing::warn!(
            limit = has,
            needed,
            "file descriptors: fewer than limits.max_connections needs, so connections will wait to be accepted before it is reached; raise \
             the hard limit (LimitNOFILE of systemd, `ulimit -Hn`, `--ulimit nofile` of a container) or lower limits.max_connections"
        );
    }
}

fn needed(max_connections: usize) -> u64 {
    u64::try_from(max_connections.saturating_mul(2).saturating_add(BESIDE_CONNECTIONS)).unwrap_or(u64::MAX)
}
