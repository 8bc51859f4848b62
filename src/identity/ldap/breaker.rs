//! A directory that does not answer is left alone for a while: nobody waits for it, and it can come back.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use super::connection::Failure;

const FAILURES: u32 = 5;
const WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: Mutex<State>,
    /// How the last call ended.
    last: AtomicU8,
}

const ANSWERED: u8 = 1;
const FAILED: u8 = 2;

#[derive(Debug, Default)]
struct State {
    /// In a row, and when the first of them was.
    failures: u32,
    first: Option<Instant>,
    open_until: Option<Instant>,
    /// After the pause one call finds out.
    trying: bool,
}

/// A call that may be made. Dropped without a word, it says nothing about the directory.
#[derive(Debug)]
pub(super) struct Call<'b> {
    breaker: &'b Breaker,
    is_trial: bool,
}

impl Breaker {
    pub(super) fn call(&self, now: Instant) -> Result<Call<'_>, Failure> {
        let mut state = self.state();
        let Some(open_until) = state.open_until else { return Ok(Call { breaker: self, is_trial: false }) };
        if now < open_until || state.trying {
            return Err(Failure::down("it failed several times in a row and is left alone for 5 s"));
        }
        state.trying = true;
        Ok(Call { breaker: self, is_trial: true })
    }

    /// Whether the last call was answered; `None`: there was none.
    pub(super) fn is_up(&self) -> Option<bool> {
        match self.last.load(Ordering::Relaxed) {
            ANSWERED => Some(true),
            FAILED => Some(false),
            _ => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call<'_> {
    pub(super) fn answered(self) {
        self.breaker.last.store(ANSWERED, Ordering::Relaxed);
        *self.breaker.state() = State::default();
    }

    pub(super) fn failed(self, now: Instant) {
        self.breaker.last.store(FAILED, Ordering::Relaxed);
        let mut state = self.breaker.state();
        if state.first.is_none_or(|first| first + WITHIN < now) {
            state.first = Some(now);
            state.failures = 0;
        }
        state.failures += 1;
        if self.is_trial || state.failures >= FAILURES {
            state.open_until = Some(now + PAUSE);
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.is_trial {
            self.breaker.state().trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, times: u32, now: Instant) {
        for _ in 0..times {
            breaker.call(now).unwrap().failed(now);
        }
    }

    #[test]
    fn after_five_failures_nobody_waits_and_after_the_pause_one_call_finds_out() {
        let breaker = Breaker::default();
        let mut now = Instant::now();
        fail(&breaker, 4, now);
        breaker.call(now).unwrap().answered();
        fail(&breaker, 4, now);
        assert!(breaker.call(now).is_ok());
        fail(&breaker, 1, now);
        assert!(breaker.call(now).is_err());

        now += PAUSE;
        let trial = breaker.call(now).unwrap();
        assert!(breaker.call(now).is_err(), "only one tries");
        trial.failed(now);
        assert!(breaker.call(now).is_err());

        now += PAUSE;
        drop(breaker.call(now).unwrap());
        breaker.call(now).unwrap().answered();
        assert!(breaker.call(now).is_ok() && breaker.call(now).is_ok());
    }

    #[test]
    fn whether_it_is_up_is_what_the_last_call_found() {
        let breaker = Breaker::default();
        let now = Instant::now();
        assert_eq!(breaker.is_up(), None);
        fail(&breaker, 1, now);
        assert_eq!(breaker.is_up(), Some(false));
        breaker.call(now).unwrap().answered();
        assert_eq!(breaker.is_up(), Some(true));
    }

    #[test]
    fn failures_now_and_then_stop_nobody() {
        let breaker = Breaker::default();
        let mut now = Instant::now();
        for _ in 0..20 {
            fail(&breaker, 1, now);
            now += Duration::from_secs(3);
        }
        assert!(breaker.call(now).is_ok());
    }
}
