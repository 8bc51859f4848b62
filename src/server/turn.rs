//! Turns: a worker has one thread for all of its connections.

use std::{pin::pin, task::Context};

/// Wakes this task after all that are ready now, and after sockets and timers were looked at, which a plain wake does not. Whoever
/// calls it returns `Pending`.
pub(super) fn give_way(context: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(context);
}
