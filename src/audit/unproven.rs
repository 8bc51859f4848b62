//! Refused requests of nobody proven: from a rate on they have no lines of their own, but one each second that counts them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// How many were refused with each error code.
pub(super) type Gathered = BTreeMap<&'static str, u64>;

#[derive(Debug)]
pub(super) struct Unproven {
    /// How many have lines of their own.
    per_second: usize,
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The one that `lines` is of; the first is 1.
    second: u64,
    lines: usize,
    gathered: Gathered,
    /// The second in which the last line that counts was made.
    told: u64,
}

impl Unproven {
    pub(super) fn new(per_second: usize) -> Self {
        Self { per_second, started: Instant::now(), state: Mutex::default() }
    }

    fn state(&self) -> (u64, MutexGuard<'_, State>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (self.started.elapsed().as_secs() + 1, state)
    }

    /// Whether the next one has a line of its own; else it is counted.
    pub(super) fn has_line(&self, code: &'static str, there_is_room: bool) -> bool {
        let (now, mut state) = self.state();
        if state.second != now {
            state.second = now;
            state.lines = 0;
        }
        if there_is_room && state.lines < self.per_second {
            state.lines += 1;
            return true;
        }
        *state.gathered.entry(code).or_default() += 1;
        false
    }

    /// What the next line is to count: once a second, or at once.
    pub(super) fn take(&self, at_once: bool) -> Gathered {
        let (now, mut state) = self.state();
        if state.gathered.is_empty() || (state.told == now && !at_once) {
            return Gathered::new();
        }
        state.told = now;
        std::mem::take(&mut state.gathered)
    }

    pub(super) fn waits(&self) -> bool {
        !self.state().1.gathered.is_empty()
    }
}
