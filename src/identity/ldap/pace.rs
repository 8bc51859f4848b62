//! How long the directory takes for a password.
//!
//! It hashes for users only, so a bind as nobody comes back earlier, by as much as its hash is slow. An answer about nobody waits
//! for as long as one about somebody took of late.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Binds that are remembered.
const REMEMBERED: usize = 64;

/// Less is lost in the network's noise, and the timer is no finer.
const NOTICEABLE: Duration = Duration::from_millis(2);

/// A directory that hung once is no reason to wait.
const LONGEST: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<VecDeque<Duration>>);

impl Pace {
    pub(super) fn took(&self, time: Duration) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(time.min(LONGEST));
    }

    /// How much longer to wait after that much, as long as one of the binds that are remembered took. Any of them, so that the
    /// answers spread in the same way.
    pub(super) fn rest(&self, spent: Duration, any: u8) -> Option<Duration> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = usize::from(any).checked_rem(recent.len())?;
        let rest = recent[at].saturating_sub(spent);
        (rest >= NOTICEABLE).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn nobody_waits_for_as_long_as_somebody_took_of_late() {
        let pace = Pace::default();
        assert_eq!(pace.rest(MS, 7), None);
        pace.took(50 * MS);
        pace.took(80 * MS);
        assert_eq!([0, 1, 2].map(|any| pace.rest(MS, any)), [49, 79, 49].map(|rest| Some(rest * MS)));
        assert_eq!(pace.rest(90 * MS, 1), None);
        for _ in 0..100 {
            pace.took(2 * MS);
        }
        assert_eq!(pace.rest(MS, 200), None);
    }
}
