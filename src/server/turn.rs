//! Turns: a worker has one thread for all of its connections.

use std::{pin::pin, sync::Arc, task::Context};

use tokio::sync::Semaphore;

use super::activity::Standing;

/// So many who have proven nothing are heard before everybody else has their turn again.
const HEARD_IN_A_TURN: usize = 4;

/// Wakes this task after all that are ready now, and after sockets and timers were looked at, which a plain wake does not. Whoever
/// calls it returns `Pending`.
pub(super) fn give_way(context: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(context);
}

/// The queues of a worker. However many wait in them, whoever has proven who they are waits for a few of each at the most.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    handshakes: Queue,
    newcomers: Queue,
    refused: Queue,
    unwanted: Queue,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            // One takes as long as a dozen refusals.
            handshakes: Queue::of(1),
            newcomers: Queue::of(HEARD_IN_A_TURN),
            refused: Queue::of(HEARD_IN_A_TURN),
            unwanted: Queue::of(HEARD_IN_A_TURN),
        }
    }
}

impl Turns {
    /// Before a TLS handshake.
    pub(super) async fn handshake(&self) {
        self.handshakes.turn().await;
    }

    /// Before a request, by what the ones before it on its connection have proven. A flood of refused ones makes no newcomer wait,
    /// and a crowd of newcomers nobody else.
    pub(super) fn queue(&self, standing: Standing) -> Option<Queue> {
        match standing {
            Standing::Proven => None,
            Standing::New => Some(self.newcomers.clone()),
            Standing::Refused => Some(self.refused.clone()),
        }
    }

    /// Before a piece of a body that is thrown away.
    pub(super) fn unwanted(&self) -> Queue {
        self.unwanted.clone()
    }
}

/// First come, first served; a few in each turn of the worker.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Semaphore>);

impl Queue {
    fn of(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    pub(super) async fn turn(&self) {
        // Nobody closes the semaphore. The place is held until everybody else had their turn, and no longer.
        let _place = self.0.acquire().await;
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[tokio::test]
    async fn a_crowd_passes_a_few_in_each_turn_and_in_order() {
        let turns = Turns::default();
        let passed = Arc::new(AtomicUsize::new(0));
        let mut crowd = tokio::task::JoinSet::new();
        for number in 0..40 {
            let (queue, passed) = (turns.queue(Standing::New).unwrap(), passed.clone());
            crowd.spawn(async move {
                queue.turn().await;
                let before = passed.fetch_add(1, Relaxed);
                assert_eq!(before / HEARD_IN_A_TURN, number / HEARD_IN_A_TURN, "out of order");
            });
        }
        for turn in 0..=11_usize {
            // This task is the first or the last of each turn.
            let most = turn * HEARD_IN_A_TURN;
            assert!(
                (most.saturating_sub(HEARD_IN_A_TURN)..=most).contains(&passed.load(Relaxed)),
                "in {turn} turns: {passed:?}"
            );
            tokio::task::yield_now().await;
        }
        crowd.join_all().await;
        assert_eq!(passed.load(Relaxed), 40);
        assert!(turns.queue(Standing::Proven).is_none());
    }
}
